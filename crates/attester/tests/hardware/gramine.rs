use std::path::Path;

use subrosa_attester::SimulatedCpu;
use subrosa_attester::hardware::{Gramine, RawCpu, SourceError};
use subrosa_verifier::QUOTE_BYTES_MAX;
use tempfile::TempDir;

use super::{ASKED, simulated_bytes};

/// Gramine's folder as an enclave sees it that will quote these bytes next.
pub(crate) fn enclave(attestation_type: &str, quote: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("attestation_type", attestation_type.as_bytes());
    write("user_report_data", &[0; 64]);
    write("quote", quote);
    folder
}

fn ask(folder: &Path) -> Result<RawCpu, SourceError> {
    Gramine::at(folder).quote(&ASKED)
}

#[test]
fn reads_a_quote_over_what_it_wrote() {
    let quote = simulated_bytes(SimulatedCpu::Sgx, ASKED);
    for attestation_type in ["dcap", "dcap\n", "dcap\0"] {
        let folder = enclave(attestation_type, &quote);
        assert_eq!(ask(folder.path()).unwrap(), RawCpu::Sgx { quote: quote.clone() });
        assert_eq!(std::fs::read(folder.path().join("user_report_data")).unwrap(), ASKED);
    }
}

#[test]
fn refuses_a_quote_over_other_bytes() {
    let folder = enclave("dcap", &simulated_bytes(SimulatedCpu::Sgx, [8; 64]));
    assert!(matches!(ask(folder.path()), Err(SourceError::AnotherReportData { .. })));
}

#[test]
fn refuses_an_enclave_that_cannot_quote() {
    for kind in ["none", "epid", "", "DCAP"] {
        let folder = enclave(kind, &simulated_bytes(SimulatedCpu::Sgx, ASKED));
        let error = ask(folder.path()).unwrap_err();
        assert!(
            matches!(&error, SourceError::UnknownKind { kind: got, .. } if got == kind),
            "{error}"
        );
        // It was not asked for a quote either.
        assert_eq!(std::fs::read(folder.path().join("user_report_data")).unwrap(), [0; 64]);
    }
}

#[test]
fn refuses_a_quote_of_tdx() {
    let folder = enclave("dcap", &simulated_bytes(SimulatedCpu::Tdx, ASKED));
    assert!(matches!(ask(folder.path()), Err(SourceError::OtherCpu { .. })));
}

#[test]
fn refuses_a_quote_that_is_cut_or_too_long() {
    let quote = simulated_bytes(SimulatedCpu::Sgx, ASKED);
    for length in [0, 47, 435, quote.len() - 1] {
        let folder = enclave("dcap", &quote[..length]);
        assert!(matches!(ask(folder.path()), Err(SourceError::BadQuote { .. })), "{length}");
    }
    let folder = enclave("dcap", &vec![0; QUOTE_BYTES_MAX + 1]);
    assert!(matches!(ask(folder.path()), Err(SourceError::TooLong { .. })));
}

#[test]
fn outside_gramine_there_is_no_source() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("attestation")] {
        assert!(matches!(ask(&path), Err(SourceError::Absent { at, .. }) if at == path));
    }
}

#[test]
fn names_the_file_that_cannot_be_used() {
    let folder = enclave("dcap", b"");
    std::fs::remove_file(folder.path().join("quote")).unwrap();
    std::fs::create_dir(folder.path().join("quote")).unwrap();
    let error = ask(folder.path()).unwrap_err();
    assert!(matches!(&error, SourceError::Unusable { at, .. } if at.ends_with("quote")), "{error}");
}
