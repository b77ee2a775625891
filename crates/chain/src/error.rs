//! What goes wrong between us and a chain.

use alloy::sol_types::{GenericContractError, SolInterface};
use alloy::transports::TransportError;
use subrosa_protocol::{B256, Duration};

use crate::bindings::{escrow, registry, releases, token};

/// Why the chain did not give or take what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The network file has no chain.
    #[error("this network has no chain; nothing can be read from or sent to one")]
    Chainless,
    /// The node answers what no node should.
    #[error("the node's answer to {what} makes no sense; use another rpc")]
    Malformed {
        /// What was asked.
        what: &'static str,
    },
    /// A contract or the node refuses, and will refuse the same again. Without a hash nothing was
    /// sent; with one the transaction stands in a block, without effect.
    #[error("the chain refuses: {reason}")]
    Refused {
        /// The contract's error with its values, or the node's words.
        reason: String,
        /// The transaction, if one was sent.
        hash: Option<B256>,
    },
    /// Another transaction of the same key took this one's place; it had no effect and never will.
    #[error("transaction {hash} was replaced by another of the same key; send it again")]
    Replaced {
        /// The transaction that was replaced.
        hash: B256,
    },
    /// The newest final block is too old: revocations and withdrawals might be hidden from us.
    #[error("the newest final block is {} s old, more than the {} s that the network file allows; \
             check the node behind rpc, and this machine's clock", age.0, limit.0)]
    StaleView {
        /// How old it is.
        age: Duration,
        /// How old it may be.
        limit: Duration,
    },
    /// A transaction was sent and is in no block yet. That is no failure: look it up by
    /// [`Chain::mined`](crate::Chain::mined) before doing anything twice.
    #[error("transaction {hash} was sent and is in no block yet; it may still come")]
    Unknown {
        /// The transaction.
        hash: B256,
    },
    /// The node does not answer; nothing was sent.
    #[error("the node cannot be reached: {reason}")]
    Unreachable {
        /// What happened.
        reason: String,
    },
    /// The node is on another chain than the network file says.
    #[error("the node is on chain {got}, the network file says {expected}; one of them is wrong")]
    WrongChain {
        /// The node's chain id.
        got: u64,
        /// The network file's.
        expected: u64,
    },
}

impl From<TransportError> for ChainError {
    fn from(error: TransportError) -> ChainError {
        match refusal(&error) {
            Some(reason) => ChainError::Refused { reason, hash: None },
            None => ChainError::Unreachable { reason: error.to_string() },
        }
    }
}

/// Why the node answered with an error, if it answered: the contract's error with its values, where
/// the node hands it on; else the node's words.
pub(crate) fn refusal(error: &TransportError) -> Option<String> {
    let payload = error.as_error_resp()?;
    let decoded = payload.as_revert_data().and_then(|data| contract_error(data.as_ref()));
    Some(decoded.unwrap_or_else(|| payload.message.to_string()))
}

/// The error of one of our contracts, in its own words.
fn contract_error(data: &[u8]) -> Option<String> {
    let ours = escrow::Escrow::EscrowErrors::abi_decode(data)
        .map(debugged)
        .or_else(|_| registry::PodRegistry::PodRegistryErrors::abi_decode(data).map(debugged))
        .or_else(|_| releases::Releases::ReleasesErrors::abi_decode(data).map(debugged))
        .or_else(|_| token::TestToken::TestTokenErrors::abi_decode(data).map(debugged));
    match ours {
        // The enum's variant repeats the name of the struct in it.
        Ok(text) => match text.split_once('(') {
            Some((_, inner)) => Some(inner.strip_suffix(')').unwrap_or(inner).to_owned()),
            None => Some(text),
        },
        Err(_) => GenericContractError::abi_decode(data).ok().map(|error| error.to_string()),
    }
}

fn debugged(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}
