//! `subrosa network show`: what a network file means.

use std::process::ExitCode;

use anyhow::Result;
use subrosa_chain::{ChainParams, Finality};

use crate::args::{Common, NetworkCommand};
use crate::output::{Output, Tone};

pub(crate) fn run(common: &Common, command: &NetworkCommand, output: &Output) -> Result<ExitCode> {
    let NetworkCommand::Show = command;
    let network = common.network()?;
    let file: serde_json::Value = toml::from_str(&network.to_toml())?;
    output.value(&file);
    output.line(output.paint(Tone::Strong, &network.name));
    output.line(match network.is_simulated() {
        true => "evidence      SIMULATED is accepted: it proves nothing about hardware",
        false => "evidence      of real hardware only",
    });
    match &network.chain {
        Some(chain) => tell_chain(chain, output),
        None => output.line("chain         none: callers are allow-listed, and nobody pays"),
    }
    for measurement in &network.pinned.measurements {
        output.line(format!("image pinned  {measurement}"));
    }
    for model in &network.pinned.models {
        output.line(format!("model pinned  {model}"));
    }
    for block in &network.pinned.blocks {
        output.line(format!("block known   {block}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn tell_chain(chain: &ChainParams, output: &Output) {
    let ChainParams { contracts, publishers, .. } = chain;
    let finality = match chain.finality {
        Finality::Confirmations(blocks) => format!("after {blocks} confirmations"),
        Finality::Finalized => "when the node says so".into(),
    };
    let (threshold, count) = (publishers.threshold, publishers.addresses.len());
    let age = chain.view_age_max.0;
    for line in [
        format!("chain         {} through {}", chain.chain_id, chain.rpc),
        format!("final         {finality}; a view older than {age} s is not acted upon"),
        format!("escrow        {}", contracts.escrow),
        format!("pod registry  {}", contracts.registry),
        format!("releases      {}", contracts.releases),
        format!("token         {}", contracts.token),
        format!("publishers    {threshold} of {count} publish a release; one can revoke it"),
    ] {
        output.line(line);
    }
}
