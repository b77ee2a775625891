//! Answers of NVIDIA's attestation service of which a piece of a header, of claims, of the key set or
//! of the whole is replaced, and which are then signed again by the key of the set: examined
//! without a panic, and refused without a nonce, for one of zero, and where policy lists machines.

#![no_main]

mod splice;

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use serde_json::json;
use sha2::{Digest, Sha256};
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::{
    Document, Endorsements, Machines, Outcome, Policy, Releases, Verdict, examine,
};

use splice::splice;

const NOW: Timestamp = Timestamp(1_790_000_000);
const NONCE: B256 = B256::repeat_byte(7);

fn key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::from_slice(&[7; 48]).expect("it is below the order"))
}

fn key_set() -> Vec<u8> {
    let point = key().verifying_key().to_encoded_point(false);
    let [x, y] =
        [&point.as_bytes()[1..49], &point.as_bytes()[49..]].map(|it| URL_SAFE_NO_PAD.encode(it));
    let key =
        json!({ "kty": "EC", "crv": "P-384", "alg": "ES384", "kid": "a key", "x": x, "y": y });
    json!({ "keys": [key] }).to_string().into_bytes()
}

/// The claims of the token over all, but for its device, and those of the device.
fn claims() -> [Vec<u8>; 2] {
    let common = json!({
        "iss": "https://nras.attestation.nvidia.com", "eat_nonce": hex::encode(NONCE),
        "iat": NOW.0, "nbf": NOW.0, "exp": NOW.0 + 3_600,
    });
    let (mut overall, mut device) = (common.clone(), common);
    overall["sub"] = "NVIDIA-PLATFORM-ATTESTATION".into();
    overall["x-nvidia-overall-att-result"] = true.into();
    device["ueid"] = "1".into();
    device["measres"] = "success".into();
    device["secboot"] = true.into();
    device["dbgstat"] = "disabled".into();
    for name in ["arch-check", "attestation-report-parsed", "attestation-report-nonce-match"] {
        device[format!("x-nvidia-gpu-{name}")] = true.into();
    }
    device["x-nvidia-gpu-attestation-report-signature-verified"] = true.into();
    device["x-nvidia-cert-chain"] = json!({ "x-nvidia-cert-status": "valid" });
    [overall, device].map(|claims| claims.to_string().into_bytes())
}

fn sign(header: &[u8], claims: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature: Signature = key().sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fuzz_target!(|input: (u8, u16, u16, &[u8])| {
    let (part, at, cut, bytes) = input;
    let splice = |index: u8, piece: Vec<u8>| match part % 8 == index {
        true => splice(&piece, at, cut, bytes),
        false => piece,
    };
    let header = json!({ "alg": "ES384", "kid": "a key" }).to_string().into_bytes();
    let [overall, device] = claims();
    let device = sign(&splice(0, header.clone()), &splice(1, device));
    let submodules =
        json!({ "GPU-0": ["DIGEST", ["SHA-256", hex::encode(Sha256::digest(&device))]] });
    let submodules = splice(2, submodules.to_string().into_bytes());
    let overall = splice(3, overall);
    // The claims end with a brace, before which the digests go.
    let end = overall.len().saturating_sub(1);
    let overall = [&overall[..end], b",\"submods\":", &submodules, b"}"].concat();
    let overall = sign(&splice(4, header), &splice(5, overall));
    let answer = json!([["JWT", overall], { "GPU-0": device }]).to_string().into_bytes();
    let answer = splice(6, answer);
    let mut endorsements = Endorsements::default();
    let _ = endorsements.add(&splice(7, key_set()));
    let Ok(document) = Document::parse(&answer) else { return };

    let strict = Policy::strict(Releases::default());
    let report = examine(&document, &endorsements, Some(NONCE), &strict, NOW);
    let nothing_failed = report.checks.iter().all(|check| check.outcome != Outcome::Failed);
    assert_eq!(report.verdict == Verdict::Accepted, nothing_failed);
    let listed = Policy { machines: Machines::Listed(vec![]), ..strict.clone() };
    for (nonce, policy) in [(None, &strict), (Some(B256::ZERO), &strict), (Some(NONCE), &listed)] {
        let report = examine(&document, &endorsements, nonce, policy, NOW);
        assert_eq!(report.verdict, Verdict::Refused);
    }
});
