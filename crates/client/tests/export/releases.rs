//! What an exported receipt says of its releases, and what of it is proven.

use serde_json::{Value, json};
use subrosa_attester::Simulator;
use subrosa_chain::Network;
use subrosa_client::export::{Against, BundleReport, Unreadable, check};
use subrosa_protocol::{B256, Duration};
use subrosa_verifier::{Outcome, Policy, ReleaseKind, Releases, Verdict};

use super::{LABEL, NOW, RELEASES, World, examine, failed, network};
use crate::ledger::{Ledger, stored};

fn outcome(report: &BundleReport, name: &str) -> (Outcome, String) {
    let found = report.checks.iter().find(|check| check.name == name).unwrap();
    (found.outcome, found.seen.clone())
}

fn examined(bundle: &Value, against: Against<'_>) -> BundleReport {
    check(bundle.to_string().as_bytes(), against).unwrap()
}

/// A bundle of a chain on which the model is this, at a block of this time.
fn model_is(value: subrosa_protocol::U256, timestamp: u64) -> Value {
    let world = World::new();
    let mut ledger = Ledger::new(timestamp);
    ledger.contract = RELEASES;
    ledger.store(ReleaseKind::Measurement, Simulator::measurement(LABEL), stored(2, 1, false));
    ledger.store(ReleaseKind::Model, world.receipt.model, value);
    world.bundle_resting_on(&ledger, world.receipt.model)
}

/// Expects `releases_proof` alone to fail, with these words.
fn unproven(bundle: &Value, words: &str) {
    let report = examine(bundle);
    let (_, seen) = outcome(&report, "releases_proof");
    assert_eq!((failed(&report), report.verdict), (vec!["releases_proof"], Verdict::Refused));
    assert!(seen.contains(words), "{seen}");
    assert_eq!(outcome(&report, "releases_block").0, Outcome::Absent);
    assert!(report.told.is_empty());
}

#[test]
fn a_proof_is_told_with_its_block_contract_and_size() {
    let report = examine(&World::new().bundle());
    let (proof, seen) = outcome(&report, "releases_proof");
    assert_eq!(proof, Outcome::Passed);
    assert!(seen.contains("2 digests") && seen.contains(&RELEASES.to_string()), "{seen}");
    assert!(seen.contains("bytes of proof"), "{seen}");
    assert!(report.releases_from.contains("proves them"), "{}", report.releases_from);
    let (block, seen) = outcome(&report, "releases_block");
    assert_eq!(block, Outcome::Waived);
    assert!(seen.contains("explorer") && seen.contains("--block"), "{seen}");
}

#[test]
fn a_block_that_the_caller_or_the_network_file_knows_is_passed() {
    let bundle = World::new().bundle();
    let hash: B256 = bundle["releases"]["block"]["hash"].as_str().unwrap().parse().unwrap();
    let mut network = network("simulated");
    fn against(network: &Network, block: Option<B256>) -> Against<'_> {
        Against { network: Some(network), block, ..Against::default() }
    }
    let named = examined(&bundle, against(&network, Some(hash)));
    assert_eq!(outcome(&named, "releases_block").0, Outcome::Passed);
    let other = examined(&bundle, against(&network, Some(B256::repeat_byte(1))));
    assert_eq!((failed(&other), other.verdict), (vec!["releases_block"], Verdict::Refused));
    network.pinned.blocks = vec![B256::repeat_byte(1), hash];
    let pinned = examined(&bundle, against(&network, None));
    assert_eq!(outcome(&pinned, "releases_block").0, Outcome::Passed);
    // What the caller names goes before what the file pins.
    let other = examined(&bundle, against(&network, Some(B256::repeat_byte(2))));
    assert_eq!(failed(&other), ["releases_block"]);
}

#[test]
fn a_named_network_with_a_chain_demands_the_proof() {
    let mut bundle = World::new().bundle();
    bundle["releases"].as_object_mut().unwrap().remove("proof");
    let report = examine(&bundle);
    assert_eq!((failed(&report), report.verdict), (vec![], Verdict::Refused));
    let (proof, seen) = outcome(&report, "releases_proof");
    assert_eq!(proof, Outcome::Absent);
    assert!(seen.contains("the exporter's word only"), "{seen}");

    // Whoever names a block wants it proven.
    let block = Some(B256::repeat_byte(1));
    let report = examined(&bundle, Against { block, ..Against::default() });
    assert_eq!(outcome(&report, "releases_block").0, Outcome::Failed);
}

/// A policy that lets simulated evidence pass and names these releases.
fn naming(measurements: Vec<B256>, models: Vec<B256>) -> Policy {
    Policy::simulated(Releases { measurements, models })
}

fn without_proof(mut bundle: Value) -> Value {
    bundle["releases"].as_object_mut().unwrap().remove("proof");
    bundle
}

#[test]
fn from_ones_own_records_no_proof_is_needed() {
    let bundle = without_proof(World::new().bundle());
    let network = network("simulated");
    let own = Against { network: Some(&network), own: true, ..Against::default() };
    let report = examined(&bundle, own);
    assert_eq!(report.verdict, Verdict::Accepted);
    let (proof, seen) = outcome(&report, "releases_proof");
    assert_eq!(proof, Outcome::Waived);
    assert!(seen.contains("by this client"), "{seen}");
}

#[test]
fn without_a_network_what_a_receipt_says_is_released_counts_for_nothing() {
    let nobody = naming(vec![], vec![]);
    let good = World::new().bundle();
    let hash: B256 = good["releases"]["block"]["hash"].as_str().unwrap().parse().unwrap();
    let against = |block| Against { policy: Some(&nobody), block, ..Against::default() };

    let report = examined(&without_proof(good.clone()), against(None));
    assert_eq!((failed(&report), report.verdict), (vec![], Verdict::Refused));
    let (proof, seen) = outcome(&report, "releases_proof");
    assert_eq!(proof, Outcome::Absent);
    assert!(seen.contains("the exporter's word only"), "{seen}");
    assert_eq!(outcome(&report, "releases_block").0, Outcome::Absent);

    // A proof of nobody knows which contract is no better, even from a block that the caller knows.
    for block in [None, Some(hash)] {
        let report = examined(&good, against(block));
        assert_eq!((failed(&report), report.verdict), (vec![], Verdict::Refused));
        let (proof, seen) = outcome(&report, "releases_proof");
        assert_eq!(proof, Outcome::Absent);
        assert!(seen.contains("names the contract"), "{seen}");
    }
    assert_eq!(outcome(&examined(&good, against(None)), "network").0, Outcome::Waived);
}

#[test]
fn without_a_network_ones_own_policy_may_name_the_releases() {
    let world = World::new();
    let (image, model) = (Simulator::measurement(LABEL), world.receipt.model);
    let policy = naming(vec![image], vec![model]);
    let half = naming(vec![image], vec![]);
    for bundle in [world.bundle(), without_proof(world.bundle())] {
        let report = examined(&bundle, Against { policy: Some(&policy), ..Against::default() });
        assert_eq!((failed(&report), report.verdict), (vec![], Verdict::Accepted));
        assert_eq!(outcome(&report, "releases_proof").0, Outcome::Waived);
        let report = examined(&bundle, Against { policy: Some(&half), ..Against::default() });
        assert_eq!(report.verdict, Verdict::Refused);
        assert_eq!(outcome(&report, "releases_proof").0, Outcome::Absent);
    }
}

#[test]
fn what_ones_own_policy_does_not_name_is_not_released() {
    let world = World::new();
    let (image, model) = (Simulator::measurement(LABEL), world.receipt.model);
    let other = B256::repeat_byte(1);
    let network = network("simulated");
    let verdict = |policy: &Policy| {
        let (policy, network) = (Some(policy), Some(&network));
        examined(&world.bundle(), Against { policy, network, ..Against::default() }).verdict
    };
    assert_eq!(verdict(&naming(vec![image], vec![model])), Verdict::Accepted);
    assert_eq!(verdict(&naming(vec![], vec![])), Verdict::Accepted);
    assert_eq!(verdict(&naming(vec![other], vec![model])), Verdict::Refused);
    assert_eq!(verdict(&naming(vec![image], vec![other])), Verdict::Refused);
    assert_eq!(verdict(&naming(vec![other], vec![])), Verdict::Refused);
}

#[test]
fn a_hardware_network_refuses_a_block_that_nobody_knows() {
    let bundle = World::new().bundle();
    let hash: B256 = bundle["releases"]["block"]["hash"].as_str().unwrap().parse().unwrap();
    let mut network = network("hardware");
    let block = |network: &Network, block, own| {
        let network = Some(network);
        let report = examined(&bundle, Against { network, block, own, ..Against::default() });
        outcome(&report, "releases_block")
    };
    let (unknown, seen) = block(&network, None, false);
    assert_eq!(unknown, Outcome::Absent);
    assert!(seen.contains(&format!("--block {hash}")) && seen.contains("explorer"), "{seen}");
    assert_eq!(block(&network, Some(B256::repeat_byte(1)), false).0, Outcome::Failed);
    assert_eq!(block(&network, Some(hash), false).0, Outcome::Passed);
    assert_eq!(block(&network, None, true).0, Outcome::Waived);
    network.pinned.blocks = vec![hash];
    assert_eq!(block(&network, None, false).0, Outcome::Passed);
}

#[test]
fn a_time_that_the_caller_gives_is_not_called_the_receipts() {
    let network = network("simulated");
    let at = NOW.after(Duration(60));
    let against = Against { network: Some(&network), at: Some(at), ..Against::default() };
    let told = examined(&World::new().bundle(), against).told;
    let issued = format!("issued at {NOW} (time asserted by the pod only)");
    assert!(told.iter().any(|line| line.contains(&issued)), "{told:?}");
    let checked = format!("checked for {at}, the time given by you");
    assert!(told.contains(&checked), "{told:?}");
}

#[test]
fn only_digests_that_were_active_in_time_are_proven() {
    let block = NOW.0 - 60;
    unproven(&model_is(stored(2, 1, true), block), "was revoked");
    unproven(&model_is(stored(1, 0, false), block), "was never published");
    unproven(&model_is(stored(2, block + 1, false), block), "was not active");
    // A later block proves earlier activity, and nothing that came after the receipt.
    let later = NOW.0 + 86_400;
    assert_eq!(examine(&model_is(stored(2, NOW.0, false), later)).verdict, Verdict::Accepted);
    unproven(&model_is(stored(2, NOW.0 + 121, false), later), "was not active");
    unproven(&model_is(stored(2, 1, true), later), "was revoked");
}

#[test]
fn a_block_long_before_the_receipt_hides_revocations_and_is_refused() {
    let active = stored(2, 1, false);
    let oldest = NOW.0 - 5_400;
    assert_eq!(examine(&model_is(active, oldest)).verdict, Verdict::Accepted);
    let report = examine(&model_is(active, oldest - 1));
    assert_eq!((failed(&report), report.verdict), (vec!["releases_block"], Verdict::Refused));
}

#[test]
fn a_proof_of_something_else_is_refused() {
    let world = World::new();
    let mut other_contract = Ledger::new(NOW.0 - 60);
    let image = Simulator::measurement(LABEL);
    other_contract.store(ReleaseKind::Measurement, image, stored(2, 1, false));
    other_contract.store(ReleaseKind::Model, world.receipt.model, stored(2, 1, false));
    let bundle = world.bundle_resting_on(&other_contract, world.receipt.model);
    unproven(&bundle, "is not the network's releases contract");

    let mut bundle = world.bundle();
    bundle["releases"]["proof"]["chain_id"] = json!(1);
    unproven(&bundle, "of chain 1");

    let mut bundle = world.bundle();
    bundle["releases"]["block"]["hash"] = json!(B256::repeat_byte(3));
    unproven(&bundle, "another block");
    let mut bundle = world.bundle();
    bundle["releases"]["block"] = json!(null);
    unproven(&bundle, "another block");

    // Neither more nor fewer digests than the receipt lists.
    let mut bundle = world.bundle();
    let listed = json!([world.receipt.model, B256::repeat_byte(1)]);
    bundle["releases"]["models"] = listed;
    unproven(&bundle, "other digests");
    let mut bundle = world.bundle();
    let image = bundle["releases"]["measurements"][0].clone();
    bundle["releases"]["measurements"] = json!([image, B256::repeat_byte(1)]);
    unproven(&bundle, "other digests");
    let mut bundle = world.bundle();
    let entries = bundle["releases"]["proof"]["entries"].as_array_mut().unwrap();
    entries.pop();
    unproven(&bundle, "other digests");
}

#[test]
fn a_damaged_proof_is_refused_and_an_unreadable_one_makes_no_bundle() {
    let good = World::new().bundle();
    let header = good["releases"]["proof"]["header"].as_str().unwrap();
    let mut bundle = good.clone();
    bundle["releases"]["proof"]["header"] = json!(header.replacen('B', "C", 1));
    assert_ne!(bundle, good);
    let report = examine(&bundle);
    assert_eq!((failed(&report), report.verdict), (vec!["releases_proof"], Verdict::Refused));

    let mut bundle = good.clone();
    bundle["releases"]["proof"]["entries"][0]["nodes"][0] = json!("wA==");
    unproven(&bundle, "does not follow");

    for (member, value) in [("header", json!("=")), ("account", json!([1])), ("more", json!(1))] {
        let mut bundle = good.clone();
        bundle["releases"]["proof"][member] = value;
        let unreadable = check(bundle.to_string().as_bytes(), Against::default());
        assert_eq!(unreadable, Err(Unreadable::NotABundle), "{member}");
    }
}

#[test]
fn a_network_without_a_chain_needs_no_proof_and_has_no_blocks() {
    let world = World::new();
    let network = Network::parse(&format!(
        "name = \"team\"\ntrust = \"simulated\"\nchain_id = 0\n[pinned]\n\
         measurements = [\"{}\"]\nmodels = [\"{}\"]\n",
        Simulator::measurement(LABEL),
        world.receipt.model
    ))
    .unwrap();
    let against = |block| Against { network: Some(&network), block, ..Against::default() };
    let report = examined(&world.bundle(), against(None));
    assert_eq!(outcome(&report, "releases_proof").0, Outcome::Waived);
    assert_eq!(failed(&report), ["network"], "it is a receipt of another network");
    let report = examined(&world.bundle(), against(Some(B256::ZERO)));
    assert_eq!(failed(&report), ["network", "releases_block"]);
}
