//! Everything about the chain: the network file, wallets, and a connection that reads the contracts
//! and sends to them.
//!
//! Start with a [`Network`], connect a [`Chain`] to it, and hand a [`Wallet`] to whatever writes.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use subrosa_chain::{Chain, Network, Passphrase, Wallet};
//!
//! let network = Network::load("network.toml".as_ref())?;
//! let wallet = Wallet::open("payer.json".as_ref(), &Passphrase::new("correct horse".into()))?;
//! let chain = Chain::connect(&network).await?;
//! println!("{} holds {}", wallet.address(), chain.token_balance(wallet.address()).await?);
//! # Ok(()) }
//! ```
//!
//! A process installs a rustls provider before it connects. Contracts and calldata are specified in
//! `spec/escrow.md`.

mod bindings;
mod chain;
pub mod deploy;
mod error;
mod escrow;
mod network;
pub mod packed;
mod registry;
mod release_proof;
mod releases;
mod send;
pub mod strict;
mod token;
mod wallet;

pub use chain::{BlockHead, Chain, Depth};
pub use error::ChainError;
pub use escrow::{ChannelState, Claimed, ReceiverState, RowOutcome, SkipReason};
pub use network::{
    ChainParams, Contracts, Finality, Network, NetworkError, NetworkFault, Pinned, Publishers,
    Trust,
};
pub use packed::ClaimRow;
pub use registry::RegisteredPod;
pub use releases::{Kind, ReleaseSet};
pub use send::Mined;
pub use wallet::{Passphrase, Wallet, WalletError};
