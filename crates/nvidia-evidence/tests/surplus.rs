//! What comes along and proves nothing is harmless, and told: so that a document that is to have one
//! spelling can be refused for it.

use subrosa_nvidia_evidence::simulator::Node;
use subrosa_nvidia_evidence::{
    AnswerError, Appraiser, Collateral, Demand, DeviceEvidence, Edition, Policy, RimIdentity,
    Surplus,
};

mod support;

use support::{AT, DAY, World, simulated};

/// Whether the machine is accepted, and what proved nothing about it.
fn appraise(world: &World, policy: &Policy) -> (bool, Option<Surplus>) {
    let rims = world.rims();
    let ocsp: Vec<&[u8]> = world.ocsp.iter().map(Vec::as_slice).collect();
    let crls: Vec<&[u8]> = world.crls.iter().map(Vec::as_slice).collect();
    let collateral = Collateral { rims: &rims, ocsp: &ocsp, crls: &crls };
    let evidence = world.devices.iter().map(|(architecture, report, chain_pem)| DeviceEvidence {
        architecture: *architecture,
        report,
        chain_pem,
    });
    let mut appraiser = Appraiser::new(&collateral, policy, AT);
    let node = appraiser.node(&evidence.collect::<Vec<_>>(), &world.nonce);
    (node.is_accepted(), appraiser.surplus())
}

fn hopper() -> World {
    World::of(&Node::hopper(1))
}

#[test]
fn nothing_that_a_machine_needs_is_surplus() {
    for node in [Node::hopper(1), Node::hopper(8), Node::blackwell(8)] {
        assert_eq!(appraise(&World::of(&node), &simulated()), (true, None));
    }
}

#[test]
fn a_manifest_that_no_device_needs_is_surplus_and_harmless() {
    let mut world = hopper();
    let other = World::of(&Node::blackwell(1)).rims.remove(0);
    world.rims.push(other);
    let product = "GB100".to_owned();
    let (accepted, surplus) = appraise(&world, &simulated());
    assert!(accepted);
    let Some(Surplus::Rim { identity }) = surplus else { panic!("{surplus:?}") };
    let version = identity.version.clone();
    assert_eq!(identity, RimIdentity { edition: Edition::Gpu, product, version });
}

#[test]
fn every_manifest_is_surplus_before_a_device_was_appraised() {
    let world = World { devices: vec![], ocsp: vec![], crls: vec![], ..hopper() };
    let (accepted, surplus) = appraise(&world, &simulated());
    assert!(!accepted);
    assert!(matches!(surplus, Some(Surplus::Rim { .. })), "{surplus:?}");
}

#[test]
fn an_answer_about_another_machine_is_surplus_and_harmless() {
    let other = World::of(&Node::hopper(1).named("another"));
    for place in [0, 2] {
        let mut world = hopper();
        world.ocsp.insert(place, other.ocsp[0].clone());
        let expected = Some(Surplus::Answer { index: place });
        assert_eq!(appraise(&world, &simulated()), (true, expected));
    }
}

#[test]
fn a_list_of_another_machines_authority_is_surplus_and_harmless() {
    let mut world = hopper();
    let expected = Some(Surplus::Answer { index: world.ocsp.len() });
    let blackwell = World::of(&Node::blackwell(1)).crls;
    let foreign = blackwell.into_iter().find(|list| !world.crls.contains(list)).unwrap();
    world.crls.insert(0, foreign);
    assert_eq!(appraise(&world, &simulated()), (true, expected));
}

/// The lists are surplus beside good answers; what is spoiled in one is told all the same.
#[test]
fn a_spoiled_list_beside_good_answers_is_surplus_with_its_reason() {
    let world = hopper();
    for index in 0..world.crls.len() {
        let mut spoiled = world.clone();
        *spoiled.crls[index].last_mut().unwrap() ^= 1;
        let (accepted, surplus) = appraise(&spoiled, &simulated());
        assert!(accepted);
        let Some(Surplus::AnswerUnproven { index: at, why }) = surplus else {
            panic!("{surplus:?}")
        };
        assert_eq!(at, world.ocsp.len() + index);
        assert!(matches!(why, AnswerError::Signature { .. }), "{why}");
    }
}

#[test]
fn answers_and_lists_of_another_time_are_no_surplus() {
    let mut world = hopper();
    let early = Node::hopper(1).collateral(AT - 90 * DAY);
    world.ocsp.extend(early.ocsp);
    world.crls.extend(early.crls);
    assert_eq!(appraise(&world, &simulated()), (true, None));
    *world.crls.last_mut().unwrap().last_mut().unwrap() ^= 1;
    let (accepted, surplus) = appraise(&world, &simulated());
    assert!(accepted && matches!(surplus, Some(Surplus::AnswerUnproven { .. })), "{surplus:?}");
}

#[test]
fn answers_about_the_signers_of_manifests_that_are_not_there_are_surplus() {
    let mut world = hopper();
    world.rims.clear();
    let waived = Policy { rims: Demand::Waived, ..simulated() };
    let (accepted, surplus) = appraise(&world, &waived);
    assert!(accepted && matches!(surplus, Some(Surplus::Answer { .. })), "{surplus:?}");
}

/// No bit of what is surplus can be another unseen: the device is refused, or surplus is told.
#[test]
fn no_flipped_bit_of_surplus_collateral_goes_unseen() {
    let world = hopper();
    let seen = |world: &World| {
        let (accepted, surplus) = appraise(world, &simulated());
        !accepted || surplus.is_some()
    };
    assert!(!seen(&world));
    for index in 0..world.crls.len() {
        for at in (index..world.crls[index].len()).step_by(17) {
            let mut world = world.clone();
            world.crls[index][at] ^= 1 << (at % 8);
            assert!(seen(&world), "byte {at} of list {index}");
        }
    }
    let mut doubled = world.clone();
    let later = Node::hopper(1).collateral(AT + DAY).ocsp;
    doubled.ocsp.extend(later);
    assert!(!seen(&doubled));
    for at in (0..doubled.ocsp[0].len()).step_by(17) {
        let mut world = doubled.clone();
        world.ocsp[0][at] ^= 1 << (at % 8);
        assert!(seen(&world), "byte {at} of an answer beside another");
    }
}
