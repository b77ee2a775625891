//! OpenAI's API for programs of this machine.

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use subrosa_api::openai::{ApiError, ChatRequest, ErrorBody, Limits, Model, ModelList};
use subrosa_api::sse;
use subrosa_client::{Answer, ModelView, StreamError};

use crate::BODY_BYTES_MAX;
use crate::error::GatewayError;
use crate::state::AppState;

/// The longest event that is held back until it is whole.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// Who owns the models, as far as OpenAI's API wants to know.
const OWNED_BY: &str = "subrosa";

/// Under which name the receipt of an answer is kept: `/subrosa/v1/receipts/{order}`.
const ORDER_HEADER: HeaderName = HeaderName::from_static("x-subrosa-order");

/// The pod that answers.
const POD_HEADER: HeaderName = HeaderName::from_static("x-subrosa-pod");

/// `GET /v1/models`: every model that an accepted pod serves, under each of its names.
pub(crate) async fn models(State(state): State<AppState>) -> axum::Json<ModelList> {
    let models = state.client.models();
    axum::Json(ModelList::new(
        models.iter().flat_map(|model| names(model, state.started)).collect(),
    ))
}

/// `GET /v1/models/{id}`.
pub(crate) async fn model(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<axum::Json<Model>, GatewayError> {
    let models = state.client.models();
    let mut named = models.iter().flat_map(|model| names(model, state.started));
    named.find(|model| model.id == id).map(axum::Json).ok_or(GatewayError::NotFound)
}

fn names(model: &ModelView, created: u64) -> impl Iterator<Item = Model> {
    let names = std::iter::once(&model.name).chain(&model.aliases);
    names.map(move |name| Model::new(name.clone(), created, OWNED_BY))
}

/// `POST /v1/chat/completions`, streamed or not.
pub(crate) async fn chat(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, GatewayError> {
    // A body that broke off has nobody left to read the refusal.
    let body = body.map_err(|_| ApiError::BodyTooLarge { limit: BODY_BYTES_MAX })?;
    // A body that unpacks to more than it is could not be bounded by its length.
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(GatewayError::ContentType);
    }
    let request = ChatRequest::parse(&body, &Limits::default())?;
    let answer = state.client.ask(request).await?;
    if answer.content_type.starts_with(sse::MEDIA_TYPE) {
        Ok(streamed(answer))
    } else {
        whole(answer).await
    }
}

/// Passes on whole events as they come: frames of the seal cut them anywhere. An answer that breaks off
/// ends in an error event and without `[DONE]`, never in an invented end nor in half an event.
fn streamed(answer: Answer) -> Response {
    let mut response = head(&answer);
    let pieces = stream::unfold(Some((answer, Vec::new())), |state| async {
        let (mut answer, mut half) = state?;
        loop {
            match answer.next().await {
                Some(Ok(bytes)) => {
                    half.extend_from_slice(&bytes);
                    let whole = whole_events(&mut half);
                    if !whole.is_empty() {
                        return Some((
                            Ok::<_, std::convert::Infallible>(whole),
                            Some((answer, half)),
                        ));
                    }
                }
                Some(Err(error)) => return Some((Ok(error_event(error)), None)),
                None => return (!half.is_empty()).then(|| (Ok(half.into()), None)),
            }
        }
    });
    *response.body_mut() = Body::from_stream(pieces);
    response
}

/// Takes the events that are whole, and leaves the beginning of the next.
fn whole_events(half: &mut Vec<u8>) -> Bytes {
    let end = half.windows(2).rposition(|pair| pair == b"\n\n").map_or(0, |at| at + 2);
    // No event of a pod of ours is so long: what is, is passed on as it comes.
    let end = if half.len() > EVENT_BYTES_MAX { half.len() } else { end };
    half.drain(..end).collect::<Vec<u8>>().into()
}

fn error_event(error: StreamError) -> Bytes {
    sse::encode(&ErrorBody::new("server_error", error.code(), error.to_string()))
}

/// Collects the answer before a byte of it is passed on, so that a broken one is an error.
async fn whole(mut answer: Answer) -> Result<Response, GatewayError> {
    let mut response = head(&answer);
    let mut body = Vec::new();
    while let Some(piece) = answer.next().await {
        body.extend_from_slice(&piece.map_err(subrosa_client::AskError::from)?);
    }
    *response.body_mut() = Body::from(body);
    Ok(response)
}

fn head(answer: &Answer) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value))
            && is_passed_on(&name)
        {
            headers.insert(name, value);
        }
    }
    let content_type = HeaderValue::from_str(&answer.content_type);
    headers.insert(
        header::CONTENT_TYPE,
        content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ORDER_HEADER, hex_value(answer.order.0));
    headers.insert(POD_HEADER, hex_value(answer.pod));
    response
}

/// Only what callers can use: a pod must not set cookies or grant origins on the user's machine.
fn is_passed_on(name: &HeaderName) -> bool {
    *name == header::RETRY_AFTER || name.as_str().starts_with("x-")
}

fn hex_value(word: subrosa_protocol::B256) -> HeaderValue {
    HeaderValue::from_str(&word.to_string()).expect("hex is a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_passed_on_whole_however_they_are_cut() {
        let text = b"data: a\n\ndata: bc\n\ndata: d\n\n";
        for cut in 0..text.len() {
            let mut half = text[..cut].to_vec();
            let mut passed = whole_events(&mut half).to_vec();
            assert!(passed.is_empty() || passed.ends_with(b"\n\n"), "{cut}");
            half.extend_from_slice(&text[cut..]);
            passed.extend_from_slice(&whole_events(&mut half));
            assert_eq!((passed.as_slice(), half.len()), (&text[..], 0), "{cut}");
        }
    }

    #[test]
    fn an_endless_event_is_not_held_back() {
        let mut half = vec![b'x'; EVENT_BYTES_MAX + 1];
        assert_eq!(whole_events(&mut half).len(), EVENT_BYTES_MAX + 1);
    }
}
