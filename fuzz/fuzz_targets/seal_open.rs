//! What a pod opens: raw bytes, raw key lists, and any plaintext that a client may seal.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use subrosa_protocol::Timestamp;
use subrosa_seal::{KeyRing, ReplayGuard, RequestSealer, fuzzing};

const NOW: Timestamp = Timestamp(1_800_000_000);

static RING: LazyLock<KeyRing> = LazyLock::new(|| KeyRing::new(NOW));

fuzz_target!(|bytes: &[u8]| {
    assert!(RING.open(bytes, NOW, &ReplayGuard::new(1)).is_err(), "a forgery was opened");
    let _ = RequestSealer::new(bytes);

    // Whatever is read has one canonical form, which is read as the same.
    if let Some(request) = fuzzing::read_request(bytes)
        && let Some(written) = fuzzing::write_request(&request)
    {
        assert_eq!(fuzzing::read_request(&written), Some(request));
    }
});
