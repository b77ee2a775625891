//! What a pod asks of a chain, and of its operator's wallet there.
//!
//! A trait, so that the pod's rules are tested against a chain in memory; the real one is
//! [`OnChain`](crate::OnChain).

use futures_util::future::BoxFuture;
use subrosa_chain::{ChannelState, ClaimRow, Mined};
use subrosa_protocol::{Address, Amount, B256, ChannelId, ClaimBatch, Registration, Signed};

/// An answer of the chain, some time later.
pub type Later<'a, T> = BoxFuture<'a, Result<T, LinkError>>;

/// A chain, with the operator's wallet to write to it.
///
/// Writing returns when the transaction is in a block. [`LinkError::Unknown`] is no failure: the pod
/// looks again later, and every write of it does nothing where it was done before.
pub trait Link: Send + Sync {
    /// The operator's address.
    fn operator(&self) -> Address;

    /// The newest finalised block.
    fn finalised_block(&self) -> Later<'_, NamedBlock>;

    /// A channel, at a depth that fits what it holds; `None` where nothing was ever deposited.
    fn channel(&self, id: ChannelId) -> Later<'_, Option<ChannelState>>;

    /// Channels of this pod's payee for which a withdrawal began since this was last asked.
    fn withdrawals(&self) -> Later<'_, Vec<ChannelId>>;

    /// What an address holds of the token.
    fn balance(&self, holder: Address) -> Later<'_, Amount>;

    /// Books a claim: rows that share receiver, authorizer, token and delay, in one packed batch.
    fn claim(&self, rows: Vec<ClaimRow>, batch: Signed<ClaimBatch>) -> Later<'_, Mined>;

    /// Transfers what was booked to the receiver.
    fn settle(&self, receiver: Address) -> Later<'_, Mined>;

    /// The registry's entry.
    fn entry(&self, id: B256) -> Later<'_, Option<Entry>>;

    /// Makes or replaces the registry's entry.
    fn register(
        &self,
        salt: B256,
        endpoint: String,
        registration: Signed<Registration>,
    ) -> Later<'_, Mined>;

    /// Retires the registry's entry, for good.
    fn retire(&self, id: B256) -> Later<'_, Mined>;
}

/// A block by number and hash; all zero on a network without a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamedBlock {
    /// The chain's id.
    pub chain_id: u64,
    /// The block's height.
    pub number: u64,
    /// The block's hash.
    pub hash: B256,
}

/// A pod as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whom channels pay.
    pub payee: Address,
    /// The attested key.
    pub signer: Address,
    /// The digest of the offer.
    pub offer: B256,
    /// Where the pod is reached; the first, where there are several.
    pub endpoint: String,
    /// Whether it takes no new channels any more.
    pub retired: bool,
}

/// What goes wrong on the way to a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A contract refuses; the same again would be refused again.
    #[error("the chain refuses: {reason}")]
    Refused {
        /// What it says.
        reason: String,
    },
    /// A transaction was sent, and what became of it is not known yet.
    #[error("transaction {hash} was sent, what became of it is not known yet")]
    Unknown {
        /// The transaction.
        hash: B256,
    },
    /// The node does not answer.
    #[error("the chain cannot be reached: {reason}")]
    Unreachable {
        /// What happened.
        reason: String,
    },
}
