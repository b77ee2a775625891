//! Documents of AWS Nitro: genuine ones, and every fault of made ones.

use std::collections::BTreeSet;

use ciborium::Value;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use sha2::{Digest, Sha256};
use subrosa_protocol::encoding::to_base64;
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{
    Document, Endorsements, Gpu, Kind, Machines, Outcome, Policy, Releases, Report, Root, Trust,
    Unreadable, Verdict, examine,
};
use time::OffsetDateTime;

use crate::faults::{Honest, assert_faults, assert_refused, strict};
use crate::vectors::{folder, seconds};

const GENUINE: &str = "dstack/nitro/nitro_attestation.bin";
const DEBUGGED: &str = "dstack/dstack-attest/nitro_attestation_dbg.bin";

const SENTENCE: &str = "accepted: a genuine document of AWS Nitro: AWS vouches for the enclave image in \
     tee_measurement, and nobody else does; AWS owns the machine, its hypervisor and the key, so \
     nothing is kept from AWS; says nothing about keys or models";

fn look(bytes: &[u8], nonce: Option<B256>, policy: &Policy, at: u64) -> Report {
    let document = Document::parse(bytes).unwrap();
    assert_eq!(document.kind(), Kind::NitroDocument);
    examine(&document, &Endorsements::default(), nonce, policy, Timestamp(at))
}

/// Envelopes of dstack's: the file, where the document in it ends, and its certificate's life.
const ENVELOPES: [(&str, usize, &str, &str); 2] = [
    (GENUINE, 4_531, "2025-12-25T13:15:34Z", "2025-12-25T16:15:37Z"),
    (
        "dstack/dstack-attest/nitro_attestation.bin",
        4_530,
        "2025-12-25T16:04:16Z",
        "2025-12-25T19:04:19Z",
    ),
];

#[test]
fn a_genuine_document_counts_to_the_second_of_its_certificate() {
    let Some(folder) = folder() else { return };
    for (file, _, from, until) in ENVELOPES {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        for at in [seconds(from), seconds(until)] {
            let report = look(&bytes, None, &strict(), at);
            assert_eq!(report.sentence(), SENTENCE);
            let signature = report.check(TeeQuoteSignature).unwrap();
            assert_eq!(signature.outcome, Outcome::Passed);
            assert_eq!(signature.seen, "COSE ES384 signature good");
            for name in [TeeTcbCurrent, TeeHardwareConfig, SigningKeyPresent, TeeMeasurement] {
                assert_eq!(report.outcome(name), Outcome::Absent, "{name}");
            }
        }
        for at in [seconds(from) - 1, seconds(until) + 1] {
            let words = format!("the document's certificate counts from {from} to {until}");
            assert_refused(&look(&bytes, None, &strict(), at), TeeCertChain, &words);
        }
    }
}

#[test]
fn a_genuine_document_is_read_in_every_spelling_and_what_an_envelope_adds_is_told() {
    let Some(folder) = folder() else { return };
    for (file, end, from, _) in ENVELOPES {
        let envelope = std::fs::read(folder.join(file)).unwrap();
        let bare = envelope[4..end].to_vec();
        let enveloped = format!("{} bytes of an envelope follow", envelope.len() - end);
        for (bytes, padding) in [(&bare, "nothing follows"), (&envelope, enveloped.as_str())] {
            let json = serde_json::json!({ "attestation": hex::encode(bytes) }).to_string();
            let spellings = [
                bytes.clone(),
                hex::encode(bytes).into_bytes(),
                to_base64(bytes).into_bytes(),
                json.into_bytes(),
            ];
            for spelling in spellings {
                let report = look(&spelling, None, &strict(), seconds(from));
                assert_eq!(report.sentence(), SENTENCE, "{file}");
                let seen = &report.check(TeeQuotePadding).unwrap().seen;
                assert!(seen.starts_with(padding), "{seen}");
            }
        }
        for tail in [&b"\0"[..], b"\x01", b"\xa0\xa0"] {
            let longer = [bare.as_slice(), tail].concat();
            let words = format!("{} bytes follow the document", tail.len());
            let report = look(&longer, None, &strict(), seconds(from));
            assert_refused(&report, TeeQuotePadding, &words);
        }
    }
}

#[test]
fn an_enclave_under_a_debugger_is_refused_although_its_signature_is_good() {
    let Some(folder) = folder() else { return };
    let bytes = std::fs::read(folder.join(DEBUGGED)).unwrap();
    for at in ["2025-12-25T08:20:43Z", "2025-12-25T11:20:46Z"] {
        let report = look(&bytes, None, &strict(), seconds(at));
        assert_refused(&report, TeeDebugDisabled, "PCR0 is all zero");
        assert_eq!(report.outcome(TeeQuoteSignature), Outcome::Passed);
        assert_eq!(report.outcome(TeeCertChain), Outcome::Passed);
    }
}

/// All of the document, and of the envelope what stands before it. What stands behind is told to be
/// unsigned and unread.
#[test]
fn one_changed_byte_anywhere_in_a_genuine_document_is_refused_or_unreadable() {
    let Some(folder) = folder() else { return };
    let (_, end, from, _) = ENVELOPES[0];
    let genuine = std::fs::read(folder.join(GENUINE)).unwrap();
    let (mut unreadable, mut names) = (0, BTreeSet::new());
    for at in 0..end {
        let mut changed = genuine.clone();
        changed[at] ^= 1 << (at % 8);
        let Ok(document) = Document::parse(&changed) else {
            unreadable += 1;
            continue;
        };
        let nothing = Endorsements::default();
        let report = examine(&document, &nothing, None, &strict(), Timestamp(seconds(from)));
        assert_eq!(report.verdict, Verdict::Refused, "byte {at}");
        names.insert(report.first_failure().unwrap().name);
    }
    assert!((1..=8).contains(&unreadable), "{unreadable}");
    let expected = [TeeQuoteStructure, TeeCertChain, TeeQuoteSignature];
    assert_eq!(names.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn the_user_data_of_dstacks_guest_answers_a_nonce_in_either_half() {
    let Some(folder) = folder() else { return };
    let (file, _, from, _) = ENVELOPES[1];
    let bytes = std::fs::read(folder.join(file)).unwrap();
    let data = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let report = look(&bytes, Some(data.parse().unwrap()), &strict(), seconds(from));
    assert_eq!(report.verdict, Verdict::Accepted, "{}", report.sentence());
    assert!(report.sentence().contains("Nitro, answering the nonce: AWS"));
    for (nonce, words) in [(B256::repeat_byte(7), "does not carry"), (B256::ZERO, "zero")] {
        let report = look(&bytes, Some(nonce), &strict(), seconds(from));
        assert_refused(&report, NonceMatch, words);
    }
}

#[test]
fn a_genuine_document_is_worth_nothing_where_only_simulated_hardware_counts() {
    let Some(folder) = folder() else { return };
    let bytes = std::fs::read(folder.join(GENUINE)).unwrap();
    let policy = Policy::simulated(Releases::default());
    let report = look(&bytes, None, &policy, seconds(ENVELOPES[0].2));
    assert_refused(&report, TeeCertChain, "nobody simulates Nitro");
    assert!(report.sentence().starts_with("SIMULATED"));
}

const NOW: u64 = 1_790_000_000;
const NONCE: B256 = B256::new([0x4e; 32]);

/// A certificate to be.
#[derive(Clone)]
struct Plan {
    name: &'static str,
    ca: IsCa,
    usages: Vec<KeyUsagePurpose>,
    from: u64,
    until: u64,
    p256: bool,
    extension: Option<CustomExtension>,
}

impl Plan {
    fn authority(name: &'static str, below: Option<u8>) -> Plan {
        let constraint =
            below.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained);
        Plan {
            usages: vec![KeyUsagePurpose::KeyCertSign],
            ca: IsCa::Ca(constraint),
            ..Plan::leaf(name)
        }
    }

    fn leaf(name: &'static str) -> Plan {
        Plan {
            name,
            ca: IsCa::ExplicitNoCa,
            usages: vec![KeyUsagePurpose::DigitalSignature],
            from: NOW - 100,
            until: NOW + 100,
            p256: false,
            extension: None,
        }
    }

    fn parameters(&self) -> CertificateParams {
        let moment = |seconds: u64| OffsetDateTime::from_unix_timestamp(seconds as i64).unwrap();
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, self.name);
        parameters.is_ca = self.ca;
        parameters.key_usages = self.usages.clone();
        parameters.not_before = moment(self.from);
        parameters.not_after = moment(self.until);
        parameters.custom_extensions.extend(self.extension.clone());
        parameters
    }

    fn key(&self) -> KeyPair {
        let kind = if self.p256 { &PKCS_ECDSA_P256_SHA256 } else { &PKCS_ECDSA_P384_SHA384 };
        KeyPair::generate_for(kind).unwrap()
    }
}

/// A document to be, of a cloud provider to be; honest until it is changed.
struct Made {
    authorities: Vec<Plan>,
    leaf: Plan,
    /// The payload but for certificates, and what stands in place of those that were made.
    payload: Vec<(Value, Value)>,
    protected: Vec<u8>,
    unprotected: Value,
    signature: fn(Vec<u8>) -> Vec<u8>,
    /// Changes the certificates before they go into the document.
    bundle: fn(&mut Vec<Vec<u8>>),
    /// Changes the spelled payload before it is signed.
    spelled: fn(Vec<u8>) -> Vec<u8>,
    policy: Policy,
    nonce: Option<B256>,
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn number(number: u64) -> Value {
    Value::Integer(number.into())
}

impl Made {
    fn new() -> Made {
        let pcr = |index: u64| (number(index), Value::Bytes(vec![index as u8 + 1; 48]));
        let payload = vec![
            (text("module_id"), text("i-1234-enc5678")),
            (text("digest"), text("SHA384")),
            (text("timestamp"), number(NOW * 1_000)),
            (text("pcrs"), Value::Map((0..16).map(pcr).collect())),
            (text("public_key"), Value::Null),
            (text("user_data"), Value::Bytes(b"anything".to_vec())),
            (text("nonce"), Value::Bytes(NONCE.to_vec())),
        ];
        let mut policy = Policy::simulated(Releases::default());
        policy.trust = Trust::Simulated;
        Made {
            authorities: vec![
                Plan::authority("root", None),
                Plan::authority("region", Some(1)),
                Plan::authority("machine", Some(0)),
            ],
            leaf: Plan::leaf("enclave"),
            payload,
            protected: vec![0xa1, 0x01, 0x38, 0x22],
            unprotected: Value::Map(vec![]),
            signature: |signature| signature,
            bundle: |_| {},
            spelled: |payload| payload,
            policy,
            nonce: Some(NONCE),
        }
    }

    /// Puts a member in the place of another, or beside them all.
    fn set(&mut self, name: &str, value: Value) {
        self.payload.retain(|(known, _)| *known != text(name));
        self.payload.push((text(name), value));
    }

    /// The bytes, and the root that was made for them.
    fn bytes(&self) -> (Vec<u8>, B256) {
        let plans = || self.authorities.iter().chain([&self.leaf]);
        let keys: Vec<KeyPair> = plans().map(Plan::key).collect();
        let mut certificates: Vec<Vec<u8>> = Vec::new();
        for (at, plan) in plans().enumerate() {
            let parameters = plan.parameters();
            let certificate = match at.checked_sub(1) {
                None => parameters.self_signed(&keys[0]).unwrap(),
                Some(above) => {
                    let issuer = self.authorities[above].parameters();
                    let issuer = Issuer::from_params(&issuer, &keys[above]);
                    parameters.signed_by(&keys[at], &issuer).unwrap()
                }
            };
            certificates.push(certificate.der().to_vec());
        }
        let root = B256::from(<[u8; 32]>::from(Sha256::digest(&certificates[0])));
        (self.bundle)(&mut certificates);
        let leaf = certificates.pop().unwrap();
        let mut payload = self.payload.clone();
        let mut unless_there = |name: &str, value: Value| {
            if !payload.iter().any(|(known, _)| *known == text(name)) {
                payload.push((text(name), value));
            }
        };
        unless_there("certificate", Value::Bytes(leaf));
        unless_there(
            "cabundle",
            Value::Array(certificates.into_iter().map(Value::Bytes).collect()),
        );
        payload.retain(|(_, value)| *value != Value::Tag(0, Box::new(Value::Null)));
        let payload = (self.spelled)(cbor(&Value::Map(payload)));
        let message = cbor(&Value::Array(vec![
            text("Signature1"),
            Value::Bytes(self.protected.clone()),
            Value::Bytes(vec![]),
            Value::Bytes(payload.clone()),
        ]));
        let signature = match self.leaf.p256 {
            true => vec![1; 96],
            false => sign(keys.last().unwrap(), &message),
        };
        let bytes = cbor(&Value::Array(vec![
            Value::Bytes(self.protected.clone()),
            self.unprotected.clone(),
            Value::Bytes(payload),
            Value::Bytes((self.signature)(signature)),
        ]));
        (bytes, root)
    }

    /// The bytes, and the policy that trusts the root that was made for them.
    fn bytes_and_policy(&self) -> (Vec<u8>, Policy) {
        let (bytes, root) = self.bytes();
        let mut policy = self.policy.clone();
        if policy.trust == Trust::Simulated {
            policy.roots.nitro = Root::Sha256(root);
        }
        (bytes, policy)
    }
}

impl Honest for Made {
    fn honest() -> Made {
        Made::new()
    }

    fn report(&self) -> Report {
        let (bytes, policy) = self.bytes_and_policy();
        look(&bytes, self.nonce, &policy, NOW)
    }
}

/// Stands for a member that is left out.
fn nothing() -> Value {
    Value::Tag(0, Box::new(Value::Null))
}

fn cbor(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn sign(key: &KeyPair, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let der = key.serialize_der();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &der, &random).unwrap();
    key.sign(&random, message).unwrap().as_ref().to_vec()
}

#[test]
fn a_made_document_passes_under_its_own_root_and_says_so() {
    let report = Made::new().report();
    let sentence = report.sentence();
    assert_eq!(report.verdict, Verdict::Accepted, "{sentence}");
    let start = "SIMULATED, which proves nothing about hardware: accepted: a genuine document of AWS \
                 Nitro, answering the nonce: ";
    assert!(sentence.starts_with(start), "{sentence}");
    for name in [NonceMatch, TeeQuoteStructure, TeeQuotePadding, TeeCertChain, TeeDebugDisabled] {
        assert_eq!(report.outcome(name), Outcome::Passed, "{name}");
    }
    assert_eq!(report.outcome(CpuIdRegistry), Outcome::Waived);
}

#[test]
fn a_made_document_counts_to_the_second_of_its_certificate() {
    let mut made = Made::new();
    for authority in &mut made.authorities {
        (authority.from, authority.until) = (NOW - 1_000, NOW + 1_000);
    }
    let (from, until) = (made.leaf.from, made.leaf.until);
    made.set("timestamp", number(from * 1_000));
    let (bytes, policy) = made.bytes_and_policy();
    for at in [from, NOW, until] {
        let report = look(&bytes, made.nonce, &policy, at);
        assert_eq!(report.verdict, Verdict::Accepted, "{}", report.sentence());
    }
    let words =
        "the document's certificate counts from 2026-09-21T14:11:40Z to 2026-09-21T14:15:00Z";
    for at in [from - 900, from - 1, until + 1, until + 900] {
        assert_refused(&look(&bytes, made.nonce, &policy, at), TeeCertChain, words);
    }
    for at in [0, from - 901, until + 901, u64::MAX] {
        let words = "certificate 0 of the bundle counts from 2026-09-21T13:56:40Z";
        assert_refused(&look(&bytes, made.nonce, &policy, at), TeeCertChain, words);
    }
}

/// dstack's envelope around a document, with something behind it.
fn envelope(document: &[u8], beside: &[u8]) -> Vec<u8> {
    let length = u16::try_from(document.len() << 2 | 0b01).unwrap().to_le_bytes();
    [&[0, 2], &length[..], document, beside].concat()
}

#[test]
fn a_made_document_is_read_bare_and_in_an_envelope_and_nothing_follows_it() {
    let made = Made::new();
    let (bare, policy) = made.bytes_and_policy();
    let look = |bytes: &[u8]| look(bytes, made.nonce, &policy, NOW);
    for (bytes, seen) in [
        (bare.clone(), "nothing follows"),
        (envelope(&bare, b""), "nothing follows"),
        (envelope(&bare, b"\0"), "1 bytes of an envelope follow, unsigned and not read"),
        (envelope(&bare, &[7; 900]), "900 bytes of an envelope follow, unsigned and not read"),
    ] {
        let report = look(&bytes);
        assert_eq!(report.verdict, Verdict::Accepted, "{}", report.sentence());
        assert_eq!(report.check(TeeQuotePadding).unwrap().seen, seen);
    }
    for tail in [&b"\0"[..], b"\n", b"\x01", b"\0\0", b"\xa0\xa0", &bare] {
        let longer = [&bare, tail].concat();
        let words = format!("{} bytes follow the document", tail.len());
        assert_refused(&look(&longer), TeeQuotePadding, &words);
        assert_refused(&look(&envelope(&longer, b"")), TeeQuotePadding, &words);
        assert_refused(&look(&envelope(&longer, &[7; 900])), TeeQuotePadding, &words);
    }
    let cut = &bare[..bare.len() - 1];
    assert_refused(&look(&envelope(cut, b"")), TeeQuoteStructure, "the document is not CBOR");
    assert_refused(&look(&envelope(cut, &bare)), TeeQuoteStructure, "the document is not CBOR");
    let good = envelope(&bare, b"");
    for (at, byte) in [(0, 1), (1, 0), (1, 1), (1, 3), (2, good[2] ^ 1), (3, 0xff)] {
        let mut other = good.clone();
        other[at] = byte;
        assert_eq!(Document::parse(&other), Err(Unreadable::UnknownDocument), "byte {at}: {byte}");
    }
}

#[test]
fn headers_and_signatures_of_another_kind_are_refused_by_name() {
    assert_faults::<Made>(&[
        // ES256, ES512, EdDSA, none at all.
        (|made| made.protected = vec![0xa1, 1, 0x26], TeeQuoteStructure, "than ES384"),
        (|made| made.protected = vec![0xa1, 1, 0x38, 0x23], TeeQuoteStructure, "than ES384"),
        (|made| made.protected = vec![0xa1, 1, 0x27], TeeQuoteStructure, "than ES384"),
        (|made| made.protected = vec![0xa0], TeeQuoteStructure, "than ES384"),
        (|made| made.protected = vec![], TeeQuoteStructure, "than ES384"),
        // A key's name beside it; the algorithm twice; rubbish.
        (
            |made| made.protected = vec![0xa2, 1, 0x38, 0x22, 4, 0x41, 7],
            TeeQuoteStructure,
            "more than the algorithm",
        ),
        (
            |made| made.protected = vec![0xa2, 1, 0x38, 0x22, 1, 0x38, 0x22],
            TeeQuoteStructure,
            "no COSE_Sign1",
        ),
        (|made| made.protected = vec![0xff], TeeQuoteStructure, "no COSE_Sign1"),
        (
            |made| made.unprotected = Value::Map(vec![(number(4), Value::Bytes(vec![7]))]),
            TeeQuoteStructure,
            "more than the algorithm",
        ),
        (|made| made.unprotected = Value::Null, TeeQuoteStructure, "no COSE_Sign1"),
        (|made| made.signature = |it| it[1..].to_vec(), TeeQuoteStructure, "signature is 95 long"),
        (|made| made.signature = |_| vec![], TeeQuoteStructure, "signature is 0 long"),
        (|made| made.signature = |_| vec![0; 96], TeeQuoteSignature, "COSE ES384 signature"),
        (|made| made.signature = |_| vec![0xff; 96], TeeQuoteSignature, "COSE ES384 signature"),
    ]);
}

#[test]
fn payloads_of_another_shape_are_refused_by_name() {
    assert_faults::<Made>(&[
        (|made| made.spelled = |_| vec![], TeeQuoteStructure, "the payload is not CBOR"),
        (|made| made.spelled = |_| vec![0x80], TeeQuoteStructure, "payload has a value"),
        (
            |made| {
                made.spelled = |mut it| {
                    it.push(0);
                    it
                }
            },
            TeeQuoteStructure,
            "1 bytes follow in",
        ),
        (|made| made.spelled = |it| it[..it.len() - 1].to_vec(), TeeQuoteStructure, "not CBOR"),
        // Deeper than any document.
        (|made| made.spelled = |_| vec![0x81; 64], TeeQuoteStructure, "not CBOR"),
        // A list of more entries than there is memory.
        (
            |made| made.spelled = |_| vec![0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            TeeQuoteStructure,
            "not CBOR",
        ),
        (
            |made| made.payload.push((text("digest"), text("SHA384"))),
            TeeQuoteStructure,
            "payload has a member twice",
        ),
        (|made| made.set("extra", number(1)), TeeQuoteStructure, "unknown member"),
        (|made| made.payload.push((number(1), number(1))), TeeQuoteStructure, "name has a value"),
        (|made| made.set("digest", text("SHA256")), TeeQuoteStructure, "another digest"),
        (|made| made.set("digest", text("sha384")), TeeQuoteStructure, "another digest"),
        (|made| made.set("digest", nothing()), TeeQuoteStructure, "digest is missing"),
        (|made| made.set("module_id", text("")), TeeQuoteStructure, "module_id is 0 long"),
        (
            |made| made.set("module_id", text(&"m".repeat(129))),
            TeeQuoteStructure,
            "module_id is 129 long",
        ),
        (|made| made.set("module_id", number(1)), TeeQuoteStructure, "module_id has a value"),
        (|made| made.set("module_id", text("i-1 2")), TeeQuoteStructure, "module_id has a value"),
        (|made| made.set("module_id", text("i-\u{202e}1")), TeeQuoteStructure, "module_id has"),
        (|made| made.set("timestamp", text("now")), TeeQuoteStructure, "timestamp has a value"),
        (
            |made| made.set("timestamp", Value::Integer((-1).into())),
            TeeQuoteStructure,
            "timestamp has a value",
        ),
        (
            |made| made.set("user_data", Value::Bytes(vec![1; 513])),
            TeeQuoteStructure,
            "user_data is 513 long",
        ),
        (
            |made| made.set("nonce", Value::Bytes(vec![1; 513])),
            TeeQuoteStructure,
            "nonce is 513 long",
        ),
        (
            |made| made.set("public_key", Value::Bytes(vec![1; 1_025])),
            TeeQuoteStructure,
            "public_key is 1025 long",
        ),
        (|made| made.set("public_key", text("key")), TeeQuoteStructure, "public_key has a value"),
        (|made| made.set("certificate", nothing()), TeeQuoteStructure, "certificate is missing"),
        (
            |made| made.set("certificate", Value::Bytes(vec![])),
            TeeQuoteStructure,
            "certificate is 0 long",
        ),
        (
            |made| made.set("certificate", Value::Bytes(vec![0x30; 1_025])),
            TeeQuoteStructure,
            "certificate is 1025 long",
        ),
        (
            |made| made.set("cabundle", Value::Array(vec![])),
            TeeQuoteStructure,
            "cabundle is 0 long",
        ),
        (
            |made| made.set("cabundle", Value::Array(vec![Value::Bytes(vec![1]); 9])),
            TeeQuoteStructure,
            "cabundle is 9 long",
        ),
        (|made| made.set("cabundle", Value::Null), TeeQuoteStructure, "cabundle has a value"),
    ]);
}

fn pcrs(entries: Vec<(Value, Value)>) -> Value {
    Value::Map(entries)
}

#[test]
fn registers_of_another_number_or_length_are_refused_by_name() {
    let register = |index: u64, bytes: usize| (number(index), Value::Bytes(vec![1; bytes]));
    let all = || (0..3).map(|index| register(index, 48)).collect::<Vec<_>>();
    let with = |more: (Value, Value)| pcrs([all(), vec![more]].concat());
    let cases: Vec<(Value, &str)> = vec![
        (pcrs(vec![]), "a register of the image"),
        (pcrs(all()[..2].to_vec()), "a register of the image"),
        (pcrs(all()[1..].to_vec()), "a register of the image"),
        (with(register(0, 48)), "pcrs has a member twice"),
        (with(register(32, 48)), "pcrs has a value of another type"),
        (with((Value::Integer((-1).into()), Value::Bytes(vec![1; 48]))), "another type"),
        (with((text("3"), Value::Bytes(vec![1; 48]))), "another type"),
        (with((number(3), text("register"))), "another type"),
        (with(register(3, 32)), "pcrs is 32 long"),
        (with(register(3, 64)), "pcrs is 64 long"),
        (with(register(3, 0)), "pcrs is 0 long"),
        (Value::Array(vec![]), "another type"),
    ];
    for (value, words) in cases {
        let mut made = Made::new();
        made.set("pcrs", value);
        assert_refused(&made.report(), TeeQuoteStructure, words);
    }
    let mut made = Made::new();
    made.set("pcrs", with(register(31, 48)));
    assert_eq!(made.report().verdict, Verdict::Accepted);
}

#[test]
fn a_clock_may_be_a_minute_apart_from_that_of_aws() {
    let mut made = Made::new();
    made.set("timestamp", number((NOW + 60) * 1_000 + 999));
    let report = made.report();
    assert_eq!(report.verdict, Verdict::Accepted, "{}", report.sentence());
}

#[test]
fn a_register_of_the_image_that_is_zero_is_debug_mode() {
    for zero in 0..3 {
        let register =
            |index: u64| (number(index), Value::Bytes(vec![if index == zero { 0 } else { 9 }; 48]));
        let mut made = Made::new();
        made.set("pcrs", pcrs((0..16).map(register).collect()));
        let report = made.report();
        assert_refused(&report, TeeDebugDisabled, &format!("PCR{zero} is all zero"));
        assert_eq!(report.outcome(TeeQuoteSignature), Outcome::Passed);
    }
}

#[test]
fn chains_that_do_not_lead_from_the_pinned_root_to_a_signer_are_refused_by_name() {
    let critical = || {
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        extension.set_criticality(true);
        Some(extension)
    };
    assert_faults::<Made>(&[
        (|made| made.policy = strict(), TeeCertChain, "which policy does not pin"),
        (|made| made.bundle = |all| all[..3].reverse(), TeeCertChain, "does not pin"),
        (|made| made.bundle = |all| all.swap(1, 2), TeeCertChain, "1 of the bundle names another"),
        (|made| made.bundle = |all| drop(all.remove(1)), TeeCertChain, "1 of the bundle names"),
        (|made| made.bundle = |all| drop(all.remove(2)), TeeCertChain, "certificate names another"),
        (|made| made.bundle = |all| all[3][60] ^= 1, TeeCertChain, "the document's certificate"),
        (|made| made.bundle = |all| all[1].push(0), TeeCertChain, "1 of the bundle is not strict"),
        (|made| made.bundle = |all| all[3] = vec![0x30], TeeCertChain, "certificate is not strict"),
        (
            |made| made.authorities[1].ca = IsCa::ExplicitNoCa,
            TeeCertChain,
            "1 of the bundle is of no",
        ),
        (|made| made.authorities[1].ca = IsCa::NoCa, TeeCertChain, "1 of the bundle is of no"),
        (
            |made| made.authorities[2].usages = vec![KeyUsagePurpose::DigitalSignature],
            TeeCertChain,
            "2 of the bundle is of no",
        ),
        (|made| made.authorities[2].usages = vec![], TeeCertChain, "2 of the bundle is of no"),
        (
            |made| made.authorities[1] = Plan::authority("region", Some(0)),
            TeeCertChain,
            "1 of the bundle allows fewer",
        ),
        (
            |made| made.authorities[0] = Plan::authority("root", Some(1)),
            TeeCertChain,
            "0 of the bundle allows fewer",
        ),
        (
            |made| {
                made.leaf = Plan::authority("enclave", Some(0));
                made.leaf.usages.push(KeyUsagePurpose::DigitalSignature);
            },
            TeeCertChain,
            "the document's certificate is of an authority",
        ),
        (
            |made| made.leaf.usages = vec![KeyUsagePurpose::KeyEncipherment],
            TeeCertChain,
            "key that is not for signatures",
        ),
        (|made| made.leaf.usages = vec![], TeeCertChain, "key that is not for signatures"),
        (|made| made.authorities[0].until = NOW - 1, TeeCertChain, "0 of the bundle counts from"),
        (|made| made.authorities[1].from = NOW + 1, TeeCertChain, "1 of the bundle counts from"),
        (|made| made.leaf.until = NOW - 1, TeeCertChain, "the document's certificate counts from"),
        (|made| made.leaf.from = NOW + 1, TeeCertChain, "the document's certificate counts from"),
        (
            |made| made.set("timestamp", number((NOW - 101) * 1_000)),
            TeeCertChain,
            "when its certificate did not count",
        ),
        (
            |made| made.set("timestamp", number((NOW + 61) * 1_000)),
            TeeCertChain,
            "the document is of 2026-09-21T14:14:21Z, which is to come",
        ),
        (|made| made.set("timestamp", number(u64::MAX)), TeeCertChain, "which is to come"),
        (|made| made.authorities[2].p256 = true, TeeCertChain, "not signed with ECDSA P-384"),
        (|made| made.leaf.p256 = true, TeeQuoteSignature, "COSE ES384 signature"),
    ]);
    for at in 0..3 {
        let mut made = Made::new();
        made.authorities[at].extension = critical();
        let words = format!("certificate {at} of the bundle is of no");
        assert_refused(&made.report(), TeeCertChain, &words);
    }
    let mut made = Made::new();
    made.leaf.extension = critical();
    assert_refused(&made.report(), TeeCertChain, "the document's certificate is of an authority");
}

#[test]
fn a_document_answers_exactly_the_nonce_that_was_sent() {
    let halves = |first: u8, second: u8| {
        let mut made = Made::new();
        made.set("nonce", Value::Null);
        made.set("user_data", Value::Bytes([[first; 32], [second; 32]].concat()));
        made.report()
    };
    for report in [Made::new().report(), halves(0x4e, 1), halves(1, 0x4e), halves(0x4e, 0x4e)] {
        assert_eq!(report.outcome(NonceMatch), Outcome::Passed, "{}", report.sentence());
    }
    assert_refused(&halves(1, 2), NonceMatch, "the user data 0101");
    let with = |nonce: Value, user_data: Value| {
        let mut made = Made::new();
        made.set("nonce", nonce);
        made.set("user_data", user_data);
        made.report()
    };
    let ours = || NONCE.to_vec();
    let doubled = || Value::Bytes([ours(), ours()].concat());
    for (nonce, user_data, words) in [
        (Value::Bytes(vec![1; 32]), Value::Null, "the document answers 0101"),
        (Value::Bytes(ours()[1..].to_vec()), Value::Null, "the document answers 4e"),
        (Value::Bytes([ours(), vec![0]].concat()), Value::Null, "the document answers 4e"),
        (Value::Bytes(vec![]), Value::Null, "the document answers , we"),
        // Where there is a nonce, user data does not stand in for it.
        (Value::Bytes(vec![1; 32]), doubled(), "the document answers 0101"),
        (Value::Null, Value::Null, "the document answers no nonce"),
        (Value::Null, Value::Bytes(ours()), "the document answers no nonce"),
        (Value::Null, Value::Bytes([ours(), vec![0; 33]].concat()), "answers no nonce"),
    ] {
        assert_refused(&with(nonce, user_data), NonceMatch, words);
    }
    let mut made = Made::new();
    made.nonce = Some(B256::ZERO);
    made.set("nonce", Value::Bytes(vec![0; 32]));
    assert_refused(&made.report(), NonceMatch, "a nonce of zero asks for nothing");
}

#[test]
fn a_policy_that_lists_machines_demands_a_gpu_or_a_nonce_refuses_what_aws_cannot_say() {
    assert_faults::<Made>(&[
        (|made| made.policy.machines = Machines::Listed(vec![]), CpuIdRegistry, "no machine"),
        (|made| made.policy.gpu = Gpu::Required, NvidiaPayloadPresent, "nothing about devices"),
        (
            |made| {
                made.nonce = None;
                made.policy.absent.nitro_document.retain(|name| *name != NonceMatch);
            },
            NonceMatch,
            "no nonce was given",
        ),
        (
            |made| made.policy.absent.nitro_document.retain(|name| *name != TeeTcbCurrent),
            TeeTcbCurrent,
            "AWS alone vouches",
        ),
    ]);
    let (bytes, root) = Made::new().bytes();
    let mut contradicting = strict();
    contradicting.roots.nitro = Root::Sha256(root);
    let report = look(&bytes, None, &contradicting, NOW);
    assert_refused(&report, TeeCertChain, "only trust = \"simulated\" allows");
}

#[test]
fn another_spelling_of_the_same_document_is_refused() {
    let (bytes, root) = Made::new().bytes();
    let mut policy = Policy::simulated(Releases::default());
    policy.roots.nitro = Root::Sha256(root);
    assert_eq!(look(&bytes, Some(NONCE), &policy, NOW).verdict, Verdict::Accepted);
    // A byte string whose length has one byte more than it needs, at the front and further on.
    let longer_header = [&bytes[..1], &[0x58, 4], &bytes[2..]].concat();
    let longer = look(&longer_header, Some(NONCE), &policy, NOW);
    assert_refused(&longer, TeeQuoteStructure, "not spelled canonically");
    assert_eq!(bytes[6..8], [0xa0, 0x59]);
    let longer_payload = [&bytes[..7], &[0x5a, 0, 0], &bytes[8..]].concat();
    let longer = look(&longer_payload, Some(NONCE), &policy, NOW);
    assert_refused(&longer, TeeQuoteStructure, "not spelled canonically");
    // With a tag, or a list without a length, it begins as something else.
    for other in [[&[0xd2], &bytes[..]].concat(), [&[0x9f], &bytes[1..], &[0xff]].concat()] {
        assert_eq!(Document::parse(&other), Err(Unreadable::UnknownDocument));
    }
}

#[test]
fn a_document_cut_anywhere_is_refused_or_unreadable() {
    let (bytes, root) = Made::new().bytes();
    let mut policy = Policy::simulated(Releases::default());
    policy.roots.nitro = Root::Sha256(root);
    for length in 0..bytes.len() {
        match Document::parse(&bytes[..length]) {
            Ok(document) => {
                let nothing = Endorsements::default();
                let report = examine(&document, &nothing, None, &policy, Timestamp(NOW));
                assert_refused(&report, TeeQuoteStructure, "the document is not CBOR");
            }
            Err(_) => assert!(length < 2, "cut at {length}"),
        }
    }
    let long = [bytes, vec![0; 16 * 1024]].concat();
    assert!(matches!(Document::parse(&long), Err(Unreadable::TooLong { .. })));
}

proptest! {
    #[test]
    fn any_bytes_that_begin_as_a_nitro_document_are_refused_without_a_panic(
        rest in proptest::collection::vec(any::<u8>(), 0..600),
        payload in any::<bool>(),
    ) {
        let bytes = match payload {
            true => cbor(&Value::Array(vec![
                Value::Bytes(vec![0xa1, 1, 0x38, 0x22]),
                Value::Map(vec![]),
                Value::Bytes(rest),
                Value::Bytes(vec![1; 96]),
            ])),
            false => [&[0x84, 0x44, 0xa1, 1, 0x38, 0x22, 0xa0][..], &rest].concat(),
        };
        let report = look(&bytes, Some(NONCE), &strict(), NOW);
        prop_assert_eq!(report.verdict, Verdict::Refused);
        prop_assert_eq!(report.first_failure().unwrap().name, TeeQuoteStructure);
    }
}
