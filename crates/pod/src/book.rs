//! The ledger in memory and on disk, moved in step (spec/pod.md 8).

use std::sync::{Mutex, MutexGuard};

use subrosa_chain::ClaimRow;
use subrosa_channel::payee::{
    Admitted, Charge, ChargeError, Checked, Claimable, Decision, Inconsistent, Ledger, Ledgers,
    Metered, Moment, Record, Refusal, Run,
};
use subrosa_protocol::{Account, Domain, Offer, Receipt, SecretKey, Signed, Timestamp};
use subrosa_session::receipts::Query;
use subrosa_store::payee::{self, Slip};
use subrosa_store::{Durable, Pending, Store, StoreError};

use crate::offers;
use crate::steps::{Step, Steps};

/// What is on disk when an order's records are: an answer may leave.
#[derive(Debug)]
pub(crate) struct Admission(());

/// What is on disk when a charge's records are: its receipt may leave.
#[derive(Debug)]
pub(crate) struct Charged(());

/// The ledgers of all accounts and the database behind them.
pub(crate) struct Book {
    ledgers: Mutex<Ledgers>,
    store: Store,
    steps: Steps,
}

/// A step that the ledger took and the disk has not confirmed.
pub(crate) struct Confirming<T> {
    pending: Pending<T>,
    steps: Steps,
    step: Step,
}

impl<T> Confirming<T> {
    /// Waits for the commit.
    pub(crate) async fn durable(self) -> Result<Durable<T>, StoreError> {
        let durable = self.pending.await?;
        self.steps.done(self.step);
        Ok(durable)
    }
}

impl Book {
    /// Rebuilds the ledgers from the database.
    pub(crate) fn open(
        domain: Domain,
        store: Store,
        steps: Steps,
        now: Timestamp,
    ) -> Result<Book, BookError> {
        let records = store.read_blocking(|db| payee::load(db, now))?;
        let ledgers = Mutex::new(Ledgers::restore(domain, records)?);
        Ok(Book { ledgers, store, steps })
    }

    /// Decides on an order. The decision counts once it is confirmed.
    pub(crate) fn admit(
        &self,
        checked: Checked,
        moment: &Moment,
    ) -> (Result<Admitted, Refusal>, Confirming<Admission>) {
        let mut ledgers = self.ledgers();
        let Decision { records, verdict } = ledgers.admit(checked, moment);
        // Handed on under the lock: what is on disk is always a prefix of what the ledger did.
        (verdict, self.confirm(records, Admission(()), Step::Admitted))
    }

    /// Charges a run and signs its receipt, which may leave once the charge is confirmed.
    pub(crate) fn charge(
        &self,
        run: Run,
        metered: &Metered,
        signer: &SecretKey,
        now: Timestamp,
    ) -> Result<(Signed<Receipt>, Confirming<Charged>), ChargeError> {
        let mut ledgers = self.ledgers();
        let Charge { receipt, records } = ledgers.charge(run, metered, signer, now)?;
        Ok((receipt, self.confirm(records, Charged(()), Step::Charged)))
    }

    /// Gives a run's reservation back: nothing of it will be charged.
    pub(crate) async fn release(&self, run: Run) -> Result<(), BookError> {
        let confirming = {
            let mut ledgers = self.ledgers();
            let records = ledgers.release(run)?;
            self.confirm(records, (), Step::Released)
        };
        confirming.durable().await?;
        Ok(())
    }

    /// Gives back what expired orders still reserve.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        let confirming = {
            let mut ledgers = self.ledgers();
            let records = ledgers.sweep(now);
            if records.is_empty() {
                return Ok(());
            }
            self.confirm(records, (), Step::Released)
        };
        confirming.durable().await.map(|_| ())
    }

    /// A receipt of an account.
    pub(crate) async fn receipt(
        &self,
        account: Account,
        wanted: Query,
    ) -> Result<Option<Signed<Receipt>>, StoreError> {
        let find = move |db: &rusqlite::Connection| match wanted {
            Query::Order(request) => payee::receipt_by_order(db, account, request),
            Query::Seq(seq) => payee::receipt_by_seq(db, account, seq),
        };
        self.store.read(find).await
    }

    /// The newest slip of every channel, as the disk has it.
    pub(crate) async fn slips(&self) -> Result<Vec<Slip>, StoreError> {
        self.store.read(payee::slips).await
    }

    /// Keeps an offer, before anyone sees it.
    pub(crate) async fn keep_offer(
        &self,
        offer: &Signed<Offer>,
        domain: &Domain,
    ) -> Result<(), StoreError> {
        let (digest, offer) = (offer.digest(domain), offer.clone());
        self.store.write(move |db| offers::keep(db, digest, &offer)).await?;
        self.steps.done(Step::Offered);
        Ok(())
    }

    /// Looks at the ledger of an account, if there is one.
    pub(crate) fn look<T>(&self, account: Account, look: impl FnOnce(Option<&Ledger>) -> T) -> T {
        look(self.ledgers().get(&account))
    }

    /// What every channel owes in all, with what a claim's row needs.
    pub(crate) fn claimable(&self) -> Vec<ClaimRow> {
        self.ledgers().iter().filter_map(|ledger| ledger.claimable()).map(row).collect()
    }

    /// The hook that is told of durable steps.
    pub(crate) fn steps(&self) -> &Steps {
        &self.steps
    }

    /// Writes what waits and stops the writer.
    pub(crate) async fn close(&self) {
        self.store.close().await;
    }

    fn confirm<T: Send + 'static>(
        &self,
        records: Vec<Record>,
        value: T,
        step: Step,
    ) -> Confirming<T> {
        let pending = self.store.write(move |db| payee::append(db, &records).map(|()| value));
        Confirming { pending, steps: self.steps.clone(), step }
    }

    fn ledgers(&self) -> MutexGuard<'_, Ledgers> {
        self.ledgers.lock().expect("no holder of this lock panics")
    }
}

fn row(claimable: Claimable<'_>) -> ClaimRow {
    ClaimRow {
        config: claimable.config.clone(),
        voucher: claimable.voucher.clone(),
        total: claimable.total,
    }
}

/// Why the ledger cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// An answer cannot be charged.
    #[error(transparent)]
    Charge(#[from] ChargeError),
    /// The rows contradict each other.
    #[error(
        "the ledger contradicts itself ({0}); restore the state folder from its last good copy"
    )]
    Inconsistent(#[from] Inconsistent),
    /// The disk does not take it, or does not give it back.
    #[error(transparent)]
    Store(#[from] StoreError),
}
