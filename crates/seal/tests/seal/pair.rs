//! The smallest world: a pod with its keys, a client, and time as a number.

use bytes::Bytes;
use subrosa_protocol::Timestamp;
use subrosa_seal::{
    Envelope, Fields, InnerRequest, KeyRing, OpenError, OpenRefusal, Pacing, ReplayGuard,
    RequestSealer, ResponseEvent, ResponseOpener, ResponseSealer, Tick,
};

pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000);
/// Key id, algorithms, encapsulated key: what stands before the first chunk of a request.
pub(crate) const REQUEST_HEADER: usize = 7 + 1_120;
/// The nonce before the first chunk of an answer.
pub(crate) const RESPONSE_HEADER: usize = 16;

pub(crate) struct Pod {
    pub(crate) ring: KeyRing,
    pub(crate) guard: ReplayGuard,
}

impl Pod {
    pub(crate) fn new() -> Pod {
        Pod { ring: KeyRing::new(NOW), guard: ReplayGuard::default() }
    }

    pub(crate) fn open(
        &self,
        sealed: &[u8],
    ) -> Result<(InnerRequest, ResponseSealer), OpenRefusal> {
        self.ring.open(sealed, NOW, &self.guard)
    }

    /// The refusal of a request that must be refused.
    pub(crate) fn refuse(&self, sealed: &[u8]) -> OpenRefusal {
        self.open(sealed).map(|(request, _)| request).expect_err("it should be refused")
    }

    pub(crate) fn seal(&self, request: &InnerRequest) -> (Vec<u8>, ResponseOpener) {
        RequestSealer::new(self.ring.config_list()).unwrap().seal(request).unwrap()
    }

    /// Both ends of an answer to a small request.
    pub(crate) fn ask(&self, pacing: Pacing) -> (ResponseSealer, ResponseOpener) {
        let (sealed, opener) = self.seal(&question(pacing));
        (self.open(&sealed).unwrap().1, opener)
    }
}

pub(crate) fn question(pacing: Pacing) -> InnerRequest {
    InnerRequest {
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        headers: vec![("content-type".into(), b"application/json".to_vec())],
        body: b"{\"model\":\"smollm2\"}".to_vec(),
        envelope: Envelope {
            order: Some(vec![1; 289]),
            time: NOW,
            salt: [7; 32],
            ..Envelope::default()
        },
        pacing,
    }
}

pub(crate) fn ticks(ms: u16) -> Pacing {
    Pacing::Ticks(Tick::from_ms(ms).unwrap())
}

/// Everything that is to be sent now (with ticks: until the end).
pub(crate) fn drain(sealer: &mut ResponseSealer) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| sealer.next_frame()).collect()
}

/// A whole answer, chunk by chunk.
pub(crate) fn answer(sealer: &mut ResponseSealer, content: &[u8]) -> Vec<Vec<u8>> {
    sealer.head(200, &Fields::new()).unwrap();
    sealer.body(content).unwrap();
    sealer.trailers_and_end(&vec![("x-receipt".into(), b"r".to_vec())]).unwrap();
    let frames = drain(sealer);
    assert!(sealer.done());
    frames
}

/// Opens an answer that arrives in these pieces and then ends.
pub(crate) fn receive<'a>(
    mut opener: ResponseOpener,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<ResponseEvent>, OpenError> {
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(opener.push(piece)?);
    }
    opener.finish()?;
    Ok(events)
}

/// The content that some events carry, in one piece.
pub(crate) fn content(events: &[ResponseEvent]) -> Bytes {
    let bodies = events.iter().filter_map(|event| match event {
        ResponseEvent::Body(bytes) => Some(bytes.as_ref()),
        _ => None,
    });
    bodies.collect::<Vec<_>>().concat().into()
}

/// Splits sealed bytes into what stands before the chunks, and the chunks with their lengths.
pub(crate) fn split_chunks(sealed: &[u8], header: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut chunks = Vec::new();
    let mut at = header;
    while at < sealed.len() {
        let width = 1 << (sealed[at] >> 6);
        let head = u64::from(sealed[at] & 0x3f);
        let length = sealed[at + 1..at + width].iter().fold(head, |n, b| n << 8 | u64::from(*b));
        let end = if length == 0 { sealed.len() } else { at + width + length as usize };
        chunks.push(sealed[at..end].to_vec());
        at = end;
    }
    (sealed[..header].to_vec(), chunks)
}

/// What [`split_chunks`] took apart.
pub(crate) fn join(header: &[u8], chunks: &[Vec<u8>]) -> Vec<u8> {
    [header, &chunks.concat()].concat()
}
