//! Server-sent events, as OpenAI streams: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use bytes::Bytes;
use serde::Serialize;
use thiserror::Error;

use crate::lines::{Ends, Lines, TooLong};

/// The media type of such a stream.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// The event that ends a stream of chat chunks.
pub const DONE: &[u8] = b"data: [DONE]\n\n";

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Why a stream of events cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SseError {
    /// One event is larger than the decoder's bound.
    #[error("an event of the stream is larger than {limit} bytes")]
    EventTooLarge {
        /// The decoder's bound.
        limit: usize,
    },
    /// An event is not UTF-8.
    #[error("an event of the stream is not UTF-8")]
    NotUtf8,
    /// The stream ended inside an event.
    #[error("the stream ended inside an event")]
    Truncated,
}

/// One value as an event: `data: {…}` and an empty line.
///
/// # Panics
/// Where the value's own `Serialize` fails; the types of this crate never do.
pub fn encode(value: &impl Serialize) -> Bytes {
    let mut event = b"data: ".to_vec();
    serde_json::to_writer(&mut event, value).expect("wire types always serialise");
    event.extend_from_slice(b"\n\n");
    event.into()
}

/// One event of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// The event's name, where it has one; OpenAI's chat chunks have none.
    pub name: Option<String>,
    /// Its data; several data lines are joined by line feeds.
    pub data: String,
}

impl Event {
    /// Whether this is the event that ends a stream of chat chunks.
    pub fn is_done(&self) -> bool {
        self.data == "[DONE]"
    }
}

/// Reads events out of bytes that arrive in any pieces. Lines may end in LF, CR or CR LF; comments,
/// `id` and `retry` are skipped, and so are events without data.
#[derive(Debug)]
pub struct Decoder {
    lines: Lines,
    event: Pending,
}

impl Decoder {
    /// A decoder that refuses events of more than `event_bytes_max` bytes.
    pub fn new(event_bytes_max: usize) -> Self {
        Decoder {
            lines: Lines::new(Ends::Any, event_bytes_max),
            event: Pending {
                name: None,
                data: None,
                bytes: 0,
                bytes_max: event_bytes_max,
                at_start: true,
            },
        }
    }

    /// The events that these bytes complete.
    ///
    /// # Errors
    /// An event beyond the bound or not UTF-8; the stream is then of no further use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, SseError> {
        let mut whole = Vec::new();
        let limit = self.event.bytes_max;
        let event = &mut self.event;
        self.lines
            .push(bytes, |line| -> Result<(), Fault> {
                whole.extend(event.line(line)?);
                Ok(())
            })
            .map_err(|fault| match fault {
                Fault::NotUtf8 => SseError::NotUtf8,
                Fault::TooLarge => SseError::EventTooLarge { limit },
            })?;
        Ok(whole)
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`SseError::Truncated`] where it ended inside an event. The standard drops such an event in
    /// silence; here it would hide that an answer was cut.
    pub fn finish(self) -> Result<(), SseError> {
        if self.event.is_empty() && self.lines.rest().is_empty() {
            return Ok(());
        }
        Err(SseError::Truncated)
    }
}

enum Fault {
    NotUtf8,
    TooLarge,
}

impl From<TooLong> for Fault {
    fn from(_: TooLong) -> Self {
        Fault::TooLarge
    }
}

/// The event whose lines are arriving.
#[derive(Debug)]
struct Pending {
    name: Option<String>,
    data: Option<String>,
    bytes: usize,
    bytes_max: usize,
    at_start: bool,
}

impl Pending {
    fn line(&mut self, mut line: &[u8]) -> Result<Option<Event>, Fault> {
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        if line[0] == b':' {
            return Ok(None);
        }
        self.bytes += line.len();
        if self.bytes > self.bytes_max {
            return Err(Fault::TooLarge);
        }
        let line = std::str::from_utf8(line).map_err(|_| Fault::NotUtf8)?;
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                None => self.data = Some(value.to_owned()),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            },
            "event" => self.name = Some(value.to_owned()),
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<Event> {
        self.bytes = 0;
        let name = self.name.take().filter(|name| !name.is_empty());
        let data = self.data.take()?;
        Some(Event { name, data })
    }

    fn is_empty(&self) -> bool {
        self.data.is_none() && self.name.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_in_pieces(stream: &[u8], at: usize) -> Vec<Event> {
        let mut decoder = Decoder::new(64);
        let mut events = decoder.push(&stream[..at]).unwrap();
        events.extend(decoder.push(&stream[at..]).unwrap());
        decoder.finish().unwrap();
        events
    }

    fn unnamed(data: &str) -> Event {
        Event { name: None, data: data.into() }
    }

    #[test]
    fn a_value_is_one_event() {
        let event = encode(&serde_json::json!({"a": "x\ny"}));
        assert_eq!(event, &b"data: {\"a\":\"x\\ny\"}\n\n"[..]);
    }

    #[test]
    fn events_come_out_whole_however_the_bytes_arrive() {
        let stream =
            "\u{feff}: hello\r\n\r\ndata: {\"é\":1}\r\n\r\nevent: note\rdata:a\rdata: b\r\rid: 7\n\
             retry: 10\ndata\n\ndata: [DONE]\n\n"
                .as_bytes();
        let note = Event { name: Some("note".into()), data: "a\nb".into() };
        let expected = [unnamed("{\"é\":1}"), note, unnamed(""), unnamed("[DONE]")];
        for at in 0..=stream.len() {
            assert_eq!(read_in_pieces(stream, at), expected, "split at {at}");
        }
        assert!(expected[3].is_done());
    }

    #[test]
    fn an_event_without_data_is_skipped() {
        assert_eq!(read_in_pieces(b"event: ping\n\ndata: 1\n\n", 0), [unnamed("1")]);
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let mut stream = encode(&serde_json::json!({"text": "a\u{2028}b\r\n"})).to_vec();
        stream.extend_from_slice(DONE);
        let events = read_in_pieces(&stream, 9);
        assert_eq!(events[0].data, "{\"text\":\"a\u{2028}b\\r\\n\"}");
        assert!(events[1].is_done());
    }

    #[test]
    fn refuses_an_event_beyond_the_bound_in_one_line_or_in_many() {
        let too_large = Err(SseError::EventTooLarge { limit: 16 });
        let mut decoder = Decoder::new(16);
        assert_eq!(decoder.push(b"data: 12345678901"), too_large);
        let mut decoder = Decoder::new(16);
        assert_eq!(decoder.push(b"data: 1\ndata: 2\ndata: 3\n"), too_large);
        let mut decoder = Decoder::new(16);
        assert_eq!(decoder.push(b"data: 1\n\ndata: 2\n\ndata: 3\n\n").unwrap().len(), 3);
    }

    #[test]
    fn refuses_an_end_inside_an_event() {
        for stream in ["data: 1", "data: 1\n", "event: x\n"] {
            let mut decoder = Decoder::new(64);
            assert_eq!(decoder.push(stream.as_bytes()).unwrap(), []);
            assert_eq!(decoder.finish(), Err(SseError::Truncated), "{stream:?}");
        }
    }

    #[test]
    fn refuses_what_is_not_utf8() {
        let mut decoder = Decoder::new(64);
        assert_eq!(decoder.push(b"data: \xff\n"), Err(SseError::NotUtf8));
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
