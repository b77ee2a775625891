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

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> [u8; FRAME_BYTES] {
        next_frame(&mut BytesMut::from(payload))
    }

    #[test]
    fn a_frame_has_exactly_these_bytes() {
        let mut expected = vec![0x00, 0x03, b'a', b'b', b'c'];
        expected.resize(1024, 0);
        assert_eq!(frame(b"abc"), expected.as_slice());
        assert_eq!(frame(b""), [0; 1024]);
        let full = frame(&[0xff; 2_000]);
        assert_eq!(full[..2], [0x03, 0xfe]);
        assert_eq!(full[2..], [0xff; 1022]);
    }

    #[test]
    fn a_frame_takes_no_more_than_its_payload_from_the_queue() {
        let mut queue = BytesMut::from(&[1; 1_023][..]);
        next_frame(&mut queue);
        assert_eq!(queue, [1].as_slice());
        next_frame(&mut queue);
        assert!(queue.is_empty());
    }

    #[test]
    fn frames_are_read_back_however_the_stream_is_cut() {
        let stream = [frame(b"one"), frame(b""), frame(&[7; 1_022]), frame(b"two")].concat();
        let expected = [b"one".as_slice(), &[7; 1_022], b"two"].concat();
        for step in [1, 7, 1_023, 1_024, 1_025, 3_000, 5_000] {
            let (mut reader, mut out) = (FrameReader::default(), Vec::new());
            for piece in stream.chunks(step) {
                reader.push(piece, &mut out).unwrap();
            }
            assert_eq!(out, expected, "in pieces of {step}");
        }
    }

    #[test]
    fn refuses_a_length_beyond_the_frame_and_padding_that_is_not_zero() {
        let mut long = frame(b"abc");
        long[..2].copy_from_slice(&1_023u16.to_be_bytes());
        let mut dirty = frame(b"abc");
        dirty[1_023] = 1;
        for bad in [long, dirty] {
            let pushed = FrameReader::default().push(&bad, &mut Vec::new());
            assert_eq!(pushed, Err(BadFrame::Malformed));
        }
    }

    #[test]
    fn a_stream_may_end_only_after_a_whole_class() {
        let mut reader = FrameReader::default();
        for frames in 0..100u64 {
            let boundary = [16, 24, 32, 48, 64, 96].contains(&frames);
            assert_eq!(reader.at_boundary(), boundary, "after {frames} frames");
            reader.push(&frame(b"")[..1_000], &mut Vec::new()).unwrap();
            assert!(!reader.at_boundary());
            reader.push(&frame(b"")[1_000..], &mut Vec::new()).unwrap();
        }
    }

    #[test]
    fn refuses_more_frames_than_the_largest_class_has() {
        let mut reader = FrameReader { frames: RESPONSE_CLASS_MAX, ..FrameReader::default() };
        assert!(reader.at_boundary());
        assert_eq!(reader.push(&frame(b""), &mut Vec::new()), Err(BadFrame::TooMany));
    }
}
