//! The nouns of Subrosa and the messages that are signed about them.
//!
//! Every signed message is an EIP-712 struct with canonical bytes beside it: [`Message`] gives the
//! digest and the bytes, [`Signed`] joins a message to a signature, and [`Domain`] says on which
//! chain and for which escrow it counts. Nothing here waits, reads a clock or touches a file.
//!
//! ```
//! use subrosa_protocol::{ChannelId, Domain, Amount, SecretKey, Signed, Voucher, B256};
//!
//! let domain = Domain { chain_id: 31337, escrow: [7; 20].into() };
//! let payer = SecretKey::from_bytes(&[1; 32]).unwrap();
//! let voucher = Voucher { channel: ChannelId(B256::ZERO), ceiling: Amount(5_000) };
//!
//! let signed = Signed::sign(voucher, &domain, &payer);
//! let received = Signed::<Voucher>::from_bytes(&signed.to_bytes()).unwrap();
//! assert_eq!(received.verify(&domain, payer.address()).unwrap().ceiling, Amount(5_000));
//! ```
//!
//! Where each message stands on the wire: `spec/wire.md`.

mod amount;
mod channel;
mod domain;
pub mod encoding;
pub mod hash;
mod ids;
mod key;
mod keys;
mod keyset;
pub mod manifest;
mod message;
mod offer;
mod order;
mod receipt;
mod registration;
mod signed;
mod time;
pub mod workload;
pub mod x402;

pub use alloy_primitives::{Address, B256, Bytes, U256, keccak256};

pub use amount::{Amount, AmountOverflow};
pub use channel::{ChannelConfig, ClaimBatch, ClaimEntry, Refund, Voucher};
pub use domain::{Domain, Family};
pub use ids::{Account, ChannelId, RequestId};
pub use key::{BadKey, SecretKey};
pub use keys::{KEY_CONFIG_LIFE_MAX, KeyConfig, Liveness};
pub use keyset::Keyset;
pub use message::{DecodeError, MESSAGE_BYTES_MAX, Message};
pub use offer::{ModelOffer, Offer, Price};
pub use order::Order;
pub use receipt::{Outcome, Receipt};
pub use registration::{Registration, pod_id};
pub use signed::{SignatureError, Signed};
pub use time::{Duration, Timestamp};
pub use workload::{NotCanonical, Workload, workload_digest};
