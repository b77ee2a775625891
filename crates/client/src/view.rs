//! What the client shows of its state: plain values that serialise to the JSON of `/subrosa/v1/`.

use serde::Serialize;
use subrosa_protocol::{Account, Address, Amount, B256, ChannelId, Outcome, RequestId, Timestamp};
use subrosa_verifier::Report;

/// A pod of the registry, as this client sees it.
#[derive(Clone, Debug, Serialize)]
pub struct PodView {
    /// Its id in the registry.
    pub id: B256,
    /// Where it answers.
    pub endpoint: String,
    /// Whether requests may be sent to it.
    pub accepted: bool,
    /// Whether its evidence comes from the simulator and proves nothing about hardware.
    pub simulated: bool,
    /// The verdict on its evidence in one sentence, where its evidence could be read.
    pub sentence: Option<String>,
    /// The check that it failed, by name.
    pub failed_check: Option<String>,
    /// Why it is refused, for people.
    pub reason: Option<String>,
    /// The measurement of its image, where its evidence could be read.
    pub measurement: Option<B256>,
    /// Its attested key.
    pub signer: Option<Address>,
    /// What it serves and at what price.
    pub models: Vec<PodModelView>,
    /// The smoothed time to the first byte of an answer, once measured.
    pub latency_ms: Option<u32>,
    /// Failures since the last success.
    pub failures: u32,
    /// The report on its evidence, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

/// A model as one pod offers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PodModelView {
    /// The name that the pod calls it by.
    pub name: String,
    /// The digest of its manifest.
    pub digest: B256,
    /// Atomic token units per million tokens of the prompt.
    pub input_price: Amount,
    /// Atomic token units per million tokens of the answer.
    pub output_price: Amount,
    /// The model's context, in tokens.
    pub context_tokens: u64,
}

/// A model that can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelView {
    /// The name to ask it by.
    pub name: String,
    /// Other names that mean the same.
    pub aliases: Vec<String>,
    /// The digest of its manifest.
    pub digest: B256,
    /// How many accepted pods serve it.
    pub pods: usize,
}

/// A refused pod, for the 503 that lists each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedPod {
    /// Its id in the registry.
    pub id: B256,
    /// Where it answers.
    pub endpoint: String,
    /// The check that it failed.
    pub failed_check: String,
    /// Why, for people.
    pub reason: String,
}

/// A kept receipt, told in plain members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiptView {
    /// The order that it answers.
    pub order: RequestId,
    /// The pod that answered.
    pub pod: B256,
    /// Who paid.
    pub account: Account,
    /// Its place in the account's chain.
    pub seq: u64,
    /// The manifest digest of the model that answered.
    pub model_digest: B256,
    /// The digest of keyset and workload.
    pub workload: B256,
    /// How the answer ended.
    pub outcome: Outcome,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// What it cost, in atomic token units.
    pub charged: Amount,
    /// What the channel has been charged in all.
    pub cumulative: Amount,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Whether every check of the receipt passed.
    pub verified: bool,
}

/// The money of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelView {
    /// The channel.
    pub channel: ChannelId,
    /// The pod that it pays.
    pub pod: B256,
    /// What lies in it on chain.
    pub balance: Amount,
    /// What was signed away at most.
    pub ceiling: Amount,
    /// What receipts say was charged.
    pub charged: Amount,
}

/// The payer's money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BalanceView {
    /// The payer.
    pub payer: Address,
    /// Tokens in the wallet, outside any channel; nothing on a network without a chain.
    pub wallet: Amount,
    /// Its channels.
    pub channels: Vec<ChannelView>,
}
