//! Lists of NVIDIA's devices with their reports, as its SDK writes them: of simulated devices, and the
//! SDK's own files, which real devices made.

use proptest::prelude::*;
use serde_json::{Value, json};
use subrosa_attester::{DeviceFault, Fault, SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator};
use subrosa_protocol::encoding::{from_base64, to_base64};
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{
    CheckName, Demand, DeviceCollateral, Document, Endorsements, Gpu, Kind, Machines, Outcome,
    Policy, Releases, Report, Root, Unreadable, Verdict, examine,
};

use crate::foreign_gpus::{CHAIN, NVTRUST, REPORT, SDK, device, read};
use crate::foreign_vllm::hex;
use crate::vectors::{folder, seconds};
use crate::world::{IMAGE, NOW};

const NONCE: [u8; 32] = [0x6e; 32];

const SERIALIZED: &str = "nvidia-attestation-sdk/serialized_test_evidence";

/// All that a report about such a file lists.
const CHECKS: [CheckName; 14] = [
    NonceMatch,
    CpuIdRegistry,
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
];

/// A file, what was given beside it, and who looks at it.
struct Looked {
    list: Vec<Value>,
    endorsements: Endorsements,
    policy: Policy,
    nonce: Option<B256>,
    at: Timestamp,
}

impl Looked {
    fn report(&self) -> Report {
        let document = Document::parse(Value::from(self.list.clone()).to_string().as_bytes());
        let document = document.unwrap();
        assert_eq!(document.kind(), Kind::NvidiaDevices);
        examine(&document, &self.endorsements, self.nonce, &self.policy, self.at)
    }

    #[track_caller]
    fn accepted(&self) -> Report {
        let report = self.report();
        assert_eq!(report.verdict, Verdict::Accepted, "{}", report.sentence());
        report
    }

    #[track_caller]
    fn refused(&self, name: CheckName, words: &str) -> Report {
        let report = self.report();
        let failed = report.first_failure().unwrap_or_else(|| panic!("accepted, not {name}"));
        assert_eq!(failed.name, name, "{}", report.sentence());
        assert!(failed.seen.contains(words), "{words:?} expected: {}", report.sentence());
        report
    }

    fn with(mut self, change: impl FnOnce(&mut Looked)) -> Looked {
        change(&mut self);
        self
    }

    /// The report of a device, changed.
    fn report_bytes(&mut self, device: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let member = &mut self.list[device]["evidence"];
        let mut bytes = from_base64(member.as_str().unwrap()).unwrap();
        change(&mut bytes);
        *member = to_base64(&bytes).into();
    }
}

/// What simulated devices of a kind answer to a nonce, looked at by who sent it.
fn simulated(gpus: SimulatedGpus) -> Looked {
    answered(&Simulator::of(SimulatedKind { cpu: SimulatedCpu::Tdx, gpus }, IMAGE), NONCE)
}

fn faulty(gpus: SimulatedGpus, fault: DeviceFault) -> Looked {
    let kind = SimulatedKind { cpu: SimulatedCpu::Tdx, gpus };
    answered(&Simulator::faulty_of(kind, IMAGE, Fault::Device(fault)), NONCE)
}

fn answered(simulator: &Simulator, nonce: [u8; 32]) -> Looked {
    let answer = simulator.second_quote([0; 64], Some(nonce), NOW).unwrap();
    let entry = |device: &subrosa_verifier::Device| {
        json!({
            "arch": device.architecture.name(),
            "certificate": to_base64(device.chain.as_bytes()),
            "evidence": to_base64(&device.report),
            "nonce": hex(&nonce),
        })
    };
    let mut endorsements = Endorsements::default();
    let DeviceCollateral { rims, ocsp, crls } = &answer.device_collateral;
    for file in rims.iter().chain(ocsp).chain(crls) {
        endorsements.add(file).unwrap();
    }
    Looked {
        list: answer.devices.0.iter().map(entry).collect(),
        endorsements,
        policy: Policy::simulated(Releases::default()),
        nonce: Some(nonce.into()),
        at: NOW,
    }
}

/// A file of NVIDIA's SDK as it lies there, looked at by somebody who knows nothing beside it.
fn real(file: &str) -> Option<Looked> {
    let folder = folder()?;
    Some(Looked {
        list: serde_json::from_slice(&read(&folder, file)).unwrap(),
        endorsements: Endorsements::default(),
        policy: Policy::strict(Releases::default()),
        nonce: None,
        at: Timestamp(seconds("2026-06-01T00:00:00Z")),
    })
}

fn serialized(file: &str) -> Option<Looked> {
    real(&format!("{SERIALIZED}/{file}.json"))
}

/// No answer about revocation and no manifest of these drivers is public.
fn waived(looked: &mut Looked) {
    looked.policy.nvidia.revocation = Demand::Waived;
    looked.policy.nvidia.reference_measurements = Demand::Waived;
}

#[test]
fn simulated_devices_of_every_kind_pass_in_a_list_which_says_nothing_of_a_machine() {
    use SimulatedGpus::{Blackwell, EightBlackwells, EightHoppers, Hopper};
    for gpus in [Blackwell, EightBlackwells, EightHoppers, Hopper] {
        let report = simulated(gpus).accepted();
        assert_eq!(
            report.sentence(),
            "SIMULATED, which proves nothing about hardware: accepted: genuine NVIDIA devices, \
             answering the nonce, which run published drivers and firmware; says nothing about the \
             machine that they are in, keys or models"
        );
        assert!(report.checks.iter().map(|check| check.name).eq(CHECKS));
        for check in &report.checks {
            let expected = match (gpus, check.name) {
                // Switches do not name their firmware; the GPUs beside them do.
                (EightHoppers, NvidiaFirmwareId) => Outcome::Waived,
                (_, CpuIdRegistry) => Outcome::Waived,
                _ => Outcome::Passed,
            };
            assert_eq!(check.outcome, expected, "{gpus:?}: {check:?}");
        }
    }
}

#[test]
fn every_fault_of_a_simulated_device_in_a_list_is_refused_by_its_check() {
    use SimulatedGpus::{EightBlackwells, EightHoppers, Hopper};
    for (gpus, fault, name) in [
        (Hopper, DeviceFault::OtherNonce, NonceMatch),
        (Hopper, DeviceFault::ReportSignature, NvidiaSignature),
        (EightBlackwells, DeviceFault::ReportSignature, NvidiaSignature),
        (Hopper, DeviceFault::CertificateMissing, NvidiaCertChain),
        (Hopper, DeviceFault::ChainBroken, NvidiaCertChain),
        (Hopper, DeviceFault::OtherDeviceRoot, NvidiaCertChain),
        (EightHoppers, DeviceFault::OtherDeviceRoot, NvidiaCertChain),
        (Hopper, DeviceFault::FwidMissing, NvidiaFirmwareId),
        (Hopper, DeviceFault::FwidMismatch, NvidiaFirmwareId),
        (EightBlackwells, DeviceFault::FwidOtherExtension, NvidiaFirmwareId),
        (Hopper, DeviceFault::CertificateHold, NvidiaRevocation),
        (EightHoppers, DeviceFault::Revoked, NvidiaRevocation),
        (Hopper, DeviceFault::CrlRevoked, NvidiaRevocation),
        (Hopper, DeviceFault::OcspExpired, NvidiaRevocation),
        (Hopper, DeviceFault::OcspMissing, NvidiaRevocation),
        (Hopper, DeviceFault::OcspOtherResponder, NvidiaRevocation),
        (Hopper, DeviceFault::OcspSignature, NvidiaRevocation),
        (Hopper, DeviceFault::OcspUnknown, NvidiaRevocation),
        (Hopper, DeviceFault::RimSignerRevoked, NvidiaRevocation),
        (Hopper, DeviceFault::OtherRimRoot, NvidiaRimChain),
        (Hopper, DeviceFault::RimExpired, NvidiaRimChain),
        (Hopper, DeviceFault::RimDigest, NvidiaRimDigest),
        (Hopper, DeviceFault::RimSignature, NvidiaRimSignature),
        (Hopper, DeviceFault::RimMissing, NvidiaMeasurements),
        (Hopper, DeviceFault::RimOfOtherDevice, NvidiaMeasurements),
        (Hopper, DeviceFault::RimsOverlap, NvidiaMeasurements),
        (EightHoppers, DeviceFault::MeasurementMismatch { index: 9 }, NvidiaMeasurements),
        (Hopper, DeviceFault::MissingBlock { index: 9 }, NvidiaMeasurements),
        (EightBlackwells, DeviceFault::DuplicateDevice, NvidiaDistinctDevices),
        (EightHoppers, DeviceFault::DuplicateDevice, NvidiaDistinctDevices),
        (EightHoppers, DeviceFault::PpcieMixed, NvswitchBinding),
        (EightHoppers, DeviceFault::SwitchMissing, NvswitchBinding),
    ] {
        let report = faulty(gpus, fault).refused(name, "");
        assert_eq!(report.verdict, Verdict::Refused, "{gpus:?}, {fault:?}");
    }
}

#[test]
fn devices_in_a_list_answer_exactly_the_nonce_that_was_sent() {
    let mut looked = simulated(SimulatedGpus::Hopper);
    for (nonce, words) in [
        (B256::ZERO, "a nonce of zero asks for nothing"),
        (B256::repeat_byte(0x6f), "device 0 answers 6e6e"),
    ] {
        looked.nonce = Some(nonce);
        let report = looked.refused(NonceMatch, words);
        assert_eq!(report.outcome(NvidiaNonce), Outcome::Failed);
    }
    // Whose signature is not known to be good answered nothing.
    let unsigned = faulty(SimulatedGpus::Hopper, DeviceFault::ReportSignature);
    let report = unsigned.refused(NvidiaSignature, "is not signed by");
    assert_eq!(report.outcome(NonceMatch), Outcome::Absent);
}

#[test]
fn without_a_nonce_devices_in_a_list_answer_one_and_nothing_is_said_of_its_age() {
    let mut looked = simulated(SimulatedGpus::EightHoppers);
    looked.nonce = None;
    let report = looked.accepted();
    let check = report.check(NonceMatch).unwrap();
    assert_eq!(check.outcome, Outcome::Absent);
    assert!(check.seen.starts_with("no nonce was given; the first report answers 6e6e"));
    assert!(!report.sentence().contains("nonce"), "{}", report.sentence());

    looked.policy.absent.nvidia_devices.clear();
    looked.refused(NonceMatch, "no nonce was given");
}

#[test]
fn devices_in_a_list_that_answer_two_nonces_are_refused() {
    let kind = SimulatedKind { cpu: SimulatedCpu::Tdx, gpus: SimulatedGpus::EightBlackwells };
    let simulator = Simulator::of(kind, IMAGE);
    let other = answered(&simulator, [0x6f; 32]);
    for replaced in [0, 3, 7] {
        let mut looked = answered(&simulator, NONCE);
        looked.list[replaced] = other.list[replaced].clone();
        looked.refused(NonceMatch, &format!("device {replaced} answers 6f6f"));
        looked.nonce = None;
        let first = if replaced == 0 { 1 } else { replaced };
        looked.refused(NvidiaNonce, &format!("device {first}: the report answers nonce"));
    }
}

#[test]
fn the_nonce_that_a_list_of_devices_repeats_counts_for_nothing_and_must_not_differ() {
    let mut looked = simulated(SimulatedGpus::Hopper);
    looked.list[0].as_object_mut().unwrap().remove("nonce");
    looked.accepted();
    for nonce in [None, Some(NONCE.into())] {
        looked.nonce = nonce;
        looked.list[0]["nonce"] = hex(&[0x6f; 32]).into();
        looked.refused(NvidiaNonce, "device 0: the file says nonce 6f6f");
    }
    looked.nonce = Some([0x6f; 32].into());
    looked.refused(NonceMatch, "device 0 answers 6e6e");
}

#[test]
fn a_byte_behind_a_report_in_a_list_is_tolerated_once() {
    let longer = |tail: &[u8]| {
        let looked = simulated(SimulatedGpus::Hopper);
        looked.with(|looked| looked.report_bytes(0, |bytes| bytes.extend(tail)))
    };
    longer(b"\x2a").accepted();
    longer(b"\x2a\x2a").refused(NvidiaPayloadPresent, "device 0");
}

#[test]
fn a_list_without_what_policy_demands_is_refused() {
    type Change = fn(&mut Looked);
    let cases: [(Change, CheckName, &str); 7] = [
        (|looked| looked.endorsements = Endorsements::default(), NvidiaRevocation, "no revocation"),
        (
            |looked| {
                looked.endorsements = Endorsements::default();
                looked.policy.nvidia.revocation = Demand::Waived;
            },
            NvidiaMeasurements,
            "no reference measurements",
        ),
        (|looked| looked.policy = Policy::strict(Releases::default()), NvidiaCertChain, "device 0"),
        (|looked| looked.policy.roots.nvidia_device = Root::Vendor, NvidiaCertChain, "device 0"),
        (|looked| looked.policy.roots.nvidia_rim = Root::Vendor, NvidiaRimChain, "device 0"),
        // A policy that contradicts itself accepts nothing.
        (
            |looked| {
                looked.policy = Policy::strict(Releases::default());
                looked.policy.roots.nvidia_device = Root::Simulator;
            },
            NvidiaCertChain,
            "root",
        ),
        (|looked| looked.list.truncate(1), NvswitchBinding, "there is no GPU"),
    ];
    for (change, name, words) in cases {
        let mut looked = simulated(SimulatedGpus::EightHoppers);
        looked.list.reverse();
        looked.with(change).refused(name, words);
    }
    let mut demanding = simulated(SimulatedGpus::Blackwell);
    demanding.policy.gpu = Gpu::Required;
    demanding.accepted();
}

#[test]
fn certificates_and_kinds_that_were_swapped_in_a_list_are_refused() {
    let eight = || simulated(SimulatedGpus::EightHoppers);
    let swap = |looked: &mut Looked, member: &str| {
        looked.list[11][member] = looked.list[0][member].clone();
    };
    eight().with(|looked| swap(looked, "certificate")).refused(NvidiaSignature, "device 11");
    eight().with(|looked| swap(looked, "arch")).refused(NvidiaCertChain, "device 11");
    let double = eight().with(|looked| looked.list[7] = looked.list[0].clone());
    double.refused(NvidiaDistinctDevices, "devices 0 and 7");
    let fewer = eight().with(|looked| {
        looked.list.pop();
    });
    fewer.refused(NvswitchBinding, "those shown are");
}

#[test]
fn one_changed_byte_anywhere_in_a_listed_report_is_refused() {
    let length = {
        let mut length = 0;
        simulated(SimulatedGpus::Hopper).report_bytes(0, |bytes| length = bytes.len());
        length
    };
    for at in (0..length).step_by(97).chain([4, 35, length - 1]) {
        let looked = simulated(SimulatedGpus::Hopper)
            .with(|looked| looked.report_bytes(0, |bytes| bytes[at] ^= 1));
        assert_eq!(looked.report().verdict, Verdict::Refused, "byte {at} of {length}");
    }
}

#[test]
fn a_list_is_devices_tokens_or_unreadable_and_no_error_leaves_the_member_unnamed() {
    for text in [
        "[]",
        "[1]",
        "[[]]",
        "[{}]",
        "[null]",
        "[[1,\"t\"],{}]",
        "[[\"jwt\",\"t\"],{}]",
        "[\"JWT\",\"t\"]",
        "[{\"evidence\":\"\"}]",
        "[{\"certificate\":\"\"}]",
        "[{\"evidence\":\"\",\"certificate\":\"\"},1]",
        "[{\"evidence\":\"\",\"certificate\":\"\"},{\"evidence\":\"\"}]",
        "[[\"CWT\",\"t\"],{\"evidence\":\"\",\"certificate\":\"\"}]",
    ] {
        assert_eq!(Document::parse(text.as_bytes()), Err(Unreadable::UnknownDocument), "{text}");
    }
    let token = Document::parse(b"[[\"JWT\",\"t\"],3]").unwrap_err().to_string();
    assert!(token.starts_with("evidence member tokens is not a list of a JWT"), "{token}");
}

#[test]
fn a_listed_device_that_cannot_be_read_is_named_by_its_member() {
    let member = |name: &str| format!("devices.1.{name}");
    let cases: [(&str, Value, Unreadable); 11] = [
        ("arch", Value::Null, Unreadable::UnknownDevice),
        ("arch", "AMPERE".into(), Unreadable::UnknownDevice),
        ("arch", 1.into(), Unreadable::WrongType { member: member("arch"), expected: "text" }),
        ("evidence", Value::Null, Unreadable::MissingMember { member: member("evidence") }),
        ("evidence", "A".into(), Unreadable::NotBase64 { member: member("evidence") }),
        (
            "evidence",
            to_base64(&[0; 16_385]).into(),
            Unreadable::MemberTooLong { member: member("evidence"), got: 16_385, max: 16_384 },
        ),
        ("certificate", "?".into(), Unreadable::NotBase64 { member: member("certificate") }),
        (
            "certificate",
            to_base64(&[0xff; 3]).into(),
            Unreadable::NotPem { member: member("certificate") },
        ),
        (
            "certificate",
            to_base64(&[b'-'; 16_385]).into(),
            Unreadable::MemberTooLong { member: member("certificate"), got: 16_385, max: 16_384 },
        ),
        ("nonce", "6e".into(), Unreadable::NotHex { member: member("nonce") }),
        ("nonce", hex(&[0; 33]).into(), {
            let (got, max) = (33, 32);
            Unreadable::MemberTooLong { member: member("nonce"), got, max }
        }),
    ];
    let list = simulated(SimulatedGpus::EightBlackwells).list;
    for (name, value, expected) in cases {
        let mut list = list.clone();
        list[1][name] = value;
        let text = Value::from(list).to_string();
        assert_eq!(Document::parse(text.as_bytes()), Err(expected), "{name}");
    }
    let many = Value::from(vec![list[0].clone(); 25]).to_string();
    let too_long = Unreadable::ListTooLong { member: "devices".into(), got: 25, max: 24 };
    assert_eq!(Document::parse(many.as_bytes()), Err(too_long));
    let one = list[0].to_string();
    for name in ["arch", "certificate", "evidence", "nonce"] {
        let twice = format!("[{}]", one.replacen('{', &format!("{{\"{name}\":\"\","), 1));
        let duplicate = Unreadable::DuplicateMember { member: format!("devices.0.{name}") };
        assert_eq!(Document::parse(twice.as_bytes()), Err(duplicate));
    }
}

#[test]
fn files_of_nvidias_sdk_are_devices_of_which_a_strict_policy_wants_word_of_revocation() {
    for file in [
        "serialized_test_evidence/hopper_evidence",
        "serialized_test_evidence/hopper_evidence_cert_hold",
        "serialized_test_evidence/multi_gpu_hopper",
        "serialized_test_evidence/multi_switch_ls10",
        "serialized_test_evidence/switch_evidence_ls10",
        "unit-tests/evidence_hopper_590_12",
    ] {
        let Some(looked) = real(&format!("nvidia-attestation-sdk/{file}.json")) else { return };
        let report = looked.refused(NvidiaRevocation, "no revocation answer");
        for name in [NvidiaNonce, NvidiaSignature, NvidiaCertChain] {
            assert_eq!(report.outcome(name), Outcome::Passed, "{file}: {name}");
        }
    }
}

#[test]
fn a_genuine_gpu_passes_where_policy_waives_what_no_file_shows_and_its_sentence_says_so() {
    let cert_hold = serialized("hopper_evidence_cert_hold");
    let Some(looked) = cert_hold else { return };
    let looked = looked.with(waived);
    let report = looked.accepted();
    assert_eq!(
        report.sentence(),
        "accepted: genuine NVIDIA devices, whose drivers and firmware were not all held against what \
         NVIDIA publishes, if NVIDIA has not revoked them; says nothing about the machine that they \
         are in, keys or models"
    );
    assert_eq!(report.outcome(NvidiaFirmwareId), Outcome::Passed);
    let mut asked = serialized("hopper_evidence").unwrap().with(waived);
    asked.nonce = Some(nonce("e97b23a1718095a0e9e35edca810768c70a6a5a389b705e753b197912bc11576"));
    assert_eq!(asked.accepted().outcome(NonceMatch), Outcome::Passed);
    asked.nonce = Some(nonce("931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb"));
    asked.refused(NonceMatch, "device 0 answers e97b23a1");
}

fn nonce(digits: &str) -> B256 {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..64).step_by(2).map(byte).collect();
    B256::try_from(bytes.as_slice()).unwrap()
}

#[test]
fn one_genuine_switch_four_times_is_refused_and_four_genuine_gpus_are_four() {
    let Some(switches) = serialized("multi_switch_ls10") else { return };
    switches.with(waived).refused(NvidiaDistinctDevices, "devices 0 and 1 have the same");

    let gpus = serialized("multi_gpu_hopper").unwrap().with(waived);
    // Their links cross four switches that the file does not show.
    let report = gpus.refused(NvswitchBinding, "device 0 is linked to switches");
    assert_eq!(report.check(NvidiaDistinctDevices).unwrap().seen, "4 devices");
}

#[test]
fn a_genuine_switch_alone_has_all_its_measurements_but_is_no_gpu() {
    let Some(switch) = serialized("switch_evidence_ls10") else { return };
    let mut switch = switch.with(waived);
    let rim = format!("{SDK}/switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml");
    switch.endorsements.add(&read(&folder().unwrap(), &rim)).unwrap();
    switch.policy.nvidia.reference_measurements = Demand::Required;
    let report = switch.refused(NvswitchBinding, "no GPU");
    let seen = &report.check(NvidiaMeasurements).unwrap().seen;
    assert!(seen.contains("31 of 31 equal"), "{seen}");
}

#[test]
fn the_complete_set_of_a_gpu_in_a_list_passes_between_its_signers_dates_alone() {
    let Some(folder) = folder() else { return };
    let at = |time: &str| {
        let mut endorsements = Endorsements::default();
        NVTRUST.iter().for_each(|rim| endorsements.add(&read(&folder, rim)).unwrap());
        let mut policy = Policy::strict(Releases::default());
        // No answer about revocation is public, and old firmware has no identity.
        policy.nvidia.revocation = Demand::Waived;
        policy.nvidia.firmware_id = Demand::Waived;
        let list = vec![device(&folder, "HOPPER", REPORT, CHAIN)];
        Looked { list, endorsements, policy, nonce: None, at: Timestamp(seconds(time)) }
    };
    let report = at("2024-06-01T00:00:00Z").accepted();
    assert!(report.sentence().contains("which run published drivers and firmware, if NVIDIA has"));
    for time in ["2023-06-27T06:10:11Z", "2025-06-22T09:38:55Z", "2026-11-28T00:00:00Z"] {
        at(time).refused(NvidiaRimChain, "valid");
    }
    let broken = at("2024-06-01T00:00:00Z").with(|looked| {
        looked.list = vec![device(&folder, "HOPPER", REPORT, "go-nvtrust/invalidCertChain.txt")];
    });
    broken.refused(NvidiaCertChain, "device 0");
    let other = at("2024-06-01T00:00:00Z").with(|looked| {
        let prod = "nvidia-nvtrust/rims/1010_0200_882_96005E0001_PROD.swidtag";
        looked.endorsements = Endorsements::default();
        for rim in [NVTRUST[0], prod] {
            looked.endorsements.add(&read(&folder, rim)).unwrap();
        }
    });
    other.refused(NvidiaMeasurements, "[1, 2, 3, 9]");
}

proptest! {
    #[test]
    fn any_listed_devices_are_refused_or_unreadable_without_a_panic(
        report in proptest::collection::vec(any::<u8>(), 0..300),
        chain in proptest::collection::vec(any::<u8>(), 0..300),
        arch in "HOPPER|blackwell|LS10|[A-Z]{0,6}",
        nonce in "[0-9a-f]{64}|[0-9a-f]{0,70}",
        tail in "\\PC{0,40}",
        starts_as_a_report in any::<bool>(),
    ) {
        let report = match starts_as_a_report {
            true => [&[0x11, 0xe0, 0x01, 0xff], report.as_slice()].concat(),
            false => report,
        };
        let list = json!([{
            "arch": arch,
            "certificate": to_base64(&chain),
            "evidence": to_base64(&report),
            "nonce": nonce,
            "other": tail.clone(),
        }]);
        for text in [list.to_string(), format!("[{tail}"), format!("{list}{tail}")] {
            if let Ok(document) = Document::parse(text.as_bytes()) {
                let policy = Policy::simulated(Releases::default());
                let report = examine(&document, &Endorsements::default(), None, &policy, NOW);
                prop_assert_eq!(report.verdict, Verdict::Refused);
            }
        }
    }
}

#[test]
fn a_policy_that_lists_machines_refuses_devices_of_which_nobody_says_where_they_are() {
    let listed = Machines::Listed(vec!["00".repeat(16)]);
    let looked = simulated(SimulatedGpus::Hopper).with(|looked| looked.policy.machines = listed);
    looked.refused(CpuIdRegistry, "name no machine");
}
