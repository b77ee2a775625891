//! An inner answer reads the same wherever frames and network tear it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_seal::{ResponseEvent, fuzzing::read_answer};

fuzz_target!(|input: (u16, &[u8])| {
    let (piece, bytes) = input;
    let torn = read_answer(bytes.chunks(usize::from(piece).max(1)));
    let whole = read_answer([bytes].into_iter());
    assert_eq!(torn.map(joined), whole.map(joined));
});

/// The events with their content in one piece, and that content.
fn joined(events: Vec<ResponseEvent>) -> (Vec<ResponseEvent>, Vec<u8>) {
    let mut content = Vec::new();
    let mut others = events;
    others.retain(|event| match event {
        ResponseEvent::Body(bytes) => {
            content.extend_from_slice(bytes);
            false
        }
        _ => true,
    });
    (others, content)
}
