//! What was accepted is good to the second that is told, and not a second longer.

use subrosa_nvidia_evidence::simulator::Node;
use subrosa_nvidia_evidence::{Appraiser, Collateral, Demand, DeviceEvidence, Policy};

mod support;

use support::{AT, DAY, World, simulated};

/// Whether the node is accepted at a time, and until when what was relied on is good.
fn appraise(world: &World, policy: &Policy, at: u64) -> (bool, u64) {
    let rims = world.rims();
    let ocsp: Vec<&[u8]> = world.ocsp.iter().map(Vec::as_slice).collect();
    let crls: Vec<&[u8]> = world.crls.iter().map(Vec::as_slice).collect();
    let collateral = Collateral { rims: &rims, ocsp: &ocsp, crls: &crls };
    let mut appraiser = Appraiser::new(&collateral, policy, at);
    let device = |(architecture, report, chain_pem): &'_ (_, Vec<u8>, Vec<u8>)| {
        let evidence = DeviceEvidence { architecture: *architecture, report, chain_pem };
        appraiser.device(&evidence, &world.nonce).is_accepted()
    };
    let accepted: Vec<bool> = world.devices.iter().map(device).collect();
    (!accepted.contains(&false), appraiser.good_until())
}

#[track_caller]
fn ends(world: &World, policy: &Policy) -> u64 {
    let (accepted, until) = appraise(world, policy, AT);
    assert!(accepted);
    assert_eq!(appraise(world, policy, until), (true, until));
    assert!(!appraise(world, policy, until + 1).0, "good beyond {until}");
    until
}

#[test]
fn devices_are_good_until_the_first_answer_about_them_ends() {
    // Answers of the day before live for seven days.
    let expected = AT / DAY * DAY + 6 * DAY;
    for node in [Node::hopper(1), Node::hopper(8), Node::blackwell(1)] {
        assert_eq!(ends(&World::of(&node), &simulated()), expected);
    }
}

#[test]
fn without_answers_the_signers_of_manifests_end_first() {
    let mut world = World::of(&Node::hopper(1));
    (world.ocsp, world.crls) = (vec![], vec![]);
    let waived =
        Policy { device_revocation: Demand::Waived, rim_revocation: Demand::Waived, ..simulated() };
    let signers = ends(&world, &waived);
    assert!(signers > AT + 30 * DAY);

    world.rims.clear();
    let (accepted, until) = appraise(&world, &Policy { rims: Demand::Waived, ..waived }, AT);
    assert!(accepted && until > signers);
}

#[test]
fn the_longer_of_two_answers_about_one_certificate_counts() {
    let mut world = World::of(&Node::hopper(1));
    let later = Node::hopper(1).collateral(AT + DAY).ocsp;
    let expected = AT / DAY * DAY + 6 * DAY;
    world.ocsp.extend(later.iter().skip(1).cloned());
    assert_eq!(ends(&world, &simulated()), expected, "one answer is as short as before");
    world.ocsp.insert(0, later[0].clone());
    assert_eq!(ends(&world, &simulated()), expected + DAY);
}

#[test]
fn what_was_refused_says_nothing_good() {
    let world = World::of(&Node::hopper(1));
    let (accepted, _) = appraise(&world, &Policy::strict(), AT);
    assert!(!accepted);
}
