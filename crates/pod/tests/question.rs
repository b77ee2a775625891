//! A question through the whole pod, over real HTTPS, on a network without a chain.

mod support;

use serde_json::json;
use subrosa_api::sse;
use subrosa_protocol::{Amount, Outcome};
use subrosa_seal::{Pacing, Tick};
use subrosa_session::receipts::Query;
use support::{Ask, Home, MODEL, TOKENS, friend, question, stranger, streamed};

#[tokio::test]
async fn a_whole_answer_comes_with_a_receipt_that_its_payer_believes() {
    let home = Home::new();
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    let ask = question();
    let answer = caller.ask(&ask).await;
    assert_eq!((answer.status, answer.text()), (200, TOKENS.concat()));
    assert_eq!(
        answer.json()["usage"],
        json!({"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8})
    );
    let receipt = caller.accept(&ask, &answer);
    assert_eq!(
        (receipt.seq, receipt.outcome, receipt.charged),
        (1, Outcome::Complete, Amount::ZERO)
    );
    assert_eq!((receipt.input_tokens, receipt.output_tokens), (4, 4));
    assert_eq!(answer.header("x-total-tokens-used").as_deref(), Some("8"));
    pod.shutdown().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_receipt_in_the_trailers() {
    let home = Home::new();
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    for pacing in [Pacing::Off, Pacing::Plain, Pacing::Ticks(Tick::from_ms(5).unwrap())] {
        caller.pacing = pacing;
        let ask = streamed();
        let answer = caller.ask(&ask).await;
        assert_eq!(answer.header("content-type").as_deref(), Some("text/event-stream"));
        assert!(!answer.trailers.is_empty() && answer.headers.len() == 1);
        let mut decoder = sse::Decoder::new(1 << 16);
        let events = decoder.push(&answer.body).unwrap();
        assert_eq!(events.len(), 1 + TOKENS.len() + 3, "{pacing}");
        assert!(events.last().unwrap().is_done());
        assert_eq!(caller.accept(&ask, &answer).outcome, Outcome::Complete);
    }
    pod.shutdown().await;
}

#[tokio::test]
async fn an_answer_cut_at_max_tokens_says_so() {
    let home = Home::new();
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    let messages = json!([{"role": "user", "content": "x"}]);
    let ask = Ask::chat(json!({"model": MODEL, "messages": messages, "max_tokens": 2}));
    let answer = caller.ask(&ask).await;
    assert_eq!(answer.json()["choices"][0]["finish_reason"], "length");
    let receipt = caller.accept(&ask, &answer);
    assert_eq!((receipt.outcome, receipt.output_tokens), (Outcome::Limit, 2));
    pod.shutdown().await;
}

#[tokio::test]
async fn a_retry_gets_the_same_bytes_and_after_a_restart_one_free_second_run() {
    let home = Home::new();
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    let ask = question();
    let first = caller.ask(&ask).await;
    let retried = caller.ask(&ask).await;
    assert_eq!(first.body, retried.body);
    assert_eq!(first.receipt().to_bytes(), retried.receipt().to_bytes());
    caller.accept(&ask, &first);
    pod.shutdown().await;

    let pod = home.start().await;
    let mut again = home.meet(&pod, friend()).await;
    assert_eq!(again.offer.to_bytes(), caller.offer.to_bytes());
    let rerun = again.ask(&ask).await;
    let receipt = rerun.receipt();
    assert_eq!((rerun.status, receipt.unverified().seq), (200, 2));
    assert_eq!(receipt.unverified().charged, Amount::ZERO);
    pod.shutdown().await;

    let pod = home.start().await;
    let mut third = home.meet(&pod, friend()).await;
    let refused = third.ask(&ask).await;
    assert_eq!((refused.status, refused.code()), (409, "answered_already".into()));
    pod.shutdown().await;
}

#[tokio::test]
async fn an_order_id_stands_for_one_request_only() {
    let home = Home::new();
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    let ask = question();
    caller.ask(&ask).await;
    let mut other = home.meet(&pod, friend()).await;
    let refused = other.ask(&Ask { id: ask.id, ..question() }).await;
    assert_eq!((refused.status, refused.code()), (409, "order_id_used".into()));
    pod.shutdown().await;
}

#[tokio::test]
async fn without_a_good_order_the_answer_is_402_inside_the_seal() {
    let home = Home::new();
    let pod = home.start().await;
    let friend = home.meet(&pod, friend()).await;
    let ask = question();
    let refused = friend.send(&ask, friend.bare(&ask)).await;
    assert_eq!((refused.status, refused.code()), (402, "missing_order".into()));
    assert!(refused.header("payment-required").is_some());

    let mut stranger = home.meet(&pod, stranger()).await;
    let refused = stranger.ask(&ask).await;
    assert_eq!(refused.status, 402);

    let mut envelope = stranger.bare(&ask);
    envelope.order = Some(b"garbage".to_vec());
    let refused = stranger.send(&ask, envelope).await;
    assert_eq!((refused.status, refused.code()), (400, "unreadable_payment".into()));
    pod.shutdown().await;
}

#[tokio::test]
async fn models_are_listed_and_foreign_requests_refused_by_name() {
    let home = Home::new();
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    let list = caller.send(&Ask::get("/v1/models"), caller.bare(&Ask::get("/v1/models"))).await;
    assert_eq!(list.json()["data"][0]["id"], MODEL);
    for (ask, status, code) in [
        (Ask::get("/v1/models/nobody"), 404, "model_not_found"),
        (Ask::get("/v1/embeddings"), 404, "not_found"),
        (
            Ask::chat(json!({"model": "nobody", "messages": [{"role": "user", "content": "x"}]})),
            404,
            "model_not_found",
        ),
        (Ask::chat(json!({"model": MODEL, "messages": []})), 400, "empty"),
        (Ask::new("POST", "/v1/chat/completions", b"{".to_vec()), 400, "not_json"),
        (
            Ask::chat(
                json!({"model": MODEL, "max_tokens": 70_000, "messages": [{"role": "user", "content": "x"}]}),
            ),
            400,
            "max_tokens_out_of_range",
        ),
    ] {
        let refused = caller.ask(&ask).await;
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{}", ask.path);
    }
    pod.shutdown().await;
}

#[tokio::test]
async fn receipts_and_signatures_are_given_to_their_account_alone() {
    let home = Home::new();
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    let ask = question();
    let answer = caller.ask(&ask).await;
    let receipt = answer.receipt();
    let by_order = Query::Order(ask.id).path();
    for path in [by_order.as_str(), "/subrosa/v1/receipts?seq=1"] {
        let found = caller.ask(&Ask::get(path)).await;
        assert_eq!(found.json()["receipt"], receipt.to_base64());
    }
    let none = caller.ask(&Ask::get("/subrosa/v1/receipts?seq=2")).await;
    assert_eq!((none.status, none.code()), (404, "no_such_receipt".into()));

    let chat = answer.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/signature/{chat}");
    let signature = caller.ask(&Ask::get(&path)).await.json();
    let hash = |bytes: &[u8]| hex::encode(subrosa_protocol::hash::sha256(bytes));
    let text = format!("{}:{}", hash(&ask.body), hash(&answer.body));
    assert_eq!(signature["text"], text);
    assert_eq!(recover(&text, signature["signature"].as_str().unwrap()), pod.signer());

    let mut stranger = home.meet(&pod, stranger()).await;
    for path in [by_order, path] {
        assert_eq!(stranger.ask(&Ask::get(&path)).await.status, 402, "{path}");
        let ask = Ask::get(path);
        assert_eq!(stranger.send(&ask, stranger.bare(&ask)).await.status, 402);
    }
    pod.shutdown().await;
}

/// Who signed a text as an EIP-191 personal message.
fn recover(text: &str, signature: &str) -> subrosa_protocol::Address {
    let message = format!("\x19Ethereum Signed Message:\n{}{text}", text.len());
    let digest = subrosa_protocol::keccak256(message.as_bytes());
    let bytes = hex::decode(signature.strip_prefix("0x").unwrap()).unwrap();
    alloy_primitives::Signature::from_raw(&bytes)
        .unwrap()
        .recover_address_from_prehash(&digest)
        .unwrap()
}

#[tokio::test]
async fn the_same_sealed_bytes_are_answered_once() {
    let home = Home::new();
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    let ask = question();
    let envelope = caller.envelope(&ask);
    let (sealed, opener) = caller.seal(&ask, envelope);
    let first = caller.post(sealed.clone()).await;
    assert_eq!(support::caller::read(first, opener).await.status, 200);
    let second = caller.post(sealed).await;
    assert_eq!(second.status(), 400);
    assert_eq!(second.headers()["content-type"], "application/problem+json");
    pod.shutdown().await;
}

#[tokio::test]
async fn a_key_that_is_not_the_pods_is_answered_by_the_problem_of_rfc_9458() {
    let home = Home::new();
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    caller.keys = subrosa_seal::KeyRing::new(support::caller::now()).config_list().to_vec();
    let ask = question();
    let envelope = caller.envelope(&ask);
    let (sealed, _) = caller.seal(&ask, envelope);
    let response = caller.post(sealed).await;
    assert_eq!(response.status(), 400);
    let problem: serde_json::Value = response.json().await.unwrap();
    assert_eq!(problem["type"], subrosa_seal::PROBLEM_TYPE_KEY);
    pod.shutdown().await;
}
