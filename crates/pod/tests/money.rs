//! Paid questions, claims and the registry, against a chain in memory.

mod support;

use std::time::Duration;

use subrosa_pod::link::LinkError;
use subrosa_pod::{ClaimError, Pod, StartError};
use subrosa_protocol::x402::PaymentRequired;
use subrosa_protocol::{
    Amount, ChannelConfig, ClaimBatch, Message, Outcome, Signed, Voucher, encoding,
};
use subrosa_session::receipts::Query;
use support::{Ask, Caller, Home, PAYEE, friend, question, stranger, streamed};

/// More than a few questions cost: one may cost some 1,100 units.
const DEPOSIT: u128 = 10_000;

/// A pod, and a payer with a funded channel to it.
async fn paying(home: &Home) -> (Pod, Caller) {
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    home.chain.as_ref().unwrap().deposit(caller.channel(), DEPOSIT);
    let _ = caller.ledger.fund(Amount(DEPOSIT));
    (pod, caller)
}

#[tokio::test]
async fn a_question_costs_what_the_meter_counted_and_never_more_than_was_ordered() {
    let home = Home::with_chain();
    let (pod, mut caller) = paying(&home).await;
    let mut total = 0;
    for ask in [question(), streamed(), question()] {
        let answer = caller.ask(&ask).await;
        let receipt = caller.accept(&ask, &answer);
        assert_eq!(receipt.charged, Amount(8), "four tokens in, four out, one unit each");
        total += 8;
        assert_eq!(receipt.cumulative, Amount(total));
        assert!(receipt.charged <= caller.max_charge(&ask));
    }
    pod.shutdown().await;
}

#[tokio::test]
async fn a_channel_that_is_not_on_the_chain_gets_402_with_what_to_do() {
    let home = Home::with_chain();
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    let _ = caller.ledger.fund(Amount(DEPOSIT));
    let ask = question();
    let refused = caller.ask(&ask).await;
    assert_eq!(refused.status, 402);
    assert_eq!(refused.code(), "invalid_batch_settlement_evm_channel_not_found");
    let content =
        PaymentRequired::from_header(&refused.header("payment-required").unwrap()).unwrap();
    let way = &content.accepts[0];
    assert_eq!((way.pay_to, way.amount), (PAYEE, caller.max_charge(&ask)));
    assert_eq!(way.extra.receiver_authorizer, pod.signer());

    home.chain.as_ref().unwrap().deposit(caller.channel(), DEPOSIT);
    let answer = caller.ask(&ask).await;
    assert_eq!(answer.status, 200, "a deposit is seen at once");
    pod.shutdown().await;
}

#[tokio::test]
async fn a_top_up_after_a_refusal_is_seen_at_once() {
    let home = Home::with_chain();
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    home.chain.as_ref().unwrap().deposit(caller.channel(), 10);
    let _ = caller.ledger.fund(Amount(DEPOSIT));
    let ask = question();
    let refused = caller.ask(&ask).await;
    assert_eq!(refused.code(), "invalid_batch_settlement_evm_cumulative_exceeds_balance");
    home.chain.as_ref().unwrap().deposit(caller.channel(), DEPOSIT);
    assert_eq!(caller.ask(&ask).await.status, 200);
    pod.shutdown().await;
}

#[tokio::test]
async fn a_channel_to_somebody_else_or_with_a_withdrawal_is_refused() {
    let home = Home::with_chain();
    let (pod, mut caller) = paying(&home).await;
    let mut other = home.meet(&pod, stranger()).await;
    let config = ChannelConfig { receiver: stranger().address(), ..other.config.clone().unwrap() };
    let (ledger, _) = subrosa_channel::payer::Ledger::open_channel(other.domain, config.clone());
    (other.ledger, other.config) = (ledger, Some(config));
    let _ = other.ledger.fund(Amount(DEPOSIT));
    let refused = other.ask(&question()).await;
    assert_eq!(refused.code(), "invalid_batch_settlement_evm_receiver_mismatch");

    home.chain.as_ref().unwrap().begin_withdrawal(caller.channel());
    let refused = caller.ask(&question()).await;
    assert_eq!((refused.status, refused.code()), (402, "withdraw_pending".into()));
    pod.shutdown().await;
}

#[tokio::test]
async fn a_claim_pays_what_was_charged_once() {
    let home = Home::with_chain();
    let (pod, mut caller) = paying(&home).await;
    for _ in 0..3 {
        let ask = question();
        let answer = caller.ask(&ask).await;
        caller.accept(&ask, &answer);
    }
    let report = pod.claim_now().await.unwrap();
    assert_eq!((report.rows, report.claimed), (1, Amount(24)));
    assert_eq!((report.before, report.after), (Amount(0), Amount(24)));
    assert!(report.gas > 0 && report.transactions.len() == 2);
    let again = pod.claim_now().await.unwrap();
    assert_eq!((again.rows, again.claimed, again.after), (0, Amount(0), Amount(24)));
    pod.shutdown().await;
}

#[tokio::test]
async fn a_claim_whose_fate_is_unknown_is_no_failure_and_pays_once() {
    let home = Home::with_chain();
    let (pod, mut caller) = paying(&home).await;
    caller.ask(&question()).await;
    let chain = home.chain.as_ref().unwrap();
    chain.lose_next();
    let lost = pod.claim_now().await.unwrap_err();
    assert!(matches!(lost, ClaimError::Link(LinkError::Unknown { .. })));
    let report = pod.claim_now().await.unwrap();
    assert_eq!((report.rows, report.after, chain.claims()), (0, Amount(8), 1));
    pod.shutdown().await;
}

#[tokio::test]
async fn when_a_payer_begins_to_withdraw_what_it_owes_is_claimed_at_once() {
    let home = Home::with_chain();
    let (pod, mut caller) = paying(&home).await;
    caller.ask(&question()).await;
    let chain = home.chain.as_ref().unwrap();
    assert_eq!(chain.claims(), 0, "one question is not worth its gas");
    chain.begin_withdrawal(caller.channel());
    tokio::time::timeout(Duration::from_secs(30), chain.claimed.notified()).await.unwrap();
    pod.shutdown().await;
    assert_eq!(chain.claims(), 1);
}

#[tokio::test]
async fn a_pod_registers_once_and_again_only_when_something_changed() {
    let home = Home::with_chain();
    let chain = home.chain.as_ref().unwrap();
    let mut config = home.config();
    config.endpoint = "https://one.example".into();
    let pod = Pod::bind(config.clone(), home.deps()).await.unwrap();
    let entry = chain.only_entry();
    assert_eq!((entry.payee, entry.signer), (PAYEE, pod.signer()));
    assert_eq!((entry.endpoint.as_str(), chain.transactions()), ("https://one.example", 1));
    pod.shutdown().await;

    Pod::bind(config.clone(), home.deps()).await.unwrap().shutdown().await;
    assert_eq!(chain.transactions(), 1, "nothing changed");

    config.endpoint = "https://two.example".into();
    let pod = Pod::bind(config.clone(), home.deps()).await.unwrap();
    assert_eq!(chain.only_entry().endpoint, "https://two.example");
    pod.retire().await.unwrap();
    pod.shutdown().await;
    let Err(refused) = Pod::bind(config, home.deps()).await else { panic!("it is retired") };
    assert!(matches!(refused, StartError::Chain(LinkError::Refused { .. })), "{refused}");
}

#[tokio::test]
async fn slips_are_all_that_a_claim_needs_without_the_pod() {
    let home = Home::with_chain();
    let (pod, mut caller) = paying(&home).await;
    for _ in 0..2 {
        caller.ask(&question()).await;
    }
    let file = home.folder.join("slips.json");
    pod.export_slips(&file).await;
    let slips: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let slip = &slips["slips"][0];
    let bytes = |member: &str| encoding::from_base64(slip[member].as_str().unwrap()).unwrap();
    let config = ChannelConfig::decode(&bytes("config")).unwrap();
    assert_eq!(config, caller.config.clone().unwrap());
    let voucher = Signed::<Voucher>::from_bytes(&bytes("voucher")).unwrap();
    let voucher = voucher.verify(&caller.domain, friend().address()).unwrap();
    let claim = Signed::<ClaimBatch>::from_bytes(&bytes("claim")).unwrap();
    let claim = claim.verify(&caller.domain, pod.signer()).unwrap();
    assert_eq!((claim.claims[0].total, claim.claims[0].ceiling), (Amount(16), voucher.ceiling));
    assert_eq!(claim.claims[0].channel, caller.channel());
    pod.shutdown().await;
}

#[tokio::test]
async fn leaving_early_and_asking_again_gets_no_second_run() {
    let mut home = Home::with_chain();
    home.script.tokens = (0..1_000).map(|n| format!("word{n} ")).collect();
    home.script.per_token = Duration::from_millis(5);
    let (pod, mut caller) = paying(&home).await;
    let ask = streamed();
    let envelope = caller.envelope(&ask);
    let (sealed, _) = caller.seal(&ask, envelope);
    let mut response = caller.post(sealed).await;
    response.chunk().await.unwrap();
    drop(response);
    drop(std::mem::replace(&mut caller.http, support::http::client()));
    // Stopping waits for the charge of what was generated until the caller was seen to be gone.
    pod.shutdown().await;

    let pod = home.start().await;
    let mut again = home.meet(&pod, friend()).await;
    let _ = again.ledger.fund(Amount(DEPOSIT));
    let refused = again.ask(&ask).await;
    assert_eq!((refused.status, refused.code()), (409, "answered_already".into()));
    let receipt = again.ask(&Ask::get(Query::Order(ask.id).path())).await.receipt();
    let receipt = receipt.unverified();
    assert_eq!(receipt.outcome, Outcome::Cancelled);
    assert!(receipt.charged > Amount::ZERO && receipt.output_tokens < 1_000);
    pod.shutdown().await;
}

#[tokio::test]
async fn a_pod_on_a_network_with_a_chain_needs_a_wallet() {
    let home = Home::with_chain();
    let deps = subrosa_pod::Deps { link: None, ..home.deps() };
    let Err(refused) = Pod::bind(home.config(), deps).await else { panic!("it has no wallet") };
    assert!(matches!(refused, StartError::NoOperator));
}
