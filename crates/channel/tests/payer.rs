//! What a payer signs, and which receipts it believes.

mod common;

use common::*;
use subrosa_channel::payee::Ledgers;
use subrosa_channel::payer::{Draft, Fault, Ledger, OrderRefusal, Record, ResyncError};
use subrosa_protocol::*;

/// A payer whose disk is a list of records.
struct Payer {
    world: World,
    ledger: Ledger,
    disk: Vec<Record>,
}

impl Payer {
    fn new() -> Payer {
        Payer::with_deposit(DEPOSIT)
    }

    fn with_deposit(balance: Amount) -> Payer {
        let world = World::new();
        let (mut ledger, opened) = Ledger::open_channel(world.domain, world.config.clone());
        let funded = ledger.fund(balance);
        Payer { world, ledger, disk: vec![opened, funded] }
    }

    fn draft(&self, id: u8) -> Draft {
        Draft {
            offer: self.world.offer.digest(&self.world.domain),
            model: MODEL,
            price: self.world.offer.models[0].price,
            workload: self.world.offer.workload,
            request_id: RequestId(word(id)),
            request_hash: word(id),
            max_charge: MOST,
            expires: NOW.after(Duration(900)),
        }
    }

    /// The order with this id, and the voucher beside it.
    fn order(&mut self, id: u8) -> (Signed<Order>, Option<Signed<Voucher>>) {
        let placed = self.ledger.order(&self.draft(id), &self.world.payer).unwrap();
        self.disk.extend(placed.records);
        (placed.order, placed.voucher)
    }

    fn refused(&mut self, id: u8) -> OrderRefusal {
        self.ledger.order(&self.draft(id), &self.world.payer).unwrap_err()
    }

    /// The pod's receipt for the order with this id, the only one so far, changed and then signed.
    fn receipt(&self, id: u8, change: impl FnOnce(&mut Receipt)) -> Signed<Receipt> {
        let mut receipt = Receipt {
            account: self.world.account(),
            seq: 1,
            prev: B256::ZERO,
            request_hash: word(id),
            response_hash: word(0xaa),
            model: MODEL,
            workload: self.world.offer.workload,
            offer: self.world.offer.digest(&self.world.domain),
            outcome: Outcome::Complete,
            input_tokens: 10,
            output_tokens: 20,
            charged: Amount(30),
            cumulative: Amount(30),
            issued_at: NOW,
        };
        change(&mut receipt);
        Signed::sign(receipt, &self.world.domain, &self.world.pod)
    }

    fn accept(&mut self, receipt: Signed<Receipt>) -> Result<RequestId, Fault> {
        let verdict = self.ledger.accept(receipt, Some(word(0xaa)));
        self.disk.extend(verdict.records);
        verdict.outcome
    }

    /// What the ledger says about the first receipt for order 1, changed.
    fn fault(change: impl FnOnce(&mut Receipt)) -> (Fault, bool) {
        let mut payer = Payer::new();
        payer.order(1);
        let receipt = payer.receipt(1, change);
        let fault = payer.accept(receipt).unwrap_err();
        (fault, payer.ledger.evidence().is_some())
    }

    fn restored(&self) -> Ledger {
        Ledger::restore(self.world.domain, self.disk.iter().cloned()).unwrap()
    }
}

#[test]
fn the_first_order_brings_a_voucher_with_headroom() {
    let mut payer = Payer::new();
    let (order, voucher) = payer.order(1);
    let voucher = voucher.unwrap();
    let voucher = voucher.verify(&payer.world.domain, payer.world.payer.address()).unwrap();
    assert_eq!(voucher.ceiling, Amount(900));
    assert_eq!(order.unverified().ceiling, voucher.ceiling);
    assert!(matches!(payer.disk[2..], [Record::Raised { .. }, Record::Ordered { .. }]));
}

#[test]
fn what_a_payer_signs_is_what_a_payee_admits() {
    let mut payer = Payer::new();
    let mut ledgers = payer.world.ledgers();
    for id in 1..=12 {
        let (order, voucher) = payer.order(id);
        let payment = subrosa_channel::payee::Payment {
            config: payer.ledger.config().cloned(),
            order,
            voucher,
            last_receipt: payer.ledger.last_receipt().cloned(),
        };
        let checked = payer.world.terms.check(payment, &payer.world.asked(id), NOW).unwrap();
        let run = run_of(ledgers.admit(checked, &payer.world.moment()));
        let receipt = payer.world.charge(&mut ledgers, run, 20).receipt;
        assert_eq!(payer.accept(receipt), Ok(RequestId(word(id))));
    }
    assert_eq!(payer.ledger.charged(), Amount(12 * 30));
    assert_eq!(payer.ledger.reserved(), Amount(0));
    assert_eq!(payer.restored().charged(), Amount(12 * 30));
}

#[test]
fn the_voucher_travels_until_a_receipt_shows_that_the_pod_has_it() {
    let mut payer = Payer::new();
    payer.order(1);
    assert!(payer.order(2).1.is_some(), "the first may be lost or late");
    let receipt = payer.receipt(1, |_| {});
    payer.accept(receipt).unwrap();
    let (order, voucher) = payer.order(3);
    assert!(voucher.is_none());
    assert_eq!(order.unverified().ceiling, Amount(0));
}

#[test]
fn the_ceiling_never_passes_the_deposit() {
    let mut payer = Payer::with_deposit(Amount(250));
    assert_eq!(payer.order(1).1.unwrap().unverified().ceiling, Amount(250));
    payer.order(2);
    let needed = Amount(300);
    assert_eq!(payer.refused(3), OrderRefusal::BalanceTooLow { balance: Amount(250), needed });
}

#[test]
fn an_id_does_not_order_two_requests() {
    let mut payer = Payer::new();
    payer.order(1);
    let draft = Draft { request_hash: word(9), ..payer.draft(1) };
    let refused = payer.ledger.order(&draft, &payer.world.payer);
    assert!(matches!(refused, Err(OrderRefusal::OrderIdUsed { .. })));
}

#[test]
fn an_order_that_was_charged_is_not_signed_anew() {
    let mut payer = Payer::new();
    payer.order(1);
    let receipt = payer.receipt(1, |_| {});
    payer.accept(receipt).unwrap();
    assert!(matches!(payer.refused(1), OrderRefusal::OrderIdUsed { .. }));
}

#[test]
fn an_order_that_is_signed_anew_counts_once() {
    let mut payer = Payer::new();
    payer.order(1);
    payer.order(1);
    assert_eq!(payer.ledger.reserved(), MOST);
}

#[test]
fn refuses_a_receipt_that_the_pod_did_not_sign() {
    let mut payer = Payer::new();
    payer.order(1);
    let receipt = payer.receipt(1, |_| {}).unverified().clone();
    let forged = Signed::sign(receipt, &payer.world.domain, &key(3));
    assert!(matches!(payer.accept(forged), Err(Fault::NotSigned(_))));
    assert!(payer.ledger.evidence().is_none(), "anyone could have forged it");
}

#[test]
fn refuses_a_receipt_of_another_account() {
    let (fault, _) = Payer::fault(|receipt| receipt.account = Account(word(1)));
    assert!(matches!(fault, Fault::WrongAccount { .. }));
}

#[test]
fn refuses_a_receipt_for_a_request_that_was_never_made() {
    let (fault, proof) = Payer::fault(|receipt| receipt.request_hash = word(9));
    assert_eq!((fault, proof), (Fault::UnknownRequest, false));
}

#[test]
fn refuses_a_receipt_for_another_answer() {
    let (fault, proof) = Payer::fault(|receipt| receipt.response_hash = word(9));
    assert_eq!((fault, proof), (Fault::WrongResponse, false));
}

#[test]
fn a_receipt_that_names_another_model_is_proof() {
    let (fault, proof) = Payer::fault(|receipt| receipt.model = word(9));
    assert_eq!((fault.code(), proof), ("wrong_model", true));
}

#[test]
fn a_receipt_that_names_another_workload_is_proof() {
    let (fault, proof) = Payer::fault(|receipt| receipt.workload = word(9));
    assert_eq!((fault.code(), proof), ("wrong_workload", true));
}

#[test]
fn a_receipt_that_names_another_offer_is_proof() {
    let (fault, proof) = Payer::fault(|receipt| receipt.offer = word(9));
    assert_eq!((fault.code(), proof), ("wrong_offer", true));
}

#[test]
fn a_receipt_above_the_order_is_proof() {
    let (fault, proof) = Payer::fault(|receipt| {
        receipt.output_tokens = 91;
        (receipt.charged, receipt.cumulative) = (Amount(101), Amount(101));
    });
    assert_eq!((fault.code(), proof), ("over_charged", true));
}

#[test]
fn a_receipt_above_the_price_is_proof() {
    let (fault, proof) = Payer::fault(|receipt| {
        (receipt.charged, receipt.cumulative) = (Amount(31), Amount(31));
    });
    assert_eq!((fault.code(), proof), ("over_priced", true));
}

#[test]
fn refuses_a_total_above_every_ceiling_that_it_remembers() {
    let (fault, proof) = Payer::fault(|receipt| {
        (receipt.seq, receipt.cumulative) = (5, Amount(901));
    });
    assert_eq!((fault.code(), proof), ("above_ceiling", false), "a voucher may have been lost");
}

#[test]
fn a_first_receipt_that_does_not_begin_the_chain_is_proof() {
    for change in [
        (|receipt| receipt.seq = 0) as fn(&mut Receipt),
        |receipt| receipt.prev = word(1),
        |receipt| receipt.cumulative = Amount(31),
    ] {
        let (fault, proof) = Payer::fault(change);
        assert_eq!((fault.code(), proof), ("broken_chain", true));
    }
}

#[test]
fn two_receipts_of_one_place_are_kept_as_evidence_and_end_the_trust() {
    let mut payer = Payer::new();
    payer.order(1);
    payer.order(2);
    let first = payer.receipt(1, |_| {});
    payer.accept(first.clone()).unwrap();
    let second = payer.receipt(2, |_| {});
    assert_eq!(payer.accept(second.clone()), Err(Fault::Equivocation { seq: 1 }));

    let restored = payer.restored();
    let evidence = restored.evidence().unwrap();
    assert_eq!((&evidence.receipt, &evidence.against), (&second, &Some(first)));
    assert!(matches!(payer.refused(3), OrderRefusal::Distrusted { .. }));
}

#[test]
fn an_order_that_is_charged_twice_is_proof() {
    let mut payer = Payer::new();
    payer.order(1);
    let first = payer.receipt(1, |_| {});
    payer.accept(first.clone()).unwrap();
    let again = payer.receipt(1, |receipt| {
        (receipt.seq, receipt.prev) = (2, first.digest(&World::new().domain));
        receipt.cumulative = Amount(60);
    });
    assert_eq!(payer.accept(again), Err(Fault::ChargedTwice { by: 1 }));
}

#[test]
fn a_second_run_for_nothing_is_believed() {
    let mut payer = Payer::new();
    payer.order(1);
    let first = payer.receipt(1, |_| {});
    payer.accept(first.clone()).unwrap();
    let again = payer.receipt(1, |receipt| {
        (receipt.seq, receipt.prev) = (2, first.digest(&World::new().domain));
        receipt.charged = Amount(0);
    });
    assert_eq!(payer.accept(again), Ok(RequestId(word(1))));
    assert_eq!(payer.ledger.charged(), Amount(30));
}

#[test]
fn the_same_receipt_again_changes_nothing() {
    let mut payer = Payer::new();
    payer.order(1);
    let receipt = payer.receipt(1, |_| {});
    payer.accept(receipt.clone()).unwrap();
    let before = payer.disk.len();
    assert_eq!(payer.accept(receipt), Ok(RequestId(word(1))));
    assert_eq!(payer.disk.len(), before);
}

/// Five orders and their receipts, made by a real payee.
fn five() -> (Payer, Vec<Signed<Receipt>>) {
    let mut payer = Payer::new();
    let mut ledgers: Ledgers = payer.world.ledgers();
    let mut receipts = Vec::new();
    for id in 1..=5 {
        payer.order(id);
        receipts.push(payer.world.answer(&mut ledgers, id, 900));
    }
    (payer, receipts)
}

#[test]
fn receipts_are_believed_in_whatever_order_they_arrive() {
    let (mut payer, receipts) = five();
    for seq in [3, 1, 5, 2] {
        payer.accept(receipts[seq - 1].clone()).unwrap();
    }
    assert_eq!(payer.ledger.missing(10), [4]);
    assert_eq!(payer.ledger.charged(), Amount(150));
    assert_eq!(payer.ledger.open_orders().count(), 1);
    payer.accept(receipts[3].clone()).unwrap();
    assert!(payer.ledger.missing(10).is_empty());
    assert_eq!(payer.restored().missing(10), payer.ledger.missing(10));
}

#[test]
fn a_receipt_that_does_not_fit_its_neighbours_is_proof_whichever_came_first() {
    for (first, then) in [(1, 2), (2, 1)] {
        let (mut payer, receipts) = five();
        payer.accept(receipts[first - 1].clone()).unwrap();
        let mut lie = receipts[then - 1].unverified().clone();
        lie.issued_at = Timestamp(7);
        if then == 2 {
            lie.prev = word(1);
        }
        let lie = Signed::sign(lie, &payer.world.domain, &payer.world.pod);
        let fault = payer.accept(lie).unwrap_err();
        assert!(matches!(fault, Fault::BrokenChain { .. }), "{fault}");
        assert!(payer.ledger.evidence().unwrap().against.is_some());
    }
}

#[test]
fn a_payer_that_lost_its_disk_catches_up_from_what_the_pod_shows() {
    let (old, receipts) = five();
    let mut payer = Payer::new();
    let (records, outcome) =
        payer.ledger.resync(receipts.last().cloned(), Some(old.world.voucher(900)));
    assert_eq!((records.len(), outcome), (2, Ok(())));
    assert_eq!(payer.ledger.charged(), Amount(150));
    assert_eq!(payer.ledger.ceiling(), Amount(900));
    assert_eq!(payer.ledger.missing(10), [1, 2, 3, 4]);
}

#[test]
fn a_receipt_is_not_adopted_above_what_the_payer_signed() {
    let (_, receipts) = five();
    let mut payer = Payer::new();
    let (_, outcome) = payer.ledger.resync(receipts.last().cloned(), None);
    assert!(matches!(outcome, Err(ResyncError::Fault(Fault::AboveCeiling { .. }))));
}

#[test]
fn a_voucher_that_somebody_else_signed_is_not_adopted() {
    let mut payer = Payer::new();
    let voucher = Voucher { channel: payer.world.channel(), ceiling: Amount(9_999) };
    let forged = Signed::sign(voucher, &payer.world.domain, &payer.world.pod);
    let (records, outcome) = payer.ledger.resync(None, Some(forged));
    assert!(records.is_empty());
    assert!(matches!(outcome, Err(ResyncError::Voucher(_))));
}

#[test]
fn a_dropped_order_frees_its_reservation_and_a_late_receipt_still_counts() {
    let mut payer = Payer::new();
    payer.order(1);
    assert_eq!(payer.ledger.drop_order(RequestId(word(1))).len(), 1);
    assert_eq!(payer.ledger.reserved(), Amount(0));
    let receipt = payer.receipt(1, |_| {});
    assert_eq!(payer.accept(receipt), Ok(RequestId(word(1))));
    assert_eq!(payer.ledger.charged(), Amount(30));
}

#[test]
fn an_order_without_an_answer_stays_open_until_its_grace_is_over() {
    let mut payer = Payer::new();
    payer.order(1);
    assert!(payer.ledger.sweep(NOW.after(Duration(900 + 3_599))).is_empty());
    assert_eq!(payer.ledger.sweep(NOW.after(Duration(900 + 3_600))).len(), 1);
    assert_eq!(payer.ledger.reserved(), Amount(0));
}

#[test]
fn the_ledger_after_a_restart_is_the_ledger_before() {
    let (mut payer, receipts) = five();
    payer.accept(receipts[0].clone()).unwrap();
    payer.accept(receipts[4].clone()).unwrap();
    payer.disk.extend(payer.ledger.drop_order(RequestId(word(3))));
    assert_eq!(payer.restored(), payer.ledger);
}
