//! Admission, charge, retry and halt of a payee's ledger.

mod common;

use common::*;
use subrosa_channel::payee::{
    Admitted, ChargeError, Halt, Inconsistent, Ledgers, Metered, Moment, Record, Refusal,
};
use subrosa_protocol::*;

#[test]
fn reserves_the_most_and_charges_the_actual() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let run = run_of(world.admit(&mut ledgers, 1, 100));
    let ledger = ledgers.get(&world.account()).unwrap();
    assert_eq!((ledger.reserved(), ledger.charged()), (MOST, Amount(0)));

    let charge = world.charge(&mut ledgers, run, 20);
    let receipt = charge.receipt.verify(&world.domain, world.pod.address()).unwrap();
    assert_eq!((receipt.charged, receipt.cumulative), (Amount(30), Amount(30)));
    assert_eq!((receipt.seq, receipt.prev), (1, B256::ZERO));
    let ledger = ledgers.get(&world.account()).unwrap();
    assert_eq!((ledger.reserved(), ledger.charged()), (Amount(0), Amount(30)));
}

#[test]
fn the_slip_claims_the_total_under_the_highest_voucher() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    world.answer(&mut ledgers, 1, 500);
    let run = run_of(world.admit(&mut ledgers, 2, 0));
    let charge = world.charge(&mut ledgers, run, 20);
    let [Record::Charged { slip: Some(slip), .. }] = &charge.records[..] else {
        panic!("a charge is one record with its slip")
    };
    let claim = slip.verify(&world.domain, world.pod.address()).unwrap();
    let row = ClaimEntry { channel: world.channel(), ceiling: Amount(500), total: Amount(60) };
    assert_eq!(claim.claims, [row]);
    assert_eq!(ledgers.get(&world.account()).unwrap().claimable().unwrap().total, Amount(60));
}

#[test]
fn receipts_chain_in_the_order_of_the_charges_not_of_the_admissions() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let first = run_of(world.admit(&mut ledgers, 1, 200));
    let second = run_of(world.admit(&mut ledgers, 2, 0));
    let earlier = world.charge(&mut ledgers, second, 20).receipt;
    let later = world.charge(&mut ledgers, first, 5).receipt;
    assert_eq!(earlier.unverified().seq, 1);
    assert_eq!(later.unverified().seq, 2);
    assert_eq!(later.unverified().prev, earlier.digest(&world.domain));
    assert_eq!(later.unverified().cumulative, Amount(45));
}

#[test]
fn never_charges_above_the_order_whatever_the_meter_counted() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let run = run_of(world.admit(&mut ledgers, 1, 100));
    let receipt = world.charge(&mut ledgers, run, 1_000_000).receipt;
    assert_eq!(receipt.unverified().charged, MOST);
}

#[test]
fn refuses_what_the_ceiling_does_not_cover_beside_what_is_reserved() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let _run = run_of(world.admit(&mut ledgers, 1, 199));
    let refusal = refusal_of(world.admit(&mut ledgers, 2, 0));
    assert_eq!(refusal, Refusal::CeilingTooLow { highest: Amount(199), needed: Amount(200) });
}

#[test]
fn the_highest_voucher_counts_in_whatever_order_vouchers_come() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let _first = run_of(world.admit(&mut ledgers, 1, 300));
    let _second = run_of(world.admit(&mut ledgers, 2, 150));
    let _third = run_of(world.admit(&mut ledgers, 3, 0));
    assert_eq!(ledgers.get(&world.account()).unwrap().ceiling(), Amount(300));
}

#[test]
fn refuses_what_the_deposit_does_not_cover() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let mut moment = world.moment();
    moment.chain.as_mut().unwrap().balance = Amount(99);
    let refusal = refusal_of(ledgers.admit(world.checked(1, 100), &moment));
    assert_eq!(refusal, Refusal::BalanceTooLow { balance: Amount(99), needed: Amount(100) });
    assert_eq!(ledgers, world.ledgers());
}

#[test]
fn refuses_while_a_withdrawal_is_pending_but_charges_what_was_admitted() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let run = run_of(world.admit(&mut ledgers, 1, 200));
    let mut moment = world.moment();
    moment.chain.as_mut().unwrap().withdraw_requested_at = Some(NOW);
    let refusal = refusal_of(ledgers.admit(world.checked(2, 0), &moment));
    assert_eq!(refusal, Refusal::WithdrawPending);
    assert_eq!(world.charge(&mut ledgers, run, 20).receipt.unverified().charged, Amount(30));
}

#[test]
fn refuses_on_a_view_of_the_chain_that_is_too_old() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let mut moment = world.moment();
    moment.now = NOW.after(Duration(30));
    assert!(ledgers.admit(world.checked(1, 100), &moment).verdict.is_ok());
    moment.now = NOW.after(Duration(31));
    let refusal = refusal_of(ledgers.admit(world.checked(2, 200), &moment));
    assert_eq!(refusal, Refusal::ChainViewStale { age: Duration(31) });
}

#[test]
fn refuses_a_channel_that_the_chain_does_not_know() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let moment = Moment { chain: None, ..world.moment() };
    let refusal = refusal_of(ledgers.admit(world.checked(1, 100), &moment));
    assert_eq!(refusal, Refusal::ChannelUnknown);
    assert!(ledgers.get(&world.account()).is_none(), "a stranger leaves nothing behind");
}

#[test]
fn an_order_id_serves_one_request_only() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    world.answer(&mut ledgers, 1, 100);
    let order = Order { request_hash: word(0x77), ..world.order(1, 0) };
    let mut asked = world.asked(1);
    asked.request_hash = word(0x77);
    let checked = world.terms.check(world.payment(order), &asked, NOW).unwrap();
    let refusal = refusal_of(ledgers.admit(checked, &world.moment()));
    assert_eq!(refusal, Refusal::OrderIdUsed { request: RequestId(word(1)) });
}

#[test]
fn the_same_order_does_not_run_twice_at_once() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let _run = run_of(world.admit(&mut ledgers, 1, 100));
    let refusal = refusal_of(world.admit(&mut ledgers, 1, 100));
    assert_eq!(refusal, Refusal::InFlight { request: RequestId(word(1)) });
}

#[test]
fn a_retry_of_a_charged_order_gets_the_answer_from_memory() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    world.answer(&mut ledgers, 1, 100);
    let moment = Moment { remembered: true, ..world.moment() };
    let decision = ledgers.admit(world.checked(1, 100), &moment);
    assert!(decision.records.is_empty());
    assert!(matches!(decision.verdict, Ok(Admitted::Remembered { seq: 1 })));
}

#[test]
fn a_charged_order_that_is_forgotten_runs_once_more_for_nothing() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let first = world.answer(&mut ledgers, 1, 100);
    let run = run_of(world.admit(&mut ledgers, 1, 100));
    assert!(run.is_rerun());
    assert!(matches!(refusal_of(world.admit(&mut ledgers, 1, 100)), Refusal::InFlight { .. }));

    let charge = world.charge(&mut ledgers, run, 20);
    let second = charge.receipt.unverified();
    assert_eq!((second.seq, second.charged, second.cumulative), (2, Amount(0), Amount(30)));
    assert_eq!(second.prev, first.digest(&world.domain));
    let refusal = refusal_of(world.admit(&mut ledgers, 1, 100));
    assert_eq!(refusal, Refusal::AnsweredAlready { request: RequestId(word(1)) });
}

#[test]
fn a_second_run_that_breaks_off_may_be_tried_again() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    world.answer(&mut ledgers, 1, 100);
    let run = run_of(world.admit(&mut ledgers, 1, 100));
    assert!(ledgers.release(run).unwrap().is_empty());
    assert!(run_of(world.admit(&mut ledgers, 1, 100)).is_rerun());
}

#[test]
fn leaving_early_does_not_buy_the_whole_answer_for_its_first_token() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let run = run_of(world.admit(&mut ledgers, 1, 100));
    let cancelled = Metered { outcome: Outcome::Cancelled, ..metered(1) };
    let charge = ledgers.charge(run, &cancelled, &world.pod, NOW).unwrap();
    assert_eq!(charge.receipt.unverified().charged, Amount(11));
    let refusal = refusal_of(world.admit(&mut ledgers, 1, 100));
    assert_eq!(refusal, Refusal::AnsweredAlready { request: RequestId(word(1)) });
}

#[test]
fn a_release_gives_the_reservation_back_and_the_order_may_run_again() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let run = run_of(world.admit(&mut ledgers, 1, 100));
    let records = ledgers.release(run).unwrap();
    assert!(matches!(records[..], [Record::Released { .. }]));
    assert_eq!(ledgers.get(&world.account()).unwrap().reserved(), Amount(0));
    let run = run_of(world.admit(&mut ledgers, 1, 100));
    assert_eq!(world.charge(&mut ledgers, run, 20).receipt.unverified().charged, Amount(30));
}

#[test]
fn an_uncharged_order_runs_again_after_a_restart() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let decision = world.admit(&mut ledgers, 1, 100);
    let mut ledgers = restored(&world, &decision.records);
    let run = run_of(world.admit(&mut ledgers, 1, 100));
    assert_eq!(ledgers.get(&world.account()).unwrap().reserved(), MOST);
    assert_eq!(world.charge(&mut ledgers, run, 20).receipt.unverified().seq, 1);
}

#[test]
fn a_retry_must_not_allow_more_than_was_reserved() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let decision = world.admit(&mut ledgers, 1, 300);
    let mut ledgers = restored(&world, &decision.records);
    let order = Order { max_charge: Amount(300), ..world.order(1, 0) };
    let checked = world.terms.check(world.payment(order), &world.asked(1), NOW).unwrap();
    assert!(matches!(
        refusal_of(ledgers.admit(checked, &world.moment())),
        Refusal::OrderIdUsed { .. }
    ));
}

#[test]
fn an_expired_order_gives_its_reservation_back_unless_it_runs() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let lost = world.admit(&mut ledgers, 1, 200);
    let mut ledgers = restored(&world, &lost.records);
    let _running = run_of(world.admit(&mut ledgers, 2, 0));
    let records = ledgers.sweep(NOW.after(Duration(900)));
    assert!(matches!(records[..], [Record::Released { .. }]));
    let ledger = ledgers.get(&world.account()).unwrap();
    assert_eq!((ledger.reserved(), ledger.orders_known()), (MOST, 1));
}

#[test]
fn a_receipt_that_is_ahead_of_the_ledger_halts_the_channel() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let decision = world.admit(&mut ledgers, 1, 300);
    let rolled_back = decision.records.clone();
    let receipt = world.charge(&mut ledgers, run_of(decision), 20).receipt;

    let mut ledgers = restored(&world, &rolled_back);
    let running = run_of(world.admit(&mut ledgers, 1, 300));
    let mut payment = world.payment(world.order(2, 0));
    payment.last_receipt = Some(receipt);
    let checked = world.terms.check(payment, &world.asked(2), NOW).unwrap();
    let decision = ledgers.admit(checked, &world.moment());
    let halt = Halt::ReceiptAhead;
    assert_eq!(decision.records, [Record::Halted { account: world.account(), halt }]);
    assert_eq!(decision.verdict.unwrap_err(), Refusal::Halted { halt });

    // One more receipt would contradict the one that the payer holds.
    let refused = ledgers.charge(running, &metered(20), &world.pod, NOW);
    assert_eq!(refused.unwrap_err(), ChargeError::Halted { halt });
    assert_eq!(refusal_of(world.admit(&mut ledgers, 3, 0)), Refusal::Halted { halt });
}

#[test]
fn another_receipt_for_the_last_place_halts_the_channel() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let decision = world.admit(&mut ledgers, 1, 300);
    let mut other = restored(&world, &decision.records);
    let _ = world.charge(&mut ledgers, run_of(decision), 20);
    let run = run_of(world.admit(&mut other, 1, 300));
    let contradiction = world.charge(&mut other, run, 21).receipt;

    let mut payment = world.payment(world.order(2, 0));
    payment.last_receipt = Some(contradiction);
    let checked = world.terms.check(payment, &world.asked(2), NOW).unwrap();
    let refusal = refusal_of(ledgers.admit(checked, &world.moment()));
    assert_eq!(refusal, Refusal::Halted { halt: Halt::ReceiptDiffers });
}

#[test]
fn a_claim_above_what_was_charged_halts_the_channel() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let mut moment = world.moment();
    moment.chain.as_mut().unwrap().claimed = Amount(1);
    let refusal = refusal_of(ledgers.admit(world.checked(1, 100), &moment));
    assert_eq!(refusal, Refusal::Halted { halt: Halt::ClaimAhead });
}

#[test]
fn a_run_of_another_ledger_is_not_charged() {
    let world = World::new();
    let run = run_of(world.admit(&mut world.ledgers(), 1, 100));
    let refused = world.ledgers().charge(run, &metered(20), &world.pod, NOW);
    assert!(matches!(refused, Err(ChargeError::NotReserved { .. })));
}

#[test]
fn records_that_no_ledger_made_are_refused() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let decision = world.admit(&mut ledgers, 1, 100);
    let mut records = decision.records.clone();
    records.extend(world.charge(&mut ledgers, run_of(decision), 20).records);
    let charged = records.last().unwrap().clone();

    let twice = records.iter().cloned().chain([charged.clone()]);
    let refused = Ledgers::restore(world.domain, twice);
    assert!(matches!(refused, Err(Inconsistent::BrokenChain { seq: 1, .. })));
    let orphan = Ledgers::restore(world.domain, [charged.clone()]);
    assert!(matches!(orphan, Err(Inconsistent::NotOpened { .. })));
    let unraised = records.into_iter().filter(|record| !matches!(record, Record::Raised { .. }));
    let refused = Ledgers::restore(world.domain, unraised);
    assert!(matches!(refused, Err(Inconsistent::AboveCeiling { .. })));
}

#[test]
fn an_id_that_is_signed_anew_after_its_order_ended_is_another_order() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let decision = world.admit(&mut ledgers, 1, 300);
    let mut records = decision.records.clone();
    records.extend(world.charge(&mut ledgers, run_of(decision), 20).records);
    let later = NOW.after(Duration(900));
    let order = Order { expires: later.after(Duration(900)), ..world.order(1, 0) };
    let checked = world.terms.check(world.payment(order), &world.asked(1), later).unwrap();
    let decision = ledgers.admit(checked, &moment_at(later));
    records.extend(decision.records.iter().cloned());
    assert!(!run_of(decision).is_rerun());
    assert_eq!(restored(&world, &records).get(&world.account()).unwrap().reserved(), MOST);
}
