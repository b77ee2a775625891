//! What the gateway answers when it cannot pass on an answer: OpenAI's error body, never an echo.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use subrosa_api::openai::{ApiError, ErrorBody};
use subrosa_client::AskError;

/// A request that the gateway itself turns away.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The request's body or parameters are wrong.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// No pod answered, or none may.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// A POST whose body is not declared as JSON.
    #[error("send the body as content-type application/json")]
    ContentType,
    /// A host name that the gateway does not answer to.
    #[error("this gateway answers to 127.0.0.1 and localhost only; name others with --host-name")]
    Host,
    /// A method or path that there is not.
    #[error("there is no such path here; see /v1/models and /v1/chat/completions")]
    NotFound,
    /// A page of another site.
    #[error(
        "requests from pages of other origins are refused, because they would spend your money"
    )]
    Origin,
    /// Nothing is kept under that name.
    #[error("no receipt with that order id is kept here")]
    ReceiptUnknown,
    /// What was asked for cannot be read from the state directory.
    #[error("the gateway's own records cannot be read; see its log")]
    Records,
    /// The bearer token is missing or wrong.
    #[error("this gateway wants its token: authorization: Bearer TOKEN")]
    Token,
}

impl GatewayError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            GatewayError::Api(error) => error.code(),
            GatewayError::Ask(error) => error.code(),
            GatewayError::ContentType => "content_type_refused",
            GatewayError::Host => "host_refused",
            GatewayError::NotFound => "not_found",
            GatewayError::Origin => "origin_refused",
            GatewayError::ReceiptUnknown => "receipt_unknown",
            GatewayError::Records => "records_unreadable",
            GatewayError::Token => "token_refused",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            GatewayError::Api(error) => status(error.status()),
            GatewayError::Ask(error) => status(error.status()),
            GatewayError::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            GatewayError::Host | GatewayError::Origin => StatusCode::FORBIDDEN,
            GatewayError::NotFound | GatewayError::ReceiptUnknown => StatusCode::NOT_FOUND,
            GatewayError::Records => StatusCode::INTERNAL_SERVER_ERROR,
            GatewayError::Token => StatusCode::UNAUTHORIZED,
        }
    }

    /// The JSON body; a refusal of every pod lists each with the check that it failed.
    pub fn body(&self) -> Value {
        let kind =
            if self.status().is_server_error() { "server_error" } else { "invalid_request_error" };
        let mut error = ErrorBody::new(kind, self.code(), self.to_string());
        if let GatewayError::Api(api) = self
            && let Some(param) = api.param()
        {
            error = error.with_param(param);
        }
        let mut body = json!(error);
        if let GatewayError::Ask(AskError::NoPod { refused }) = self {
            body["error"]["pods"] = json!(refused);
        }
        body
    }
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), axum::Json(self.body())).into_response();
        if let GatewayError::Ask(error) = &self
            && let Some(seconds) = error.retry_after_s()
        {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
