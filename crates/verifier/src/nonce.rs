//! What makes evidence fresh: the nonce that the hardware signed, and how a verifier knows it.

use sha2::{Digest, Sha256};
use subrosa_protocol::{B256, Timestamp};

use crate::check::CheckName;
use crate::policy::{NonceKind, NoncePolicy};
use crate::report::Checks;

/// Separates nonces from every other hash of ours, so that no other digest can pass for one.
const NONCE_TAG: &[u8] = b"subrosa/nonce/v1";

/// Separates the bound digest from every other hash of ours.
const EVIDENCE_TAG: &[u8] = b"subrosa/evidence/v1";

/// The parts of the nonce that evidence answers (spec/evidence.md section 2).
///
/// Where the network has no chain, the last three are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce {
    /// Drawn by a verifier, or zero in evidence that is shared.
    pub verifier: B256,
    /// The chain whose block follows.
    pub chain_id: u64,
    /// The height of a recent finalised block.
    pub block_number: u64,
    /// That block's hash, which nobody knew before the block.
    pub block_hash: B256,
}

impl Nonce {
    /// SHA-256 of the tag and the parts, integers big-endian.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(NONCE_TAG)
            .chain_update(self.verifier)
            .chain_update(self.chain_id.to_be_bytes())
            .chain_update(self.block_number.to_be_bytes())
            .chain_update(self.block_hash)
            .finalize()
            .into()
    }
}

/// The 64 bytes that the hardware signs: what joins nonce, keys, devices and workload to one quote.
///
/// Its second half is zero, which tells it from the vllm-proxy layout.
pub fn report_data(nonce: &Nonce, keyset: &[u8], devices: &[u8], workload: &[u8]) -> [u8; 64] {
    let bound = Sha256::new()
        .chain_update(EVIDENCE_TAG)
        .chain_update(nonce.digest())
        .chain_update(Sha256::digest(keyset))
        .chain_update(Sha256::digest(devices))
        .chain_update(Sha256::digest(workload))
        .finalize();
    let mut data = [0; 64];
    data[..32].copy_from_slice(&bound);
    data
}

/// A block as our own node knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its time.
    pub timestamp: Timestamp,
}

/// What our own view of the chain says about the block that evidence names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChainView {
    /// The chain that we follow.
    pub chain_id: u64,
    /// Our newest finalised block.
    pub finalised: Block,
    /// Our block at the height that the evidence names, if that height is finalised.
    pub named: Option<Block>,
}

/// How the caller knows that evidence is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Freshness {
    /// The nonce that we drew and sent, where we asked for evidence of our own.
    pub nonce: Option<B256>,
    /// Our view of the chain; none on a network without one, and then `nonce` is demanded.
    pub chain: Option<ChainView>,
}

/// How long evidence counts, or nothing where a check failed.
pub(crate) fn check(
    nonce: &Nonce,
    freshness: &Freshness,
    policy: &NoncePolicy,
    now: Timestamp,
    checks: &mut Checks,
) -> Option<Timestamp> {
    let matched = match_nonce(nonce, freshness, policy);
    checks.record(CheckName::NonceMatch, matched);
    match match_block(nonce, freshness, policy, now) {
        Ok((expires, seen)) => {
            checks.pass(CheckName::BlockRecent, seen);
            Some(expires)
        }
        Err(seen) => {
            checks.fail(CheckName::BlockRecent, seen);
            None
        }
    }
}

fn match_nonce(
    nonce: &Nonce,
    freshness: &Freshness,
    policy: &NoncePolicy,
) -> Result<String, String> {
    match freshness.nonce {
        Some(ours) => match_own(nonce, ours),
        None if policy.kind == NonceKind::Own => Err("policy demands a nonce of our own".into()),
        None if freshness.chain.is_none() => {
            Err("without a chain a nonce of our own is demanded".into())
        }
        None if !nonce.verifier.is_zero() => {
            Err(format!("the evidence answers the nonce {} of somebody else", nonce.verifier))
        }
        None => Ok("shared evidence over a block".into()),
    }
}

/// Whether evidence answers a nonce that we drew.
pub(crate) fn match_own(nonce: &Nonce, ours: B256) -> Result<String, String> {
    if ours.is_zero() {
        Err("a nonce of zero asks for nothing".into())
    } else if ours == nonce.verifier {
        Ok(format!("our nonce {ours}"))
    } else {
        Err(format!("the evidence answers {}, we asked {ours}", nonce.verifier))
    }
}

fn match_block(
    nonce: &Nonce,
    freshness: &Freshness,
    policy: &NoncePolicy,
    now: Timestamp,
) -> Result<(Timestamp, String), String> {
    let Some(view) = freshness.chain else {
        let chainless =
            nonce.chain_id == 0 && nonce.block_number == 0 && nonce.block_hash.is_zero();
        return match chainless {
            true => Ok((now.after(policy.age_max), "no chain on this network".into())),
            false => Err(format!("the evidence names chain {}, we follow none", nonce.chain_id)),
        };
    };
    if nonce.chain_id != view.chain_id {
        return Err(format!("block of chain {}, we follow {}", nonce.chain_id, view.chain_id));
    }
    let view_age = now.since(view.finalised.timestamp);
    if view_age > policy.view_age_max {
        return Err(format!("our own view of the chain is {} s old", view_age.0));
    }
    let height = nonce.block_number;
    let named = match view.named {
        Some(block) if block.number == height && height <= view.finalised.number => block,
        _ => return Err(format!("block {height} is not in our finalised chain")),
    };
    if named.hash != nonce.block_hash {
        return Err(format!("block {height} is {}, not {}", named.hash, nonce.block_hash));
    }
    let age = now.since(named.timestamp);
    if age > policy.age_max {
        return Err(format!("block {height} is {} s old, at most {} s", age.0, policy.age_max.0));
    }
    Ok((named.timestamp.after(policy.age_max), format!("block {height}, {} s old", age.0)))
}
