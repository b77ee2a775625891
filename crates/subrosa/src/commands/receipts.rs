//! `subrosa receipts`: what was paid for, and the proof of it.

use std::process::ExitCode;

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use subrosa_chain::Network;
use subrosa_client::export::{self, Against, Bundle};
use subrosa_client::{ReceiptView, Records};
use subrosa_protocol::RequestId;

use super::{client, verify};
use crate::args::{Common, ReceiptsCommand};
use crate::checked::Checked;
use crate::output::{self, Output};

pub(crate) async fn run(
    common: &Common,
    command: &ReceiptsCommand,
    output: &Output,
) -> Result<ExitCode> {
    let network = common.network()?;
    let folder = common.ledger_folder(&network)?;
    let records = Records::open(&folder, network.domain()).context(
        "receipts cannot be read here; a gateway that runs has them at /subrosa/v1/receipts",
    )?;
    match command {
        ReceiptsCommand::List => {
            let receipts = records.receipts().await?;
            output.value(&receipts);
            match receipts.is_empty() {
                true => output.line("no receipts yet: ask something with `subrosa ask`"),
                false => output.line(table(&receipts).to_string()),
            }
        }
        ReceiptsCommand::Show { order } => {
            let bundle = text(&find(&records, *order).await?)?;
            let against = Against { network: Some(&network), own: true, ..Against::default() };
            let checked = Checked::from(export::check(bundle.as_bytes(), against)?);
            output.value(&checked);
            verify::tell(&checked, output);
        }
        ReceiptsCommand::Export { order } => {
            let mut bundle = find(&records, *order).await?;
            prove(&mut bundle, &network, output).await;
            output::text(&text(&bundle)?);
        }
    }
    records.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn find(records: &Records, order: RequestId) -> Result<Bundle> {
    let bundle = records.export(order).await?;
    bundle.with_context(|| {
        format!("no receipt of order {order} is kept here; `subrosa receipts list` lists them")
    })
}

/// Says how large the proof of the releases is; where none was kept, asks the chain for one first.
async fn prove(bundle: &mut Bundle, network: &Network, output: &Output) {
    if bundle.lacks_proof() {
        let proven = async {
            let chain = client::connect(network).await?.context("this network has no chain")?;
            anyhow::Ok(bundle.prove(&chain).await?)
        };
        if let Err(error) = proven.await {
            output.note(format!(
                "without a proof of its releases, which whoever names the network will miss: {error:#}"
            ));
        }
    }
    if let Some(bytes) = bundle.proof_bytes() {
        output.note(format!("with a proof of its releases, {bytes} bytes"));
    }
}

fn text(bundle: &Bundle) -> Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(bundle)?))
}

fn table(receipts: &[ReceiptView]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["order", "ended", "tokens in", "out", "charged", "in all", "issued at"]);
    for receipt in receipts {
        table.add_row([
            receipt.order.to_string(),
            format!("{:?}", receipt.outcome).to_lowercase(),
            receipt.input_tokens.to_string(),
            receipt.output_tokens.to_string(),
            receipt.charged.to_string(),
            receipt.cumulative.to_string(),
            receipt.issued_at.to_string(),
        ]);
    }
    table
}
