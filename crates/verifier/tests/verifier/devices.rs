//! GPUs and switches in documents of ours: bound by the quote, and refused by name.

use subrosa_attester::{DeviceFault, Fault, SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator};
use subrosa_nvidia_evidence::simulator;
use subrosa_protocol::{Keyset, Timestamp};
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{
    Architecture, CheckName, DEVICES_MAX, Demand, Device, DeviceCollateral, Devices, Evidence, Gpu,
    NVIDIA_DEVICE_ROOT_SHA256, NVIDIA_RIM_ROOT_SHA256, Nonce, Outcome, Parts, Policy, Refusal,
    Root, SIMULATOR_NVIDIA_DEVICE_ROOT_SHA256, SIMULATOR_NVIDIA_RIM_ROOT_SHA256, report_data,
};

use crate::foreign_vllm::Proxy;
use crate::world::*;

const CHECKS: [CheckName; 13] = [
    NvidiaPayloadPresent,
    NvidiaNonce,
    NvidiaSignature,
    NvidiaCertChain,
    NvidiaFirmwareId,
    NvidiaRevocation,
    NvidiaRimChain,
    NvidiaRimDigest,
    NvidiaRimSignature,
    NvidiaMeasurements,
    NvidiaDistinctDevices,
    NvswitchBinding,
    CpuGpuChain,
];

fn tdx(gpus: SimulatedGpus) -> SimulatedKind {
    SimulatedKind { cpu: SimulatedCpu::Tdx, gpus }
}

fn world(gpus: SimulatedGpus) -> World {
    World::of(tdx(gpus))
}

fn faulty(gpus: SimulatedGpus, fault: DeviceFault) -> World {
    World::with(Simulator::faulty_of(tdx(gpus), IMAGE, Fault::Device(fault)))
}

/// A document whose quote binds these devices, with this collateral.
fn bound(world: &World, devices: Vec<u8>, device_collateral: DeviceCollateral) -> Evidence {
    let World { simulator, nonce, keyset, workload, now, .. } = world;
    let data = report_data(nonce, keyset, &devices, workload);
    let cpu = simulator.cpu_evidence(data, *now).unwrap();
    let (keyset, workload) = (keyset.clone(), workload.clone());
    Evidence::compose(Parts { nonce: *nonce, keyset, devices, workload, cpu, device_collateral })
}

fn with_collateral(world: &World, change: impl FnOnce(&mut DeviceCollateral)) -> Evidence {
    let evidence = world.evidence();
    let mut collateral = evidence.device_collateral().clone();
    change(&mut collateral);
    bound(world, evidence.devices().to_vec(), collateral)
}

fn with_devices(world: &World, change: impl FnOnce(&mut Vec<Device>)) -> Evidence {
    let evidence = world.evidence();
    let mut devices = Devices::from_bytes(evidence.devices()).unwrap();
    change(&mut devices.0);
    bound(world, devices.to_bytes(), evidence.device_collateral().clone())
}

#[track_caller]
fn assert_words(refusal: &Refusal, name: CheckName, words: &str) {
    assert_failed(refusal, name);
    assert!(refusal.failed().seen.contains(words), "{words:?} expected: {refusal}");
}

#[test]
fn a_report_counts_the_devices_and_shows_the_first() {
    let seen = |gpus| {
        let attested = world(gpus).attested();
        let of = |name| attested.report().check(name).unwrap().seen.clone();
        CHECKS[1..10].iter().map(|name| of(*name)).collect::<Vec<_>>()
    };
    let first = seen(SimulatedGpus::Blackwell);
    let all = first.iter().map(|words| format!("8 devices, the first: {words}"));
    assert_eq!(seen(SimulatedGpus::EightBlackwells), all.collect::<Vec<_>>());
    assert!(first.iter().any(|words| words != "good"), "{first:?}");
}

#[test]
fn devices_of_every_kind_are_attested_with_their_processor() {
    for gpus in SimulatedGpus::ALL {
        let attested = world(gpus).attested();
        for name in CHECKS {
            let expected = match (gpus, name) {
                (SimulatedGpus::None, _) => Outcome::Waived,
                // Switches do not name their firmware; the GPUs beside them do.
                (SimulatedGpus::EightHoppers, NvidiaFirmwareId) => Outcome::Waived,
                _ => Outcome::Passed,
            };
            let check = attested.report().check(name).unwrap();
            assert_eq!(check.outcome, expected, "{gpus:?}: {check:?}");
        }
    }
}

#[test]
fn the_report_tells_how_many_devices_there_are() {
    let attested = world(SimulatedGpus::EightHoppers).attested();
    let seen = |name| attested.report().check(name).unwrap().seen.clone();
    assert_eq!(seen(NvidiaPayloadPresent), "8 Hopper GPUs, 4 switches");
    assert!(seen(NvidiaDistinctDevices).contains("12 devices"));
    assert!(seen(NvidiaFirmwareId).starts_with("8 of 12 devices good; device 8: "));
    assert!(seen(NvswitchBinding).contains("4 switches"), "{}", seen(NvswitchBinding));
}

/// The vendor's answers about single certificates, which end first, live six days and a bit.
#[test]
fn what_was_attested_is_good_no_longer_than_the_collateral_of_its_devices() {
    let mut world = world(SimulatedGpus::Hopper);
    let keyset = Keyset { signer: signer().address(), not_after: Timestamp(NOW.0 + 9_000_000) };
    world.keyset = keyset.to_bytes();
    let evidence = world.evidence();
    let end = Timestamp(NOW.0 / 86_400 * 86_400 + 6 * 86_400);
    world.at(Timestamp(end.0 - 600));
    let attested = world.check(&evidence).unwrap();
    assert_eq!(attested.expires(), end);
    world.at(end);
    assert_eq!(world.check(&evidence).unwrap().expires(), end);
    world.at(Timestamp(end.0 + 1));
    assert_words(&world.check(&evidence).unwrap_err(), NvidiaRevocation, "counted until");

    // Without devices the block's age is what ends.
    let mut without = World { keyset: keyset.to_bytes(), ..World::new() };
    let evidence = without.evidence();
    without.at(Timestamp(end.0 - 600));
    assert!(without.check(&evidence).unwrap().expires() > end);
}

impl World {
    /// Evidence of another time, for the same nonce.
    fn evidence_at(&self, now: Timestamp) -> Evidence {
        let World { simulator, nonce, keyset, workload, .. } = self;
        simulator.evidence(nonce, keyset, workload, now).unwrap()
    }

    /// The same world later, where the block that evidence names is as recent as before.
    fn at(&mut self, now: Timestamp) {
        let chain = self.freshness.chain.as_mut().unwrap();
        chain.finalised.timestamp = now;
        chain.named.as_mut().unwrap().timestamp = now;
        self.now = now;
    }
}

#[test]
fn every_fault_of_a_device_is_refused_by_its_check() {
    use SimulatedGpus::{EightBlackwells, EightHoppers, Hopper};
    let cases: [(SimulatedGpus, DeviceFault, CheckName, &str); 38] = [
        (Hopper, DeviceFault::OtherNonce, NvidiaNonce, "device 0: the report answers nonce"),
        (EightHoppers, DeviceFault::OtherNonce, NvidiaNonce, "device 0: the report answers nonce"),
        (Hopper, DeviceFault::ReportSignature, NvidiaSignature, "is not signed by"),
        (EightBlackwells, DeviceFault::ReportSignature, NvidiaSignature, "is not signed by"),
        (Hopper, DeviceFault::TrailingByte, NvidiaPayloadPresent, "device 0"),
        (Hopper, DeviceFault::CertificateMissing, NvidiaCertChain, "device 0"),
        (Hopper, DeviceFault::ChainBroken, NvidiaCertChain, "is not signed by"),
        (Hopper, DeviceFault::OtherDeviceRoot, NvidiaCertChain, "root"),
        (EightHoppers, DeviceFault::OtherDeviceRoot, NvidiaCertChain, "root"),
        (Hopper, DeviceFault::FwidMissing, NvidiaFirmwareId, "device 0"),
        (Hopper, DeviceFault::FwidExtensionMissing, NvidiaFirmwareId, "device 0"),
        (Hopper, DeviceFault::FwidMismatch, NvidiaFirmwareId, "device 0"),
        (Hopper, DeviceFault::FwidOtherExtension, NvidiaFirmwareId, "device 0"),
        (EightBlackwells, DeviceFault::FwidOtherExtension, NvidiaFirmwareId, "device 0"),
        (Hopper, DeviceFault::CertificateHold, NvidiaRevocation, "certificateHold"),
        (Hopper, DeviceFault::Revoked, NvidiaRevocation, "revoked"),
        (EightHoppers, DeviceFault::Revoked, NvidiaRevocation, "revoked"),
        (Hopper, DeviceFault::CrlRevoked, NvidiaRevocation, "revoked"),
        (Hopper, DeviceFault::OcspExpired, NvidiaRevocation, "counted until"),
        (Hopper, DeviceFault::OcspMissing, NvidiaRevocation, "no revocation answer"),
        (Hopper, DeviceFault::OcspOtherResponder, NvidiaRevocation, "responder"),
        (Hopper, DeviceFault::OcspSignature, NvidiaRevocation, "not signed by"),
        (Hopper, DeviceFault::OcspUnknown, NvidiaRevocation, "unknown"),
        (Hopper, DeviceFault::RimSignerRevoked, NvidiaRevocation, "revoked"),
        (Hopper, DeviceFault::OtherRimRoot, NvidiaRimChain, "root"),
        (Hopper, DeviceFault::RimExpired, NvidiaRimChain, "valid until"),
        (Hopper, DeviceFault::RimDigest, NvidiaRimDigest, "manifest"),
        (Hopper, DeviceFault::RimSignature, NvidiaRimSignature, "manifest"),
        (Hopper, DeviceFault::RimMissing, NvidiaMeasurements, "no reference measurements"),
        (
            Hopper,
            DeviceFault::RimOfOtherDevice,
            NvidiaMeasurements,
            "reference measurements are for",
        ),
        (Hopper, DeviceFault::RimsOverlap, NvidiaMeasurements, "active in both manifests"),
        (Hopper, DeviceFault::MeasurementMismatch { index: 9 }, NvidiaMeasurements, "[9]"),
        (EightHoppers, DeviceFault::MeasurementMismatch { index: 9 }, NvidiaMeasurements, "[9]"),
        (Hopper, DeviceFault::MissingBlock { index: 9 }, NvidiaMeasurements, "no block at [9]"),
        (EightHoppers, DeviceFault::DuplicateDevice, NvidiaDistinctDevices, "devices 0 and 11"),
        (EightHoppers, DeviceFault::PpcieMixed, NvswitchBinding, "device 1 says"),
        (EightHoppers, DeviceFault::SwitchMissing, NvswitchBinding, "those shown are"),
        (EightBlackwells, DeviceFault::DuplicateDevice, NvidiaDistinctDevices, "devices 0 and 7"),
    ];
    for (gpus, fault, name, words) in cases {
        let refusal = faulty(gpus, fault).refused();
        assert_eq!(refusal.failed().name, name, "{gpus:?}, {fault:?}: {refusal}");
        assert!(refusal.failed().seen.contains(words), "{fault:?}: {words:?} expected: {refusal}");
        assert_eq!(refusal.report().outcome(TeeReportdataBinding), Outcome::Passed);
    }
}

#[test]
fn a_check_that_was_not_made_says_why_in_words() {
    let refusal = faulty(SimulatedGpus::Hopper, DeviceFault::RimMissing).refused();
    let check = refusal.report().check(NvidiaRimChain).unwrap();
    assert_eq!(check.outcome, Outcome::Absent);
    assert_eq!(check.seen, "device 0 not looked at: no reference measurements");
}

#[test]
fn faults_of_devices_are_refused_in_a_foreign_document_as_in_ours() {
    use SimulatedGpus::{EightHoppers, Hopper};
    for (gpus, fault, name) in [
        (Hopper, DeviceFault::ReportSignature, NvidiaSignature),
        (Hopper, DeviceFault::ChainBroken, NvidiaCertChain),
        (Hopper, DeviceFault::CertificateMissing, NvidiaCertChain),
        (Hopper, DeviceFault::OtherDeviceRoot, NvidiaCertChain),
        (Hopper, DeviceFault::FwidMismatch, NvidiaFirmwareId),
        (Hopper, DeviceFault::Revoked, NvidiaRevocation),
        (Hopper, DeviceFault::OcspMissing, NvidiaRevocation),
        (Hopper, DeviceFault::OtherRimRoot, NvidiaRimChain),
        (Hopper, DeviceFault::RimExpired, NvidiaRimChain),
        (Hopper, DeviceFault::RimDigest, NvidiaRimDigest),
        (Hopper, DeviceFault::RimSignature, NvidiaRimSignature),
        (Hopper, DeviceFault::RimMissing, NvidiaMeasurements),
        (Hopper, DeviceFault::MeasurementMismatch { index: 9 }, NvidiaMeasurements),
        (EightHoppers, DeviceFault::DuplicateDevice, NvidiaDistinctDevices),
        (EightHoppers, DeviceFault::SwitchMissing, NvswitchBinding),
    ] {
        let mut proxy = Proxy::of(SimulatedCpu::TdxDstack, gpus);
        proxy.simulator = Simulator::faulty_of(proxy.simulator.kind(), IMAGE, Fault::Device(fault));
        proxy.refused(&proxy.answer(), name, "");
    }
}

#[test]
fn a_fault_of_the_last_device_is_refused_too() {
    let world = world(SimulatedGpus::EightHoppers);
    let swapped = with_devices(&world, |devices| {
        let last = devices.len() - 1;
        devices[last].chain = devices[0].chain.clone();
    });
    let refusal = world.check(&swapped).unwrap_err();
    assert_words(&refusal, NvidiaSignature, "device 11");
}

#[test]
fn evidence_of_another_nonce_is_refused_wherever_the_old_part_is() {
    let world = world(SimulatedGpus::Hopper);
    let old = World {
        nonce: Nonce { block_number: 39, ..world.nonce },
        ..self::world(SimulatedGpus::Hopper)
    };
    let old = old.evidence();
    let collateral = old.device_collateral().clone();

    // Old devices under a new quote.
    let spliced = bound(&world, old.devices().to_vec(), collateral.clone());
    assert_words(&world.check(&spliced).unwrap_err(), NvidiaNonce, "device 0");

    // A new nonce over an old quote and its devices.
    let renamed = Evidence::compose(Parts {
        nonce: world.nonce,
        keyset: world.keyset.clone(),
        devices: old.devices().to_vec(),
        workload: world.workload.clone(),
        cpu: old.cpu().clone(),
        device_collateral: collateral,
    });
    assert_failed(&world.check(&renamed).unwrap_err(), TeeReportdataBinding);
}

#[test]
fn devices_of_another_machine_beside_our_quote_are_refused() {
    for gpus in [SimulatedGpus::Hopper, SimulatedGpus::EightHoppers] {
        for fault in [Fault::DevicesOfOtherMachine, Fault::DevicesLeftOut] {
            let world = World::with(Simulator::faulty_of(tdx(gpus), IMAGE, fault));
            let refusal = world.refused();
            assert_failed(&refusal, TeeReportdataBinding);
            assert_outcomes(&refusal, Outcome::Absent, &CHECKS);
        }
    }
}

#[test]
fn devices_beside_the_quote_of_a_machine_without_any_are_refused() {
    let (with, without) = (world(SimulatedGpus::Hopper), World::new());
    let (devices, cpu) = (with.evidence(), without.evidence());
    let spliced = Evidence::compose(Parts {
        nonce: without.nonce,
        keyset: without.keyset.clone(),
        devices: devices.devices().to_vec(),
        workload: without.workload.clone(),
        cpu: cpu.cpu().clone(),
        device_collateral: devices.device_collateral().clone(),
    });
    assert_failed(&without.check(&spliced).unwrap_err(), TeeReportdataBinding);
}

#[test]
fn a_policy_that_demands_a_gpu_refuses_a_pod_without_one() {
    let mut without = World::new();
    without.policy.gpu = Gpu::Required;
    assert_words(&without.refused(), NvidiaPayloadPresent, "policy demands a GPU");

    let mut with = world(SimulatedGpus::Hopper);
    with.policy.gpu = Gpu::Required;
    with.attested();
}

#[test]
fn switches_alone_are_no_gpu() {
    let world = world(SimulatedGpus::EightHoppers);
    let switches = with_devices(&world, |devices| {
        devices.retain(|device| device.architecture == Architecture::Ls10);
    });
    let refusal = world.check(&switches).unwrap_err();
    assert_words(&refusal, NvswitchBinding, "there is no GPU");
}

#[test]
fn a_device_that_passes_for_another_kind_is_refused() {
    let world = world(SimulatedGpus::Hopper);
    for other in [Architecture::Blackwell, Architecture::Ls10] {
        let renamed = with_devices(&world, |devices| devices[0].architecture = other);
        let refusal = world.check(&renamed).unwrap_err();
        assert_words(&refusal, NvidiaCertChain, "the certificate is of a");
    }
}

#[test]
fn devices_of_two_families_are_no_machine() {
    let world = world(SimulatedGpus::Hopper);
    let mut other = self::world(SimulatedGpus::Blackwell);
    other.nonce = world.nonce;
    let other = other.evidence();
    let (ours, theirs) = (world.evidence(), Devices::from_bytes(other.devices()).unwrap());
    let mut devices = Devices::from_bytes(ours.devices()).unwrap();
    devices.0.extend(theirs.0);
    let mut collateral = ours.device_collateral().clone();
    for (into, from) in [
        (&mut collateral.rims, &other.device_collateral().rims),
        (&mut collateral.ocsp, &other.device_collateral().ocsp),
    ] {
        let new = from.iter().filter(|item| !into.contains(item)).cloned().collect::<Vec<_>>();
        into.extend(new);
    }
    let mixed = bound(&world, devices.to_bytes(), collateral);
    assert_words(&world.check(&mixed).unwrap_err(), NvswitchBinding, "device 1 is a BLACKWELL");
}

#[test]
fn bytes_that_are_no_devices_are_refused_even_where_the_quote_binds_them() {
    let world = World::new();
    let device = |architecture: &str| {
        format!(r#"{{"devices":[{{"architecture":"{architecture}","report":"","chain":""}}]}}"#)
    };
    let one = Device { architecture: Architecture::Hopper, report: vec![], chain: String::new() };
    let many = Devices(vec![one.clone(); DEVICES_MAX + 1]).to_bytes();
    let long = Devices(vec![Device { report: vec![0; 16 * 1024 + 1], ..one.clone() }]).to_bytes();
    let chain = Devices(vec![Device { chain: "x".repeat(16 * 1024 + 1), ..one }]).to_bytes();
    let cases: [(Vec<u8>, &str); 9] = [
        (b"devices".to_vec(), "not strict JSON"),
        (br#"{"devices":[]}"#.to_vec(), "not spelled canonically"),
        (format!("{} ", device("hopper")).into_bytes(), "follow"),
        (device("hopper").replace(':', ": ").into_bytes(), "not spelled canonically"),
        (device("HOPPER").into_bytes(), "a device that this verifier does not know"),
        (device("ampere").into_bytes(), "a device that this verifier does not know"),
        (many, "25 entries, at most 24"),
        (long, "devices.0.report has 16385 bytes"),
        (chain, "devices.0.chain has 16385 bytes"),
    ];
    for (devices, words) in cases {
        let evidence = bound(&world, devices, DeviceCollateral::default());
        assert_words(&world.check(&evidence).unwrap_err(), NvidiaPayloadPresent, words);
    }
    let empty = bound(&world, device("hopper").into_bytes(), DeviceCollateral::default());
    assert_words(&world.check(&empty).unwrap_err(), NvidiaPayloadPresent, "device 0");
}

#[test]
fn a_device_whose_report_cannot_be_read_is_refused_however_good_the_others_are() {
    let world = world(SimulatedGpus::EightHoppers);
    let cut = with_devices(&world, |devices| devices[5].report.truncate(100));
    assert_words(&world.check(&cut).unwrap_err(), NvidiaPayloadPresent, "device 5");
}

#[test]
fn collateral_that_is_not_there_is_refused_unless_policy_waives_it() {
    let mut world = world(SimulatedGpus::Hopper);
    let nothing = with_collateral(&world, |collateral| *collateral = DeviceCollateral::default());
    assert_words(&world.check(&nothing).unwrap_err(), NvidiaRevocation, "no revocation answer");
    world.policy.nvidia.revocation = Demand::Waived;
    let refusal = world.check(&nothing).unwrap_err();
    assert_words(&refusal, NvidiaMeasurements, "there are no reference measurements");
    world.policy.nvidia.reference_measurements = Demand::Waived;
    let attested = world.check(&nothing).unwrap();
    let waived = [NvidiaRevocation, NvidiaRimChain, NvidiaRimDigest, NvidiaMeasurements];
    for name in waived {
        assert_eq!(attested.report().outcome(name), Outcome::Waived, "{name}");
    }
    assert_eq!(attested.report().outcome(NvidiaSignature), Outcome::Passed);
}

#[test]
fn a_waiver_is_for_what_is_absent_and_not_for_what_is_wrong() {
    let waived = |fault| {
        let mut world = faulty(SimulatedGpus::Hopper, fault);
        world.policy.nvidia.firmware_id = Demand::Waived;
        world.policy.nvidia.revocation = Demand::Waived;
        world.policy.nvidia.reference_measurements = Demand::Waived;
        world
    };
    let attested = waived(DeviceFault::FwidMissing).attested();
    assert_eq!(attested.report().outcome(NvidiaFirmwareId), Outcome::Waived);
    assert_failed(&waived(DeviceFault::FwidMismatch).refused(), NvidiaFirmwareId);
    assert_failed(&waived(DeviceFault::Revoked).refused(), NvidiaRevocation);
    assert_failed(&waived(DeviceFault::RimDigest).refused(), NvidiaRimDigest);
    let mismatch = DeviceFault::MeasurementMismatch { index: 3 };
    assert_failed(&waived(mismatch).refused(), NvidiaMeasurements);
}

#[test]
fn reference_measurements_that_cannot_be_read_are_refused() {
    let world = world(SimulatedGpus::Hopper);
    for rim in [&b""[..], b"<SoftwareIdentity/>", b"{}", &[0xff; 100]] {
        let bad = with_collateral(&world, |collateral| collateral.rims.push(rim.to_vec()));
        let refusal = world.check(&bad).unwrap_err();
        assert_words(&refusal, NvidiaRimDigest, "cannot be read");
    }
}

#[test]
fn roots_are_pinned_each_on_its_own() {
    assert_eq!(SIMULATOR_NVIDIA_DEVICE_ROOT_SHA256.0, simulator::DEVICE_ROOT_SHA256);
    assert_eq!(SIMULATOR_NVIDIA_RIM_ROOT_SHA256.0, simulator::RIM_ROOT_SHA256);
    let mut world = world(SimulatedGpus::Hopper);
    world.policy.roots.nvidia_device = Root::Vendor;
    assert_words(&world.refused(), NvidiaCertChain, "root");
    world.policy.roots.nvidia_device = Root::Sha256(SIMULATOR_NVIDIA_DEVICE_ROOT_SHA256);
    world.attested();
    world.policy.roots.nvidia_rim = Root::Vendor;
    assert_words(&world.refused(), NvidiaRimChain, "root");
    world.policy.roots.nvidia_rim = Root::Sha256(NVIDIA_DEVICE_ROOT_SHA256);
    assert_words(&world.refused(), NvidiaRimChain, "root");
    assert_ne!(NVIDIA_DEVICE_ROOT_SHA256, NVIDIA_RIM_ROOT_SHA256);
}

#[test]
fn simulated_devices_are_worth_nothing_to_a_strict_policy() {
    let world = world(SimulatedGpus::Hopper);
    let strict = Policy::strict(world.policy.releases.clone());
    let simulated = World { policy: strict, ..world };
    assert_failed(&simulated.refused(), TeeCertChain);
}

#[test]
fn collateral_that_belongs_to_no_device_shown_is_refused() {
    let hopper = world(SimulatedGpus::Hopper);
    let blackwell = world(SimulatedGpus::Blackwell).evidence();
    let theirs = blackwell.device_collateral();
    for rim in &theirs.rims {
        let more = with_collateral(&hopper, |ours| ours.rims.push(rim.clone()));
        let refusal = hopper.check(&more).unwrap_err();
        assert_words(&refusal, NvidiaMeasurements, "belong to no device shown");
    }
    let ours = hopper.evidence().device_collateral().clone();
    let foreign = theirs.ocsp.iter().filter(|answer| !ours.ocsp.contains(answer));
    for answer in foreign {
        for place in [0, ours.ocsp.len()] {
            let more = with_collateral(&hopper, |ours| ours.ocsp.insert(place, answer.clone()));
            let refusal = hopper.check(&more).unwrap_err();
            let words = format!("revocation answer {place} is about no certificate shown");
            assert_words(&refusal, NvidiaRevocation, &words);
        }
    }
    let foreign = theirs.crls.iter().find(|list| !ours.crls.contains(list)).unwrap();
    let more = with_collateral(&hopper, |ours| ours.crls.push(foreign.clone()));
    let refusal = hopper.check(&more).unwrap_err();
    assert_words(&refusal, NvidiaRevocation, "is about no certificate shown");
}

/// What a device needs and does not find is told first: the rest may only not have been reached.
#[test]
fn a_fault_of_a_device_is_told_before_surplus_collateral() {
    let faulty = faulty(SimulatedGpus::Hopper, DeviceFault::RimDigest);
    let other = world(SimulatedGpus::Blackwell).evidence();
    let more = with_collateral(&faulty, |ours| {
        ours.rims.push(other.device_collateral().rims[0].clone());
        ours.ocsp.push(other.device_collateral().ocsp[0].clone());
    });
    assert_failed(&faulty.check(&more).unwrap_err(), NvidiaRimDigest);
}

#[test]
fn a_spoiled_answer_or_list_is_refused_whatever_good_stands_beside_it() {
    let world = world(SimulatedGpus::Hopper);
    let spoil = |der: &mut Vec<u8>| *der.last_mut().unwrap() ^= 1;
    let lists = world.evidence().device_collateral().crls.len();
    for index in 0..lists {
        let spoiled = with_collateral(&world, |ours| spoil(&mut ours.crls[index]));
        let refusal = world.check(&spoiled).unwrap_err();
        assert_words(&refusal, NvidiaRevocation, "is not signed by");
    }
    let again = world.evidence_at(Timestamp(NOW.0 + 86_400)).device_collateral().clone();
    let doubled = with_collateral(&world, |ours| ours.ocsp.extend(again.ocsp.clone()));
    world.check(&doubled).unwrap();
    let answers = doubled.device_collateral().ocsp.len();
    for index in 0..answers {
        let spoiled = with_collateral(&world, |ours| {
            ours.ocsp.extend(again.ocsp.clone());
            spoil(&mut ours.ocsp[index]);
        });
        assert_failed(&world.check(&spoiled).unwrap_err(), NvidiaRevocation);
    }
}

#[test]
fn another_spelling_of_reference_measurements_is_refused() {
    let world = world(SimulatedGpus::Hopper);
    for (from, to) in [
        ("</SoftwareIdentity>", "</SoftwareIdentity> "),
        ("<ns0:Payload ", "<ns0:Payload\n"),
        ("\n</ds:X509Certificate>", " </ds:X509Certificate>"),
        ("</ds:SignatureValue>", "\n</ds:SignatureValue>"),
        ("<ds:KeyInfo>", "<!-- --><ds:KeyInfo>"),
    ] {
        let respelled = with_collateral(&world, |ours| {
            let text = String::from_utf8(ours.rims[0].clone()).unwrap();
            assert!(text.contains(from), "{from}");
            ours.rims[0] = text.replacen(from, to, 1).into_bytes();
        });
        let refusal = world.check(&respelled).unwrap_err();
        assert_words(&refusal, NvidiaRimDigest, "reference measurements 0 cannot be read");
    }
}

/// One bit, anywhere in a document of 0.3 MB: never attested, and refused by a check with a name.
#[test]
fn one_changed_byte_anywhere_in_a_document_of_eight_gpus_is_refused_by_name() {
    let world = world(SimulatedGpus::EightHoppers);
    let document = world.evidence().as_bytes().to_vec();
    let step = (document.len() / 120) | 1;
    let mut named = 0;
    for position in (0..document.len()).step_by(step) {
        let mut changed = document.clone();
        changed[position] ^= 1 << (position % 6);
        let Ok(evidence) = Evidence::parse(&changed) else { continue };
        match subrosa_verifier::verify(&evidence, &world.policy, &world.freshness, world.now) {
            Ok(_) => panic!("attested in spite of a changed byte at {position}"),
            Err(refusal) => {
                assert!(!refusal.failed().seen.is_empty());
                named += 1;
            }
        }
    }
    assert!(named > 20, "only {named} changes were read at all");
}

/// The same of each piece of collateral, whatever stands beside it.
#[test]
fn one_changed_bit_of_any_collateral_of_eight_gpus_is_refused_by_name() {
    const PLACES: usize = 7;
    type Pick = fn(&mut DeviceCollateral) -> &mut Vec<Vec<u8>>;
    let world = world(SimulatedGpus::EightHoppers);
    let honest = world.evidence().device_collateral().clone();
    let pieces: [Pick; 3] = [|it| &mut it.rims, |it| &mut it.ocsp, |it| &mut it.crls];
    for pick in pieces {
        for index in 0..pick(&mut honest.clone()).len() {
            let bytes = pick(&mut honest.clone())[index].len();
            for place in 0..=PLACES {
                let at = place * (bytes - 1) / PLACES;
                let changed = with_collateral(&world, |collateral| {
                    pick(collateral)[index][at] ^= 1 << ((at + index) % 8);
                });
                let refusal = world.check(&changed).unwrap_err();
                assert!(CHECKS.contains(&refusal.failed().name), "{refusal}");
            }
        }
    }
}
