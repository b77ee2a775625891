//! Bare quotes and reports: genuine, current hardware, and nothing more.

use subrosa_protocol::{B256, Timestamp};

use super::endorsements::Endorsements;
use super::json::Foreign;
use super::nitro::NitroDocument;
use super::{Document, appraise_quote, pem, read_dstack_log};
use crate::check::CheckName;
use crate::evidence::{EventLog, QUOTE_BYTES_MAX, Unreadable};
use crate::kind::{Cpu, Kind};
use crate::nvidia;
use crate::policy::Policy;
use crate::quote::BadQuote;
use crate::report::Checks;
use crate::snp::SNP_REPORT_BYTES;

/// The versions of reports that chips have given so far.
const SNP_VERSIONS: std::ops::RangeInclusive<u32> = 2..=5;
/// Where a report names its signature, and ECDSA P-384 with SHA-384, the only one that there is.
const SNP_ALGORITHM_AT: usize = 0x34;
const SNP_ALGORITHM: u32 = 1;

/// Where a quote names its quoting enclave's vendor, and how Intel is named there.
const INTEL_VENDOR_AT: usize = 12;
const INTEL_VENDOR_ID: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];
/// Where a quote names the kind of its enclave.
const INTEL_TEE_AT: usize = 4;
const INTEL_TEE_SGX: u32 = 0;
const INTEL_TEE_TDX: u32 = 0x81;
/// The version in which those four bytes are numbers of the platform's instead.
const INTEL_VERSION_SGX_ONLY: u16 = 3;

/// An envelope of dstack's starts with its version, the platform, and the length of what follows.
const ENVELOPE_VERSION: u8 = 0;
const ENVELOPE_TDX: u8 = 0;
const ENVELOPE_NITRO: u8 = 2;
const ENVELOPE_SNP: u8 = 3;

/// An envelope holds a quote, a log, and a description of the machine.
const ENVELOPE_BYTES_MAX: usize = 512 * 1024;

/// A quote or report as the hardware gave it, and the log that came beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    cpu: Cpu,
    bytes: Vec<u8>,
    event_log: EventLog,
    /// DER, of AMD's: what dstack's envelope carries beside the report.
    certificates: Vec<Vec<u8>>,
}

impl Quote {
    /// The processor that made it.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// Its bytes, with whatever follows them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The log of the start that came beside it.
    pub(super) fn event_log(&self) -> &EventLog {
        &self.event_log
    }

    /// The certificates that came beside it.
    pub(super) fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// A TDX quote out of another document.
    pub(super) fn tdx(bytes: Vec<u8>, event_log: EventLog) -> Quote {
        Quote { cpu: Cpu::Tdx, bytes, event_log, certificates: vec![] }
    }

    /// Binary, with what an envelope has beside it.
    fn new(cpu: Cpu, bytes: &[u8], beside: &[u8]) -> Result<Quote, Unreadable> {
        if bytes.len() > QUOTE_BYTES_MAX {
            return Err(Unreadable::TooLong { got: bytes.len(), max: QUOTE_BYTES_MAX });
        }
        // What is beside a TDX quote is not read: the quote carries its own certificates.
        let certificates = match cpu {
            Cpu::Snp => read_certificates(beside)?,
            Cpu::Sgx | Cpu::Tdx => vec![],
        };
        Ok(Quote { cpu, bytes: bytes.to_vec(), event_log: EventLog::None, certificates })
    }
}

/// What is read from binary, as it was made or in dstack's envelope; nothing where it is neither.
pub(super) fn from_binary(bytes: &[u8]) -> Result<Option<Document>, Unreadable> {
    let bare = recognise(bytes).map(|source| (source, bytes, [].as_slice()));
    let Some((source, bytes, beside)) = bare.or_else(|| open_envelope(bytes)) else {
        return Ok(None);
    };
    Ok(Some(match source {
        Source::Nitro => Document::Nitro(NitroDocument::new(bytes, beside.len())?),
        Source::Processor(cpu) => Document::Quote(Quote::new(cpu, bytes, beside)?),
    }))
}

/// A dstack guest agent's answer to `GetQuote` or `Attest`.
pub(super) fn from_json(mut object: Foreign) -> Result<Document, Unreadable> {
    if object.has("quote") {
        let bytes = object.hex("quote", QUOTE_BYTES_MAX)?;
        let event_log = read_dstack_log(&mut object, None)?;
        return match recognise(&bytes) {
            Some(Source::Nitro) => NitroDocument::new(&bytes, 0).map(Document::Nitro),
            Some(Source::Processor(cpu)) => {
                Ok(Document::Quote(Quote { cpu, bytes, event_log, certificates: vec![] }))
            }
            None => Err(Unreadable::UnknownDocument),
        };
    }
    let envelope = match object.has("attestation") {
        true => object.hex("attestation", ENVELOPE_BYTES_MAX)?,
        false => return Err(Unreadable::UnknownDocument),
    };
    from_binary(&envelope)?.ok_or(Unreadable::UnknownDocument)
}

/// Who made what is read from binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// AWS's hypervisor.
    Nitro,
    /// A processor.
    Processor(Cpu),
}

/// Whose it is, by its header alone: what ends too early is still one, and refused.
fn recognise(bytes: &[u8]) -> Option<Source> {
    match NitroDocument::is_one(bytes) {
        true => Some(Source::Nitro),
        false => recognise_processor(bytes).map(Source::Processor),
    }
}

fn recognise_processor(bytes: &[u8]) -> Option<Cpu> {
    let vendor = bytes.get(INTEL_VENDOR_AT..INTEL_VENDOR_AT + INTEL_VENDOR_ID.len());
    if vendor == Some(&INTEL_VENDOR_ID) {
        let version = u16::from_le_bytes([bytes[0], bytes[1]]);
        return match (version, number(bytes, INTEL_TEE_AT)?) {
            (INTEL_VERSION_SGX_ONLY, _) | (_, INTEL_TEE_SGX) => Some(Cpu::Sgx),
            (_, INTEL_TEE_TDX) => Some(Cpu::Tdx),
            _ => None,
        };
    }
    let version = number(bytes, 0)?;
    let algorithm = number(bytes, SNP_ALGORITHM_AT)?;
    (SNP_VERSIONS.contains(&version) && algorithm == SNP_ALGORITHM).then_some(Cpu::Snp)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().expect("four bytes were taken")))
}

/// The certificates in PEM that stand somewhere in the rest of an envelope.
fn read_certificates(beside: &[u8]) -> Result<Vec<Vec<u8>>, Unreadable> {
    if beside.len() > ENVELOPE_BYTES_MAX {
        return Err(Unreadable::TooLong { got: beside.len(), max: ENVELOPE_BYTES_MAX });
    }
    let certificates = pem::blocks(&String::from_utf8_lossy(beside));
    certificates.ok_or_else(|| Unreadable::NotPem { member: "attestation".into() })
}

/// What an envelope of dstack's holds, and the rest, whose log is in a form of its own and not read.
fn open_envelope(bytes: &[u8]) -> Option<(Source, &[u8], &[u8])> {
    let (&[version, platform, low, high], rest) = bytes.split_first_chunk::<4>()?;
    // SCALE writes lengths from 64 to 16383 as four times themselves, plus one.
    let length = u16::from_le_bytes([low, high]);
    let cut = rest.split_at_checked(usize::from(length >> 2));
    let (quote, beside) = cut.filter(|_| length & 0b11 == 0b01)?;
    let source = match platform {
        ENVELOPE_TDX => Source::Processor(Cpu::Tdx),
        ENVELOPE_NITRO => Source::Nitro,
        ENVELOPE_SNP => Source::Processor(Cpu::Snp),
        _ => return None,
    };
    let is_one = version == ENVELOPE_VERSION && recognise(quote) == Some(source);
    is_one.then_some((source, quote, beside))
}

/// Cuts what follows a quote, as long as it is zeros.
pub(super) fn trim<'a>(quote: &'a Quote, checks: &mut Checks) -> Option<&'a [u8]> {
    match quote.cpu {
        Cpu::Snp => trim_report(&quote.bytes, checks),
        Cpu::Sgx | Cpu::Tdx => trim_quote(&quote.bytes, checks),
    }
}

fn trim_quote<'a>(bytes: &'a [u8], checks: &mut Checks) -> Option<&'a [u8]> {
    match crate::quote::trim_quote(bytes) {
        Ok(trimmed) => {
            checks.pass(CheckName::TeeQuotePadding, zeros(trimmed.zeros));
            Some(trimmed.quote)
        }
        Err(error @ BadQuote::TrailingBytes { .. }) => {
            checks.fail(CheckName::TeeQuotePadding, format!("{error}, and not all are zero"));
            None
        }
        Err(error) => {
            checks.fail(CheckName::TeeQuoteStructure, error.to_string());
            None
        }
    }
}

fn trim_report<'a>(bytes: &'a [u8], checks: &mut Checks) -> Option<&'a [u8]> {
    let Some((report, padding)) = bytes.split_at_checked(SNP_REPORT_BYTES) else {
        let seen = format!("the report has {} bytes, expected {SNP_REPORT_BYTES}", bytes.len());
        checks.fail(CheckName::TeeQuoteStructure, seen);
        return None;
    };
    let result = match padding.iter().all(|byte| *byte == 0) {
        true => Ok(zeros(padding.len())),
        false => Err(format!("{} bytes follow the report, and not all are zero", padding.len())),
    };
    checks.record(CheckName::TeeQuotePadding, result).then_some(report)
}

fn zeros(count: usize) -> String {
    match count {
        0 => "nothing follows".into(),
        count => format!("{count} zeros follow"),
    }
}

/// Examines a bare quote: what it cannot say stays absent.
pub(super) fn examine(
    quote: &Quote,
    endorsements: &Endorsements,
    nonce: Option<B256>,
    policy: &Policy,
    at: Timestamp,
) -> Checks {
    let mut checks = Checks::new(Kind::Quote(quote.cpu));
    nvidia::lack(policy, "a bare quote says nothing about devices", &mut checks);
    let Some(quoted) = appraise_quote(quote, endorsements, policy, at, &mut checks) else {
        return checks;
    };
    match nonce {
        None => checks.absent(CheckName::NonceMatch, "no nonce was given"),
        Some(nonce) => {
            let matched = match_report_data(&nonce, &quoted.report_data, "report data");
            checks.record(CheckName::NonceMatch, matched);
        }
    }
    let shown = hex::encode(quoted.report_data);
    let seen = format!("report data {shown}: a bare quote does not say what it stands for");
    checks.absent(CheckName::TeeReportdataBinding, seen);
    checks
}

/// Whether 64 signed bytes of that name carry our nonce: all of them, or either half.
///
/// What the other half stands for is not known, and need not be: nobody can have had the hardware
/// sign 32 bytes of ours before we drew them.
pub(super) fn match_report_data(
    nonce: &B256,
    data: &[u8; 64],
    name: &str,
) -> Result<String, String> {
    let (first, second) = data.split_at(32);
    let ours = nonce.as_slice();
    let beside = |half: &[u8]| match half.iter().all(|byte| *byte == 0) {
        true => "zeros".into(),
        false => hex::encode(half),
    };
    if nonce.is_zero() {
        Err("a nonce of zero asks for nothing".into())
    } else if first == ours && second == ours {
        Ok(format!("both halves of the {name} are our nonce"))
    } else if first == ours {
        Ok(format!("the {name} starts with our nonce; then {}", beside(second)))
    } else if second == ours {
        Ok(format!("the {name} ends with our nonce; before it {}", beside(first)))
    } else {
        Err(format!("the {name} {} does not carry it", hex::encode(data)))
    }
}
