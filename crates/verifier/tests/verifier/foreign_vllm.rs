//! Answers of vllm-proxies, made on a simulated machine: what they prove, and how they are refused.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subrosa_attester::{SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator};
use subrosa_protocol::encoding::to_base64;
use subrosa_protocol::{B256, Timestamp, keccak256};
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{
    CheckName, CpuEvidence, DeviceCollateral, Devices, Document, Endorsements, EventLog, Gpu, Kind,
    Outcome, Policy, Releases, Report, TdxEvidence, Unreadable, Verdict, examine,
};

use crate::world::{IMAGE, NOW, World};

pub const NONCE: [u8; 32] = [0x6e; 32];
const KEY: [u8; 64] = [0x4b; 64];
const ED25519: [u8; 32] = [0xed; 32];
const TLS: [u8; 32] = [0x71; 32];

/// A machine that answers as a vllm-proxy, and somebody who asked it.
pub struct Proxy {
    pub simulator: Simulator,
    pub report_data: [u8; 64],
    pub gpu_nonce: [u8; 32],
    pub policy: Policy,
    pub nonce: Option<B256>,
    pub at: Timestamp,
}

impl Proxy {
    pub fn new() -> Proxy {
        Proxy::of(SimulatedCpu::TdxDstack, SimulatedGpus::Hopper)
    }

    pub fn of(cpu: SimulatedCpu, gpus: SimulatedGpus) -> Proxy {
        Proxy {
            simulator: Simulator::of(SimulatedKind { cpu, gpus }, IMAGE),
            report_data: bound(&address(), &NONCE),
            gpu_nonce: NONCE,
            policy: Policy::simulated(Releases::default()),
            nonce: Some(NONCE.into()),
            at: NOW,
        }
    }

    /// The answer, in the form of the reference.
    pub fn answer(&self) -> Value {
        let quote = self.simulator.second_quote(self.report_data, Some(self.gpu_nonce), self.at);
        let quote = quote.unwrap();
        let CpuEvidence::Tdx(TdxEvidence { quote: bytes, event_log, .. }) = quote.cpu else {
            panic!("a vllm-proxy runs on TDX");
        };
        let mut answer = json!({
            "model_name": "a model",
            "signing_address": format!("0x{}", hex(&address())),
            "signing_algo": "ecdsa",
            "signing_public_key": hex(&KEY),
            "request_nonce": hex(&self.report_data[32..]),
            "intel_quote": hex(&bytes),
            "nvidia_payload": payload(&quote.devices, &self.gpu_nonce).to_string(),
            "vm_config": "{}",
        });
        if let EventLog::Dstack { log, app_compose } = event_log {
            answer["event_log"] = serde_json::from_slice(&log).unwrap();
            answer["info"] = json!({
                "app_id": "00",
                "tcb_info": { "app_compose": String::from_utf8(app_compose).unwrap() },
            });
        }
        answer
    }

    /// What the vendors state about the machine, as files.
    pub fn endorsements(&self) -> Endorsements {
        let mut world = World::with(self.simulator.clone());
        world.now = self.at;
        let mut endorsements = Endorsements::default();
        endorsements.add(world.evidence().as_bytes()).unwrap();
        endorsements
    }

    pub fn examine(&self, answer: &Value) -> Report {
        self.examine_with(answer, &self.endorsements())
    }

    fn examine_with(&self, answer: &Value, endorsements: &Endorsements) -> Report {
        let document = Document::parse(answer.to_string().as_bytes()).unwrap();
        assert_eq!(document.kind(), Kind::VllmProxy);
        examine(&document, endorsements, self.nonce, &self.policy, self.at)
    }

    #[track_caller]
    pub fn accepted(&self, answer: &Value) -> Report {
        let report = self.examine(answer);
        assert_eq!(report.verdict, Verdict::Accepted, "{}", report.sentence());
        report
    }

    #[track_caller]
    pub fn refused(&self, answer: &Value, name: CheckName, words: &str) -> Report {
        let report = self.examine(answer);
        assert_eq!(report.verdict, Verdict::Refused);
        let failed = report.first_failure().unwrap();
        assert_eq!(failed.name, name, "{}", report.sentence());
        assert!(failed.seen.contains(words), "{words:?} expected: {}", report.sentence());
        report
    }

    /// The answer, changed somewhere.
    fn changed(&self, change: impl FnOnce(&mut Value)) -> Value {
        let mut answer = self.answer();
        change(&mut answer);
        answer
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn address() -> [u8; 20] {
    keccak256(KEY)[12..].try_into().unwrap()
}

/// An address and a nonce, as the layout has it.
pub fn bound(address: &[u8], nonce: &[u8; 32]) -> [u8; 64] {
    let mut data = [0; 64];
    data[..address.len()].copy_from_slice(address);
    data[32..].copy_from_slice(nonce);
    data
}

pub fn payload(devices: &Devices, nonce: &[u8; 32]) -> Value {
    let entry = |device: &subrosa_verifier::Device| {
        json!({
            "certificate": to_base64(device.chain.as_bytes()),
            "evidence": to_base64(&device.report),
            "arch": device.architecture.name(),
        })
    };
    let list: Vec<Value> = devices.0.iter().map(entry).collect();
    json!({ "nonce": hex(nonce), "evidence_list": list, "arch": "HOPPER" })
}

fn with_tls(proxy: &mut Proxy) {
    let joined: [u8; 32] =
        Sha256::new().chain_update(address()).chain_update(TLS).finalize().into();
    proxy.report_data = bound(&joined, &NONCE);
}

#[test]
fn an_answer_proves_hardware_devices_and_the_signing_key_and_says_no_more() {
    let proxy = Proxy::new();
    let report = proxy.accepted(&proxy.answer());
    assert_eq!(
        report.sentence(),
        "SIMULATED, which proves nothing about hardware: accepted: genuine, current Intel TDX \
         hardware, answering the nonce: its guest, whose software is unknown, names the signing \
         key; genuine NVIDIA devices answered the same nonce, on this machine or on another; says \
         nothing about models"
    );
    let passed = [
        NonceMatch,
        TeeReportdataBinding,
        SigningKeyPresent,
        EventLogIntegrity,
        ComposeBinding,
        NvidiaPayloadPresent,
        NvidiaNonce,
        NvidiaSignature,
        NvidiaMeasurements,
        NvidiaDistinctDevices,
    ];
    for name in passed {
        assert_eq!(report.outcome(name), Outcome::Passed, "{name}");
    }
    for name in [CpuGpuChain, TlsKeyBinding, TeeMeasurement, BlockRecent, MeasuredModelWeights] {
        assert_eq!(report.outcome(name), Outcome::Absent, "{name}");
    }
}

#[test]
fn eight_gpus_with_their_switches_are_read_from_an_answer() {
    let proxy = Proxy::of(SimulatedCpu::TdxDstack, SimulatedGpus::EightHoppers);
    let report = proxy.accepted(&proxy.answer());
    assert!(report.check(NvidiaDistinctDevices).unwrap().seen.contains("12 devices"));
}

#[test]
fn every_member_is_read_as_json_or_as_text_that_holds_json() {
    let proxy = Proxy::new();
    let as_text = |answer: &mut Value, name: &str| {
        if !answer[name].is_string() {
            answer[name] = answer[name].to_string().into();
        }
    };
    let as_json = |answer: &mut Value, name: &str| {
        if let Some(text) = answer[name].as_str() {
            answer[name] = serde_json::from_str(text).unwrap();
        }
    };
    for name in ["nvidia_payload", "event_log", "info"] {
        proxy.accepted(&proxy.changed(|answer| as_text(answer, name)));
        proxy.accepted(&proxy.changed(|answer| as_json(answer, name)));
    }
    let nested = proxy.changed(|answer| as_text(&mut answer["info"], "tcb_info"));
    proxy.accepted(&nested);
}

#[test]
fn members_that_nobody_knows_and_spellings_of_hex_do_not_matter() {
    let proxy = Proxy::new();
    proxy.accepted(&proxy.changed(|answer| {
        answer["verified"] = true.into();
        answer["nonce_source"] = Value::Null;
        answer["server_verification"] = json!({ "tdx": { "valid": true, "score": 0.5 } });
        answer["all_attestations"] = json!([{}]);
        let quote = answer["intel_quote"].as_str().unwrap().to_uppercase();
        answer["intel_quote"] = format!("0x{quote}").into();
        let key = format!("04{}", answer["signing_public_key"].as_str().unwrap());
        answer["signing_public_key"] = key.into();
    }));
}

#[test]
fn an_ed25519_key_is_its_own_address() {
    let mut proxy = Proxy::new();
    proxy.report_data = bound(&ED25519, &NONCE);
    let ed25519 = |answer: &mut Value| {
        answer["signing_algo"] = "ed25519".into();
        answer["signing_address"] = hex(&ED25519).into();
        answer["signing_public_key"] = hex(&ED25519).into();
    };
    let report = proxy.accepted(&proxy.changed(ed25519));
    assert!(report.check(SigningKeyPresent).unwrap().seen.starts_with("ed25519 eded"));
    let other = proxy.changed(|answer| {
        ed25519(answer);
        answer["signing_public_key"] = hex(&[0xee; 32]).into();
    });
    proxy.refused(&other, SigningKeyPresent, "is not the key that is shown");
}

#[test]
fn a_key_that_is_not_shown_is_told_and_one_that_is_another_is_refused() {
    let proxy = Proxy::new();
    let hidden = proxy.changed(|answer| {
        answer.as_object_mut().unwrap().remove("signing_public_key");
        answer.as_object_mut().unwrap().remove("signing_algo");
    });
    let report = proxy.accepted(&hidden);
    assert!(report.check(SigningKeyPresent).unwrap().seen.ends_with("the key itself is not shown"));
    for (key, words) in [
        (hex(&[0x4c; 64]), "is not the key's address"),
        (format!("03{}", hex(&KEY)), "the key has 65 bytes"),
        (hex(&KEY[..63]), "the key has 63 bytes"),
        (String::new(), "the key has 0 bytes"),
    ] {
        let other = proxy.changed(|answer| answer["signing_public_key"] = key.into());
        proxy.refused(&other, SigningKeyPresent, words);
    }
}

#[test]
fn an_address_that_the_quote_does_not_bind_is_refused() {
    let proxy = Proxy::new();
    let other = proxy.changed(|answer| {
        answer["signing_address"] = hex(&[9; 20]).into();
        answer.as_object_mut().unwrap().remove("signing_public_key");
    });
    let report = proxy.refused(&other, TeeReportdataBinding, "not with the address 0909");
    assert_eq!(report.outcome(SigningKeyPresent), Outcome::Absent);
    assert_eq!(report.outcome(NvidiaSignature), Outcome::Absent);

    let mut padded = Proxy::new();
    padded.report_data[31] = 1;
    padded.refused(&padded.answer(), TeeReportdataBinding, "not with the address");
}

#[test]
fn a_tls_key_counts_only_where_the_quote_binds_it() {
    let mut proxy = Proxy::new();
    let shown = |answer: &mut Value| answer["tls_cert_fingerprint"] = hex(&TLS).into();
    proxy.refused(&proxy.changed(shown), TlsKeyBinding, "does not bind the TLS key 7171");
    with_tls(&mut proxy);
    let report = proxy.accepted(&proxy.changed(shown));
    assert_eq!(report.outcome(TlsKeyBinding), Outcome::Passed);
    proxy.refused(&proxy.answer(), TeeReportdataBinding, "not with the address");
    let other = proxy.changed(|answer| answer["tls_cert_fingerprint"] = hex(&[0x72; 32]).into());
    proxy.refused(&other, TeeReportdataBinding, "these keys do not");
}

#[test]
fn the_nonce_is_ours_and_never_the_one_that_the_document_repeats() {
    let mut proxy = Proxy::new();
    proxy.nonce = None;
    proxy.refused(&proxy.answer(), NonceMatch, "the one that the document repeats proves nothing");
    proxy.nonce = Some(B256::ZERO);
    proxy.refused(&proxy.answer(), NonceMatch, "a nonce of zero asks for nothing");
    proxy.nonce = Some(B256::repeat_byte(1));
    proxy.refused(&proxy.answer(), NonceMatch, "we asked 0x0101");
    proxy.nonce = Some(NONCE.into());
    let echo = proxy.changed(|answer| answer["request_nonce"] = hex(&[7; 32]).into());
    proxy.refused(&echo, NonceMatch, "the document says it answers 0707");
    let silent = proxy.changed(|answer| {
        answer.as_object_mut().unwrap().remove("request_nonce");
    });
    proxy.accepted(&silent);
}

/// Beside a foreign document lies what somebody happened to have: what is surplus there is harmless.
#[test]
fn collateral_that_no_device_needs_is_harmless_beside_a_foreign_document() {
    let proxy = Proxy::new();
    let other = Proxy::of(SimulatedCpu::TdxDstack, SimulatedGpus::Blackwell);
    let [ours, theirs] = [&proxy, &other].map(|it| World::with(it.simulator.clone()).evidence());
    let mut endorsements = proxy.endorsements();
    let DeviceCollateral { rims, ocsp, crls } = theirs.device_collateral();
    for file in rims.iter().chain(ocsp).chain(crls) {
        endorsements.add(file).unwrap();
    }
    let mut spoiled = ours.device_collateral().crls[0].clone();
    *spoiled.last_mut().unwrap() ^= 1;
    endorsements.add(&spoiled).unwrap();
    let report = proxy.examine_with(&proxy.answer(), &endorsements);
    assert_eq!(report.verdict, Verdict::Accepted, "{}", report.sentence());

    let rim = &theirs.device_collateral().rims[0];
    endorsements.add(&rim[..rim.len() / 2]).unwrap();
    let report = proxy.examine_with(&proxy.answer(), &endorsements);
    assert_eq!(report.verdict, Verdict::Refused);
    assert_eq!(report.first_failure().unwrap().name, NvidiaRimDigest);
}

#[test]
fn devices_that_answer_another_nonce_than_the_quote_are_refused() {
    let mut proxy = Proxy::new();
    proxy.gpu_nonce = [0x6f; 32];
    proxy.refused(&proxy.answer(), NvidiaNonce, "another nonce for the devices");
    let lying = proxy.changed(|answer| {
        let text = answer["nvidia_payload"].as_str().unwrap();
        let mut payload: Value = serde_json::from_str(text).unwrap();
        payload["nonce"] = hex(&NONCE).into();
        answer["nvidia_payload"] = payload;
    });
    proxy.refused(&lying, NvidiaNonce, "device 0: the report answers nonce 6f6f");
}

#[test]
fn a_byte_behind_a_report_is_tolerated_once() {
    let proxy = Proxy::new();
    let longer = |bytes: &'static [u8]| {
        proxy.changed(|answer| {
            let text = answer["nvidia_payload"].as_str().unwrap();
            let mut payload: Value = serde_json::from_str(text).unwrap();
            let report = payload["evidence_list"][0]["evidence"].as_str().unwrap();
            let report = subrosa_protocol::encoding::from_base64(report).unwrap();
            let report = to_base64(&[&report, bytes].concat());
            payload["evidence_list"][0]["evidence"] = report.into();
            answer["nvidia_payload"] = payload;
        })
    };
    proxy.accepted(&longer(b"\x2a"));
    proxy.refused(&longer(b"\x2a\x2a"), NvidiaPayloadPresent, "device 0");
}

#[test]
fn an_answer_without_devices_is_refused_only_where_a_gpu_is_demanded() {
    let mut proxy = Proxy::of(SimulatedCpu::TdxDstack, SimulatedGpus::None);
    for nothing in [Value::Null, "".into(), json!({ "evidence_list": [] })] {
        let answer = proxy.changed(|answer| answer["nvidia_payload"] = nothing.clone());
        proxy.policy.gpu = Gpu::Optional;
        let report = proxy.accepted(&answer);
        assert_eq!(report.outcome(NvidiaSignature), Outcome::Waived);
        assert!(!report.sentence().contains("NVIDIA"));
        proxy.policy.gpu = Gpu::Required;
        proxy.refused(&answer, NvidiaPayloadPresent, "policy demands a GPU");
    }
}

#[test]
fn the_story_of_the_start_must_be_told_and_be_true() {
    let proxy = Proxy::new();
    let untold = proxy.changed(|answer| {
        answer.as_object_mut().unwrap().remove("event_log");
    });
    let report = proxy.refused(&untold, TeeBootConfig, "held against nothing");
    assert_eq!(report.outcome(EventLogIntegrity), Outcome::Absent);
    let shorter = proxy.changed(|answer| {
        answer["event_log"].as_array_mut().unwrap().pop();
    });
    proxy.refused(&shorter, EventLogIntegrity, "the events do not give the quote's");
    let unshown = proxy.changed(|answer| {
        answer.as_object_mut().unwrap().remove("info");
    });
    let report = proxy.examine(&unshown);
    assert_eq!(report.verdict, Verdict::Refused);
    let other = proxy.changed(|answer| answer["info"]["tcb_info"]["app_compose"] = "{}".into());
    let report = proxy.examine(&other);
    assert_eq!(report.outcome(ComposeBinding), Outcome::Failed);
}

#[test]
fn a_gateway_answers_for_all_its_backends() {
    let gateway = Proxy::new();
    let wrapped = |backend: Value| {
        json!({
            "gateway_attestation": gateway.answer(),
            "model_attestations": [gateway.answer(), backend],
            "tls_certificate": "…",
        })
    };
    gateway.accepted(&wrapped(gateway.answer()));
    let only = json!({ "model_attestations": [gateway.answer()] });
    gateway.accepted(&only);
    let bad = gateway.changed(|answer| {
        answer["signing_address"] = hex(&[9; 20]).into();
    });
    gateway.refused(&wrapped(bad), TeeReportdataBinding, "model_attestations.1: report data");
}

#[test]
fn a_proxy_on_other_simulated_hardware_is_read_the_same() {
    for cpu in [SimulatedCpu::Tdx, SimulatedCpu::TdxV5, SimulatedCpu::TdxCcel] {
        let proxy = Proxy::of(cpu, SimulatedGpus::Blackwell);
        let report = proxy.refused(&proxy.answer(), EventLogIntegrity, "no event log");
        assert_eq!(report.outcome(NvidiaMeasurements), Outcome::Passed);
    }
}

#[test]
fn a_proxy_is_worth_nothing_to_a_strict_policy_and_no_bare_quote_without_collateral() {
    let mut proxy = Proxy::new();
    let answer = proxy.answer();
    let document = Document::parse(answer.to_string().as_bytes()).unwrap();
    let nothing = Endorsements::default();
    let report = examine(&document, &nothing, proxy.nonce, &proxy.policy, proxy.at);
    assert_eq!(report.first_failure().unwrap().name, IntelPcsCollateral);
    proxy.policy = Policy::strict(Releases::default());
    let report = proxy.refused(&answer, TeeCertChain, "policy pins");
    assert!(report.sentence().starts_with("refused at tee_cert_chain"));
}

#[test]
fn an_answer_that_cannot_be_read_says_which_member_is_wrong() {
    let proxy = Proxy::new();
    let member = |member: &str| member.to_owned();
    let cases: [(&str, Value, Unreadable); 12] = [
        ("intel_quote", Value::Null, Unreadable::MissingMember { member: member("intel_quote") }),
        ("intel_quote", "zz".into(), Unreadable::NotHex { member: member("intel_quote") }),
        (
            "intel_quote",
            "00".repeat(20_000).into(),
            Unreadable::MemberTooLong { member: member("intel_quote"), got: 20_000, max: 16_384 },
        ),
        (
            "signing_address",
            Value::Null,
            Unreadable::MissingMember { member: member("signing_address") },
        ),
        (
            "signing_address",
            "0xab".into(),
            Unreadable::NotHex { member: member("signing_address") },
        ),
        (
            "signing_address",
            hex(&[1; 32]).into(),
            Unreadable::NotHex { member: member("signing_address") },
        ),
        (
            "signing_algo",
            "rsa".into(),
            Unreadable::WrongType { member: member("signing_algo"), expected: "ecdsa or ed25519" },
        ),
        ("request_nonce", "ab".into(), Unreadable::NotHex { member: member("request_nonce") }),
        (
            "event_log",
            json!({}),
            Unreadable::WrongType { member: member("event_log"), expected: "a list" },
        ),
        (
            "nvidia_payload",
            json!({ "evidence_list": [{ "arch": "HOPPER", "certificate": "", "evidence": "A" }] }),
            Unreadable::NotBase64 { member: member("nvidia_payload.evidence_list.0.evidence") },
        ),
        (
            "nvidia_payload",
            json!({ "evidence_list": [{ "arch": "AMPERE", "certificate": "", "evidence": "" }] }),
            Unreadable::UnknownDevice,
        ),
        (
            "nvidia_payload",
            json!({ "evidence_list": vec![json!({}); 25] }),
            Unreadable::ListTooLong {
                member: member("nvidia_payload.evidence_list"),
                got: 25,
                max: 24,
            },
        ),
    ];
    for (name, value, expected) in cases {
        let answer = proxy.changed(|answer| answer[name] = value);
        assert_eq!(Document::parse(answer.to_string().as_bytes()), Err(expected), "{name}");
    }
    let empty = Document::parse(br#"{"gateway_attestation":null,"model_attestations":[]}"#);
    assert_eq!(empty, Err(Unreadable::MissingMember { member: member("intel_quote") }));
}

#[test]
fn a_member_that_is_used_must_not_stand_twice() {
    let proxy = Proxy::new();
    let answer = proxy.answer();
    let text = answer.to_string();
    for name in ["intel_quote", "signing_address", "request_nonce", "nvidia_payload", "event_log"] {
        let value = answer[name].to_string();
        let twice = text.replacen('{', &format!("{{\"{name}\":{value},"), 1);
        let duplicate = Unreadable::DuplicateMember { member: name.into() };
        assert_eq!(Document::parse(twice.as_bytes()), Err(duplicate));
    }
    let twice = text.replacen('{', "{\"model_name\":\"one\",", 1);
    assert!(Document::parse(twice.as_bytes()).is_ok());
}

#[test]
fn one_changed_digit_of_a_bound_member_is_refused() {
    let proxy = Proxy::new();
    let answer = proxy.answer();
    let (endorsements, text) = (proxy.endorsements(), answer.to_string());
    for name in ["intel_quote", "signing_address", "signing_public_key", "request_nonce"] {
        let value = answer[name].as_str().unwrap();
        let start = text.find(&format!("\"{name}\":\"")).unwrap() + name.len() + 4;
        for at in (2..value.len()).step_by(value.len() / 12) {
            let mut changed = text.clone().into_bytes();
            let digit = &mut changed[start + at];
            *digit = if *digit == b'0' { b'1' } else { b'0' };
            let Ok(document) = Document::parse(&changed) else { continue };
            let report = examine(&document, &endorsements, proxy.nonce, &proxy.policy, proxy.at);
            assert_eq!(report.verdict, Verdict::Refused, "{name} at {at}");
        }
    }
}
