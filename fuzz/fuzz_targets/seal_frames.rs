//! The frames of an answer read the same wherever the network tears them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_seal::fuzzing::read_frames;

fuzz_target!(|input: (u16, &[u8])| {
    let (piece, bytes) = input;
    let torn = read_frames(bytes.chunks(usize::from(piece).max(1)));
    assert_eq!(torn, read_frames([bytes].into_iter()));
    assert!(torn.is_none_or(|inner| inner.len() <= bytes.len()));
});
