//! Sealing keys: rotated with overlap, signed by the attested signer (spec/pod.md 4).

use std::sync::{Arc, RwLock};
use std::time::Duration;

use subrosa_protocol::{
    B256, Bytes, Domain, KEY_CONFIG_LIFE_MAX, KeyConfig, SecretKey, Signed, Timestamp,
};
use subrosa_seal::{InnerRequest, KeyRing, OpenRefusal, ReplayGuard, ResponseSealer};

use crate::clock;

/// A caller whose clock is behind by this much still finds a fresh key valid.
const CLOCK_SKEW: subrosa_protocol::Duration = subrosa_protocol::Duration(60);

/// How often the ring is looked at, as it asks.
const MAINTENANCE: Duration = Duration::from_secs(30);

/// What signs key configs, and what they say besides the sealing keys.
pub(crate) struct KeySigner {
    pub(crate) key: SecretKey,
    pub(crate) domain: Domain,
    pub(crate) tls_key: B256,
    pub(crate) workload: B256,
}

/// The keys that requests are opened with, and the signed config that names them.
pub(crate) struct KeyDesk {
    signer: KeySigner,
    ring: RwLock<KeyRing>,
    guard: ReplayGuard,
    config: RwLock<Arc<Signed<KeyConfig>>>,
}

impl KeyDesk {
    pub(crate) fn new(signer: KeySigner) -> KeyDesk {
        let ring = KeyRing::new(clock::now());
        let config = RwLock::new(Arc::new(signer.sign(&ring)));
        KeyDesk { signer, ring: RwLock::new(ring), guard: ReplayGuard::default(), config }
    }

    /// The newest key config.
    pub(crate) fn config(&self) -> Arc<Signed<KeyConfig>> {
        Arc::clone(&self.config.read().expect("no holder of this lock panics"))
    }

    /// Opens a sealed request. It may take a millisecond of computing.
    pub(crate) fn open(
        &self,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<(InnerRequest, ResponseSealer), OpenRefusal> {
        self.ring.read().expect("no holder of this lock panics").open(sealed, now, &self.guard)
    }

    /// Rotates for ever; the owner drops the future to stop it.
    pub(crate) async fn keep_rotating(&self) {
        loop {
            tokio::time::sleep(MAINTENANCE).await;
            self.maintain(clock::now());
        }
    }

    fn maintain(&self, now: Timestamp) {
        let mut ring = self.ring.write().expect("no holder of this lock panics");
        if ring.maintain(now) {
            let config = Arc::new(self.signer.sign(&ring));
            *self.config.write().expect("no holder of this lock panics") = config;
            tracing::info!(key = ring.current().id(), "the sealing key was rotated");
        }
    }
}

impl KeySigner {
    fn sign(&self, ring: &KeyRing) -> Signed<KeyConfig> {
        let not_before = ring.current().not_before().before(CLOCK_SKEW);
        let config = KeyConfig {
            ohttp_keys: Bytes::copy_from_slice(ring.config_list()),
            tls_key: self.tls_key,
            workload: self.workload,
            not_before,
            not_after: not_before.after(KEY_CONFIG_LIFE_MAX),
        };
        Signed::sign(config, &self.domain, &self.key)
    }
}

#[cfg(test)]
mod tests {
    use subrosa_seal::{Envelope, KEY_ROTATION, Pacing, RequestSealer};

    use super::*;

    fn desk() -> KeyDesk {
        let key = SecretKey::from_bytes(&[1; 32]).unwrap();
        let domain = Domain::default();
        KeyDesk::new(KeySigner { key, domain, tls_key: B256::ZERO, workload: B256::ZERO })
    }

    fn sealed_to(config: &Signed<KeyConfig>, now: Timestamp) -> Vec<u8> {
        let request = InnerRequest {
            method: "GET".into(),
            path: "/v1/models".into(),
            headers: vec![],
            body: vec![],
            envelope: Envelope { time: now, ..Envelope::default() },
            pacing: Pacing::Off,
        };
        let sealer = RequestSealer::new(&config.unverified().ohttp_keys).unwrap();
        sealer.seal(&request).unwrap().0
    }

    #[test]
    fn an_old_key_opens_until_its_config_has_ended_and_no_longer() {
        let desk = desk();
        let old = desk.config();
        let rotation = clock::now().after(KEY_ROTATION);
        desk.maintain(rotation);
        let new = desk.config();
        assert_ne!(old.unverified().ohttp_keys, new.unverified().ohttp_keys);
        assert!(desk.open(&sealed_to(&old, rotation), rotation).is_ok());
        assert!(desk.open(&sealed_to(&new, rotation), rotation).is_ok());

        let late = rotation.after(KEY_CONFIG_LIFE_MAX);
        desk.maintain(late);
        assert!(old.unverified().not_after < late);
        let refusal = desk.open(&sealed_to(&old, late), late).unwrap_err();
        assert!(refusal.asks_for_new_key());
    }

    #[test]
    fn a_key_config_lives_no_longer_than_the_protocol_allows() {
        let config = desk().config();
        let config =
            config.verify(&Domain::default(), SecretKey::from_bytes(&[1; 32]).unwrap().address());
        let config = config.unwrap();
        assert_eq!(config.not_after.since(config.not_before), KEY_CONFIG_LIFE_MAX);
    }
}
