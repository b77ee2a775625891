//! The pod's offers: signed once, kept, and the same bytes after a restart (spec/pod.md 3).

use std::sync::{Arc, RwLock};

use subrosa_channel::payee::Terms;
use subrosa_engine::ServedModel;
use subrosa_protocol::{
    Address, B256, Domain, Duration, ModelOffer, Offer, Price, SecretKey, Signed, Timestamp,
};

const WEEK: Duration = Duration(7 * 24 * 3_600);

/// All that an offer says but its end.
#[derive(Clone, Debug)]
pub(crate) struct OfferPlan {
    pub(crate) domain: Domain,
    pub(crate) token: Address,
    pub(crate) payee: Address,
    pub(crate) withdraw_delay: Duration,
    pub(crate) workload: B256,
    pub(crate) models: Vec<ModelOffer>,
    pub(crate) weeks: u64,
    pub(crate) allow_list: Vec<Address>,
}

/// The current offer, and those before it that still run.
pub(crate) struct OfferDesk {
    plan: OfferPlan,
    signer: SecretKey,
    state: RwLock<State>,
}

struct State {
    current: Arc<Signed<Offer>>,
    running: Vec<Offer>,
    terms: Arc<Terms>,
}

impl OfferDesk {
    /// Takes up the newest offer that still says what the pod would say, or signs a new one; true where
    /// it is new and must be kept before anyone sees it.
    pub(crate) fn open(
        plan: OfferPlan,
        signer: SecretKey,
        kept: Vec<Signed<Offer>>,
        now: Timestamp,
    ) -> (OfferDesk, bool) {
        let address = signer.address();
        let ours: Vec<Signed<Offer>> =
            kept.into_iter().filter(|offer| offer.verify(&plan.domain, address).is_ok()).collect();
        let found = ours.iter().find(|offer| plan.is_current(offer.unverified(), address, now));
        let (current, is_new) = match found {
            Some(offer) => (offer.clone(), false),
            None => (plan.sign(&signer, now), true),
        };
        // An offer for another workload is not served any more, whenever it ends.
        let served = |offer: &Offer| offer.workload == plan.workload;
        let mut running: Vec<Offer> =
            ours.iter().map(|offer| offer.unverified().clone()).filter(served).collect();
        if is_new {
            running.push(current.unverified().clone());
        }
        let terms = plan.terms(address, &running);
        let state = RwLock::new(State { current: Arc::new(current), running, terms });
        (OfferDesk { plan, signer, state }, is_new)
    }

    /// The offer that callers are given.
    pub(crate) fn current(&self) -> Arc<Signed<Offer>> {
        Arc::clone(&self.read().current)
    }

    /// The terms that all running offers make.
    pub(crate) fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.read().terms)
    }

    /// The next offer, when the current one nears its end.
    pub(crate) fn successor(&self, now: Timestamp) -> Option<Signed<Offer>> {
        let current = self.current();
        let current = current.unverified();
        let due = !self.plan.is_current(current, self.signer.address(), now);
        due.then(|| self.plan.sign(&self.signer, now))
    }

    /// Takes orders under an offer that is kept: callers may see it in the registry any moment.
    pub(crate) fn accept(&self, offer: &Signed<Offer>, now: Timestamp) {
        let mut state = self.write();
        state.running.retain(|running| running.expires > now);
        state.running.push(offer.unverified().clone());
        state.terms = self.plan.terms(self.signer.address(), &state.running);
    }

    /// Gives out an offer that is accepted and registered.
    pub(crate) fn give_out(&self, offer: Signed<Offer>) {
        self.write().current = Arc::new(offer);
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().expect("no holder of this lock panics")
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().expect("no holder of this lock panics")
    }
}

impl OfferPlan {
    fn life(&self) -> Duration {
        Duration(self.weeks * WEEK.0)
    }

    /// Whether an offer says what the pod says now, and lasts a good while.
    fn is_current(&self, offer: &Offer, signer: Address, now: Timestamp) -> bool {
        let enough_left = offer.expires.since(now) > Duration(self.life().0 / 4);
        enough_left && *offer == self.offer(signer, offer.expires)
    }

    fn sign(&self, signer: &SecretKey, now: Timestamp) -> Signed<Offer> {
        let offer = self.offer(signer.address(), now.after(self.life()));
        Signed::sign(offer, &self.domain, signer)
    }

    fn offer(&self, signer: Address, expires: Timestamp) -> Offer {
        Offer {
            chain_id: self.domain.chain_id,
            escrow: self.domain.escrow,
            token: self.token,
            payee: self.payee,
            signer,
            withdraw_delay: self.withdraw_delay,
            workload: self.workload,
            models: self.models.clone(),
            expires,
        }
    }

    fn terms(&self, signer: Address, running: &[Offer]) -> Arc<Terms> {
        let (offers, allowed) = (running.to_vec(), self.allow_list.clone());
        Arc::new(Terms::new(self.domain, signer, offers, allowed))
    }
}

/// The entry of an offer for a model at a price.
pub(crate) fn model_offer(model: &ServedModel, price: Price) -> ModelOffer {
    ModelOffer {
        digest: model.digest,
        price,
        template_bound: model.template_bound,
        context_tokens: model.context_tokens,
        output_tokens_max: model.output_tokens_max,
    }
}

#[cfg(test)]
mod tests {
    use subrosa_protocol::Amount;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn plan() -> OfferPlan {
        OfferPlan {
            domain: Domain::default(),
            token: Address::ZERO,
            payee: Address::ZERO,
            withdraw_delay: Duration(86_400),
            workload: B256::repeat_byte(1),
            models: vec![],
            weeks: 4,
            allow_list: vec![],
        }
    }

    fn key() -> SecretKey {
        SecretKey::from_bytes(&[1; 32]).unwrap()
    }

    #[test]
    fn a_restart_keeps_the_same_offer_bytes() {
        let (first, is_new) = OfferDesk::open(plan(), key(), vec![], NOW);
        assert!(is_new);
        let kept = vec![(*first.current()).clone()];
        let (second, is_new) = OfferDesk::open(plan(), key(), kept, NOW.after(WEEK));
        assert!(!is_new);
        assert_eq!(first.current().to_bytes(), second.current().to_bytes());
    }

    #[test]
    fn another_price_workload_or_signer_makes_a_new_offer() {
        let (first, _) = OfferDesk::open(plan(), key(), vec![], NOW);
        let kept = vec![(*first.current()).clone()];
        let price = Price { input: Amount(1), output: Amount(2) };
        let model = ModelOffer {
            digest: B256::ZERO,
            price,
            template_bound: 1,
            context_tokens: 2,
            output_tokens_max: 3,
        };
        let dearer = OfferPlan { models: vec![model], ..plan() };
        assert!(OfferDesk::open(dearer, key(), kept.clone(), NOW).1);
        let other = OfferPlan { workload: B256::repeat_byte(2), ..plan() };
        assert!(OfferDesk::open(other, key(), kept.clone(), NOW).1);
        let signer = SecretKey::from_bytes(&[2; 32]).unwrap();
        assert!(OfferDesk::open(plan(), signer, kept, NOW).1);
    }

    #[test]
    fn a_successor_is_due_in_the_last_quarter_and_both_are_taken_meanwhile() {
        let (desk, _) = OfferDesk::open(plan(), key(), vec![], NOW);
        let first = desk.current().digest(&Domain::default());
        assert!(desk.successor(NOW.after(Duration(2 * WEEK.0))).is_none());
        let late = NOW.after(Duration(3 * WEEK.0));
        let next = desk.successor(late).unwrap();
        let second = next.digest(&Domain::default());
        desk.accept(&next, late);
        desk.give_out(next);
        assert!(desk.terms().offer(&first).is_some() && desk.terms().offer(&second).is_some());
        assert_eq!(desk.current().digest(&Domain::default()), second);
    }
}
