//! One question, from both sides: ordered, sealed, answered, charged, proved, and tried again where
//! that is safe (spec/channel.md 5, 6 and 10).
//!
//! [`client::Asking`] and [`pod::Answering`] take what arrives and the time, and return what to do;
//! money moves in the ledgers of `subrosa-channel`, whose records they hand on. Nothing here waits,
//! reads a clock or opens a socket.
//!
//! ```
//! use subrosa_protocol::{B256, RequestId};
//! use subrosa_session::receipts::Query;
//!
//! let query = Query::Order(RequestId(B256::repeat_byte(7)));
//! assert_eq!(Query::parse(&query.path()), Some(query));
//! ```
//!
//! The types to know: [`client::Asking`], [`pod::Answering`], [`receipts::Query`].

pub mod client;
pub mod names;
pub mod pod;
pub mod receipts;
