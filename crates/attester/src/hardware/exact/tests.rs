use std::path::PathBuf;

use subrosa_protocol::Timestamp;
use subrosa_verifier::{BadQuote, BadSnpReport, CpuEvidence};

use super::*;
use crate::{SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator};

const SOURCE: &str = "the test";

const ASKED: [u8; 64] = [7; 64];

const NONCE: [u8; 32] = [3; 32];

const NOW: Timestamp = Timestamp(1_790_000_000);

/// A quote or report over the bytes that are asked.
fn said_by(cpu: SimulatedCpu) -> Vec<u8> {
    let kind = SimulatedKind { cpu, gpus: SimulatedGpus::None };
    match Simulator::of(kind, "image").cpu_evidence(ASKED, NOW).unwrap() {
        CpuEvidence::Sgx(sgx) => sgx.quote,
        CpuEvidence::Snp(snp) => snp.report,
        CpuEvidence::Tdx(tdx) => tdx.quote,
    }
}

fn quotes() -> [(Cpu, Vec<u8>); 2] {
    [(Cpu::Sgx, said_by(SimulatedCpu::Sgx)), (Cpu::Tdx, said_by(SimulatedCpu::Tdx))]
}

#[test]
fn a_quote_is_cut_where_it_declares_to_end() {
    for (cpu, bytes) in quotes() {
        for zeros in [0, 1, 70, 8_000] {
            let padded = [&bytes[..], &vec![0; zeros]].concat();
            assert_eq!(quote(SOURCE, &padded, cpu, &ASKED).unwrap(), bytes, "{zeros} zeros");
        }
    }
}

#[test]
fn refuses_a_quote_over_other_report_data() {
    for (cpu, bytes) in quotes() {
        let mut other = ASKED;
        other[63] ^= 1;
        let error = quote(SOURCE, &bytes, cpu, &other).unwrap_err();
        assert!(matches!(error, SourceError::AnotherReportData { .. }), "{error}");
    }
}

#[test]
fn refuses_a_quote_of_another_processor() {
    let [(sgx, of_sgx), (tdx, of_tdx)] = quotes();
    for (bytes, cpu) in [(of_sgx, tdx), (of_tdx, sgx)] {
        let error = quote(SOURCE, &bytes, cpu, &ASKED).unwrap_err();
        assert!(matches!(error, SourceError::OtherCpu { expected, .. } if expected == cpu));
    }
}

#[test]
fn refuses_anything_but_zeros_behind_a_quote() {
    for (cpu, bytes) in quotes() {
        for trailing in [&[1u8][..], &[0, 0, 1], &[0, 0x20, 0]] {
            let padded = [&bytes[..], trailing].concat();
            let error = quote(SOURCE, &padded, cpu, &ASKED).unwrap_err();
            let got = trailing.len();
            assert!(matches!(error, SourceError::BadQuote { error, .. }
                    if error == BadQuote::TrailingBytes { got }),);
        }
    }
}

#[test]
fn refuses_a_quote_cut_anywhere() {
    for (cpu, bytes) in quotes() {
        for length in 0..bytes.len() {
            let error = quote(SOURCE, &bytes[..length], cpu, &ASKED).unwrap_err();
            assert!(
                matches!(error, SourceError::BadQuote { error: BadQuote::TooShort, .. }),
                "{length}"
            );
        }
    }
}

#[test]
fn refuses_a_quote_that_no_document_has_room_for() {
    for (cpu, mut bytes) in quotes() {
        // The last length of a quote is that of its signature, behind header and body.
        let at = if cpu == Cpu::Sgx { 48 + 384 } else { 48 + 584 };
        let signature = u32::try_from(QUOTE_BYTES_MAX - at - 4).unwrap();
        for (more, fits) in [(0, true), (1, false)] {
            bytes[at..at + 4].copy_from_slice(&(signature + more).to_le_bytes());
            bytes.resize(QUOTE_BYTES_MAX + 1, 0);
            let exact = quote(SOURCE, &bytes, cpu, &ASKED);
            assert_eq!(exact.is_ok(), fits);
            if let Err(error) = exact {
                assert!(matches!(error, SourceError::TooLong { max: QUOTE_BYTES_MAX, .. }));
            }
        }
    }
}

#[test]
fn an_snp_report_is_given_as_it_is_and_only_over_what_was_asked() {
    let report = said_by(SimulatedCpu::Snp);
    assert_eq!(snp_report(SOURCE, &report, &ASKED).unwrap(), report);
    let error = snp_report(SOURCE, &report, &[8; 64]).unwrap_err();
    assert!(matches!(error, SourceError::AnotherReportData { .. }), "{error}");
}

#[test]
fn refuses_an_snp_report_of_another_length_or_version() {
    let report = said_by(SimulatedCpu::Snp);
    for length in [0, SNP_REPORT_BYTES - 1, SNP_REPORT_BYTES + 1] {
        let mut other = report.clone();
        other.resize(length, 0);
        let error = snp_report(SOURCE, &other, &ASKED).unwrap_err();
        assert!(matches!(error, SourceError::BadSnpReport { error, .. }
                if error == BadSnpReport::Length { got: length }));
    }
    for version in [0, 1, 6, 255] {
        let mut other = report.clone();
        other[0] = version;
        let error = snp_report(SOURCE, &other, &ASKED).unwrap_err();
        assert!(
            matches!(error, SourceError::BadSnpReport { error: BadSnpReport::Version { .. }, .. }),
            "{version}: {error}"
        );
    }
}

#[test]
fn a_report_that_leads_is_cut_from_what_follows_it() {
    let report = said_by(SimulatedCpu::Snp);
    let longer = [&report[..], b"certificates"].concat();
    assert_eq!(leading_snp_report(SOURCE, &longer, &ASKED).unwrap(), report);
    for length in [0, 1, SNP_REPORT_BYTES - 1] {
        let error = leading_snp_report(SOURCE, &report[..length], &ASKED).unwrap_err();
        assert!(matches!(error, SourceError::BadSnpReport { .. }), "{error}");
    }
}

fn said_by_device() -> Vec<u8> {
    subrosa_nvidia_evidence::simulator::Node::hopper(1).evidence(&NONCE).remove(0).report
}

#[test]
fn a_devices_report_ends_with_its_signature() {
    let report = said_by_device();
    for trailing in [&[][..], &[0], &[0xFF]] {
        let sent = [&report[..], trailing].concat();
        assert_eq!(device_report(SOURCE, &sent, &NONCE).unwrap(), report);
    }
}

#[test]
fn refuses_a_devices_report_with_more_behind_it() {
    let sent = [&said_by_device()[..], &[0, 0]].concat();
    let error = device_report(SOURCE, &sent, &NONCE).unwrap_err();
    assert!(error.to_string().contains("2 bytes follow"), "{error}");
}

#[test]
fn refuses_a_devices_report_over_another_nonce() {
    let error = device_report(SOURCE, &said_by_device(), &[4; 32]).unwrap_err();
    assert!(matches!(error, SourceError::AnotherNonce { .. }), "{error}");
}

#[test]
fn refuses_a_devices_report_cut_anywhere() {
    let report = said_by_device();
    for length in 0..report.len() {
        let error = device_report(SOURCE, &report[..length], &NONCE).unwrap_err();
        assert!(matches!(error, SourceError::BadDeviceReport { .. }), "{length}: {error}");
    }
}

#[test]
fn refuses_a_devices_report_of_another_protocol() {
    for (at, byte) in [(0, 0x12), (1, 0xE1), (37, 0x12), (38, 0x7F)] {
        let mut report = said_by_device();
        report[at] = byte;
        let error = device_report(SOURCE, &report, &NONCE).unwrap_err();
        assert!(matches!(error, SourceError::BadDeviceReport { .. }), "{error}");
    }
}

#[test]
fn refuses_a_devices_report_that_no_document_has_room_for() {
    let long = vec![0x11; DEVICE_REPORT_BYTES_MAX + 1];
    let error = device_report(SOURCE, &long, &NONCE).unwrap_err();
    assert!(matches!(error, SourceError::TooLong { max: DEVICE_REPORT_BYTES_MAX, .. }), "{error}");
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
        ("dcap-qvl/sgx_quote", Cpu::Sgx),
        ("dcap-qvl/tdx_quote", Cpu::Tdx),
        ("dcap-qvl/tdx_quote_outdated", Cpu::Tdx),
        ("dstack/ra-tls_tdx_quote", Cpu::Tdx),
        ("go-tdx-guest/quote_v5_sample.dat", Cpu::Tdx),
    ];
    for (name, cpu) in real {
        let Some(bytes) = vector(name) else { continue };
        let asked = trim_quote(&bytes).unwrap().report_data;
        let exact = quote(SOURCE, &bytes, cpu, &asked);
        let exact = exact.unwrap_or_else(|error| panic!("{name}: {error}"));
        let padded = [&bytes[..], &[0; 70]].concat();
        assert_eq!(quote(SOURCE, &padded, cpu, &asked).unwrap(), exact, "{name}");
        let error = quote(SOURCE, &bytes, cpu, &ASKED).unwrap_err();
        assert!(matches!(error, SourceError::AnotherReportData { .. }), "{name}: {error}");
    }
}

#[test]
fn refuses_the_real_quote_with_text_behind_it() {
    let Some(bytes) = vector("go-tdx-guest/tdx_prod_quote_SPR_E4.dat") else { return };
    let error = quote(SOURCE, &bytes, Cpu::Tdx, &ASKED).unwrap_err();
    let follows =
        matches!(error, SourceError::BadQuote { error: BadQuote::TrailingBytes { .. }, .. });
    assert!(follows, "{error}");
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
