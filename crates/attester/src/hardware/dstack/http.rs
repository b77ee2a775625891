//! One request over a unix socket, one answer.

use std::io;
use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use super::SourceError;

/// Eight GPUs answer in 0.75 MB, which hex doubles.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An answer, complete.
pub(crate) struct Answer {
    path: &'static str,
    status: StatusCode,
    body: Bytes,
}

/// Posts JSON and waits for the whole answer; the caller brings the time limit.
pub(super) async fn post(
    source_name: &'static str,
    socket: &Path,
    path: &'static str,
    request: &Value,
) -> Result<Answer, SourceError> {
    let unusable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => SourceError::Absent { source_name, at: socket.to_owned() },
        _ => SourceError::Unusable { source_name, at: socket.to_owned(), error },
    };
    let stream = UnixStream::connect(socket).await.map_err(unusable)?;
    exchange(source_name, stream, path, request).await
}

/// The same over a connection that is there.
pub(crate) async fn exchange(
    source_name: &'static str,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    path: &'static str,
    request: &Value,
) -> Result<Answer, SourceError> {
    let broken = |_| SourceError::BadAnswer { source_name, what: "it does not speak HTTP" };
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(broken)?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("host", source_name)
        .header("content-type", "application/json")
        .header("connection", "close")
        .body(Full::new(Bytes::from(request.to_string())))
        .expect("our own headers are valid");
    let exchange = async move {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => SourceError::TooLong { source_name, what: "an answer", max: ANSWER_BYTES_MAX },
            false => SourceError::BadAnswer { source_name, what: "its answer breaks off" },
        })?;
        Ok(Answer { path, status, body: body.to_bytes() })
    };
    // The connection has to be driven for the exchange to go on; what it ends with shows there.
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        _ = connection => exchange.await,
    }
}

impl Answer {
    /// Whether the agent does not know what it was asked.
    pub(super) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// The JSON of an answer that grants.
    pub(crate) fn json(&self, source_name: &'static str) -> Result<Value, SourceError> {
        if self.status != StatusCode::OK {
            let code = format!("HTTP {}", self.status.as_u16());
            return Err(SourceError::Refused { source_name, request: self.path, code });
        }
        let value = serde_json::from_slice::<Value>(&self.body).ok().filter(Value::is_object);
        value.ok_or(SourceError::BadAnswer { source_name, what: "its answer is no JSON object" })
    }
}
