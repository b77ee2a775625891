//! The money of both sides of one account: what may be asked, what was charged, what is signed.
//!
//! [`payee`] is the pod's ledger and [`payer`] the client's. Neither waits, reads a clock or touches
//! a file: each step takes `now` and returns the records that must be on disk before its effect is
//! seen outside, and a ledger is rebuilt from any prefix of the records that it returned. The rules
//! have numbers in `spec/channel.md`.
//!
//! ```
//! use subrosa_channel::payee::{Admitted, Asked, Ledgers, Metered, Moment, Payment, Terms};
//! use subrosa_protocol::*;
//!
//! // A private pod: no chain, one allow-listed caller, everything free.
//! let (pod, caller) = (SecretKey::from_bytes(&[1; 32]).unwrap(), SecretKey::from_bytes(&[2; 32]).unwrap());
//! let domain = Domain::default();
//! let free = Price { input: Amount(0), output: Amount(0) };
//! let model = ModelOffer { digest: B256::repeat_byte(7), price: free, template_bound: 64, context_tokens: 2048, output_tokens_max: 512 };
//! let offer = Offer { chain_id: 0, escrow: Address::ZERO, token: Address::ZERO, payee: Address::ZERO, signer: pod.address(),
//!     withdraw_delay: Duration(0), workload: B256::ZERO, models: vec![model], expires: Timestamp(9_000) };
//! let order = Order { account: caller.address().into(), offer: offer.digest(&domain), request_id: RequestId(B256::repeat_byte(1)),
//!     request_hash: B256::repeat_byte(2), max_charge: Amount(0), ceiling: Amount(0), expires: Timestamp(500) };
//!
//! let terms = Terms::new(domain, pod.address(), [offer], [caller.address()]);
//! let payment = Payment { config: None, order: Signed::sign(order, &domain, &caller), voucher: None, last_receipt: None };
//! let asked = Asked { request_hash: B256::repeat_byte(2), model: B256::repeat_byte(7), body_bytes: 40, max_tokens: 16 };
//! let checked = terms.check(payment, &asked, Timestamp(100)).unwrap();
//!
//! let mut ledgers = Ledgers::new(domain);
//! let decision = ledgers.admit(checked, &Moment { now: Timestamp(100), chain: None, remembered: false });
//! let Ok(Admitted::Run(run)) = decision.verdict else { panic!("a good order is admitted") };
//! // … persist decision.records, generate, then:
//! let metered = Metered { input_tokens: 12, output_tokens: 9, outcome: Outcome::Complete, response_hash: B256::ZERO };
//! let charge = ledgers.charge(run, &metered, &pod, Timestamp(101)).unwrap();
//! assert_eq!(charge.receipt.unverified().seq, 1);
//! ```
//!
//! The types to know: [`payee::Terms`], [`payee::Ledgers`], [`payer::Ledger`].

pub mod payee;
pub mod payer;

use subrosa_protocol::Duration;

/// The longest that an order may last, so that a pod can forget order ids (spec/channel.md 3).
pub const ORDER_LIFE_MAX: Duration = Duration(3_600);

/// A view of the chain older than this admits nothing: a withdrawal could be under way.
pub const CHAIN_VIEW_AGE_MAX: Duration = Duration(30);
