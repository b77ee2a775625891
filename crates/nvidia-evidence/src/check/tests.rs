//! The names that people read and programs compare.

use super::*;

#[test]
fn every_check_has_the_name_that_reports_show() {
    let names = CheckName::ALL.map(|name| name.to_string());
    let expected = [
        "report_structure",
        "nonce_match",
        "report_signature",
        "device_chain",
        "architecture",
        "fwid",
        "device_revocation",
        "rim_present",
        "rim_chain",
        "rim_digest",
        "rim_signature",
        "rim_revocation",
        "rim_identity",
        "measurements",
        "measurements_disjoint",
    ];
    assert_eq!(names, expected);
    assert!(CheckName::ALL.is_sorted());
}

#[test]
fn every_check_says_what_it_protects_against_and_no_two_the_same() {
    let texts: std::collections::BTreeSet<_> =
        CheckName::ALL.iter().map(|name| name.protects_against()).collect();
    assert_eq!(texts.len(), CheckName::ALL.len());
    assert!(texts.iter().all(|text| text.split(' ').count() > 3));
}

#[test]
fn what_was_not_made_or_refused_is_not_good() {
    assert!(Outcome::Passed(String::new()).is_good());
    assert!(Outcome::Waived(String::new()).is_good());
    assert!(!Outcome::Absent(CheckName::Fwid).is_good());
    let refused = Outcome::Refused(Box::new(Refusal::DeviceUnknown));
    assert!(!refused.is_good());
    assert_eq!(refused.refusal(), Some(&Refusal::DeviceUnknown));
    assert_eq!(Outcome::Absent(CheckName::Fwid).refusal(), None);
}
