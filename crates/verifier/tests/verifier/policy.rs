//! The policy file: total, typed, and never at odds with itself.

use subrosa_protocol::B256;
use subrosa_verifier::{Machines, Policy, PolicyError, Releases, Root, Roots, Trust};

const EXAMPLE: &str = include_str!("policy.toml");

#[test]
fn the_example_is_the_strict_preset() {
    let releases =
        Releases { measurements: vec![B256::repeat_byte(7)], models: vec![B256::repeat_byte(8)] };
    assert_eq!(Policy::from_toml(EXAMPLE), Ok(Policy::strict(releases)));
}

#[test]
fn presets_survive_being_written() {
    let mut policies =
        [Policy::strict(Releases::default()), Policy::simulated(Releases::default())];
    policies[1].machines = Machines::Listed(vec!["ab01".into()]);
    policies[1].roots = Roots::all(Root::Sha256(B256::repeat_byte(5)));
    for policy in policies {
        assert_eq!(Policy::from_toml(&policy.to_toml()), Ok(policy));
    }
}

#[test]
fn a_missing_member_is_an_error_and_not_a_default() {
    let example: toml::Table = EXAMPLE.parse().unwrap();
    for (section, value) in &example {
        let mut without = example.clone();
        without.remove(section);
        assert_missing(&without, section);
        for member in value.as_table().into_iter().flat_map(toml::Table::keys) {
            let mut without = example.clone();
            without[section].as_table_mut().unwrap().remove(member);
            assert_missing(&without, member);
        }
    }
}

#[track_caller]
fn assert_missing(policy: &toml::Table, name: &str) {
    match Policy::from_toml(&policy.to_string()).unwrap_err() {
        PolicyError::Malformed { reason } => {
            assert!(reason.contains(&format!("missing field `{name}`")), "{name}: {reason}");
        }
        error => panic!("{name}: {error}"),
    }
}

#[test]
fn unknown_members_and_values_are_refused() {
    for (old, new) in [
        ("trust = \"hardware\"", "trust = \"hardware\"\nsimulated = true"),
        ("trust = \"hardware\"", "trust = \"Hardware\""),
        ("trust = \"hardware\"", "trust = \"none\""),
        ("debug = \"never\"", "debug = \"allowed\""),
        ("[intel]", "[intel]\nallow_debug = true"),
        ("[nonce]", "[nonce]\nskip = true"),
        ("[releases]", "[releases]\nany = true"),
        ("[roots]", "[roots]\narm = \"vendor\""),
        ("\"UpToDate\"", "\"Revoked\""),
        ("\"UpToDate\"", "\"uptodate\""),
        ("grace_s = 0", "grace_s = -1"),
        ("0x0707", "0x07"),
    ] {
        assert!(EXAMPLE.contains(old), "{old}");
        let error = Policy::from_toml(&EXAMPLE.replacen(old, new, 1)).unwrap_err();
        assert!(matches!(error, PolicyError::Malformed { .. }), "{new}: {error}");
    }
}

#[test]
fn only_a_simulated_network_may_trust_another_root() {
    let other = format!("intel = {{ sha256 = \"{}\" }}", B256::repeat_byte(5));
    for root in ["intel = \"simulator\"", other.as_str()] {
        let text = EXAMPLE.replace("intel = \"vendor\"", root);
        assert_eq!(Policy::from_toml(&text), Err(PolicyError::RootNotVendors));
        let simulated = text.replace("\"hardware\"", "\"simulated\"");
        assert_eq!(Policy::from_toml(&simulated).unwrap().trust, Trust::Simulated);
    }
}

#[test]
fn machines_are_listed_in_lower_case_hex() {
    let text = EXAMPLE.replace("machines = \"any\"", "machines = { listed = [\"AB\"] }");
    assert_eq!(Policy::from_toml(&text), Err(PolicyError::Machine));
}
