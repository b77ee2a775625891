//! The answer of a vllm-proxy: a TDX quote that binds a signing key and a nonce, and GPU evidence
//! beside it that only the nonce joins to the quote.

use sha2::{Digest, Sha256};
use subrosa_protocol::{B256, Timestamp, keccak256};

use super::appraise_quote;
use super::endorsements::Endorsements;
use super::json::Foreign;
use super::nvidia_devices::read_device;
use super::quote::Quote;
use super::read_dstack_log;
use crate::check::CheckName;
use crate::devices::{DEVICES_MAX, Devices};
use crate::evidence::{DEVICES_BYTES_MAX, QUOTE_BYTES_MAX, Unreadable};
use crate::kind::Kind;
use crate::nvidia;
use crate::policy::Policy;
use crate::report::Checks;

/// A gateway answers for its backends too, some dozens at most.
const ATTESTATIONS_MAX: usize = 32;

/// An uncompressed public key, with or without the byte that says so.
const PUBLIC_KEY_BYTES_MAX: usize = 65;

/// A description of the machine and its application, with certificates and the compose file.
const INFO_BYTES_MAX: usize = 512 * 1024;

const ETHEREUM_ADDRESS_BYTES: usize = 20;
const ED25519_KEY_BYTES: usize = 32;

/// The answer of a vllm-proxy, or of a gateway with those of its backends.
///
/// What a gateway repeats of other replicas (`all_attestations`) is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VllmProxy {
    attestations: Vec<Attestation>,
}

/// What one machine says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attestation {
    /// Where it stands in the document; empty where it is the document.
    label: String,
    quote: Quote,
    signer: Signer,
    request_nonce: Option<[u8; 32]>,
    tls_fingerprint: Option<[u8; 32]>,
    gpus: Option<Payload>,
}

/// The key that signs answers, as the document shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Signer {
    /// secp256k1: the address, and the key where it is shown.
    Ecdsa { address: [u8; ETHEREUM_ADDRESS_BYTES], key: Option<Vec<u8>> },
    /// Ed25519: the key is the address.
    Ed25519 { address: [u8; ED25519_KEY_BYTES], key: Option<Vec<u8>> },
}

/// GPU evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Payload {
    nonce: Option<[u8; 32]>,
    devices: Devices,
}

impl VllmProxy {
    /// Whether an object is such an answer.
    pub(super) fn is_one(object: &Foreign) -> bool {
        let members = ["intel_quote", "gateway_attestation", "model_attestations"];
        members.into_iter().any(|name| object.has(name))
    }

    pub(super) fn read(mut object: Foreign) -> Result<VllmProxy, Unreadable> {
        if object.has("intel_quote") {
            return Ok(VllmProxy { attestations: vec![Attestation::read(object, String::new())?] });
        }
        let mut attestations = Vec::new();
        if let Some(gateway) = object.object_if_any("gateway_attestation", 0)? {
            attestations.push(Attestation::read(gateway, "gateway_attestation".into())?);
        }
        let models = object.objects("model_attestations", ATTESTATIONS_MAX)?;
        for (at, model) in models.into_iter().enumerate() {
            attestations.push(Attestation::read(model, format!("model_attestations.{at}"))?);
        }
        match attestations.is_empty() {
            true => Err(Unreadable::MissingMember { member: "intel_quote".into() }),
            false => Ok(VllmProxy { attestations }),
        }
    }
}

impl Attestation {
    fn read(mut object: Foreign, label: String) -> Result<Attestation, Unreadable> {
        let quote = object.hex("intel_quote", QUOTE_BYTES_MAX)?;
        let info = object.object_if_any("info", INFO_BYTES_MAX)?;
        let mut info = info.unwrap_or_default();
        let mut tcb_info = info.object_if_any("tcb_info", INFO_BYTES_MAX)?.unwrap_or_default();
        let event_log = read_dstack_log(&mut object, Some(&mut tcb_info))?;
        Ok(Attestation {
            label,
            quote: Quote::tdx(quote, event_log),
            signer: Signer::read(&mut object)?,
            request_nonce: object.word_if_any("request_nonce")?,
            tls_fingerprint: object.word_if_any("tls_cert_fingerprint")?,
            gpus: Payload::read(&mut object)?,
        })
    }
}

impl Signer {
    fn read(object: &mut Foreign) -> Result<Signer, Unreadable> {
        let algorithm = object.text_if_any("signing_algo")?;
        let key = object.hex_if_any("signing_public_key", PUBLIC_KEY_BYTES_MAX)?;
        let address = object.hex("signing_address", ED25519_KEY_BYTES)?;
        let wrong_address = || Unreadable::NotHex { member: object.path("signing_address") };
        let is_ecdsa = match algorithm.as_deref() {
            Some("ecdsa") => true,
            Some("ed25519") => false,
            None => address.len() == ETHEREUM_ADDRESS_BYTES,
            Some(_) => {
                let member = object.path("signing_algo");
                return Err(Unreadable::WrongType { member, expected: "ecdsa or ed25519" });
            }
        };
        Ok(match is_ecdsa {
            true => {
                Signer::Ecdsa { address: address.try_into().map_err(|_| wrong_address())?, key }
            }
            false => {
                Signer::Ed25519 { address: address.try_into().map_err(|_| wrong_address())?, key }
            }
        })
    }

    fn address(&self) -> &[u8] {
        match self {
            Signer::Ecdsa { address, .. } => address,
            Signer::Ed25519 { address, .. } => address,
        }
    }

    /// Whether the address that the quote binds is that of the key that the document shows.
    fn check(&self) -> Result<String, String> {
        match self {
            Signer::Ecdsa { address, key: None } => {
                Ok(format!("ecdsa 0x{}, the key itself is not shown", hex::encode(address)))
            }
            Signer::Ecdsa { address, key: Some(key) } => {
                let key = match key.as_slice() {
                    [0x04, key @ ..] if key.len() == 64 => key,
                    key if key.len() == 64 => key,
                    key => return Err(format!("the key has {} bytes, expected 64", key.len())),
                };
                match keccak256(key)[12..] == *address {
                    true => Ok(format!("ecdsa 0x{}, and its key", hex::encode(address))),
                    false => Err(format!("0x{} is not the key's address", hex::encode(address))),
                }
            }
            Signer::Ed25519 { address, key } => match key {
                Some(key) if key != address => {
                    Err(format!("{} is not the key that is shown", hex::encode(address)))
                }
                _ => Ok(format!("ed25519 {}", hex::encode(address))),
            },
        }
    }
}

impl Payload {
    fn read(object: &mut Foreign) -> Result<Option<Payload>, Unreadable> {
        let payload = object.object_if_any("nvidia_payload", DEVICES_BYTES_MAX)?;
        let Some(mut payload) = payload else { return Ok(None) };
        let common = payload.text_if_any("arch")?;
        let mut devices = Vec::new();
        for mut entry in payload.objects("evidence_list", DEVICES_MAX)? {
            devices.push(read_device(&mut entry, common.as_deref())?);
        }
        Ok(Some(Payload { nonce: payload.word_if_any("nonce")?, devices: Devices(devices) }))
    }
}

/// Examines every attestation of the answer; of each check counts the worst that came of it.
pub(super) fn examine(
    proxy: &VllmProxy,
    endorsements: &Endorsements,
    nonce: Option<B256>,
    policy: &Policy,
    at: Timestamp,
) -> Checks {
    let parts = proxy.attestations.iter().map(|attestation| {
        let checks = examine_one(attestation, endorsements, nonce, policy, at);
        (attestation.label.clone(), checks)
    });
    let mut parts: Vec<(String, Checks)> = parts.collect();
    match parts.len() {
        1 => parts.remove(0).1,
        _ => Checks::join(Kind::VllmProxy, parts),
    }
}

fn examine_one(
    attestation: &Attestation,
    endorsements: &Endorsements,
    nonce: Option<B256>,
    policy: &Policy,
    at: Timestamp,
) -> Checks {
    let mut checks = Checks::new(Kind::VllmProxy);
    let quoted = appraise_quote(&attestation.quote, endorsements, policy, at, &mut checks);
    let Some(quoted) = quoted else { return checks };
    let (first, second) = quoted.report_data.split_first_chunk::<32>().expect("64 bytes have 32");
    let second = second.try_into().expect("the other 32");

    match nonce {
        None => checks.absent(
            CheckName::NonceMatch,
            "no nonce was given, and the one that the document repeats proves nothing",
        ),
        Some(nonce) => {
            checks.record(CheckName::NonceMatch, match_nonce(attestation, nonce, second));
        }
    }
    if check_binding(attestation, first, second, &mut checks) {
        checks.record(CheckName::SigningKeyPresent, attestation.signer.check());
        check_devices(attestation, second, endorsements, policy, at, &mut checks);
    }
    checks
}

fn match_nonce(attestation: &Attestation, ours: B256, quoted: &[u8; 32]) -> Result<String, String> {
    if ours.is_zero() {
        return Err("a nonce of zero asks for nothing".into());
    }
    if ours != *quoted {
        return Err(format!("the quote answers {}, we asked {ours}", hex::encode(quoted)));
    }
    match attestation.request_nonce {
        Some(echoed) if ours != echoed => {
            Err(format!("the document says it answers {}, we asked {ours}", hex::encode(echoed)))
        }
        _ => Ok(format!("our nonce {ours}")),
    }
}

/// Whether the quote binds the signing key, and the TLS key where one is shown.
fn check_binding(
    attestation: &Attestation,
    first: &[u8; 32],
    second: &[u8; 32],
    checks: &mut Checks,
) -> bool {
    use CheckName::{TeeReportdataBinding, TlsKeyBinding};
    let address = attestation.signer.address();
    if attestation.request_nonce.is_some_and(|echoed| echoed != *second) {
        let seen = "the document repeats another nonce than the quote carries";
        checks.fail(TeeReportdataBinding, seen);
        return false;
    }
    let mut padded = [0; 32];
    padded[..address.len()].copy_from_slice(address);
    let shown = hex::encode(address);
    let Some(fingerprint) = attestation.tls_fingerprint else {
        let result = match *first == padded {
            true => Ok(format!("report data starts with the address {shown}")),
            false => Err(format!(
                "report data starts with {}, not with the address {shown}",
                hex::encode(first)
            )),
        };
        return checks.record(TeeReportdataBinding, result);
    };
    let joined: [u8; 32] =
        Sha256::new().chain_update(address).chain_update(fingerprint).finalize().into();
    let fingerprint = hex::encode(fingerprint);
    if *first == joined {
        checks.pass(TeeReportdataBinding, format!("report data binds the address {shown}"));
        checks.pass(TlsKeyBinding, format!("report data binds the TLS key {fingerprint}"));
    } else if *first == padded {
        checks.pass(TeeReportdataBinding, format!("report data starts with the address {shown}"));
        checks.fail(TlsKeyBinding, format!("report data does not bind the TLS key {fingerprint}"));
    } else {
        let seen = format!("report data starts with {}, these keys do not", hex::encode(first));
        checks.fail(TeeReportdataBinding, seen);
    }
    checks.has_passed(TeeReportdataBinding)
}

/// The devices answer the nonce that the quote carries; nothing else joins them to it.
fn check_devices(
    attestation: &Attestation,
    nonce: &[u8; 32],
    endorsements: &Endorsements,
    policy: &Policy,
    at: Timestamp,
    checks: &mut Checks,
) {
    let Some(payload) = &attestation.gpus else {
        nvidia::check_none(policy, checks);
        return;
    };
    if payload.nonce.is_some_and(|echoed| echoed != *nonce) {
        let seen = "the document repeats another nonce for the devices than the quote carries";
        checks.fail(CheckName::NvidiaNonce, seen);
    }
    let collateral = endorsements.devices();
    nvidia::check_foreign(&payload.devices, collateral, nonce, policy, at, checks);
}
