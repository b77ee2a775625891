//! One account's ledger at the payer: deposit, ceiling, orders in flight, receipts.

use std::collections::BTreeMap;

use subrosa_protocol::{
    Account, Address, Amount, B256, ChannelConfig, ChannelId, Domain, Duration, Order, Price,
    Receipt, RequestId, SecretKey, SignatureError, Signed, Timestamp, Voucher,
};

use super::chain::{Chain, Fit};
use super::{Evidence, Fault, Record};

/// A new ceiling covers this many further orders of the same size, so that a conversation does not
/// sign a voucher for every question, while what a pod could at worst claim stays small.
pub const HEADROOM_ORDERS: u128 = 8;

/// How long after its expiry an order still counts as open: it may have been admitted in its last
/// second and be generating since.
pub const ORDER_GRACE: Duration = Duration(3_600);

/// The books of one account, rebuilt from its records and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    domain: Domain,
    account: Account,
    signer: Address,
    config: Option<ChannelConfig>,
    balance: Amount,
    voucher: Option<Signed<Voucher>>,
    /// The highest ceiling that a receipt showed the pod to have. Memory only: after a restart the
    /// voucher is sent once more.
    ceiling_seen: Amount,
    orders: BTreeMap<RequestId, Ordered>,
    chain: Chain,
    evidence: Option<Evidence>,
}

/// An order that was signed, with what its receipt must say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ordered {
    order: Signed<Order>,
    model: B256,
    price: Price,
    workload: B256,
    /// Whether it may still be charged.
    open: bool,
}

/// What to order.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The digest of the offer.
    pub offer: B256,
    /// The digest of the model.
    pub model: B256,
    /// What tokens cost under that offer.
    pub price: Price,
    /// The digest of the keyset and workload that must answer.
    pub workload: B256,
    /// A fresh random id; the same again to sign an order anew under a higher ceiling.
    pub request_id: RequestId,
    /// The hash of the request.
    pub request_hash: B256,
    /// The most that it can cost.
    pub max_charge: Amount,
    /// When the order ends.
    pub expires: Timestamp,
}

/// A signed order, and the voucher that goes beside it. Persist the records before they leave.
#[derive(Clone, Debug)]
#[must_use = "the records must reach the disk before the order leaves"]
pub struct Placed {
    /// The order.
    pub order: Signed<Order>,
    /// The voucher, until the pod is known to have one as high.
    pub voucher: Option<Signed<Voucher>>,
    /// What must be on disk first.
    pub records: Vec<Record>,
}

/// What came of a receipt. The records must be persisted whatever the outcome.
#[derive(Clone, Debug)]
#[must_use = "the records must reach the disk, whatever the outcome"]
pub struct Verdict {
    /// What must be on disk.
    pub records: Vec<Record>,
    /// The order that the receipt answers, or why it is not believed.
    pub outcome: Result<RequestId, Fault>,
}

/// Why no order is signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefusal {
    /// The deposit does not cover it.
    #[error("the channel holds {balance}, {needed} is needed; deposit more")]
    BalanceTooLow {
        /// What the channel holds in all.
        balance: Amount,
        /// What was charged, may still be charged, and this order's most.
        needed: Amount,
    },
    /// The pod signed a contradiction before.
    #[error("this pod's receipts are proved false ({code}); withdraw, and ask another pod")]
    Distrusted {
        /// The fault's name.
        code: String,
    },
    /// The id stands for another request already, or was charged.
    #[error("the order id {request} was used already; draw a new one")]
    OrderIdUsed {
        /// The id.
        request: RequestId,
    },
}

/// Why a pod's account of things is not adopted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResyncError {
    /// The receipt is not to be believed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The voucher is not this payer's.
    #[error("the voucher that the pod shows is not this payer's: {0}")]
    Voucher(SignatureError),
    /// The voucher is for another channel.
    #[error("the voucher that the pod shows is for another channel")]
    VoucherChannel,
}

impl Ledger {
    /// Opens a channel's ledger, and returns the record of it. The pod's signer is the channel's
    /// `receiverAuthorizer`.
    pub fn open_channel(domain: Domain, config: ChannelConfig) -> (Ledger, Record) {
        let account = Account::from(config.id(&domain));
        Ledger::open(domain, account, config.receiver_authorizer, Some(config))
    }

    /// Opens an allow-listed address's ledger with one pod, and returns the record of it.
    pub fn open_free(domain: Domain, address: Address, signer: Address) -> (Ledger, Record) {
        Ledger::open(domain, address.into(), signer, None)
    }

    fn open(
        domain: Domain,
        account: Account,
        signer: Address,
        config: Option<ChannelConfig>,
    ) -> (Ledger, Record) {
        let record = Record::Opened { account, signer, config: config.clone() };
        let ledger = Ledger {
            domain,
            account,
            signer,
            config,
            balance: Amount::ZERO,
            voucher: None,
            ceiling_seen: Amount::ZERO,
            orders: BTreeMap::new(),
            chain: Chain::default(),
            evidence: None,
        };
        (ledger, record)
    }

    /// The ledger that one account's records leave; the first must be [`Record::Opened`].
    ///
    /// Returns none where it is not, or a later record is about another account.
    pub fn restore(domain: Domain, records: impl IntoIterator<Item = Record>) -> Option<Ledger> {
        let mut records = records.into_iter();
        let Some(Record::Opened { account, signer, config }) = records.next() else { return None };
        let (mut ledger, _) = Ledger::open(domain, account, signer, config);
        for record in records {
            if record.account() != account {
                return None;
            }
            ledger.apply(&record);
        }
        Some(ledger)
    }

    /// The account.
    pub fn account(&self) -> Account {
        self.account
    }

    /// The pod's signer.
    pub fn signer(&self) -> Address {
        self.signer
    }

    /// The channel, if the account is one.
    pub fn config(&self) -> Option<&ChannelConfig> {
        self.config.as_ref()
    }

    /// What the channel holds in all, as last read from the chain.
    pub fn balance(&self) -> Amount {
        self.balance
    }

    /// The highest ceiling signed.
    pub fn ceiling(&self) -> Amount {
        self.voucher.as_ref().map_or(Amount::ZERO, |voucher| voucher.unverified().ceiling)
    }

    /// What the pod has charged, as far as believed receipts tell.
    pub fn charged(&self) -> Amount {
        self.chain.charged()
    }

    /// What open orders may still cost.
    pub fn reserved(&self) -> Amount {
        let most = |ordered: &Ordered| ordered.order.unverified().max_charge.0;
        Amount(
            self.orders
                .values()
                .filter(|ordered| ordered.open)
                .map(most)
                .fold(0, u128::saturating_add),
        )
    }

    /// What is left for new orders.
    pub fn available(&self) -> Amount {
        self.balance.saturating_sub(self.charged()).saturating_sub(self.reserved())
    }

    /// The last receipt that is known, to send along with the next order.
    pub fn last_receipt(&self) -> Option<&Signed<Receipt>> {
        self.chain.last()
    }

    /// The receipt with this place.
    pub fn receipt(&self, seq: u64) -> Option<&Signed<Receipt>> {
        self.chain.get(seq)
    }

    /// The lowest places below the last for which no receipt is known: fetch these inside the seal.
    pub fn missing(&self, limit: usize) -> Vec<u64> {
        self.chain.missing(limit)
    }

    /// The orders that may still be charged: fetch their receipts by id inside the seal.
    pub fn open_orders(&self) -> impl Iterator<Item = &Signed<Order>> {
        self.orders.values().filter(|ordered| ordered.open).map(|ordered| &ordered.order)
    }

    /// What proves the pod false, if anything does: it gets no further order.
    pub fn evidence(&self) -> Option<&Evidence> {
        self.evidence.as_ref()
    }

    /// Takes in what the chain shows to be deposited.
    pub fn fund(&mut self, balance: Amount) -> Record {
        self.did(Record::Funded { account: self.account, balance })
    }

    /// Signs an order, and a voucher where the ceiling must rise (spec/channel.md 8).
    ///
    /// # Errors
    /// [`OrderRefusal`], and nothing is signed.
    pub fn order(&mut self, draft: &Draft, key: &SecretKey) -> Result<Placed, OrderRefusal> {
        let mut records = Vec::new();
        let needed = self.needed(draft)?;
        if needed > self.ceiling() && self.config.is_some() {
            let voucher = Voucher {
                channel: ChannelId(self.account.0),
                ceiling: self.ceiling_for(needed, draft.max_charge),
            };
            let voucher = Signed::sign(voucher, &self.domain, key);
            records.push(self.did(Record::Raised { voucher }));
        }
        // Requests race each other, so the voucher travels until the pod is known to have it.
        let voucher = self.voucher.clone().filter(|_| self.ceiling() > self.ceiling_seen);
        let order = Order {
            account: self.account,
            offer: draft.offer,
            request_id: draft.request_id,
            request_hash: draft.request_hash,
            max_charge: draft.max_charge,
            ceiling: voucher.as_ref().map_or(Amount::ZERO, |voucher| voucher.unverified().ceiling),
            expires: draft.expires,
        };
        let order = Signed::sign(order, &self.domain, key);
        records.push(self.did(Record::Ordered {
            order: order.clone(),
            model: draft.model,
            price: draft.price,
            workload: draft.workload,
        }));
        Ok(Placed { order, voucher, records })
    }

    /// What the ceiling must cover for this draft to be admitted.
    fn needed(&self, draft: &Draft) -> Result<Amount, OrderRefusal> {
        if let Some(evidence) = &self.evidence {
            return Err(OrderRefusal::Distrusted { code: evidence.code.clone() });
        }
        let before = self.orders.get(&draft.request_id);
        let other = |old: &Ordered| old.order.unverified().request_hash != draft.request_hash;
        if before.is_some_and(other) || self.chain.paid(&draft.request_hash).is_some() {
            return Err(OrderRefusal::OrderIdUsed { request: draft.request_id });
        }
        // An order signed anew under its old id replaces it: the pod charges an id once.
        let replaced = before
            .filter(|ordered| ordered.open)
            .map_or(Amount::ZERO, |ordered| ordered.order.unverified().max_charge);
        let needed = self
            .charged()
            .checked_add(self.reserved().saturating_sub(replaced))
            .and_then(|sum| sum.checked_add(draft.max_charge))
            .unwrap_or(Amount(u128::MAX));
        if needed > self.balance && self.config.is_some() {
            return Err(OrderRefusal::BalanceTooLow { balance: self.balance, needed });
        }
        Ok(needed)
    }

    /// The next ceiling: what is needed and headroom for further orders, never above the deposit.
    fn ceiling_for(&self, needed: Amount, max_charge: Amount) -> Amount {
        let headroom = max_charge.0.saturating_mul(HEADROOM_ORDERS);
        Amount(needed.0.saturating_add(headroom)).min(self.balance)
    }

    /// Believes a receipt, or not. `response` is the hash of the answer that came, where it came whole.
    pub fn accept(&mut self, receipt: Signed<Receipt>, response: Option<B256>) -> Verdict {
        match self.examine(&receipt, response) {
            Ok((request, Fit::Known)) => Verdict { records: Vec::new(), outcome: Ok(request) },
            Ok((request, Fit::New)) => {
                let record = self.did(Record::Received { receipt, request: Some(request) });
                Verdict { records: vec![record], outcome: Ok(request) }
            }
            Err(fault) => Verdict { records: self.distrust(&fault, receipt), outcome: Err(fault) },
        }
    }

    /// The checks of spec/channel.md 9, in its order.
    fn examine(
        &self,
        signed: &Signed<Receipt>,
        response: Option<B256>,
    ) -> Result<(RequestId, Fit), Fault> {
        let receipt = self.believe_signature(signed)?;
        let fit = self.chain.fit(&self.domain, signed)?;
        let hash = receipt.request_hash;
        let (request, ordered) = self
            .orders
            .iter()
            .find(|(_, ordered)| ordered.order.unverified().request_hash == hash)
            .ok_or(Fault::UnknownRequest)?;
        if response.is_some_and(|response| response != receipt.response_hash) {
            return Err(Fault::WrongResponse);
        }
        if fit == Fit::New {
            ordered.examine(receipt)?;
            if let Some(paid) = self.chain.paid(&hash).filter(|_| receipt.charged > Amount::ZERO) {
                return Err(Fault::ChargedTwice { by: paid.seq });
            }
            self.within_ceiling(receipt)?;
        }
        Ok((*request, fit))
    }

    fn believe_signature<'a>(&self, signed: &'a Signed<Receipt>) -> Result<&'a Receipt, Fault> {
        let receipt = signed.verify(&self.domain, self.signer).map_err(Fault::NotSigned)?;
        if receipt.account != self.account {
            return Err(Fault::WrongAccount { got: receipt.account });
        }
        Ok(receipt)
    }

    fn within_ceiling(&self, receipt: &Receipt) -> Result<(), Fault> {
        let (cumulative, ceiling) = (receipt.cumulative, self.ceiling());
        if cumulative > ceiling { Err(Fault::AboveCeiling { cumulative, ceiling }) } else { Ok(()) }
    }

    fn distrust(&mut self, fault: &Fault, receipt: Signed<Receipt>) -> Vec<Record> {
        if !fault.is_proof() || self.evidence.is_some() {
            return Vec::new();
        }
        let against = match fault {
            Fault::Equivocation { seq } => self.chain.get(*seq).cloned(),
            Fault::BrokenChain { neighbour, .. } => self.chain.get(*neighbour).cloned(),
            Fault::ChargedTwice { by } => self.chain.get(*by).cloned(),
            _ => None,
        };
        let evidence = Evidence { code: fault.code().to_owned(), receipt, against };
        vec![self.did(Record::Faulted { account: self.account, evidence })]
    }

    /// Adopts what a pod shows when it refuses an order: its last receipt, and the highest voucher that
    /// it has of this payer, which this side may have lost. Both count only by their signatures.
    ///
    /// # Errors
    /// [`ResyncError`]; where the pod's own signature proves it false, the records say so.
    pub fn resync(
        &mut self,
        receipt: Option<Signed<Receipt>>,
        voucher: Option<Signed<Voucher>>,
    ) -> (Vec<Record>, Result<(), ResyncError>) {
        let mut records = Vec::new();
        if let Some(voucher) = voucher {
            match self.own_voucher(&voucher) {
                Ok(false) => {}
                Ok(true) => records.push(self.did(Record::Raised { voucher })),
                Err(error) => return (records, Err(error)),
            }
        }
        let Some(receipt) = receipt else { return (records, Ok(())) };
        match self.examine_shown(&receipt) {
            Ok(Fit::Known) => (records, Ok(())),
            Ok(Fit::New) => {
                let request = self.request_of(&receipt.unverified().request_hash);
                records.push(self.did(Record::Received { receipt, request }));
                (records, Ok(()))
            }
            Err(fault) => {
                records.extend(self.distrust(&fault, receipt));
                (records, Err(fault.into()))
            }
        }
    }

    /// Whether a voucher is ours and higher than what we remember.
    fn own_voucher(&self, voucher: &Signed<Voucher>) -> Result<bool, ResyncError> {
        let config = self.config.as_ref().ok_or(ResyncError::VoucherChannel)?;
        let signed =
            voucher.verify(&self.domain, config.payer_authorizer).map_err(ResyncError::Voucher)?;
        if Account::from(signed.channel) != self.account {
            return Err(ResyncError::VoucherChannel);
        }
        Ok(signed.ceiling > self.ceiling())
    }

    fn examine_shown(&self, signed: &Signed<Receipt>) -> Result<Fit, Fault> {
        let receipt = self.believe_signature(signed)?;
        let fit = self.chain.fit(&self.domain, signed)?;
        self.within_ceiling(receipt)?;
        Ok(fit)
    }

    fn request_of(&self, request_hash: &B256) -> Option<RequestId> {
        let matches = |ordered: &Ordered| ordered.order.unverified().request_hash == *request_hash;
        self.orders.iter().find(|(_, ordered)| matches(ordered)).map(|(request, _)| *request)
    }

    /// Gives an order up that the pod refused inside the seal: attested code says it charges nothing.
    pub fn drop_order(&mut self, request: RequestId) -> Vec<Record> {
        if !self.orders.get(&request).is_some_and(|ordered| ordered.open) {
            return Vec::new();
        }
        vec![self.did(Record::Dropped { account: self.account, request })]
    }

    /// The pod is not known to have the voucher: send it with the next order.
    pub fn resend_voucher(&mut self) {
        self.ceiling_seen = Amount::ZERO;
    }

    /// Gives up orders that lapsed unanswered, [`ORDER_GRACE`] after their expiry; call it now and then.
    pub fn sweep(&mut self, now: Timestamp) -> Vec<Record> {
        let lapsed = |ordered: &Ordered| {
            ordered.open && ordered.order.unverified().expires.after(ORDER_GRACE) <= now
        };
        let requests: Vec<RequestId> =
            self.orders.iter().filter(|(_, ordered)| lapsed(ordered)).map(|(id, _)| *id).collect();
        requests.into_iter().flat_map(|request| self.drop_order(request)).collect()
    }

    fn did(&mut self, record: Record) -> Record {
        self.apply(&record);
        record
    }

    fn apply(&mut self, record: &Record) {
        match record {
            Record::Opened { .. } => {}
            Record::Funded { balance, .. } => self.balance = *balance,
            Record::Raised { voucher } => {
                if voucher.unverified().ceiling > self.ceiling() {
                    self.voucher = Some(voucher.clone());
                }
            }
            Record::Ordered { order, model, price, workload } => {
                let request = order.unverified().request_id;
                let (model, price, workload) = (*model, *price, *workload);
                let order = order.clone();
                self.orders.insert(request, Ordered { order, model, price, workload, open: true });
            }
            Record::Dropped { request, .. } => self.close(request),
            Record::Received { receipt, request } => self.apply_received(receipt, request.as_ref()),
            Record::Faulted { evidence, .. } => self.evidence = Some(evidence.clone()),
        }
    }

    fn apply_received(&mut self, receipt: &Signed<Receipt>, request: Option<&RequestId>) {
        self.chain.insert(&self.domain, receipt);
        let Some(request) = request else { return };
        if let Some(ordered) = self.orders.get(request) {
            // Its admission proves that the pod has the voucher which came beside it.
            self.ceiling_seen = self.ceiling_seen.max(ordered.order.unverified().ceiling);
        }
        self.close(request);
    }

    fn close(&mut self, request: &RequestId) {
        if let Some(ordered) = self.orders.get_mut(request) {
            ordered.open = false;
        }
    }
}

impl Ordered {
    /// Whether a receipt says what this order asked for, at no more than its price.
    fn examine(&self, receipt: &Receipt) -> Result<(), Fault> {
        let order = self.order.unverified();
        if receipt.offer != order.offer {
            return Err(Fault::WrongOffer { got: receipt.offer, expected: order.offer });
        }
        if receipt.model != self.model {
            return Err(Fault::WrongModel { got: receipt.model, expected: self.model });
        }
        if receipt.workload != self.workload {
            return Err(Fault::WrongWorkload { got: receipt.workload, expected: self.workload });
        }
        let charged = receipt.charged;
        if charged > order.max_charge {
            return Err(Fault::OverCharged { charged, max: order.max_charge });
        }
        let price = self.price.charge(receipt.input_tokens, receipt.output_tokens);
        if charged > price {
            return Err(Fault::OverPriced { charged, price });
        }
        Ok(())
    }
}
