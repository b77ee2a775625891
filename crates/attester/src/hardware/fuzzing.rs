//! The readers of what sources answer, for the fuzz targets.

use serde_json::{Value, json};
use subrosa_verifier::Cpu;
use tokio::io::AsyncWriteExt;

use super::dstack::{Quoted, http, read_devices};
use super::{DstackInfo, RawDevices, SourceError, answer, exact};

const SOURCE_NAME: &str = "a fuzzer";

/// Room for the request that is sent, which nobody reads.
const REQUEST_BYTES: usize = 4_096;

/// A quote of this processor, without the zeros behind it.
pub fn quote(bytes: &[u8], cpu: Cpu, report_data: &[u8; 64]) -> Result<Vec<u8>, SourceError> {
    exact::quote(SOURCE_NAME, bytes, cpu, report_data)
}

/// A report of SEV-SNP.
pub fn snp_report(bytes: &[u8], report_data: &[u8; 64]) -> Result<Vec<u8>, SourceError> {
    exact::snp_report(SOURCE_NAME, bytes, report_data)
}

/// A device's report, without the byte behind it.
pub fn device_report(bytes: &[u8], nonce: &[u8; 32]) -> Result<Vec<u8>, SourceError> {
    exact::device_report(SOURCE_NAME, bytes, nonce)
}

/// A device's certificates, without the zeros behind them.
pub fn device_chain(bytes: &[u8]) -> Result<String, SourceError> {
    answer::chain_text(SOURCE_NAME, bytes)
}

/// The JSON that an agent answers over a connection on which it sends these bytes.
///
/// # Panics
/// Inside a Tokio runtime.
pub fn dstack_body(sent: &[u8]) -> Result<Value, SourceError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it needs nothing");
    runtime.block_on(async {
        let (ours, mut agents) = tokio::io::duplex(sent.len() + REQUEST_BYTES);
        agents.write_all(sent).await.expect("the connection has room for it");
        // It answers before it is asked, and breaks off.
        agents.shutdown().await.expect("the connection is open");
        let answer = http::exchange(SOURCE_NAME, ours, "/Info", &json!({})).await;
        answer?.json(SOURCE_NAME)
    })
}

/// The quote or report of an agent's answer to `GetQuote`.
pub fn dstack_quote(answer: &Value, report_data: &[u8; 64]) -> Result<Vec<u8>, SourceError> {
    Quoted::read(answer, report_data).map(|quoted| match quoted {
        Quoted::Snp { report } => report,
        Quoted::Tdx { quote, .. } => quote,
    })
}

/// An agent's answer to `Info`.
pub fn dstack_info(answer: Value) -> Result<DstackInfo, SourceError> {
    DstackInfo::read(answer)
}

/// An agent's answer to `AttestGpu`.
pub fn dstack_devices(answer: &Value, nonce: &[u8; 32]) -> Result<RawDevices, SourceError> {
    read_devices(answer, nonce)
}
