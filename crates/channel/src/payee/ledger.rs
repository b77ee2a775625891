//! One account's ledger: highest voucher, what is reserved, what was charged, the receipt chain.

use subrosa_protocol::{
    Account, Amount, B256, ChannelConfig, ChannelId, ClaimBatch, ClaimEntry, Domain, Order,
    Outcome, Price, Receipt, RequestId, SecretKey, Signed, Timestamp, Voucher,
};

use super::check::Checked;
use super::orders::{Entry, Orders, Rerun, State};
use super::{Halt, Inconsistent, Record, Refusal};
use crate::CHAIN_VIEW_AGE_MAX;

/// The books of one account, rebuilt from its records and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    account: Account,
    config: Option<ChannelConfig>,
    voucher: Option<Signed<Voucher>>,
    last: Option<Last>,
    orders: Orders,
    halt: Option<Halt>,
}

/// The end of the receipt chain.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Last {
    digest: B256,
    receipt: Signed<Receipt>,
}

/// What the chain says about a channel, and when the pod read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainView {
    /// All that was deposited and not withdrawn or refunded.
    pub balance: Amount,
    /// All that was claimed.
    pub claimed: Amount,
    /// When the payer began to withdraw, if a withdrawal is pending.
    pub withdraw_requested_at: Option<Timestamp>,
    /// When the pod read this.
    pub seen_at: Timestamp,
}

/// What admission must know about the moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time.
    pub now: Timestamp,
    /// The channel as last read from the chain; none where it was not found.
    pub chain: Option<ChainView>,
    /// Whether the pod still holds this order's answer in memory.
    pub remembered: bool,
}

/// What came of an order. The records must be persisted whatever the verdict.
#[derive(Debug)]
#[must_use = "the records must reach the disk, whatever the verdict"]
pub struct Decision {
    /// What must be on disk before the first byte of an answer leaves.
    pub records: Vec<Record>,
    /// Whether to answer.
    pub verdict: Result<Admitted, Refusal>,
}

/// How an admitted order is to be answered.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one exists for each request, on its way to the run")]
pub enum Admitted {
    /// With the answer in memory, and the receipt with this `seq`.
    Remembered {
        /// The receipt's place.
        seq: u64,
    },
    /// By running the model.
    Run(Run),
}

/// The right to run one order once. It ends in [`Ledgers::charge`](super::Ledgers::charge) or
/// [`Ledgers::release`](super::Ledgers::release); while it exists, the order cannot run again.
#[derive(Debug)]
#[must_use = "a run that is neither charged nor released blocks its order until the next start"]
pub struct Run {
    account: Account,
    request: RequestId,
    request_hash: B256,
    offer: B256,
    workload: B256,
    model: B256,
    price: Price,
    max_charge: Amount,
    rerun: bool,
}

impl Run {
    /// The account that pays.
    pub fn account(&self) -> Account {
        self.account
    }

    /// The order's id.
    pub fn request(&self) -> RequestId {
        self.request
    }

    /// The model's digest.
    pub fn model(&self) -> B256 {
        self.model
    }

    /// What tokens cost.
    pub fn price(&self) -> Price {
        self.price
    }

    /// Whether this is the free second run of a charged order.
    pub fn is_rerun(&self) -> bool {
        self.rerun
    }
}

/// What the meter counted, and how the answer ended.
#[derive(Clone, Copy, Debug)]
pub struct Metered {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens that were generated.
    pub output_tokens: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The hash of the answer: status, content type, the body bytes handed to the seal.
    pub response_hash: B256,
}

/// A charge that was made. Its receipt may leave once the records are on disk.
#[derive(Debug)]
#[must_use = "the records must reach the disk before the receipt leaves"]
pub struct Charge {
    /// The receipt, signed.
    pub receipt: Signed<Receipt>,
    /// What must be on disk first.
    pub records: Vec<Record>,
}

/// Why an answer could not be charged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChargeError {
    /// The account was halted while the answer was generated.
    #[error("the account was halted meanwhile ({halt}); no receipt can be given")]
    Halted {
        /// Why.
        halt: Halt,
    },
    /// The ledger holds no reservation for this run: it belongs to another ledger.
    #[error("the order {request} has no reservation in this ledger")]
    NotReserved {
        /// The order's id.
        request: RequestId,
    },
}

/// What a pod can claim from a channel: with the signer's claim over `total`, all that a row needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimable<'a> {
    /// The channel.
    pub config: &'a ChannelConfig,
    /// The highest voucher.
    pub voucher: &'a Signed<Voucher>,
    /// All that was charged.
    pub total: Amount,
}

impl Ledger {
    pub(super) fn open(account: Account, config: Option<ChannelConfig>) -> Ledger {
        let orders = Orders::default();
        Ledger { account, config, voucher: None, last: None, orders, halt: None }
    }

    /// The account.
    pub fn account(&self) -> Account {
        self.account
    }

    /// The channel behind the account, if it is one.
    pub fn config(&self) -> Option<&ChannelConfig> {
        self.config.as_ref()
    }

    /// The highest ceiling that the payer signed.
    pub fn ceiling(&self) -> Amount {
        self.voucher.as_ref().map_or(Amount::ZERO, |voucher| voucher.unverified().ceiling)
    }

    /// The voucher with that ceiling.
    pub fn voucher(&self) -> Option<&Signed<Voucher>> {
        self.voucher.as_ref()
    }

    /// All that was charged.
    pub fn charged(&self) -> Amount {
        self.last.as_ref().map_or(Amount::ZERO, |last| last.receipt.unverified().cumulative)
    }

    /// What admitted orders may still cost.
    pub fn reserved(&self) -> Amount {
        self.orders.reserved()
    }

    /// The place of the last receipt; zero before the first.
    pub fn seq(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.receipt.unverified().seq)
    }

    /// The last receipt.
    pub fn last_receipt(&self) -> Option<&Signed<Receipt>> {
        self.last.as_ref().map(|last| &last.receipt)
    }

    /// Why the account is halted, if it is.
    pub fn halt(&self) -> Option<Halt> {
        self.halt
    }

    /// How many order ids the ledger remembers.
    pub fn orders_known(&self) -> usize {
        self.orders.len()
    }

    /// What the channel's claim is made of, once something was charged.
    pub fn claimable(&self) -> Option<Claimable<'_>> {
        let (config, voucher) = (self.config.as_ref()?, self.voucher.as_ref()?);
        let total = self.charged();
        (total > Amount::ZERO).then_some(Claimable { config, voucher, total })
    }

    /// Decides on an order (spec/channel.md 3). Nothing changes here: the caller applies the records.
    pub(super) fn decide(
        &self,
        domain: &Domain,
        checked: Checked,
        moment: &Moment,
    ) -> (Vec<Record>, Result<Admitted, Refusal>) {
        if let Some(halt) = self.halt {
            return (Vec::new(), Err(Refusal::Halted { halt }));
        }
        if let Some(halt) = self.contradicted(domain, &checked, moment) {
            let record = Record::Halted { account: self.account, halt };
            return (vec![record], Err(Refusal::Halted { halt }));
        }
        match self.admit(checked, moment) {
            Ok((records, admitted)) => (records, Ok(admitted)),
            Err(refusal) => (Vec::new(), Err(refusal)),
        }
    }

    /// Whether somebody holds proof of more than this ledger knows (spec/channel.md 7).
    fn contradicted(&self, domain: &Domain, checked: &Checked, moment: &Moment) -> Option<Halt> {
        if moment.chain.is_some_and(|view| view.claimed > self.charged()) && self.config.is_some() {
            return Some(Halt::ClaimAhead);
        }
        let shown = checked.last_receipt.as_ref()?;
        let seq = shown.unverified().seq;
        if seq > self.seq() {
            return Some(Halt::ReceiptAhead);
        }
        let last = self.last.as_ref()?;
        let differs = seq == self.seq() && shown.digest(domain) != last.digest;
        differs.then_some(Halt::ReceiptDiffers)
    }

    fn admit(&self, checked: Checked, moment: &Moment) -> Result<(Vec<Record>, Admitted), Refusal> {
        let order = checked.order();
        let request = order.request_id;
        let known = self.orders.get(&request);
        if known.is_some_and(|entry| entry.request_hash != order.request_hash) {
            return Err(Refusal::OrderIdUsed { request });
        }
        match known {
            None | Some(Entry { state: State::Released, .. }) => {
                self.check_funds(&checked, moment)?;
                let mut records: Vec<Record> = self.raise(&checked).into_iter().collect();
                records.push(Record::Admitted { order: checked.order.clone() });
                Ok((records, Admitted::Run(run(checked, false))))
            }
            Some(Entry { state: State::Reserved { running: true }, .. }) => {
                Err(Refusal::InFlight { request })
            }
            Some(Entry { state: State::Reserved { running: false }, max_charge, .. }) => {
                // What was reserved is what may be charged, so the retry must not ask for more.
                if *max_charge != order.max_charge {
                    return Err(Refusal::OrderIdUsed { request });
                }
                Ok((self.raise(&checked).into_iter().collect(), Admitted::Run(run(checked, false))))
            }
            Some(Entry { state: State::Charged { seq, .. }, .. }) if moment.remembered => {
                Ok((Vec::new(), Admitted::Remembered { seq: *seq }))
            }
            Some(Entry { state: State::Charged { rerun, .. }, .. }) => match rerun {
                Rerun::Left => Ok((Vec::new(), Admitted::Run(run(checked, true)))),
                Rerun::Running => Err(Refusal::InFlight { request }),
                Rerun::Used => Err(Refusal::AnsweredAlready { request }),
            },
        }
    }

    /// The voucher, where it is higher than any before.
    fn raise(&self, checked: &Checked) -> Option<Record> {
        let voucher = checked.voucher.as_ref()?;
        let higher = voucher.unverified().ceiling > self.ceiling();
        higher.then(|| Record::Raised { voucher: voucher.clone() })
    }

    /// The admission rule: highest ceiling ≥ charged + Σ reserved + maxCharge, and that sum ≤ balance.
    fn check_funds(&self, checked: &Checked, moment: &Moment) -> Result<(), Refusal> {
        if checked.config.is_none() {
            return match checked.order().max_charge {
                Amount::ZERO => Ok(()),
                needed => Err(Refusal::CeilingTooLow { highest: Amount::ZERO, needed }),
            };
        }
        let view = moment.chain.ok_or(Refusal::ChannelUnknown)?;
        let age = moment.now.since(view.seen_at);
        if age > CHAIN_VIEW_AGE_MAX {
            return Err(Refusal::ChainViewStale { age });
        }
        if view.withdraw_requested_at.is_some() {
            return Err(Refusal::WithdrawPending);
        }
        let highest = self.ceiling().max(checked.order().ceiling);
        // A sum past every amount is past every ceiling too.
        let needed = self
            .charged()
            .checked_add(self.reserved())
            .and_then(|sum| sum.checked_add(checked.order().max_charge))
            .unwrap_or(Amount(u128::MAX));
        if highest < needed {
            return Err(Refusal::CeilingTooLow { highest, needed });
        }
        if view.balance < needed {
            return Err(Refusal::BalanceTooLow { balance: view.balance, needed });
        }
        Ok(())
    }

    /// Makes the receipt and slip of a run (spec/channel.md 4). Nothing changes here.
    pub(super) fn charge(
        &self,
        domain: &Domain,
        run: &Run,
        metered: &Metered,
        signer: &SecretKey,
        now: Timestamp,
    ) -> Result<Record, ChargeError> {
        if let Some(halt) = self.halt {
            return Err(ChargeError::Halted { halt });
        }
        self.expect_running(run)?;
        let charged = match run.rerun {
            true => Amount::ZERO,
            // Nobody is charged above what they ordered, whatever the meter counted.
            false => {
                run.price.charge(metered.input_tokens, metered.output_tokens).min(run.max_charge)
            }
        };
        let cumulative =
            self.charged().checked_add(charged).expect("the sum was admitted below a ceiling");
        let receipt = Receipt {
            account: self.account,
            seq: self.seq() + 1,
            prev: self.last.as_ref().map_or(B256::ZERO, |last| last.digest),
            request_hash: run.request_hash,
            response_hash: metered.response_hash,
            model: run.model,
            workload: run.workload,
            offer: run.offer,
            outcome: metered.outcome,
            input_tokens: metered.input_tokens,
            output_tokens: metered.output_tokens,
            charged,
            cumulative,
            issued_at: now,
        };
        let slip = (charged > Amount::ZERO)
            .then(|| self.slip(cumulative))
            .map(|slip| Signed::sign(slip, domain, signer));
        let receipt = Signed::sign(receipt, domain, signer);
        Ok(Record::Charged { request: run.request, rerun: run.rerun, receipt, slip })
    }

    /// The one-row claim over a total, under the highest voucher.
    fn slip(&self, total: Amount) -> ClaimBatch {
        let row = ClaimEntry { channel: ChannelId(self.account.0), ceiling: self.ceiling(), total };
        ClaimBatch { claims: vec![row] }
    }

    /// The record that gives a run's reservation back; a second run reserved nothing.
    pub(super) fn release(&self, run: &Run) -> Result<Option<Record>, ChargeError> {
        self.expect_running(run)?;
        let record = Record::Released { account: self.account, request: run.request };
        Ok((!run.rerun).then_some(record))
    }

    fn expect_running(&self, run: &Run) -> Result<(), ChargeError> {
        let state = self.orders.get(&run.request).map(|entry| entry.state);
        let expected = match (state, run.rerun) {
            (Some(State::Reserved { .. }), false) => true,
            (Some(State::Charged { rerun, .. }), true) => rerun == Rerun::Running,
            _ => false,
        };
        if expected { Ok(()) } else { Err(ChargeError::NotReserved { request: run.request }) }
    }

    /// Marks an order as running, or a second run as given up. Memory only: nothing runs after a restart.
    pub(super) fn set_running(&mut self, run: &Run, running: bool) {
        let state = match (self.orders.get(&run.request).map(|entry| entry.state), running) {
            (Some(State::Charged { seq, .. }), true) => {
                State::Charged { seq, rerun: Rerun::Running }
            }
            (Some(State::Charged { seq, .. }), false) => State::Charged { seq, rerun: Rerun::Left },
            (Some(State::Reserved { .. }), running) => State::Reserved { running },
            (Some(State::Released) | None, _) => return,
        };
        self.orders.set(&run.request, state);
    }

    /// Releases what expired orders reserve, and returns the records of it.
    pub(super) fn lapse(&self, now: Timestamp) -> Vec<Record> {
        let released = |request| Record::Released { account: self.account, request };
        self.orders.lapsed(now).into_iter().map(released).collect()
    }

    pub(super) fn forget_expired(&mut self, now: Timestamp) {
        self.orders.forget_expired(now);
    }

    /// Takes one record in: the only way in which a ledger changes, live or when it is rebuilt.
    pub(super) fn apply(&mut self, domain: &Domain, record: &Record) -> Result<(), Inconsistent> {
        match record {
            Record::Opened { .. } => {}
            Record::Raised { voucher } => {
                if voucher.unverified().ceiling > self.ceiling() {
                    self.voucher = Some(voucher.clone());
                }
            }
            Record::Admitted { order } => self.apply_admitted(order.unverified())?,
            Record::Released { request, .. } => self.orders.set(request, State::Released),
            Record::Charged { request, rerun, receipt, .. } => {
                self.apply_charged(domain, request, *rerun, receipt)?;
            }
            Record::Halted { halt, .. } => self.halt = Some(*halt),
        }
        Ok(())
    }

    fn apply_admitted(&mut self, order: &Order) -> Result<(), Inconsistent> {
        let request = order.request_id;
        // An id ends with its order: signed anew for a later time it is another order. Until then the
        // ledger remembers it, so a record that reserves a charged order again is none of ours.
        let charged = |entry: &Entry| matches!(entry.state, State::Charged { .. });
        let lives = |entry: &Entry| order.expires <= entry.expires;
        if self.orders.get(&request).is_some_and(|entry| charged(entry) && lives(entry)) {
            return Err(Inconsistent::ChargedTwice { account: self.account, request });
        }
        self.orders.reserve(order);
        Ok(())
    }

    fn apply_charged(
        &mut self,
        domain: &Domain,
        request: &RequestId,
        rerun: bool,
        signed: &Signed<Receipt>,
    ) -> Result<(), Inconsistent> {
        let receipt = signed.unverified();
        if !self.continues(receipt) {
            return Err(Inconsistent::BrokenChain { account: self.account, seq: receipt.seq });
        }
        let (charged, ceiling) = (receipt.cumulative, self.ceiling());
        if charged > ceiling {
            return Err(Inconsistent::AboveCeiling { account: self.account, charged, ceiling });
        }
        let was = self.orders.get(request).map(|entry| entry.state);
        let state = match (was, rerun) {
            (Some(State::Charged { .. }), false) => {
                let (account, request) = (self.account, *request);
                return Err(Inconsistent::ChargedTwice { account, request });
            }
            (Some(State::Charged { seq, .. }), true) => State::Charged { seq, rerun: Rerun::Used },
            _ => State::Charged { seq: receipt.seq, rerun: rerun_of(receipt.outcome) },
        };
        self.orders.set(request, state);
        self.last = Some(Last { digest: signed.digest(domain), receipt: signed.clone() });
        Ok(())
    }

    /// Whether a receipt is the next of the chain. A ledger that is rebuilt from the end of a long
    /// chain takes the first that it is shown.
    fn continues(&self, receipt: &Receipt) -> bool {
        match &self.last {
            None => receipt.seq >= 1 && receipt.charged <= receipt.cumulative,
            Some(last) => {
                let before = last.receipt.unverified();
                receipt.seq == before.seq + 1
                    && receipt.prev == last.digest
                    && before.cumulative.checked_add(receipt.charged) == Ok(receipt.cumulative)
            }
        }
    }
}

/// Whether an answer may be run again for nothing. Only one that was charged as a whole: else a caller
/// could leave after the first token, pay for that, and come back for the rest.
fn rerun_of(outcome: Outcome) -> Rerun {
    match outcome {
        Outcome::Complete | Outcome::Limit => Rerun::Left,
        Outcome::Cancelled | Outcome::Failed => Rerun::Used,
    }
}

fn run(checked: Checked, rerun: bool) -> Run {
    let order = checked.order();
    Run {
        account: order.account,
        request: order.request_id,
        request_hash: order.request_hash,
        offer: order.offer,
        workload: checked.workload,
        model: checked.model,
        price: checked.price,
        max_charge: order.max_charge,
        rerun,
    }
}
