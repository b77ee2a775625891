//! Whether the digests that a bundle calls released were so, by proof from a block of the chain.

use std::collections::BTreeSet;

use subrosa_chain::Network;
use subrosa_protocol::{B256, Duration};
use subrosa_verifier::{Outcome, Policy, ProvenReleases, ReleaseKind, ReleaseProof, Standing};

use super::{Against, BlockSeen, BundleCheck, Parts};

/// A block's time is its maker's and a receipt's time the pod's: both may be off by what a request's may.
const CLOCK_SKEW: Duration = Duration(120);

/// Adds `releases_proof` and `releases_block`.
pub(super) fn check(
    parts: &Parts,
    policy: &Policy,
    against: Against<'_>,
    checks: &mut Vec<BundleCheck>,
) {
    let (proof, block) = judge(parts, policy, against);
    let named = |name: &str, protects: &str, (outcome, seen): Judged| BundleCheck {
        name: name.into(),
        outcome,
        protects: protects.into(),
        seen,
    };
    checks.push(named("releases_proof", "an exporter that makes up what is released", proof));
    checks.push(named("releases_block", "a proof from a chain of the exporter's own", block));
}

type Judged = (Outcome, String);

fn judge(parts: &Parts, policy: &Policy, against: Against<'_>) -> (Judged, Judged) {
    let seen = &parts.bundle.releases;
    let network = against.network;
    if network.is_some_and(|network| network.chain.is_none()) {
        let pinned = (Outcome::Waived, "there is no chain: the network file pins them".into());
        let block = match against.block {
            Some(_) => (Outcome::Failed, "a network without a chain has no blocks".into()),
            None => (Outcome::Waived, "there is no chain".into()),
        };
        return (pinned, block);
    }
    let Some(proof) = &seen.proof else { return unproven(seen.block, against) };
    match proven(parts, proof, network) {
        Ok(proven) => {
            let count = proven.standings().len();
            let (chain, contract) = (proven.chain_id(), proven.contract());
            let told = format!(
                "{count} digests, contract {contract}, chain {chain}; {} bytes of proof",
                proof.size()
            );
            let proof = match network {
                Some(_) => (Outcome::Passed, told),
                // Anybody can put a contract of their own on a chain that everybody knows.
                None if against.own || named_by_policy(against) => {
                    (Outcome::Waived, format!("{told}; no network file names the contract"))
                }
                None => {
                    let told = format!(
                        "{told}; no network file names the contract: name the network, or the \
                         releases in a policy"
                    );
                    (Outcome::Absent, told)
                }
            };
            (proof, block(parts, &proven, policy, against))
        }
        Err(fault) => ((Outcome::Failed, fault), (Outcome::Absent, "nothing is proven".into())),
    }
}

/// Without a proof there is the exporter's word, which counts for nothing where a network is named.
fn unproven(at: Option<BlockSeen>, against: Against<'_>) -> (Judged, Judged) {
    let place = match at {
        Some(BlockSeen { number, .. }) => format!("as seen at block {number}"),
        None => "as a network file pinned them that you did not name".into(),
    };
    let (outcome, told) = match (against.own, against.network) {
        (true, _) => (Outcome::Waived, format!("no proof is kept: {place} by this client")),
        (false, Some(_)) => {
            let told = format!("there is no proof: {place} is the exporter's word only");
            (Outcome::Absent, told)
        }
        (false, None) if named_by_policy(against) => {
            let told = "there is no proof: your policy names the released digests".into();
            (Outcome::Waived, told)
        }
        (false, None) => {
            let told = format!(
                "there is no proof: {place} is the exporter's word only; name the network, or the \
                 releases in a policy"
            );
            (Outcome::Absent, told)
        }
    };
    let block = match against.block {
        Some(_) => (Outcome::Failed, "there is no proof of this or any block".into()),
        None => (outcome, "there is no proof of any block".into()),
    };
    ((outcome, told), block)
}

/// Whether a policy of the caller's own names images and models, so that nobody else's word is needed.
fn named_by_policy(against: Against<'_>) -> bool {
    let names = |policy: &Policy| {
        !policy.releases.measurements.is_empty() && !policy.releases.models.is_empty()
    };
    against.policy.is_some_and(names)
}

/// What the proof proves, if that is what the bundle says: these digests, this block, this chain.
fn proven(
    parts: &Parts,
    proof: &ReleaseProof,
    network: Option<&Network>,
) -> Result<ProvenReleases, String> {
    let proven = proof.verify().map_err(|refusal| refusal.to_string())?;
    let seen = &parts.bundle.releases;
    let (chain, contract) = (proven.chain_id(), proven.contract());
    if chain != parts.bundle.domain.chain_id {
        return Err(format!("the proof is of chain {chain}, the receipt of another"));
    }
    let ours = network.and_then(|network| network.chain.as_ref()).map(|chain| chain.contracts);
    if ours.is_some_and(|ours| ours.releases != contract) {
        return Err(format!("{contract} is not the network's releases contract"));
    }
    let block = proven.block();
    if seen.block != Some(BlockSeen { number: block.number, hash: block.hash }) {
        return Err("the proof is of another block than the receipt names".into());
    }
    let listed: BTreeSet<(ReleaseKind, B256)> = seen.digests().into_iter().collect();
    let about: BTreeSet<_> =
        proven.standings().iter().map(|(kind, digest, _)| (*kind, *digest)).collect();
    if listed != about {
        return Err("the proof is of other digests than the receipt lists".into());
    }
    let issued = parts.receipt.unverified().issued_at;
    for (_, digest, standing) in proven.standings() {
        match standing {
            Standing::Active { since } if *since <= issued.after(CLOCK_SKEW) => {}
            Standing::Active { since } | Standing::Pending { active_at: since } => {
                return Err(format!("{digest} was not active before {since}"));
            }
            Standing::Revoked => return Err(format!("{digest} was revoked")),
            Standing::Unpublished => return Err(format!("{digest} was never published")),
        }
    }
    Ok(proven)
}

/// Whether somebody vouches for the block, and whether it is not too old to show a revocation.
fn block(parts: &Parts, proven: &ProvenReleases, policy: &Policy, against: Against<'_>) -> Judged {
    let block = proven.block();
    let name = format!("block {} ({})", block.number, block.hash);
    let issued = parts.receipt.unverified().issued_at;
    // Evidence is kept no longer than the one, and was accepted on a view no older than the other.
    let age_max = Duration(policy.nonce.age_max.0.saturating_add(policy.nonce.view_age_max.0));
    let age = issued.since(block.timestamp);
    if age > age_max {
        let told =
            format!("{name} is {} s older than the receipt; a revocation may be hidden", age.0);
        return (Outcome::Failed, told);
    }
    let pinned = |network: &Network| network.pinned.blocks.contains(&block.hash);
    match against.block {
        Some(hash) if hash == block.hash => {
            (Outcome::Passed, format!("{name} is the one you named"))
        }
        Some(_) => (Outcome::Failed, format!("{name} is not the one you named")),
        None if against.network.is_some_and(pinned) => {
            (Outcome::Passed, format!("{name} is pinned by the network file"))
        }
        None if against.own => (Outcome::Waived, format!("{name} was seen by this client")),
        None if against.network.is_some_and(Network::is_simulated) => {
            let told = format!(
                "{name} is the exporter's word, which a simulated network lets pass: compare block \
                 {}, hash {} with an explorer and give it with --block {}",
                block.number, block.hash, block.hash
            );
            (Outcome::Waived, told)
        }
        None if against.network.is_none() && named_by_policy(against) => {
            (Outcome::Waived, format!("{name} is not needed: your policy names the releases"))
        }
        None => {
            let told = format!(
                "{name} is the exporter's word: compare block {}, hash {} with an explorer and give \
                 it with --block {}",
                block.number, block.hash, block.hash
            );
            (Outcome::Absent, told)
        }
    }
}
