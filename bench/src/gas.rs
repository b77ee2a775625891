//! Gas per operation, on a chain of our own.

use subrosa_devnet::gas::GasReport;
use subrosa_devnet::{Devnet, DevnetOptions, gas};

/// Starts a chain, does each operation once, and stops it.
pub async fn measure() -> anyhow::Result<GasReport> {
    let devnet = Devnet::start(DevnetOptions::default()).await?;
    Ok(gas::measure(&devnet).await?)
}
