//! What holds after any history, and after a crash at any record of it.

mod common;

use std::collections::BTreeMap;

use common::*;
use proptest::prelude::*;
use subrosa_channel::payee::{Admitted, Ledgers, Metered, Moment, Record, Run};
use subrosa_protocol::*;

/// One step of a history. Order ids are few, so that they collide often.
#[derive(Clone, Debug)]
enum Step {
    Ask { id: u8, ceiling: u128, remembered: bool },
    Charge { pick: usize, tokens: u64, outcome: u8 },
    Crash { keep: usize },
    Release { pick: usize },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0_u8..8, 0_u128..1_500, any::<bool>())
            .prop_map(|(id, ceiling, remembered)| Step::Ask { id, ceiling, remembered }),
        4 => (0_usize..8, 0_u64..200, 0_u8..4)
            .prop_map(|(pick, tokens, outcome)| Step::Charge { pick, tokens, outcome }),
        1 => (0_usize..4).prop_map(|keep| Step::Crash { keep }),
        1 => (0_usize..8).prop_map(|pick| Step::Release { pick }),
        1 => (0_u64..600).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// A pod whose disk is a list of records; a crash loses runs and the records not yet synced.
struct Pod {
    world: World,
    ledgers: Ledgers,
    disk: Vec<Record>,
    runs: Vec<Run>,
    now: Timestamp,
}

impl Pod {
    fn take(&mut self, step: Step) {
        match step {
            Step::Ask { id, ceiling, remembered } => self.ask(id, ceiling, remembered),
            Step::Charge { pick, tokens, outcome } if !self.runs.is_empty() => {
                let run = self.runs.swap_remove(pick % self.runs.len());
                let outcome = Outcome::from_code(outcome).unwrap();
                let metered = Metered { outcome, ..metered(tokens) };
                let charge = self.ledgers.charge(run, &metered, &self.world.pod, self.now);
                self.disk.extend(charge.unwrap().records);
            }
            Step::Release { pick } if !self.runs.is_empty() => {
                let run = self.runs.swap_remove(pick % self.runs.len());
                self.disk.extend(self.ledgers.release(run).unwrap());
            }
            Step::Crash { keep } => {
                self.runs.clear();
                self.disk.truncate(self.disk.len().saturating_sub(keep));
                self.ledgers = restored(&self.world, &self.disk);
            }
            Step::Wait { seconds } => self.now = self.now.after(Duration(seconds)),
            Step::Charge { .. } | Step::Release { .. } => {}
        }
    }

    fn ask(&mut self, id: u8, ceiling: u128, remembered: bool) {
        let expires = self.now.after(Duration(900));
        let order = Order { expires, ..self.world.order(id, ceiling) };
        let payment = self.world.payment(order);
        let checked = self.world.terms.check(payment, &self.world.asked(id), self.now).unwrap();
        let moment = Moment { remembered, ..moment_at(self.now) };
        let decision = self.ledgers.admit(checked, &moment);
        self.disk.extend(decision.records);
        if let Ok(Admitted::Run(run)) = decision.verdict {
            self.runs.push(run);
        }
    }
}

/// The promises, read off the records alone.
fn assert_promises(world: &World, records: &[Record]) {
    let ledgers = restored(world, records);
    let (mut sum, mut ceiling, mut seq) = (0, 0, 0);
    for record in records {
        match record {
            Record::Raised { voucher } => ceiling = voucher.unverified().ceiling.0.max(ceiling),
            Record::Charged { rerun, receipt, .. } => {
                let receipt = receipt.unverified();
                sum += receipt.charged.0;
                seq += 1;
                assert_eq!(receipt.seq, seq, "places have no gap");
                assert_eq!(receipt.cumulative.0, sum, "the sum of charges is the total");
                assert!(sum <= ceiling, "never above the ceiling");
                assert!(receipt.charged <= MOST, "never above the order");
                if *rerun {
                    assert_eq!(receipt.charged, Amount::ZERO, "a second run is free");
                }
            }
            _ => {}
        }
    }
    if let Some(ledger) = ledgers.get(&world.account()) {
        assert_eq!(ledger.charged().0, sum);
        assert_eq!(ledger.seq(), seq);
        assert!(ledger.charged().0 + ledger.reserved().0 <= ceiling.max(sum));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_prefix_of_the_records_of_any_history_keeps_the_promises(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let world = World::new();
        let ledgers = world.ledgers();
        let mut pod = Pod { world, ledgers, disk: Vec::new(), runs: Vec::new(), now: NOW };
        for step in steps {
            pod.take(step);
            assert_promises(&pod.world, &pod.disk);
        }
        for cut in 0..pod.disk.len() {
            let _ = restored(&pod.world, &pod.disk[..cut]);
        }
    }

    #[test]
    fn no_order_is_charged_twice_within_its_life(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let world = World::new();
        let ledgers = world.ledgers();
        let mut pod = Pod { world, ledgers, disk: Vec::new(), runs: Vec::new(), now: NOW };
        for step in steps.into_iter().filter(|step| !matches!(step, Step::Wait { .. })) {
            pod.take(step);
        }
        let mut charged = BTreeMap::new();
        for record in &pod.disk {
            if let Record::Charged { request, rerun, .. } = record {
                *charged.entry((*request, *rerun)).or_insert(0) += 1;
            }
        }
        prop_assert!(charged.values().all(|times| *times == 1), "{charged:?}");
    }
}
