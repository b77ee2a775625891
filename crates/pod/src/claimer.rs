//! Turns what was charged into money: claims on schedule, on size, and when somebody leaves
//! (spec/pod.md 9).

use std::sync::Arc;
use std::time::Duration;

use subrosa_chain::ClaimRow;
use subrosa_protocol::{Address, Amount, B256, ClaimBatch, SecretKey, Signed};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::book::Book;
use crate::config::ClaimConfig;
use crate::due::{Occasion, Owed, due};
use crate::link::LinkError;
use crate::steps::Step;
use crate::world::Views;

/// How often the pod looks for withdrawals and for a full batch. A withdrawal takes an hour at least.
const WATCH: Duration = Duration::from_secs(5);

/// Claims for one payee.
pub(crate) struct Claimer {
    views: Arc<Views>,
    payee: Address,
    rule: ClaimConfig,
    /// One claim at a time: two would race for the wallet's nonce.
    turn: Mutex<()>,
}

/// What a claim did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimReport {
    /// What the payee held before.
    pub before: Amount,
    /// What the payee holds now.
    pub after: Amount,
    /// What the channels owed and the claim booked.
    pub claimed: Amount,
    /// How many channels it covered.
    pub rows: usize,
    /// What claim and settlement cost, in gas.
    pub gas: u64,
    /// Their transactions.
    pub transactions: Vec<B256>,
}

/// Why a claim was not made, or not seen to be made.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The chain.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// There is nothing to claim on.
    #[error("this network has no chain to claim on")]
    NoChain,
}

impl Claimer {
    pub(crate) fn new(views: Arc<Views>, payee: Address, rule: ClaimConfig) -> Claimer {
        Claimer { views, payee, rule, turn: Mutex::new(()) }
    }

    /// Claims what is due, then settles.
    pub(crate) async fn claim(
        &self,
        book: &Book,
        signer: &SecretKey,
        occasion: Occasion,
    ) -> Result<ClaimReport, ClaimError> {
        let _turn = self.turn.lock().await;
        let before = self.views.link().balance(self.payee).await?;
        let owed = self.owed(book, signer).await?;
        let mut report = ClaimReport {
            before,
            after: before,
            claimed: Amount::ZERO,
            rows: 0,
            gas: 0,
            transactions: Vec::new(),
        };
        for batch in batches(due(owed, &self.rule, occasion)) {
            self.claim_batch(&batch, signer, book, &mut report).await?;
        }
        if report.rows > 0 || occasion == Occasion::Asked {
            let settled = self.views.link().settle(self.payee).await?;
            report.gas += settled.gas;
            report.transactions.push(settled.hash);
        }
        report.after = self.views.link().balance(self.payee).await?;
        Ok(report)
    }

    /// Claims for ever; the owner drops the future to stop it.
    pub(crate) async fn keep_claiming(&self, book: &Book, signer: &SecretKey) {
        let every = Duration::from_secs(self.rule.every_s);
        let mut scheduled = Instant::now() + every;
        loop {
            tokio::time::sleep(WATCH.min(every)).await;
            let occasion = match Instant::now() >= scheduled {
                true => Occasion::Scheduled,
                false => Occasion::Watched,
            };
            match self.look(book, signer, occasion).await {
                Ok(()) if occasion == Occasion::Scheduled => scheduled = Instant::now() + every,
                Ok(()) => {}
                // Whatever became of it, the next look reads the chain first.
                Err(error) => tracing::warn!(%error, "a claim was not seen through"),
            }
        }
    }

    async fn look(
        &self,
        book: &Book,
        signer: &SecretKey,
        occasion: Occasion,
    ) -> Result<(), ClaimError> {
        // Their views are renewed here, so that the rule sees them leave.
        for channel in self.views.link().withdrawals().await? {
            self.views.read(channel).await?;
        }
        let report = self.claim(book, signer, occasion).await?;
        if report.rows > 0 {
            tracing::info!(rows = report.rows, claimed = %report.claimed, gas = report.gas, "claimed");
        }
        Ok(())
    }

    /// What every channel owes. Channels of an earlier signer are left out: their slips are good, and
    /// this signer cannot sign for them.
    async fn owed(&self, book: &Book, signer: &SecretKey) -> Result<Vec<Owed>, ClaimError> {
        let ours = |row: &ClaimRow| row.config.receiver_authorizer == signer.address();
        let mut owed = Vec::new();
        for row in book.claimable().into_iter().filter(ours) {
            let id = row.voucher.unverified().channel;
            if let Some(view) = self.views.channel(id).await? {
                owed.push(Owed { row, view });
            }
        }
        Ok(owed)
    }

    async fn claim_batch(
        &self,
        batch: &[Owed],
        signer: &SecretKey,
        book: &Book,
        report: &mut ClaimReport,
    ) -> Result<(), ClaimError> {
        let rows: Vec<ClaimRow> = batch.iter().map(|owed| owed.row.clone()).collect();
        let claims = rows.iter().map(ClaimRow::entry).collect();
        let signed = Signed::sign(ClaimBatch { claims }, self.views.domain(), signer);
        let mined = self.views.link().claim(rows, signed).await;
        for owed in batch {
            self.views.forget(owed.row.voucher.unverified().channel);
        }
        let mined = mined?;
        book.steps().done(Step::Claimed);
        report.gas += mined.gas;
        report.transactions.push(mined.hash);
        report.rows += batch.len();
        report.claimed =
            Amount(report.claimed.0 + batch.iter().map(|owed| owed.gain().0).sum::<u128>());
        Ok(())
    }
}

/// Rows of one packed claim share receiver, authorizer, token and delay; those of an older offer may
/// differ in them.
fn batches(owed: Vec<Owed>) -> Vec<Vec<Owed>> {
    let shared = |owed: &Owed| {
        let config = &owed.row.config;
        (config.receiver, config.receiver_authorizer, config.token, config.withdraw_delay)
    };
    let mut batches: Vec<Vec<Owed>> = Vec::new();
    for owed in owed {
        match batches.iter_mut().find(|batch| shared(&batch[0]) == shared(&owed)) {
            Some(batch) => batch.push(owed),
            None => batches.push(vec![owed]),
        }
    }
    batches
}
