//! The wire types of OpenAI's interface, and the two ways in which answers are streamed. Bytes
//! go in and values come out; nothing here waits, reads a clock or opens anything.
//!
//! ```
//! use subrosa_api::openai::{ChatRequest, Limits};
//!
//! let body = br#"{"model":"smollm2","messages":[{"role":"user","content":"Hi"}],"max_tokens":8}"#;
//! let request = ChatRequest::parse(body, &Limits::default())?;
//! assert_eq!(request.model(), "smollm2");
//! assert_eq!(request.max_tokens(), Some(8));
//! # Ok::<(), subrosa_api::openai::ApiError>(())
//! ```
//!
//! The three types to know: [`openai::ChatRequest`] is what a caller asks, [`openai::ChatStream`]
//! makes the chunks of an answer, and [`sse::Decoder`] reads them on the other side.

mod json;
mod lines;
pub mod ndjson;
pub mod openai;
pub mod sse;
