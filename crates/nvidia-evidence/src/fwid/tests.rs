//! The two forms, byte by byte.

use proptest::prelude::*;

use super::*;
use crate::testing::tlv;

const SHA384_OID: &[u8] = &[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];

fn fwid(value: u8) -> Vec<u8> {
    tlv(0x30, &[SHA384_OID, &tlv(4, &[&[value; 48]])])
}

fn composite(version: u8, fwid: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&[2, 1, version], &tlv(0x30, &[]), fwid])
}

#[test]
fn reads_hoppers_form() {
    assert_eq!(from_composite(&composite(1, &fwid(5))), Some(Sha384([5; 48])));
}

#[test]
fn refuses_other_forms_of_hoppers() {
    let sha256 = [6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
    let good = composite(1, &fwid(5));
    let cases = [
        composite(2, &fwid(5)),
        composite(1, &tlv(0x30, &[&sha256, &tlv(4, &[&[5; 48]])])),
        composite(1, &tlv(0x30, &[SHA384_OID, &tlv(4, &[&[5; 47]])])),
        composite(1, &tlv(0x30, &[SHA384_OID, &tlv(4, &[&[5; 49]])])),
        composite(1, &[]),
        tlv(0x30, &[&[2, 1, 1], &[5, 0], &fwid(5)]),
        [&good[..], &[0]].concat(),
        good[..good.len() - 1].to_vec(),
        fwid(5),
    ];
    for case in cases {
        assert_eq!(from_composite(&case), None, "{case:02x?}");
    }
}

#[test]
fn reads_the_first_of_blackwells() {
    let info =
        tlv(0x30, &[&tlv(0x80, &[b"NVIDIA"]), &tlv(0xA6, &[&fwid(5), &fwid(6)]), &[0x87, 1, 0]]);
    assert_eq!(from_tcb_info(&info), Some(Sha384([5; 48])));
}

#[test]
fn refuses_other_forms_of_blackwells() {
    let fwids = tlv(0xA6, &[&fwid(5)]);
    let good = tlv(0x30, &[&fwids]);
    assert!(from_tcb_info(&good).is_some());
    let cases = [
        tlv(0x30, &[]),
        tlv(0x30, &[&tlv(0xA6, &[])]),
        tlv(0x30, &[&tlv(0x86, &[&fwid(5)])]),
        tlv(0x30, &[&fwids, &fwids]),
        tlv(0x30, &[&[0x87, 1, 0], &fwids]),
        tlv(0x30, &[&[0x02, 1, 0], &fwids]),
        tlv(0x31, &[&fwids]),
        [&good[..], &[0]].concat(),
        good[..good.len() - 1].to_vec(),
    ];
    for case in cases {
        assert_eq!(from_tcb_info(&case), None, "{case:02x?}");
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        let _ = from_composite(&bytes);
        let _ = from_tcb_info(&bytes);
        let _ = from_tcb_info(&tlv(0x30, &[&tlv(0xA6, &[&bytes])]));
    }
}
