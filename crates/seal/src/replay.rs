//! What stops a sealed request from being played again (spec/seal.md 6).

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};
use subrosa_protocol::{Duration, Timestamp};

/// How far the time inside a request may be from the pod's clock, either way.
pub const TIME_SKEW: Duration = Duration(120);
/// How many requests a guard remembers unless told otherwise: 546 a second for the whole window, in
/// some 15 MB.
pub const REPLAY_ENTRIES_MAX: usize = 131_072;

/// The digest of an encapsulated key, which no two honest requests share.
type Mark = [u8; 32];

/// Remembers the encapsulated keys of the requests that could still be accepted.
///
/// One guard serves all keys of a pod and all its threads. It is bounded: when it is full of
/// requests that could be replayed, further ones are refused until some have expired.
#[derive(Debug)]
pub struct ReplayGuard {
    capacity: usize,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    marks: HashSet<Mark>,
    /// The marks by the last second at which their request is still timely.
    expiries: BTreeMap<Timestamp, Vec<Mark>>,
    /// The latest time ever seen: what was timely before it may have been forgotten.
    horizon: Timestamp,
}

/// What the guard has against a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspicion {
    Full,
    Replayed,
    Stale,
}

impl Default for ReplayGuard {
    fn default() -> ReplayGuard {
        ReplayGuard::new(REPLAY_ENTRIES_MAX)
    }
}

impl ReplayGuard {
    /// A guard that remembers at most `capacity` requests.
    pub fn new(capacity: usize) -> ReplayGuard {
        ReplayGuard { capacity, seen: Mutex::default() }
    }

    /// Whether a request with this encapsulated key was admitted and is still remembered.
    pub(crate) fn knows(&self, encapsulated_key: &[u8]) -> bool {
        self.seen().marks.contains(&mark(encapsulated_key))
    }

    /// Admits a request of the time `sent` once.
    pub(crate) fn admit(
        &self,
        encapsulated_key: &[u8],
        sent: Timestamp,
        now: Timestamp,
    ) -> Result<(), Suspicion> {
        let mut seen = self.seen();
        seen.advance(now);
        // Measured from the horizon, a clock that is set back (by a hostile host, say) makes no
        // request timely again that may have been forgotten.
        let expiry = sent.after(TIME_SKEW);
        if expiry < seen.horizon || sent > now.after(TIME_SKEW) {
            return Err(Suspicion::Stale);
        }
        let mark = mark(encapsulated_key);
        if seen.marks.contains(&mark) {
            return Err(Suspicion::Replayed);
        }
        if seen.marks.len() >= self.capacity {
            return Err(Suspicion::Full);
        }
        seen.marks.insert(mark);
        seen.expiries.entry(expiry).or_default().push(mark);
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Every mark is inserted before its expiry, so that a panic in between only remembers more.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Forgets what is no longer timely.
    fn advance(&mut self, now: Timestamp) {
        self.horizon = self.horizon.max(now);
        let timely = self.expiries.split_off(&self.horizon);
        for mark in std::mem::replace(&mut self.expiries, timely).into_values().flatten() {
            self.marks.remove(&mark);
        }
    }
}

fn mark(encapsulated_key: &[u8]) -> Mark {
    Sha256::digest(encapsulated_key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn a_request_is_admitted_once_while_it_is_timely() {
        let guard = ReplayGuard::new(8);
        assert_eq!(guard.admit(b"a", NOW, NOW), Ok(()));
        assert_eq!(guard.admit(b"a", NOW, NOW), Err(Suspicion::Replayed));
        let last = NOW.after(TIME_SKEW);
        assert_eq!(guard.admit(b"a", NOW, last), Err(Suspicion::Replayed));
        assert_eq!(guard.admit(b"a", NOW, last.after(Duration(1))), Err(Suspicion::Stale));
    }

    #[test]
    fn a_request_from_too_far_in_the_future_is_stale() {
        let guard = ReplayGuard::new(8);
        assert_eq!(guard.admit(b"a", NOW.after(TIME_SKEW), NOW), Ok(()));
        let too_late = NOW.after(Duration(TIME_SKEW.0 + 1));
        assert_eq!(guard.admit(b"b", too_late, NOW), Err(Suspicion::Stale));
    }

    #[test]
    fn a_full_guard_refuses_and_makes_room_as_requests_expire() {
        let guard = ReplayGuard::new(2);
        guard.admit(b"a", NOW, NOW).unwrap();
        guard.admit(b"b", NOW, NOW).unwrap();
        assert_eq!(guard.admit(b"c", NOW, NOW), Err(Suspicion::Full));
        let later = NOW.after(Duration(TIME_SKEW.0 + 1));
        assert_eq!(guard.admit(b"c", later, later), Ok(()));
        assert_eq!(guard.seen().marks.len(), 1);
        assert_eq!(guard.seen().expiries.len(), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_timely_again() {
        let guard = ReplayGuard::new(2);
        guard.admit(b"a", NOW, NOW).unwrap();
        let later = NOW.after(Duration(1_000));
        guard.admit(b"b", later, later).unwrap();
        assert!(!guard.knows(b"a"));
        assert_eq!(guard.admit(b"a", NOW, NOW), Err(Suspicion::Stale));
    }
}
