//! `GET /v1/attestation/report`: evidence in the form of the vllm-proxies, so that other people's
//! verifiers work on our pods (spec/pod.md 11).
//!
//! It is a second quote, in that form's own layout: the signer's address, then the nonce, which is
//! never zero. Our own quotes have zeros there, so that neither can stand in for the other.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subrosa_attester::SecondQuote;
use subrosa_protocol::encoding::to_base64;
use subrosa_protocol::hash::sha256;
use subrosa_protocol::{Address, B256, SecretKey};
use subrosa_verifier::{CpuEvidence, Devices, EventLog, TdxEvidence};

use crate::core::Core;
use crate::outside::{answer, no_evidence, problem};

/// The one signature scheme: our signer's.
const ALGORITHM: &str = "ecdsa";

/// Members of a query; more would be a mistake.
const MEMBERS_MAX: usize = 16;

pub(crate) async fn report(State(core): State<Arc<Core>>, RawQuery(query): RawQuery) -> Response {
    let asked = match Asked::read(query.as_deref().unwrap_or("")) {
        Ok(asked) => asked,
        Err(reason) => return problem(StatusCode::BAD_REQUEST, "bad_query", reason),
    };
    let address = core.signer.address();
    if asked.address.is_some_and(|named| named != address) {
        let reason = "no key of this pod has that signing_address; leave it out to see which has";
        return problem(StatusCode::NOT_FOUND, "unknown_signing_address", reason);
    }
    let tls_key = asked.with_tls.then(|| core.keys.config().unverified().tls_key);
    let data = report_data(address, tls_key, &asked.nonce);
    match core.evidence.second_quote(data, asked.nonce.0).await {
        Ok(second) => match Report::of(&core, &asked, tls_key).json(&second) {
            Some(report) => answer(StatusCode::OK, &report),
            None => {
                let reason = "this form is for quotes of Intel TDX, and this pod's processor gives \
                              another kind; ask for /subrosa/v1/evidence";
                problem(StatusCode::NOT_FOUND, "no_tdx_quote", reason)
            }
        },
        Err(error) => {
            tracing::warn!(%error, "a verifier got no report");
            no_evidence(&error)
        }
    }
}

/// What the query asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    nonce: B256,
    address: Option<Address>,
    with_tls: bool,
}

impl Asked {
    /// Reads a query as the proxies do: members that they do not know are passed over.
    fn read(query: &str) -> Result<Asked, &'static str> {
        let mut nonce = None;
        let mut asked = Asked { nonce: B256::ZERO, address: None, with_tls: false };
        for member in query.split('&').filter(|member| !member.is_empty()).take(MEMBERS_MAX) {
            let (name, value) = member.split_once('=').unwrap_or((member, ""));
            match name {
                "nonce" if nonce.is_some() => return Err("nonce stands twice"),
                "nonce" => nonce = Some(word(value)?),
                "signing_algo" if value != ALGORITHM => {
                    return Err("this pod signs with ecdsa alone; ask for signing_algo=ecdsa");
                }
                "signing_address" => {
                    let address = value.parse().map_err(|_| "signing_address is no address")?;
                    asked.address = Some(address);
                }
                "include_tls_fingerprint" => asked.with_tls = value == "true",
                "version" => asked.with_tls |= value == "2",
                _ => {}
            }
        }
        asked.nonce = match nonce {
            Some(nonce) => nonce,
            None => random(),
        };
        Ok(asked)
    }
}

fn word(digits: &str) -> Result<B256, &'static str> {
    let mut word = B256::ZERO;
    hex::decode_to_slice(digits, word.as_mut_slice())
        .map_err(|_| "nonce must be 64 hex digits, 32 bytes")?;
    // Zeros would make the quote look like one of our own documents'.
    if word.is_zero() { Err("nonce must not be zero") } else { Ok(word) }
}

fn random() -> B256 {
    let mut nonce = B256::ZERO;
    OsRng.try_fill_bytes(nonce.as_mut_slice()).expect("the system gives random bytes");
    nonce
}

/// The address, padded on the right, or its hash with the TLS key's; then the nonce.
fn report_data(address: Address, tls_key: Option<B256>, nonce: &B256) -> [u8; 64] {
    let mut data = [0; 64];
    match tls_key {
        None => data[..20].copy_from_slice(address.as_slice()),
        Some(key) => {
            let bound = Sha256::new().chain_update(address).chain_update(key).finalize();
            data[..32].copy_from_slice(&bound);
        }
    }
    data[32..].copy_from_slice(nonce.as_slice());
    data
}

/// The name of the model, which is the first where there are several.
fn model(core: &Core) -> &str {
    core.engine.models().first().map_or("", |model| model.name.as_str())
}

/// What a report says beside its quote.
struct Report<'a> {
    model: &'a str,
    signer: &'a SecretKey,
    nonce: B256,
    tls_key: Option<B256>,
}

impl<'a> Report<'a> {
    fn of(core: &'a Core, asked: &Asked, tls_key: Option<B256>) -> Report<'a> {
        Report { model: model(core), signer: &core.signer, nonce: asked.nonce, tls_key }
    }

    /// The document; none where the processor's evidence is no TDX quote.
    fn json(&self, second: &SecondQuote) -> Option<Value> {
        let CpuEvidence::Tdx(TdxEvidence { quote, event_log, .. }) = &second.cpu else {
            return None;
        };
        let (events, info) = log(event_log);
        let mut report = json!({
            "model_name": self.model,
            "signing_address": format!("0x{}", hex::encode(self.signer.address())),
            "signing_algo": ALGORITHM,
            "signing_public_key": hex::encode(self.signer.public_key()),
            "request_nonce": hex::encode(self.nonce),
            "intel_quote": hex::encode(quote),
            "event_log": events,
            "info": info,
        });
        if !second.devices.0.is_empty() {
            // The proxies send this member as text that holds JSON.
            report["nvidia_payload"] = self.payload(&second.devices).to_string().into();
        }
        if let Some(key) = self.tls_key {
            report["tls_cert_fingerprint"] = hex::encode(key).into();
        }
        let alone = report.clone();
        report["all_attestations"] = json!([alone]);
        Some(report)
    }

    fn payload(&self, devices: &Devices) -> Value {
        let list = devices.0.iter().map(|device| {
            json!({
                "certificate": to_base64(device.chain.as_bytes()),
                "evidence": to_base64(&device.report),
                "arch": device.architecture.name(),
            })
        });
        json!({
            "nonce": hex::encode(self.nonce),
            "evidence_list": list.collect::<Vec<_>>(),
            "arch": devices.0.first().map(|device| device.architecture.name()),
        })
    }
}

/// The events, and what the guest agent says of the application that they name.
fn log(event_log: &EventLog) -> (Value, Value) {
    match event_log {
        EventLog::Dstack { log, app_compose } => {
            let events = serde_json::from_slice(log).unwrap_or(Value::Null);
            let compose = String::from_utf8_lossy(app_compose);
            let info = json!({
                "tcb_info": { "app_compose": compose },
                "compose_hash": hex::encode(sha256(app_compose)),
            });
            (events, info)
        }
        // The form has no place for a firmware's log.
        EventLog::Ccel { .. } | EventLog::None => (json!([]), json!({})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "4cff7f5380ead8fad8ec2c531c110aca4302a88f603792801a8ca29ee151af2e";

    #[test]
    fn the_layout_is_the_proxies_and_never_our_own() {
        let (address, nonce) = (Address::repeat_byte(0xaa), B256::repeat_byte(0xbb));
        let plain = report_data(address, None, &nonce);
        assert_eq!(plain[..20], [0xaa; 20]);
        assert_eq!(plain[20..32], [0; 12]);
        assert_eq!(plain[32..], [0xbb; 32]);

        let key = B256::repeat_byte(0xcc);
        let joined: Vec<u8> = [&[0xaa; 20][..], &[0xcc; 32]].concat();
        let bound = report_data(address, Some(key), &nonce);
        assert_eq!(bound[..32], sha256(&joined)[..]);
        assert_eq!(bound[32..], [0xbb; 32]);
    }

    #[test]
    fn the_query_is_read_as_the_proxies_read_it() {
        let asked = Asked::read(&format!("nonce={NONCE}&signing_algo=ecdsa&model=x")).unwrap();
        assert_eq!((hex::encode(asked.nonce), asked.with_tls), (NONCE.into(), false));
        assert!(!Asked::read("").unwrap().nonce.is_zero());
        assert_ne!(Asked::read("").unwrap().nonce, Asked::read("").unwrap().nonce);
        for query in ["include_tls_fingerprint=true", "version=2"] {
            assert!(Asked::read(query).unwrap().with_tls, "{query}");
        }
    }

    #[test]
    fn a_wrong_query_is_named() {
        for query in [
            "nonce=",
            "nonce=00",
            "nonce=zz",
            &format!("nonce={}", "0".repeat(64)),
            &format!("nonce={NONCE}00"),
            &format!("nonce={NONCE}&nonce={NONCE}"),
            "signing_algo=ed25519",
            "signing_algo=",
            "signing_address=12",
        ] {
            assert!(Asked::read(query).is_err(), "{query}");
        }
    }
}
