//! Where foreign bytes end: platforms append zeros to quotes, and some devices a byte to their
//! reports. Everything behind this file is exact, carries what was asked for, and fits a document.
//!
//! The formats are read by the code that verifies them: what a client would refuse for its form is
//! refused here, where an operator sees it.

use subrosa_nvidia_evidence::{Report, Trailing};
use subrosa_verifier::{
    Cpu, DEVICE_REPORT_BYTES_MAX, QUOTE_BYTES_MAX, SNP_REPORT_BYTES, SnpReport, trim_quote,
};

use super::SourceError;

/// A quote of this processor over these report data, without the zeros behind it.
pub(crate) fn quote(
    source_name: &'static str,
    bytes: &[u8],
    cpu: Cpu,
    report_data: &[u8; 64],
) -> Result<Vec<u8>, SourceError> {
    let quote = trim_quote(bytes).map_err(|error| SourceError::BadQuote { source_name, error })?;
    if quote.cpu != cpu {
        return Err(SourceError::OtherCpu { source_name, got: quote.cpu, expected: cpu });
    }
    if quote.report_data != *report_data {
        return Err(SourceError::AnotherReportData { source_name });
    }
    within(source_name, "a quote", quote.quote, QUOTE_BYTES_MAX).map(<[u8]>::to_vec)
}

/// A report of SEV-SNP over these report data, which is exactly what was given.
pub(crate) fn snp_report(
    source_name: &'static str,
    bytes: &[u8],
    report_data: &[u8; 64],
) -> Result<Vec<u8>, SourceError> {
    let report = SnpReport::parse(bytes)
        .map_err(|error| SourceError::BadSnpReport { source_name, error })?;
    match report.report_data() == *report_data {
        true => Ok(bytes.to_vec()),
        false => Err(SourceError::AnotherReportData { source_name }),
    }
}

/// A report of SEV-SNP at the start of something longer.
pub(crate) fn leading_snp_report(
    source_name: &'static str,
    bytes: &[u8],
    report_data: &[u8; 64],
) -> Result<Vec<u8>, SourceError> {
    let report = bytes.get(..SNP_REPORT_BYTES).unwrap_or(bytes);
    snp_report(source_name, report, report_data)
}

/// A device's report over this nonce, up to its signature. One byte may follow: some devices send
/// one more than they signed.
pub(crate) fn device_report(
    source_name: &'static str,
    bytes: &[u8],
    nonce: &[u8; 32],
) -> Result<Vec<u8>, SourceError> {
    let bytes = within(source_name, "a device's report", bytes, DEVICE_REPORT_BYTES_MAX)?;
    let report = Report::parse(bytes, Trailing::TolerateOne)
        .map_err(|error| SourceError::BadDeviceReport { source_name, error })?;
    match report.request_nonce() == nonce {
        true => Ok([report.signed_bytes(), report.signature()].concat()),
        false => Err(SourceError::AnotherNonce { source_name }),
    }
}

/// The bytes, where a document has room for them.
pub(crate) fn within<'a>(
    source_name: &'static str,
    what: &'static str,
    bytes: &'a [u8],
    max: usize,
) -> Result<&'a [u8], SourceError> {
    match bytes.len() <= max {
        true => Ok(bytes),
        false => Err(SourceError::TooLong { source_name, what, max }),
    }
}

#[cfg(test)]
mod tests;
