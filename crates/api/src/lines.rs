//! Lines out of bytes that arrive in any pieces, for both stream decoders.

/// Which bytes end a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// A line feed; a carriage return before it belongs to the end.
    LineFeed,
    /// A line feed, a carriage return, or both together, as server-sent events have it.
    Any,
}

/// Splits bytes into lines and holds back what is not yet a whole line.
#[derive(Debug)]
pub(crate) struct Lines {
    ends: Ends,
    partial: Vec<u8>,
    bytes_max: usize,
    after_return: bool,
}

/// A line is longer than its bound.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Lines {
    pub(crate) fn new(ends: Ends, bytes_max: usize) -> Self {
        Lines { ends, partial: Vec::new(), bytes_max, after_return: false }
    }

    /// Calls `each` for every line that `bytes` complete, without the line's end.
    pub(crate) fn push<E: From<TooLong>>(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| self.is_end(*byte)) else {
                return Ok(self.hold(bytes)?);
            };
            self.hold(&bytes[..end])?;
            self.after_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            let mut line = std::mem::take(&mut self.partial);
            if self.ends == Ends::LineFeed && line.last() == Some(&b'\r') {
                line.pop();
            }
            each(&line)?;
        }
        Ok(())
    }

    /// What came after the last line's end.
    pub(crate) fn rest(self) -> Vec<u8> {
        self.partial
    }

    fn is_end(&self, byte: u8) -> bool {
        byte == b'\n' || (byte == b'\r' && self.ends == Ends::Any)
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.partial.len() + bytes.len() > self.bytes_max {
            return Err(TooLong);
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}
