//! Simulated hardware: honest nodes pass every check, and each fault is found by the check that is
//! for it, and by no other.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use subrosa_nvidia_evidence::simulator::{
    DEVICE_ROOT_SHA256, Fault, Node, RIM_ROOT_SHA256, device_root_der, rim_root_der,
};
use subrosa_nvidia_evidence::{
    Appraisal, Architecture, CheckName, NodeCheckName, Outcome, Policy, Report, RimKind, Trailing,
};

mod support;

use support::{AT, NONCE, World, simulated};

const DRIVER: Option<RimKind> = Some(RimKind::Driver);
const VBIOS: Option<RimKind> = Some(RimKind::Vbios);

/// The checks that refuse a device; not those that could not be made because of them.
fn refusals(appraisal: &Appraisal) -> Vec<(CheckName, Option<RimKind>)> {
    let refused = appraisal.checks().iter().filter(|check| check.outcome.refusal().is_some());
    refused.map(|check| (check.name, check.rim)).collect()
}

/// What the first device of a faulty node is refused for; nothing else of it or of the node is.
#[track_caller]
fn refused_at(node: Node, expected: &[(CheckName, Option<RimKind>)]) {
    let world = World::of(&node);
    let appraisal = world.appraise(&simulated());
    let (first, others) = appraisal.devices().split_first().expect("a node has devices");
    assert_eq!(refusals(first), expected, "{node:?}");
    assert!(others.iter().all(|device| refusals(device).is_empty()), "{node:?}");
    assert!(appraisal.checks().iter().all(|check| check.outcome.is_ok()), "{node:?}");
    assert!(!appraisal.is_accepted());
}

fn gpus() -> [fn() -> Node; 2] {
    [|| Node::hopper(1), || Node::blackwell(1)]
}

#[test]
fn roots_are_those_that_verifiers_know() {
    let fingerprint = |der: Vec<u8>| <[u8; 32]>::from(Sha256::digest(der));
    assert_eq!(fingerprint(device_root_der()), DEVICE_ROOT_SHA256);
    assert_eq!(fingerprint(rim_root_der()), RIM_ROOT_SHA256);
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let (one, two) = (Node::hopper(2), Node::hopper(2));
    assert_eq!(one.evidence(&NONCE), two.evidence(&NONCE));
    assert_eq!(one.evidence(&NONCE), one.evidence(&NONCE));
    assert_eq!(one.collateral(AT), two.collateral(AT));
}

#[test]
fn collateral_changes_at_the_end_of_a_day() {
    let (node, midnight) = (Node::hopper(1), AT - AT % 86_400 + 86_400);
    assert_eq!(node.collateral(AT), node.collateral(midnight - 1));
    assert_ne!(node.collateral(AT).ocsp, node.collateral(midnight).ocsp);
    assert_eq!(node.collateral(AT).rims, node.collateral(midnight).rims);
}

#[test]
fn works_at_both_ends_of_time() {
    for at in [0, u64::MAX] {
        assert_eq!(Node::hopper(1).collateral(at).ocsp.len(), 6);
    }
}

#[test]
fn the_fault_of_another_nonce_answers_another_one_whatever_was_asked() {
    for first in [0, 1, 0x80, 0xFE, 0xFF] {
        let nonce = [first; 32];
        let faulty = Node::hopper(1).faulty(Fault::OtherNonce).evidence(&nonce).remove(0).report;
        let answered = Report::parse(&faulty, Trailing::Refuse).unwrap();
        assert_ne!(*answered.request_nonce(), nonce, "{first:#04x}");
    }
}

#[test]
fn nodes_of_different_names_share_no_device() {
    let leaves = |node: Node| -> BTreeSet<String> {
        let leaf = |chain: String| chain.split("-----END").next().unwrap_or_default().to_owned();
        node.evidence(&NONCE).into_iter().map(|device| leaf(device.chain_pem)).collect()
    };
    let (one, two) = (leaves(Node::hopper(2).named("a")), leaves(Node::hopper(2).named("b")));
    assert_eq!((one.len(), two.len()), (6, 6));
    assert!(one.is_disjoint(&two));
}

#[test]
fn reports_have_the_sizes_of_real_ones() {
    // Of the same versions' lengths: 4130 bytes on Hopper, 148 more behind switches, 4140 on
    // Blackwell, and 2168 for a switch.
    let sizes = |node: Node| -> Vec<usize> {
        node.evidence(&NONCE).iter().map(|device| device.report.len()).collect()
    };
    assert_eq!(sizes(Node::hopper(2))[..3], [4278, 4278, 2168]);
    assert_eq!(sizes(Node::hopper(1)), [4130]);
    assert_eq!(sizes(Node::blackwell(1)), [4140]);
}

#[test]
fn an_honest_gpu_passes_every_check() {
    for gpu in gpus() {
        let world = World::of(&gpu());
        let appraisal = world.appraise(&simulated());
        assert!(appraisal.is_accepted(), "{appraisal:#?}");
        let checks = appraisal.devices()[0].checks();
        assert!(checks.iter().all(|check| matches!(check.outcome, Outcome::Passed(_))));
        assert_eq!(checks.iter().map(|check| check.name).collect::<BTreeSet<_>>().len(), 15);
    }
}

#[test]
fn every_active_measurement_is_compared() {
    let equal = |node: Node| -> Vec<(usize, usize)> {
        let appraisal = World::of(&node).appraise(&simulated());
        let comparisons = appraisal.devices()[0].comparisons();
        comparisons.iter().map(|found| (found.equal, found.skipped.len())).collect()
    };
    assert_eq!(equal(Node::hopper(1)), [(20, 1), (12, 0)]);
    assert_eq!(equal(Node::blackwell(1)), [(21, 0), (20, 0)]);
}

#[test]
fn eight_blackwell_gpus_pass() {
    assert!(World::of(&Node::blackwell(8)).appraise(&simulated()).is_accepted());
}

#[test]
fn eight_hopper_gpus_with_their_switches_pass() {
    let appraisal = World::of(&Node::hopper(8)).appraise(&simulated());
    assert!(appraisal.is_accepted(), "{:?}", appraisal.checks());
    assert_eq!(appraisal.devices().len(), 12);
    assert_eq!(appraisal.devices()[11].comparisons()[0].equal, 31);
    // No switch names its firmware.
    let firmware = |device: usize| appraisal.devices()[device].outcome(CheckName::Fwid, None);
    assert!(matches!(firmware(7), Some(Outcome::Passed(_))));
    assert!(matches!(firmware(8), Some(Outcome::Waived(_))));
}

#[test]
fn nobody_accepts_simulated_hardware_for_nvidias() {
    let world = World::of(&Node::hopper(1));
    let appraisal = world.appraise(&Policy::strict());
    let expected = [(CheckName::DeviceChain, None), (CheckName::RimChain, DRIVER)];
    assert_eq!(refusals(&appraisal.devices()[0])[..2], expected);
    assert!(!appraisal.is_accepted());
}

#[test]
fn each_of_the_two_roots_counts_by_itself() {
    let (real, simulated) = (Policy::strict(), simulated());
    let world = World::of(&Node::hopper(1));
    let devices = world.appraise(&Policy { rim_root: real.rim_root, ..simulated.clone() });
    let expected = [(CheckName::RimChain, DRIVER), (CheckName::RimChain, VBIOS)];
    assert_eq!(refusals(&devices.devices()[0]), expected);
    let rims = world.appraise(&Policy { device_root: real.device_root, ..simulated });
    assert_eq!(refusals(&rims.devices()[0]), [(CheckName::DeviceChain, None)]);
}

#[test]
fn evidence_for_another_nonce_is_refused() {
    let mut world = World::of(&Node::hopper(1));
    world.nonce[31] ^= 1;
    let appraisal = world.appraise(&simulated());
    assert_eq!(refusals(&appraisal.devices()[0]), [(CheckName::NonceMatch, None)]);
}

#[test]
fn faults_of_a_report_are_found() {
    for gpu in gpus() {
        refused_at(gpu().faulty(Fault::OtherNonce), &[(CheckName::NonceMatch, None)]);
        refused_at(gpu().faulty(Fault::ReportSignature), &[(CheckName::ReportSignature, None)]);
        refused_at(gpu().faulty(Fault::FwidMismatch), &[(CheckName::Fwid, None)]);
        refused_at(gpu().faulty(Fault::FwidMissing), &[(CheckName::Fwid, None)]);
    }
}

#[test]
fn a_byte_behind_a_report_is_refused_unless_policy_tolerates_one() {
    let world = World::of(&Node::hopper(1).faulty(Fault::TrailingByte));
    let strict = world.appraise(&simulated());
    assert_eq!(refusals(&strict.devices()[0]), [(CheckName::ReportStructure, None)]);
    let tolerant = Policy { trailing: Trailing::TolerateOne, ..simulated() };
    assert!(world.appraise(&tolerant).is_accepted());
}

#[test]
fn a_gpu_that_passes_for_one_of_another_family_is_found() {
    for (gpu, claimed) in gpus().into_iter().zip([Architecture::Blackwell, Architecture::Hopper]) {
        let mut world = World::of(&gpu());
        world.devices[0].0 = claimed;
        let appraisal = world.appraise(&simulated());
        let refusals = refusals(&appraisal.devices()[0]);
        assert_eq!(refusals[0], (CheckName::Architecture, None));
        assert!(refusals.contains(&(CheckName::Fwid, None)));
    }
}

#[test]
fn faults_of_a_chain_are_found() {
    for gpu in gpus() {
        refused_at(gpu().faulty(Fault::ChainBroken), &[(CheckName::DeviceChain, None)]);
        refused_at(gpu().faulty(Fault::CertificateMissing), &[(CheckName::DeviceChain, None)]);
        refused_at(gpu().faulty(Fault::FwidExtensionMissing), &[(CheckName::Fwid, None)]);
        refused_at(gpu().faulty(Fault::FwidOtherExtension), &[(CheckName::Fwid, None)]);
        refused_at(gpu().faulty(Fault::OtherDeviceRoot), &[(CheckName::DeviceChain, None)]);
    }
}

#[test]
fn faults_of_revocation_answers_are_found() {
    let faults = [
        Fault::CertificateHold,
        Fault::CrlRevoked,
        Fault::OcspExpired,
        Fault::OcspMissing,
        Fault::OcspOtherResponder,
        Fault::OcspSignature,
        Fault::OcspUnknown,
        Fault::Revoked,
    ];
    for fault in faults {
        refused_at(Node::hopper(1).faulty(fault), &[(CheckName::DeviceRevocation, None)]);
    }
}

#[test]
fn a_suspended_certificate_of_one_gpu_leaves_the_others_good() {
    let node = Node::blackwell(3).faulty(Fault::CertificateHold);
    refused_at(node, &[(CheckName::DeviceRevocation, None)]);
}

#[test]
fn faults_of_a_manifest_are_found() {
    for gpu in gpus() {
        refused_at(gpu().faulty(Fault::RimDigest), &[(CheckName::RimDigest, DRIVER)]);
        refused_at(gpu().faulty(Fault::RimSignature), &[(CheckName::RimSignature, DRIVER)]);
        refused_at(gpu().faulty(Fault::RimMissing), &[(CheckName::RimPresent, DRIVER)]);
        refused_at(gpu().faulty(Fault::RimOfOtherDevice), &[(CheckName::RimIdentity, DRIVER)]);
        refused_at(gpu().faulty(Fault::RimsOverlap), &[(CheckName::MeasurementsDisjoint, None)]);
    }
}

#[test]
fn faults_of_a_manifests_signer_are_found() {
    let both = |name| [(name, DRIVER), (name, VBIOS)];
    refused_at(Node::hopper(1).faulty(Fault::RimExpired), &both(CheckName::RimChain));
    refused_at(Node::hopper(1).faulty(Fault::OtherRimRoot), &both(CheckName::RimChain));
    let revoked = Node::hopper(1).faulty(Fault::RimSignerRevoked);
    refused_at(revoked, &both(CheckName::RimRevocation));
}

#[test]
fn every_wrong_measurement_that_counts_is_found() {
    for (gpu, skipped) in [(gpus()[0], Some(35)), (gpus()[1], None)] {
        for index in [0, 7, 9, 12, 13, 14, 20, 21, 35, 36, 40, 41, 63] {
            let world = World::of(&gpu().faulty(Fault::MeasurementMismatch { index }));
            let appraisal = world.appraise(&simulated());
            let hopper = skipped.is_some();
            let driver = match hopper {
                true => index == 7 || (21..=40).contains(&index),
                false => (21..=41).contains(&index),
            };
            let firmware = match hopper {
                true => index <= 12 && index != 7,
                false => index <= 20 && index != 14,
            };
            let kind = if driver { DRIVER } else { VBIOS };
            let counts = (driver || firmware) && Some(index) != skipped;
            let expected = if counts { vec![(CheckName::Measurements, kind)] } else { vec![] };
            assert_eq!(refusals(&appraisal.devices()[0]), expected, "{index}");
            assert_eq!(appraisal.is_accepted(), !counts);
        }
    }
}

#[test]
fn a_missing_block_is_found_where_it_counts() {
    for (index, kind) in [(0, VBIOS), (7, DRIVER), (12, VBIOS), (40, DRIVER)] {
        let node = Node::hopper(1).faulty(Fault::MissingBlock { index });
        refused_at(node, &[(CheckName::Measurements, kind)]);
    }
    let unused = World::of(&Node::hopper(1).faulty(Fault::MissingBlock { index: 63 }));
    assert!(unused.appraise(&simulated()).is_accepted());
}

/// What a node is refused for, where each of its devices is good.
#[track_caller]
fn node_refused_at(node: Node, expected: NodeCheckName) {
    let world = World::of(&node);
    let appraisal = world.appraise(&simulated());
    assert!(appraisal.devices().iter().all(|device| refusals(device).is_empty()), "{node:?}");
    let refused = appraisal.checks().iter().filter(|check| check.outcome.is_err());
    assert_eq!(refused.map(|check| check.name).collect::<Vec<_>>(), [expected], "{node:?}");
}

#[test]
fn a_device_shown_twice_is_found() {
    let node = Node::blackwell(8).faulty(Fault::DuplicateDevice);
    node_refused_at(node, NodeCheckName::DevicesDistinct);
    let node = Node::blackwell(2).faulty(Fault::DuplicateDevice);
    node_refused_at(node, NodeCheckName::DevicesDistinct);
}

/// What a report says is nobody's word where nobody signed it.
#[test]
fn nothing_of_an_unsigned_report_passes() {
    for node in [Node::hopper(1), Node::blackwell(1)] {
        let appraisal = World::of(&node.faulty(Fault::ReportSignature)).appraise(&simulated());
        let device = &appraisal.devices()[0];
        let unsigned = Some(&Outcome::Absent(CheckName::ReportSignature));
        assert_eq!(device.outcome(CheckName::NonceMatch, None), unsigned);
        assert_eq!(device.outcome(CheckName::Fwid, None), unsigned);
        for kind in [DRIVER, VBIOS] {
            assert_eq!(device.outcome(CheckName::Measurements, kind), unsigned);
        }
        assert!(device.comparisons().is_empty());
    }
}

#[test]
fn an_unprotected_gpu_among_protected_ones_is_found() {
    let node = Node::hopper(8).faulty(Fault::PpcieMixed);
    node_refused_at(node, NodeCheckName::ProtectedPcie);
}

#[test]
fn a_missing_switch_is_found() {
    let node = Node::hopper(8).faulty(Fault::SwitchMissing);
    node_refused_at(node, NodeCheckName::SwitchesPresent);
}

#[test]
fn a_switch_of_another_node_is_found() {
    let node = Node::hopper(8).faulty(Fault::SwitchOfOtherNode);
    node_refused_at(node, NodeCheckName::SwitchesPresent);
}

#[test]
fn switches_alone_are_no_node() {
    let world = World::of(&Node::switches(4));
    let appraisal = world.appraise(&simulated());
    assert!(appraisal.devices().iter().all(|device| device.is_accepted()));
    assert!(appraisal.outcome(NodeCheckName::OneArchitecture).is_some_and(Result::is_err));
    assert!(!appraisal.is_accepted());
}
