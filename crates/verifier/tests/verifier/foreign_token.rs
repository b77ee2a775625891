//! Tokens of NVIDIA's attestation service: those of real answers, and every fault of made ones.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{
    Document, Endorsements, Kind, Machines, Outcome, Policy, Report, Root, Unreadable, Verdict,
    examine,
};

use crate::faults::{Honest, assert_faults, assert_refused, strict};
use crate::vectors::{folder, seconds};

const ONE: &str = "private-ml-sdk/nras_sample_response.json";
const EIGHT: &str = "private-ml-sdk/nras_sample_ppcie_response.json";
const UNSIGNED: &str = "dstack/gpu_attestation_h100.json";

const TODAY: &str = "2026-11-28T00:00:00Z";

const SENTENCE: &str = "accepted: NVIDIA's attestation service, if the given keys are its own, says that it found \
     nothing wrong with these GPUs, which answered the nonce; nothing was compared here, and nothing \
     is said about the machine around them, software or models";

fn read(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap()
}

fn look(bytes: &[u8], keys: &Endorsements, nonce: Option<B256>, at: u64) -> Report {
    look_with(&strict(), bytes, keys, nonce, at)
}

fn look_with(
    policy: &Policy,
    bytes: &[u8],
    keys: &Endorsements,
    nonce: Option<B256>,
    at: u64,
) -> Report {
    let document = Document::parse(bytes).unwrap();
    assert_eq!(document.kind(), Kind::NvidiaToken);
    examine(&document, keys, nonce, policy, Timestamp(at))
}

#[test]
fn answers_of_the_service_have_expired_to_the_second_and_are_refused_by_name() {
    let Some(folder) = folder() else { return };
    let none = Endorsements::default();
    for (file, issued, end) in [
        (ONE, "2025-10-06T18:07:12Z", "2025-10-06T19:07:12Z"),
        (EIGHT, "2025-10-07T01:28:30Z", "2025-10-07T02:28:30Z"),
    ] {
        let bytes = read(&folder, file);
        for at in [seconds(TODAY), seconds(end)] {
            let report = look(&bytes, &none, None, at);
            assert_refused(&report, NvidiaTokenValidity, &format!("JWT expired {end}"));
            assert_eq!(report.outcome(NvidiaTokenStructure), Outcome::Passed);
            assert_eq!(report.outcome(NvidiaTokenAlgorithm), Outcome::Passed);
            assert_eq!(report.outcome(NvidiaNrasVerified), Outcome::Absent);
        }
        let early = look(&bytes, &none, None, seconds(issued) - 1);
        assert_refused(&early, NvidiaTokenValidity, &format!("JWT counts only from {issued}"));
        for at in [seconds(issued), seconds(end) - 1] {
            let report = look(&bytes, &none, None, at);
            assert_refused(&report, NvidiaNrasVerified, "no key set of the service was given");
            assert_eq!(report.outcome(NvidiaTokenValidity), Outcome::Passed);
        }
    }
}

#[test]
fn an_unsigned_token_is_refused_by_its_algorithm_at_any_time() {
    let Some(folder) = folder() else { return };
    let bytes = read(&folder, UNSIGNED);
    for at in [TODAY, "2026-07-16T14:00:00Z", "2020-01-01T00:00:00Z"] {
        let report = look(&bytes, &Endorsements::default(), None, seconds(at));
        assert_refused(&report, NvidiaTokenAlgorithm, "JWT with alg none");
        assert_eq!(report.outcome(NvidiaTokenStructure), Outcome::Passed);
    }
}

#[test]
fn an_answer_of_the_service_is_refused_under_a_key_that_somebody_else_made() {
    let Some(folder) = folder() else { return };
    let bytes = read(&folder, ONE);
    let at = seconds("2025-10-06T18:30:00Z");
    let kid = "nv-eat-kid-prod-20251005051232363-51f0d623-fb42-4c95-ac4a-a65ff322076e";
    let of = |kid: &str| {
        let mut keys = Endorsements::default();
        keys.add(Service::new().key_set(kid).to_string().as_bytes()).unwrap();
        look(&bytes, &keys, None, at)
    };
    assert_refused(&of(kid), NvidiaNrasVerified, "signature is not of the key nv-eat-kid-prod");
    assert_refused(&of("other"), NvidiaNrasVerified, "the given key set has no key nv-eat-kid");
}

/// Which bytes the service's digests cover, shown on its own answers.
#[test]
fn the_services_digests_are_of_whole_tokens_as_they_stand() {
    let Some(folder) = folder() else { return };
    for (file, devices, name) in
        [(ONE, 1, "SHA-256"), (EIGHT, 8, "SHA-256"), (UNSIGNED, 1, "SHA256")]
    {
        let answer: Value = serde_json::from_slice(&read(&folder, file)).unwrap();
        let bundle = answer.get("detached_eat").unwrap_or(&answer);
        let claims = bundle[0][1].as_str().unwrap().split('.').nth(1).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let submodules = claims["submods"].as_object().unwrap();
        assert_eq!(submodules.len(), devices, "{file}");
        for (device, digest) in submodules {
            let token = bundle[1][device].as_str().unwrap();
            let sha256 = hex::encode(Sha256::digest(token));
            assert_eq!(*digest, json!(["DIGEST", [name, sha256]]), "{file} {device}");
        }
    }
}

const NOW: u64 = 1_790_000_000;
const NONCE: B256 = B256::new([0x4e; 32]);
const KEY_ID: &str = "key of today";

/// A service with a key of its own.
struct Service {
    key: EcdsaKeyPair,
}

impl Service {
    fn new() -> Service {
        let random = SystemRandom::new();
        let kind = &ECDSA_P384_SHA384_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).unwrap();
        Service { key }
    }

    fn key_set(&self, kid: &str) -> Value {
        let point = self.key.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..49]), URL_SAFE_NO_PAD.encode(&point[49..]));
        json!({ "keys": [
            { "kty": "RSA", "kid": "another", "n": "AQAB", "e": "AQAB" },
            { "kty": "EC", "crv": "P-384", "use": "sig", "alg": "ES384", "kid": kid, "x": x, "y": y },
        ] })
    }

    /// RFC 7638: the members that a key needs, in the order of their names.
    fn thumbprint(&self) -> String {
        let key = &self.key_set("any")["keys"][1];
        let members: BTreeMap<&str, &Value> =
            ["crv", "kty", "x", "y"].map(|name| (name, &key[name])).into();
        URL_SAFE_NO_PAD.encode(Sha256::digest(serde_json::to_string(&members).unwrap()))
    }

    fn sign(&self, header: &Value, claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", encode(&header.to_string()), encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// An answer to be; honest until it is changed.
struct Answer {
    service: Service,
    header: Value,
    overall: Value,
    /// Names and claims.
    devices: Vec<(String, Value)>,
    /// Changes the answer once it is signed.
    changed: fn(&mut Value),
    keys: fn(&mut Value),
    nonce: Option<B256>,
    policy: Policy,
    at: u64,
}

impl Answer {
    fn of(count: usize) -> Answer {
        let nonce = hex::encode(NONCE);
        let common = json!({
            "iss": "https://nras.attestation.nvidia.com", "eat_nonce": nonce,
            "iat": NOW, "nbf": NOW, "exp": NOW + 3_600, "jti": "an answer",
        });
        let mut overall = common.clone();
        overall["sub"] = "NVIDIA-PLATFORM-ATTESTATION".into();
        overall["x-nvidia-ver"] = "3.0".into();
        overall["x-nvidia-overall-att-result"] = true.into();
        let device = |number: usize| {
            let mut device = common.clone();
            device["ueid"] = format!("{number}").into();
            device["hwmodel"] = "GH100 A01 GSP BROM".into();
            device["measres"] = "success".into();
            device["secboot"] = true.into();
            device["dbgstat"] = "disabled".into();
            device["x-nvidia-gpu-driver-version"] = "570.172.08".into();
            for name in [
                "arch-check",
                "attestation-report-parsed",
                "attestation-report-nonce-match",
                "attestation-report-signature-verified",
                "driver-rim-fetched",
            ] {
                device[format!("x-nvidia-gpu-{name}")] = true.into();
            }
            device["x-nvidia-gpu-driver-rim-cert-chain"] = json!({
                "x-nvidia-cert-status": "valid", "x-nvidia-cert-ocsp-status": "good",
                "x-nvidia-cert-ocsp-nonce-matches": true, "x-nvidia-cert-revocation-reason": null,
            });
            device["x-nvidia-attestation-warning"] = Value::Null;
            device["x-nvidia-mismatch-measurement-records"] = Value::Null;
            (format!("GPU-{number}"), device)
        };
        Answer {
            service: Service::new(),
            header: json!({ "alg": "ES384", "kid": KEY_ID }),
            overall,
            devices: (0..count).map(device).collect(),
            changed: |_| {},
            keys: |_| {},
            nonce: Some(NONCE),
            policy: strict(),
            at: NOW,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut overall = self.overall.clone();
        let mut tokens = serde_json::Map::new();
        let mut submodules = serde_json::Map::new();
        for (name, claims) in &self.devices {
            let token = self.service.sign(&self.header, &claims.to_string());
            let sha256 = hex::encode(Sha256::digest(&token));
            submodules.insert(name.clone(), json!(["DIGEST", ["SHA-256", sha256]]));
            tokens.insert(name.clone(), token.into());
        }
        if overall.get("submods").is_none() {
            overall["submods"] = submodules.into();
        }
        let token = self.service.sign(&self.header, &overall.to_string());
        let mut answer = json!([["JWT", token], tokens]);
        (self.changed)(&mut answer);
        answer.to_string().into_bytes()
    }

    fn endorsements(&self) -> Endorsements {
        let mut keys = self.service.key_set(KEY_ID);
        (self.keys)(&mut keys);
        let mut endorsements = Endorsements::default();
        endorsements.add(keys.to_string().as_bytes()).unwrap();
        endorsements
    }
}

impl Honest for Answer {
    fn honest() -> Answer {
        Answer::of(2)
    }

    fn report(&self) -> Report {
        look_with(&self.policy, &self.bytes(), &self.endorsements(), self.nonce, self.at)
    }
}

#[test]
fn a_good_token_is_the_services_word_and_says_so() {
    for count in [1, 2, 8] {
        for at in [NOW, NOW + 3_599] {
            let mut answer = Answer::of(count);
            answer.at = at;
            let report = answer.report();
            assert_eq!(report.sentence(), SENTENCE);
            let others = report.checks.iter().filter(|check| check.name != CpuIdRegistry);
            assert!(others.map(|check| check.outcome).all(|outcome| outcome == Outcome::Passed));
            assert_eq!(report.outcome(CpuIdRegistry), Outcome::Waived);
            for name in [TeeQuoteSignature, NvidiaSignature, NvidiaMeasurements, CpuGpuChain] {
                assert!(report.check(name).is_none(), "{name}");
            }
        }
    }
    let mut answer = Answer::of(1);
    answer.changed = |answer| *answer = json!({ "detached_eat": answer, "claims": [{}] });
    assert_eq!(answer.report().sentence(), SENTENCE);
}

#[test]
fn no_token_and_no_key_set_counts_for_anything_but_a_token() {
    let answer = Answer::of(1);
    let mut endorsements = Endorsements::default();
    assert_eq!(endorsements.add(&answer.bytes()), Err(Unreadable::UnknownEndorsement));
    let bundle = json!({ "detached_eat": [["JWT", "a.b.c"], {}] }).to_string();
    assert_eq!(endorsements.add(bundle.as_bytes()), Err(Unreadable::UnknownEndorsement));
    let keys = answer.service.key_set(KEY_ID).to_string();
    assert_eq!(Document::parse(keys.as_bytes()), Err(Unreadable::UnknownDocument));
}

#[test]
fn a_policy_that_lists_machines_or_contradicts_itself_refuses_every_token() {
    use {CpuIdRegistry as Machine, NvidiaNrasVerified as Signed};
    let words = "the service names no machine that could be listed";
    assert_faults::<Answer>(&[
        (|answer| answer.policy.machines = Machines::Listed(vec![]), Machine, words),
        (|answer| answer.policy.machines = Machines::Listed(vec!["0a".into()]), Machine, words),
        (
            |answer| {
                answer.policy.machines = Machines::Listed(vec![]);
                answer.at = NOW - 1;
            },
            Machine,
            words,
        ),
        (
            |answer| answer.policy.machines = Machines::Listed(vec!["0A".into()]),
            Signed,
            "a machine whose number is not lower-case hex",
        ),
        (
            |answer| answer.policy.roots.amd = Root::Simulator,
            Signed,
            "which only trust = \"simulated\" allows",
        ),
        (
            |answer| answer.policy.roots.nvidia_device = Root::Sha256(NONCE),
            Signed,
            "which only trust = \"simulated\" allows",
        ),
    ]);
}

#[test]
fn names_of_keys_are_compared_whole_and_repeated_in_part() {
    let named = |end: &str| "k".repeat(300) + end;
    let mut answer = Answer::of(1);
    answer.header["kid"] = named("a").into();
    let look = |given: &str| {
        let mut keys = Endorsements::default();
        keys.add(answer.service.key_set(given).to_string().as_bytes()).unwrap();
        look(&answer.bytes(), &keys, answer.nonce, NOW)
    };
    let report = look(&named("a"));
    assert_eq!(report.sentence(), SENTENCE);
    let repeated = format!(" key {}", "k".repeat(128));
    let (before, behind) =
        report.check(NvidiaNrasVerified).unwrap().seen.split_once(&repeated).unwrap();
    assert_eq!(before, "ES384 signatures good, by the given");
    let thumbprint = behind.strip_prefix(", thumbprint ").unwrap();
    assert_eq!(thumbprint, answer.service.thumbprint());
    for other in [named("b"), named(""), named("aa"), "k".repeat(128)] {
        let report = look(&other);
        assert_refused(&report, NvidiaNrasVerified, "the given key set has no key k");
        assert!(report.check(NvidiaNrasVerified).unwrap().seen.ends_with(&repeated));
    }
    assert_faults::<Answer>(&[
        (
            |answer| answer.overall["iss"] = "é".repeat(300).into(),
            NvidiaNrasVerified,
            "éé, not https://nras.attestation.nvidia.com",
        ),
        (
            |answer| answer.header["alg"] = format!("ES384{}", "4".repeat(30_000)).into(),
            NvidiaTokenAlgorithm,
            "44, the service signs with ES384",
        ),
    ]);
}

#[test]
fn a_token_without_our_nonce_is_refused() {
    assert_faults::<Answer>(&[
        (|answer| answer.nonce = None, NonceMatch, "no nonce was given"),
        (|answer| answer.nonce = Some(B256::ZERO), NonceMatch, "a nonce of zero"),
        (|answer| answer.nonce = Some(B256::repeat_byte(7)), NonceMatch, "the token answers 4e4e"),
        (
            |answer| answer.overall["eat_nonce"] = hex::encode([7; 32]).into(),
            NonceMatch,
            "the token answers 0707",
        ),
    ]);
}

#[test]
fn tokens_of_another_algorithm_or_time_are_refused_by_name() {
    assert_faults::<Answer>(&[
        (|answer| answer.header["alg"] = "none".into(), NvidiaTokenAlgorithm, "JWT with alg none"),
        (|answer| answer.header["alg"] = "None".into(), NvidiaTokenAlgorithm, "JWT with alg None"),
        (|answer| answer.header["alg"] = "HS384".into(), NvidiaTokenAlgorithm, "alg HS384"),
        (|answer| answer.header["alg"] = "ES256".into(), NvidiaTokenAlgorithm, "alg ES256"),
        (|answer| answer.header["alg"] = "es384".into(), NvidiaTokenAlgorithm, "alg es384"),
        (|answer| answer.at = NOW + 3_600, NvidiaTokenValidity, "JWT expired 2026-09-21T15:13:20Z"),
        (
            |answer| answer.at = NOW - 1,
            NvidiaTokenValidity,
            "counts only from 2026-09-21T14:13:20Z",
        ),
        (
            |answer| answer.overall["nbf"] = (NOW + 5).into(),
            NvidiaTokenValidity,
            "counts only from 2026-09-21T14:13:25Z",
        ),
        (
            |answer| answer.overall["iat"] = (NOW + 5).into(),
            NvidiaTokenValidity,
            "counts only from 2026-09-21T14:13:25Z",
        ),
        (|answer| answer.overall["exp"] = NOW.into(), NvidiaTokenValidity, "which is never"),
        (|answer| answer.overall["exp"] = 0.into(), NvidiaTokenValidity, "which is never"),
        (
            |answer| answer.devices[1].1["exp"] = (NOW + 1).into(),
            NvidiaTokenBinding,
            "the token of GPU-1 is of another time",
        ),
        (
            |answer| {
                answer.devices[1].1["exp"] = (NOW + 1).into();
                answer.at = NOW + 1;
            },
            NvidiaTokenValidity,
            "GPU-1: JWT expired",
        ),
    ]);
}

#[test]
fn tokens_that_the_given_keys_did_not_sign_are_refused_by_name() {
    use NvidiaNrasVerified as Name;
    assert_faults::<Answer>(&[
        (
            |answer| answer.changed = |it| it[0][1] = broken(&it[0][1]),
            Name,
            "signature is not of the key",
        ),
        (
            |answer| answer.changed = |it| it[1]["GPU-1"] = broken(&it[1]["GPU-1"]),
            Name,
            "GPU-1: the ES384 signature",
        ),
        (
            |answer| answer.changed = |it| it[0][1] = unsigned(&it[0][1]),
            Name,
            "signature is not of",
        ),
        (
            |answer| answer.header["kid"] = "other".into(),
            Name,
            "the given key set has no key other",
        ),
        (|answer| drop(answer.header.as_object_mut().unwrap().remove("kid")), Name, "names no key"),
    ]);
    assert_faults::<Answer>(&[
        (
            |answer| answer.keys = |keys| keys["keys"][1]["kid"] = "other".into(),
            Name,
            "has no key key of today",
        ),
        (
            |answer| {
                answer.keys = |keys| {
                    let x = keys["keys"][1]["x"].take();
                    keys["keys"][1]["x"] = keys["keys"][1]["y"].take();
                    keys["keys"][1]["y"] = x;
                }
            },
            Name,
            "signature is not of the key",
        ),
        (
            |answer| answer.overall["iss"] = "NVAT-LOCAL-VERIFIER".into(),
            Name,
            "the issuer is NVAT-LOCAL-VERIFIER",
        ),
        (
            |answer| answer.overall["iss"] = "https://nras.attestation.nvidia.com/".into(),
            Name,
            "the issuer is https://nras.attestation.nvidia.com/, not",
        ),
        (
            |answer| answer.devices[0].1["iss"] = "somebody".into(),
            Name,
            "GPU-0: the issuer is somebody",
        ),
    ]);
    let answer = Answer::of(1);
    let report = look(&answer.bytes(), &Endorsements::default(), answer.nonce, NOW);
    assert_refused(&report, Name, "no key set of the service was given");
}

/// The token with another last character but one of its signature.
fn broken(token: &Value) -> Value {
    let mut token = token.as_str().unwrap().to_owned();
    let at = token.len() - 2;
    let other = if &token[at..=at] == "A" { "B" } else { "A" };
    token.replace_range(at..=at, other);
    token.into()
}

/// The token without its signature.
fn unsigned(token: &Value) -> Value {
    let (signed, _) = token.as_str().unwrap().rsplit_once('.').unwrap();
    format!("{signed}.").into()
}

#[test]
fn a_devices_token_of_another_answer_is_refused_by_name() {
    assert_faults::<Answer>(&[
        (
            |answer| {
                answer.overall["submods"] = json!({
                    "GPU-0": ["DIGEST", ["SHA-256", "00".repeat(32)]],
                    "GPU-1": ["DIGEST", ["SHA-256", "00".repeat(32)]],
                });
            },
            NvidiaTokenBinding,
            "the token of GPU-0 is not the one whose digest was signed",
        ),
        (
            |answer| {
                answer.changed = |it| {
                    let first = it[1]["GPU-0"].take();
                    it[1]["GPU-0"] = it[1]["GPU-1"].take();
                    it[1]["GPU-1"] = first;
                }
            },
            NvidiaTokenBinding,
            "the token of GPU-0 is not",
        ),
        (
            |answer| answer.devices[1].1["eat_nonce"] = hex::encode([7; 32]).into(),
            NvidiaTokenBinding,
            "GPU-1 answers the nonce 0707",
        ),
        (
            |answer| answer.devices[1].1["iat"] = (NOW - 1).into(),
            NvidiaTokenBinding,
            "the token of GPU-1 is of another time",
        ),
        (
            |answer| drop(answer.devices[1].1.as_object_mut().unwrap().remove("nbf")),
            NvidiaTokenBinding,
            "the token of GPU-1 is of another time",
        ),
        (
            |answer| answer.devices[1].1["ueid"] = "0".into(),
            NvidiaDistinctDevices,
            "GPU-0 and GPU-1 have the number 0",
        ),
        (
            |answer| answer.devices[1].1["ueid"] = Value::Null,
            NvidiaDistinctDevices,
            "GPU-1: it has no number",
        ),
    ]);
}

#[test]
fn a_device_with_which_the_service_found_a_fault_is_refused_by_the_claim() {
    let cases: [(&str, Value, &str); 15] = [
        ("measres", "fail".into(), "GPU-1: measres is not success"),
        ("measres", Value::Null, "GPU-1: measres is not success"),
        ("measres", true.into(), "GPU-1: measres is not success"),
        ("secboot", false.into(), "GPU-1: secboot is not true"),
        ("secboot", "true".into(), "GPU-1: secboot is not true"),
        ("dbgstat", "enabled".into(), "GPU-1: dbgstat is not disabled"),
        ("dbgstat", Value::Null, "GPU-1: dbgstat is not disabled"),
        ("x-nvidia-gpu-arch-check", false.into(), "GPU-1: x-nvidia-gpu-arch-check is not true"),
        (
            "x-nvidia-gpu-attestation-report-nonce-match",
            Value::Null,
            "x-nvidia-gpu-attestation-report-nonce-match is not true",
        ),
        ("x-nvidia-gpu-driver-rim-fetched", false.into(), "driver-rim-fetched is false"),
        ("x-nvidia-something-new", false.into(), "x-nvidia-something-new is false"),
        (
            "x-nvidia-gpu-driver-rim-cert-chain",
            json!({ "x-nvidia-cert-ocsp-nonce-matches": false }),
            "x-nvidia-cert-ocsp-nonce-matches is false",
        ),
        (
            "x-nvidia-gpu-driver-rim-cert-chain",
            json!({ "x-nvidia-cert-ocsp-status": "revoked" }),
            "x-nvidia-cert-ocsp-status is not good",
        ),
        (
            "x-nvidia-attestation-warning",
            "hold".into(),
            "x-nvidia-attestation-warning is not empty",
        ),
        (
            "x-nvidia-mismatch-measurement-records",
            json!([{ "index": 9 }]),
            "x-nvidia-mismatch-measurement-records is not empty",
        ),
    ];
    for (name, value, words) in cases {
        let mut answer = Answer::of(2);
        answer.devices[1].1[name] = value;
        assert_refused(&answer.report(), NvidiaClaims, words);
    }
    assert_faults::<Answer>(&[
        (
            |answer| answer.overall["x-nvidia-overall-att-result"] = false.into(),
            NvidiaClaims,
            "x-nvidia-overall-att-result is not true",
        ),
        (
            |answer| answer.overall["x-nvidia-switch-check"] = false.into(),
            NvidiaClaims,
            "x-nvidia-switch-check is false",
        ),
        (
            |answer| {
                let revoked = json!([[{ "x-nvidia-cert-status": "revoked" }]]);
                answer.devices[0].1["x-nvidia-gpu-chains"] = revoked;
            },
            NvidiaClaims,
            "x-nvidia-cert-status is not valid",
        ),
        (
            |answer| answer.devices[0].1["chains"] = json!([{ "x-nvidia-match": false }]),
            NvidiaClaims,
            "x-nvidia-match is false",
        ),
        (
            |answer| answer.overall["x-nvidia-overall-att-result"] = "true".into(),
            NvidiaClaims,
            "x-nvidia-overall-att-result is not true",
        ),
        (
            |answer| answer.overall["sub"] = "somebody".into(),
            NvidiaClaims,
            "is not about NVIDIA-PLATFORM-ATTESTATION",
        ),
    ]);
}

#[test]
fn tokens_of_another_structure_are_refused_by_name() {
    use NvidiaTokenStructure as Name;
    assert_faults::<Answer>(&[
        (|answer| answer.changed = |it| it[0][1] = "".into(), Name, "no JWT of three parts"),
        (|answer| answer.changed = |it| it[0][1] = "a.b".into(), Name, "no JWT of three parts"),
        (|answer| answer.changed = |it| it[0][1] = "e30.e30.é".into(), Name, "no JWT of three"),
        (
            |answer| {
                answer.changed = |it| it[0][1] = format!("{}.AA", it[0][1].as_str().unwrap()).into()
            },
            Name,
            "no JWT of three parts",
        ),
        (
            |answer| {
                answer.changed = |it| it[0][1] = format!("{}=", it[0][1].as_str().unwrap()).into()
            },
            Name,
            "no JWT of three parts",
        ),
        (|answer| answer.changed = |it| it[1]["GPU-1"] = "x".into(), Name, "GPU-1: it is no JWT"),
        (|answer| answer.changed = |it| it[0][1] = "W10.e30.AA".into(), Name, "is not an object"),
        (
            |answer| answer.changed = |it| it[0][1] = "eyJhbGciOiJFUzM4NCJ9.W10.AA".into(),
            Name,
            "is not an object",
        ),
        (|answer| answer.header = json!({ "kid": KEY_ID }), Name, "lacks the member alg"),
        (|answer| answer.header["alg"] = 7.into(), Name, "alg is not text"),
        (|answer| answer.header["crit"] = json!(["exp"]), Name, "demands extensions (crit)"),
        (|answer| answer.overall["exp"] = Value::Null, Name, "exp is missing"),
        (|answer| answer.overall["exp"] = "tomorrow".into(), Name, "exp is no time"),
        (|answer| answer.overall["exp"] = (-1).into(), Name, "exp is no time"),
        (|answer| answer.overall["iat"] = 1.5.into(), Name, "iat is no time"),
        (|answer| answer.overall["iat"] = Value::Null, Name, "iat is missing"),
        (|answer| answer.devices[1].1["exp"] = Value::Null, Name, "GPU-1: exp is missing"),
        (|answer| answer.overall["eat_nonce"] = Value::Null, Name, "eat_nonce is missing"),
        (|answer| answer.overall["eat_nonce"] = "4e".into(), Name, "eat_nonce"),
        (|answer| answer.overall["iss"] = Value::Null, Name, "lacks the member iss"),
        (|answer| answer.overall["submods"] = json!({}), Name, "submods name 0 devices"),
        (|answer| answer.overall["submods"] = json!([]), Name, "submods are not GPUs"),
        (
            |answer| answer.overall["submods"] = json!({ "GPU-0": ["DIGEST", ["SHA-1", "00"]] }),
            Name,
            "submods are not GPUs",
        ),
        (
            |answer| answer.overall["submods"] = json!({ "GPU-0": ["DIGEST", ["SHA-256", "00"]] }),
            Name,
            "submods are not GPUs",
        ),
        (|answer| answer.devices[1].0 = "CPU-1".into(), Name, "submods are not GPUs"),
        (|answer| answer.devices[1].0 = "GPU-".into(), Name, "submods are not GPUs"),
        (|answer| answer.devices[1].0 = "GPU-100".into(), Name, "submods are not GPUs"),
        (
            |answer| answer.changed = |it| drop(it[1].as_object_mut().unwrap().remove("GPU-1")),
            Name,
            "there is no token of GPU-1",
        ),
        (
            |answer| answer.changed = |it| it[1]["GPU-2"] = it[1]["GPU-1"].clone(),
            Name,
            "a token of a device that the token over all does not name",
        ),
    ]);
}

#[test]
fn a_claim_that_stands_twice_is_refused_at_whatever_depth() {
    let answer = Answer::of(1);
    let honest = answer.overall.to_string();
    let keys = answer.endorsements();
    for doubled in [
        honest.replacen('{', "{\"exp\":9999999999,", 1),
        honest.replacen('{', "{\"x\":{\"y\":1,\"y\":2},", 1),
        honest.replacen('{', "{\"x\":[{\"y\":1,\"\\u0079\":2}],", 1),
    ] {
        let token = answer.service.sign(&answer.header, &doubled);
        let bytes = json!([["JWT", token], {}]).to_string();
        let report = look(bytes.as_bytes(), &keys, Some(NONCE), NOW);
        assert_refused(&report, NvidiaTokenStructure, "a member stands twice in its claims");
    }
}

#[test]
fn answers_of_another_shape_are_unreadable() {
    for text in ["[[\"JWT\",\"t\"]]", "[[\"JWT\"],{}]", "[[\"JWT\",\"t\",\"t\"],{}]"] {
        let wrong = matches!(Document::parse(text.as_bytes()), Err(Unreadable::WrongType { .. }));
        assert!(wrong, "{text}");
    }
    for text in [
        "[[\"JWT\",\"t\"],{},{}]",
        "[[\"JWT\",1],{}]",
        "[[\"JWT\",\"t\"],{\"GPU-0\":1}]",
        "[[\"JWT\",\"t\"],{\"GPU-0\":\"t\",\"GPU-0\":\"t\"}]",
        "{\"detached_eat\":\"t\"}",
    ] {
        let wrong = matches!(Document::parse(text.as_bytes()), Err(Unreadable::WrongType { .. }));
        assert!(wrong, "{text}");
    }
    let name = "n".repeat(33);
    let long_name = json!([["JWT", "t"], { name: "t" }]).to_string();
    assert!(Document::parse(long_name.as_bytes()).is_err());
    let devices: serde_json::Map<_, _> =
        (0..25).map(|at| (format!("GPU-{at}"), Value::from("t"))).collect();
    let many = json!([["JWT", "t"], devices]).to_string();
    assert!(matches!(Document::parse(many.as_bytes()), Err(Unreadable::ListTooLong { .. })));
    for long in [
        json!([["JWT", "t".repeat(65_537)], {}]),
        json!([["JWT", "t"], { "GPU-0": "t".repeat(65_537) }]),
    ] {
        let long = Document::parse(long.to_string().as_bytes());
        assert!(matches!(long, Err(Unreadable::MemberTooLong { got: 65_537, .. })));
    }
    let cut = Document::parse(b"[[\"JWT\",");
    assert!(matches!(cut, Err(Unreadable::NotJson { .. })));
}

#[test]
fn key_sets_without_a_key_for_the_service_or_that_contradict_are_unreadable() {
    let service = Service::new();
    let set = service.key_set(KEY_ID);
    let add = |change: fn(&mut Value)| {
        let mut set = set.clone();
        change(&mut set["keys"][1]);
        Endorsements::default().add(set.to_string().as_bytes())
    };
    assert_eq!(add(|_| {}), Ok(()));
    assert_eq!(add(|key| key["alg"] = Value::Null), Ok(()));
    let changes: [fn(&mut Value); 6] = [
        |key| key["kty"] = "RSA".into(),
        |key| key["crv"] = "P-256".into(),
        |key| key["alg"] = "ES256".into(),
        |key| key["use"] = "enc".into(),
        |key| key["kty"] = Value::Null,
        |key| key["crv"] = Value::Null,
    ];
    for change in changes {
        assert_eq!(add(change), Err(Unreadable::UnknownEndorsement));
    }
    let broken: [fn(&mut Value); 6] = [
        |key| key["x"] = "AA".into(),
        |key| key["y"] = "*".into(),
        |key| key["x"] = Value::Null,
        |key| key["kid"] = Value::Null,
        |key| key["kid"] = "k".repeat(65_537).into(),
        |key| key["kid"] = 7.into(),
    ];
    for change in broken {
        assert!(add(change).is_err());
    }
    let mut many = set.clone();
    many["keys"] = vec![set["keys"][1].clone(); 65].into();
    let many = Endorsements::default().add(many.to_string().as_bytes());
    assert!(matches!(many, Err(Unreadable::ListTooLong { got: 65, .. })));

    let mut both = Endorsements::default();
    assert_eq!(both.add(set.to_string().as_bytes()), Ok(()));
    assert_eq!(both.add(set.to_string().as_bytes()), Ok(()), "the same file once more");
    let other = Service::new().key_set(KEY_ID).to_string();
    let contradiction = Unreadable::Contradiction { what: "key of one name" };
    assert_eq!(both.add(other.as_bytes()), Err(contradiction));
}

#[test]
fn one_changed_character_anywhere_in_an_answer_is_refused_or_unreadable() {
    let answer = Answer::of(1);
    let (bytes, keys) = (answer.bytes(), answer.endorsements());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 7);
        let Ok(document) = Document::parse(&changed) else { continue };
        let report = examine(&document, &keys, Some(NONCE), &strict(), Timestamp(NOW));
        assert_eq!(report.verdict, Verdict::Refused, "character {at}");
    }
}

proptest! {
    #[test]
    fn any_tokens_are_refused_without_a_panic(
        header in proptest::collection::vec(any::<u8>(), 0..60),
        claims in proptest::collection::vec(any::<u8>(), 0..200),
        text in ".{0,80}",
    ) {
        let token = format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        for token in [token, text] {
            let bytes = json!([["JWT", token], { "GPU-0": token }]).to_string();
            let report = look(bytes.as_bytes(), &Endorsements::default(), Some(NONCE), NOW);
            prop_assert_eq!(report.verdict, Verdict::Refused);
            prop_assert_eq!(report.first_failure().unwrap().name, NvidiaTokenStructure);
        }
    }
}
