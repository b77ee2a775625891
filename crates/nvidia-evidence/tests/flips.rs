//! No single flipped bit of evidence or collateral is accepted, and nothing that was cut short.
//!
//! Signatures cover most bytes. The others are the point here: encodings, line feeds, outer
//! algorithms, the certificates that end a chain.

use subrosa_nvidia_evidence::simulator::{Node, RIM_ROOT_SHA256};
use subrosa_nvidia_evidence::{Demand, Fingerprint, Policy, Rim};

mod support;

use support::{AT, World, simulated};

/// Far enough apart for a quick test, and prime, so that it meets all kinds of fields.
const STRIDE: usize = 13;

/// A GPU without answers about revocation, for a policy that needs none: what remains is quick.
fn device_alone() -> (World, Policy) {
    let mut world = World::of(&Node::hopper(1));
    world.ocsp.clear();
    world.crls.clear();
    let waived = Demand::Waived;
    (world, Policy { device_revocation: waived, rim_revocation: waived, ..simulated() })
}

/// A GPU whose certificates are vouched for by answers alone, so that no list makes up for a
/// damaged answer.
fn with_answers() -> (World, Policy) {
    let mut world = World::of(&Node::hopper(1));
    world.crls.clear();
    (world, simulated())
}

/// A GPU that needs every revocation list: answers are about the boot ROM, the manifests' signer
/// and the authority above that only.
fn with_lists() -> (World, Policy) {
    let mut world = World::of(&Node::hopper(1));
    world.ocsp = [0, 3, 4].map(|index| world.ocsp[index].clone()).to_vec();
    for index in 0..world.crls.len() {
        let mut without = world.clone();
        without.crls.remove(index);
        assert!(!without.appraise(&simulated()).is_accepted(), "list {index} is not needed");
    }
    (world, simulated())
}

/// Flips bits of one part of a world, one at a time, and demands that none is accepted.
#[track_caller]
fn none_is_accepted(
    (mut world, policy): (World, Policy),
    part: impl Fn(&mut World) -> &mut Vec<u8>,
    bits: impl IntoIterator<Item = (usize, u8)>,
) {
    // Manifests are verified once: where they are damaged they are tested without a world.
    let rims = world.rims();
    assert!(world.appraise_with(&rims, &policy).is_accepted());
    for (at, bit) in bits {
        part(&mut world)[at] ^= 1 << bit;
        let accepted = world.appraise_with(&rims, &policy).is_accepted();
        assert!(!accepted, "bit {bit} of byte {at}");
        part(&mut world)[at] ^= 1 << bit;
    }
}

/// One bit of each byte, not always the same.
fn one_of_each(bytes: impl Iterator<Item = usize>) -> impl Iterator<Item = (usize, u8)> {
    bytes.map(|at| (at, (at % 8) as u8))
}

fn all_of_each(bytes: impl Iterator<Item = usize>) -> impl Iterator<Item = (usize, u8)> {
    bytes.flat_map(|at| (0..8).map(move |bit| (at, bit)))
}

/// Where line feeds and the lines of hyphens stand.
fn armour(pem: &[u8]) -> Vec<usize> {
    let text = std::str::from_utf8(pem).expect("PEM is text");
    let mut places = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        match line.starts_with('-') {
            true => places.extend(at..at + line.len()),
            false => places.push(at + line.len() - 1),
        }
        at += line.len();
    }
    places
}

fn driver_manifest() -> Vec<u8> {
    World::of(&Node::hopper(1)).rims.swap_remove(0)
}

fn counts(manifest: &[u8]) -> bool {
    let root = Fingerprint(RIM_ROOT_SHA256);
    Rim::parse(manifest).is_ok_and(|rim| rim.verify(root, AT).is_ok())
}

#[track_caller]
fn no_manifest_counts(mut manifest: Vec<u8>, bits: impl IntoIterator<Item = (usize, u8)>) {
    assert!(counts(&manifest));
    for (at, bit) in bits {
        manifest[at] ^= 1 << bit;
        assert!(!counts(&manifest), "bit {bit} of byte {at}");
        manifest[at] ^= 1 << bit;
    }
}

fn begin_of(part: &str, text: &[u8]) -> usize {
    let found = text.windows(part.len()).position(|window| window == part.as_bytes());
    found.unwrap_or_else(|| panic!("the manifest has {part}"))
}

#[test]
fn no_flipped_bit_of_a_report_is_accepted() {
    let (world, policy) = device_alone();
    let bytes = world.devices[0].1.len();
    let header = all_of_each((0..4).chain(36..45));
    let signature = one_of_each(bytes - 96..bytes);
    let bits = header.chain(signature).chain(one_of_each((0..bytes).step_by(STRIDE)));
    none_is_accepted((world, policy), |world| &mut world.devices[0].1, bits);
}

#[test]
fn no_flipped_bit_of_a_chain_is_accepted() {
    let (world, policy) = device_alone();
    let chain = world.devices[0].2.clone();
    let all = one_of_each((0..chain.len()).step_by(STRIDE));
    let bits = all_of_each(armour(&chain).into_iter()).chain(all);
    none_is_accepted((world, policy), |world| &mut world.devices[0].2, bits);
}

#[test]
fn no_flipped_bit_of_an_answer_is_accepted() {
    let (world, policy) = with_answers();
    // Wrappings that nobody signs come first: status, type of response, lengths.
    let first = all_of_each(0..40).chain(one_of_each((40..world.ocsp[0].len()).step_by(STRIDE)));
    none_is_accepted((world.clone(), policy.clone()), |world| &mut world.ocsp[0], first);
    for index in 1..world.ocsp.len() {
        let bits = one_of_each((index..world.ocsp[index].len()).step_by(5 * STRIDE));
        none_is_accepted((world.clone(), policy.clone()), |world| &mut world.ocsp[index], bits);
    }
}

#[test]
fn no_flipped_bit_of_a_revocation_list_is_accepted() {
    let (world, policy) = with_lists();
    for index in 0..world.crls.len() {
        let bits = one_of_each((index..world.crls[index].len()).step_by(STRIDE));
        none_is_accepted((world.clone(), policy.clone()), |world| &mut world.crls[index], bits);
    }
}

#[test]
fn no_flipped_bit_of_a_manifests_content_is_accepted() {
    let manifest = driver_manifest();
    let content = begin_of("<ds:Signature ", &manifest);
    no_manifest_counts(manifest, one_of_each((0..content).step_by(3 * STRIDE)));
}

#[test]
fn a_manifest_is_refused_in_another_spelling() {
    let manifest = String::from_utf8(driver_manifest()).unwrap();
    let payload = begin_of("<ns0:Payload", manifest.as_bytes());
    let in_start_tag = payload + "<ns0:Payload".len();
    let changed = |at: usize, text: &str| {
        let mut changed = manifest.clone();
        changed.insert_str(at, text);
        changed.into_bytes()
    };
    for (at, text) in [
        (payload, "<!-- a comment -->"),
        (in_start_tag, " \n "),
        (in_start_tag, " "),
        (manifest.len(), " "),
        (payload, " "),
        (payload, "\n"),
        (payload, "&amp;"),
        (payload, "<a/>"),
        (payload, "<?go?>"),
        (in_start_tag, " a=\"\""),
        (in_start_tag, " xmlns:unused=\"u\""),
    ] {
        assert!(!counts(&changed(at, text)), "{text:?} at {at}");
    }
}

#[test]
fn no_flipped_bit_of_a_manifests_signature_is_accepted() {
    let manifest = driver_manifest();
    let content = begin_of("<ds:Signature ", &manifest);
    let certificates = begin_of("<ds:X509Data>", &manifest);
    no_manifest_counts(manifest, one_of_each(content..certificates));
}

#[test]
fn no_flipped_bit_of_a_manifests_certificates_is_accepted() {
    let manifest = driver_manifest();
    let certificates = begin_of("<ds:X509Data>", &manifest);
    let line_feeds = (certificates..manifest.len()).filter(|&at| manifest[at] == b'\n');
    let bits = all_of_each(line_feeds.step_by(5)).collect::<Vec<_>>();
    let all = one_of_each((certificates..manifest.len()).step_by(STRIDE));
    no_manifest_counts(manifest, bits.into_iter().chain(all));
}

#[test]
fn nothing_that_was_cut_short_is_accepted() {
    let (world, policy) = device_alone();
    let rims = world.rims();
    let accepted = |world: &World| world.appraise_with(&rims, &policy).is_accepted();
    let (report, chain) = (world.devices[0].1.len(), world.devices[0].2.len());
    for end in (0..report).rev().step_by(97) {
        let mut world = world.clone();
        world.devices[0].1.truncate(end);
        assert!(!accepted(&world), "report of {end} bytes");
    }
    // The very last line feed may be missing, as it does in chains of real switches.
    for end in (0..chain - 1).rev().step_by(97) {
        let mut world = world.clone();
        world.devices[0].2.truncate(end);
        assert!(!accepted(&world), "chain of {end} bytes");
    }
    let manifest = driver_manifest();
    for end in (0..manifest.len()).rev().step_by(997) {
        assert!(!counts(&manifest[..end]), "manifest of {end} bytes");
    }
}

/// Makes one part of a world shorter, then longer, and demands that nothing is accepted.
#[track_caller]
fn no_other_length_is_accepted(
    (world, policy): (World, Policy),
    part: impl Fn(&mut World) -> &mut Vec<u8>,
) {
    let rims = world.rims();
    let bytes = part(&mut world.clone()).len();
    for end in [0, 1, bytes / 2, bytes - 1, bytes + 1] {
        let mut world = world.clone();
        part(&mut world).resize(end, 0);
        let accepted = world.appraise_with(&rims, &policy).is_accepted();
        assert!(!accepted, "{end} of {bytes} bytes");
    }
}

#[test]
fn no_answer_of_another_length_is_accepted() {
    no_other_length_is_accepted(with_answers(), |world| &mut world.ocsp[0]);
}

#[test]
fn no_revocation_list_of_another_length_is_accepted() {
    no_other_length_is_accepted(with_lists(), |world| &mut world.crls[0]);
}

#[test]
fn no_report_of_another_length_is_accepted() {
    no_other_length_is_accepted(device_alone(), |world| &mut world.devices[0].1);
}
