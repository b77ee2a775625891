//! The payer's side: what it orders, what ceiling it signs, which receipts it believes.
//!
//! [`Ledger::order`] signs an order and, where the ceiling must rise, a voucher: both are records to
//! persist before they leave. [`Ledger::accept`] believes a receipt only if it fits the order, the
//! price and its neighbours in the chain, in whatever order they arrive; a signed lie is kept as
//! evidence, and the ledger then orders no more.

mod chain;
mod fault;
mod ledger;
mod record;

pub use fault::{Evidence, Fault};
pub use ledger::{
    Draft, HEADROOM_ORDERS, Ledger, ORDER_GRACE, OrderRefusal, Placed, ResyncError, Verdict,
};
pub use record::Record;
