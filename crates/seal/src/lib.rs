//! The seal: a request that only one attested pod can read, and its answer as a stream that shows a
//! network neither what it says nor how long its words are (spec/seal.md).
//!
//! Oblivious HTTP in chunks with a post-quantum KEM, binary HTTP inside, frames of one size around
//! the answer. Nothing here waits or reads a clock: bytes go in, bytes come out.
//!
//! ```
//! use subrosa_protocol::Timestamp;
//! use subrosa_seal::{
//!     Envelope, InnerRequest, KeyRing, Pacing, ReplayGuard, RequestSealer, ResponseEvent,
//! };
//!
//! let now = Timestamp(1_800_000_000);
//! let (ring, guard) = (KeyRing::new(now), ReplayGuard::default());
//! let request = InnerRequest {
//!     method: "POST".into(),
//!     path: "/v1/chat/completions".into(),
//!     headers: vec![("content-type".into(), b"application/json".to_vec())],
//!     body: b"{}".to_vec(),
//!     envelope: Envelope { time: now, salt: [7; 32], ..Envelope::default() },
//!     pacing: Pacing::Off,
//! };
//! let sealer = RequestSealer::new(ring.config_list())?; // ahead of time
//! let (sealed, mut opener) = sealer.seal(&request)?;
//!
//! let (opened, mut answer) = ring.open(&sealed, now, &guard)?;
//! assert_eq!(opened, request);
//! answer.head(200, &vec![])?;
//! answer.trailers_and_end(&vec![])?;
//!
//! let mut events = Vec::new();
//! while let Some(frame) = answer.next_frame() {
//!     events.extend(opener.push(&frame)?);
//! }
//! opener.finish()?;
//! assert_eq!(events.last(), Some(&ResponseEvent::End));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The three types to know: [`RequestSealer`] on the client, [`KeyRing`] on the pod, and
//! [`InnerRequest`], which is what passes between them.

mod class;
mod client;
mod envelope;
mod fields;
mod frame;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gate;
mod keys;
mod pacing;
mod pipe;
mod pod;
mod replay;
mod request;
mod response;

pub use client::{OpenError, RequestSealer, ResponseOpener, SEALED_RESPONSE_BYTES_MAX};
pub use envelope::{BadEnvelope, Envelope};
pub use fields::{BadField, FIELDS_BYTES_MAX, FIELDS_MAX, Fields, field};
pub use frame::{
    FRAME_BYTES, FRAME_PAYLOAD_MAX, RESPONSE_CLASS_FIRST, RESPONSE_CLASS_MAX, response_class,
};
pub use keys::{KEY_LIFE, KEY_ROTATION, KeyListError, KeyRing, ServerKeys};
pub use pacing::{Pacing, TICK_MS_DEFAULT, TICK_MS_MAX, TICK_MS_MIN, Tick};
pub use pod::{OpenRefusal, ResponseSealer, SEALED_REQUEST_BYTES_MAX, sealed_request_bytes};
pub use replay::{REPLAY_ENTRIES_MAX, ReplayGuard, TIME_SKEW};
pub use request::{
    InnerRequest, PATH_BYTES_MAX, REQUEST_CLASS_FIRST, REQUEST_CLASS_MAX, SealError, request_class,
};
pub use response::{RESPONSE_CONTENT_MAX, ResponseError, ResponseEvent};

/// The media type of a sealed request.
pub const MEDIA_TYPE_REQUEST: &str = "message/ohttp-chunked-req";
/// The media type of a sealed answer.
pub const MEDIA_TYPE_RESPONSE: &str = "message/ohttp-chunked-res";
/// The problem type that tells a client, outside the seal and with status 400, to fetch the pod's
/// key (RFC 9458, section 5.3); see [`OpenRefusal::asks_for_new_key`].
pub const PROBLEM_TYPE_KEY: &str = "https://iana.org/assignments/http-problem-types#ohttp-key";
