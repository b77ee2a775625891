//! Reading the JSON that agents answer. Members that we do not know are theirs to add.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use subrosa_verifier::{Architecture, DEVICE_CHAIN_BYTES_MAX, Device};

use super::SourceError;
use super::exact::{device_report, within};

/// Hex with or without `0x`, as agents of different ages write it.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok()
}

/// A member that is JSON, or JSON in a string.
pub(crate) fn unfold(value: Value) -> Option<Value> {
    match value {
        Value::String(text) => serde_json::from_str(&text).ok(),
        value => Some(value),
    }
}

/// A device as NVIDIA's tools write it: `{arch, nonce, evidence, certificate}`, both last in base64.
pub(crate) fn device(
    source_name: &'static str,
    entry: &Value,
    nonce: &[u8; 32],
) -> Result<Device, SourceError> {
    let wrong = |what| SourceError::BadAnswer { source_name, what };
    let text = |member: &str| entry.get(member).and_then(Value::as_str);
    let bytes = |member: &str| text(member).and_then(|text| STANDARD.decode(text).ok());
    let architecture =
        text("arch").and_then(|name| Architecture::from_name(&name.to_ascii_uppercase()));
    let report = bytes("evidence").ok_or_else(|| wrong("a device's `evidence` is no base64"))?;
    let chain =
        bytes("certificate").ok_or_else(|| wrong("a device's `certificate` is no base64"))?;
    Ok(Device {
        architecture: architecture.ok_or_else(|| wrong("a device's `arch` is unknown"))?,
        report: device_report(source_name, &report, nonce)?,
        chain: chain_text(source_name, &chain)?,
    })
}

/// A device's certificates: PEM, perhaps ended by NULs as C strings are.
pub(crate) fn chain_text(source_name: &'static str, chain: &[u8]) -> Result<String, SourceError> {
    let chain = within(source_name, "a device's certificates", chain, DEVICE_CHAIN_BYTES_MAX)?;
    let end = chain.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let text = std::str::from_utf8(&chain[..end]).ok();
    let text =
        text.filter(|text| text.is_ascii() && text.starts_with("-----BEGIN CERTIFICATE-----"));
    let what = "a device's certificates are no PEM";
    text.map(str::to_owned).ok_or(SourceError::BadAnswer { source_name, what })
}
