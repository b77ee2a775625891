//! What the pod answers outside the seal: evidence, offer, keys, and a refusal for everything that
//! would carry a question in the clear (spec/pod.md 2).

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::{any, get, post};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use subrosa_protocol::{B256, Domain, Liveness, Signed};

use crate::core::Core;
use crate::evidence::EvidenceError;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// All routes.
pub(crate) fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/subrosa/v1/evidence", get(evidence))
        .route("/subrosa/v1/offer", get(offer))
        .route("/subrosa/v1/keys", get(keys))
        .route("/subrosa/v1/ask", post(crate::ask::ask))
        .route("/v1/attestation/report", get(crate::vllm_report::report).fallback(plaintext))
        .route("/v1/{*rest}", any(plaintext))
        .route("/api/{*rest}", any(plaintext))
        .route("/v1", any(plaintext))
        .route("/api", any(plaintext))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .with_state(core)
}

async fn evidence(State(core): State<Arc<Core>>, RawQuery(query): RawQuery) -> Response {
    let document = match nonce_of(query.as_deref()) {
        Ok(None) => Ok(core.evidence.shared()),
        Ok(Some(nonce)) => core.evidence.answer(nonce).await,
        Err(BadNonce) => return bad_nonce(),
    };
    match document {
        Ok(document) => response(StatusCode::OK, JSON, Body::from(document)),
        Err(error) => {
            tracing::warn!(%error, "a verifier got no evidence");
            no_evidence(&error)
        }
    }
}

pub(crate) fn no_evidence(error: &EvidenceError) -> Response {
    match error {
        EvidenceError::TooMany { retry_after_s } => {
            let mut response = problem(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_verifiers",
                "too many verifiers ask at once; use the shared evidence or come back later",
            );
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(*retry_after_s));
            response
        }
        EvidenceError::Attester(_) | EvidenceError::Chain(_) => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_evidence",
            "the pod cannot make evidence now; try again or choose another pod",
        ),
    }
}

async fn offer(State(core): State<Arc<Core>>) -> Response {
    answer(StatusCode::OK, &json!({ "offer": core.offer.current().to_base64() }))
}

async fn keys(State(core): State<Arc<Core>>, RawQuery(query): RawQuery) -> Response {
    let Ok(Some(nonce)) = nonce_of(query.as_deref()) else {
        return bad_nonce();
    };
    let config = core.keys.config();
    let domain: &Domain = &core.domain;
    let liveness = Liveness { nonce, key_config: config.digest(domain) };
    let liveness = Signed::sign(liveness, domain, &core.signer);
    let body = json!({ "key_config": config.to_base64(), "liveness": liveness.to_base64() });
    answer(StatusCode::OK, &body)
}

/// A question in the clear. It is never read, let alone answered: 421 says that this connection is the
/// wrong place for it.
async fn plaintext() -> Response {
    problem(
        StatusCode::MISDIRECTED_REQUEST,
        "plaintext_refused",
        "a pod never answers in the clear, because its operator could read that; run \
         `subrosa gateway` and point your program at http://127.0.0.1:11435/v1",
    )
}

async fn unknown() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "not_found",
        "a pod has /subrosa/v1/evidence, offer, keys and ask; see spec/pod.md",
    )
}

/// A query whose `nonce` is not 64 lower-case hex digits, or that has other members.
struct BadNonce;

fn nonce_of(query: Option<&str>) -> Result<Option<B256>, BadNonce> {
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return Ok(None);
    };
    let digits = query.strip_prefix("nonce=").ok_or(BadNonce)?;
    if digits.len() != 64 || digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(BadNonce);
    }
    let mut nonce = B256::ZERO;
    hex::decode_to_slice(digits, nonce.as_mut_slice()).map_err(|_| BadNonce)?;
    // Zero stands for "shared": an answer to it would pass for evidence that nobody asked for.
    if nonce.is_zero() { Err(BadNonce) } else { Ok(Some(nonce)) }
}

fn bad_nonce() -> Response {
    problem(
        StatusCode::BAD_REQUEST,
        "bad_nonce",
        "give nonce= and 64 lower-case hex digits, not all zero, and nothing else",
    )
}

pub(crate) fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    let error = json!({
        "error": { "message": message, "type": "invalid_request_error", "param": null, "code": code }
    });
    answer(status, &error)
}

pub(crate) fn answer(status: StatusCode, body: &Value) -> Response {
    response(status, JSON, Body::from(body.to_string()))
}

fn response(status: StatusCode, content_type: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_has_one_spelling() {
        let good = "ab".repeat(32);
        let read = |query: &str| nonce_of(Some(query));
        assert!(
            matches!(read(&format!("nonce={good}")), Ok(Some(nonce)) if nonce == B256::repeat_byte(0xab))
        );
        assert!(matches!(nonce_of(None), Ok(None)));
        for wrong in [
            format!("nonce={}", good.to_uppercase()),
            format!("nonce=0x{good}"),
            format!("nonce={}", &good[2..]),
            format!("nonce={good}&x=1"),
            format!("NONCE={good}"),
            format!("nonce={}", "00".repeat(32)),
            "nonce=".into(),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
