//! What [`Terms::check`] refuses, each wrong thing by its own name.

mod common;

use common::*;
use subrosa_channel::payee::{Blame, Payment, Refusal};
use subrosa_protocol::*;

fn refused(world: &World, payment: Payment) -> Refusal {
    world.terms.check(payment, &world.asked(1), NOW).unwrap_err()
}

fn with_order(change: impl FnOnce(&mut Order)) -> Refusal {
    let world = World::new();
    let mut order = world.order(1, 100);
    change(&mut order);
    refused(&world, world.payment(order))
}

fn with_config(change: impl FnOnce(&mut ChannelConfig)) -> Refusal {
    let mut world = World::new();
    change(&mut world.config);
    refused(&world, world.payment(world.order(1, 100)))
}

#[test]
fn takes_a_good_order_with_its_voucher() {
    let world = World::new();
    let checked = world.checked(1, 100);
    assert_eq!(checked.account(), world.account());
    assert_eq!(checked.order().max_charge, MOST);
}

#[test]
fn refuses_an_order_for_another_account_than_the_config_makes() {
    let refusal = with_order(|order| order.account = Account(word(0x55)));
    assert!(matches!(refusal, Refusal::AccountMismatch { .. }));
}

#[test]
fn refuses_an_order_that_somebody_else_signed() {
    let world = World::new();
    let mut payment = world.payment(world.order(1, 100));
    payment.order = Signed::sign(world.order(1, 100), &world.domain, &key(3));
    assert!(matches!(refused(&world, payment), Refusal::OrderSignature(_)));
}

#[test]
fn refuses_an_order_that_was_signed_for_another_chain() {
    let world = World::new();
    let other = Domain { chain_id: 1, ..world.domain };
    let mut payment = world.payment(world.order(1, 100));
    payment.order = Signed::sign(world.order(1, 100), &other, &world.payer);
    assert!(matches!(refused(&world, payment), Refusal::OrderSignature(_)));
}

#[test]
fn refuses_an_order_for_another_request() {
    assert_eq!(with_order(|order| order.request_hash = word(2)), Refusal::RequestMismatch);
}

#[test]
fn refuses_an_order_that_ended() {
    let refusal = with_order(|order| order.expires = NOW);
    assert_eq!(refusal, Refusal::OrderExpired { expired: NOW });
}

#[test]
fn refuses_an_order_that_outlasts_the_memory_of_ids() {
    let refusal = with_order(|order| order.expires = NOW.after(Duration(3_601)));
    assert!(matches!(refusal, Refusal::OrderTooLong { .. }));
}

#[test]
fn refuses_an_offer_that_is_not_its_own() {
    assert_eq!(with_order(|order| order.offer = word(1)), Refusal::OfferUnknown);
}

#[test]
fn refuses_an_offer_that_ended() {
    let world = World::new();
    let now = world.offer.expires;
    let order = Order { expires: now.after(Duration(60)), ..world.order(1, 100) };
    let refusal = world.terms.check(world.payment(order), &world.asked(1), now).unwrap_err();
    assert_eq!(refusal, Refusal::OfferExpired { expired: now });
}

#[test]
fn refuses_a_model_that_it_does_not_offer() {
    let world = World::new();
    let mut asked = world.asked(1);
    asked.model = word(0x66);
    let payment = world.payment(world.order(1, 100));
    assert_eq!(world.terms.check(payment, &asked, NOW).unwrap_err(), Refusal::ModelNotOffered);
}

#[test]
fn refuses_less_than_the_request_can_cost() {
    let refusal = with_order(|order| order.max_charge = Amount(99));
    assert_eq!(refusal, Refusal::MaxChargeTooLow { got: Amount(99), needed: Amount(100) });
}

#[test]
fn refuses_a_channel_in_another_token() {
    let refusal = with_config(|config| config.token = Address::ZERO);
    assert!(matches!(refusal, Refusal::TokenMismatch { .. }));
}

#[test]
fn refuses_a_channel_that_pays_somebody_else() {
    let refusal = with_config(|config| config.receiver = Address::ZERO);
    assert!(matches!(refusal, Refusal::ReceiverMismatch { .. }));
}

#[test]
fn refuses_a_channel_whose_claims_somebody_else_signs() {
    let refusal = with_config(|config| config.receiver_authorizer = Address::ZERO);
    assert!(matches!(refusal, Refusal::ReceiverAuthorizerMismatch { .. }));
}

#[test]
fn refuses_a_channel_with_a_shorter_withdrawal_delay() {
    let refusal = with_config(|config| config.withdraw_delay = Duration(3_600));
    assert!(matches!(refusal, Refusal::WithdrawDelayMismatch { .. }));
}

#[test]
fn refuses_a_ceiling_without_its_voucher() {
    let world = World::new();
    let mut payment = world.payment(world.order(1, 100));
    payment.voucher = None;
    let (order, voucher) = (Amount(100), Amount(0));
    assert_eq!(refused(&world, payment), Refusal::CeilingMismatch { order, voucher });
}

#[test]
fn refuses_a_voucher_that_the_order_does_not_name() {
    // As when a stranger adds a voucher that was read from a claim on the chain.
    let world = World::new();
    let mut payment = world.payment(world.order(1, 100));
    payment.voucher = Some(world.voucher(500));
    assert!(matches!(refused(&world, payment), Refusal::CeilingMismatch { .. }));
}

#[test]
fn refuses_a_voucher_of_another_channel() {
    let world = World::new();
    let mut payment = world.payment(world.order(1, 100));
    let voucher = Voucher { channel: ChannelId(word(1)), ceiling: Amount(100) };
    payment.voucher = Some(Signed::sign(voucher, &world.domain, &world.payer));
    assert_eq!(refused(&world, payment), Refusal::VoucherChannel);
}

#[test]
fn refuses_a_voucher_that_somebody_else_signed() {
    let world = World::new();
    let mut payment = world.payment(world.order(1, 100));
    let voucher = Voucher { channel: world.channel(), ceiling: Amount(100) };
    payment.voucher = Some(Signed::sign(voucher, &world.domain, &key(3)));
    assert!(matches!(refused(&world, payment), Refusal::VoucherSignature(_)));
}

#[test]
fn refuses_a_last_receipt_that_it_did_not_sign() {
    let world = World::new();
    let mut ledgers = world.ledgers();
    let receipt = world.answer(&mut ledgers, 1, 100).unverified().clone();
    let mut payment = world.payment(world.order(1, 100));
    payment.last_receipt = Some(Signed::sign(receipt, &world.domain, &key(3)));
    assert_eq!(refused(&world, payment), Refusal::LastReceiptForeign);
}

#[test]
fn refuses_an_address_that_is_not_on_the_list() {
    let world = World::new();
    let mut order = world.order(1, 0);
    order.account = world.payer.address().into();
    let mut payment = world.payment(order);
    payment.config = None;
    assert_eq!(refused(&world, payment), Refusal::NotAllowed);
}

#[test]
fn an_allow_listed_address_cannot_owe_money() {
    let world = World::new();
    let caller = key(6);
    let order = Order { account: caller.address().into(), ..world.order(1, 0) };
    let payment = Payment {
        config: None,
        order: Signed::sign(order, &world.domain, &caller),
        voucher: None,
        last_receipt: None,
    };
    let checked = world.terms.check(payment, &world.asked(1), NOW).unwrap();
    let mut ledgers = world.ledgers();
    let refusal = refusal_of(ledgers.admit(checked, &world.moment()));
    assert!(matches!(refusal, Refusal::CeilingTooLow { .. }));
}

#[test]
fn the_owner_of_an_account_is_let_to_its_receipts() {
    let world = World::new();
    let order = Order { max_charge: Amount(0), ..world.order(1, 0) };
    let account = world.terms.authorise(&world.payment(order), word(1), NOW).unwrap();
    assert_eq!(account, world.account());
}

#[test]
fn an_order_that_offers_money_does_not_open_receipts() {
    let world = World::new();
    let refusal = world.terms.authorise(&world.payment(world.order(1, 0)), word(1), NOW);
    assert!(matches!(refusal, Err(Refusal::CeilingMismatch { .. })));
}

#[test]
fn an_order_for_one_receipt_does_not_open_another() {
    let world = World::new();
    let order = Order { max_charge: Amount(0), ..world.order(1, 0) };
    let refusal = world.terms.authorise(&world.payment(order), word(2), NOW);
    assert_eq!(refusal, Err(Refusal::RequestMismatch));
}

#[test]
fn names_on_the_wire_are_those_of_x402_where_it_has_one() {
    let low = Refusal::CeilingTooLow { highest: Amount(1), needed: Amount(2) };
    assert_eq!(low.code(), "invalid_batch_settlement_evm_cumulative_amount_mismatch");
    assert_eq!(low.blame(), Blame::Payment);
    assert_eq!(Refusal::OrderIdUsed { request: RequestId(word(1)) }.blame(), Blame::Conflict);
    assert_eq!(Refusal::ChainViewStale { age: Duration(31) }.blame(), Blame::Pod);
}
