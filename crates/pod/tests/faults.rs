//! Callers who leave, engines that fail, a pod that stops.

mod support;

use std::time::Duration;

use serde_json::json;
use subrosa_engine::{Engine, Fault, Scripted};
use subrosa_pod::{Deps, Pod};
use subrosa_protocol::{Outcome, Receipt, Signed};
use subrosa_session::receipts::Query;
use support::{Ask, Caller, Home, MODEL, friend, question, streamed};

/// How often a receipt is asked for that is being made.
const TRIES_MAX: usize = 500;

async fn with_fault(home: &Home, fault: Fault) -> Pod {
    let engine = Scripted::new(MODEL, home.script.clone());
    engine.set_fault(Some(fault));
    let deps = Deps { engine: Engine::Scripted(engine), ..home.deps() };
    Pod::bind(home.config(), deps).await.unwrap()
}

/// The receipt of an order, as soon as the pod has made it.
async fn receipt_of(caller: &mut Caller, ask: &Ask) -> Receipt {
    for _ in 0..TRIES_MAX {
        let answer = caller.ask(&Ask::get(Query::Order(ask.id).path())).await;
        if answer.status == 200 {
            return answer.receipt().unverified().clone();
        }
        tokio::task::yield_now().await;
    }
    panic!("no receipt was made");
}

#[tokio::test]
async fn a_caller_who_leaves_is_charged_for_what_was_generated_and_finds_the_receipt() {
    for ask in [streamed(), question()] {
        let home = Home::slow(Duration::from_millis(5), 1_000);
        let pod = home.start().await;
        let mut caller = home.meet(&pod, friend()).await;
        let envelope = caller.envelope(&ask);
        let (sealed, _) = caller.seal(&ask, envelope);
        // A whole answer says nothing until its end, so its caller leaves once the pod has begun.
        let mut response = caller.post(sealed).await;
        if ask.body.ends_with(b"}}") {
            response.chunk().await.unwrap();
        }
        drop(response);
        drop(std::mem::replace(&mut caller.http, support::http::client()));
        let receipt = receipt_of(&mut caller, &ask).await;
        assert_eq!(receipt.outcome, Outcome::Cancelled);
        assert!(receipt.output_tokens < 1_000, "{}", receipt.output_tokens);
        pod.shutdown().await;
    }
}

#[tokio::test]
async fn an_engine_that_dies_in_the_middle_of_a_stream_gives_an_honest_end() {
    let home = Home::new();
    let pod = with_fault(&home, Fault::DieAfter { tokens: 2 }).await;
    let mut caller = home.meet(&pod, friend()).await;
    let ask = streamed();
    let answer = caller.ask(&ask).await;
    let body = String::from_utf8(answer.body.clone()).unwrap();
    assert!(body.contains("backend_failed") && !body.contains("[DONE]"), "{body}");
    let receipt = caller.accept(&ask, &answer);
    assert_eq!((receipt.outcome, receipt.output_tokens), (Outcome::Failed, 2));
    pod.shutdown().await;
}

#[tokio::test]
async fn an_engine_that_dies_before_anything_left_costs_nothing_and_the_order_stays_good() {
    let home = Home::new();
    let pod = with_fault(&home, Fault::DieAfter { tokens: 2 }).await;
    let mut caller = home.meet(&pod, friend()).await;
    let ask = question();
    let answer = caller.ask(&ask).await;
    assert_eq!((answer.status, answer.code()), (503, "backend_failed".into()));
    assert!(answer.header("subrosa-receipt").is_none());
    pod.shutdown().await;
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    assert_eq!(caller.ask(&ask).await.receipt().unverified().seq, 1);
    pod.shutdown().await;
}

#[tokio::test]
async fn a_full_queue_is_429_with_a_time_inside_the_seal() {
    let home = Home::new();
    let pod = with_fault(&home, Fault::Busy { retry_after_s: 7 }).await;
    let mut caller = home.meet(&pod, friend()).await;
    let answer = caller.ask(&question()).await;
    assert_eq!((answer.status, answer.code()), (429, "busy".into()));
    assert_eq!(answer.header("retry-after").as_deref(), Some("7"));
    pod.shutdown().await;
}

#[tokio::test]
async fn many_questions_at_once_get_one_chain_of_receipts() {
    let home = Home::slow(Duration::from_millis(1), 20);
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    let asks: Vec<Ask> =
        (0..24).map(|n| if n % 2 == 0 { question() } else { streamed() }).collect();
    let sealed: Vec<_> = asks
        .iter()
        .map(|ask| {
            let envelope = caller.envelope(ask);
            caller.seal(ask, envelope)
        })
        .collect();
    let answers = sealed.into_iter().map(|(sealed, opener)| {
        let caller = &caller;
        async move { support::caller::read(caller.post(sealed).await, opener).await }
    });
    let answers = futures_util::future::join_all(answers).await;
    let mut receipts: Vec<Signed<Receipt>> =
        answers.iter().map(|answer| answer.receipt()).collect();
    receipts.sort_by_key(|receipt| receipt.unverified().seq);
    for (place, pair) in receipts.windows(2).enumerate() {
        assert_eq!(pair[0].unverified().seq, place as u64 + 1);
        assert_eq!(pair[1].unverified().prev, pair[0].digest(&caller.domain));
    }
    pod.shutdown().await;
}

#[tokio::test]
async fn a_pod_that_stops_lets_an_answer_end() {
    let home = Home::slow(Duration::from_millis(2), 100);
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    let ask = streamed();
    let envelope = caller.envelope(&ask);
    let (sealed, opener) = caller.seal(&ask, envelope);
    let response = caller.post(sealed).await;
    let (answer, ()) = tokio::join!(support::caller::read(response, opener), pod.shutdown());
    assert_eq!(caller.accept(&ask, &answer).outcome, Outcome::Complete);
}

#[tokio::test]
async fn a_receipt_that_the_ledger_does_not_know_halts_the_account() {
    let home = Home::new();
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    for _ in 0..2 {
        let ask = question();
        let answer = caller.ask(&ask).await;
        caller.accept(&ask, &answer);
    }
    pod.shutdown().await;
    // The ledger is set back to nothing, while the caller holds receipts of the same signer.
    std::fs::remove_dir_all(home.folder.join("state")).unwrap();
    let pod = home.start().await;
    let ledger = caller.ledger.clone();
    let mut caller = home.meet(&pod, friend()).await;
    caller.ledger = ledger;
    let refused = caller.ask(&question()).await;
    assert_eq!((refused.status, refused.code()), (402, "channel_halted".into()));
    let refused = caller
        .ask(&Ask::chat(json!({
            "model": MODEL, "max_tokens": 1, "messages": [{"role": "user", "content": "again"}]
        })))
        .await;
    assert_eq!(refused.code(), "channel_halted");
    pod.shutdown().await;
}
