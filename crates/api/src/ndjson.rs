//! One JSON value a line, as Ollama streams.

use bytes::Bytes;
use serde::Serialize;
use thiserror::Error;

use crate::lines::{Ends, Lines, TooLong};

/// The media type of such a stream.
pub const MEDIA_TYPE: &str = "application/x-ndjson";

/// Why a stream of lines cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NdjsonError {
    /// A line is longer than the decoder's bound.
    #[error("a line of the stream is longer than {limit} bytes")]
    LineTooLong {
        /// The decoder's bound.
        limit: usize,
    },
}

/// One value as a line.
///
/// # Panics
/// Where the value's own `Serialize` fails; the types of this crate never do.
pub fn encode(value: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(value).expect("wire types always serialise");
    line.push(b'\n');
    line.into()
}

/// Cuts a stream into lines. It accepts bytes in any pieces, and lines that end in CR LF; it skips
/// blank lines. What a line means is for the caller to parse.
#[derive(Debug)]
pub struct Decoder {
    lines: Lines,
    line_bytes_max: usize,
}

impl Decoder {
    /// A decoder that refuses lines of more than `line_bytes_max` bytes.
    pub fn new(line_bytes_max: usize) -> Self {
        Decoder { lines: Lines::new(Ends::LineFeed, line_bytes_max), line_bytes_max }
    }

    /// The lines that these bytes complete.
    ///
    /// # Errors
    /// A line beyond the bound; the stream is then of no further use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>, NdjsonError> {
        let mut whole = Vec::new();
        let pushed = self.lines.push(bytes, |line| {
            if !is_blank(line) {
                whole.push(Bytes::copy_from_slice(line));
            }
            Ok::<(), TooLong>(())
        });
        match pushed {
            Ok(()) => Ok(whole),
            Err(TooLong) => Err(NdjsonError::LineTooLong { limit: self.line_bytes_max }),
        }
    }

    /// The last line, where the stream ended without a line feed. It may be a piece of one.
    pub fn finish(self) -> Option<Bytes> {
        let rest = self.lines.rest();
        (!is_blank(&rest)).then(|| rest.into())
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_is_one_line() {
        assert_eq!(encode(&serde_json::json!({"a": "x\ny"})), &b"{\"a\":\"x\\ny\"}\n"[..]);
    }

    #[test]
    fn lines_come_out_whole_however_the_bytes_arrive() {
        let stream = b"{\"a\":1}\r\n\n  \n{\"b\":\"\xc3\xa9\"}\n{\"c\":3}";
        for split in 0..=stream.len() {
            let mut decoder = Decoder::new(64);
            let mut lines = decoder.push(&stream[..split]).unwrap();
            lines.extend(decoder.push(&stream[split..]).unwrap());
            assert_eq!(lines, [&b"{\"a\":1}"[..], b"{\"b\":\"\xc3\xa9\"}"]);
            assert_eq!(decoder.finish().unwrap(), &b"{\"c\":3}"[..]);
        }
    }

    #[test]
    fn a_stream_that_ends_in_a_line_feed_leaves_nothing() {
        let mut decoder = Decoder::new(8);
        assert_eq!(decoder.push(b"1\n").unwrap().len(), 1);
        assert_eq!(decoder.finish(), None);
    }

    #[test]
    fn refuses_a_line_beyond_the_bound_without_keeping_it() {
        let mut decoder = Decoder::new(4);
        assert!(decoder.push(b"1234\n").is_ok());
        assert!(decoder.push(b"123").is_ok());
        assert_eq!(decoder.push(b"45"), Err(NdjsonError::LineTooLong { limit: 4 }));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(pieces: Vec<Vec<u8>>) {
            let mut decoder = Decoder::new(16);
            for piece in pieces {
                if decoder.push(&piece).is_err() {
                    break;
                }
            }
        }
    }
}
