//! Reports byte by byte, without any device.

use proptest::prelude::*;

use super::*;

/// A report of the given blocks and opaque bytes; its signature is zeros.
fn bytes(blocks: &[Vec<u8>], opaque: &[u8]) -> Vec<u8> {
    let record = blocks.concat();
    let mut bytes = vec![0x11, 0xE0, 1, 0xFF];
    bytes.extend([7; 32]);
    bytes.push(0);
    bytes.extend([0x11, 0x60, 0, 0, blocks.len() as u8]);
    bytes.extend(&(record.len() as u32).to_le_bytes()[..3]);
    bytes.extend(record);
    bytes.extend([9; 32]);
    bytes.extend((opaque.len() as u16).to_le_bytes());
    bytes.extend(opaque);
    bytes.extend([0; 96]);
    bytes
}

fn block(index: u8) -> Vec<u8> {
    let mut block = vec![index, 1, 51, 0, 1, 48, 0];
    block.extend([index; 48]);
    block
}

fn entry(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut entry = kind.to_le_bytes().to_vec();
    entry.extend((value.len() as u16).to_le_bytes());
    entry.extend(value);
    entry
}

fn parse(bytes: &[u8]) -> Result<Report, ReportError> {
    Report::parse(bytes, Trailing::Refuse)
}

fn with(opaque: &[Vec<u8>]) -> Result<Report, ReportError> {
    parse(&bytes(&[block(1)], &opaque.concat()))
}

#[test]
fn reads_what_a_report_says() {
    let opaque = [
        entry(3, b"570.172.08\0"),
        entry(6, &[0x00, 0xcf, 0x00, 0x96, 0x02, 0, 0, 0]),
        entry(11, &[0x55]),
        entry(15, b"895\0\0\0\0\0\0"),
        entry(17, b"G520\0"),
        entry(18, b"0280\0"),
        entry(20, &[3; 48]),
        entry(21, &[0xAA]),
    ];
    let report = parse(&bytes(&[block(1), block(2)], &opaque.concat())).unwrap();
    assert_eq!(report.request_nonce(), &[7; 32]);
    assert_eq!(report.device_nonce(), &[9; 32]);
    assert_eq!(report.blocks()[1], Block { index: 2, value: Sha384([2; 48]) });
    assert_eq!(report.driver_version(), Some("570.172.08"));
    assert_eq!(report.vbios_version(Architecture::Hopper).unwrap(), "96.00.CF.00.02");
    assert_eq!(report.fwid(), Some(Sha384([3; 48])));
    assert!(report.nvdec_off() && report.protected_pcie() == Some(true));
    let vbios = report.vbios_rim_id(Architecture::Hopper).unwrap();
    assert_eq!(vbios, "NV_GPU_VBIOS_G520_0280_895_9600CF0002");
    let driver = |it| report.driver_rim_id(it);
    assert_eq!(driver(Architecture::Hopper).unwrap(), "NV_GPU_DRIVER_GH100_570.172.08");
    assert_eq!(driver(Architecture::Blackwell).unwrap(), "NV_GPU_CC_DRIVER_GB100_570.172.08");
    assert_eq!(driver(Architecture::Ls10), None);
    let all = bytes(&[block(1), block(2)], &opaque.concat());
    assert_eq!(report.signed_bytes(), &all[..all.len() - 96]);
}

#[test]
fn names_the_driver_manifest_by_the_chip_that_a_report_states() {
    let report = with(&[entry(3, b"595.91.07\0"), entry(35, b"GB102\0")]).unwrap();
    let id = report.driver_rim_id(Architecture::Blackwell).unwrap();
    assert_eq!(id, "NV_GPU_CC_DRIVER_GB102_595.91.07");
}

#[test]
fn reads_the_version_of_a_switch_as_text() {
    let report = with(&[entry(6, b"96.10.55.00.0a")]).unwrap();
    assert_eq!(report.vbios_version(Architecture::Ls10).unwrap(), "96.10.55.00.0A");
    let id = report.vbios_rim_id(Architecture::Ls10).unwrap();
    assert_eq!(id, "NV_SWITCH_BIOS_5612_0002_890_961055000A");
    assert_eq!(report.vbios_version(Architecture::Hopper), None);
}

#[test]
fn reads_the_switches_behind_a_gpu_and_the_own_number_of_a_switch() {
    let report = with(&[entry(22, &[1, 2, 3, 4, 5, 6, 7, 8])]).unwrap();
    let own = report.switch_numbers(Architecture::Ls10);
    assert_eq!(own, [[1, 2, 3, 4, 5, 6, 7, 8]].into());
    let links = [[8, 7, 6, 5, 4, 3, 2, 1], [0; 8], [8, 7, 6, 5, 4, 3, 2, 1]].concat();
    let report = with(&[entry(22, &links)]).unwrap();
    assert_eq!(report.switch_numbers(Architecture::Hopper), own);
    assert!(with(&[]).unwrap().switch_numbers(Architecture::Hopper).is_empty());
}

#[test]
fn tolerates_one_trailing_byte_only_where_told() {
    let mut bytes = bytes(&[block(1)], &[]);
    assert!(!parse(&bytes).unwrap().has_trailing_byte());
    bytes.push(0);
    assert_eq!(parse(&bytes), Err(ReportError::Trailing { got: 1 }));
    assert!(Report::parse(&bytes, Trailing::TolerateOne).unwrap().has_trailing_byte());
    bytes.push(0);
    let two = Report::parse(&bytes, Trailing::TolerateOne);
    assert_eq!(two, Err(ReportError::Trailing { got: 2 }));
}

#[test]
fn refuses_a_report_cut_off_anywhere() {
    let bytes = bytes(&[block(1), block(2)], &entry(3, b"1\0"));
    for len in 0..bytes.len() {
        assert!(parse(&bytes[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn refuses_other_fixed_bytes() {
    let good = bytes(&[block(1)], &[]);
    for at in [0, 1, 2, 3, 36, 37, 38] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x80;
        assert!(matches!(parse(&bytes), Err(ReportError::Unexpected { .. })), "byte {at}");
    }
}

#[test]
fn refuses_a_block_that_is_no_digest_of_48_bytes() {
    // Specification, size (two bytes), DMTF type raw, DMTF type unknown, value size (two bytes).
    for (at, value) in [(1, 0), (1, 2), (2, 50), (3, 1), (4, 0x81), (4, 5), (5, 47), (6, 1)] {
        let mut block = block(3);
        block[at] = value;
        let error = parse(&bytes(&[block], &[])).unwrap_err();
        assert!(matches!(error, ReportError::BlockForm { index: 3, .. }), "{at}: {error}");
    }
}

#[test]
fn refuses_block_indexes_twice_or_zero() {
    let twice = parse(&bytes(&[block(1), block(2), block(1)], &[]));
    assert_eq!(twice, Err(ReportError::BlockTwice { index: 1 }));
    assert_eq!(parse(&bytes(&[block(0)], &[])), Err(ReportError::BlockIndexZero));
}

#[test]
fn refuses_another_block_count() {
    for said in [0, 1, 3, 255] {
        let mut bytes = bytes(&[block(1), block(2)], &[]);
        bytes[41] = said;
        assert_eq!(parse(&bytes), Err(ReportError::BlockCount { said, held: 2 }));
    }
}

#[test]
fn refuses_an_opaque_entry_twice() {
    let twice = with(&[entry(3, b"1\0"), entry(99, b""), entry(3, b"2\0")]);
    assert_eq!(twice, Err(ReportError::FieldTwice { kind: 3 }));
    let unknown = with(&[entry(99, b"a"), entry(99, b"a")]);
    assert_eq!(unknown, Err(ReportError::FieldTwice { kind: 99 }));
}

#[test]
fn refuses_opaque_entries_of_unknown_form() {
    let cases: [(u16, &[u8]); 16] = [
        (3, b""),
        (3, b"\0\0"),
        (3, b"545\x00.00"),
        (3, b"../../x\0"),
        (3, b"545 00\0"),
        (15, b"8/2\0"),
        (17, b"\xff\0"),
        (18, "ä".as_bytes()),
        (35, b"GB 100\0"),
        (11, b""),
        (11, &[0]),
        (11, &[0x55, 0]),
        (20, &[0; 47]),
        (21, &[1]),
        (22, &[0; 7]),
        (22, &[0; 17]),
    ];
    for (kind, value) in cases {
        let error = with(&[entry(kind, value)]).unwrap_err();
        assert_eq!(error, ReportError::FieldForm { kind }, "{value:?}");
    }
}

#[test]
fn an_opaque_entry_must_end_inside_the_data() {
    let mut cut = entry(99, &[0; 4]);
    cut.pop();
    assert!(matches!(with(&[cut]), Err(ReportError::Truncated { .. })));
}

#[test]
fn a_vbios_version_of_another_form_is_no_version() {
    for value in [&[0u8; 7][..], &[0, 0, 0, 0x96, 0, 1, 0, 0], &[0; 9]] {
        let report = with(&[entry(6, value)]).unwrap();
        assert_eq!(report.vbios_version(Architecture::Hopper), None);
        assert_eq!(report.vbios_rim_id(Architecture::Hopper), None);
    }
}

#[test]
fn refuses_a_report_longer_than_any() {
    let long = vec![0x11; REPORT_BYTES_MAX + 1];
    assert_eq!(parse(&long), Err(ReportError::TooLong { got: REPORT_BYTES_MAX + 1 }));
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        let _ = Report::parse(&bytes, Trailing::TolerateOne);
    }

    #[test]
    fn a_changed_report_never_panics(at in 0..300_usize, value: u8) {
        let mut bytes = bytes(&[block(1), block(2)], &entry(3, b"545.00\0"));
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok(report) = Report::parse(&bytes, Trailing::TolerateOne) {
            for architecture in [Architecture::Hopper, Architecture::Blackwell, Architecture::Ls10] {
                let _ = report.vbios_rim_id(architecture);
                let _ = report.driver_rim_id(architecture);
            }
        }
    }
}
