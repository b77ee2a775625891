//! Frames: what makes every chunk of an answer equally long (spec/seal.md 4).

use bytes::{Buf, BytesMut};

use crate::class::class_of;

/// The length of a frame: two bytes of length, the bytes, zeros.
pub const FRAME_BYTES: usize = 1024;
/// How many bytes of the inner answer one frame carries.
pub const FRAME_PAYLOAD_MAX: usize = FRAME_BYTES - 2;
/// The length class of the shortest answers, in frames: errors and refusals are of this class.
pub const RESPONSE_CLASS_FIRST: u64 = 16;
/// The largest length class, in frames: 256 MiB, or 87 minutes at the default tick.
pub const RESPONSE_CLASS_MAX: u64 = 16 << 14;

/// The length class of an answer of that many frames: how many its stream will have.
pub fn response_class(frames: u64) -> u64 {
    class_of(frames, RESPONSE_CLASS_FIRST)
}

/// Moves up to a frame's worth of bytes from the front of `queue` into a frame.
pub(crate) fn next_frame(queue: &mut BytesMut) -> [u8; FRAME_BYTES] {
    let length = queue.len().min(FRAME_PAYLOAD_MAX);
    let mut frame = [0; FRAME_BYTES];
    frame[..2].copy_from_slice(&(length as u16).to_be_bytes());
    queue.copy_to_slice(&mut frame[2..2 + length]);
    frame
}

/// Cuts a stream into frames as its bytes arrive.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    partial: Vec<u8>,
    frames: u64,
}

/// Why a frame cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadFrame {
    /// A length beyond the frame, or padding that is not zero.
    Malformed,
    /// More frames than the largest class has.
    TooMany,
}

impl FrameReader {
    /// Takes the next bytes and appends the payloads of the frames that they complete to `out`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BadFrame> {
        if !self.partial.is_empty() {
            let missing = FRAME_BYTES - self.partial.len();
            let (head, rest) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(head);
            bytes = rest;
            if self.partial.len() < FRAME_BYTES {
                return Ok(());
            }
            let frame = std::mem::take(&mut self.partial);
            self.frame(&frame, out)?;
        }
        let mut frames = bytes.chunks_exact(FRAME_BYTES);
        for frame in &mut frames {
            self.frame(frame, out)?;
        }
        self.partial.extend_from_slice(frames.remainder());
        Ok(())
    }

    /// Whether the stream may end here: after a whole frame, at the boundary of a class.
    pub(crate) fn at_boundary(&self) -> bool {
        self.partial.is_empty() && response_class(self.frames) == self.frames
    }

    fn frame(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), BadFrame> {
        self.frames += 1;
        if self.frames > RESPONSE_CLASS_MAX {
            return Err(BadFrame::TooMany);
        }
        let length = usize::from(u16::from_be_bytes([frame[0], frame[1]]));
        let payload = frame[2..].get(..length).ok_or(BadFrame::Malformed)?;
        if frame[2 + length..].iter().any(|padding| *padding != 0) {
            return Err(BadFrame::Malformed);
        }
        out.extend_from_slice(payload);
        Ok(())
    }
}
