//! Evidence of any bytes: read strictly, written back as it came, and never attested.
//!
//! The policy accepts no image, so whatever parses has to be refused, and refused without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_protocol::Timestamp;
use subrosa_verifier::{Evidence, Policy, Releases, recheck};

const NOW: Timestamp = Timestamp(1_790_000_000);

fuzz_target!(|bytes: &[u8]| {
    let Ok(evidence) = Evidence::parse(bytes) else { return };
    assert_eq!(evidence.as_bytes(), bytes);
    for policy in [Policy::strict(Releases::default()), Policy::simulated(Releases::default())] {
        let refusal = recheck(&evidence, &policy, NOW).expect_err("no image is released");
        assert!(!refusal.to_string().is_empty());
    }
});
