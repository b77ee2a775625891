//! The commands, one file each.

mod ask;
mod client;
mod config;
mod doctor;
mod explain;
mod gateway;
mod models;
mod network;
mod pod;
mod pods;
mod receipts;
mod verify;
mod wallet;

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;

use crate::args::{Args, Command};
use crate::demo;
use crate::output::{self, Output};

pub(crate) use ask::Chunk;
pub(crate) use models::pull;
pub(crate) use pod::command;
pub(crate) use pods::hardware;

/// Does what was typed.
pub(crate) async fn run(args: Args, output: &Output) -> Result<ExitCode> {
    let Args { common, command } = args;
    match command {
        Command::Ask(args) => ask::run(&common, &args, output).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "subrosa", &mut script);
            output::text(&String::from_utf8_lossy(&script));
            Ok(ExitCode::SUCCESS)
        }
        Command::Config { command } => config::run(&command, output),
        Command::Demo(args) => demo::run(&args, output).await,
        Command::Explain(args) => explain::run(&common, &args, output),
        Command::Gateway(args) => gateway::run(&common, &args, output).await,
        Command::Models { command } => models::run(&command, output).await,
        Command::Network { command } => network::run(&common, &command, output),
        Command::Pod(args) => pod::run(&common, args, output).await,
        Command::Pods(args) => pods::run(&args, &common, output).await,
        Command::Receipts { command } => receipts::run(&common, &command, output).await,
        Command::Verify(args) => verify::run(&common, &args, output),
        Command::Wallet { command } => wallet::run(&common, &command, output).await,
    }
}

/// Returns at ctrl-c, or when the system asks the process to end.
pub(crate) async fn stop_signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
