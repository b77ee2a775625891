//! What an answer of the server becomes: its events, its counts, and its honest end.

use std::convert::Infallible;

use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::oneshot;

use super::*;
use crate::{Event, FinishReason, Usage};

fn line(text: &str) -> String {
    json!({"model": "m", "message": {"role": "assistant", "content": text}, "done": false})
        .to_string()
        + "\n"
}

fn last(reason: &str, prompt: u64, answer: u64) -> String {
    json!({
        "model": "m", "message": {"role": "assistant", "content": ""}, "done": true,
        "done_reason": reason, "prompt_eval_count": prompt, "eval_count": answer,
    })
    .to_string()
        + "\n"
}

/// All events of an answer of these bytes, and the usage at the end.
async fn events_of(answer: impl IntoResponse) -> (Vec<Result<Event, EngineError>>, Usage) {
    let world = World::new();
    let ollama = world.connect().await.unwrap();
    let mut generation = world.ask(&ollama, question(), 8, answer).await.unwrap();
    let mut events = Vec::new();
    while let Some(event) = generation.next().await {
        events.push(event);
    }
    (events, generation.usage())
}

/// The one fault at the end of an answer of these bytes.
async fn fault_of(answer: impl IntoResponse) -> EngineError {
    let (mut events, _) = events_of(answer).await;
    let fault = events.pop().unwrap().unwrap_err();
    assert!(events.iter().all(Result::is_ok));
    fault
}

#[tokio::test]
async fn an_answer_is_its_start_its_texts_and_the_servers_own_counts() {
    let answer = [line("Par"), line("is."), last("stop", 31, 3)].concat();
    let (events, usage) = events_of(answer).await;
    // "aaa" is spelt by two tokens of this vocabulary.
    let counted = Usage { input_tokens: 31, output_tokens: 3 };
    let expected = [
        Ok(Event::Started { input_tokens: 2 }),
        Ok(Event::Text("Par".into())),
        Ok(Event::Text("is.".into())),
        Ok(Event::Finished { reason: FinishReason::Stop, usage: counted }),
    ];
    assert_eq!(events, expected);
    assert_eq!(usage, counted);
}

#[tokio::test]
async fn lines_may_arrive_in_any_pieces() {
    let answer = [line("é"), last("length", 31, 8)].concat();
    let (whole, _) = events_of(answer.clone()).await;
    let pieces = answer.into_bytes().into_iter().map(|byte| Ok::<_, Infallible>(vec![byte]));
    let (pieces, _) = events_of(Body::from_stream(stream::iter(pieces.collect::<Vec<_>>()))).await;
    assert_eq!(pieces, whole);
    assert!(matches!(whole[2], Ok(Event::Finished { reason: FinishReason::Length, .. })));
}

#[tokio::test]
async fn text_of_the_last_line_is_not_lost_and_empty_text_is_no_event() {
    let end = last("stop", 31, 2).replace("\"content\":\"\"", "\"content\":\"b\"");
    let (events, _) = events_of([line(""), line("a"), end].concat()).await;
    let texts = events.into_iter().filter_map(|event| match event {
        Ok(Event::Text(text)) => Some(text),
        _ => None,
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn never_counts_more_than_was_ordered() {
    let (events, usage) = events_of([line("a"), last("stop", 31, 9)].concat()).await;
    assert!(matches!(events.last(), Some(Ok(Event::Finished { .. }))));
    assert_eq!(usage.output_tokens, 8);
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_gets_no_invented_end() {
    let died = EngineError::Died { output_tokens: 2 };
    let begun = [line("a"), line("b")].concat();
    assert_eq!(fault_of(begun.clone()).await, died, "it closed the connection");
    let broken = [Ok(Bytes::from(begun.clone())), Err(std::io::Error::other("broken"))];
    let broken = stream::iter(broken).then(|piece| async {
        tokio::task::yield_now().await;
        piece
    });
    let fault = fault_of(Body::from_stream(broken)).await;
    assert!(matches!(fault, EngineError::Died { .. } | EngineError::Backend(_)), "{fault}");
    let error = begun.clone() + "{\"error\": \"the prompt was: hunter2\"}\n";
    assert_eq!(fault_of(error).await, died);
    assert_eq!(fault_of(begun.clone() + "not JSON\n").await, died);
    assert_eq!(fault_of(begun.clone() + &last("load", 31, 3)).await, died);
    assert_eq!(fault_of(begun + "{\"done\": true, \"done_reason\": \"stop\"}\n").await, died);
}

#[tokio::test]
async fn a_fault_before_the_first_text_is_the_backends() {
    for answer in ["", "{\"error\": \"hunter2\"}\n", "garbage\n", "{\"done\": true}\n", "[]\n"] {
        let fault = fault_of(answer.to_owned()).await;
        assert!(matches!(fault, EngineError::Backend(_)), "{answer}");
        assert!(!fault.to_string().contains("hunter2"));
        assert!(fault.is_transient());
    }
}

#[tokio::test]
async fn an_answer_to_a_shortened_prompt_is_withdrawn() {
    // The bound of this prompt is 18 + 9 + 16 + 21 + 3 tokens.
    for (counted, good) in [(67, true), (68, false), (256, false)] {
        let (events, _) = events_of([line("a"), last("stop", counted, 1)].concat()).await;
        assert_eq!(events.last().unwrap().is_ok(), good, "{counted}");
    }
}

#[tokio::test]
async fn tool_calls_that_nobody_offered_are_a_fault() {
    let call = json!({"message": {"content": "", "tool_calls": [{}]}, "done": false});
    assert!(matches!(fault_of(format!("{call}\n")).await, EngineError::Backend(_)));
}

#[tokio::test]
async fn refuses_a_line_without_an_end() {
    let endless = "a".repeat((1 << 20) + 1);
    assert!(matches!(fault_of(endless).await, EngineError::Backend(_)));
}

#[tokio::test]
async fn a_full_queue_and_a_refusal_have_their_names() {
    let busy = fault_of((StatusCode::SERVICE_UNAVAILABLE, "{\"error\": \"busy\"}")).await;
    assert_eq!(busy, EngineError::Busy { retry_after_s: 5 });
    for status in [StatusCode::NOT_FOUND, StatusCode::FOUND, StatusCode::INTERNAL_SERVER_ERROR] {
        assert!(matches!(fault_of(status).await, EngineError::Backend(_)), "{status}");
    }
}

/// A body that sends one line, stays open, and tells when it is dropped.
fn endless() -> (Body, oneshot::Receiver<()>) {
    let (dropped_in, dropped) = oneshot::channel::<()>();
    let body = stream::once(async { Ok::<_, Infallible>(line("a")) }).chain(stream::once(async {
        let _dropped_in = dropped_in;
        std::future::pending().await
    }));
    (Body::from_stream(body), dropped)
}

#[tokio::test]
async fn cancelling_drops_the_connection_and_keeps_the_least_count() {
    let world = World::new();
    let ollama = world.connect().await.unwrap();
    let (body, dropped) = endless();
    let mut generation = world.ask(&ollama, question(), 8, body).await.unwrap();
    assert_eq!(generation.next().await, Some(Ok(Event::Started { input_tokens: 2 })));
    assert_eq!(generation.next().await, Some(Ok(Event::Text("a".into()))));
    assert_eq!(generation.cancel().await, Usage { input_tokens: 2, output_tokens: 1 });
    dropped.await.expect_err("the server's body is dropped, never sent to");
}

#[tokio::test]
async fn dropping_the_generation_drops_the_connection() {
    let world = World::new();
    let ollama = world.connect().await.unwrap();
    let (body, dropped) = endless();
    let mut generation = world.ask(&ollama, question(), 8, body).await.unwrap();
    generation.next().await.unwrap().unwrap();
    drop(generation);
    dropped.await.expect_err("the server's body is dropped, never sent to");
}
