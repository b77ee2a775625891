//! A caller's request and a backend's streams: whatever comes is a value or a named error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_api::openai::{ChatRequest, Limits};
use subrosa_api::{ndjson, sse};

/// Events and lines are cut at this length.
const PIECE_BYTES_MAX: usize = 4 * 1024;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = ChatRequest::parse(bytes, &Limits::default()) {
        let again = ChatRequest::parse(&request.to_body(), &Limits::default());
        assert_eq!(again.map(|request| request.to_body()), Ok(request.to_body()));
    }
    let half = bytes.len() / 2;
    let mut events = sse::Decoder::new(PIECE_BYTES_MAX);
    let _ = events.push(&bytes[..half]).and_then(|_| events.push(&bytes[half..]));
    let mut lines = ndjson::Decoder::new(PIECE_BYTES_MAX);
    let _ = lines.push(&bytes[..half]).and_then(|_| lines.push(&bytes[half..]));
});
