//! The provider: one attested pod that answers sealed questions, meters, charges and claims.
//!
//! [`Pod::bind`] starts it from a [`PodConfig`] and the parts in [`Deps`]; [`Pod::shutdown`] stops it
//! in order. Its HTTP surface has numbers in `spec/pod.md`.
//!
//! ```no_run
//! # async fn example(deps: subrosa_pod::Deps) -> Result<(), Box<dyn std::error::Error>> {
//! use subrosa_pod::{Pod, PodConfig};
//!
//! let config = PodConfig::load("pod.toml".as_ref())?;
//! let pod = Pod::bind(config, deps).await?;
//! println!("listening at {}", pod.local_addr());
//! pod.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! The types to know: [`PodConfig`], [`Deps`], [`Pod`].

mod ask;
mod book;
mod bucket;
mod chat;
mod claimer;
mod clock;
mod config;
mod core;
mod due;
mod evidence;
mod inside;
mod keys;
pub mod link;
mod memory;
mod offer;
mod offers;
mod onchain;
mod outlet;
mod outside;
mod pace;
mod parts;
mod payment;
mod pod;
mod registrar;
mod replies;
mod server;
mod signer;
mod slips;
mod start;
mod steps;
mod telling;
mod tls;
mod vllm_report;
mod workload;
mod world;

pub use claimer::{ClaimError, ClaimReport};
pub use config::{
    AttesterConfig, BackendConfig, ClaimConfig, ConfigError, DevicesConfig, HardwareConfig,
    OperatorConfig, PodConfig, PriceConfig, ProcessorConfig, ServicesConfig,
};
pub use onchain::OnChain;
pub use pod::{Deps, Pod};
pub use start::StartError;
pub use steps::{Step, StepHook};
