//! The inner answer: binary HTTP of indeterminate length (RFC 9292, section 3.2), written and read
//! as it comes (spec/seal.md 2.2).

use bytes::Bytes;

use crate::fields::{
    BadField, FIELDS_BYTES_MAX, FIELDS_MAX, Fields, Reader, Unread, put_integer, put_lines,
    put_string,
};

/// How large the content of one answer may be: far above the longest text, and a bound nonetheless.
pub const RESPONSE_CONTENT_MAX: u64 = 16 * 1024 * 1024;

/// Framing indicator of a response of indeterminate length (RFC 9292, section 3.3).
const INDETERMINATE_LENGTH: u64 = 3;
/// What ends the lines of a section, and the chunks of the content.
const TERMINATOR: usize = 0;

/// What the client learns of an answer, in this order: one head, bodies, one of trailers, one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseEvent {
    /// Status and headers.
    Head {
        /// The HTTP status, 200 to 599.
        status: u16,
        /// The headers, names in lower case.
        headers: Fields,
    },
    /// Some more of the content.
    Body(Bytes),
    /// The trailers, which may be none.
    Trailers(Fields),
    /// The answer is complete. What still arrives is filler.
    End,
}

/// Why an answer cannot be written as asked; nothing was queued then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// A header or trailer cannot be written.
    #[error(transparent)]
    Field(#[from] BadField),
    /// The parts of an answer are a head, content and an end, in this order.
    #[error("the answer's head, content and end were not given in this order")]
    OutOfOrder,
    /// A status outside 200 to 599.
    #[error("{status} is not a final HTTP status")]
    Status {
        /// The status that was given.
        status: u16,
    },
    /// More content than [`RESPONSE_CONTENT_MAX`].
    #[error("the answer exceeds {RESPONSE_CONTENT_MAX} bytes")]
    TooLarge,
}

/// Writes an answer part by part.
#[derive(Debug, Default)]
pub(crate) struct ResponseEncoder {
    state: Writing,
    content: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writing {
    #[default]
    Head,
    Content,
    Ended,
}

impl ResponseEncoder {
    pub(crate) fn head(&mut self, status: u16, headers: &Fields) -> Result<Vec<u8>, ResponseError> {
        self.expect(Writing::Head)?;
        if !(200..600).contains(&status) {
            return Err(ResponseError::Status { status });
        }
        let mut out = Vec::new();
        put_integer(&mut out, INDETERMINATE_LENGTH as usize);
        put_integer(&mut out, usize::from(status));
        put_lines(&mut out, headers)?;
        put_integer(&mut out, TERMINATOR);
        self.state = Writing::Content;
        Ok(out)
    }

    /// A chunk of content; nothing for no bytes, because an empty chunk would end the content.
    pub(crate) fn body(&mut self, content: &[u8]) -> Result<Vec<u8>, ResponseError> {
        self.expect(Writing::Content)?;
        if self.content + content.len() as u64 > RESPONSE_CONTENT_MAX {
            return Err(ResponseError::TooLarge);
        }
        self.content += content.len() as u64;
        let mut out = Vec::with_capacity(content.len() + 8);
        if !content.is_empty() {
            put_string(&mut out, content);
        }
        Ok(out)
    }

    pub(crate) fn end(&mut self, trailers: &Fields) -> Result<Vec<u8>, ResponseError> {
        self.expect(Writing::Content)?;
        let mut out = Vec::new();
        put_integer(&mut out, TERMINATOR);
        put_lines(&mut out, trailers)?;
        put_integer(&mut out, TERMINATOR);
        self.state = Writing::Ended;
        Ok(out)
    }

    /// Whether the end was written.
    pub(crate) fn ended(&self) -> bool {
        self.state == Writing::Ended
    }

    fn expect(&self, state: Writing) -> Result<(), ResponseError> {
        if self.state == state { Ok(()) } else { Err(ResponseError::OutOfOrder) }
    }
}

/// Reads an answer as its bytes arrive, holding back at most one unfinished field line.
#[derive(Debug, Default)]
pub(crate) struct ResponseDecoder {
    state: Reading,
    pending: Vec<u8>,
    content: u64,
}

#[derive(Debug, Default)]
enum Reading {
    #[default]
    Indicator,
    Status,
    Headers {
        status: u16,
        section: Section,
    },
    ChunkLength,
    Chunk {
        left: u64,
    },
    Trailers(Section),
    Ended,
}

/// A section of fields, with the bytes that it took so far.
#[derive(Debug, Default)]
struct Section {
    fields: Fields,
    bytes: usize,
}

/// Why an answer cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadResponse {
    Malformed,
    TooLarge,
}

impl ResponseDecoder {
    /// Takes the next bytes and appends what they complete to `events`.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        events: &mut Vec<ResponseEvent>,
    ) -> Result<(), BadResponse> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let mut reader = Reader::new(&pending);
        loop {
            match self.step(&mut reader, events) {
                Ok(()) => {}
                Err(Unready::Short) => break,
                Err(Unready::Bad(bad)) => return Err(bad),
            }
        }
        let read = reader.position();
        pending.drain(..read);
        self.pending = pending;
        Ok(())
    }

    /// Whether the whole answer was read.
    pub(crate) fn ended(&self) -> bool {
        matches!(self.state, Reading::Ended)
    }

    /// Reads one item, or finds that it has not arrived as a whole.
    fn step(
        &mut self,
        reader: &mut Reader<'_>,
        events: &mut Vec<ResponseEvent>,
    ) -> Result<(), Unready> {
        self.state = match std::mem::take(&mut self.state) {
            Reading::Indicator => match reader.integer() {
                Ok(INDETERMINATE_LENGTH) => Reading::Status,
                Ok(_) => return Err(Unready::Bad(BadResponse::Malformed)),
                Err(unread) => return Err(unread.into()),
            },
            Reading::Status => match self.integer(reader, Reading::Status)? {
                status @ 200..600 => {
                    Reading::Headers { status: status as u16, section: Section::default() }
                }
                _ => return Err(Unready::Bad(BadResponse::Malformed)),
            },
            Reading::Headers { status, mut section } => match section.read(reader) {
                Ok(true) => {
                    events.push(ResponseEvent::Head { status, headers: section.fields });
                    Reading::ChunkLength
                }
                Ok(false) => Reading::Headers { status, section },
                Err(unready) => {
                    self.state = Reading::Headers { status, section };
                    return Err(unready);
                }
            },
            Reading::ChunkLength => match self.integer(reader, Reading::ChunkLength)? {
                0 => Reading::Trailers(Section::default()),
                left => {
                    self.content = self.content.saturating_add(left);
                    if self.content > RESPONSE_CONTENT_MAX {
                        return Err(Unready::Bad(BadResponse::TooLarge));
                    }
                    Reading::Chunk { left }
                }
            },
            Reading::Chunk { left } => {
                let bytes = reader.up_to(left as usize);
                if bytes.is_empty() {
                    self.state = Reading::Chunk { left };
                    return Err(Unready::Short);
                }
                events.push(ResponseEvent::Body(Bytes::copy_from_slice(bytes)));
                match left - bytes.len() as u64 {
                    0 => Reading::ChunkLength,
                    left => Reading::Chunk { left },
                }
            }
            Reading::Trailers(mut section) => match section.read(reader) {
                Ok(true) => {
                    events.push(ResponseEvent::Trailers(section.fields));
                    events.push(ResponseEvent::End);
                    Reading::Ended
                }
                Ok(false) => Reading::Trailers(section),
                Err(unready) => {
                    self.state = Reading::Trailers(section);
                    return Err(unready);
                }
            },
            Reading::Ended => {
                let extra = !reader.rest().is_empty();
                self.state = Reading::Ended;
                return Err(if extra {
                    Unready::Bad(BadResponse::Malformed)
                } else {
                    Unready::Short
                });
            }
        };
        Ok(())
    }

    /// Reads an integer, or stays in `state` until it has arrived.
    fn integer(&mut self, reader: &mut Reader<'_>, state: Reading) -> Result<u64, Unready> {
        reader.integer().map_err(|unread| {
            self.state = state;
            unread.into()
        })
    }
}

/// Why there is no next item.
enum Unready {
    Short,
    Bad(BadResponse),
}

impl From<Unread> for Unready {
    fn from(unread: Unread) -> Unready {
        match unread {
            Unread::Short => Unready::Short,
            Unread::Wrong => Unready::Bad(BadResponse::Malformed),
        }
    }
}

impl Section {
    /// Reads one line; true when it was the terminator.
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<bool, Unready> {
        let start = reader.position();
        let Some(line) = reader.line()? else {
            return Ok(true);
        };
        self.fields.push(line);
        self.bytes += reader.position() - start;
        if self.fields.len() > FIELDS_MAX || self.bytes > FIELDS_BYTES_MAX {
            return Err(Unready::Bad(BadResponse::TooLarge));
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
