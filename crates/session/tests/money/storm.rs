//! Many questions at once on one channel, while the network loses and both sides crash at random.

use std::collections::{BTreeMap, VecDeque};

use rand::Rng;
use subrosa_protocol::*;
use subrosa_seal::ResponseEvent;
use subrosa_session::client::{Asking, Ending, Next};
use subrosa_session::receipts::Query;

use crate::pair::{Pair, Received, Running};

const QUESTIONS: usize = 12;
const AT_ONCE: usize = 4;

/// Where one question stands.
enum Place {
    /// About to be sent.
    Leaving,
    /// Being answered.
    Running(Running),
    /// Its answer is on the way back.
    Returning(VecDeque<ResponseEvent>),
    /// Over.
    Over,
}

struct Flight {
    asking: Asking,
    place: Place,
}

struct Storm {
    pair: Pair,
    flights: Vec<Flight>,
    answered: Vec<Signed<Receipt>>,
}

impl Storm {
    fn chance(&mut self, percent: u32) -> bool {
        self.pair.rng.random_range(0..100) < percent
    }

    fn rage(&mut self) {
        let mut asked = 0;
        while asked < QUESTIONS || !self.flights.is_empty() {
            self.pair.now = self.pair.now.after(Duration(self.pair.rng.random_range(0..3)));
            if asked < QUESTIONS && self.flights.len() < AT_ONCE && self.chance(40) {
                asked += 1;
                let max_tokens = self.pair.rng.random_range(1..60);
                let asking = self.pair.ask(max_tokens);
                self.flights.push(Flight { asking, place: Place::Leaving });
            }
            self.weather();
            if self.flights.is_empty() {
                continue;
            }
            let index = self.pair.rng.random_range(0..self.flights.len());
            let mut flight = self.flights.swap_remove(index);
            self.advance(&mut flight);
            if !matches!(flight.place, Place::Over) {
                self.flights.push(flight);
            }
        }
    }

    fn weather(&mut self) {
        if self.chance(4) {
            self.crash_pod(0);
        }
        if self.chance(2) {
            // What a payer had under way is forgotten; its orders are on disk.
            self.pair.payer.crash();
            self.flights.clear();
            self.crash_pod(0);
        }
    }

    /// The pod dies, with so many records not yet on disk. Nothing that they allow has left.
    fn crash_pod(&mut self, unsynced: usize) {
        self.pair.pod.crash(unsynced);
        for flight in &mut self.flights {
            if let Place::Running(_) = flight.place {
                lose(flight);
            }
        }
    }

    fn advance(&mut self, flight: &mut Flight) {
        match std::mem::replace(&mut flight.place, Place::Over) {
            Place::Leaving => self.send(flight),
            Place::Running(running) => self.generate(flight, running),
            Place::Returning(events) => self.arrive(flight, events),
            Place::Over => {}
        }
    }

    fn send(&mut self, flight: &mut Flight) {
        if self.chance(10) {
            return lose(flight);
        }
        let (request, before) = (self.pair.request(&flight.asking), self.pair.pod.disk.len());
        let received = self.pair.pod.receive(&request, self.pair.now);
        if self.chance(5) {
            // Dies between any two of the records that it has just made.
            let unsynced = self.pair.rng.random_range(0..=self.pair.pod.disk.len() - before);
            self.crash_pod(unsynced);
            return lose(flight);
        }
        flight.place = match received {
            Received::Running(running) => Place::Running(running),
            Received::Reply(events) => Place::Returning(events.into()),
        };
    }

    fn generate(&mut self, flight: &mut Flight, running: Running) {
        if self.chance(6) {
            let events = self.pair.pod.fail(running);
            flight.place = Place::Returning(events.into());
            return;
        }
        let gone = self.chance(8);
        let outcome = if gone { Outcome::Cancelled } else { Outcome::Complete };
        // Beyond what was ordered, now and then: the meter may count what it likes.
        let words = self.pair.rng.random_range(1..70);
        let before = self.pair.pod.disk.len();
        let events = self.pair.pod.answer(running, words, outcome, self.pair.now);
        if self.chance(6) {
            let unsynced = self.pair.rng.random_range(0..=self.pair.pod.disk.len() - before);
            self.crash_pod(unsynced);
            return lose(flight);
        }
        match gone {
            true => lose(flight),
            false => flight.place = Place::Returning(events.into()),
        }
    }

    fn arrive(&mut self, flight: &mut Flight, mut events: VecDeque<ResponseEvent>) {
        while let Some(event) = events.pop_front() {
            if self.pair.rng.random_range(0..400) < 4 {
                return lose(flight);
            }
            flight.asking.on_event(event);
        }
        match self.pair.conclude(&mut flight.asking) {
            Ending::Answered { receipt } => self.answered.push(receipt),
            Ending::AgainLater { after_s } => {
                self.pair.now = self.pair.now.after(Duration(after_s));
                flight.place = Place::Leaving;
            }
            Ending::OrderedAgain => flight.place = Place::Leaving,
            Ending::FailOver { .. } => {}
            ending @ (Ending::Refused { .. } | Ending::Unreceipted { .. }) => {
                panic!("an honest pair never comes to {ending:?}")
            }
        }
    }

    /// Afterwards the payer fetches what it missed, and both sides must agree on every unit.
    fn settle(&mut self) {
        let open: Vec<RequestId> = self
            .pair
            .payer
            .ledger
            .open_orders()
            .map(|order| order.unverified().request_id)
            .collect();
        for request in open {
            self.pair.fetch(Query::Order(request));
        }
        for seq in self.pair.payer.ledger.missing(usize::MAX) {
            assert!(self.pair.fetch(Query::Seq(seq)), "a receipt that was charged can be fetched");
        }
        let last = self.pair.pod.ledgers.get(&self.pair.payer.ledger.account()).map(|l| l.seq());
        if let Some(seq) = last.filter(|seq| *seq > 0) {
            self.pair.fetch(Query::Seq(seq));
        }
    }

    fn assert_promises(&self) {
        let (pod, payer) = (&self.pair.pod, &self.pair.payer);
        let sum: u128 = pod.charges().map(|(_, _, receipt)| receipt.unverified().charged.0).sum();
        assert_eq!(pod.ledgers.earned().0, sum, "nothing earned is lost");
        assert_eq!(payer.ledger.charged().0, sum, "both sides agree");
        assert!(payer.ledger.charged() <= payer.ledger.ceiling());
        assert_eq!(payer.ledger.evidence(), None, "an honest pod is never accused");

        let ordered: BTreeMap<RequestId, Amount> = payer
            .disk
            .iter()
            .filter_map(|record| match record {
                subrosa_channel::payer::Record::Ordered { order, .. } => {
                    Some((order.unverified().request_id, order.unverified().max_charge))
                }
                _ => None,
            })
            .collect();
        let mut paid = BTreeMap::new();
        for (request, rerun, receipt) in pod.charges() {
            let receipt = receipt.unverified();
            assert!(receipt.charged <= ordered[request], "never above what was ordered");
            if rerun {
                assert_eq!(receipt.charged, Amount::ZERO);
            } else {
                assert_eq!(paid.insert(*request, receipt.seq), None, "never twice");
            }
        }
        let on_disk = |receipt| pod.charges().any(|(_, _, known)| known == receipt);
        assert!(self.answered.iter().all(on_disk), "no receipt leaves before it is on disk");
        assert!(pod.ledgers.iter().all(|ledger| ledger.halt().is_none()));
    }
}

fn lose(flight: &mut Flight) {
    flight.place = match flight.asking.on_lost() {
        Next::Again | Next::AgainWithFreshKeys => Place::Leaving,
        Next::BrokenOff | Next::FailOver => Place::Over,
    };
}

#[test]
fn money_is_right_through_any_storm() {
    let (mut answered, mut reruns, mut cancelled) = (0, 0, 0);
    for seed in 0..80 {
        println!("seed {seed}");
        let mut storm = Storm { pair: Pair::new(seed), flights: Vec::new(), answered: Vec::new() };
        storm.rage();
        storm.settle();
        storm.assert_promises();

        answered += storm.answered.len();
        for (_, rerun, receipt) in storm.pair.pod.charges() {
            reruns += usize::from(rerun);
            cancelled += usize::from(receipt.unverified().outcome == Outcome::Cancelled);
        }
    }
    let weather = format!("{answered} answered, {reruns} run again, {cancelled} left");
    assert!(answered > 400 && reruns > 2 && cancelled > 10, "too calm: {weather}");
}
