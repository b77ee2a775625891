//! OpenAI's chat completions: what a caller asks, and what it is answered.

mod answer;
mod error;
mod message;
mod request;

pub use answer::{
    ChatChunk, ChatCompletion, ChatStream, Choice, ChunkChoice, Delta, FinishReason, Model,
    ModelList, Reply, Usage,
};
pub use error::{ApiError, ErrorBody, ErrorDetail};
pub use message::{Content, Message, Part, Role};
pub use request::{ChatRequest, Limits};
