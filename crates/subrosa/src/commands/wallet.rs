//! `subrosa wallet`: a key, what it holds, and what lies in its channels.

use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;
use subrosa_chain::Wallet;
use subrosa_client::{KeptChannel, Records};
use subrosa_protocol::{Address, Amount, B256, ChannelId};

use super::client;
use crate::args::{ClientArgs, Common, WalletCommand};
use crate::output::Output;

pub(crate) async fn run(
    common: &Common,
    command: &WalletCommand,
    output: &Output,
) -> Result<ExitCode> {
    match command {
        WalletCommand::New => new(common, output).await?,
        WalletCommand::Show => show(common, output).await?,
        WalletCommand::Deposit { amount, pod } => deposit(common, *amount, *pod, output).await?,
        WalletCommand::Withdraw { channel, amount, finish } => {
            withdraw(common, *channel, *amount, *finish, output).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn new(common: &Common, output: &Output) -> Result<()> {
    let path = common.wallet_file()?;
    let passphrase = common.new_passphrase()?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let making = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || Wallet::create(&path, &passphrase))
    };
    let waiting = output.wait("encrypting the key");
    let wallet = making.await.expect("making a wallet does not panic")?;
    drop(waiting);
    output.value(&json!({"address": wallet.address(), "file": path}));
    output.line(format!("{} in {}", wallet.address(), path.display()));
    output.line("Keep the file and the passphrase: without either, what the key holds is lost.");
    Ok(())
}

async fn show(common: &Common, output: &Output) -> Result<()> {
    let path = common.wallet_file()?;
    let address = Wallet::peek_address(&path)?
        .context("the keystore does not name its address; use one made by `subrosa wallet new`")?;
    let holdings = holdings(common, address).await?;
    let mut told = json!({"address": address, "file": path});
    output.line(format!("address  {address}"));
    if let Some((tokens, gas)) = holdings {
        told["tokens"] = json!(tokens);
        told["gas"] = json!(gas);
        output.line(format!("tokens   {tokens} atomic units"));
        output.line(format!("gas      {gas} wei"));
    }
    if let Some(channels) = channels(common, address).await? {
        told["channels"] = json!(channels);
        for channel in channels {
            output.line(format!(
                "channel  {} holds {}, charged {}",
                channel.channel, channel.balance, channel.charged
            ));
        }
    }
    output.value(&told);
    Ok(())
}

/// The payer's channels in the state folder; none where there are none yet, or a gateway has them open.
async fn channels(common: &Common, payer: Address) -> Result<Option<Vec<KeptChannel>>> {
    let Some(network) = common.network_if_any()? else { return Ok(None) };
    let folder = common.ledger_folder(&network)?;
    if !folder.exists() {
        return Ok(None);
    }
    let Ok(records) = Records::open(&folder, network.domain()) else { return Ok(None) };
    let mut channels = records.channels().await?;
    channels.retain(|channel| channel.payer == payer);
    records.close().await;
    Ok(Some(channels))
}

/// Tokens and gas of an address, where there is a chain.
async fn holdings(common: &Common, address: Address) -> Result<Option<(Amount, String)>> {
    let Some(network) = common.network_if_any()? else { return Ok(None) };
    let Some(chain) = client::connect(&network).await? else { return Ok(None) };
    let tokens = chain.token_balance(address).await?;
    let gas = chain.gas_balance(address).await?;
    Ok(Some((tokens, gas.to_string())))
}

/// How the client is opened when it asks nothing.
fn quiet(deposit: Amount) -> ClientArgs {
    ClientArgs { deposit, tick_ms: 20, pods: Vec::new(), policy: None }
}

async fn deposit(common: &Common, amount: Amount, pod: B256, output: &Output) -> Result<()> {
    let client = client::open(common, &quiet(amount), output).await?;
    let deposited = client.deposit(pod, amount).await;
    client.close().await;
    let channel = deposited?;
    output.value(&channel);
    output.line(format!("channel {} holds {}", channel.channel, channel.balance));
    Ok(())
}

async fn withdraw(
    common: &Common,
    channel: ChannelId,
    amount: Option<Amount>,
    finish: bool,
    output: &Output,
) -> Result<()> {
    let client = client::open(common, &quiet(Amount::ZERO), output).await?;
    let done = match finish {
        true => client.finish_withdrawal(channel).await,
        false => client.begin_withdrawal(channel, amount).await,
    };
    client.close().await;
    let mined = done?;
    let hash = mined.hash;
    output.value(&json!({
        "channel": channel, "finished": finish, "transaction": hash, "gas": mined.gas,
    }));
    output.line(match finish {
        true => format!("withdrawn; transaction {hash}"),
        false => format!(
            "begun in transaction {hash}; after the channel's delay finish it:\n    \
             subrosa wallet withdraw {channel} --finish"
        ),
    });
    Ok(())
}
