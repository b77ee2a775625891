use std::path::PathBuf;

use super::*;

const SOURCE: &str = "the test";

const ASKED: [u8; 64] = [7; 64];

/// A quote of these kinds with a signature of 100 bytes, which nobody here looks at.
fn quote_of(version: u16, tee: u32, description: &[u8], body: Vec<u8>) -> Vec<u8> {
    let mut quote = vec![0; HEADER_BYTES];
    quote[..2].copy_from_slice(&version.to_le_bytes());
    quote[4..8].copy_from_slice(&tee.to_le_bytes());
    quote.extend_from_slice(description);
    quote.extend_from_slice(&body);
    quote.extend_from_slice(&100u32.to_le_bytes());
    quote.extend_from_slice(&[0xEE; 100]);
    quote
}

fn body(length: usize, report_data_at: usize) -> Vec<u8> {
    let mut body = vec![0x11; length];
    body[report_data_at..report_data_at + 64].copy_from_slice(&ASKED);
    body
}

fn description(kind: u16, length: u32) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &length.to_le_bytes()].concat()
}

fn tdx() -> Vec<u8> {
    quote_of(4, TEE_TDX, &[], body(TD10_BODY_BYTES, TD_REPORT_DATA_AT))
}

/// Every form that platforms give.
fn all_forms() -> Vec<(QuoteKind, Vec<u8>)> {
    let sgx = || body(SGX_BODY_BYTES, SGX_REPORT_DATA_AT);
    let td10 = || body(TD10_BODY_BYTES, TD_REPORT_DATA_AT);
    let td15 = || body(TD15_BODY_BYTES, TD_REPORT_DATA_AT);
    vec![
        (QuoteKind::Sgx, quote_of(3, TEE_SGX, &[], sgx())),
        (QuoteKind::Tdx, quote_of(4, TEE_TDX, &[], td10())),
        (QuoteKind::Tdx, quote_of(5, TEE_TDX, &description(2, 584), td10())),
        (QuoteKind::Tdx, quote_of(5, TEE_TDX, &description(3, 648), td15())),
    ]
}

#[test]
fn every_form_of_quote_is_cut_where_it_declares_to_end() {
    for (kind, bytes) in all_forms() {
        for zeros in [0, 1, 70, 8_000] {
            let padded = [&bytes[..], &vec![0; zeros]].concat();
            let exact = quote(SOURCE, &padded).unwrap();
            assert_eq!((exact.kind, exact.bytes), (kind, &bytes[..]), "{zeros} zeros");
            exact.demand(SOURCE, &ASKED).unwrap();
        }
    }
}

#[test]
fn refuses_a_quote_over_other_report_data() {
    for (_, bytes) in all_forms() {
        let mut other = ASKED;
        other[63] ^= 1;
        let error = quote(SOURCE, &bytes).unwrap().demand(SOURCE, &other).unwrap_err();
        assert!(matches!(error, SourceError::AnotherReportData { .. }), "{error}");
    }
}

#[test]
fn refuses_anything_but_zeros_behind_a_quote() {
    for (_, bytes) in all_forms() {
        for trailing in [&[1u8][..], &[0, 0, 1], &[0, 0x20, 0]] {
            let error = quote(SOURCE, &[&bytes[..], trailing].concat()).unwrap_err();
            assert!(error.to_string().contains("something else than zeros"), "{error}");
        }
    }
}

#[test]
fn refuses_a_quote_cut_anywhere() {
    for (_, bytes) in all_forms() {
        for length in 0..bytes.len() {
            let error = quote(SOURCE, &bytes[..length]).unwrap_err();
            assert!(matches!(error, SourceError::BadAnswer { .. }), "{length}: {error}");
        }
    }
}

#[test]
fn refuses_a_signature_longer_than_memory() {
    let mut bytes = tdx();
    let at = HEADER_BYTES + TD10_BODY_BYTES;
    bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = quote(SOURCE, &bytes).unwrap_err();
    assert!(error.to_string().contains("ends before it should"), "{error}");
}

#[test]
fn refuses_quotes_of_unknown_kinds() {
    let td = body(TD10_BODY_BYTES, TD_REPORT_DATA_AT);
    let wrong = [
        quote_of(2, TEE_SGX, &[], td.clone()),
        quote_of(4, TEE_SGX, &[], body(SGX_BODY_BYTES, SGX_REPORT_DATA_AT)),
        quote_of(5, TEE_SGX, &description(1, 384), body(SGX_BODY_BYTES, SGX_REPORT_DATA_AT)),
        quote_of(3, TEE_TDX, &[], td.clone()),
        quote_of(4, 0x82, &[], td.clone()),
        quote_of(6, TEE_TDX, &[], td.clone()),
        quote_of(5, TEE_SGX, &description(2, 584), td.clone()),
        quote_of(5, TEE_TDX, &description(1, 584), td.clone()),
        quote_of(5, TEE_TDX, &description(4, 584), td.clone()),
        quote_of(5, TEE_TDX, &description(2, 585), td.clone()),
        quote_of(5, TEE_TDX, &description(3, 584), td),
    ];
    for bytes in wrong {
        let error = quote(SOURCE, &bytes).unwrap_err();
        assert!(matches!(error, SourceError::BadAnswer { .. }), "{error}");
    }
}

#[test]
fn an_snp_report_has_exactly_its_length_and_the_report_data_asked() {
    let mut report = vec![0; SNP_REPORT_BYTES];
    report[0x50..0x90].copy_from_slice(&ASKED);
    snp_report(SOURCE, &report, &ASKED).unwrap();

    let error = snp_report(SOURCE, &report, &[8; 64]).unwrap_err();
    assert!(matches!(error, SourceError::AnotherReportData { .. }), "{error}");
    for length in [0, 1_183, 1_185] {
        let mut other = report.clone();
        other.resize(length, 0);
        let error = snp_report(SOURCE, &other, &ASKED).unwrap_err();
        assert!(matches!(error, SourceError::BadAnswer { .. }), "{error}");
    }
}

/// A report with a record of ten bytes and opaque data of five.
fn device_report_over(nonce: [u8; 32]) -> Vec<u8> {
    let mut report = vec![0x11, 0xE0, 1, 0xFF];
    report.extend_from_slice(&nonce);
    report.push(0);
    report.extend_from_slice(&[0x11, 0x60, 0, 0, 1, 10, 0, 0]);
    report.extend_from_slice(&[0xAA; 10]);
    report.extend_from_slice(&[0xBB; 32]);
    report.extend_from_slice(&5u16.to_le_bytes());
    report.extend_from_slice(&[0xCC; 5]);
    report.extend_from_slice(&[0xDD; 96]);
    report
}

#[test]
fn a_devices_report_ends_with_its_signature() {
    let report = device_report_over([3; 32]);
    for trailing in [&[][..], &[0], &[0xFF]] {
        let sent = [&report[..], trailing].concat();
        assert_eq!(device_report(SOURCE, &sent, &[3; 32]).unwrap(), report);
    }
}

#[test]
fn refuses_a_devices_report_with_more_behind_it() {
    let sent = [&device_report_over([3; 32])[..], &[0, 0]].concat();
    let error = device_report(SOURCE, &sent, &[3; 32]).unwrap_err();
    assert!(error.to_string().contains("more than one byte"), "{error}");
}

#[test]
fn refuses_a_devices_report_over_another_nonce() {
    let error = device_report(SOURCE, &device_report_over([3; 32]), &[4; 32]).unwrap_err();
    assert!(matches!(error, SourceError::AnotherNonce { .. }), "{error}");
}

#[test]
fn refuses_a_devices_report_cut_anywhere() {
    let report = device_report_over([3; 32]);
    for length in 0..report.len() {
        let error = device_report(SOURCE, &report[..length], &[3; 32]).unwrap_err();
        assert!(matches!(error, SourceError::BadAnswer { .. }), "{length}: {error}");
    }
}

#[test]
fn refuses_a_devices_report_of_another_protocol() {
    for (at, byte) in [(0, 0x12), (1, 0xE1), (37, 0x12), (38, 0x7F)] {
        let mut report = device_report_over([3; 32]);
        report[at] = byte;
        let error = device_report(SOURCE, &report, &[3; 32]).unwrap_err();
        assert!(error.to_string().contains("no SPDM 1.1"), "{error}");
    }
}

/// Real evidence, where this machine has it.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn vector(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("SUBROSA_VECTORS").map(PathBuf::from);
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = folder.unwrap_or_else(|| workspace.join("../shared/vectors"));
    let file = std::fs::read(folder.join(name)).ok();
    if file.is_none() {
        eprintln!("skipped: no {name}");
    }
    file
}

#[test]
fn real_quotes_are_cut_where_they_end() {
    let real = [
        ("dcap-qvl/sgx_quote", QuoteKind::Sgx),
        ("dcap-qvl/tdx_quote", QuoteKind::Tdx),
        ("dcap-qvl/tdx_quote_outdated", QuoteKind::Tdx),
        ("dstack/ra-tls_tdx_quote", QuoteKind::Tdx),
        ("go-tdx-guest/quote_v5_sample.dat", QuoteKind::Tdx),
    ];
    for (name, kind) in real {
        let Some(bytes) = vector(name) else { continue };
        let exact = quote(SOURCE, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(exact.kind, kind, "{name}");
        let padded = [&bytes[..], &[0; 70]].concat();
        assert_eq!(quote(SOURCE, &padded).unwrap().bytes, exact.bytes, "{name}");
    }
}

#[test]
fn refuses_the_real_quote_with_text_behind_it() {
    let Some(bytes) = vector("go-tdx-guest/tdx_prod_quote_SPR_E4.dat") else { return };
    let error = quote(SOURCE, &bytes).unwrap_err();
    assert!(error.to_string().contains("something else than zeros"), "{error}");
}

#[test]
fn real_device_reports_are_exact() {
    let real = [
        (
            "go-nvtrust/attestationReport.txt",
            "4cff7f5380ead8fad8ec2c531c110aca4302a88f603792801a8ca29ee151af2e",
        ),
        (
            "nvidia-attestation-sdk/unit-tests/switchAttestationReport.txt",
            "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb",
        ),
    ];
    for (name, nonce) in real {
        let Some(text) = vector(name) else { continue };
        let text = String::from_utf8(text).unwrap();
        let report = hex::decode(text.split_whitespace().collect::<String>()).unwrap();
        let nonce = hex::decode(nonce).unwrap().try_into().unwrap();
        assert_eq!(device_report(SOURCE, &report, &nonce).unwrap(), report, "{name}");
        let error = device_report(SOURCE, &report, &[0; 32]).unwrap_err();
        assert!(matches!(error, SourceError::AnotherNonce { .. }), "{name}: {error}");
    }
}
