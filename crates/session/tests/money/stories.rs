//! What one question does when one thing goes wrong.

use subrosa_channel::payee::Halt;
use subrosa_protocol::*;
use subrosa_seal::ResponseEvent;
use subrosa_session::client::{Delivery, Ending, Next};
use subrosa_session::names;
use subrosa_session::receipts::Query;

use crate::pair::{Pair, Received};

fn feed(asking: &mut subrosa_session::client::Asking, events: &[ResponseEvent]) -> Vec<Delivery> {
    events.iter().cloned().flat_map(|event| asking.on_event(event)).collect()
}

#[test]
fn an_answer_is_delivered_and_its_receipt_believed() {
    let mut pair = Pair::new(1);
    let mut asking = pair.ask(20);
    let running = pair.run(&asking);
    let events = pair.pod.answer(running, 5, Outcome::Complete, pair.now);
    let deliveries = feed(&mut asking, &events);
    assert_eq!(deliveries.len(), 6);
    assert!(matches!(deliveries[0], Delivery::Head { status: 200, .. }));
    let Ending::Answered { receipt } = pair.conclude(&mut asking) else { panic!("answered") };
    assert_eq!(receipt.unverified().charged, Amount(8));
    assert_eq!(pair.payer.ledger.charged(), Amount(8));
}

#[test]
fn the_readable_fields_say_what_the_receipt_says() {
    let mut pair = Pair::new(1);
    let asking = pair.ask(20);
    let running = pair.run(&asking);
    let events = pair.pod.answer(running, 5, Outcome::Complete, pair.now);
    let Some(ResponseEvent::Trailers(trailers)) = events.iter().nth_back(1) else {
        panic!("a stream ends with its trailers")
    };
    let value = |name| {
        let (_, value) = trailers.iter().find(|(known, _)| known == name).unwrap();
        String::from_utf8(value.clone()).unwrap()
    };
    assert_eq!(value(names::TOTAL_TOKENS_USED), "8");
    assert_eq!(value(names::COST_PER_TOKEN), "1000000/1000000");
    assert_eq!(value(names::OUTSTANDING_BALANCE), "8");
    assert_eq!(value(names::SERVER_SIGNATURE).len(), 2 + 2 * 65);
    assert_eq!(value(names::QUERY_CHAIN_ID), pair.payer.ledger.account().to_string());
}

#[test]
fn a_connection_lost_before_the_first_byte_sends_the_same_order_once_more() {
    let mut pair = Pair::new(1);
    let mut asking = pair.ask(20);
    let before = pair.request(&asking);
    assert_eq!(asking.on_lost(), Next::Again);
    assert_eq!(pair.request(&asking), before, "same order, same salt, same hash");
    assert_eq!(asking.on_lost(), Next::FailOver);
}

#[test]
fn a_head_alone_is_no_answer_yet() {
    let mut pair = Pair::new(1);
    let mut asking = pair.ask(20);
    let running = pair.run(&asking);
    let events = pair.pod.answer(running, 5, Outcome::Complete, pair.now);
    assert!(feed(&mut asking, &events[..1]).is_empty());
    assert_eq!(asking.on_lost(), Next::Again);
}

#[test]
fn after_an_answer_byte_there_is_an_honest_end_and_no_second_try() {
    let mut pair = Pair::new(1);
    let mut asking = pair.ask(20);
    let running = pair.run(&asking);
    let events = pair.pod.answer(running, 5, Outcome::Complete, pair.now);
    assert_eq!(feed(&mut asking, &events[..2]).len(), 2);
    assert_eq!(asking.on_lost(), Next::BrokenOff);

    let order = asking.order_id();
    assert!(pair.fetch(Query::Order(order)), "the receipt is fetched afterwards");
    assert_eq!(pair.payer.ledger.reserved(), Amount(0));
}

#[test]
fn a_retry_of_a_charged_order_is_the_same_answer_and_no_second_charge() {
    let mut pair = Pair::new(1);
    let mut asking = pair.ask(20);
    let running = pair.run(&asking);
    let sent = pair.pod.answer(running, 5, Outcome::Complete, pair.now);
    assert_eq!(asking.on_lost(), Next::Again);
    let again = pair.reply(&asking);
    assert_eq!(again, sent, "the exact bytes, the receipt among them");
    feed(&mut asking, again.as_slices().0);
    assert!(matches!(pair.conclude(&mut asking), Ending::Answered { .. }));
    assert_eq!(pair.pod.ledgers.earned(), Amount(8));
}

#[test]
fn an_answer_that_was_cut_short_for_a_lost_caller_does_not_pass_for_a_whole_one() {
    for outcome in [Outcome::Complete, Outcome::Limit, Outcome::Failed, Outcome::Cancelled] {
        let mut pair = Pair::new(1);
        let mut asking = pair.ask(20);
        let running = pair.run(&asking);
        let events = pair.pod.answer(running, 5, outcome, pair.now);
        let (end, before) = events.split_last().unwrap();
        assert!(matches!(end, ResponseEvent::End));
        feed(&mut asking, before);
        assert_eq!(asking.was_cut(), outcome == Outcome::Cancelled, "{outcome:?}");
    }
}

#[test]
fn a_retry_after_the_pod_lost_its_memory_runs_again_for_nothing() {
    let mut pair = Pair::new(1);
    let mut asking = pair.ask(20);
    let running = pair.run(&asking);
    let _lost = pair.pod.answer(running, 5, Outcome::Complete, pair.now);
    pair.pod.crash(0);
    assert_eq!(asking.on_lost(), Next::Again);
    let running = pair.run(&asking);
    assert!(running.run.is_rerun());
    let events = pair.pod.answer(running, 6, Outcome::Complete, pair.now);
    feed(&mut asking, &events);
    let Ending::Answered { receipt } = pair.conclude(&mut asking) else { panic!("answered") };
    assert_eq!((receipt.unverified().charged, receipt.unverified().seq), (Amount(0), 2));
    assert_eq!(pair.payer.ledger.charged(), Amount(8));
    assert_eq!(pair.payer.ledger.missing(9), [1]);
    assert!(pair.fetch(Query::Seq(1)));
    assert!(pair.payer.ledger.missing(9).is_empty());
}

#[test]
fn a_stale_key_is_refreshed_once_and_nothing_is_ordered_anew() {
    let mut pair = Pair::new(1);
    let mut asking = pair.ask(20);
    let before = pair.request(&asking);
    assert_eq!(asking.on_stale_key(), Next::AgainWithFreshKeys);
    assert_eq!(pair.request(&asking), before);
    assert_eq!(asking.on_stale_key(), Next::FailOver);
}

#[test]
fn a_payer_that_lost_its_disk_catches_up_in_one_402() {
    let mut pair = Pair::new(1);
    for _ in 0..11 {
        let mut asking = pair.ask(200);
        let running = pair.run(&asking);
        let events = pair.pod.answer(running, 150, Outcome::Complete, pair.now);
        feed(&mut asking, &events);
        assert!(matches!(pair.conclude(&mut asking), Ending::Answered { .. }));
    }
    let earned = pair.pod.ledgers.earned();
    pair.payer.disk.truncate(2);
    pair.payer.crash();
    assert_eq!(pair.payer.ledger.ceiling(), Amount(0));

    let mut asking = pair.ask(200);
    let events = pair.reply(&asking);
    assert!(matches!(&events[0], ResponseEvent::Head { status: 402, .. }));
    feed(&mut asking, events.as_slices().0);
    assert!(matches!(pair.conclude(&mut asking), Ending::OrderedAgain));
    assert_eq!(pair.payer.ledger.charged(), earned);
    let running = pair.run(&asking);
    let events = pair.pod.answer(running, 5, Outcome::Complete, pair.now);
    feed(&mut asking, &events);
    assert!(matches!(pair.conclude(&mut asking), Ending::Answered { .. }));
}

#[test]
fn a_second_402_asks_another_pod_and_frees_the_reservation() {
    let mut pair = Pair::new(1);
    pair.pod.chain.balance = Amount(5);
    let mut asking = pair.ask(20);
    let events = pair.reply(&asking);
    feed(&mut asking, events.as_slices().0);
    let Ending::FailOver { reason } = pair.conclude(&mut asking) else { panic!("fail over") };
    assert_eq!(reason, "invalid_batch_settlement_evm_cumulative_exceeds_balance");
    assert_eq!(pair.payer.ledger.reserved(), Amount(0));
}

#[test]
fn an_order_under_way_is_asked_for_again_later_and_then_elsewhere() {
    let mut pair = Pair::new(1);
    let mut asking = pair.ask(20);
    let _running = pair.run(&asking);
    let events = pair.reply(&asking);
    feed(&mut asking, events.as_slices().0);
    assert!(matches!(pair.conclude(&mut asking), Ending::AgainLater { .. }));
    let events = pair.reply(&asking);
    feed(&mut asking, events.as_slices().0);
    assert!(matches!(pair.conclude(&mut asking), Ending::FailOver { .. }));
    assert!(pair.payer.ledger.reserved() > Amount(0), "the first pod may still charge it");
}

#[test]
fn an_engine_that_breaks_before_its_first_token_charges_nothing() {
    let mut pair = Pair::new(1);
    let mut asking = pair.ask(20);
    let running = pair.run(&asking);
    let events = pair.pod.fail(running);
    feed(&mut asking, &events);
    let Ending::FailOver { reason } = pair.conclude(&mut asking) else { panic!("fail over") };
    assert_eq!(reason, "status_503");
    assert_eq!((pair.pod.ledgers.earned(), pair.payer.ledger.reserved()), (Amount(0), Amount(0)));
}

#[test]
fn a_fault_of_the_request_is_passed_on_as_it_is() {
    let mut pair = Pair::new(1);
    let mut asking = pair.ask(20);
    let head = ResponseEvent::Head { status: 400, headers: vec![] };
    let body = ResponseEvent::Body("{}".into());
    feed(&mut asking, &[head, body, ResponseEvent::Trailers(vec![]), ResponseEvent::End]);
    let Ending::Refused { status, body, .. } = pair.conclude(&mut asking) else { panic!("400") };
    assert_eq!((status, &body[..]), (400, &b"{}"[..]));
}

#[test]
fn an_answer_without_its_receipt_is_said_to_be_so() {
    let mut pair = Pair::new(1);
    let mut asking = pair.ask(20);
    let running = pair.run(&asking);
    let mut events = pair.pod.answer(running, 5, Outcome::Complete, pair.now);
    let trailers = events.len() - 2;
    events[trailers] = ResponseEvent::Trailers(vec![]);
    feed(&mut asking, &events);
    assert!(matches!(pair.conclude(&mut asking), Ending::Unreceipted { fault: None }));
    assert!(pair.fetch(Query::Order(asking.order_id())));
}

#[test]
fn a_receipt_for_other_bytes_is_not_believed() {
    let mut pair = Pair::new(1);
    let mut asking = pair.ask(20);
    let running = pair.run(&asking);
    let mut events = pair.pod.answer(running, 5, Outcome::Complete, pair.now);
    events[1] = ResponseEvent::Body("lies ".into());
    feed(&mut asking, &events);
    let Ending::Unreceipted { fault: Some(fault) } = pair.conclude(&mut asking) else {
        panic!("the hash differs")
    };
    assert_eq!(fault.code(), "wrong_response");
}

#[test]
fn a_pod_whose_disk_was_rolled_back_halts_instead_of_contradicting_itself() {
    let mut pair = Pair::new(1);
    let mut asking = pair.ask(20);
    let running = pair.run(&asking);
    let events = pair.pod.answer(running, 5, Outcome::Complete, pair.now);
    feed(&mut asking, &events);
    assert!(matches!(pair.conclude(&mut asking), Ending::Answered { .. }));
    // The host puts an old disk back: the charge is gone, though its receipt was given.
    pair.pod.crash(1);
    let asking = pair.ask(20);
    let Received::Reply(_) = pair.pod.receive(&pair.request(&asking), pair.now) else {
        panic!("halted")
    };
    let ledger = pair.pod.ledgers.get(&pair.payer.ledger.account()).unwrap();
    assert_eq!(ledger.halt(), Some(Halt::ReceiptAhead));
}

#[test]
fn only_the_owner_reads_receipts() {
    let mut pair = Pair::new(1);
    let asking = pair.ask(20);
    let running = pair.run(&asking);
    let _answered = pair.pod.answer(running, 5, Outcome::Complete, pair.now);
    assert!(pair.fetch(Query::Order(asking.order_id())));
    // A question's own order does not open receipts, though its owner signed it.
    let payment = subrosa_session::pod::payment(&pair.request(&asking).envelope).unwrap().unwrap();
    let hash = payment.order.unverified().request_hash;
    assert!(pair.pod.terms.authorise(&payment, hash, pair.now).is_err());
}
