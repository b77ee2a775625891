//! Reports of any bytes: read strictly, and split exactly where the signature begins.

#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_nvidia_evidence::{Architecture, Report, Trailing};

fuzz_target!(|bytes: &[u8]| {
    let strict = Report::parse(bytes, Trailing::Refuse);
    let Ok(report) = Report::parse(bytes, Trailing::TolerateOne) else {
        assert!(strict.is_err(), "strictness accepts nothing more");
        return;
    };
    let parts = [report.signed_bytes(), report.signature()].concat();
    assert_eq!(parts, bytes[..parts.len()]);
    assert_eq!(bytes.len() - parts.len(), usize::from(report.has_trailing_byte()));
    assert_eq!(strict.is_ok(), !report.has_trailing_byte());
    for architecture in [Architecture::Hopper, Architecture::Blackwell, Architecture::Ls10] {
        let ids = [report.driver_rim_id(architecture), report.vbios_rim_id(architecture)];
        for id in ids.into_iter().flatten() {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            assert!(id.chars().all(plain), "ids become file names and addresses");
        }
    }
});
