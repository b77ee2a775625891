//! Ledgers on disk are the ledgers in memory, whichever record was the last to be written.

use subrosa_channel::payee::{
    Admitted, Asked, ChainView, Halt, Ledgers, Metered, Moment, Payment, Record, Run, Terms,
};
use subrosa_channel::payer;
use subrosa_protocol::*;
use subrosa_store::{Store, payee as payee_sql, payer as payer_sql};

const NOW: Timestamp = Timestamp(1_000);
const DOMAIN: Domain = Domain { chain_id: 31_337, escrow: Address::new([9; 20]) };
const PRICE: Price = Price { input: Amount(1_000_000), output: Amount(1_000_000) };

fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes(&[byte; 32]).unwrap()
}

fn word(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

fn offer() -> Offer {
    let model = ModelOffer {
        digest: word(7),
        price: PRICE,
        template_bound: 10,
        context_tokens: 4_096,
        output_tokens_max: 512,
    };
    Offer {
        chain_id: DOMAIN.chain_id,
        escrow: DOMAIN.escrow,
        token: Address::repeat_byte(4),
        payee: Address::repeat_byte(5),
        signer: key(1).address(),
        withdraw_delay: Duration(86_400),
        workload: word(8),
        models: vec![model],
        expires: Timestamp(1_000_000),
    }
}

fn config() -> ChannelConfig {
    ChannelConfig {
        payer: key(2).address(),
        payer_authorizer: key(2).address(),
        receiver: offer().payee,
        receiver_authorizer: key(1).address(),
        token: offer().token,
        withdraw_delay: offer().withdraw_delay,
        salt: word(3),
    }
}

/// A payer and a pod that talk without any loss; each keeps the records of what it did.
struct Talk {
    terms: Terms,
    pod: Ledgers,
    pod_records: Vec<Record>,
    payer: payer::Ledger,
    payer_records: Vec<payer::Record>,
    orders: Vec<Payment>,
}

impl Talk {
    fn new() -> Talk {
        let (mut payer, opened) = payer::Ledger::open_channel(DOMAIN, config());
        let funded = payer.fund(Amount(10_000));
        Talk {
            terms: Terms::new(DOMAIN, key(1).address(), [offer()], []),
            pod: Ledgers::new(DOMAIN),
            pod_records: Vec::new(),
            payer,
            payer_records: vec![opened, funded],
            orders: Vec::new(),
        }
    }

    /// Orders number `id`, and has it admitted.
    fn admit(&mut self, id: u8) -> Option<Run> {
        let draft = payer::Draft {
            offer: offer().digest(&DOMAIN),
            model: word(7),
            price: PRICE,
            workload: word(8),
            request_id: RequestId(word(id)),
            request_hash: word(id),
            max_charge: Amount(100),
            expires: NOW.after(Duration(u64::from(id) * 60)),
        };
        let placed = self.payer.order(&draft, &key(2)).unwrap();
        self.payer_records.extend(placed.records);
        let payment = Payment {
            config: Some(config()),
            order: placed.order,
            voucher: placed.voucher,
            last_receipt: self.payer.last_receipt().cloned(),
        };
        self.orders.push(payment.clone());
        self.send(id, payment)
    }

    fn send(&mut self, id: u8, payment: Payment) -> Option<Run> {
        let asked =
            Asked { request_hash: word(id), model: word(7), body_bytes: 40, max_tokens: 50 };
        let checked = self.terms.check(payment, &asked, NOW).unwrap();
        let chain = ChainView {
            balance: Amount(10_000),
            claimed: Amount::ZERO,
            withdraw_requested_at: None,
            seen_at: NOW,
        };
        let moment = Moment { now: NOW, chain: Some(chain), remembered: false };
        let decision = self.pod.admit(checked, &moment);
        self.pod_records.extend(decision.records);
        match decision.verdict {
            Ok(Admitted::Run(run)) => Some(run),
            _ => None,
        }
    }

    fn charge(&mut self, run: Run) {
        let metered = Metered {
            input_tokens: 10,
            output_tokens: 20,
            outcome: Outcome::Complete,
            response_hash: word(0xaa),
        };
        let charge = self.pod.charge(run, &metered, &key(1), NOW).unwrap();
        self.pod_records.extend(charge.records);
        let verdict = self.payer.accept(charge.receipt, None);
        self.payer_records.extend(verdict.records);
        verdict.outcome.unwrap();
    }

    /// Twelve orders: charged, charged and run again, released, left open, dropped.
    fn long() -> Talk {
        let mut talk = Talk::new();
        for id in 1..=12 {
            let run = talk.admit(id).unwrap();
            match id % 4 {
                0 => talk.pod_records.extend(talk.pod.release(run).unwrap()),
                3 => talk.payer_records.extend(talk.payer.drop_order(RequestId(word(id)))),
                _ => talk.charge(run),
            }
        }
        let order = talk.orders[4].clone();
        let again = talk.send(5, order).unwrap();
        assert!(again.is_rerun());
        talk.charge(again);
        talk
    }
}

fn open(dir: &std::path::Path) -> Store {
    Store::open(dir, &[payee_sql::ROOM, payer_sql::ROOM]).unwrap()
}

async fn write_payee(store: &Store, records: &[Record]) {
    let records = records.to_vec();
    store.write(move |db| payee_sql::append(db, &records)).await.unwrap();
}

async fn write_payer(store: &Store, records: &[payer::Record]) {
    let (records, signer) = (records.to_vec(), key(1).address());
    store.write(move |db| payer_sql::append(db, signer, &records)).await.unwrap();
}

#[tokio::test]
async fn a_pods_ledgers_are_rebuilt_after_a_crash_at_any_record() {
    let talk = Talk::long();
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for at in 0..talk.pod_records.len() {
        write_payee(&store, &talk.pod_records[at..=at]).await;
        let loaded = store.read_blocking(|db| payee_sql::load(db, NOW)).unwrap();
        let rebuilt = Ledgers::restore(DOMAIN, loaded).unwrap();
        let expected = Ledgers::restore(DOMAIN, talk.pod_records[..=at].iter().cloned()).unwrap();
        assert!(rebuilt == expected, "after record {at}: {:?}", talk.pod_records[at]);
    }
}

#[tokio::test]
async fn a_pod_loads_only_the_end_of_a_long_chain() {
    let talk = Talk::long();
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write_payee(&store, &talk.pod_records).await;
    let later = NOW.after(Duration(3_600));
    let loaded = store.read_blocking(move |db| payee_sql::load(db, later)).unwrap();
    let charges = loaded.iter().filter(|record| matches!(record, Record::Charged { .. })).count();
    assert_eq!(charges, 1, "every order has expired, so the last receipt is enough");
    let rebuilt = Ledgers::restore(DOMAIN, loaded).unwrap();
    assert_eq!(rebuilt.earned(), talk.pod.earned());
    let account = config().id(&DOMAIN).into();
    let (rebuilt, expected) = (rebuilt.get(&account).unwrap(), talk.pod.get(&account).unwrap());
    assert_eq!(rebuilt.last_receipt(), expected.last_receipt());
    assert_eq!(rebuilt.reserved(), expected.reserved(), "open orders still reserve");
}

#[tokio::test]
async fn receipts_come_back_as_the_exact_bytes_that_were_signed() {
    let talk = Talk::long();
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write_payee(&store, &talk.pod_records).await;
    let account: Account = config().id(&DOMAIN).into();
    for record in &talk.pod_records {
        let Record::Charged { request, rerun, receipt, .. } = record else { continue };
        let seq = receipt.unverified().seq;
        let by_seq = store.read_blocking(|db| payee_sql::receipt_by_seq(db, account, seq));
        assert_eq!(by_seq.unwrap().unwrap().to_bytes(), receipt.to_bytes());
        let by_order = store.read_blocking(|db| payee_sql::receipt_by_order(db, account, *request));
        assert_eq!(by_order.unwrap().as_ref() == Some(receipt), !rerun);
    }
    let stranger = Account(word(1));
    let none = store.read_blocking(|db| payee_sql::receipt_by_seq(db, stranger, 1)).unwrap();
    assert_eq!(none, None);
}

#[tokio::test]
async fn the_newest_slip_stands_with_the_voucher_that_it_counts_under() {
    let talk = Talk::long();
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write_payee(&store, &talk.pod_records).await;
    let slips = store.read_blocking(payee_sql::slips).unwrap();
    let [slip] = &slips[..] else { panic!("one channel, one slip") };
    assert_eq!(slip.config, config());
    let claim = slip.claim.verify(&DOMAIN, key(1).address()).unwrap();
    let voucher = slip.voucher.verify(&DOMAIN, key(2).address()).unwrap();
    assert_eq!(claim.claims[0].ceiling, voucher.ceiling);
    assert_eq!(claim.claims[0].total, talk.pod.earned());
}

#[tokio::test]
async fn a_halt_outlives_a_restart() {
    let mut talk = Talk::new();
    let run = talk.admit(1).unwrap();
    talk.charge(run);
    let account = config().id(&DOMAIN).into();
    let halt = Halt::ReceiptAhead;
    talk.pod_records.push(Record::Halted { account, halt });
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write_payee(&store, &talk.pod_records).await;
    let loaded = store.read_blocking(|db| payee_sql::load(db, NOW)).unwrap();
    let rebuilt = Ledgers::restore(DOMAIN, loaded).unwrap();
    assert_eq!(rebuilt.get(&account).unwrap().halt(), Some(halt));
}

#[tokio::test]
async fn the_disk_itself_refuses_a_second_receipt_for_one_place() {
    let mut talk = Talk::new();
    let run = talk.admit(1).unwrap();
    talk.charge(run);
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write_payee(&store, &talk.pod_records).await;
    let again = talk.pod_records.last().cloned().unwrap();
    let refused = store.write(move |db| payee_sql::append(db, &[again])).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn a_payers_ledger_is_rebuilt_after_a_crash_at_any_record() {
    let talk = Talk::long();
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for at in 0..talk.payer_records.len() {
        write_payer(&store, &talk.payer_records[at..=at]).await;
        let loaded = store.read_blocking(|db| payer_sql::load(db, NOW)).unwrap();
        let [records] = &loaded[..] else { panic!("one ledger") };
        let rebuilt = payer::Ledger::restore(DOMAIN, records.iter().cloned()).unwrap();
        let expected =
            payer::Ledger::restore(DOMAIN, talk.payer_records[..=at].iter().cloned()).unwrap();
        assert!(rebuilt == expected, "after record {at}: {:?}", talk.payer_records[at]);
    }
}

#[tokio::test]
async fn evidence_against_a_pod_outlives_a_restart() {
    let mut talk = Talk::new();
    let run = talk.admit(1).unwrap();
    talk.charge(run);
    let mut lie = talk.payer.receipt(1).unwrap().unverified().clone();
    lie.issued_at = Timestamp(7);
    let verdict = talk.payer.accept(Signed::sign(lie, &DOMAIN, &key(1)), None);
    assert!(verdict.outcome.is_err());
    talk.payer_records.extend(verdict.records);
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write_payer(&store, &talk.payer_records).await;
    let loaded = store.read_blocking(|db| payer_sql::load(db, NOW)).unwrap();
    let rebuilt = payer::Ledger::restore(DOMAIN, loaded[0].iter().cloned()).unwrap();
    assert_eq!(rebuilt.evidence(), talk.payer.evidence());
    assert!(rebuilt.evidence().is_some());
}

#[tokio::test]
async fn one_address_has_a_ledger_with_each_private_pod() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for pod in [1, 5] {
        let signer = key(pod).address();
        let (_, opened) = payer::Ledger::open_free(DOMAIN, key(2).address(), signer);
        store.write(move |db| payer_sql::append(db, signer, &[opened])).await.unwrap();
    }
    let loaded = store.read_blocking(|db| payer_sql::load(db, NOW)).unwrap();
    assert_eq!(loaded.len(), 2);
}

#[tokio::test]
async fn a_row_that_was_changed_by_something_else_is_refused() {
    let talk = Talk::long();
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write_payee(&store, &talk.pod_records).await;
    store
        .write(|db| db.execute("UPDATE payee_charges SET receipt = zeroblob(10)", []))
        .await
        .unwrap();
    assert!(store.read_blocking(|db| payee_sql::load(db, NOW)).is_err());
}
