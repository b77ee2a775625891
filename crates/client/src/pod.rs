//! A pod that may be asked: attested, with keys that are alive and the offer that is registered.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use subrosa_protocol::{B256, Timestamp};
use subrosa_seal::RequestSealer;
use subrosa_verifier::{Attested, AttestedKeys, AttestedOffer};

use crate::choose::Candidate;
use crate::export::ReleasesSeen;

/// A new measurement counts for a quarter, so that one slow answer does not condemn a pod.
const LATENCY_WEIGHT: u32 = 4;

/// Keys that end within this time are fetched anew before a request is sealed to them.
const KEYS_MARGIN: subrosa_protocol::Duration = subrosa_protocol::Duration(30);

/// A pod that passed every check, and what was learnt of it since.
pub(crate) struct Pod {
    pub(crate) id: B256,
    pub(crate) endpoint: String,
    pub(crate) attested: Attested,
    pub(crate) offer: AttestedOffer,
    pub(crate) offer_base64: String,
    pub(crate) evidence: Vec<u8>,
    pub(crate) releases: ReleasesSeen,
    keys: Mutex<Keys>,
    past: Mutex<Past>,
}

/// What to seal to, and over which connection.
struct Keys {
    attested: AttestedKeys,
    http: reqwest::Client,
    /// Made ahead of time, so that a question does not wait for it; used once.
    ready: Option<RequestSealer>,
}

/// What was measured.
#[derive(Clone, Copy, Default)]
pub(crate) struct Past {
    pub(crate) latency_ms: Option<u32>,
    pub(crate) failures: u32,
}

impl Pod {
    #[expect(
        clippy::too_many_arguments,
        reason = "one caller, which has just checked each of them"
    )]
    pub(crate) fn new(
        id: B256,
        endpoint: String,
        attested: Attested,
        offer: AttestedOffer,
        offer_base64: String,
        evidence: Vec<u8>,
        releases: ReleasesSeen,
        keys: (AttestedKeys, reqwest::Client),
        past: Past,
    ) -> Pod {
        let keys = Keys { attested: keys.0, http: keys.1, ready: None };
        let (keys, past) = (Mutex::new(keys), Mutex::new(past));
        Pod { id, endpoint, attested, offer, offer_base64, evidence, releases, keys, past }
    }

    /// Whether evidence and keys last beyond this moment.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        self.attested.expires() > now
            && lock(&self.keys).attested.not_after() > now.after(KEYS_MARGIN)
    }

    /// Puts new keys in the place of the old ones.
    pub(crate) fn renew_keys(&self, attested: AttestedKeys, http: reqwest::Client) {
        *lock(&self.keys) = Keys { attested, http, ready: None };
    }

    /// A context to seal one request, and the connection to send it over; none where evidence or keys
    /// have ended: a deposit or a try before this one may have taken long.
    pub(crate) fn sealer(&self, now: Timestamp) -> Option<(RequestSealer, reqwest::Client)> {
        let mut keys = lock(&self.keys);
        if now > self.attested.expires() || now > keys.attested.not_after() {
            return None;
        }
        let ready = keys.ready.take();
        let sealer = ready.or_else(|| RequestSealer::new(keys.attested.ohttp_keys()).ok())?;
        Some((sealer, keys.http.clone()))
    }

    /// Makes the context for the next request; about 0.3 ms of one core.
    pub(crate) fn prepare(&self) {
        let list = lock(&self.keys).attested.ohttp_keys().to_vec();
        let Ok(sealer) = RequestSealer::new(&list) else { return };
        let mut keys = lock(&self.keys);
        if keys.attested.ohttp_keys() == list {
            keys.ready = Some(sealer);
        }
    }

    /// What the pod is to the scoring rule, for a request of so many bytes and tokens.
    pub(crate) fn candidate(
        &self,
        model: &B256,
        body_bytes: u64,
        max_tokens: u64,
    ) -> Option<Candidate> {
        let offered = self.offer.model(model)?;
        let Past { latency_ms, failures } = self.past();
        let max_charge = offered.max_charge(body_bytes, max_tokens);
        Some(Candidate { pod: self.id, max_charge, latency_ms, failures })
    }

    /// The name that the pod calls a model by.
    pub(crate) fn model_name(&self, model: &B256) -> Option<&str> {
        self.attested.workload().model(model).map(|model| model.name.as_str())
    }

    pub(crate) fn past(&self) -> Past {
        *lock(&self.past)
    }

    pub(crate) fn succeeded(&self, first_byte: Duration) {
        let measured = u32::try_from(first_byte.as_millis()).unwrap_or(u32::MAX);
        let mut past = lock(&self.past);
        past.failures = 0;
        past.latency_ms = Some(match past.latency_ms {
            None => measured,
            Some(before) => before - before / LATENCY_WEIGHT + measured / LATENCY_WEIGHT,
        });
    }

    pub(crate) fn failed(&self) {
        let mut past = lock(&self.past);
        past.failures = past.failures.saturating_add(1);
    }
}

/// These locks guard plain values, which a panic cannot leave half written.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
