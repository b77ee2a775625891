//! Event logs of any bytes: read strictly, or refused without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_verifier::{ccel_used, dstack_measurement};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(used) = ccel_used(bytes) {
        assert!(bytes.starts_with(used));
        // What is left is padding, so the used part ends where it ends.
        assert_eq!(ccel_used(used), Ok(used));
    }
    let (mrtd, rtmrs) = ([1; 48], [[2; 48]; 4]);
    if let Ok(measurement) = dstack_measurement(&mrtd, &rtmrs, bytes) {
        assert_eq!(dstack_measurement(&mrtd, &rtmrs, bytes), Ok(measurement));
        assert_ne!(dstack_measurement(&rtmrs[0], &rtmrs, bytes), Ok(measurement));
    }
});
