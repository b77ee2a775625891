//! Machines made of claims.

use super::*;
use crate::hexes::Fingerprint;

fn device(architecture: Architecture, n: usize, switches: &[u8]) -> DeviceClaims {
    DeviceClaims {
        architecture,
        device_info: None,
        leaf_serial: n.to_string(),
        leaf: Fingerprint([0; 32]),
        key: Fingerprint([n as u8; 32]),
        boot_rom_serial: None,
        driver_version: None,
        vbios_version: None,
        fwid: None,
        protected_pcie: architecture.is_gpu().then_some(true),
        switch_numbers: switches.iter().map(|n| [*n; 8]).collect(),
    }
}

/// `gpus` in PPCIE mode, each linked to `linked`, beside a switch for each of `shown`.
fn machine(gpus: usize, linked: &[u8], shown: &[&[u8]]) -> Vec<DeviceClaims> {
    let gpus = (0..gpus).map(|n| device(Architecture::Hopper, n, linked));
    let switches = shown.iter().enumerate();
    gpus.chain(switches.map(|(n, numbers)| device(Architecture::Ls10, 100 + n, numbers))).collect()
}

fn switches(devices: &[DeviceClaims]) -> Result<String, NodeRefusal> {
    check(NodeCheckName::SwitchesPresent, &devices.iter().collect::<Vec<_>>())
}

const FOUR: [&[u8]; 4] = [&[1], &[2], &[3], &[4]];

#[test]
fn accepts_any_number_of_protected_gpus_with_their_switches() {
    for gpus in 2..=9 {
        assert_eq!(switches(&machine(gpus, &[1, 2, 3, 4], &FOUR)), Ok("4 switches".into()));
    }
    assert_eq!(switches(&machine(2, &[1, 2], &FOUR[..2])), Ok("2 switches".into()));
}

#[test]
fn refuses_any_number_of_protected_gpus_without_exactly_their_switches() {
    for gpus in 2..=9 {
        for shown in [&[][..], &FOUR[..3], &FOUR[1..], &[&[1], &[2], &[3], &[5]]] {
            let outcome = switches(&machine(gpus, &[1, 2, 3, 4], shown));
            assert!(matches!(outcome, Err(NodeRefusal::OtherSwitches { device: 0, .. })));
        }
        let more = [&FOUR[..], &[&[5]]].concat();
        let outcome = switches(&machine(gpus, &[1, 2, 3, 4], &more));
        assert!(matches!(outcome, Err(NodeRefusal::OtherSwitches { device: 0, .. })));
    }
}

#[test]
fn refuses_switches_that_share_a_number_or_have_none() {
    for shown in [&[&[1][..], &[2], &[]][..], &[&[1], &[2], &[2]], &[&[1, 2]]] {
        let expected = Err(NodeRefusal::Switches { gpus: 3, got: shown.len(), needed: 2 });
        assert_eq!(switches(&machine(3, &[1, 2], shown)), expected);
    }
}

#[test]
fn refuses_eight_protected_gpus_that_name_fewer_switches_than_a_board_has() {
    let expected = Err(NodeRefusal::Switches { gpus: 8, got: 3, needed: 4 });
    assert_eq!(switches(&machine(8, &[1, 2, 3], &FOUR[..3])), expected);
}

#[test]
fn refuses_protected_gpus_that_name_no_switch() {
    for shown in [&[][..], &FOUR] {
        let mut devices = machine(2, &[], shown);
        assert_eq!(switches(&devices), Err(NodeRefusal::NoLinks { device: 0 }));
        devices[0].switch_numbers = [[1; 8], [2; 8], [3; 8], [4; 8]].into();
        assert!(switches(&devices).is_err());
    }
    let mut devices = machine(2, &[1, 2, 3, 4], &FOUR);
    devices[1].switch_numbers.clear();
    assert_eq!(switches(&devices), Err(NodeRefusal::NoLinks { device: 1 }));
}

#[test]
fn one_protected_gpu_among_others_is_enough_to_demand_switches() {
    let mut devices = machine(3, &[1, 2], &[]);
    devices[0].protected_pcie = Some(false);
    devices[1].protected_pcie = None;
    let outcome = switches(&devices);
    assert!(matches!(outcome, Err(NodeRefusal::OtherSwitches { device: 2, .. })));
    devices[2].protected_pcie = Some(false);
    assert_eq!(switches(&devices), Ok("0 switches".into()));
}

#[test]
fn a_gpu_that_is_alone_needs_no_switches() {
    assert_eq!(switches(&machine(1, &[1, 2, 3, 4], &[])), Ok("0 switches".into()));
}

#[test]
fn every_check_of_a_machine_has_the_name_that_reports_show() {
    let names = NodeCheckName::ALL.map(|name| name.to_string());
    let expected = ["devices_distinct", "one_architecture", "protected_pcie", "switches_present"];
    assert_eq!(names, expected);
}
