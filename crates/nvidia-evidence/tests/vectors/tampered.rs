//! Genuine evidence with one bit flipped.

use subrosa_nvidia_evidence::{
    Appraiser, Collateral, Demand, NVIDIA_RIM_ROOT, Policy, Rim, RimStore,
};

use crate::files::*;

/// Bits far enough apart for a quick test, and a prime number, so that all of a byte's are met.
fn bits(bytes: &[u8], stride: usize) -> impl Iterator<Item = (usize, u8)> {
    (0..bytes.len() * 8).step_by(stride).map(|bit| (bit / 8, 1 << (bit % 8)))
}

#[test]
fn no_flipped_bit_of_a_genuine_report_is_accepted() {
    let Some(vectors) = vectors() else { return };
    let (device, rims) = (vectors.h100(), vectors.h100_rims());
    let (nonce, policy) = (nonce(H100_NONCE), offline());
    let collateral = Collateral { rims: &rims, ocsp: &[], crls: &[] };
    let mut appraiser = Appraiser::new(&collateral, &policy, JUNE_2024);
    assert!(appraiser.device(&device.evidence(), &nonce).is_accepted());
    for (at, mask) in bits(&device.report, 41) {
        let mut device = device.clone();
        device.report[at] ^= mask;
        let appraisal = appraiser.device(&device.evidence(), &nonce);
        assert!(!appraisal.is_accepted(), "byte {at}, mask {mask:#04x}");
    }
}

#[test]
fn no_flipped_bit_of_a_genuine_chain_is_accepted() {
    let Some(vectors) = vectors() else { return };
    let device = vectors.serialized("hopper_evidence.json").remove(0).0;
    let (nonce, rims) = (device.own_nonce(), RimStore::new());
    let policy = Policy { fwid: Demand::Required, ..without_rims() };
    let collateral = Collateral { rims: &rims, ocsp: &[], crls: &[] };
    let mut appraiser = Appraiser::new(&collateral, &policy, JUNE_2024);
    assert!(appraiser.device(&device.evidence(), &nonce).is_accepted());
    for (at, mask) in bits(&device.chain, 43) {
        let mut device = device.clone();
        device.chain[at] ^= mask;
        // White space around and inside of base64 may take another form: no certificate changes.
        let white = |byte: u8| byte.is_ascii_whitespace();
        if white(device.chain[at]) && white(device.chain[at] ^ mask) {
            continue;
        }
        let appraisal = appraiser.device(&device.evidence(), &nonce);
        assert!(!appraisal.is_accepted(), "byte {at}, mask {mask:#04x}");
    }
}

#[test]
fn no_flipped_bit_of_a_genuine_manifest_verifies() {
    let Some(vectors) = vectors() else { return };
    let xml = vectors.bytes(VBIOS_5E_01);
    let verifies = |xml: &[u8]| {
        Rim::parse(xml).is_ok_and(|rim| rim.verify(NVIDIA_RIM_ROOT, JUNE_2024).is_ok())
    };
    assert!(verifies(&xml));
    let last = xml.len() * 8 - 256;
    let ends = (0..8 * 256).chain(last..xml.len() * 8).step_by(11);
    let ends = ends.map(|bit| (bit / 8, 1 << (bit % 8)));
    for (at, mask) in bits(&xml, 401).chain(ends) {
        let mut xml = xml.clone();
        xml[at] ^= mask;
        assert!(!verifies(&xml), "byte {at}, mask {mask:#04x}");
    }
}

#[test]
fn no_genuine_manifest_verifies_with_a_measurement_moved_or_removed() {
    let Some(vectors) = vectors() else { return };
    let xml = String::from_utf8(vectors.bytes(VBIOS_5E_01)).unwrap();
    let lines: Vec<&str> = xml.split_inclusive('\n').collect();
    let first = lines.iter().position(|line| line.contains("<ns0:Resource")).unwrap();
    let mut removed = lines.clone();
    removed.remove(first);
    let mut swapped = lines.clone();
    swapped.swap(first, first + 1);
    let mut doubled = lines.clone();
    doubled.insert(first, lines[first]);
    for (lines, parses) in [(removed, true), (swapped, true), (doubled, false)] {
        let rim = Rim::parse(lines.concat().as_bytes());
        assert_eq!(rim.is_ok(), parses);
        assert!(!rim.is_ok_and(|rim| rim.verify(NVIDIA_RIM_ROOT, JUNE_2024).is_ok()));
    }
}

/// What the canonical form leaves out carries no meaning; it has one spelling all the same, so that
/// no byte of a document can be another.
#[test]
fn a_genuine_manifest_is_refused_in_another_spelling() {
    let Some(vectors) = vectors() else { return };
    let xml = String::from_utf8(vectors.bytes(VBIOS_5E_01)).unwrap();
    let spellings = [
        format!("<?xml version=\"1.0\"?>\n{xml}"),
        format!("{xml} "),
        format!("<!-- a comment -->{xml}"),
        xml.replace("\"Measurement\" index", "\"Measurement\"  \n index"),
        xml.replace(" size=\"48\"/>", " size='48'></ns0:Resource>"),
        xml.replace("<ns0:Payload ", "<!-- a comment --><ns0:Payload "),
        xml.replace("<ns0:Payload ", "<ns0:Payload\t"),
        xml.replace("</ns0:Payload>", "</ns0:Payload >"),
        xml.replace("<ds:KeyInfo>", "\n<ds:KeyInfo>"),
        xml.replace("</ds:SignatureValue>", "\n</ds:SignatureValue>"),
        xml.replace("</ds:DigestValue>", " </ds:DigestValue>"),
        xml.replace("<ds:X509Certificate>", "<ds:X509Certificate>\n"),
        xml.replace("<ds:KeyInfo>", "<ds:KeyInfo Id=\"x\">"),
    ];
    for spelling in spellings {
        assert_ne!(spelling, xml);
        assert!(Rim::parse(spelling.as_bytes()).is_err(), "{}", &spelling[..80]);
    }
    let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{xml}");
    let rim = Rim::parse(declared.as_bytes()).unwrap();
    assert_eq!(rim.verify(NVIDIA_RIM_ROOT, JUNE_2024), Ok(()));
}
