//! What the attested signer vouches for: its keys now, its offer.

use subrosa_protocol::{
    Address, Amount, B256, Domain, Duration, KeyConfig, Liveness, Message, ModelOffer, Offer,
    Price, SecretKey, SignatureError, Signed, Timestamp,
};
use subrosa_verifier::{Attested, AttestedKeys, AttestedOffer, KeyRefusal, OfferRefusal};

use crate::world::*;

const OTHER_DOMAIN: Domain = Domain { chain_id: 1, escrow: DOMAIN.escrow };

fn thief() -> SecretKey {
    SecretKey::from_bytes(&[0x66; 32]).unwrap()
}

/// What a pod answers to somebody who asks for its keys.
struct Keys {
    config: KeyConfig,
    config_key: SecretKey,
    liveness: Option<Liveness>,
    liveness_key: SecretKey,
    domain: Domain,
    now: Timestamp,
}

impl Keys {
    fn of(attested: &Attested) -> Keys {
        let config = KeyConfig {
            ohttp_keys: vec![1, 2, 3].into(),
            tls_key: B256::repeat_byte(0x75),
            workload: attested.workload_digest(),
            not_before: Timestamp(NOW.0 - 600),
            not_after: Timestamp(NOW.0 + 3_000),
        };
        let (config_key, liveness_key) = (signer(), signer());
        Keys { config, config_key, liveness: None, liveness_key, domain: DOMAIN, now: NOW }
    }

    fn check(self, attested: &Attested) -> Result<AttestedKeys, KeyRefusal> {
        let honest = Liveness { nonce: OUR_NONCE, key_config: self.config.digest(&self.domain) };
        let liveness = self.liveness.unwrap_or(honest);
        let liveness = Signed::sign(liveness, &self.domain, &self.liveness_key);
        let config = Signed::sign(self.config, &self.domain, &self.config_key);
        attested.check_key_config(&config, &liveness, &OUR_NONCE, &DOMAIN, self.now)
    }
}

#[test]
fn keys_of_the_attested_signer_count() {
    let attested = World::new().attested();
    let keys = Keys::of(&attested).check(&attested).unwrap();
    assert_eq!(keys.signer(), signer().address());
    assert_eq!(keys.workload(), attested.workload_digest());
    assert_eq!(keys.ohttp_keys(), [1, 2, 3]);
    assert_eq!(keys.tls_key(), B256::repeat_byte(0x75));
    assert_eq!(keys.not_after(), Timestamp(NOW.0 + 3_000));
}

#[test]
fn keys_end_with_the_evidence_where_that_is_sooner() {
    let mut world = World::new();
    world.policy.nonce.age_max = Duration(100);
    let attested = world.attested();
    let keys = Keys::of(&attested).check(&attested).unwrap();
    assert_eq!(keys.not_after(), attested.expires());
}

/// A change to honest keys, and whether it is refused for the right reason.
type KeyCase = (fn(&mut Keys), fn(&KeyRefusal) -> bool);

#[test]
fn every_other_key_config_is_refused_by_its_reason() {
    let cases: [KeyCase; 13] = [
        (
            |keys| keys.config_key = thief(),
            |refusal| matches!(refusal, KeyRefusal::Config(SignatureError::WrongSigner { .. })),
        ),
        (
            |keys| keys.liveness_key = thief(),
            |refusal| matches!(refusal, KeyRefusal::Liveness(SignatureError::WrongSigner { .. })),
        ),
        (
            |keys| keys.domain = OTHER_DOMAIN,
            |refusal| matches!(refusal, KeyRefusal::Config(SignatureError::WrongSigner { .. })),
        ),
        (
            |keys| {
                let (nonce, key_config) = (B256::ZERO, keys.config.digest(&DOMAIN));
                keys.liveness = Some(Liveness { nonce, key_config });
            },
            |refusal| matches!(refusal, KeyRefusal::OtherNonce { .. }),
        ),
        (
            |keys| {
                let (nonce, key_config) = (OUR_NONCE, B256::repeat_byte(1));
                keys.liveness = Some(Liveness { nonce, key_config });
            },
            |refusal| matches!(refusal, KeyRefusal::OtherKeyConfig),
        ),
        (
            |keys| keys.config.workload = B256::repeat_byte(1),
            |refusal| matches!(refusal, KeyRefusal::OtherWorkload { .. }),
        ),
        (
            |keys| keys.config.not_after = Timestamp(NOW.0 + 3_001),
            |refusal| matches!(refusal, KeyRefusal::LifeTooLong { .. }),
        ),
        (
            |keys| keys.config.not_after = Timestamp(NOW.0 - 700),
            |refusal| matches!(refusal, KeyRefusal::LifeTooLong { .. }),
        ),
        (
            |keys| keys.config.not_after = Timestamp(u64::MAX),
            |refusal| matches!(refusal, KeyRefusal::LifeTooLong { .. }),
        ),
        (
            |keys| keys.now = Timestamp(NOW.0 - 601),
            |refusal| matches!(refusal, KeyRefusal::NotYetValid { .. }),
        ),
        (
            |keys| keys.now = Timestamp(NOW.0 + 3_001),
            |refusal| matches!(refusal, KeyRefusal::Expired { .. }),
        ),
        (
            |keys| keys.now = Timestamp(NOW.0 + 100_000),
            |refusal| matches!(refusal, KeyRefusal::EvidenceExpired { .. }),
        ),
        (
            |keys| {
                keys.config.not_before = Timestamp(NOW.0 - 1_200);
                keys.config.not_after = Timestamp(NOW.0 - 600);
            },
            |refusal| matches!(refusal, KeyRefusal::Expired { .. }),
        ),
    ];
    let attested = World::new().attested();
    for (case, (change, is_right)) in cases.into_iter().enumerate() {
        let mut keys = Keys::of(&attested);
        change(&mut keys);
        let refusal = keys.check(&attested).unwrap_err();
        assert!(is_right(&refusal), "case {case}: {refusal}");
    }
}

#[test]
fn the_first_and_last_second_of_keys_count() {
    let attested = World::new().attested();
    for now in [NOW.0 - 600, NOW.0 + 3_000] {
        let mut keys = Keys::of(&attested);
        keys.now = Timestamp(now);
        assert!(keys.check(&attested).is_ok(), "at {now}");
    }
}

fn offer(attested: &Attested) -> Offer {
    let price = Price { input: Amount(1), output: Amount(2) };
    let model = ModelOffer {
        digest: manifest().digest(),
        price,
        template_bound: 64,
        context_tokens: 2_048,
        output_tokens_max: 512,
    };
    Offer {
        chain_id: DOMAIN.chain_id,
        escrow: DOMAIN.escrow,
        token: Address::repeat_byte(0x70),
        payee: Address::repeat_byte(0x71),
        signer: signer().address(),
        withdraw_delay: Duration(86_400),
        workload: attested.workload_digest(),
        models: vec![model],
        expires: Timestamp(NOW.0 + 1_000),
    }
}

fn check_offer(
    attested: &Attested,
    change: impl FnOnce(&mut Offer),
) -> Result<AttestedOffer, OfferRefusal> {
    let mut offer = offer(attested);
    change(&mut offer);
    attested.check_offer(&Signed::sign(offer, &DOMAIN, &signer()), &DOMAIN, NOW)
}

#[test]
fn an_offer_of_the_attested_signer_counts() {
    let attested = World::new().attested();
    let checked = check_offer(&attested, |_| {}).unwrap();
    assert_eq!(checked.digest(), offer(&attested).digest(&DOMAIN));
    assert_eq!(checked.models.len(), 1);
}

/// A change to an honest offer, and whether it is refused for the right reason.
type OfferCase = (fn(&mut Offer), fn(&OfferRefusal) -> bool);

#[test]
fn every_other_offer_is_refused_by_its_reason() {
    let cases: [OfferCase; 6] = [
        (
            |offer| offer.signer = thief().address(),
            |refusal| matches!(refusal, OfferRefusal::OtherSigner { .. }),
        ),
        (|offer| offer.chain_id += 1, |refusal| matches!(refusal, OfferRefusal::OtherPlace { .. })),
        (
            |offer| offer.escrow = Address::ZERO,
            |refusal| matches!(refusal, OfferRefusal::OtherPlace { .. }),
        ),
        (
            |offer| offer.workload = B256::ZERO,
            |refusal| matches!(refusal, OfferRefusal::OtherWorkload { .. }),
        ),
        (
            |offer| offer.expires = Timestamp(NOW.0 - 1),
            |refusal| matches!(refusal, OfferRefusal::Expired { .. }),
        ),
        (
            |offer| offer.models[0].digest = B256::repeat_byte(9),
            |refusal| matches!(refusal, OfferRefusal::UnmeasuredModel { .. }),
        ),
    ];
    let attested = World::new().attested();
    for (case, (change, is_right)) in cases.into_iter().enumerate() {
        let refusal = check_offer(&attested, change).unwrap_err();
        assert!(is_right(&refusal), "case {case}: {refusal}");
    }
}

#[test]
fn an_offer_that_somebody_else_signed_or_for_elsewhere_is_refused() {
    let attested = World::new().attested();
    let stolen = Signed::sign(offer(&attested), &DOMAIN, &thief());
    let refusal = attested.check_offer(&stolen, &DOMAIN, NOW).unwrap_err();
    assert!(matches!(refusal, OfferRefusal::Signature(_)), "{refusal}");

    let elsewhere = Signed::sign(offer(&attested), &OTHER_DOMAIN, &signer());
    let refusal = attested.check_offer(&elsewhere, &DOMAIN, NOW).unwrap_err();
    assert!(matches!(refusal, OfferRefusal::Signature(_)), "{refusal}");
}

#[test]
fn an_offer_does_not_outlive_the_evidence() {
    let attested = World::new().attested();
    let mut lasting = offer(&attested);
    lasting.expires = Timestamp(u64::MAX);
    let signed = Signed::sign(lasting, &DOMAIN, &signer());
    let now = Timestamp(attested.expires().0 + 1);
    let refusal = attested.check_offer(&signed, &DOMAIN, now).unwrap_err();
    assert!(matches!(refusal, OfferRefusal::EvidenceExpired { .. }), "{refusal}");
    assert!(attested.check_offer(&signed, &DOMAIN, attested.expires()).is_ok());
}
