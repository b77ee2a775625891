//! Reference manifests of any bytes: read strictly, found again, and never verified under a root
//! that nobody has.

#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_nvidia_evidence::{Fingerprint, Rim, RimStore};

const NOBODY: Fingerprint = Fingerprint([0; 32]);
const NOW: u64 = 1_790_000_000;

fuzz_target!(|bytes: &[u8]| {
    let Ok(rim) = Rim::parse(bytes) else { return };
    assert!(rim.active().next().is_some(), "a manifest without measurements proves anything");
    assert!(rim.measurements().all(|it| !it.alternatives.is_empty() && it.index < u8::MAX));
    assert!(rim.verify(NOBODY, NOW).is_err());
    let mut store = RimStore::new();
    let again = store.add(bytes).expect("it parsed before");
    assert_eq!(again.identity(), rim.identity());
});
