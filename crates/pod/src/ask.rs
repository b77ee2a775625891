//! `POST /subrosa/v1/ask`: a sealed request comes in, a sealed answer goes out (spec/pod.md 5).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::poll_fn;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use subrosa_seal::{
    InnerRequest, MEDIA_TYPE_REQUEST, MEDIA_TYPE_RESPONSE, OpenRefusal, PROBLEM_TYPE_KEY,
    ResponseSealer, SEALED_REQUEST_BYTES_MAX,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::core::Core;
use crate::inside;
use crate::outlet::Outlet;
use crate::pace::{CHUNKS_WAITING_MAX, PARTS_WAITING_MAX, Pacer};

/// Sealed requests that are read or answered at once; 4 MiB each at worst.
pub(crate) const ASKS_MAX: usize = 256;

/// A sealed request must come as a whole within this time.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Above this size opening goes to a thread of its own.
const INLINE_BYTES_MAX: usize = 64 * 1024;

pub(crate) async fn ask(State(core): State<Arc<Core>>, request: Request) -> Response {
    let received = Instant::now();
    match admit(&core, request).await {
        Ok((place, inner, sealer)) => answer(core, place, received, inner, sealer),
        Err(refusal) => {
            tracing::debug!(error = %refusal, "a sealed request was refused");
            refusal.into_response()
        }
    }
}

async fn admit(
    core: &Arc<Core>,
    request: Request,
) -> Result<(OwnedSemaphorePermit, InnerRequest, ResponseSealer), Refusal> {
    let media_type = request.headers().get(CONTENT_TYPE);
    if media_type.is_none_or(|value| value != MEDIA_TYPE_REQUEST) {
        return Err(Refusal::MediaType);
    }
    let place = Arc::clone(&core.asks).try_acquire_owned().map_err(|_| Refusal::Busy)?;
    let body = Limited::new(request.into_body(), SEALED_REQUEST_BYTES_MAX).collect();
    let body = tokio::time::timeout(BODY_TIME, body).await.map_err(|_| Refusal::Slow)?;
    let sealed = body.map_err(|error| Refusal::of_body(&*error))?.to_bytes();
    let (inner, sealer) = open(core, sealed).await?;
    Ok((place, inner, sealer))
}

async fn open(core: &Arc<Core>, sealed: Bytes) -> Result<(InnerRequest, ResponseSealer), Refusal> {
    if sealed.len() <= INLINE_BYTES_MAX {
        return Ok(core.keys.open(&sealed, clock::now())?);
    }
    let core = Arc::clone(core);
    let opening = tokio::task::spawn_blocking(move || core.keys.open(&sealed, clock::now()));
    Ok(opening.await.expect("opening neither panics nor is cancelled")?)
}

/// Starts the conversation and the pacer. Both outlive the connection: what was generated is charged
/// whether or not anyone still listens.
fn answer(
    core: Arc<Core>,
    place: OwnedSemaphorePermit,
    received: Instant,
    inner: InnerRequest,
    sealer: ResponseSealer,
) -> Response {
    let gone = CancellationToken::new();
    let (parts_in, parts) = mpsc::channel(PARTS_WAITING_MAX);
    let (chunks_in, mut chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
    let pacer = Pacer::new(sealer, parts, chunks_in, received, gone.clone());
    core.tasks.spawn(pacer.run());
    let outlet = Outlet::new(parts_in, gone);
    core.tasks.clone().spawn(async move {
        inside::converse(&core, inner, outlet).await;
        drop(place);
    });
    let mut response =
        Response::new(Body::from_stream(poll_fn(move |task| chunks.poll_recv(task))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE_RESPONSE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Why a request was not opened. What the caller is told outside the seal is the status and, for a key
/// that is not ours, the problem type of RFC 9458 section 5.3: no more.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// The body broke off.
    #[error("the body broke off")]
    Broken,
    /// Too many requests are in flight.
    #[error("{ASKS_MAX} requests are in flight")]
    Busy,
    /// The body is not declared as a sealed request.
    #[error("the content type is not {MEDIA_TYPE_REQUEST}")]
    MediaType,
    /// The request cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenRefusal),
    /// The body took too long.
    #[error("the body did not come within {} s", BODY_TIME.as_secs())]
    Slow,
    /// The body is longer than any sealed request.
    #[error("the body is longer than {SEALED_REQUEST_BYTES_MAX} bytes")]
    TooLarge,
}

impl Refusal {
    fn of_body(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Refusal {
        match error.is::<http_body_util::LengthLimitError>() {
            true => Refusal::TooLarge,
            false => Refusal::Broken,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Refusal::Busy | Refusal::Open(OpenRefusal::GuardFull) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Refusal::TooLarge | Refusal::Open(OpenRefusal::TooLarge) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Refusal::Broken | Refusal::Open(_) => StatusCode::BAD_REQUEST,
            Refusal::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::Slow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    fn into_response(self) -> Response {
        let status = self.status();
        let stale_key = matches!(&self, Refusal::Open(refusal) if refusal.asks_for_new_key());
        let body = match stale_key {
            true => json!({ "type": PROBLEM_TYPE_KEY, "title": "fetch the key config again" }),
            false => json!({ "type": "about:blank", "status": status.as_u16() }),
        };
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}
