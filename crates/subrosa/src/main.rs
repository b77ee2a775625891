//! The `subrosa` command: ask, run a pod, verify, and see all of it at work in `subrosa demo`.
//!
//! Every command is one file in `commands/`; [`args`] says what can be typed, [`output`] is the
//! only way to standard output, [`place`] knows where state, wallet and network file lie.

mod args;
mod checked;
mod commands;
mod demo;
mod failure;
mod output;
mod picture;
mod place;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::Args;
use output::Output;

fn main() -> ExitCode {
    // One cryptography provider for all of TLS, chosen here and nowhere else.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let args = Args::parse();
    log();
    let output = Output::new(args.common.json);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return output.fail(&error.into()),
    };
    let ended = runtime.block_on(commands::run(args, &output));
    // A thread that still reads standard input must not keep the process.
    runtime.shutdown_background();
    ended.unwrap_or_else(|error| output.fail(&error))
}

/// Logs go to standard error, warnings and worse unless `RUST_LOG` says otherwise. No log line of
/// ours holds a prompt or an answer.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(output::stderr_takes_colour())
        .init();
}
