//! The parsers without the cryptography before them, for the targets in fuzz/ alone.

use crate::{
    frame::FrameReader,
    request::{self, InnerRequest},
    response::{ResponseDecoder, ResponseEvent},
};

/// Reads the plaintext of a request.
pub fn read_request(plaintext: &[u8]) -> Option<InnerRequest> {
    request::decode(plaintext).ok()
}

/// Writes the plaintext of a request.
pub fn write_request(request: &InnerRequest) -> Option<Vec<u8>> {
    request::encode(request).ok()
}

/// Joins the frames of a stream that arrives in these pieces.
pub fn read_frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let (mut reader, mut out) = (FrameReader::default(), Vec::new());
    for piece in pieces {
        reader.push(piece, &mut out).ok()?;
    }
    Some(out)
}

/// Reads an inner answer that arrives in these pieces.
pub fn read_answer<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<ResponseEvent>> {
    let (mut decoder, mut events) = (ResponseDecoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece, &mut events).ok()?;
    }
    Some(events)
}
