//! Several devices at once.

use subrosa_nvidia_evidence::{
    CheckName, Collateral, NodeCheckName, NodeRefusal, RimStore, appraise_node,
};

use crate::files::*;

fn appraise(devices: &[(Device, [u8; 32])]) -> subrosa_nvidia_evidence::NodeAppraisal {
    let rims = RimStore::new();
    let collateral = Collateral { rims: &rims, ocsp: &[], crls: &[] };
    let evidence: Vec<_> = devices.iter().map(|(device, _)| device.evidence()).collect();
    appraise_node(&evidence, &collateral, &devices[0].1, &without_rims(), JUNE_2024)
}

#[test]
fn refuses_one_switch_shown_four_times() {
    let Some(vectors) = vectors() else { return };
    let node = appraise(&vectors.serialized("multi_switch_ls10.json"));
    assert_eq!(node.devices().len(), 4);
    assert!(node.devices().iter().all(|it| it.is_accepted()), "each by itself is genuine");
    let distinct = node.outcome(NodeCheckName::DevicesDistinct).unwrap();
    let Err(NodeRefusal::Duplicate { first: 0, second: 1, what, .. }) = distinct else {
        panic!("{distinct:?}")
    };
    assert_eq!(*what, "serial number of the leaf");
    assert!(!node.is_accepted());
}

/// Each is genuine and none stands twice. Their links cross four switches that they do not show.
#[test]
fn four_distinct_gpus_are_no_machine_without_their_switches() {
    let Some(vectors) = vectors() else { return };
    let node = appraise(&vectors.serialized("multi_gpu_hopper.json"));
    assert_eq!(node.devices().len(), 4);
    assert!(node.devices().iter().all(|it| it.is_accepted()), "each by itself is genuine");
    let distinct = node.outcome(NodeCheckName::DevicesDistinct).unwrap();
    assert_eq!(distinct.as_deref(), Ok("4 devices"));
    assert!(!node.is_accepted());
    let switches = node.outcome(NodeCheckName::SwitchesPresent).unwrap();
    let Err(NodeRefusal::OtherSwitches { device: 0, linked, shown }) = switches else {
        panic!("{switches:?}")
    };
    assert_eq!((linked.len(), shown.len()), (4, 0));
    let protected = node.outcome(NodeCheckName::ProtectedPcie).unwrap();
    assert_eq!(protected.as_deref(), Ok("on"));
}

#[test]
fn refuses_a_gpu_shown_twice_among_others() {
    let Some(vectors) = vectors() else { return };
    let mut devices = vectors.serialized("multi_gpu_hopper.json");
    devices.push(devices[1].clone());
    let node = appraise(&devices);
    let distinct = node.outcome(NodeCheckName::DevicesDistinct).unwrap();
    assert!(
        matches!(distinct, Err(NodeRefusal::Duplicate { first: 1, second: 4, .. })),
        "{distinct:?}"
    );
}

#[test]
fn refuses_gpus_of_two_families() {
    let Some(vectors) = vectors() else { return };
    let mut devices = vectors.serialized("multi_gpu_hopper.json");
    let blackwell = crate::positive::blackwell(&vectors);
    let nonce = blackwell.own_nonce();
    devices.push((blackwell, nonce));
    let node = appraise(&devices);
    let outcome = node.outcome(NodeCheckName::OneArchitecture).unwrap();
    assert!(matches!(outcome, Err(NodeRefusal::Mixed { device: 4, .. })), "{outcome:?}");
    // Blackwell does not say PPCIE, and answers another nonce.
    let outcome = node.outcome(NodeCheckName::ProtectedPcie).unwrap();
    assert!(
        matches!(outcome, Err(NodeRefusal::ProtectedPcie { device: 4, got: None, .. })),
        "{outcome:?}"
    );
    assert_eq!(node.devices()[4].first_refusal().unwrap().0, CheckName::NonceMatch);
}

#[test]
fn refuses_a_switch_beside_blackwell() {
    let Some(vectors) = vectors() else { return };
    let blackwell = crate::positive::blackwell(&vectors);
    let nonce = blackwell.own_nonce();
    let node = appraise(&[(blackwell, nonce), (vectors.switch(), nonce)]);
    assert_eq!(node.devices().iter().filter(|it| it.is_accepted()).count(), 2);
    let outcome = node.outcome(NodeCheckName::OneArchitecture).unwrap();
    assert!(matches!(outcome, Err(NodeRefusal::StraySwitch { device: 1, .. })), "{outcome:?}");
}

#[test]
fn refuses_switches_without_a_gpu_and_nothing_at_all() {
    let Some(vectors) = vectors() else { return };
    let switch = vectors.switch();
    let nonce = switch.own_nonce();
    let node = appraise(&[(switch, nonce)]);
    assert_eq!(node.outcome(NodeCheckName::OneArchitecture), Some(&Err(NodeRefusal::NoGpu)));
    let rims = RimStore::new();
    let collateral = Collateral { rims: &rims, ocsp: &[], crls: &[] };
    let node = appraise_node(&[], &collateral, &nonce, &without_rims(), JUNE_2024);
    assert!(!node.is_accepted());
}

#[test]
fn refuses_a_machine_with_a_device_that_cannot_be_read() {
    let Some(vectors) = vectors() else { return };
    let mut devices = vectors.serialized("multi_gpu_hopper.json");
    devices[2].0.report.truncate(100);
    let node = appraise(&devices);
    for name in NodeCheckName::ALL {
        assert_eq!(node.outcome(name), Some(&Err(NodeRefusal::Unreadable { device: 2 })));
    }
}

/// Eight GPUs in PPCIE mode without switches: the four genuine ones, and four that claim the same.
#[test]
fn refuses_eight_gpus_in_ppcie_mode_without_their_switches() {
    let Some(vectors) = vectors() else { return };
    let mut devices = vectors.serialized("multi_gpu_hopper.json");
    devices.extend(vectors.serialized("multi_gpu_hopper.json"));
    let node = appraise(&devices);
    let outcome = node.outcome(NodeCheckName::SwitchesPresent).unwrap();
    assert!(
        matches!(outcome, Err(NodeRefusal::OtherSwitches { device: 0, shown, .. }) if shown.is_empty()),
        "{outcome:?}"
    );

    devices.extend(vectors.serialized("multi_switch_ls10.json"));
    let node = appraise(&devices);
    // Four, but another machine's.
    let outcome = node.outcome(NodeCheckName::SwitchesPresent).unwrap();
    let Err(NodeRefusal::OtherSwitches { device: 0, linked, shown }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((linked.len(), &shown[..]), (4, &["203eb31ad9ed0008".to_owned()][..]));
}
