//! What is wrong with a request, and the body that says so.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::json::{DEPTH_MAX, JsonError};

/// Why a body is not a chat request. Names parameters and bounds, and never repeats the caller's
/// text: these messages are logged and shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApiError {
    /// The body is larger than the limit.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge {
        /// Bytes that a body may have.
        limit: usize,
    },
    /// `max_tokens` and its newer name say different things.
    #[error("max_tokens and max_completion_tokens differ, send one of them")]
    ConflictingLimits,
    /// An object names a member twice, so that two readers could see two requests.
    #[error("the body names the same member twice at line {line}, column {column}")]
    DuplicateMember {
        /// Line of the second mention, from 1.
        line: usize,
        /// Column of the second mention, from 1.
        column: usize,
    },
    /// A list or a text that must hold something is empty.
    #[error("{param} must not be empty")]
    Empty {
        /// The parameter.
        param: String,
    },
    /// A required parameter is missing.
    #[error("{param} is missing")]
    Missing {
        /// The parameter.
        param: String,
    },
    /// The body is not JSON.
    #[error("the body is not JSON at line {line}, column {column}")]
    NotJson {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
    },
    /// The body is JSON but not an object.
    #[error("the body must be a JSON object")]
    NotObject,
    /// A number lies outside its range.
    #[error("{param} must be {allowed}")]
    OutOfRange {
        /// The parameter.
        param: String,
        /// What it may be, in words.
        allowed: String,
    },
    /// Arrays and objects are nested too deep.
    #[error("the body nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// A list has more entries than its limit.
    #[error("{param} must have at most {limit} entries")]
    TooMany {
        /// The parameter.
        param: String,
        /// Entries that it may have.
        limit: usize,
    },
    /// A text is longer than its limit.
    #[error("{param} must have at most {limit} bytes")]
    TooLong {
        /// The parameter.
        param: String,
        /// Bytes that it may have.
        limit: usize,
    },
    /// A role or a kind of content is none that is known.
    #[error("{param} must be {expected}")]
    UnknownValue {
        /// The parameter.
        param: String,
        /// The values that it may have.
        expected: &'static str,
    },
    /// A parameter has another JSON type than it must have.
    #[error("{param} must be {expected}")]
    WrongType {
        /// The parameter.
        param: String,
        /// The type that it must have.
        expected: &'static str,
    },
}

impl ApiError {
    /// The parameter at fault, where it is one.
    pub fn param(&self) -> Option<&str> {
        match self {
            ApiError::Empty { param }
            | ApiError::Missing { param }
            | ApiError::OutOfRange { param, .. }
            | ApiError::TooMany { param, .. }
            | ApiError::TooLong { param, .. }
            | ApiError::UnknownValue { param, .. }
            | ApiError::WrongType { param, .. } => Some(param),
            ApiError::ConflictingLimits => Some("max_tokens"),
            ApiError::BodyTooLarge { .. }
            | ApiError::DuplicateMember { .. }
            | ApiError::NotJson { .. }
            | ApiError::NotObject
            | ApiError::TooDeep => None,
        }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            ApiError::BodyTooLarge { .. } => "body_too_large",
            ApiError::ConflictingLimits => "conflicting_limits",
            ApiError::DuplicateMember { .. } => "duplicate_member",
            ApiError::Empty { .. } => "empty",
            ApiError::Missing { .. } => "missing",
            ApiError::NotJson { .. } => "not_json",
            ApiError::NotObject => "not_an_object",
            ApiError::OutOfRange { .. } => "out_of_range",
            ApiError::TooDeep => "too_deep",
            ApiError::TooMany { .. } => "too_many",
            ApiError::TooLong { .. } => "too_long",
            ApiError::UnknownValue { .. } => "unknown_value",
            ApiError::WrongType { .. } => "wrong_type",
        }
    }

    /// The HTTP status: 413 for a body beyond its limit, else 400.
    pub fn status(&self) -> u16 {
        match self {
            ApiError::BodyTooLarge { .. } => 413,
            _ => 400,
        }
    }

    pub(crate) fn out_of_range(param: &str, allowed: impl Into<String>) -> Self {
        ApiError::OutOfRange { param: param.into(), allowed: allowed.into() }
    }

    pub(crate) fn wrong_type(param: impl Into<String>, expected: &'static str) -> Self {
        ApiError::WrongType { param: param.into(), expected }
    }
}

impl From<JsonError> for ApiError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Duplicate { line, column } => ApiError::DuplicateMember { line, column },
            JsonError::Syntax { line, column } => ApiError::NotJson { line, column },
            JsonError::TooDeep => ApiError::TooDeep,
        }
    }
}

/// OpenAI's body of an error: `{"error":{"message","type","param","code"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The one member.
    pub error: ErrorDetail,
}

/// What the one member of an [`ErrorBody`] holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// For people.
    pub message: String,
    /// The class of the fault, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The parameter at fault; `null` where it is none.
    #[serde(default)]
    pub param: Option<String>,
    /// A stable word for programs; `null` where there is none.
    #[serde(default)]
    pub code: Option<String>,
}

impl ErrorBody {
    /// An error body without a parameter.
    pub fn new(kind: &str, code: &str, message: impl Into<String>) -> Self {
        ErrorBody {
            error: ErrorDetail {
                message: message.into(),
                kind: kind.into(),
                param: None,
                code: Some(code.into()),
            },
        }
    }

    /// The same, blamed on a parameter.
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.error.param = Some(param.into());
        self
    }
}

impl From<&ApiError> for ErrorBody {
    fn from(error: &ApiError) -> Self {
        let body = ErrorBody::new("invalid_request_error", error.code(), error.to_string());
        match error.param() {
            Some(param) => body.with_param(param),
            None => body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_body_has_exactly_openais_members() {
        let body = ErrorBody::from(&ApiError::out_of_range("max_tokens", "from 1 to 16"));
        let text = r#"{"error":{"message":"max_tokens must be from 1 to 16","type":"invalid_request_error","param":"max_tokens","code":"out_of_range"}}"#;
        assert_eq!(serde_json::to_string(&body).unwrap(), text);
        assert_eq!(serde_json::from_str::<ErrorBody>(text).unwrap(), body);
    }

    #[test]
    fn an_error_without_a_parameter_says_null() {
        let body = ErrorBody::from(&ApiError::NotObject);
        assert_eq!(
            serde_json::to_string(&body).unwrap(),
            r#"{"error":{"message":"the body must be a JSON object","type":"invalid_request_error","param":null,"code":"not_an_object"}}"#
        );
    }

    #[test]
    fn reads_an_error_body_that_has_only_a_message_and_a_type() {
        let body: ErrorBody =
            serde_json::from_str(r#"{"error":{"message":"no","type":"x"}}"#).unwrap();
        assert_eq!((body.error.param, body.error.code), (None, None));
    }

    #[test]
    fn only_a_large_body_is_not_a_400() {
        assert_eq!(ApiError::BodyTooLarge { limit: 1 }.status(), 413);
        assert_eq!(ApiError::TooDeep.status(), 400);
    }
}
