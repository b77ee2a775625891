//! Files of real machines, given as a user gives them: the verdict, the check, and the words.

use std::path::Path;

use proptest::prelude::*;
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{
    AmdProduct, AmdTcb, CheckName, Cpu, Demand, Document, Endorsements, Kind, Outcome, Policy,
    Releases, Report, Unreadable, Verdict, examine,
};

use crate::vectors::{folder, seconds};

/// A file, what is given beside it, and when.
struct Given<'a> {
    folder: &'a Path,
    document: Document,
    endorsements: Endorsements,
    nonce: Option<B256>,
    policy: Policy,
    at: Timestamp,
}

impl<'a> Given<'a> {
    fn new(folder: &'a Path, file: &str, at: &str) -> Given<'a> {
        Given {
            folder,
            document: Document::parse(&read(folder, file)).unwrap(),
            endorsements: Endorsements::default(),
            nonce: None,
            policy: Policy::strict(Releases::default()),
            at: Timestamp(seconds(at)),
        }
    }

    fn with(mut self, files: &[&str]) -> Given<'a> {
        for file in files {
            self.endorsements.add(&read(self.folder, file)).unwrap_or_else(|error| {
                panic!("{file}: {error}");
            });
        }
        self
    }

    fn report(&self) -> Report {
        examine(&self.document, &self.endorsements, self.nonce, &self.policy, self.at)
    }

    #[track_caller]
    fn accepted(&self, sentence: &str) -> Report {
        let report = self.report();
        assert_eq!(report.verdict, Verdict::Accepted, "{}", report.sentence());
        assert_eq!(report.sentence(), sentence);
        assert!(report.checks.iter().all(|check| check.outcome != Outcome::Failed));
        report
    }

    #[track_caller]
    fn refused(&self, name: CheckName, words: &str) -> Report {
        let report = self.report();
        assert_eq!(report.verdict, Verdict::Refused);
        let failed = report.first_failure().unwrap();
        assert_eq!(failed.name, name, "{}", report.sentence());
        assert!(failed.seen.contains(words), "{words:?} expected: {}", report.sentence());
        let sentence = report.sentence();
        assert!(sentence.starts_with(&format!("refused at {name}: {}", failed.seen)), "{sentence}");
        report
    }
}

fn read(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

const TDX: &str =
    "accepted: genuine, current Intel TDX hardware; says nothing about keys, software or models";

const NO_FLOOR: AmdTcb = AmdTcb { fmc: 0, boot_loader: 0, tee: 0, snp: 0, microcode: 0 };

const NEAR: [&str; 1] = ["dcap-qvl/near/quote_collateral.json"];
const V5: [&str; 1] = ["dcap-qvl/tdx_quote_outdated_collateral.json"];

/// Answers of Intel's service in early 2025, each file as it was sent.
const EARLY_2025: [&str; 6] = [
    "automata-dcap-rs/tcbinfov3_00806f050000.json",
    "automata-dcap-rs/qeidentityv2_apiv4.json",
    "automata-dcap-rs/pck_certchain.pem",
    "automata-dcap-rs/tcb_signing_cert.pem",
    "automata-dcap-rs/pck_platform_crl.der",
    "automata-dcap-rs/intel_root_ca_crl.der",
];

#[test]
fn bare_tdx_quotes_of_every_spelling_are_genuine_current_hardware_and_nothing_more() {
    let Some(folder) = folder() else { return };
    let cases: [(&str, &[&str], &str); 6] = [
        ("dcap-qvl/tdx_quote", &["dcap-qvl/tdx_quote_collateral.json"], "2025-06-19T10:32:27Z"),
        ("dcap-qvl/near/quote_hex.txt", &NEAR, "2025-09-02T07:41:59Z"),
        ("private-ml-sdk/sample_dstack_quote.json", &NEAR, "2025-10-02T07:03:50Z"),
        ("dstack/verifier/quote-report.json", &V5, "2026-02-18T10:58:51Z"),
        ("go-tdx-guest/quote_v5_sample.dat", &V5, "2026-03-20T10:41:14Z"),
        ("go-tdx-guest/ccel/cos-113-tdx-quote.dat", &EARLY_2025, "2025-03-15T03:39:00Z"),
    ];
    for (file, endorsements, at) in cases {
        let given = Given::new(&folder, file, at).with(endorsements);
        assert_eq!(given.document.kind(), Kind::Quote(Cpu::Tdx), "{file}");
        let report = given.accepted(TDX);
        assert_eq!(report.outcome(TeeReportdataBinding), Outcome::Absent);
        assert_eq!(report.outcome(NonceMatch), Outcome::Absent);
        assert_eq!(report.outcome(TeeMeasurement), Outcome::Absent);
        assert_eq!(report.outcome(NvidiaSignature), Outcome::Absent);
        assert!(report.check(TeeReportdataBinding).unwrap().seen.starts_with("report data "));
    }
}

#[test]
fn the_zeros_behind_a_quote_are_told() {
    let Some(folder) = folder() else { return };
    let padding = |file: &str, endorsements: &[&str], at: &str| {
        let report = Given::new(&folder, file, at).with(endorsements).accepted(TDX);
        report.check(TeeQuotePadding).unwrap().seen.clone()
    };
    assert_eq!(
        padding("dcap-qvl/near/quote_hex.txt", &NEAR, "2025-09-10T00:00:00Z"),
        "70 zeros follow"
    );
    let v5 = padding("go-tdx-guest/quote_v5_sample.dat", &V5, "2026-03-01T00:00:00Z");
    assert_eq!(v5, "nothing follows");
    let cos = "go-tdx-guest/ccel/cos-113-tdx-quote.dat";
    let cos = padding(cos, &EARLY_2025, "2025-03-01T00:00:00Z");
    assert!(cos.ends_with(" zeros follow"), "{cos}");
}

#[test]
fn any_other_byte_behind_a_quote_refuses_it() {
    let Some(folder) = folder() else { return };
    let at = "2026-03-01T00:00:00Z";
    let quote = read(&folder, "go-tdx-guest/quote_v5_sample.dat");
    for tail in [&b"\x01"[..], b"\0\0\n", b"}", b"\0\0\0\0\0\0\0\xff"] {
        let mut given = Given::new(&folder, "go-tdx-guest/quote_v5_sample.dat", at).with(&V5);
        given.document = Document::parse(&[&quote, tail].concat()).unwrap();
        given.refused(TeeQuotePadding, &format!("{} bytes follow the quote", tail.len()));
    }
    let file = "go-tdx-guest/tdx_prod_quote_SPR_E4.dat";
    Given::new(&folder, file, "2023-07-01T00:00:00Z").refused(TeeQuotePadding, "bytes follow");
}

#[test]
fn the_log_and_the_compose_file_of_a_start_are_checked_where_they_are_given() {
    let Some(folder) = folder() else { return };
    let at = "2025-09-10T00:00:00Z";
    let quote = || Given::new(&folder, "private-ml-sdk/sample_dstack_quote.json", at).with(&NEAR);
    let report = quote().accepted(TDX);
    assert_eq!(report.outcome(EventLogIntegrity), Outcome::Passed);
    assert_eq!(report.outcome(ComposeBinding), Outcome::Absent);

    let report = quote().with(&["private-ml-sdk/sample_dstack_info.json"]).accepted(TDX);
    assert_eq!(report.outcome(ComposeBinding), Outcome::Passed);
    assert_eq!(report.outcome(TeeBootConfig), Outcome::Passed);
    assert!(report.check(ComposeBinding).unwrap().seen.contains("62dd36d2"));

    let cos = "go-tdx-guest/ccel/cos-113-tdx-quote.dat";
    let cos = Given::new(&folder, cos, "2025-03-01T00:00:00Z").with(&EARLY_2025);
    let report = cos.with(&["go-tdx-guest/ccel/ccel_data.dat"]).accepted(TDX);
    assert_eq!(report.outcome(EventLogIntegrity), Outcome::Passed);
}

#[test]
fn the_log_of_another_start_is_refused() {
    let Some(folder) = folder() else { return };
    let v5 = "go-tdx-guest/quote_v5_sample.dat";
    let given = Given::new(&folder, v5, "2026-03-01T00:00:00Z").with(&V5);
    given
        .with(&["go-tdx-guest/ccel/ccel_data.dat"])
        .refused(EventLogIntegrity, "the events do not give the quote's RTMR0");

    let mut info: serde_json::Value =
        serde_json::from_slice(&read(&folder, "private-ml-sdk/sample_dstack_info.json")).unwrap();
    let compose = info["tcb_info"]["app_compose"].as_str().unwrap().replacen("AUTH", "EVIL", 1);
    info["tcb_info"]["app_compose"] = compose.into();
    let at = "2025-09-10T00:00:00Z";
    let mut given = Given::new(&folder, "private-ml-sdk/sample_dstack_quote.json", at).with(&NEAR);
    given.endorsements.add(info.to_string().as_bytes()).unwrap();
    given.refused(TeeBootConfig, "MRCONFIGID");
    assert_eq!(given.report().outcome(ComposeBinding), Outcome::Failed);
}

#[test]
fn a_nonce_is_found_in_either_half_of_the_report_data() {
    let Some(folder) = folder() else { return };
    let near =
        || Given::new(&folder, "dcap-qvl/near/quote_hex.txt", "2025-09-10T00:00:00Z").with(&NEAR);
    let shown = near().report().check(TeeReportdataBinding).unwrap().seen.clone();
    let data = shown.split_whitespace().nth(2).unwrap().trim_end_matches(':').to_owned();
    let half = |range: std::ops::Range<usize>| data[range].parse::<B256>().unwrap();
    let fresh = "accepted: genuine, current Intel TDX hardware, answering the nonce; says nothing \
                 about keys, software or models";
    for nonce in [half(0..64), half(64..128)].into_iter().filter(|nonce| !nonce.is_zero()) {
        let report = Given { nonce: Some(nonce), ..near() }.accepted(fresh);
        assert_eq!(report.outcome(NonceMatch), Outcome::Passed);
    }
    for wrong in [B256::repeat_byte(7), half(32..96)] {
        Given { nonce: Some(wrong), ..near() }.refused(NonceMatch, "does not carry it");
    }
    let zero = Given { nonce: Some(B256::ZERO), ..near() };
    zero.refused(NonceMatch, "a nonce of zero asks for nothing");
    let sample = "private-ml-sdk/sample_dstack_quote.json";
    let sample = Given::new(&folder, sample, "2025-09-10T00:00:00Z").with(&NEAR);
    let both = Given { nonce: Some(B256::repeat_byte(1)), ..sample }.accepted(fresh);
    assert!(both.check(NonceMatch).unwrap().seen.starts_with("both halves"));
}

#[test]
fn hardware_that_lacks_updates_is_refused_with_its_advisories() {
    let Some(folder) = folder() else { return };
    let file = "automata-dcap-rs/quote_tdx_00806f050000.dat";
    let given = Given::new(&folder, file, "2025-02-15T00:00:00Z").with(&EARLY_2025);
    for advisory in ["OutOfDate", "INTEL-SA-00960", "INTEL-SA-00982", "INTEL-SA-00986"] {
        given.refused(TeeTcbCurrent, advisory);
    }
    for at in ["2025-06-19T10:56:11Z", "2025-07-19T10:01:18Z"] {
        let given = Given::new(&folder, "dcap-qvl/sgx_quote", at)
            .with(&["dcap-qvl/sgx_quote_collateral.json"]);
        assert_eq!(given.document.kind(), Kind::Quote(Cpu::Sgx));
        for words in ["ConfigurationAndSWHardeningNeeded", "INTEL-SA-00289", "INTEL-SA-00615"] {
            given.refused(TeeTcbCurrent, words);
        }
    }
}

#[test]
fn a_platform_without_a_matching_level_is_refused() {
    let Some(folder) = folder() else { return };
    let words = "No matching TCB level found";
    let outdated = "dcap-qvl/tdx_quote_outdated";
    Given::new(&folder, outdated, "2026-03-01T00:00:00Z").with(&V5).refused(TeeTcbCurrent, words);
    let files =
        ["dcap-qvl/tdx-quote.hex", "dcap-qvl/quote-from-tappd.hex", "dstack/ra-tls_tdx_quote"];
    for file in files {
        let given = Given::new(&folder, file, "2025-07-01T00:00:00Z");
        given.with(&["dcap-qvl/tdx_quote_collateral.json"]).refused(TeeTcbCurrent, words);
    }
}

#[test]
fn a_certificate_that_is_not_yet_valid_is_refused() {
    let Some(folder) = folder() else { return };
    for file in
        ["dstack/verifier/tdx-lite-getquote.json", "dstack/verifier/tdx-lite-attestation.json"]
    {
        let given = Given::new(&folder, file, "2026-03-01T00:00:00Z").with(&V5);
        given.refused(TeeCertChain, "not valid before 2026-04-15");
    }
}

#[test]
fn collateral_of_the_other_tee_or_past_its_window_is_refused() {
    let Some(folder) = folder() else { return };
    let sgx = Given::new(&folder, "dcap-qvl/sgx_quote", "2025-07-01T00:00:00Z");
    sgx.with(&["dcap-qvl/tdx_quote_collateral.json"])
        .refused(IntelPcsCollateral, "QE identity of the other TEE");
    let near = |at: &str| Given::new(&folder, "dcap-qvl/near/quote_hex.txt", at).with(&NEAR);
    for at in ["2025-09-02T07:41:59Z", "2025-10-02T07:03:50Z"] {
        near(at).accepted(TDX);
    }
    for (at, words) in [
        ("2025-09-02T07:41:58Z", "TCBInfo issue date is in the future"),
        ("2025-10-02T07:03:51Z", "CRL expired, its next update was due 2025-10-02T07:03:51Z"),
        ("2025-10-02T07:29:51Z", "QE Identity expired"),
        ("2025-10-03T00:00:00Z", "TCBInfo expired"),
        ("2026-11-28T00:00:00Z", "CRL expired, its next update was due 2026-04-03T11:21:57Z"),
    ] {
        let report = near(at).refused(IntelPcsCollateral, words);
        assert_eq!(report.check(IntelPcsCollateral).unwrap().seen, words, "{at}");
    }
}

#[test]
fn a_quote_without_collateral_or_with_a_part_of_it_says_what_is_missing() {
    let Some(folder) = folder() else { return };
    let cos = || {
        let file = "go-tdx-guest/ccel/cos-113-tdx-quote.dat";
        Given::new(&folder, file, "2025-03-01T00:00:00Z")
    };
    cos().refused(IntelPcsCollateral, "no collateral came along");
    let lacks = [
        (0, "the TCB info"),
        (1, "the QE identity"),
        (2, "the certificate of the PCK authority"),
        (3, "the certificate of the TCB signer"),
        (4, "the CRL of the PCK authority"),
        (5, "the CRL of Intel's root"),
    ];
    for (at, what) in lacks {
        let mut files = EARLY_2025.to_vec();
        files.remove(at);
        cos().with(&files).refused(IntelPcsCollateral, &format!("the collateral lacks {what}"));
    }
}

#[test]
fn a_milan_report_is_refused_whatever_it_came_in() {
    let Some(folder) = folder() else { return };
    let json = "dstack/verifier/sev-snp-attestation.json";
    let ark = "virtee-sev/builtin/milan-ark.pem";
    let cases: [(&str, &[&str]); 4] = [
        (
            "virtee-sev/report_milan.hex",
            &["virtee-sev/vcek_milan.der", "virtee-sev/cert_chain_milan"],
        ),
        (json, &[ark]),
        (json, &[json, ark]),
        ("dstack/dstack-attest/sev_snp_attestation.bin", &[json, ark]),
    ];
    for (file, endorsements) in cases {
        let mut milan = Given::new(&folder, file, "2026-06-18T00:00:00Z").with(endorsements);
        assert_eq!(milan.document.kind(), Kind::Quote(Cpu::Snp));
        let report = milan.refused(AmdKdsCollateral, "there is no CRL, policy demands one");
        for name in [TeeQuoteStructure, TeeCertChain, TeeQuoteSignature] {
            assert_eq!(report.outcome(name), Outcome::Passed, "{}", report.sentence());
        }
        milan.policy.amd.revocation = Demand::Waived;
        milan.policy.amd.tcb_min.milan = NO_FLOOR;
        milan.refused(TeeHardwareConfig, "policy does not accept Milan");
    }
}

#[test]
fn a_report_under_a_debugger_is_refused() {
    let Some(folder) = folder() else { return };
    let mut given = Given::new(&folder, "go-sev-guest/attestation.bin", "2024-01-01T00:00:00Z")
        .with(&["go-sev-guest/vcek.testcer", "go-sev-guest/milan.testcer"]);
    given.policy.amd.revocation = Demand::Waived;
    given.policy.amd.products.push(AmdProduct::Milan);
    given.policy.amd.report_version_min = 2;
    given.policy.amd.tcb_min.milan = NO_FLOOR;
    let report = given.refused(TeeDebugDisabled, "debug");
    assert_eq!(report.outcome(TeeQuoteSignature), Outcome::Passed);
}

#[test]
fn a_report_without_its_certificates_says_which_are_missing() {
    let Some(folder) = folder() else { return };
    let milan = || Given::new(&folder, "virtee-sev/report_milan.hex", "2026-06-18T00:00:00Z");
    milan().refused(AmdKdsCollateral, "no certificate of the chip (VCEK)");
    let vcek = milan().with(&["virtee-sev/vcek_milan.der"]);
    vcek.refused(AmdKdsCollateral, "(ASK)");
    let ask = milan().with(&["virtee-sev/vcek_milan.der", "virtee-sev/builtin/milan-ask.pem"]);
    ask.refused(AmdKdsCollateral, "(ARK)");
    let turin = milan().with(&["virtee-sev/vcek_turin.der", "virtee-sev/cert_chain_turin"]);
    turin.refused(AmdKdsCollateral, "the VCEK is of a Turin chip");
}

#[test]
fn two_files_that_contradict_each_other_are_refused() {
    let Some(folder) = folder() else { return };
    let mut endorsements = Endorsements::default();
    let mut add = |file: &str| endorsements.add(&read(&folder, file));
    let contradiction = |what| Err(Unreadable::Contradiction { what });
    assert_eq!(add(NEAR[0]), Ok(()));
    assert_eq!(add(NEAR[0]), Ok(()), "the same file once more");
    assert_eq!(add(V5[0]), contradiction("collateral"));
    assert_eq!(add("virtee-sev/vcek_milan.der"), Ok(()));
    assert_eq!(add("virtee-sev/vcek_turin.der"), contradiction("certificate"));
    assert_eq!(add(EARLY_2025[0]), Ok(()));
    assert_eq!(add("go-tdx-guest/sample_tcbInfo_response"), contradiction("TCB info"));
    assert_eq!(add(EARLY_2025[4]), Ok(()));
    assert_eq!(add("go-tdx-guest/pckcrl"), contradiction("revocation list"));
}

#[test]
fn files_that_are_no_evidence_are_unreadable() {
    let Some(folder) = folder() else { return };
    let files = [
        "go-tdx-guest/report.dat",
        "private-ml-sdk/sample_dstack_info.json",
        "virtee-sev/vcek_milan.der",
        "dcap-qvl/tdx_quote_collateral.json",
        "dcap-qvl/LICENSE",
        "nvidia-nvtrust/rims/Driver_RIM_test_no_gpu.swidtag",
    ];
    for file in files {
        let result = Document::parse(&read(&folder, file));
        assert_eq!(result, Err(Unreadable::UnknownDocument), "{file}");
    }
    let collateral = [
        "go-tdx-guest/report.dat",
        "dcap-qvl/tdx_quote",
        "dcap-qvl/LICENSE",
        "go-nvtrust/gpuAkCertChain.txt",
        "private-ml-sdk/nras_sample_response.json",
        "virtee-sev/measurement/test_id_key.pem",
    ];
    for file in collateral {
        let result = Endorsements::default().add(&read(&folder, file));
        assert_eq!(result, Err(Unreadable::UnknownEndorsement), "{file}");
    }
}

#[test]
fn genuine_hardware_is_worth_nothing_under_another_root() {
    let Some(folder) = folder() else { return };
    let mut near =
        Given::new(&folder, "dcap-qvl/near/quote_hex.txt", "2025-09-10T00:00:00Z").with(&NEAR);
    near.policy = Policy::simulated(Releases::default());
    let report = near.report();
    assert_eq!(report.first_failure().unwrap().name, TeeCertChain);
    assert!(
        report.sentence().starts_with("SIMULATED, which proves nothing about hardware: refused")
    );
}

#[test]
fn a_policy_that_demands_a_gpu_refuses_a_bare_quote() {
    let Some(folder) = folder() else { return };
    let mut near =
        Given::new(&folder, "dcap-qvl/near/quote_hex.txt", "2025-09-10T00:00:00Z").with(&NEAR);
    near.policy.gpu = subrosa_verifier::Gpu::Required;
    near.refused(NvidiaPayloadPresent, "a bare quote says nothing about devices");
}

#[test]
fn what_policy_does_not_let_be_absent_refuses() {
    let Some(folder) = folder() else { return };
    let near =
        || Given::new(&folder, "dcap-qvl/near/quote_hex.txt", "2025-09-10T00:00:00Z").with(&NEAR);
    for name in [NonceMatch, TeeMeasurement, TeeReportdataBinding, MeasuredModelWeights] {
        let mut near = near();
        near.policy.absent.tdx_quote.retain(|known| *known != name);
        near.refused(name, "");
    }
}

/// Bits of everything that a signature covers, and of what surrounds it.
#[test]
fn one_changed_bit_anywhere_in_a_bare_quote_is_refused() {
    let Some(folder) = folder() else { return };
    let quote = read(&folder, "go-tdx-guest/quote_v5_sample.dat");
    let mut given =
        Given::new(&folder, "go-tdx-guest/quote_v5_sample.dat", "2026-03-01T00:00:00Z").with(&V5);
    for at in (0..quote.len()).step_by(61) {
        let mut changed = quote.clone();
        changed[at] ^= 1 << (at % 8);
        let Ok(document) = Document::parse(&changed) else { continue };
        given.document = document;
        assert_eq!(given.report().verdict, Verdict::Refused, "bit at {at}");
    }
}

/// The beginnings by which files are told apart.
const BEGINNINGS: [&[u8]; 9] = [
    b"",
    b"{\"intel_quote\":\"",
    b"{\"quote\":\"04000200",
    b"-----BEGIN CERTIFICATE-----\n",
    b"<SoftwareIdentity ",
    &[0x30, 0x82, 0x01, 0x00, 0x30],
    &[0, 3, 0x81, 0x12],
    // An Intel quote of version 4, a report of version 3.
    &[
        4, 0, 2, 0, 0x81, 0, 0, 0, 0, 0, 0, 0, 0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
        0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
    ],
    &[3, 0, 0, 0],
];

proptest! {
    #[test]
    fn any_bytes_are_examined_without_a_panic_and_never_accepted(
        beginning in 0..BEGINNINGS.len(),
        rest in proptest::collection::vec(any::<u8>(), 0..1_400),
    ) {
        let bytes = [BEGINNINGS[beginning], &rest].concat();
        let mut endorsements = Endorsements::default();
        let _ = endorsements.add(&bytes);
        if let Ok(document) = Document::parse(&bytes) {
            let policy = Policy::strict(Releases::default());
            let report = examine(&document, &endorsements, None, &policy, Timestamp(1_790_000_000));
            prop_assert_eq!(report.verdict, Verdict::Refused);
            prop_assert!(report.first_failure().is_some());
        }
    }
}
