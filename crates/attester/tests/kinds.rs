//! What a verifier makes of each kind of simulated machine, and of each thing that can be wrong
//! with it.

use subrosa_attester::{DeviceFault, Fault, SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator};
use subrosa_protocol::manifest::{Layer, ModelManifest};
use subrosa_protocol::workload::{Backend, BackendKind, WorkloadModel};
use subrosa_protocol::{Address, B256, Keyset, Timestamp, Workload};
use subrosa_verifier::{
    Attested, Block, ChainView, CheckName, Evidence, Freshness, Kind, Nonce, Outcome, Policy,
    Refusal, Releases, verify,
};

const NOW: Timestamp = Timestamp(1_790_000_000);
const IMAGE: &str = "pod 0.1";
const CHAIN_ID: u64 = 31_337;
const BLOCK: Block =
    Block { number: 40, hash: B256::new([0xb1; 32]), timestamp: Timestamp(NOW.0 - 60) };

fn manifest() -> ModelManifest {
    let sha256 = B256::repeat_byte(0x3a);
    let layer = Layer { role: "weights".into(), path: "model.gguf".into(), size: 1_000, sha256 };
    ModelManifest::new(vec![layer]).unwrap()
}

fn workload() -> Vec<u8> {
    let model = WorkloadModel { name: "smollm2".into(), manifest: manifest(), settings: vec![] };
    let workload = Workload {
        image: IMAGE.into(),
        backend: Backend { kind: BackendKind::Builtin, in_image: true, pulls: false },
        exits: vec![],
        models: vec![model],
    };
    workload.to_bytes()
}

fn keyset() -> Vec<u8> {
    let not_after = Timestamp(NOW.0 + 90_000);
    Keyset { signer: Address::repeat_byte(0x51), not_after }.to_bytes()
}

fn nonce() -> Nonce {
    Nonce {
        verifier: B256::ZERO,
        chain_id: CHAIN_ID,
        block_number: BLOCK.number,
        block_hash: BLOCK.hash,
    }
}

fn freshness() -> Freshness {
    let finalised = Block { number: 44, hash: B256::repeat_byte(0xb2), timestamp: NOW };
    let view = ChainView { chain_id: CHAIN_ID, finalised, named: Some(BLOCK) };
    Freshness { nonce: None, chain: Some(view) }
}

/// What a strict client of a simulated network makes of evidence, where the image is released for
/// machines of this kind.
fn appraise(kind: SimulatedKind, simulator: &Simulator) -> Result<Attested, Refusal> {
    let evidence = simulator.evidence(&nonce(), &keyset(), &workload(), NOW).unwrap();
    let received = Evidence::parse(evidence.as_bytes()).unwrap();
    assert_eq!(received, evidence);
    let releases = Releases {
        measurements: vec![Simulator::measurement_of(kind, IMAGE)],
        models: vec![manifest().digest()],
    };
    verify(&received, &Policy::simulated(releases), &freshness(), NOW)
}

/// The check that a fault fails at.
fn check_of(cpu: SimulatedCpu, fault: Fault) -> CheckName {
    match fault {
        Fault::CollateralExpired | Fault::OtherPlatform if cpu == SimulatedCpu::Snp => {
            CheckName::AmdKdsCollateral
        }
        Fault::CollateralExpired
        | Fault::OtherPlatform
        | Fault::OtherTeeIdentity
        | Fault::OtherTeeTcbInfo => CheckName::IntelPcsCollateral,
        Fault::ComposeSwapped => CheckName::ComposeBinding,
        Fault::Debug => CheckName::TeeDebugDisabled,
        Fault::Device(fault) => check_of_device(fault),
        Fault::DevicesLeftOut | Fault::DevicesOfOtherMachine | Fault::OtherReportData => {
            CheckName::TeeReportdataBinding
        }
        Fault::EventDigest | Fault::EventDropped | Fault::EventPayload | Fault::EventsSwapped => {
            CheckName::EventLogIntegrity
        }
        Fault::Migratable | Fault::SeptVe | Fault::ServiceTd => CheckName::TeeHardwareConfig,
        Fault::OtherConfigId => CheckName::TeeBootConfig,
        Fault::AuthorityRevoked
        | Fault::OtherRoot
        | Fault::PlatformRevoked
        | Fault::TcbSignerRevoked => CheckName::TeeCertChain,
        Fault::TcbOutOfDate | Fault::TcbUnknown => CheckName::TeeTcbCurrent,
        Fault::TcbRevoked => CheckName::TeeTcbNotRevoked,
        Fault::TrailingBytes => CheckName::TeeQuoteStructure,
    }
}

/// The check that a device's fault fails at.
fn check_of_device(fault: DeviceFault) -> CheckName {
    match fault {
        DeviceFault::CertificateMissing
        | DeviceFault::ChainBroken
        | DeviceFault::OtherDeviceRoot => CheckName::NvidiaCertChain,
        DeviceFault::FwidExtensionMissing
        | DeviceFault::FwidMismatch
        | DeviceFault::FwidMissing
        | DeviceFault::FwidOtherExtension => CheckName::NvidiaFirmwareId,
        DeviceFault::CertificateHold
        | DeviceFault::CrlRevoked
        | DeviceFault::OcspExpired
        | DeviceFault::OcspMissing
        | DeviceFault::OcspOtherResponder
        | DeviceFault::OcspSignature
        | DeviceFault::OcspUnknown
        | DeviceFault::Revoked
        | DeviceFault::RimSignerRevoked => CheckName::NvidiaRevocation,
        DeviceFault::DuplicateDevice => CheckName::NvidiaDistinctDevices,
        DeviceFault::MeasurementMismatch { .. }
        | DeviceFault::MissingBlock { .. }
        | DeviceFault::RimMissing
        | DeviceFault::RimOfOtherDevice
        | DeviceFault::RimsOverlap => CheckName::NvidiaMeasurements,
        DeviceFault::OtherNonce => CheckName::NvidiaNonce,
        DeviceFault::OtherRimRoot | DeviceFault::RimExpired => CheckName::NvidiaRimChain,
        DeviceFault::PpcieMixed | DeviceFault::SwitchMissing | DeviceFault::SwitchOfOtherNode => {
            CheckName::NvswitchBinding
        }
        DeviceFault::ReportSignature => CheckName::NvidiaSignature,
        DeviceFault::RimDigest => CheckName::NvidiaRimDigest,
        DeviceFault::RimSignature => CheckName::NvidiaRimSignature,
        DeviceFault::TrailingByte => CheckName::NvidiaPayloadPresent,
    }
}

const DEVICE_FAULTS: [DeviceFault; 32] = [
    DeviceFault::CertificateHold,
    DeviceFault::CertificateMissing,
    DeviceFault::ChainBroken,
    DeviceFault::CrlRevoked,
    DeviceFault::DuplicateDevice,
    DeviceFault::FwidExtensionMissing,
    DeviceFault::FwidMismatch,
    DeviceFault::FwidMissing,
    DeviceFault::FwidOtherExtension,
    DeviceFault::MeasurementMismatch { index: 9 },
    DeviceFault::MissingBlock { index: 9 },
    DeviceFault::OcspExpired,
    DeviceFault::OcspMissing,
    DeviceFault::OcspOtherResponder,
    DeviceFault::OcspSignature,
    DeviceFault::OcspUnknown,
    DeviceFault::OtherDeviceRoot,
    DeviceFault::OtherNonce,
    DeviceFault::OtherRimRoot,
    DeviceFault::PpcieMixed,
    DeviceFault::ReportSignature,
    DeviceFault::Revoked,
    DeviceFault::RimDigest,
    DeviceFault::RimExpired,
    DeviceFault::RimMissing,
    DeviceFault::RimOfOtherDevice,
    DeviceFault::RimSignature,
    DeviceFault::RimSignerRevoked,
    DeviceFault::RimsOverlap,
    DeviceFault::SwitchMissing,
    DeviceFault::SwitchOfOtherNode,
    DeviceFault::TrailingByte,
];

fn without_gpus() -> impl Iterator<Item = SimulatedKind> {
    let kind = |cpu| SimulatedKind { cpu, gpus: SimulatedGpus::None };
    SimulatedCpu::ALL.into_iter().map(kind)
}

fn tdx_with_gpus() -> impl Iterator<Item = SimulatedKind> {
    let kind = |gpus| SimulatedKind { gpus, ..SimulatedKind::TDX };
    SimulatedGpus::ALL.into_iter().filter(|gpus| *gpus != SimulatedGpus::None).map(kind)
}

#[track_caller]
fn assert_refused(kind: SimulatedKind, fault: Fault) {
    let Err(refusal) = appraise(kind, &Simulator::faulty_of(kind, IMAGE, fault)) else {
        panic!("{kind} is accepted with {fault:?}");
    };
    let check = check_of(kind.cpu, fault);
    assert_eq!(refusal.failed().name, check, "{kind}, {fault:?}: {refusal}");
}

#[test]
fn every_kind_is_accepted_as_what_it_is() {
    for kind in without_gpus().chain(tdx_with_gpus()) {
        let attested = appraise(kind, &Simulator::of(kind, IMAGE))
            .unwrap_or_else(|refusal| panic!("{kind}: {refusal}"));
        assert_eq!(attested.report().kind, Kind::Evidence(kind.cpu.cpu()), "{kind}");
        assert_eq!(attested.measurement(), Simulator::measurement_of(kind, IMAGE), "{kind}");
        assert!(attested.report().simulated, "{kind}");
        let devices = attested.report().outcome(CheckName::NvidiaPayloadPresent);
        assert_eq!(devices == Outcome::Passed, kind.gpus != SimulatedGpus::None, "{kind}");
    }
}

#[test]
fn an_event_log_is_replayed_and_a_compose_file_compared() {
    for (cpu, log, compose) in [
        (SimulatedCpu::Tdx, Outcome::Waived, Outcome::Waived),
        (SimulatedCpu::TdxV5, Outcome::Waived, Outcome::Waived),
        (SimulatedCpu::TdxCcel, Outcome::Passed, Outcome::Waived),
        (SimulatedCpu::TdxDstack, Outcome::Passed, Outcome::Passed),
    ] {
        let kind = SimulatedKind { cpu, ..SimulatedKind::TDX };
        let attested = appraise(kind, &Simulator::of(kind, IMAGE)).unwrap();
        let outcome = |name| attested.report().outcome(name);
        assert_eq!(outcome(CheckName::EventLogIntegrity), log, "{kind}");
        assert_eq!(outcome(CheckName::ComposeBinding), compose, "{kind}");
    }
}

#[test]
fn a_report_counts_the_devices_of_each_kind() {
    for (gpus, seen) in [
        (SimulatedGpus::Blackwell, "1 Blackwell GPU"),
        (SimulatedGpus::EightBlackwells, "8 Blackwell GPUs"),
        (SimulatedGpus::EightHoppers, "8 Hopper GPUs, 4 switches"),
        (SimulatedGpus::Hopper, "1 Hopper GPU"),
    ] {
        let kind = SimulatedKind { gpus, ..SimulatedKind::TDX };
        let attested = appraise(kind, &Simulator::of(kind, IMAGE)).unwrap();
        let mut checks = attested.report().checks.iter();
        let present = checks.find(|check| check.name == CheckName::NvidiaPayloadPresent).unwrap();
        assert_eq!(present.seen, seen);
    }
}

#[test]
fn every_fault_of_every_processor_fails_its_check() {
    for kind in without_gpus() {
        for fault in Fault::ALL.into_iter().filter(|fault| fault.applies_to(kind)) {
            assert_refused(kind, fault);
        }
    }
}

#[test]
fn every_fault_of_every_device_fails_its_check() {
    let tdx = |gpus| SimulatedKind { gpus, ..SimulatedKind::TDX };
    let (alone, eight) = (tdx(SimulatedGpus::Hopper), tdx(SimulatedGpus::EightHoppers));
    for fault in DEVICE_FAULTS.map(Fault::Device) {
        // Eight devices take eight times as long, so they are asked for what one cannot have wrong.
        assert_refused(if fault.applies_to(alone) { alone } else { eight }, fault);
    }
}

#[test]
fn blackwell_names_its_firmware_in_its_own_way() {
    let kind = SimulatedKind { gpus: SimulatedGpus::Blackwell, ..SimulatedKind::TDX };
    for fault in [
        DeviceFault::FwidExtensionMissing,
        DeviceFault::FwidMismatch,
        DeviceFault::FwidMissing,
        DeviceFault::FwidOtherExtension,
    ] {
        assert_refused(kind, Fault::Device(fault));
    }
}

#[test]
fn devices_are_those_that_the_quote_binds_or_the_document_is_refused() {
    for kind in tdx_with_gpus() {
        assert_refused(kind, Fault::DevicesLeftOut);
        assert_refused(kind, Fault::DevicesOfOtherMachine);
    }
}

#[test]
fn devices_are_appraised_beside_every_processor() {
    for cpu in SimulatedCpu::ALL {
        let kind = SimulatedKind { cpu, gpus: SimulatedGpus::Hopper };
        let attested = appraise(kind, &Simulator::of(kind, IMAGE)).unwrap();
        assert_eq!(attested.report().outcome(CheckName::NvidiaMeasurements), Outcome::Passed);
        assert_refused(kind, Fault::Device(DeviceFault::OtherNonce));
    }
}

#[test]
fn an_image_that_is_released_for_another_kind_only_is_refused() {
    let kinds: Vec<_> = without_gpus().collect();
    let measurement = |kind| Simulator::measurement_of(kind, IMAGE);
    for (kind, other) in kinds.iter().flat_map(|kind| kinds.iter().map(move |other| (kind, other)))
    {
        if measurement(*kind) != measurement(*other) {
            let refusal = appraise(*other, &Simulator::of(*kind, IMAGE)).unwrap_err();
            assert_eq!(refusal.failed().name, CheckName::TeeMeasurement, "{kind} as {other}");
        }
    }
}
