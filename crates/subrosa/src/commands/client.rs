//! A client from what was typed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use subrosa_chain::{Chain, Network, Wallet};
use subrosa_client::{Client, ClientConfig};
use subrosa_engine::catalogue::Catalogue;
use subrosa_protocol::Amount;
use subrosa_seal::{Pacing, Tick};
use subrosa_verifier::Policy;

use crate::args::{ClientArgs, Common};
use crate::output::Output;

/// A client with the wallet opened, its pods found and verified.
pub(crate) async fn open(common: &Common, args: &ClientArgs, output: &Output) -> Result<Client> {
    let network = common.network()?;
    let payer = common.open_wallet().await?;
    let config = ClientConfig {
        state_dir: common.ledger_folder(&network)?,
        chain: connect(&network).await?,
        payer,
        catalogue: Catalogue::compiled_in(),
        policy: policy(args.policy.as_deref())?,
        pacing: pacing(args.tick_ms)?,
        deposit: args.deposit,
        private_pods: args.pods.clone(),
        network,
    };
    open_and_look(config, output).await
}

/// A client that only looks: its wallet is a key that is thrown away, its state folder `folder`.
pub(crate) async fn look(
    common: &Common,
    pods: &[String],
    policy_file: Option<&Path>,
    folder: PathBuf,
    output: &Output,
) -> Result<Client> {
    let network = common.network()?;
    let config = ClientConfig {
        state_dir: folder,
        chain: connect(&network).await?,
        payer: Wallet::generate(),
        catalogue: Catalogue::compiled_in(),
        policy: policy(policy_file)?,
        pacing: Pacing::default(),
        deposit: Amount::ZERO,
        private_pods: pods.to_vec(),
        network,
    };
    open_and_look(config, output).await
}

async fn open_and_look(config: ClientConfig, output: &Output) -> Result<Client> {
    let waiting = output.wait("finding and verifying pods");
    let client = Client::open(config).await?;
    client.refresh().await?;
    drop(waiting);
    Ok(client)
}

/// The network's chain, where it has one.
pub(crate) async fn connect(network: &Network) -> Result<Option<Chain>> {
    match network.chain {
        Some(_) => Ok(Some(Chain::connect(network).await?)),
        None => Ok(None),
    }
}

/// A policy file, where one was named.
pub(crate) fn policy(path: Option<&Path>) -> Result<Option<Policy>> {
    let Some(path) = path else { return Ok(None) };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let policy =
        Policy::from_toml(&text).with_context(|| format!("{} is no policy", path.display()))?;
    Ok(Some(policy))
}

fn pacing(tick_ms: u16) -> Result<Pacing> {
    if tick_ms == 0 {
        return Ok(Pacing::Off);
    }
    match Tick::from_ms(tick_ms) {
        Some(tick) => Ok(Pacing::Ticks(tick)),
        None => bail!("--tick-ms must be 5 to 1000, or 0 for none"),
    }
}
