//! Measures what privacy and payment cost, side by side in one run, and writes it down as JSON.
//!
//! ```text
//! subrosa-bench RESULTS.json [--quick]
//! ```

mod answer;
mod disk;
mod first_token;
mod gas;
mod house;
mod ollama;
mod report;
mod stats;
mod throughput;

use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::report::{Machine, Report};

/// How often each thing is measured.
#[derive(Clone, Copy)]
struct Rounds {
    first_token: usize,
    throughput: usize,
    engines: usize,
}

const FULL: Rounds = Rounds { first_token: 400, throughput: 32, engines: 7 };
const QUICK: Rounds = Rounds { first_token: 30, throughput: 2, engines: 1 };

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (file, rounds) = arguments()?;
    // The connection to the development chain wants a provider for the whole process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let machine = Machine::look();
    report::progress("gas per operation")?;
    let gas = gas::measure().await?;
    report::progress("one write to the disk")?;
    let disk = disk::measure(rounds.first_token).await?;
    report::progress("first token, scripted engine")?;
    let first_token = first_token::measure(rounds.first_token).await?;
    report::progress("tokens a second, built-in engine")?;
    let throughput = throughput::measure(rounds.throughput).await?;
    report::progress("built-in engine and Ollama")?;
    let engines = ollama::measure(rounds.engines).await?;
    let report = Report { machine, gas, disk, first_token, throughput, engines };
    report.write(&file)?;
    report.print()
}

fn arguments() -> anyhow::Result<(PathBuf, Rounds)> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().context("name the file for the results")?;
    let rounds = match arguments.next().as_deref() {
        None => FULL,
        Some("--quick") => QUICK,
        Some(other) => bail!("{other} is not an option; there is --quick"),
    };
    Ok((file.into(), rounds))
}
