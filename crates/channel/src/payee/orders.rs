//! The order ids of one account: what each stands for and how far it came.

use std::collections::BTreeMap;

use subrosa_protocol::{Amount, B256, Order, RequestId, Timestamp};

/// What an order id stands for, and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) request_hash: B256,
    pub(super) max_charge: Amount,
    pub(super) expires: Timestamp,
    pub(super) state: State,
}

/// How far an order came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Charged, by the receipt with this `seq`.
    Charged { seq: u64, rerun: Rerun },
    /// Its reservation was given back; the id still stands for the same request.
    Released,
    /// Its `maxCharge` is reserved. `running` is not persisted: nothing runs after a restart.
    Reserved { running: bool },
}

/// The free second run of a charged order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rerun {
    /// Not used.
    Left,
    /// Under way.
    Running,
    /// Used.
    Used,
}

/// All orders of an account, and the sum of what they reserve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    entries: BTreeMap<RequestId, Entry>,
    reserved: Amount,
}

impl Orders {
    pub(super) fn get(&self, request: &RequestId) -> Option<&Entry> {
        self.entries.get(request)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Σ `maxCharge` of the orders in [`State::Reserved`].
    pub(super) fn reserved(&self) -> Amount {
        self.reserved
    }

    /// Reserves an order's most, for an id that is new or was released.
    pub(super) fn reserve(&mut self, order: &Order) {
        let entry = Entry {
            request_hash: order.request_hash,
            max_charge: order.max_charge,
            expires: order.expires,
            state: State::Reserved { running: false },
        };
        let replaced = self.entries.insert(order.request_id, entry);
        if let Some(Entry { max_charge, state: State::Reserved { .. }, .. }) = replaced {
            self.reserved = self.reserved.saturating_sub(max_charge);
        }
        self.reserved = add(self.reserved, order.max_charge);
    }

    /// Moves an order to another state; what it reserved is free once it is not reserved any more.
    pub(super) fn set(&mut self, request: &RequestId, state: State) {
        let Some(entry) = self.entries.get_mut(request) else { return };
        let was = matches!(entry.state, State::Reserved { .. });
        let is = matches!(state, State::Reserved { .. });
        entry.state = state;
        match (was, is) {
            (true, false) => self.reserved = self.reserved.saturating_sub(entry.max_charge),
            (false, true) => self.reserved = add(self.reserved, entry.max_charge),
            _ => {}
        }
    }

    /// The expired orders that still reserve money though nothing runs for them.
    pub(super) fn lapsed(&self, now: Timestamp) -> Vec<RequestId> {
        let lapsed = |entry: &Entry| {
            entry.expires <= now && entry.state == State::Reserved { running: false }
        };
        self.entries.iter().filter(|(_, entry)| lapsed(entry)).map(|(id, _)| *id).collect()
    }

    /// Forgets expired orders that nothing runs for: an expired order is refused by its time alone.
    pub(super) fn forget_expired(&mut self, now: Timestamp) {
        self.entries.retain(|_, entry| {
            let busy = matches!(
                entry.state,
                State::Reserved { .. } | State::Charged { rerun: Rerun::Running, .. }
            );
            busy || entry.expires > now
        });
    }
}

/// Every sum here is at most a ceiling that was checked before.
fn add(left: Amount, right: Amount) -> Amount {
    left.checked_add(right).expect("reservations were admitted below a ceiling")
}
