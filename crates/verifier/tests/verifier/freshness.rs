//! Nonces and blocks: evidence of another time, another chain, another asker.

use subrosa_protocol::{B256, Duration, Timestamp};
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{Freshness, Nonce, NonceKind, Outcome, report_data};

use crate::world::*;

/// A world without a chain, in which the client sent its own nonce.
fn chainless() -> World {
    let mut world = World::new();
    world.nonce =
        Nonce { verifier: OUR_NONCE, chain_id: 0, block_number: 0, block_hash: B256::ZERO };
    world.freshness = Freshness { nonce: Some(OUR_NONCE), chain: None };
    world
}

#[test]
fn the_nonce_and_the_bound_bytes_are_exact() {
    let nonce = Nonce {
        verifier: B256::repeat_byte(1),
        chain_id: 2,
        block_number: 3,
        block_hash: B256::repeat_byte(4),
    };
    assert_eq!(B256::from(nonce.digest()).to_string(), NONCE_DIGEST);
    let data = report_data(&nonce, b"keyset", b"", b"workload");
    assert_eq!(B256::from_slice(&data[..32]).to_string(), BOUND_DIGEST);
    assert_eq!(data[32..], [0; 32]);
}

/// Computed by another program from the formulas of spec/evidence.md section 2.
const NONCE_DIGEST: &str = "0x0723f8825af4c1e43468ebd23cb74bda43bcd0910562a775b4040ae498cae57c";
const BOUND_DIGEST: &str = "0x4e0be03256b550a5e6be0bdd7d6405c102a244485dc9e545713f7b85ead91667";

#[test]
fn shared_evidence_over_a_recent_block_is_fresh() {
    let report = World::new().attested().report().clone();
    assert_eq!(report.outcome(NonceMatch), Outcome::Passed);
    assert_eq!(report.outcome(BlockRecent), Outcome::Passed);
}

#[test]
fn a_nonce_of_our_own_is_answered_with_or_without_a_chain() {
    assert_eq!(chainless().attested().expires().0, NOW.0 + 3_600);

    let mut world = World::new();
    world.nonce.verifier = OUR_NONCE;
    world.freshness.nonce = Some(OUR_NONCE);
    world.policy.nonce.kind = NonceKind::Own;
    assert_eq!(world.attested().report().outcome(NonceMatch), Outcome::Passed);
}

#[test]
fn evidence_for_another_nonce_is_refused() {
    let mut world = chainless();
    world.freshness.nonce = Some(B256::repeat_byte(0x55));
    assert_failed(&world.refused(), NonceMatch);

    let mut world = World::new();
    world.freshness.nonce = Some(OUR_NONCE);
    assert_failed(&world.refused(), NonceMatch);
}

#[test]
fn evidence_that_answers_somebody_else_is_not_shared_evidence() {
    let mut world = World::new();
    world.nonce.verifier = B256::repeat_byte(0x55);
    assert_failed(&world.refused(), NonceMatch);
}

#[test]
fn without_a_chain_our_own_nonce_is_demanded() {
    let mut world = chainless();
    world.freshness.nonce = None;
    assert_failed(&world.refused(), NonceMatch);
    world.nonce.verifier = B256::ZERO;
    assert_failed(&world.refused(), NonceMatch);
}

#[test]
fn a_nonce_of_zero_asks_for_nothing() {
    let mut world = chainless();
    world.nonce.verifier = B256::ZERO;
    world.freshness.nonce = Some(B256::ZERO);
    assert_failed(&world.refused(), NonceMatch);
}

#[test]
fn policy_can_demand_a_nonce_of_our_own() {
    let mut world = World::new();
    world.policy.nonce.kind = NonceKind::Own;
    assert_failed(&world.refused(), NonceMatch);
}

#[test]
fn a_block_on_a_network_without_a_chain_is_refused() {
    for part in 0..3 {
        let mut world = chainless();
        match part {
            0 => world.nonce.chain_id = 1,
            1 => world.nonce.block_number = 1,
            _ => world.nonce.block_hash = B256::repeat_byte(1),
        }
        assert_failed(&world.refused(), BlockRecent);
    }
}

#[test]
fn a_block_of_another_chain_is_refused() {
    let mut world = World::new();
    world.nonce.chain_id += 1;
    assert_failed(&world.refused(), BlockRecent);
}

#[test]
fn a_block_that_is_not_in_our_chain_is_refused() {
    let mut world = World::new();
    world.nonce.block_hash = B256::repeat_byte(0x99);
    assert_failed(&world.refused(), BlockRecent);

    let mut world = World::new();
    world.freshness.chain.as_mut().unwrap().named = None;
    assert_failed(&world.refused(), BlockRecent);

    let mut world = World::new();
    world.nonce.block_number += 1;
    assert_failed(&world.refused(), BlockRecent);
}

#[test]
fn a_block_that_is_not_final_is_refused() {
    let mut world = World::new();
    world.freshness.chain.as_mut().unwrap().finalised.number = BLOCK.number - 1;
    assert_failed(&world.refused(), BlockRecent);
    world.freshness.chain.as_mut().unwrap().finalised.number = BLOCK.number;
    assert!(world.verdict().is_ok());
}

#[test]
fn an_old_block_is_refused_to_the_second() {
    let mut world = World::new();
    world.policy.nonce.age_max = Duration(60);
    assert!(world.verdict().is_ok());
    world.policy.nonce.age_max = Duration(59);
    assert_failed(&world.refused(), BlockRecent);
}

#[test]
fn an_old_view_of_the_chain_is_refused_to_the_second() {
    let mut world = World::new();
    let view = world.policy.nonce.view_age_max.0;
    let finalised = &mut world.freshness.chain.as_mut().unwrap().finalised;
    finalised.timestamp = Timestamp(NOW.0 - view);
    assert!(world.verdict().is_ok());
    world.freshness.chain.as_mut().unwrap().finalised.timestamp = Timestamp(NOW.0 - view - 1);
    assert_failed(&world.refused(), BlockRecent);
}

#[test]
fn replayed_parts_of_a_nonce_do_not_fit_the_quote() {
    let world = World::new();
    let evidence = world.evidence();
    let mut later = World::new();
    later.nonce.block_number = 41;
    let (nonce, cpu) = (later.nonce, evidence.cpu().clone());
    let replayed = crate::world::compose(nonce, &world.keyset, b"", &world.workload, cpu);
    let named = later.freshness.chain.as_mut().unwrap().named.as_mut().unwrap();
    named.number = 41;
    assert_failed(&later.check(&replayed).unwrap_err(), TeeReportdataBinding);
}
