//! Sending one sealed request and reading what comes back.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use subrosa_protocol::{Receipt, Signed};
use subrosa_seal::{InnerRequest, MEDIA_TYPE_REQUEST, ResponseEvent, ResponseOpener};
use subrosa_session::receipts::receipt_in;

use crate::pod::Pod;
use crate::visit::now;

/// Without a byte for this long a pod counts as lost: paced answers have one a tick, unpaced ones wait for
/// a prompt to be read.
const SILENCE_TIME: Duration = Duration::from_secs(120);

/// A problem document of RFC 9458 is shorter than this.
const PROBLEM_BYTES_MAX: usize = 4 * 1024;

/// What RFC 9458 section 5.3 calls a key that the server does not have.
const KEY_PROBLEM: &str = "https://iana.org/assignments/http-problem-types#ohttp-key";

/// Why nothing sealed came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// The connection failed, or something on the way answered in the pod's place.
    Lost,
    /// The pod does not know the key that the request was sealed to, or it has ended.
    StaleKey,
    /// The request cannot be sealed: too large, most of all.
    Unsealable,
}

/// The connection was lost, or the stream was cut or altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Whether bytes came that the pod did not seal in this order.
    pub(crate) altered: bool,
}

type Pieces = std::pin::Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>;

/// A sealed answer on its way.
pub(crate) struct Incoming {
    pieces: Pieces,
    opener: ResponseOpener,
}

/// Seals a request to the pod's keys and sends it over the pinned connection.
pub(crate) async fn send(pod: &Pod, request: &InnerRequest) -> Result<Incoming, NotSent> {
    let (sealer, http) = pod.sealer(now()).ok_or(NotSent::StaleKey)?;
    let (sealed, opener) = sealer.seal(request).map_err(|_| NotSent::Unsealable)?;
    let url = format!("{}/subrosa/v1/ask", pod.endpoint);
    let sending = http.post(url).header("content-type", MEDIA_TYPE_REQUEST).body(sealed).send();
    let sent = tokio::time::timeout(SILENCE_TIME, sending).await;
    let Ok(Ok(response)) = sent else { return Err(NotSent::Lost) };
    if response.status() != reqwest::StatusCode::OK {
        return Err(if is_key_problem(response).await { NotSent::StaleKey } else { NotSent::Lost });
    }
    Ok(Incoming { pieces: Box::pin(response.bytes_stream()), opener })
}

async fn is_key_problem(response: reqwest::Response) -> bool {
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        body.extend_from_slice(&piece);
        if body.len() > PROBLEM_BYTES_MAX {
            return false;
        }
    }
    let problem = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
    problem["type"] == KEY_PROBLEM
}

impl Incoming {
    /// The next events; none at the end of the transport's stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<ResponseEvent>>, Lost> {
        let cut = Lost { altered: false };
        let piece =
            tokio::time::timeout(SILENCE_TIME, self.pieces.next()).await.map_err(|_| cut)?;
        match piece {
            None => Ok(None),
            Some(Err(_)) => Err(cut),
            Some(Ok(bytes)) => {
                self.opener.push(&bytes).map(Some).map_err(|_| Lost { altered: true })
            }
        }
    }

    /// Whether the end was authenticated: a stream that was cut short is no answer.
    pub(crate) fn finish(self) -> Result<(), Lost> {
        self.opener.finish().map_err(|_| Lost { altered: false })
    }
}

/// Asks for a receipt of one's own and reads it; whether to believe it is the ledger's to say.
pub(crate) async fn receipt(pod: &Pod, request: &InnerRequest) -> Option<Signed<Receipt>> {
    let mut incoming = send(pod, request).await.ok()?;
    let mut found = None;
    while let Some(events) = incoming.next().await.ok()? {
        for event in events {
            match event {
                ResponseEvent::Head { headers, .. } | ResponseEvent::Trailers(headers) => {
                    found = receipt_in(&headers).or(found);
                }
                ResponseEvent::Body(_) | ResponseEvent::End => {}
            }
        }
    }
    incoming.finish().ok()?;
    found
}
