//! `subrosa gateway`: OpenAI's API on this machine.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::json;
use subrosa_gateway::{Gateway, GatewayConfig, Token};

use super::{client, stop_signal};
use crate::args::{Common, GatewayArgs};
use crate::output::{self, Output, Tone};
use crate::place;

pub(crate) async fn run(common: &Common, args: &GatewayArgs, output: &Output) -> Result<ExitCode> {
    let token = match &args.token_file {
        None => None,
        Some(path) => Some(Token::new(&place::first_line(path)?).context(
            "the token needs 16 characters or more, without blanks, in the file's first line",
        )?),
    };
    let host_names = args.host_names.clone();
    let config = GatewayConfig { listen: args.listen, host_names, token };
    let client = Arc::new(client::open(common, &args.client, output).await?);
    let gateway = Gateway::bind(config, Arc::clone(&client)).await?;
    let address = gateway.local_addr();
    let pods = client.pods();
    let accepted = pods.iter().filter(|pod| pod.accepted).count();
    if output.is_json() {
        output::event(&json!({
            "event": "ready",
            "address": address,
            "simulated": client.is_simulated(),
            "accepted": accepted,
            "pods": pods.len(),
        }));
    }
    if client.is_simulated() {
        let word = output.paint(Tone::Warning, "SIMULATED");
        output.line(format!("{word} evidence: this network proves nothing about hardware"));
    }
    let of = pods.len();
    output.line(format!("OpenAI's API at http://{address}/v1 ({accepted} of {of} pods accepted)"));
    output.line("ctrl-c ends it");
    stop_signal().await?;
    gateway.shutdown().await;
    if let Some(client) = Arc::into_inner(client) {
        client.close().await;
    }
    Ok(ExitCode::SUCCESS)
}
