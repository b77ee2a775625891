//! Replies that hold nothing of a model: JSON and errors.

use bytes::Bytes;
use serde::Serialize;
use subrosa_api::openai::{ApiError, ErrorBody};
use subrosa_engine::EngineError;
use subrosa_seal::Fields;

use crate::outlet::Reply;

/// The type of everything that is not a stream.
pub(crate) const JSON: &str = "application/json";

/// The type of a stream.
pub(crate) const SSE: &str = "text/event-stream";

/// A JSON reply.
pub(crate) fn json(status: u16, body: &impl Serialize) -> Reply {
    let body = serde_json::to_vec(body).expect("our own replies are plain JSON");
    Reply { status, headers: content_type(JSON), body: Bytes::from(body) }
}

/// An error in OpenAI's form.
pub(crate) fn error(status: u16, kind: &str, code: &str, message: &str) -> Reply {
    json(status, &ErrorBody::new(kind, code, message))
}

/// An error that passes by itself.
pub(crate) fn retry_later(status: u16, code: &str, message: &str, after_s: u64) -> Reply {
    let mut reply = error(status, "server_error", code, message);
    reply.headers.push(("retry-after".to_owned(), after_s.to_string().into_bytes()));
    reply
}

/// The reply to a body that is no chat request.
pub(crate) fn bad_request(fault: &ApiError) -> Reply {
    json(fault.status(), &ErrorBody::from(fault))
}

/// The reply to a request that the engine did not take.
pub(crate) fn engine_refused(fault: &EngineError) -> Reply {
    let message = fault.to_string();
    let invalid = |code| error(400, "invalid_request_error", code, &message);
    match fault {
        EngineError::Busy { retry_after_s } => retry_later(429, "busy", &message, *retry_after_s),
        EngineError::Backend(_) | EngineError::Died { .. } => {
            // What a backend says of itself may hold what it was asked.
            retry_later(503, "backend_failed", "the model server failed; try again", 2)
        }
        EngineError::PromptTooLong { .. } => invalid("context_length_exceeded"),
        EngineError::UnknownModel { .. } => {
            error(404, "invalid_request_error", "model_not_found", &message)
        }
        EngineError::UnsupportedMember { .. } => invalid("unsupported_member"),
        EngineError::InvalidMember { .. } => invalid("invalid_member"),
        EngineError::MaxTokens { .. } => invalid("max_tokens_out_of_range"),
        EngineError::UnreadableText => invalid("unreadable_text"),
        EngineError::Template(_) => invalid("template_refused"),
    }
}

/// A content-type header.
pub(crate) fn content_type(value: &str) -> Fields {
    vec![("content-type".to_owned(), value.as_bytes().to_vec())]
}
