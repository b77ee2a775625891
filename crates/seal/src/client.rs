//! The client's side: sealing a request, opening its answer (spec/seal.md 2 to 5).

use futures_util::io::{AsyncRead, AsyncWrite};
use ohttp::ClientRequest;

use crate::{
    frame::{BadFrame, FRAME_BYTES, FrameReader, RESPONSE_CLASS_MAX},
    gate::ChunkGate,
    keys::{KeyListError, choose_key},
    pacing::Pacing,
    pipe::{self, Fault, Pipe},
    pod::{CHUNK_BYTES_MAX, TAG_BYTES},
    request::{self, InnerRequest, SealError},
    response::{BadResponse, ResponseDecoder, ResponseEvent},
};

/// The nonce that an answer begins with.
const NONCE_BYTES: u64 = 16;
/// How many bytes a sealed answer may have: those of the largest class, and the nonce before and
/// the final chunk behind them. It bounds chunks that carry nothing, too.
pub const SEALED_RESPONSE_BYTES_MAX: u64 =
    NONCE_BYTES + RESPONSE_CLASS_MAX * (2 + FRAME_BYTES + TAG_BYTES) as u64 + 1 + TAG_BYTES as u64;

/// A sender context, made ahead of time and used for one request.
///
/// Making it does the public-key work, so that sealing costs a few microseconds: a gateway keeps
/// one ready for the pod that it would ask next.
pub struct RequestSealer {
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    sealed: Pipe,
    response: Box<dyn AsyncRead + Send + Unpin>,
    incoming: Pipe,
}

/// Secrets are not shown.
impl std::fmt::Debug for RequestSealer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RequestSealer").finish_non_exhaustive()
    }
}

impl RequestSealer {
    /// Encapsulates to the first key of a pod's key list that is of our algorithms.
    ///
    /// # Errors
    /// A list that cannot be read or that has no such key.
    ///
    /// # Security
    /// The list must come from a key config whose signature was checked.
    pub fn new(config_list: &[u8]) -> Result<RequestSealer, KeyListError> {
        let key = choose_key(config_list)?;
        let malformed = |_| KeyListError::Malformed;
        let client = ClientRequest::from_encoded_config(key).map_err(malformed)?;
        let (sealed, incoming) = (Pipe::default(), Pipe::default());
        let writer = client.encapsulate_stream(sealed.clone()).map_err(malformed)?;
        let response = writer.response(incoming.clone()).map_err(malformed)?;
        Ok(RequestSealer {
            writer: Box::new(writer),
            sealed,
            response: Box::new(response),
            incoming,
        })
    }

    /// Seals the request; its answer is opened by what is returned beside it.
    ///
    /// # Errors
    /// A request that cannot be written, or that exceeds the largest size class.
    pub fn seal(mut self, request: &InnerRequest) -> Result<(Vec<u8>, ResponseOpener), SealError> {
        for chunk in request::encode(request)?.chunks(CHUNK_BYTES_MAX) {
            pipe::write_chunk(&mut self.writer, chunk);
        }
        pipe::close(&mut self.writer);
        let frames = match request.pacing {
            Pacing::Plain => None,
            Pacing::Off | Pacing::Ticks(_) => Some(FrameReader::default()),
        };
        let opener = ResponseOpener {
            stream: self.response,
            incoming: self.incoming,
            received: 0,
            gate: ChunkGate::new(NONCE_BYTES),
            chunk: vec![0; CHUNK_BYTES_MAX + TAG_BYTES],
            frames,
            decoder: ResponseDecoder::default(),
            failed: None,
        };
        Ok((self.sealed.take(), opener))
    }
}

/// Why an answer is refused. What was reported before stays true; nothing is reported after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A frame or the message inside breaks its format, or its length class.
    #[error("the sealed answer is malformed; report the pod")]
    Malformed,
    /// A chunk does not open: reordered, altered, or meant for another request.
    #[error("a chunk of the sealed answer was altered, moved or meant for another request")]
    Tampered,
    /// More content, fields or frames than an answer may have.
    #[error("the sealed answer exceeds its bounds")]
    TooLarge,
    /// The stream ended before its authenticated end.
    #[error("the sealed answer is cut off before its end")]
    Truncated,
}

impl From<BadFrame> for OpenError {
    fn from(bad: BadFrame) -> OpenError {
        match bad {
            BadFrame::Malformed => OpenError::Malformed,
            BadFrame::TooMany => OpenError::TooLarge,
        }
    }
}

impl From<BadResponse> for OpenError {
    fn from(bad: BadResponse) -> OpenError {
        match bad {
            BadResponse::Malformed => OpenError::Malformed,
            BadResponse::TooLarge => OpenError::TooLarge,
        }
    }
}

/// Opens one answer as its bytes arrive, in pieces of any size.
///
/// [`ResponseEvent::End`] comes at the inner end, while filler may still follow; a caller that
/// keeps the connection reads on, and lets [`finish`](Self::finish) check the rest.
pub struct ResponseOpener {
    stream: Box<dyn AsyncRead + Send + Unpin>,
    incoming: Pipe,
    received: u64,
    gate: ChunkGate,
    chunk: Vec<u8>,
    frames: Option<FrameReader>,
    decoder: ResponseDecoder,
    failed: Option<OpenError>,
}

/// Answers are private.
impl std::fmt::Debug for ResponseOpener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ResponseOpener")
            .field("ended", &self.ended())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl ResponseOpener {
    /// Takes the next sealed bytes and returns what they complete.
    ///
    /// # Errors
    /// The stream is refused, now and on every further call.
    pub fn push(&mut self, sealed: &[u8]) -> Result<Vec<ResponseEvent>, OpenError> {
        self.received += sealed.len() as u64;
        if self.received > SEALED_RESPONSE_BYTES_MAX {
            self.failed.get_or_insert(OpenError::TooLarge);
        } else if self.failed.is_none() {
            self.gate.push(sealed, &self.incoming);
        }
        self.advance()
    }

    /// Whether the inner end was reached: the answer is complete, whatever follows.
    pub fn ended(&self) -> bool {
        self.decoder.ended()
    }

    /// Says that the stream has ended, and checks that it may end there.
    ///
    /// # Errors
    /// The stream was refused before, was cut off, or ends off the boundary of its length class.
    pub fn finish(mut self) -> Result<(), OpenError> {
        self.incoming.end();
        // The final chunk of a pod carries nothing, so it completes nothing.
        if !self.advance()?.is_empty() {
            return Err(OpenError::Malformed);
        }
        if !self.ended() {
            return Err(OpenError::Truncated);
        }
        match &self.frames {
            Some(frames) if !frames.at_boundary() => Err(OpenError::Malformed),
            _ => Ok(()),
        }
    }

    fn advance(&mut self) -> Result<Vec<ResponseEvent>, OpenError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.read_chunks();
        self.failed = result.as_ref().err().copied();
        result
    }

    /// Reads every chunk that has arrived as a whole.
    fn read_chunks(&mut self) -> Result<Vec<ResponseEvent>, OpenError> {
        let mut events = Vec::new();
        let mut inner = Vec::new();
        loop {
            let before = self.incoming.taken();
            let Some(read) = pipe::read_some(&mut self.stream, &mut self.chunk) else {
                return Ok(events);
            };
            let read = read.map_err(|error| self.fault(Fault::of(&error)))?;
            if read == 0 && self.incoming.taken() == before {
                return self.at_end().map(|()| events);
            }
            match &mut self.frames {
                None => self.decoder.push(&self.chunk[..read], &mut events)?,
                Some(frames) => {
                    inner.clear();
                    frames.push(&self.chunk[..read], &mut inner)?;
                    self.decoder.push(&inner, &mut events)?;
                }
            }
        }
    }

    /// The stream says that it has ended; nothing may be left behind it.
    fn at_end(&self) -> Result<(), OpenError> {
        if self.incoming.waiting() > 0 { Err(OpenError::Malformed) } else { Ok(()) }
    }

    fn fault(&self, fault: Fault) -> OpenError {
        // A final chunk that was cut within its tag fails to open; what it lacks tells why.
        let cut = self.gate.final_bytes().is_some_and(|bytes| bytes < TAG_BYTES as u64);
        match fault {
            Fault::Cipher if cut => OpenError::Truncated,
            Fault::Cipher => OpenError::Tampered,
            Fault::Cut => OpenError::Truncated,
            Fault::Shape => OpenError::Malformed,
        }
    }
}
