//! Attestation documents of AWS Nitro enclaves: COSE_Sign1 (RFC 9052) around a map in CBOR, signed by
//! AWS ("Nitro Enclaves: validating attestation documents").
//!
//! A good one says that AWS vouches for what runs in an enclave on a machine that AWS owns. No
//! processor's maker signs anything of it.

mod document;

use sha2::{Digest, Sha256};
use subrosa_nvidia_evidence::Utc;
use subrosa_protocol::{B256, Duration, Timestamp};

use super::quote::match_report_data;
use crate::certificate::{Algorithm, Certificate};
use crate::check::CheckName;
use crate::evidence::{QUOTE_BYTES_MAX, Unreadable};
use crate::kind::Kind;
use crate::nvidia;
use crate::policy::{Machines, Policy, Root};
use crate::report::Checks;
use document::{IMAGE_PCRS, Payload};

/// An array of four, with which every COSE_Sign1 begins.
const ARRAY_OF_FOUR: u8 = 0x84;
/// The major type of a CBOR item, and that of byte strings: the protected header.
const MAJOR_TYPE: u8 = 0b1110_0000;
const BYTE_STRING: u8 = 0b0100_0000;

const MILLISECONDS: u64 = 1_000;

/// How far AWS's clock may be ahead of whoever asks as of now.
const CLOCKS_APART_MAX: Duration = Duration(60);

/// A Nitro attestation document as the hypervisor gave it, and what followed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NitroDocument {
    bytes: Vec<u8>,
    /// How many bytes of an envelope stand behind it; nobody signed them.
    beside: usize,
}

impl NitroDocument {
    /// A document, in an envelope with so many bytes behind it or bare.
    pub(super) fn new(bytes: &[u8], beside: usize) -> Result<NitroDocument, Unreadable> {
        if bytes.len() > QUOTE_BYTES_MAX {
            return Err(Unreadable::TooLong { got: bytes.len(), max: QUOTE_BYTES_MAX });
        }
        Ok(NitroDocument { bytes: bytes.to_vec(), beside })
    }

    /// Whether bytes begin as such a document does: one that is broken later is still one, and
    /// refused.
    pub(super) fn is_one(bytes: &[u8]) -> bool {
        matches!(bytes, [ARRAY_OF_FOUR, first, ..] if first & MAJOR_TYPE == BYTE_STRING)
    }
}

/// Examines a document: what it cannot say stays absent.
pub(super) fn examine(
    nitro: &NitroDocument,
    nonce: Option<B256>,
    policy: &Policy,
    at: Timestamp,
) -> Checks {
    let mut checks = Checks::new(Kind::NitroDocument);
    nvidia::lack(policy, "a Nitro document says nothing about devices", &mut checks);
    tell_what_nobody_says(&mut checks);
    if let Err(error) = policy.check() {
        checks.fail(CheckName::TeeCertChain, error.to_string());
        return checks;
    }
    let read = match document::read(&nitro.bytes) {
        Ok(read) => read,
        Err(error) => {
            checks.fail(CheckName::TeeQuoteStructure, error.to_string());
            return checks;
        }
    };
    let payload = &read.payload;
    let seen = format!("COSE_Sign1 of module {}, {} bytes", payload.module_id, read.length);
    checks.pass(CheckName::TeeQuoteStructure, seen);
    let padding = check_padding(nitro.bytes.len() - read.length, nitro.beside);
    if !checks.record(CheckName::TeeQuotePadding, padding) {
        return checks;
    }
    let leaf = match check_chain(payload, policy.roots.nitro, at) {
        Ok((leaf, seen)) => {
            checks.pass(CheckName::TeeCertChain, seen);
            leaf
        }
        Err(seen) => {
            checks.fail(CheckName::TeeCertChain, seen);
            return checks;
        }
    };
    let signature = leaf.check_ecdsa(&read.message, &read.signature);
    let signature = match signature {
        Ok(()) => Ok("COSE ES384 signature good".into()),
        Err(_) => Err("COSE ES384 signature is not of the document's certificate".into()),
    };
    if !checks.record(CheckName::TeeQuoteSignature, signature) {
        return checks;
    }
    check_image(payload, &mut checks);
    check_machine(payload, &policy.machines, &mut checks);
    check_binding(payload, nonce, &mut checks);
    checks
}

/// What stands in reports of processors and has no place here.
fn tell_what_nobody_says(checks: &mut Checks) {
    use CheckName::{TeeHardwareConfig, TeeTcbCurrent, TeeTcbNotRevoked};
    checks.absent(TeeTcbNotRevoked, "AWS's revocation lists are not read");
    checks.absent(TeeTcbCurrent, "no processor's maker judges this machine, AWS alone vouches");
    checks
        .absent(TeeHardwareConfig, "whether memory is encrypted is not said; AWS is not kept out");
}

fn check_padding(behind: usize, beside: usize) -> Result<String, String> {
    match (behind, beside) {
        (0, 0) => Ok("nothing follows".into()),
        (0, beside) => Ok(format!("{beside} bytes of an envelope follow, unsigned and not read")),
        (behind, _) => Err(format!("{behind} bytes follow the document")),
    }
}

/// The certificate that signed, once the bundle leads to it from the pinned root.
fn check_chain(
    payload: &Payload,
    root: Root,
    at: Timestamp,
) -> Result<(Certificate, String), String> {
    let Some(pinned) = root.nitro_sha256() else {
        return Err("policy trusts simulated hardware, and nobody simulates Nitro".into());
    };
    let fingerprint = B256::from(<[u8; 32]>::from(Sha256::digest(&payload.authorities[0])));
    if fingerprint != pinned {
        let got = hex::encode(fingerprint);
        return Err(format!("the bundle begins with the root {got}, which policy does not pin"));
    }
    let read = |name: &str, der: &[u8]| {
        Certificate::parse(der, Algorithm::EcdsaP384).map_err(|error| format!("{name} {error}"))
    };
    let mut chain = Vec::new();
    for (index, der) in payload.authorities.iter().enumerate() {
        let name = format!("certificate {index} of the bundle");
        chain.push((read(&name, der)?, name));
    }
    let leaf = "the document's certificate".to_owned();
    chain.push((read(&leaf, &payload.certificate)?, leaf));

    for pair in chain.windows(2) {
        let [(authority, _), (issued, name)] = pair else { unreachable!("windows of two") };
        issued.check_issued_by(authority).map_err(|error| format!("{name} {error}"))?;
    }
    let (leaf, authorities) = chain.split_last().expect("a leaf was pushed");
    for (index, (authority, name)) in authorities.iter().enumerate() {
        let below = authorities.len() - 1 - index;
        let allowed = authority.check_authority().and_then(|()| authority.check_path(below));
        allowed.map_err(|error| format!("{name} {error}"))?;
    }
    leaf.0.check_signer().map_err(|error| format!("{} {error}", leaf.1))?;
    for (certificate, name) in &chain {
        certificate.check_time(at).map_err(|error| format!("{name} {error}"))?;
    }
    let made = Timestamp(payload.timestamp_ms / MILLISECONDS);
    if made > at.after(CLOCKS_APART_MAX) {
        return Err(format!("the document is of {}, which is to come", Utc(made.0)));
    }
    if leaf.0.check_time(made).is_err() {
        let made = Utc(made.0);
        return Err(format!("the document is of {made}, when its certificate did not count"));
    }
    let until = leaf.0.check_time(at).map_err(|error| error.to_string())?;
    let until = Utc(until.0);
    let seen = format!("root {}, certificate until {until}", hex::encode(fingerprint));
    let (leaf, _) = chain.pop().expect("a leaf was pushed");
    Ok((leaf, seen))
}

/// An enclave in debug mode has zeros for its image; its memory can be read by who started it.
fn check_image(payload: &Payload, checks: &mut Checks) {
    let image = IMAGE_PCRS.map(|index| (index, &payload.pcrs[&index]));
    let zero = image.iter().find(|(_, value)| value.iter().all(|byte| *byte == 0));
    match zero {
        Some((index, _)) => {
            let seen = format!("PCR{index} is all zero: the enclave runs in debug mode");
            checks.fail(CheckName::TeeDebugDisabled, seen);
        }
        None => checks.pass(CheckName::TeeDebugDisabled, "PCR0 to PCR2 are not zero"),
    }
    let shown = image.map(|(index, value)| format!("PCR{index} {}", hex::encode(value)));
    let seen = format!("{}, held against nothing", shown.join(", "));
    checks.absent(CheckName::TeeMeasurement, seen);
}

fn check_machine(payload: &Payload, machines: &Machines, checks: &mut Checks) {
    let (name, module) = (CheckName::CpuIdRegistry, &payload.module_id);
    match machines {
        Machines::Any => checks.waive(name, format!("any machine, module {module}")),
        Machines::Listed(_) => {
            checks
                .fail(name, format!("module {module}: AWS names no machine that could be listed"));
        }
    }
}

/// The nonce, and what else the enclave had signed.
fn check_binding(payload: &Payload, nonce: Option<B256>, checks: &mut Checks) {
    let shown = |name: &str, bytes: &Option<Vec<u8>>| match bytes {
        Some(bytes) => format!("{name} {}", hex::encode(bytes)),
        None => format!("no {name}"),
    };
    let (user_data, key) = (&payload.user_data, &payload.public_key);
    let seen = format!(
        "{}, {}: what they stand for is not said",
        shown("user data", user_data),
        shown("public key", key)
    );
    checks.absent(CheckName::TeeReportdataBinding, seen);
    match nonce {
        None => checks.absent(CheckName::NonceMatch, "no nonce was given"),
        Some(nonce) => {
            checks.record(CheckName::NonceMatch, match_nonce(&nonce, payload));
        }
    }
}

/// Whether the enclave had our nonce signed: as the document's nonce, or where there is none, as a
/// half of 64 bytes of user data, which is how dstack's guests carry report data.
fn match_nonce(nonce: &B256, payload: &Payload) -> Result<String, String> {
    let user_data = payload.user_data.as_deref().and_then(|data| <&[u8; 64]>::try_from(data).ok());
    match (&payload.nonce, user_data) {
        _ if nonce.is_zero() => Err("a nonce of zero asks for nothing".into()),
        (Some(signed), _) if signed.as_slice() == nonce.as_slice() => {
            Ok(format!("our nonce {nonce}"))
        }
        (Some(signed), _) => {
            Err(format!("the document answers {}, we asked {nonce}", hex::encode(signed)))
        }
        (None, Some(user_data)) => match_report_data(nonce, user_data, "user data"),
        (None, None) => Err("the document answers no nonce".into()),
    }
}
