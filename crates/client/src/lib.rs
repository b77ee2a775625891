//! The payer's library: find pods, verify them, choose one, seal, pay, keep the receipt.
//!
//! Evidence is checked before a key is believed, a key before a request is sealed to it, and what a crash
//! must not lose is on disk before it is sent. There is no path without a seal.
//!
//! ```no_run
//! # async fn example(config: subrosa_client::ClientConfig) -> Result<(), Box<dyn std::error::Error>> {
//! use subrosa_api::openai::ChatRequest;
//! use subrosa_client::Client;
//!
//! let client = Client::open(config).await?;
//! client.refresh().await?;
//! let mut answer = client.ask(ChatRequest::ask("smollm2", "2+2?")).await?;
//! while let Some(piece) = answer.next().await {
//!     let _bytes = piece?;
//! }
//! let _receipt = answer.receipt().await;
//! # Ok(()) }
//! ```
//!
//! The types to know: [`Client`], [`Answer`], and [`export::Bundle`], which `subrosa verify` re-checks.

mod answer;
mod ask;
mod choose;
mod client;
mod config;
mod directory;
pub mod export;
mod fetch;
mod kept;
mod money;
mod pod;
mod purse;
mod records;
mod transport;
mod view;
mod visit;

pub use answer::{Answer, StreamError};
pub use ask::AskError;
pub use client::{Client, RecordsError, RefreshError};
pub use config::{ClientConfig, OpenError};
pub use money::MoneyError;
pub use records::{KeptChannel, Records};
pub use subrosa_seal::{Pacing, Tick};
pub use view::{
    BalanceView, ChannelView, ModelView, PodModelView, PodView, ReceiptView, RefusedPod,
};
