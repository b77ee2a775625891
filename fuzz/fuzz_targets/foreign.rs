//! Files of any bytes: told apart, examined without a panic, and never accepted.
//!
//! Nothing that a fuzzer makes is signed by a vendor, so every report is a refusal that names its
//! check, with whatever the same bytes are as collateral.

#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::{Document, Endorsements, Policy, Releases, Verdict, examine};

const NOW: Timestamp = Timestamp(1_790_000_000);

fuzz_target!(|bytes: &[u8]| {
    let mut endorsements = Endorsements::default();
    let _ = endorsements.add(bytes);
    let Ok(document) = Document::parse(bytes) else { return };
    for nonce in [None, Some(B256::repeat_byte(7))] {
        for policy in [Policy::strict(Releases::default()), Policy::simulated(Releases::default())] {
            let report = examine(&document, &endorsements, nonce, &policy, NOW);
            assert_eq!(report.verdict, Verdict::Refused);
            assert_eq!(report.kind, document.kind());
            assert!(report.first_failure().is_some() && !report.sentence().is_empty());
        }
    }
});
