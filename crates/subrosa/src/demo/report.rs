//! What `subrosa demo --once --json` prints.

use serde::Serialize;
use subrosa_client::export::BundleReport;
use subrosa_protocol::{Amount, B256, RequestId};
use subrosa_verifier::{Outcome, Verdict};

/// The whole demo.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Whether evidence came from the simulator.
    pub(crate) simulated: bool,
    pub(crate) pods: Vec<PodTold>,
    pub(crate) question: String,
    pub(crate) answer: AnswerTold,
    pub(crate) receipt: ReceiptTold,
    pub(crate) failover: Failover,
    pub(crate) settlement: Vec<Settled>,
    pub(crate) offline_verify: OfflineVerify,
    pub(crate) seconds: f64,
}

/// A pod, as the gateway judged it.
#[derive(Debug, Serialize)]
pub(crate) struct PodTold {
    pub(crate) name: &'static str,
    pub(crate) id: B256,
    pub(crate) accepted: bool,
    /// The hardware that its evidence is of.
    pub(crate) hardware: String,
    pub(crate) failed_check: Option<String>,
}

/// The answer to the question.
#[derive(Debug, Serialize)]
pub(crate) struct AnswerTold {
    pub(crate) text: String,
    pub(crate) model: String,
    pub(crate) model_digest: B256,
    pub(crate) pod: &'static str,
}

/// Its receipt.
#[derive(Debug, Serialize)]
pub(crate) struct ReceiptTold {
    pub(crate) verified: bool,
    pub(crate) order: RequestId,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) charged: Amount,
    pub(crate) checks: Vec<CheckTold>,
}

/// One check of the receipt and of what it stands on.
#[derive(Debug, Serialize)]
pub(crate) struct CheckTold {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
}

impl CheckTold {
    pub(crate) fn all(report: &BundleReport) -> Vec<CheckTold> {
        let told = |check: &subrosa_client::export::BundleCheck| CheckTold {
            name: check.name.clone(),
            outcome: check.outcome,
        };
        report.checks.iter().map(told).collect()
    }
}

/// What happened when a pod was killed.
#[derive(Debug, Serialize)]
pub(crate) struct Failover {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    /// How the caller was told that the answer broke off.
    pub(crate) told: String,
    /// Whether the chain paid each receipt once, and nothing besides.
    pub(crate) charged_once: bool,
    /// What was charged for the answer that broke off; null where the pod died before its charge.
    pub(crate) broken_charged: Option<Amount>,
    /// Receipts that were fetched after the pod came back.
    pub(crate) receipts_fetched: usize,
}

/// What a pod was paid.
#[derive(Debug, Serialize)]
pub(crate) struct Settled {
    pub(crate) pod: &'static str,
    pub(crate) before: Amount,
    pub(crate) after: Amount,
    pub(crate) gas: u64,
}

/// What `subrosa verify` said.
#[derive(Debug, Serialize)]
pub(crate) struct OfflineVerify {
    pub(crate) verdict: Verdict,
    pub(crate) releases_from: String,
}
