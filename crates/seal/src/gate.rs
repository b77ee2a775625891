//! Hands an answer's bytes to `ohttp` so that no chunk's length is torn in two.
//!
//! `ohttp` 0.8.0 forgets the form of a length whose later bytes arrive in a later read, takes it for
//! zero, and so for the final chunk. A network tears wherever it likes.

use crate::pipe::Pipe;

/// Passes bytes on as they come, but a length only as a whole.
#[derive(Debug)]
pub(crate) struct ChunkGate {
    state: State,
    /// The bytes of a length that has not arrived as a whole, at most 7.
    torn: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// Within the nonce, or the ciphertext of a chunk.
    Within { left: u64 },
    /// Before or within the length of a chunk.
    Length,
    /// Within the final chunk, which takes whatever follows its length of zero.
    Final { seen: u64 },
}

impl ChunkGate {
    /// A gate for a stream that begins with that many bytes of nonce.
    pub(crate) fn new(nonce: u64) -> ChunkGate {
        ChunkGate { state: State::Within { left: nonce }, torn: Vec::new() }
    }

    /// Passes on what can be.
    pub(crate) fn push(&mut self, mut bytes: &[u8], pipe: &Pipe) {
        while !bytes.is_empty() {
            let take = match &mut self.state {
                State::Final { seen } => {
                    *seen += bytes.len() as u64;
                    bytes.len()
                }
                State::Within { left } => {
                    let take = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= take as u64;
                    if *left == 0 {
                        self.state = State::Length;
                    }
                    take
                }
                State::Length => {
                    self.length_byte(bytes[0], pipe);
                    bytes = &bytes[1..];
                    continue;
                }
            };
            let (now, later) = bytes.split_at(take);
            pipe.push(now);
            bytes = later;
        }
    }

    /// How much of the final chunk has arrived; `None` before it.
    pub(crate) fn final_bytes(&self) -> Option<u64> {
        match self.state {
            State::Final { seen } => Some(seen),
            State::Within { .. } | State::Length => None,
        }
    }

    fn length_byte(&mut self, byte: u8, pipe: &Pipe) {
        self.torn.push(byte);
        if self.torn.len() < 1 << (self.torn[0] >> 6) {
            return;
        }
        pipe.push(&self.torn);
        let head = u64::from(self.torn[0] & 0x3f);
        let length = self.torn[1..].iter().fold(head, |value, byte| value << 8 | u64::from(*byte));
        self.torn.clear();
        self.state = match length {
            0 => State::Final { seen: 0 },
            left => State::Within { left },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_passes_only_as_a_whole() {
        let stream = [&b"nn\x01a\x40\x41"[..], &[b'b'; 65], b"\x80\0\0\x01c\0tag"].concat();
        // Where the pipe may stand: not between the bytes of a length.
        let torn = [5, 72, 73, 74];
        let (mut gate, pipe) = (ChunkGate::new(2), Pipe::default());
        for (at, byte) in stream.iter().enumerate() {
            gate.push(&[*byte], &pipe);
            assert!(!torn.contains(&pipe.waiting()), "after {at} bytes");
        }
        assert_eq!(gate.final_bytes(), Some(3));
        assert_eq!(pipe.take(), stream);
    }

    #[test]
    fn bytes_pass_unchanged_in_one_piece() {
        let stream = [&b"nn\x01a\x40\x41"[..], &[b'b'; 65], b"\0tag"].concat();
        let (mut gate, pipe) = (ChunkGate::new(2), Pipe::default());
        gate.push(&stream, &pipe);
        assert_eq!((pipe.take(), gate.final_bytes()), (stream, Some(3)));
    }
}
