//! The pod's side: opening a request, sealing its answer (spec/seal.md 2 and 4 to 6).

use bytes::BytesMut;
use futures_util::io::AsyncWrite;
use subrosa_protocol::Timestamp;

use crate::{
    envelope::BadEnvelope,
    fields::Fields,
    frame::{RESPONSE_CLASS_MAX, next_frame, response_class},
    keys::{ALGORITHMS, ENCAPSULATED_KEY_BYTES, HEADER_BYTES, KeyRing, ServerKeys},
    pacing::Pacing,
    pipe::{self, Fault, Pipe},
    replay::{ReplayGuard, Suspicion},
    request::{self, BadRequest, InnerRequest, REQUEST_CLASS_MAX},
    response::{ResponseEncoder, ResponseError},
};

/// The plaintext of the largest chunk of chunked OHTTP.
pub(crate) const CHUNK_BYTES_MAX: usize = 16 * 1024;
/// What the AEAD adds to a chunk.
pub(crate) const TAG_BYTES: usize = 16;
/// How long a sealed request may be: the largest size class as our own clients seal it.
pub const SEALED_REQUEST_BYTES_MAX: usize = sealed_request_bytes(REQUEST_CLASS_MAX);

/// How long a request of that many (padded) bytes is once it is sealed.
pub const fn sealed_request_bytes(plaintext: usize) -> usize {
    let full = plaintext / CHUNK_BYTES_MAX * (4 + CHUNK_BYTES_MAX + TAG_BYTES);
    let last = match plaintext % CHUNK_BYTES_MAX {
        0 => 0,
        rest => 2 + rest + TAG_BYTES,
    };
    HEADER_BYTES + ENCAPSULATED_KEY_BYTES + full + last + 1 + TAG_BYTES
}

/// Why a sealed request is refused. The pod's state is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenRefusal {
    /// The envelope inside is incomplete, repeated, unknown or unreadable.
    #[error("the sealed request has a bad envelope: {0}")]
    BadEnvelope(BadEnvelope),
    /// Too many requests of the last minutes are remembered to tell a new one from a replay.
    #[error("the pod cannot remember more requests at the moment; try again in a minute")]
    GuardFull,
    /// The header, a chunk's length or the message inside breaks its format.
    #[error("the sealed request is malformed")]
    Malformed,
    /// The same sealed bytes were opened before.
    #[error("the sealed request was answered before; seal it anew to try again")]
    Replayed,
    /// The time inside is more than [`TIME_SKEW`](crate::TIME_SKEW) from the pod's.
    #[error("the request was sealed at {sent}, the pod's clock says {now}; set the clock")]
    StaleTime {
        /// The time inside the request.
        sent: Timestamp,
        /// The pod's time.
        now: Timestamp,
    },
    /// A chunk after the first does not open: reordered, repeated or altered on the way.
    #[error("a chunk of the sealed request was altered or moved; seal it anew to try again")]
    Tampered,
    /// More bytes than the largest size class has.
    #[error("the sealed request is longer than {SEALED_REQUEST_BYTES_MAX} bytes")]
    TooLarge,
    /// The bytes end before the final chunk does.
    #[error("the sealed request is cut off; send it whole")]
    Truncated,
    /// The key that it names is not, or no longer, one of the pod's.
    #[error(
        "the request is sealed to a key that the pod does not have; fetch its key and seal anew"
    )]
    UnknownKey,
    /// It does not open with the key that it names: sealed to another key of that id, or altered.
    #[error("the request does not open with the pod's key; fetch the key and seal anew")]
    WrongKey,
}

impl OpenRefusal {
    /// Whether the client should fetch the key config and try again, once. That is safe: nothing of
    /// the request was acted upon.
    pub fn asks_for_new_key(&self) -> bool {
        matches!(self, OpenRefusal::UnknownKey | OpenRefusal::WrongKey)
    }
}

impl From<BadRequest> for OpenRefusal {
    fn from(bad: BadRequest) -> OpenRefusal {
        match bad {
            BadRequest::Envelope(bad) => OpenRefusal::BadEnvelope(bad),
            BadRequest::Malformed => OpenRefusal::Malformed,
        }
    }
}

impl KeyRing {
    /// Opens a sealed request and prepares the sealing of its answer.
    ///
    /// # Errors
    /// Nothing of a refused request is known to be true, and none of it is remembered.
    pub fn open(
        &self,
        sealed: &[u8],
        now: Timestamp,
        guard: &ReplayGuard,
    ) -> Result<(InnerRequest, ResponseSealer), OpenRefusal> {
        if sealed.len() > SEALED_REQUEST_BYTES_MAX {
            return Err(OpenRefusal::TooLarge);
        }
        let header = sealed.get(..HEADER_BYTES).ok_or(OpenRefusal::Truncated)?;
        let keys = self.find(header[0], now).ok_or(OpenRefusal::UnknownKey)?;
        if header[1..] != ALGORITHMS {
            return Err(OpenRefusal::Malformed);
        }
        let key_end = HEADER_BYTES + ENCAPSULATED_KEY_BYTES;
        let encapsulated_key = sealed.get(HEADER_BYTES..key_end).ok_or(OpenRefusal::Truncated)?;
        // Asked before the expensive part; only `admit` decides.
        if guard.knows(encapsulated_key) {
            return Err(OpenRefusal::Replayed);
        }
        let (plaintext, writer, pipe) = open_stream(keys, sealed)?;
        let request = request::decode(&plaintext)?;
        let sent = request.envelope.time;
        guard.admit(encapsulated_key, sent, now).map_err(|suspicion| match suspicion {
            Suspicion::Full => OpenRefusal::GuardFull,
            Suspicion::Replayed => OpenRefusal::Replayed,
            Suspicion::Stale => OpenRefusal::StaleTime { sent, now },
        })?;
        let sealer = ResponseSealer::new(writer, pipe, request.pacing);
        Ok((request, sealer))
    }
}

type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Decrypts all chunks, and derives the answer's stream and the pipe that it writes to.
fn open_stream(keys: &ServerKeys, sealed: &[u8]) -> Result<(Vec<u8>, Writer, Pipe), OpenRefusal> {
    let source = Pipe::default();
    source.push(sealed);
    source.end();
    let mut stream = keys.server.clone().decapsulate_stream(source.clone());
    let mut plaintext = Vec::with_capacity(sealed.len());
    let mut chunk = vec![0; CHUNK_BYTES_MAX + TAG_BYTES];
    let mut opened_any = false;
    loop {
        let before = source.waiting();
        let read = pipe::read_some(&mut stream, &mut chunk).expect("the pipe has ended");
        let read = read.map_err(|error| match Fault::of(&error) {
            Fault::Cipher if opened_any => OpenRefusal::Tampered,
            Fault::Cipher => OpenRefusal::WrongKey,
            Fault::Cut => OpenRefusal::Truncated,
            Fault::Shape => OpenRefusal::Malformed,
        })?;
        opened_any = true;
        plaintext.extend_from_slice(&chunk[..read]);
        // No bytes: an empty chunk, or the end. Only the end takes nothing from the source.
        if read == 0 && source.waiting() == before {
            break;
        }
    }
    if source.waiting() > 0 {
        return Err(OpenRefusal::Malformed);
    }
    let sink = Pipe::default();
    let writer = stream.response(sink.clone()).expect("the request's header was read");
    Ok((plaintext, Box::new(writer), sink))
}

/// Seals one answer: takes its parts, gives the chunks to send and when.
///
/// The caller sends what [`next_frame`](Self::next_frame) returns, no sooner than
/// [`due_ms`](Self::due_ms) says, until [`done`](Self::done).
pub struct ResponseSealer {
    writer: Writer,
    pipe: Pipe,
    pacing: Pacing,
    encoder: ResponseEncoder,
    queue: BytesMut,
    frames: u64,
    done: bool,
}

/// Answers are private: only the progress is shown.
impl std::fmt::Debug for ResponseSealer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ResponseSealer")
            .field("pacing", &self.pacing)
            .field("frames", &self.frames)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl ResponseSealer {
    fn new(writer: Writer, pipe: Pipe, pacing: Pacing) -> ResponseSealer {
        ResponseSealer {
            writer,
            pipe,
            pacing,
            encoder: ResponseEncoder::default(),
            queue: BytesMut::new(),
            frames: 0,
            done: false,
        }
    }

    /// How the client asked for its answer to be paced.
    pub fn pacing(&self) -> Pacing {
        self.pacing
    }

    /// Queues status and headers.
    ///
    /// # Errors
    /// A status or a field that cannot be written, or a second head. Nothing is queued then.
    pub fn head(&mut self, status: u16, headers: &Fields) -> Result<(), ResponseError> {
        let bytes = self.encoder.head(status, headers)?;
        self.queue.extend_from_slice(&bytes);
        Ok(())
    }

    /// Queues some of the content.
    ///
    /// # Errors
    /// Content before the head, after the end, or beyond its bound. Nothing is queued then.
    pub fn body(&mut self, content: &[u8]) -> Result<(), ResponseError> {
        let bytes = self.encoder.body(content)?;
        self.queue.extend_from_slice(&bytes);
        Ok(())
    }

    /// Queues the trailers, which may be none, and the end.
    ///
    /// # Errors
    /// A field that cannot be written, or an end before the head. Nothing is queued then.
    pub fn trailers_and_end(&mut self, trailers: &Fields) -> Result<(), ResponseError> {
        let bytes = self.encoder.end(trailers)?;
        self.queue.extend_from_slice(&bytes);
        Ok(())
    }

    /// How many bytes wait to be sent. With ticks a fast engine runs ahead of them.
    pub fn queued_bytes(&self) -> usize {
        self.queue.len()
    }

    /// When the next chunk is due, in milliseconds after the request was received; 0 means at once.
    /// `None` while there is nothing to send.
    pub fn due_ms(&self) -> Option<u64> {
        match self.pacing {
            _ if self.done => None,
            Pacing::Ticks(tick) => Some((self.frames + 1) * u64::from(tick.ms())),
            Pacing::Off | Pacing::Plain => self.has_something_to_say().then_some(0),
        }
    }

    /// The next sealed chunk, to be sent and flushed as it is. `None` while there is nothing to send.
    ///
    /// With ticks there is always one, of filler if need be. The last one carries the final chunk,
    /// which authenticates the end.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        if self.done {
            return None;
        }
        match self.pacing {
            Pacing::Ticks(_) => {}
            Pacing::Off | Pacing::Plain if self.has_something_to_say() => {}
            Pacing::Off | Pacing::Plain => return None,
        }
        if self.pacing == Pacing::Plain {
            let length = self.queue.len().min(CHUNK_BYTES_MAX);
            pipe::write_chunk(&mut self.writer, &self.queue.split_to(length));
        } else {
            pipe::write_chunk(&mut self.writer, &next_frame(&mut self.queue));
        }
        self.frames += 1;
        if self.is_over() {
            pipe::close(&mut self.writer);
            self.done = true;
        }
        Some(self.pipe.take())
    }

    /// Whether everything was given out: the inner end, filler up to the class, the final chunk.
    pub fn done(&self) -> bool {
        self.done
    }

    /// Once the end is queued there is always more to send: it, filler, the final chunk.
    fn has_something_to_say(&self) -> bool {
        !self.queue.is_empty() || self.encoder.ended()
    }

    fn is_over(&self) -> bool {
        let said_everything = self.queue.is_empty() && self.encoder.ended();
        match self.pacing {
            Pacing::Plain => said_everything,
            // An answer that outlasts the largest class ends there without its inner end, which
            // the client reports as truncated.
            _ if self.frames == RESPONSE_CLASS_MAX => true,
            _ => said_everything && response_class(self.frames) == self.frames,
        }
    }
}
