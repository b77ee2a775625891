//! Files of others: told apart by what is in them, and examined as far as their kind allows.
//!
//! Whatever comes of it is a report for people to read. Only [`verify`](crate::verify()) makes an
//! [`Attested`](crate::Attested), and only of a document of ours.

mod der;
mod endorsements;
mod json;
mod nitro;
mod nvidia_devices;
mod nvidia_token;
mod pem;
mod quote;
mod vllm_proxy;

use subrosa_protocol::{B256, Timestamp};

pub use endorsements::Endorsements;
pub use nitro::NitroDocument;
pub use nvidia_devices::NvidiaDevices;
pub use nvidia_token::NvidiaTokens;
pub use quote::Quote;
pub use vllm_proxy::VllmProxy;

use crate::check::CheckName;
use crate::evidence::{
    APP_COMPOSE_BYTES_MAX, AmdCollateral, EVENT_LOG_BYTES_MAX, EventLog, Evidence, Unreadable,
};
use crate::json::Value;
use crate::kind::{Cpu, Kind};
use crate::policy::Policy;
use crate::quoted::{Against, Quoted};
use crate::report::{Checks, Refusal, Report};
use crate::tdx::Log;
use crate::verify::reexamine;
use crate::{sgx, snp, tdx};
use json::Foreign;

/// An answer with eight GPUs has 0.75 MB; a gateway's answer holds those of its backends too.
const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A file that says something about hardware.
///
/// ```
/// use subrosa_verifier::{Document, Unreadable};
///
/// assert_eq!(Document::parse(b"{}"), Err(Unreadable::UnknownDocument));
/// ```
#[allow(clippy::large_enum_variant, reason = "one stands for a file; nobody holds many")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// Reports of NVIDIA's devices.
    Devices(NvidiaDevices),
    /// A document of ours.
    Evidence(Evidence),
    /// An attestation document of AWS Nitro.
    Nitro(NitroDocument),
    /// Tokens of NVIDIA's attestation service.
    NvidiaTokens(NvidiaTokens),
    /// A quote or report as the hardware gave it.
    Quote(Quote),
    /// The answer of a vllm-proxy.
    VllmProxy(VllmProxy),
}

impl Document {
    /// Reads a file: a document of ours, the answer of a vllm-proxy or of NVIDIA's attestation
    /// service, a list of NVIDIA's devices with their reports, a dstack guest agent's answer to `GetQuote` or `Attest`, or a bare quote, report or
    /// Nitro document, as binary, hex or base64.
    ///
    /// # Errors
    /// [`Unreadable`], which says which member is wrong and how, or that the file is nothing of these.
    pub fn parse(bytes: &[u8]) -> Result<Document, Unreadable> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(Unreadable::TooLong { got: bytes.len(), max: DOCUMENT_BYTES_MAX });
        }
        if let Some(document) = quote::from_binary(bytes)? {
            return Ok(document);
        }
        let text = str::from_utf8(bytes).map_err(|_| Unreadable::UnknownDocument)?;
        if text.trim_start().starts_with('{') {
            return Document::parse_json(bytes);
        }
        if text.trim_start().starts_with('[') {
            return Document::parse_list(bytes);
        }
        let decoded = json::from_hex(text.trim()).or_else(|| json::from_base64(text));
        let document = quote::from_binary(&decoded.ok_or(Unreadable::UnknownDocument)?)?;
        document.ok_or(Unreadable::UnknownDocument)
    }

    fn parse_json(bytes: &[u8]) -> Result<Document, Unreadable> {
        let mut object = Foreign::parse(bytes)?;
        if object.has("keyset") {
            return Evidence::parse(bytes).map(Document::Evidence);
        }
        if VllmProxy::is_one(&object) {
            return VllmProxy::read(object).map(Document::VllmProxy);
        }
        if let Some(bundle) = object.take("detached_eat")? {
            return NvidiaTokens::read(bundle, "detached_eat").map(Document::NvidiaTokens);
        }
        quote::from_json(object)
    }

    fn parse_list(bytes: &[u8]) -> Result<Document, Unreadable> {
        match Value::parse(bytes)? {
            Value::List(list) if NvidiaDevices::is_one(&list) => {
                NvidiaDevices::read(list).map(Document::Devices)
            }
            Value::List(list) if NvidiaTokens::is_one(&list) => {
                NvidiaTokens::read(Value::List(list), "tokens").map(Document::NvidiaTokens)
            }
            _ => Err(Unreadable::UnknownDocument),
        }
    }

    /// What kind of document it is.
    pub fn kind(&self) -> Kind {
        match self {
            Document::Devices(_) => Kind::NvidiaDevices,
            Document::Evidence(evidence) => Kind::Evidence(evidence.cpu().cpu()),
            Document::Nitro(_) => Kind::NitroDocument,
            Document::NvidiaTokens(_) => Kind::NvidiaToken,
            Document::Quote(quote) => Kind::Quote(quote.cpu()),
            Document::VllmProxy(_) => Kind::VllmProxy,
        }
    }
}

/// Checks a document as of `at`, as far as its kind allows.
///
/// Documents of ours carry their own collateral; `endorsements` count for everything else, beside the
/// AMD certificates of dstack's envelope, which they must not contradict. `nonce` is the one that the
/// caller drew, where it drew one.
///
/// # Security
/// The report is for people to read, and about the past: nothing may be sent to anybody on its
/// account. Never take `nonce` from the document.
pub fn examine(
    document: &Document,
    endorsements: &Endorsements,
    nonce: Option<B256>,
    policy: &Policy,
    at: Timestamp,
) -> Report {
    let checks = match document {
        Document::Devices(file) => nvidia_devices::examine(file, endorsements, nonce, policy, at),
        Document::Evidence(evidence) => return reexamine(evidence, nonce, policy, at),
        Document::Nitro(nitro) => nitro::examine(nitro, nonce, policy, at),
        Document::NvidiaTokens(tokens) => {
            nvidia_token::examine(tokens, endorsements, nonce, policy, at)
        }
        Document::Quote(quote) => quote::examine(quote, endorsements, nonce, policy, at),
        Document::VllmProxy(proxy) => vllm_proxy::examine(proxy, endorsements, nonce, policy, at),
    };
    checks.finish(policy, at).unwrap_or_else(Refusal::into_report)
}

/// What the hardware says; nothing where its signature is not known to be good.
fn appraise_quote(
    quote: &Quote,
    endorsements: &Endorsements,
    policy: &Policy,
    at: Timestamp,
    checks: &mut Checks,
) -> Option<Quoted> {
    if let Err(error) = policy.check() {
        checks.fail(CheckName::TeeCertChain, error.to_string());
        return None;
    }
    let bytes = quote::trim(quote, checks)?;
    let quoted = match quote.cpu() {
        Cpu::Snp => {
            let amd = endorsements.with(quote.certificates()).and_then(|all| all.amd());
            appraise_report(bytes, amd, policy, at, checks)?
        }
        Cpu::Sgx | Cpu::Tdx => {
            let collateral = endorsements.intel().unwrap_or_else(|seen| {
                checks.fail(CheckName::IntelPcsCollateral, seen);
                None
            });
            let (collateral, against) = (collateral.as_ref(), Against::Nothing);
            if quote.cpu() == Cpu::Sgx {
                let parts = sgx::Parts { quote: bytes, collateral, against };
                sgx::appraise_quote(&parts, policy, at, checks)?
            } else {
                let log = log(quote.event_log(), endorsements.event_log());
                let parts = tdx::Parts { quote: bytes, collateral, log, against };
                tdx::appraise_quote(&parts, policy, at, checks)?
            }
        }
    };
    // Nobody promised that it is a released image; where it is one, people may know.
    if policy.releases.measurements.contains(&quoted.measurement) {
        Against::Releases.check(quoted.measurement, policy, checks);
    }
    Some(quoted)
}

fn appraise_report(
    bytes: &[u8],
    collateral: Result<AmdCollateral, String>,
    policy: &Policy,
    at: Timestamp,
    checks: &mut Checks,
) -> Option<Quoted> {
    match collateral {
        Ok(collateral) => {
            snp::appraise_report(bytes, &collateral, policy, at, Against::Nothing, checks)
        }
        Err(seen) => {
            snp::read(bytes, checks);
            checks.fail(CheckName::AmdKdsCollateral, seen);
            None
        }
    }
}

/// The log that a document brought, or one that was given beside it; likewise the compose file.
fn log<'a>(carried: &'a EventLog, given: Option<&'a EventLog>) -> Log<'a> {
    let compose_of = |log: &'a EventLog| match log {
        EventLog::Dstack { app_compose, .. } => Some(app_compose.as_slice()),
        EventLog::Ccel { .. } | EventLog::None => None,
    };
    match (carried, given) {
        (EventLog::None, None) => Log::None,
        (EventLog::None, Some(given)) => log(given, None),
        (EventLog::Ccel { log }, _) => Log::Ccel(log),
        (EventLog::Dstack { log, .. }, given) => {
            let composes = [compose_of(carried), given.and_then(compose_of)];
            let shown = composes.into_iter().flatten().find(|compose| !compose.is_empty());
            Log::Dstack { log, app_compose: shown }
        }
    }
}

/// dstack's log, and the compose file where it stands beside it; no log where there is none.
fn read_dstack_log(
    log: &mut Foreign,
    beside: Option<&mut Foreign>,
) -> Result<EventLog, Unreadable> {
    let events = log.list_if_any("event_log", EVENT_LOG_BYTES_MAX)?;
    let compose = match beside {
        Some(beside) => beside.text_if_any("app_compose")?,
        None => log.text_if_any("app_compose")?,
    };
    let app_compose = compose.unwrap_or_default().into_bytes();
    if app_compose.len() > APP_COMPOSE_BYTES_MAX {
        let (got, max) = (app_compose.len(), APP_COMPOSE_BYTES_MAX);
        return Err(Unreadable::MemberTooLong { member: "app_compose".into(), got, max });
    }
    let Some(events) = events else { return Ok(EventLog::None) };
    let log = events.to_json().into_bytes();
    match log.len() > EVENT_LOG_BYTES_MAX {
        true => {
            let (got, max) = (log.len(), EVENT_LOG_BYTES_MAX);
            Err(Unreadable::MemberTooLong { member: "event_log".into(), got, max })
        }
        false => Ok(EventLog::Dstack { log, app_compose }),
    }
}
