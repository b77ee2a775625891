//! What passed: the only values with which a question may be sealed, ordered and routed.

use std::ops::Deref;

use subrosa_protocol::{
    Address, B256, Domain, KEY_CONFIG_LIFE_MAX, KeyConfig, Keyset, Liveness, Message, Offer,
    SignatureError, Signed, Timestamp, Workload,
};

use crate::nonce::Nonce;
use crate::report::Report;

/// What accepted evidence says. It is made in this crate alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub(crate) keyset: Keyset,
    pub(crate) workload: Workload,
    pub(crate) workload_digest: B256,
    pub(crate) measurement: B256,
    pub(crate) nonce: Nonce,
    pub(crate) evidence_digest: B256,
    pub(crate) report: Report,
}

impl Claims {
    /// The pod's one attested key, which signs everything else.
    pub fn signer(&self) -> Address {
        self.keyset.signer
    }

    /// The keyset.
    pub fn keyset(&self) -> &Keyset {
        &self.keyset
    }

    /// What runs there: only its models are served.
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// What the `workload` member of every message of this pod must be.
    pub fn workload_digest(&self) -> B256 {
        self.workload_digest
    }

    /// The image that booted, as releases list it.
    pub fn measurement(&self) -> B256 {
        self.measurement
    }

    /// The nonce that the evidence answered; with the height and hash of its block.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// SHA-256 of the evidence document.
    pub fn evidence_digest(&self) -> B256 {
        self.evidence_digest
    }

    /// Whether the evidence is simulated and so proves nothing about hardware.
    pub fn is_simulated(&self) -> bool {
        self.report.simulated
    }

    /// Every check that was made.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

/// A pod whose evidence passed a policy, freshly: what sealing, ordering and routing demand.
///
/// Only [`verify`](crate::verify) makes one. It holds until [`expires`](Attested::expires).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    pub(crate) claims: Claims,
    pub(crate) expires: Timestamp,
}

impl Deref for Attested {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.claims
    }
}

/// Evidence that passed a policy as of some time, whose freshness nobody can tell any more.
///
/// It is enough to check receipts by, and not enough to ask: only [`recheck`](crate::recheck) makes
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rechecked {
    pub(crate) claims: Claims,
}

impl Deref for Rechecked {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.claims
    }
}

impl Attested {
    /// When this stops counting: the earliest end of block, collateral and signer.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Checks the keys that a pod gives, with its proof of holding the signer now.
    ///
    /// # Errors
    /// [`KeyRefusal`], which says what is wrong with them; a fresh key config is worth one more
    /// try.
    ///
    /// # Security
    /// `nonce` is one that the caller drew for this exchange. Keys that did not come through here
    /// are not the pod's: whoever carries the connection could have put their own.
    pub fn check_key_config(
        &self,
        config: &Signed<KeyConfig>,
        liveness: &Signed<Liveness>,
        nonce: &B256,
        domain: &Domain,
        now: Timestamp,
    ) -> Result<AttestedKeys, KeyRefusal> {
        if now > self.expires {
            return Err(KeyRefusal::EvidenceExpired { expires: self.expires, now });
        }
        let keys = config.verify(domain, self.signer()).map_err(KeyRefusal::Config)?;
        let alive = liveness.verify(domain, self.signer()).map_err(KeyRefusal::Liveness)?;
        if alive.nonce != *nonce {
            return Err(KeyRefusal::OtherNonce { got: alive.nonce, expected: *nonce });
        }
        if alive.key_config != keys.digest(domain) {
            return Err(KeyRefusal::OtherKeyConfig);
        }
        if keys.workload != self.workload_digest() {
            let (got, expected) = (keys.workload, self.workload_digest());
            return Err(KeyRefusal::OtherWorkload { got, expected });
        }
        let (not_before, not_after) = (keys.not_before, keys.not_after);
        if not_after < not_before || not_after.since(not_before) > KEY_CONFIG_LIFE_MAX {
            return Err(KeyRefusal::LifeTooLong { not_before, not_after });
        }
        if now < not_before {
            return Err(KeyRefusal::NotYetValid { not_before, now });
        }
        if now > not_after {
            return Err(KeyRefusal::Expired { not_after, now });
        }
        Ok(AttestedKeys {
            signer: self.signer(),
            workload: keys.workload,
            ohttp_keys: keys.ohttp_keys.to_vec(),
            tls_key: keys.tls_key,
            not_after: not_after.min(self.expires),
        })
    }

    /// Checks an offer against the pod that it came from.
    ///
    /// # Errors
    /// [`OfferRefusal`], which says what is wrong with it.
    pub fn check_offer(
        &self,
        offer: &Signed<Offer>,
        domain: &Domain,
        now: Timestamp,
    ) -> Result<AttestedOffer, OfferRefusal> {
        if now > self.expires {
            return Err(OfferRefusal::EvidenceExpired { expires: self.expires, now });
        }
        let stated = offer.verify(domain, self.signer())?;
        if stated.signer != self.signer() {
            return Err(OfferRefusal::OtherSigner { got: stated.signer, expected: self.signer() });
        }
        let place = Domain { chain_id: stated.chain_id, escrow: stated.escrow };
        if place != *domain {
            return Err(OfferRefusal::OtherPlace {
                chain_id: place.chain_id,
                escrow: place.escrow,
            });
        }
        if stated.workload != self.workload_digest() {
            let (got, expected) = (stated.workload, self.workload_digest());
            return Err(OfferRefusal::OtherWorkload { got, expected });
        }
        if now > stated.expires {
            return Err(OfferRefusal::Expired { expires: stated.expires, now });
        }
        let unmeasured = |digest: &&B256| self.workload().model(digest).is_none();
        if let Some(digest) = stated.models.iter().map(|model| &model.digest).find(unmeasured) {
            return Err(OfferRefusal::UnmeasuredModel { digest: *digest });
        }
        Ok(AttestedOffer { digest: offer.digest(domain), offer: stated.clone() })
    }
}

/// Keys that an attested signer vouches for and was there to vouch for. It is made in this crate
/// alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedKeys {
    signer: Address,
    workload: B256,
    ohttp_keys: Vec<u8>,
    tls_key: B256,
    not_after: Timestamp,
}

impl AttestedKeys {
    /// Whose keys they are.
    pub fn signer(&self) -> Address {
        self.signer
    }

    /// The digest of the keyset and workload behind them.
    pub fn workload(&self) -> B256 {
        self.workload
    }

    /// What to seal to: the key configurations of RFC 9458 section 3.2.
    pub fn ohttp_keys(&self) -> &[u8] {
        &self.ohttp_keys
    }

    /// SHA-256 of the SubjectPublicKeyInfo that the connection must show.
    pub fn tls_key(&self) -> B256 {
        self.tls_key
    }

    /// When to ask for new ones: the end of the key config or of the evidence, whichever is first.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

/// An offer of an attested pod, for models that it has measured. It is made in this crate alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedOffer {
    offer: Offer,
    digest: B256,
}

impl AttestedOffer {
    /// The digest that orders name.
    pub fn digest(&self) -> B256 {
        self.digest
    }
}

impl Deref for AttestedOffer {
    type Target = Offer;

    fn deref(&self) -> &Offer {
        &self.offer
    }
}

/// Why keys do not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// The key config is not signed by the attested signer.
    #[error("key config: {0}")]
    Config(SignatureError),
    /// The evidence itself has to be fetched anew.
    #[error("the evidence expired at {expires}, it is {now}; fetch it anew")]
    EvidenceExpired {
        /// When it did.
        expires: Timestamp,
        /// The time.
        now: Timestamp,
    },
    /// The keys have ended.
    #[error("the keys ended at {not_after}, it is {now}; fetch new ones")]
    Expired {
        /// When they did.
        not_after: Timestamp,
        /// The time.
        now: Timestamp,
    },
    /// The keys would live longer than an hour, or end before they begin.
    #[error("the keys run from {not_before} to {not_after}, longer than an hour or backwards")]
    LifeTooLong {
        /// Their beginning.
        not_before: Timestamp,
        /// Their end.
        not_after: Timestamp,
    },
    /// The proof of liveness is not signed by the attested signer.
    #[error("liveness: {0}")]
    Liveness(SignatureError),
    /// The keys have not begun.
    #[error("the keys begin at {not_before}, it is {now}")]
    NotYetValid {
        /// When they do.
        not_before: Timestamp,
        /// The time.
        now: Timestamp,
    },
    /// The proof of liveness is for another key config.
    #[error("the proof of liveness is for another key config")]
    OtherKeyConfig,
    /// The proof of liveness answers somebody else, or an earlier question of ours.
    #[error("the proof of liveness answers {got}, we asked {expected}")]
    OtherNonce {
        /// What it answers.
        got: B256,
        /// What we asked.
        expected: B256,
    },
    /// The keys belong to another keyset or workload than the attested ones.
    #[error("the keys are of workload {got}, attested is {expected}")]
    OtherWorkload {
        /// Theirs.
        got: B256,
        /// The attested one.
        expected: B256,
    },
}

/// Why an offer does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferRefusal {
    /// The evidence itself has to be fetched anew.
    #[error("the evidence expired at {expires}, it is {now}; fetch it anew")]
    EvidenceExpired {
        /// When it did.
        expires: Timestamp,
        /// The time.
        now: Timestamp,
    },
    /// The offer has ended.
    #[error("the offer ended at {expires}, it is {now}")]
    Expired {
        /// When it did.
        expires: Timestamp,
        /// The time.
        now: Timestamp,
    },
    /// The offer is for another chain or escrow.
    #[error("the offer is for chain {chain_id} and escrow {escrow}, which are not ours")]
    OtherPlace {
        /// Its chain.
        chain_id: u64,
        /// Its escrow.
        escrow: Address,
    },
    /// The offer names another signer than the one that signed it.
    #[error("the offer names the signer {got}, attested is {expected}")]
    OtherSigner {
        /// Whom it names.
        got: Address,
        /// The attested one.
        expected: Address,
    },
    /// The offer belongs to another keyset or workload than the attested ones.
    #[error("the offer is of workload {got}, attested is {expected}")]
    OtherWorkload {
        /// Its own.
        got: B256,
        /// The attested one.
        expected: B256,
    },
    /// The offer is not signed by the attested signer.
    #[error("offer: {0}")]
    Signature(#[from] SignatureError),
    /// The offer sells a model that is not in the workload, which would be served unmeasured.
    #[error("the offer sells model {digest}, which the workload does not have")]
    UnmeasuredModel {
        /// The model.
        digest: B256,
    },
}
