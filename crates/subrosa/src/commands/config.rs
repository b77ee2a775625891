//! `subrosa config`: examples, and what is wrong with a file.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::json;
use subrosa_chain::{Network, strict};
use subrosa_pod::PodConfig;
use subrosa_verifier::{Policy, Releases};

use crate::args::{ConfigCommand, ConfigKind};
use crate::output::{self, Output};

const NETWORK_EXAMPLE: &str = include_str!("../../../../deploy/networks/example.toml");
const PRIVATE_EXAMPLE: &str = include_str!("../../../../deploy/networks/private.toml");

pub(crate) fn run(command: &ConfigCommand, output: &Output) -> Result<ExitCode> {
    match command {
        ConfigCommand::Example { kind } => example(*kind, output),
        ConfigCommand::Check { file, kind } => {
            let kind = check(file, *kind)?;
            output.value(&json!({"file": file, "kind": name(kind), "good": true}));
            output.line(format!("{} is a good {} file", file.display(), name(kind)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn example(kind: ConfigKind, output: &Output) {
    let text = match kind {
        ConfigKind::Network => NETWORK_EXAMPLE.to_owned(),
        ConfigKind::Pod => PodConfig::example().to_owned(),
        ConfigKind::Policy => Policy::strict(Releases::default()).to_toml(),
        ConfigKind::PrivateNetwork => PRIVATE_EXAMPLE.to_owned(),
    };
    match output.is_json() {
        true => output.value(&json!({"kind": name(kind), "text": text})),
        false => output::text(&text),
    }
}

fn check(path: &Path, kind: Option<ConfigKind>) -> Result<ConfigKind> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let Some(kind) = kind.or_else(|| guess(&text)) else {
        bail!("{} is like no file of ours; say which with --kind", path.display());
    };
    let checked = match kind {
        ConfigKind::Network | ConfigKind::PrivateNetwork => {
            Network::parse(&text).map(drop).map_err(anyhow::Error::from)
        }
        ConfigKind::Pod => pod(&text).map(drop),
        ConfigKind::Policy => strict::from_toml::<Policy>(&text).map(drop).map_err(Into::into),
    };
    checked.with_context(|| path.display().to_string())?;
    Ok(kind)
}

/// A pod's configuration, with errors that suggest what was meant.
pub(crate) fn pod(text: &str) -> Result<PodConfig> {
    strict::from_toml::<PodConfig>(text)?;
    Ok(PodConfig::parse(text)?)
}

/// The kind of file that has most of the keys of a text.
fn guess(text: &str) -> Option<ConfigKind> {
    const KEYS: [(ConfigKind, &[&str]); 3] = [
        (ConfigKind::Network, &["trust", "chain_id", "contracts", "publishers", "pinned", "rpc"]),
        (ConfigKind::Pod, &["listen", "state_dir", "payee", "signer_file", "backend", "attester"]),
        (ConfigKind::Policy, &["debug", "gpu", "machines", "releases", "roots", "nonce", "intel"]),
    ];
    let key = |line| str::trim_start_matches(line, [' ', '\t', '[']).split(['=', ']', '.', ' ']);
    let written: Vec<&str> = text.lines().filter_map(|line| key(line).next()).collect();
    let score = |keys: &[&str]| keys.iter().filter(|key| written.contains(key)).count();
    let scores = KEYS.iter().map(|(kind, keys)| (score(keys), *kind));
    let best = scores.max_by_key(|(score, _)| *score)?;
    (best.0 > 0).then_some(best.1)
}

fn name(kind: ConfigKind) -> &'static str {
    match kind {
        ConfigKind::Network => "network",
        ConfigKind::Pod => "pod",
        ConfigKind::Policy => "policy",
        ConfigKind::PrivateNetwork => "private-network",
    }
}
