//! Where foreign bytes end: platforms append zeros to quotes, and some devices a byte to their
//! reports. Everything behind this file is exact.

use super::SourceError;

/// A quote's header; then the body (Intel's TDX DCAP quoting library API, appendix A).
const HEADER_BYTES: usize = 48;

/// An SGX enclave's report.
const SGX_BODY_BYTES: usize = 384;

/// A trust domain's report as TDX 1.0 has it.
const TD10_BODY_BYTES: usize = 584;

/// The same as TDX 1.5 has it.
const TD15_BODY_BYTES: usize = 648;

/// A version-5 quote says before its body which one it is: u16 type, u32 length.
const BODY_DESCRIPTION_BYTES: usize = 6;

/// Where an enclave's report holds its report data.
const SGX_REPORT_DATA_AT: usize = 320;

/// Where a trust domain's report holds its report data.
const TD_REPORT_DATA_AT: usize = 520;

/// The header's TEE type of SGX.
const TEE_SGX: u32 = 0;

/// The header's TEE type of TDX.
const TEE_TDX: u32 = 0x81;

/// An SEV-SNP report (AMD's SNP firmware ABI, table 23).
pub(crate) const SNP_REPORT_BYTES: usize = 1_184;

/// Where it holds its report data.
const SNP_REPORT_DATA_AT: usize = 0x50;

/// An SPDM request for measurements, as the device signs it (DSP0274).
const SPDM_REQUEST_BYTES: usize = 37;

/// Where the request holds the asker's nonce.
const SPDM_NONCE_AT: usize = 4;

/// A nonce of either side.
const SPDM_NONCE_BYTES: usize = 32;

/// A response up to its measurements: code, parameters, number of blocks, u24 length.
const SPDM_RESPONSE_HEADER_BYTES: usize = 8;

/// ECDSA P-384, r and s.
const SPDM_SIGNATURE_BYTES: usize = 96;

/// Which processor a quote is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuoteKind {
    Sgx,
    Tdx,
}

/// A quote without what trails it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ExactQuote<'a> {
    pub(crate) kind: QuoteKind,
    pub(crate) bytes: &'a [u8],
    report_data: &'a [u8],
}

/// Cuts a quote of SGX or TDX to the length that it declares. Only zeros may follow. Forms that no
/// verifier of ours reads are refused here, where an operator sees it.
pub(crate) fn quote<'a>(
    source_name: &'static str,
    bytes: &'a [u8],
) -> Result<ExactQuote<'a>, SourceError> {
    let wrong = |what| SourceError::BadAnswer { source_name, what };
    let short = || wrong("the quote ends before it should");
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(short)?;
    let version = u16::from_le_bytes(take(header, 0).ok_or_else(short)?);
    let tee = u32::from_le_bytes(take(header, 4).ok_or_else(short)?);
    let (kind, body_at, body_bytes) = match (version, tee) {
        (3, TEE_SGX) => (QuoteKind::Sgx, HEADER_BYTES, SGX_BODY_BYTES),
        (4, TEE_TDX) => (QuoteKind::Tdx, HEADER_BYTES, TD10_BODY_BYTES),
        (5, _) => {
            let body = u16::from_le_bytes(take(rest, 0).ok_or_else(short)?);
            let said = u32::from_le_bytes(take(rest, 2).ok_or_else(short)?);
            let (kind, length) = match (body, tee) {
                (2, TEE_TDX) => (QuoteKind::Tdx, TD10_BODY_BYTES),
                (3, TEE_TDX) => (QuoteKind::Tdx, TD15_BODY_BYTES),
                _ => return Err(wrong("the quote's body is of an unknown kind")),
            };
            if usize::try_from(said) != Ok(length) {
                return Err(wrong("the quote's body has another length than its kind"));
            }
            (kind, HEADER_BYTES + BODY_DESCRIPTION_BYTES, length)
        }
        _ => return Err(wrong("it is no quote of SGX or TDX")),
    };
    let body = bytes.get(body_at..body_at + body_bytes).ok_or_else(short)?;
    let signed = body_at + body_bytes;
    let signature_bytes = u32::from_le_bytes(take(bytes, signed).ok_or_else(short)?);
    let end = usize::try_from(signature_bytes)
        .ok()
        .and_then(|length| length.checked_add(signed + 4))
        .ok_or_else(short)?;
    let (bytes, trailing) = bytes.split_at_checked(end).ok_or_else(short)?;
    if trailing.iter().any(|byte| *byte != 0) {
        return Err(wrong("something else than zeros follows the quote"));
    }
    let report_data_at = match kind {
        QuoteKind::Sgx => SGX_REPORT_DATA_AT,
        QuoteKind::Tdx => TD_REPORT_DATA_AT,
    };
    Ok(ExactQuote { kind, bytes, report_data: &body[report_data_at..report_data_at + 64] })
}

impl ExactQuote<'_> {
    /// Demands the report data that were asked for.
    pub(crate) fn demand(
        &self,
        source_name: &'static str,
        report_data: &[u8; 64],
    ) -> Result<(), SourceError> {
        match self.report_data == report_data {
            true => Ok(()),
            false => Err(SourceError::AnotherReportData { source_name }),
        }
    }
}

/// Demands an SEV-SNP report over these report data.
pub(crate) fn snp_report(
    source_name: &'static str,
    report: &[u8],
    report_data: &[u8; 64],
) -> Result<(), SourceError> {
    if report.len() != SNP_REPORT_BYTES {
        let what = "an SEV-SNP report has 1184 bytes, this one does not";
        return Err(SourceError::BadAnswer { source_name, what });
    }
    match &report[SNP_REPORT_DATA_AT..SNP_REPORT_DATA_AT + 64] == report_data {
        true => Ok(()),
        false => Err(SourceError::AnotherReportData { source_name }),
    }
}

/// Cuts a device's report behind its signature, and demands the nonce that was asked. One byte may
/// follow: some devices send one more than they signed.
pub(crate) fn device_report<'a>(
    source_name: &'static str,
    bytes: &'a [u8],
    nonce: &[u8; 32],
) -> Result<&'a [u8], SourceError> {
    let wrong = |what| SourceError::BadAnswer { source_name, what };
    let short = || wrong("a device's report ends before it should");
    let (request, response) = bytes.split_at_checked(SPDM_REQUEST_BYTES).ok_or_else(short)?;
    if request[..2] != [0x11, 0xE0] || response.get(..2) != Some(&[0x11, 0x60]) {
        return Err(wrong("a device's report is no SPDM 1.1 request and response"));
    }
    let record = response.get(5..8).ok_or_else(short)?;
    let record_bytes =
        usize::from(record[0]) | usize::from(record[1]) << 8 | usize::from(record[2]) << 16;
    let opaque_at = SPDM_RESPONSE_HEADER_BYTES + record_bytes + SPDM_NONCE_BYTES;
    let opaque_bytes = u16::from_le_bytes(take(response, opaque_at).ok_or_else(short)?);
    let end = SPDM_REQUEST_BYTES + opaque_at + 2 + usize::from(opaque_bytes) + SPDM_SIGNATURE_BYTES;
    let (report, trailing) = bytes.split_at_checked(end).ok_or_else(short)?;
    if trailing.len() > 1 {
        return Err(wrong("more than one byte follows a device's report"));
    }
    match &request[SPDM_NONCE_AT..SPDM_NONCE_AT + SPDM_NONCE_BYTES] == nonce {
        true => Ok(report),
        false => Err(SourceError::AnotherNonce { source_name }),
    }
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests;
