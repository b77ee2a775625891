//! Intel's provisioning certification service, version 4, and caches that answer like it.

use dcap_qvl::config::PckCa;
use dcap_qvl::intel::{quote_ca, quote_fmspc};
use dcap_qvl::quote::Quote;
use serde::Deserialize;
use serde_json::value::RawValue;
use subrosa_protocol::Timestamp;
use subrosa_verifier::{ISSUER_CHAIN_BYTES_MAX, IntelCollateral};

use super::fetch::{Answer, Fetcher, Question};
use super::{EndorseError, INTEL_PCS, times};

/// Where the root's revocation list is when Intel's own service is asked.
const ROOT_CRL: &str = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";

const PCK_CRL_CHAIN: &[&str] = &["sgx-pck-crl-issuer-chain"];
const TCB_INFO_CHAIN: &[&str] = &["tcb-info-issuer-chain", "sgx-tcb-info-issuer-chain"];
const QE_IDENTITY_CHAIN: &[&str] = &["sgx-enclave-identity-issuer-chain"];

/// Four questions about the platform that made a quote.
pub(super) async fn collateral(
    fetcher: &Fetcher,
    base: &str,
    quote: &[u8],
    now: Timestamp,
) -> Result<IntelCollateral, EndorseError> {
    let unknown = |_| EndorseError::Evidence("the quote does not name its platform");
    let quote = Quote::parse(quote).map_err(unknown)?;
    let fmspc = hex::encode(quote_fmspc(&quote).map_err(unknown)?);
    let authority = match quote_ca(&quote).map_err(unknown)? {
        PckCa::Platform => "platform",
        PckCa::Processor => "processor",
    };
    let tee = if quote.header.is_sgx() { "sgx" } else { "tdx" };
    let address = |tee: &str, path: String| format!("{base}/{tee}/certification/v4/{path}");

    let url = address("sgx", format!("pckcrl?ca={authority}&encoding=der"));
    let question = Question { issuer_chain: PCK_CRL_CHAIN, ..Question::get(url) };
    let pck_crl = fetcher.ask(&question, now, list_ends).await?;

    let url = address(tee, format!("tcb?fmspc={fmspc}"));
    let question = Question { issuer_chain: TCB_INFO_CHAIN, ..Question::get(url) };
    let tcb_info = fetcher.ask(&question, now, statement_ends).await?;

    let url = address(tee, "qe/identity".into());
    let question = Question { issuer_chain: QE_IDENTITY_CHAIN, ..Question::get(url) };
    let identity = fetcher.ask(&question, now, statement_ends).await?;

    let url = match base == INTEL_PCS {
        true => ROOT_CRL.to_owned(),
        false => address("sgx", "rootcacrl".into()),
    };
    let root_crl = fetcher.ask(&Question::get(url), now, list_ends).await?;

    Answers { pck_crl, tcb_info, identity, root_crl }.collateral()
}

/// What the service answered to the four.
pub(super) struct Answers {
    pub(super) pck_crl: Answer,
    pub(super) tcb_info: Answer,
    pub(super) identity: Answer,
    pub(super) root_crl: Answer,
}

impl Answers {
    /// The parts of the answers that a document carries.
    pub(super) fn collateral(&self) -> Result<IntelCollateral, EndorseError> {
        let Answers { pck_crl, tcb_info, identity, root_crl } = self;
        let (tcb, qe) = (Statement::read(tcb_info)?, Statement::read(identity)?);
        Ok(IntelCollateral {
            pck_crl_issuer_chain: chain(pck_crl)?,
            root_ca_crl: list(root_crl)?,
            pck_crl: list(pck_crl)?,
            tcb_info_issuer_chain: chain(tcb_info)?,
            tcb_info: tcb.text,
            tcb_info_signature: tcb.signature,
            qe_identity_issuer_chain: chain(identity)?,
            qe_identity: qe.text,
            qe_identity_signature: qe.signature,
        })
    }
}

/// A signed statement: the text exactly as Intel signed it, never written anew.
struct Statement {
    text: String,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, alias = "tcbInfo", alias = "enclaveIdentity")]
    statement: &'a RawValue,
    signature: String,
}

#[derive(Deserialize)]
struct Life {
    #[serde(rename = "nextUpdate")]
    next_update: String,
}

impl Statement {
    fn read(answer: &Answer) -> Result<Statement, EndorseError> {
        let envelope: Envelope<'_> = serde_json::from_slice(&answer.body)
            .map_err(|_| answer.wrong("it is no signed statement of Intel's"))?;
        let signature = hex::decode(&envelope.signature)
            .map_err(|_| answer.wrong("its signature is not hex"))?;
        Ok(Statement { text: envelope.statement.get().to_owned(), signature })
    }
}

pub(super) fn statement_ends(answer: &Answer) -> Result<Timestamp, EndorseError> {
    let statement = Statement::read(answer)?;
    let life: Option<Life> = serde_json::from_str(&statement.text).ok();
    let ends = life.and_then(|life| times::moment(&life.next_update));
    ends.ok_or_else(|| answer.wrong("it does not say until when it counts"))
}

pub(super) fn list_ends(answer: &Answer) -> Result<Timestamp, EndorseError> {
    let ends = times::crl_ends(&list(answer)?);
    ends.ok_or_else(|| answer.wrong("it is no revocation list with a next update"))
}

/// A revocation list as DER; caches send the root's in hex.
fn list(answer: &Answer) -> Result<Vec<u8>, EndorseError> {
    match answer.body.first() {
        Some(0x30) if !answer.body.iter().all(u8::is_ascii_hexdigit) => Ok(answer.body.clone()),
        _ => hex::decode(answer.body.trim_ascii())
            .map_err(|_| answer.wrong("it is neither DER nor hex")),
    }
}

/// The signer's chain, which the header carries percent-encoded.
fn chain(answer: &Answer) -> Result<String, EndorseError> {
    let header = answer.issuer_chain.as_deref();
    let header = header.ok_or_else(|| answer.wrong("it lacks the chain of its signer"))?;
    let chain = percent_decoded(header)
        .filter(|chain| chain.starts_with("-----BEGIN CERTIFICATE-----"))
        .ok_or_else(|| answer.wrong("the chain of its signer is not PEM"))?;
    match chain.len() <= ISSUER_CHAIN_BYTES_MAX {
        true => Ok(chain),
        false => Err(answer.wrong("the chain of its signer is longer than any honest one")),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.extend(hex::decode(digits).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_and_bad_encoding_refused() {
        assert_eq!(percent_decoded("a%0Ab%2B+").as_deref(), Some("a\nb++"));
        for wrong in ["%", "%0", "%zz", "%+1", "%ff"] {
            assert_eq!(percent_decoded(wrong), None, "{wrong}");
        }
    }
}
