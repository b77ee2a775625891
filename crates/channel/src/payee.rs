//! The pod's side: what it admits, what it charges, what it signs.
//!
//! [`Terms::check`] verifies everything about a request's payment that needs no ledger, so it runs
//! outside any lock. [`Ledgers::admit`] and [`Ledgers::charge`] take microseconds and run under one.
//! Their records must be handed to the store under that same lock, in the order in which they came:
//! then what is on disk is always a prefix of what the ledger did.

mod check;
mod ledger;
mod ledgers;
mod orders;
mod record;
mod refusal;

pub use check::{Asked, Checked, Payment, Terms};
pub use ledger::{
    Admitted, ChainView, Charge, ChargeError, Claimable, Decision, Ledger, Metered, Moment, Run,
};
pub use ledgers::Ledgers;
pub use record::{Halt, Inconsistent, Record};
pub use refusal::{Blame, Refusal};
