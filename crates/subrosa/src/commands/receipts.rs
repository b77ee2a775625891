//! `subrosa receipts`: what was paid for, and the proof of it.

use std::process::ExitCode;

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use subrosa_client::export::{self, Against};
use subrosa_client::{ReceiptView, Records};
use subrosa_protocol::RequestId;

use super::verify;
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
            let bundle = export(&records, *order).await?;
            let against = Against { network: Some(&network), ..Against::default() };
            let checked = Checked::from(export::check(bundle.as_bytes(), against)?);
            output.value(&checked);
            verify::tell(&checked, output);
        }
        ReceiptsCommand::Export { order } => output::text(&export(&records, *order).await?),
    }
    records.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn export(records: &Records, order: RequestId) -> Result<String> {
    let bundle = records.export(order).await?;
    let bundle = bundle.with_context(|| {
        format!("no receipt of order {order} is kept here; `subrosa receipts list` lists them")
    })?;
    Ok(format!("{}\n", serde_json::to_string_pretty(&bundle)?))
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
