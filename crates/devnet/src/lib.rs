//! A chain for development: a real EVM node of one's own, with Subrosa's contracts deployed, releases
//! published, and keys that hold test money.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use subrosa_devnet::{Devnet, DevnetOptions};
//!
//! let devnet = Devnet::start(DevnetOptions::default()).await?;
//! println!("{}", devnet.network().to_toml());
//! # Ok(()) }
//! ```
//!
//! [`Devnet`] is the running chain, [`DevnetOptions`] what it starts with, [`gas::measure`] what each
//! operation costs there.

mod anvil;
mod devnet;
pub mod gas;

pub use anvil::AnvilError;
pub use devnet::{Devnet, DevnetError, DevnetOptions};
