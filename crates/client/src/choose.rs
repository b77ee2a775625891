//! Which pod to ask: a written rule over price, measured latency, failures.
//!
//! A pure function: the same candidates, history and seed give the same order. Lower scores are better:
//!
//! ```text
//! score = price · (1 + latency_ms / 1000) · 2^failures      failures: recent, capped at FAILURES_MAX
//! ```
//!
//! Price is what the request costs at most; a pod that costs nothing counts as one atomic unit, so that
//! latency and failures still order free pods. Equal scores are ordered by a hash of the seed.

use subrosa_protocol::{Amount, B256, hash::sha256};

/// Failures past this many make a pod no worse: it is already the last.
const FAILURES_MAX: u32 = 16;

/// The latency, in milliseconds, of a pod that was never measured: neither praise nor blame.
const LATENCY_UNKNOWN_MS: u32 = 250;

/// What is known about a pod that could answer a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The pod's id in the registry.
    pub pod: B256,
    /// The most that the request can cost there.
    pub max_charge: Amount,
    /// The smoothed time to the first byte of an answer, if it was ever measured.
    pub latency_ms: Option<u32>,
    /// Failures since the last success.
    pub failures: u32,
}

/// The candidates, best first.
pub fn rank(mut candidates: Vec<Candidate>, seed: u64) -> Vec<Candidate> {
    candidates.sort_by_cached_key(|candidate| (score(candidate), tie_break(candidate, seed)));
    candidates
}

fn score(candidate: &Candidate) -> u128 {
    let price = candidate.max_charge.0.max(1);
    let latency = u128::from(candidate.latency_ms.unwrap_or(LATENCY_UNKNOWN_MS));
    let doubled = 1u128 << candidate.failures.min(FAILURES_MAX);
    // In thousandths, so that the latency factor needs no fractions.
    price.saturating_mul(1_000 + latency).saturating_mul(doubled)
}

fn tie_break(candidate: &Candidate, seed: u64) -> B256 {
    sha256(&[candidate.pod.as_slice(), &seed.to_be_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(pod: u8, max_charge: u128) -> Candidate {
        let pod = B256::repeat_byte(pod);
        Candidate { pod, max_charge: Amount(max_charge), latency_ms: None, failures: 0 }
    }

    fn first(candidates: Vec<Candidate>) -> u8 {
        rank(candidates, 7)[0].pod[0]
    }

    #[test]
    fn prefers_the_cheaper_pod() {
        assert_eq!(first(vec![candidate(1, 20), candidate(2, 10)]), 2);
    }

    #[test]
    fn a_slow_pod_must_be_cheaper_to_win() {
        let slow = Candidate { latency_ms: Some(3_000), ..candidate(1, 10) };
        let fast = Candidate { latency_ms: Some(100), ..candidate(2, 20) };
        assert_eq!(first(vec![slow, fast]), 2);
    }

    #[test]
    fn a_failing_pod_falls_behind_a_dearer_one() {
        let failing = Candidate { failures: 2, ..candidate(1, 10) };
        assert_eq!(first(vec![failing, candidate(2, 30)]), 2);
    }

    #[test]
    fn equal_pods_are_shared_out_by_seed_and_nothing_else() {
        let pods: Vec<_> = (0..4).map(|pod| candidate(pod, 10)).collect();
        let mut reversed = pods.clone();
        reversed.reverse();
        let chosen = |seed| rank(pods.clone(), seed)[0].pod[0];
        assert_eq!(rank(pods.clone(), 3), rank(reversed, 3));
        let seen: std::collections::BTreeSet<u8> = (0..64).map(chosen).collect();
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn the_largest_price_does_not_overflow() {
        let dear =
            Candidate { failures: 99, latency_ms: Some(u32::MAX), ..candidate(1, u128::MAX) };
        assert_eq!(first(vec![dear, candidate(2, 1)]), 2);
    }
}
