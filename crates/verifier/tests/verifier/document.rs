//! The document, read strictly: each way to spell it otherwise has its own error.

use proptest::prelude::*;
use serde_json::Value;
use subrosa_verifier::{CheckName, DOCUMENT_BYTES_MAX, Evidence, Unreadable};

use crate::world::*;

fn document() -> String {
    String::from_utf8(World::new().evidence().as_bytes().to_vec()).unwrap()
}

fn parse(document: &str) -> Result<Evidence, Unreadable> {
    Evidence::parse(document.as_bytes())
}

/// The document with one replacement, which must change it.
#[track_caller]
fn with(old: &str, new: &str) -> Result<Evidence, Unreadable> {
    let document = document();
    assert!(document.contains(old), "{old:?} is not in the document");
    parse(&document.replacen(old, new, 1))
}

/// The document with a member changed, by its path.
fn with_member(path: &[&str], change: impl FnOnce(&mut Value)) -> Result<Evidence, Unreadable> {
    let mut json: Value = serde_json::from_str(&document()).unwrap();
    let member = path.iter().fold(&mut json, |value, name| &mut value[*name]);
    change(member);
    parse(&json.to_string())
}

/// The paths of all members, objects included.
fn paths(value: &Value, above: &str) -> Vec<String> {
    let members = value.as_object().into_iter().flatten();
    members
        .flat_map(|(name, value)| {
            let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
            let below = paths(value, &path);
            std::iter::once(path).chain(below)
        })
        .collect()
}

#[test]
fn the_bytes_begin_as_the_specification_writes_them() {
    let expected = concat!(
        r#"{"version":1,"nonce":{"#,
        r#""verifier":"0000000000000000000000000000000000000000000000000000000000000000","#,
        r#""chain_id":31337,"block_number":40,"#,
        r#""block_hash":"b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1"},"#,
        r#""keyset":"eyJzaWduZXIiO"#
    );
    assert!(document().starts_with(expected), "{}", &document()[..300]);
    assert!(!document().contains(": "), "the document is compact");
}

#[test]
fn reading_what_was_written_gives_the_same_evidence_and_bytes() {
    let evidence = World::new().evidence();
    let read = Evidence::parse(evidence.as_bytes()).unwrap();
    assert_eq!(read, evidence);
    assert_eq!(read.as_bytes(), evidence.as_bytes());
    assert_eq!(read.digest(), evidence.digest());
}

#[test]
fn the_digest_is_of_the_bytes_that_came_and_not_of_a_second_writing() {
    let spaced = document().replacen(",\"nonce\"", ", \"nonce\"", 1);
    let read = parse(&spaced).unwrap();
    assert_eq!(read.as_bytes(), spaced.as_bytes());
    assert_ne!(read.digest(), World::new().evidence().digest());
}

#[test]
fn every_member_is_demanded() {
    let json: Value = serde_json::from_str(&document()).unwrap();
    let all = paths(&json, "");
    assert_eq!(all.len(), 7 + 4 + 4 + 9 + 1 + 3);
    for path in all {
        let mut json = json.clone();
        let names: Vec<&str> = path.split('.').collect();
        let (last, above) = names.split_last().unwrap();
        let object = above.iter().fold(&mut json, |value, name| &mut value[*name]);
        object.as_object_mut().unwrap().remove(*last).unwrap();
        let error = parse(&json.to_string()).unwrap_err();
        assert_eq!(error, Unreadable::MissingMember { member: path.clone() }, "{path}");
    }
}

#[test]
fn no_member_stands_twice() {
    let json: Value = serde_json::from_str(&document()).unwrap();
    for path in paths(&json, "") {
        let (above, name) = path.rsplit_once('.').unwrap_or(("", &path));
        let value = member(&json, &path).to_string();
        // A value that stands nowhere else marks the place.
        let mut marked = json.clone();
        let names = above.split('.').filter(|name| !name.is_empty());
        names.fold(&mut marked, |value, name| &mut value[name])[name] = MARK.into();
        let doubled = format!("\"{name}\":{value},\"{name}\":{value}");
        let text = marked.to_string().replacen(&format!("\"{name}\":{MARK}"), &doubled, 1);
        let error = parse(&text).unwrap_err();
        assert_eq!(error, Unreadable::DuplicateMember { member: path.clone() }, "{path}");
    }
}

/// A number that no document holds.
const MARK: u64 = 9_876_543_210;

fn member<'a>(json: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(json, |value, name| &value[name])
}

#[test]
fn a_doubled_member_is_seen_however_it_is_escaped() {
    let error = with("\"version\":1", "\"version\":1,\"v\\u0065rsion\":1").unwrap_err();
    assert_eq!(error, Unreadable::DuplicateMember { member: "version".into() });
}

#[test]
fn unknown_members_are_refused_at_every_level() {
    for (path, name) in [
        (&[][..], "simulated"),
        (&["nonce"][..], "nonce.time"),
        (&["cpu"][..], "cpu.report"),
        (&["cpu", "collateral"][..], "cpu.collateral.pck_certificate_chain"),
    ] {
        let error = with_member(path, |object| {
            let name = name.rsplit('.').next().unwrap();
            object[name] = "x".into();
        });
        assert_eq!(error.unwrap_err(), Unreadable::UnknownMember { member: name.into() });
    }
}

#[test]
fn an_unknown_members_name_is_not_repeated_at_length() {
    let long = "x".repeat(5_000);
    let error = with_member(&[], |object| object[&long] = 1.into()).unwrap_err();
    assert!(error.to_string().len() < 200, "{error}");
}

#[test]
fn base64_has_one_spelling() {
    for wrong in ["AQ", "AQ=", "AR==", "AQ==\n", " AQ==", "_w==", "A===", "\u{e4}"] {
        for name in ["keyset", "devices", "workload"] {
            let error = with_member(&[name], |member| *member = wrong.into()).unwrap_err();
            assert_eq!(error, Unreadable::NotBase64 { member: name.into() }, "{wrong:?}");
        }
        let error = with_member(&["cpu", "quote"], |member| *member = wrong.into()).unwrap_err();
        assert_eq!(error, Unreadable::NotBase64 { member: "cpu.quote".into() }, "{wrong:?}");
    }
}

#[test]
fn hex_is_lower_case_without_a_prefix_and_of_its_length() {
    let upper = "B1".repeat(32);
    let wrong = ["", "0", "b1", &"b1".repeat(31), &upper, &format!("0x{}", "b1".repeat(31))];
    for wrong in wrong {
        for name in ["verifier", "block_hash"] {
            let error = with_member(&["nonce", name], |member| *member = wrong.into());
            let member = format!("nonce.{name}");
            assert_eq!(error.unwrap_err(), Unreadable::NotHex { member }, "{wrong:?}");
        }
    }
    for name in ["root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature"] {
        for wrong in ["0", "AB", "0xab", "zz", "ab "] {
            let path = ["cpu", "collateral", name];
            let error = with_member(&path, |member| *member = wrong.into()).unwrap_err();
            let member = format!("cpu.collateral.{name}");
            assert_eq!(error, Unreadable::NotHex { member }, "{wrong:?}");
        }
    }
}

#[test]
fn a_value_of_another_type_is_refused() {
    let error = with_member(&["version"], |member| *member = "1".into()).unwrap_err();
    assert_eq!(
        error,
        Unreadable::WrongType { member: "version".into(), expected: "a whole number" }
    );
    let error = with_member(&["keyset"], |member| *member = 1.into()).unwrap_err();
    assert_eq!(error, Unreadable::WrongType { member: "keyset".into(), expected: "text" });
    let error = with_member(&["nonce"], |member| *member = 1.into()).unwrap_err();
    assert_eq!(error, Unreadable::WrongType { member: "nonce".into(), expected: "an object" });
}

#[test]
fn values_that_no_document_has_are_not_read() {
    let expected = "a whole number";
    for wrong in ["null", "true", "-1", "1.0", "1e3", "-0", "18446744073709551616", "[]", "{}"] {
        let error = with("\"version\":1", &format!("\"version\":{wrong}")).unwrap_err();
        let wrong_type = Unreadable::WrongType { member: "version".into(), expected };
        assert_eq!(error, wrong_type, "{wrong}");
    }
    for wrong in ["01", "1e999", "nul", "+1", "0x1", ""] {
        let error = with("\"version\":1", &format!("\"version\":{wrong}")).unwrap_err();
        assert!(matches!(error, Unreadable::NotJson { .. }), "{wrong}: {error}");
    }
}

#[test]
fn another_version_or_processor_is_refused() {
    for version in [0, 2, u64::MAX] {
        let error = with_member(&["version"], |member| *member = version.into()).unwrap_err();
        assert_eq!(error, Unreadable::UnknownVersion { got: version });
    }
    for kind in ["", "TDX", "sev", "simulated"] {
        let error = with_member(&["cpu", "kind"], |member| *member = kind.into()).unwrap_err();
        assert_eq!(error, Unreadable::UnknownCpu, "{kind:?}");
    }
}

#[test]
fn another_event_log_is_refused() {
    for kind in ["", "CCEL", "tpm"] {
        let change = |member: &mut Value| *member = kind.into();
        let error = with_member(&["cpu", "event_log", "kind"], change).unwrap_err();
        assert_eq!(error, Unreadable::UnknownEventLog, "{kind:?}");
    }
}

#[test]
fn lists_hold_only_so_many_and_only_text() {
    for (list, max) in [("rims", 16), ("ocsp", 80), ("crls", 16)] {
        let path = ["device_collateral", list];
        let long = vec![Value::from(""); max + 1];
        let error = with_member(&path, |member| *member = long.into()).unwrap_err();
        let member = path.join(".");
        assert_eq!(error, Unreadable::ListTooLong { member: member.clone(), got: max + 1, max });

        let error = with_member(&path, |member| *member = vec![1].into()).unwrap_err();
        let entry = format!("{member}.0");
        assert_eq!(error, Unreadable::WrongType { member: entry, expected: "text" });
        let error = with_member(&path, |member| *member = vec!["AA"].into()).unwrap_err();
        assert_eq!(error, Unreadable::NotBase64 { member: format!("{member}.0") });
        let error = with_member(&path, |member| *member = "".into()).unwrap_err();
        assert_eq!(error, Unreadable::WrongType { member, expected: "a list" });
    }
}

#[test]
fn collateral_of_devices_that_are_not_there_is_refused() {
    let world = World::new();
    for list in ["rims", "ocsp", "crls"] {
        let path = ["device_collateral", list];
        let evidence = with_member(&path, |member| *member = vec!["AAAA"].into()).unwrap();
        assert_failed(&world.check(&evidence).unwrap_err(), CheckName::NvidiaPayloadPresent);
    }
}

#[test]
fn nothing_stands_before_or_behind_the_document() {
    for (trail, count) in [(" ", 1), ("\n", 1), ("{}", 2), ("\0", 1)] {
        let error = parse(&format!("{}{trail}", document())).unwrap_err();
        assert_eq!(error, Unreadable::TrailingBytes { got: count }, "{trail:?}");
    }
    for lead in [" ", "\n", "\u{feff}", "0"] {
        let error = parse(&format!("{lead}{}", document())).unwrap_err();
        assert!(
            matches!(error, Unreadable::NotJson { .. } | Unreadable::TrailingBytes { .. }),
            "{lead:?}: {error}"
        );
    }
}

#[test]
fn oversize_is_refused_by_the_bound_that_it_breaks() {
    let huge = vec![b' '; DOCUMENT_BYTES_MAX + 1];
    let error = Evidence::parse(&huge).unwrap_err();
    assert_eq!(error, Unreadable::TooLong { got: huge.len(), max: DOCUMENT_BYTES_MAX });

    let base64 = "AAAA".repeat(50_000);
    for path in [&["keyset"][..], &["cpu", "quote"][..]] {
        let error = with_member(path, |member| *member = base64.clone().into()).unwrap_err();
        assert!(matches!(error, Unreadable::MemberTooLong { got: 150_000, .. }), "{error}");
    }
    let hex = "00".repeat(65);
    let path = ["cpu", "collateral", "tcb_info_signature"];
    let error = with_member(&path, |member| *member = hex.into()).unwrap_err();
    assert!(matches!(error, Unreadable::MemberTooLong { got: 65, max: 64, .. }), "{error}");
}

#[test]
fn deep_nesting_and_bad_utf8_do_not_panic() {
    let deep = format!("{{\"a\":{}", "{\"a\":".repeat(100_000));
    assert!(matches!(parse(&deep), Err(Unreadable::NotJson { .. })));
    let mut bytes = document().into_bytes();
    bytes[30] = 0xff;
    assert!(matches!(Evidence::parse(&bytes), Err(Unreadable::NotJson { .. })));
    for bytes in [&b""[..], b"{", b"[]", b"\"\"", b"1", b"null"] {
        assert!(Evidence::parse(bytes).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(Evidence::parse(&bytes).is_err());
    }

    #[test]
    fn a_cut_document_is_refused(keep in 0.0f64..1.0) {
        let document = document();
        let length = (document.len() as f64 * keep) as usize;
        prop_assert!(Evidence::parse(&document.as_bytes()[..length]).is_err());
    }
}
