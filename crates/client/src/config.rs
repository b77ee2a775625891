//! What a client is told.

use std::path::PathBuf;

use subrosa_chain::{Chain, Network, Wallet};
use subrosa_engine::catalogue::Catalogue;
use subrosa_protocol::Amount;
use subrosa_seal::Pacing;
use subrosa_verifier::Policy;

/// Everything that a [`Client`](crate::Client) needs to know.
pub struct ClientConfig {
    /// The network.
    pub network: Network,
    /// Its chain, connected; none on a network without one.
    pub chain: Option<Chain>,
    /// Who pays, and signs orders.
    pub payer: Wallet,
    /// Where ledgers and receipts are kept; one process at a time.
    pub state_dir: PathBuf,
    /// Names and aliases of models.
    pub catalogue: Catalogue,
    /// What evidence must pass; else the preset of the network's trust.
    pub policy: Option<Policy>,
    /// How answers are paced inside the seal.
    pub pacing: Pacing,
    /// What is deposited when a channel is opened or runs dry.
    pub deposit: Amount,
    /// Where pods answer on a network without a registry.
    pub private_pods: Vec<String>,
}

/// Why a client does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The network has a chain and none was connected, or the other way round.
    #[error("a network with a chain needs a connection to it, and one without a chain takes none")]
    Chain,
    /// The kept ledgers contradict themselves.
    #[error("the kept ledgers contradict themselves: restore the state directory as a whole")]
    Ledger,
    /// A policy for simulated evidence, on a network of hardware.
    #[error("the policy accepts simulated evidence, the network does not")]
    Policy,
    /// The state directory cannot be opened.
    #[error(transparent)]
    Store(#[from] subrosa_store::OpenError),
    /// The kept ledgers cannot be read.
    #[error(transparent)]
    Read(#[from] subrosa_store::StoreError),
}
