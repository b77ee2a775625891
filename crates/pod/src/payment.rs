//! The refusals that speak of money, inside the seal (spec/pod.md 6).

use subrosa_channel::payee::{Blame, Ledger, Refusal};
use subrosa_protocol::x402::PAYMENT_REQUIRED_HEADER;
use subrosa_protocol::{Amount, Offer};
use subrosa_session::pod::{Unreadable, payment_required, refusal_fields, refusal_status};

use crate::outlet::Reply;
use crate::replies;

/// When a pod that cannot say now can be asked again, in seconds.
const RETRY_AFTER_S: u64 = 2;

/// What was asked, as far as a refusal must know it.
pub(crate) struct Context<'a> {
    pub(crate) path: &'a str,
    pub(crate) offer: &'a Offer,
    /// The most that the request can cost.
    pub(crate) needed: Amount,
}

/// The reply to an order that is not taken. `ledger` is the account's, where its owner asks.
pub(crate) fn refused(refusal: &Refusal, ledger: Option<&Ledger>, context: &Context<'_>) -> Reply {
    let message = refusal.to_string();
    let status = refusal_status(refusal);
    let mut reply = match refusal.blame() {
        Blame::Payment => replies::error(status, "payment_required", refusal.code(), &message),
        Blame::Conflict => replies::error(status, "conflict", refusal.code(), &message),
        Blame::Pod => replies::retry_later(status, refusal.code(), &message, RETRY_AFTER_S),
    };
    let Context { path, offer, needed } = *context;
    reply.headers.extend(refusal_fields(refusal, ledger, path, offer, needed));
    reply
}

/// The reply to a request without an order: a 402 that says in x402's words how to pay.
pub(crate) fn missing(message: &str, context: &Context<'_>) -> Reply {
    let mut reply = replies::error(402, "payment_required", "missing_order", message);
    let Context { path, offer, needed } = *context;
    let content = payment_required("missing_order", path, offer, needed).to_header();
    reply.headers.push((PAYMENT_REQUIRED_HEADER.to_owned(), content.into_bytes()));
    reply
}

/// The reply to a payment of which a part cannot be read.
pub(crate) fn unreadable(fault: &Unreadable) -> Reply {
    replies::error(400, "invalid_request_error", "unreadable_payment", &fault.to_string())
}
