//! Slips: the signer's claim for each channel, written out on a cadence, good without the TEE
//! (spec/pod.md 9).

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use subrosa_protocol::{Domain, Message, encoding};
use subrosa_store::payee::Slip;

use crate::core::Core;
use crate::steps::Step;

/// An operator who loses power loses no charge older than this (SECURITY.md). The cadence is fixed, so
/// that its times tell nothing about single questions.
const CADENCE: Duration = Duration::from_secs(10);

/// Writes the slips out for ever; the owner drops the future to stop it.
pub(crate) async fn keep_exporting(core: &Core, file: &Path) {
    loop {
        tokio::time::sleep(CADENCE).await;
        export(core, file).await;
    }
}

/// Writes the slips out once.
pub(crate) async fn export(core: &Core, file: &Path) {
    let slips = match core.book.slips().await {
        Ok(slips) => slips,
        Err(error) => return tracing::error!(%error, "the slips could not be read"),
    };
    let (document, path) = (document(&core.domain, &slips), file.to_owned());
    let written = tokio::task::spawn_blocking(move || replace(&path, &document)).await;
    match written.expect("writing a file does not panic") {
        Ok(()) => core.book.steps().done(Step::SlipsExported),
        Err(error) => tracing::error!(%error, "the slips could not be written out"),
    }
}

/// All that a claim needs, in the order and form in which the contract's ABI takes it.
fn document(domain: &Domain, slips: &[Slip]) -> String {
    let slips: Vec<_> = slips
        .iter()
        .map(|slip| {
            json!({
                "channel": slip.config.id(domain),
                "config": encoding::to_base64(&slip.config.encode()),
                "voucher": slip.voucher.to_base64(),
                "claim": slip.claim.to_base64(),
            })
        })
        .collect();
    let document = json!({
        "version": 1, "chain_id": domain.chain_id, "escrow": domain.escrow, "slips": slips,
    });
    format!("{document:#}\n")
}

/// Replaces a file in one step, so that whoever copies it away never copies half of it.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let mut draft = file.as_os_str().to_owned();
    draft.push(".draft");
    let draft = PathBuf::from(draft);
    let mut options = OpenOptions::new();
    let mut out = options.write(true).create(true).truncate(true).mode(0o644).open(&draft)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(draft, file)
}
