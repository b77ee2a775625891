//! The messages of a payment channel, exactly as x402 v2 `batch-settlement` signs them.
//!
//! Source: the x402 `batch-settlement` scheme on EVM; vectors in `spec/vectors/eip712.json`.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::sol;

use crate::message::Uint40;
use crate::{Amount, ChannelId, DecodeError, Domain, Duration, Family, Message};

mod sol_types {
    #![allow(missing_docs, reason = "the macro makes them; the types around them are described")]
    use super::sol;
    sol! {
        struct ChannelConfig {
            address payer;
            address payerAuthorizer;
            address receiver;
            address receiverAuthorizer;
            address token;
            uint40 withdrawDelay;
            bytes32 salt;
        }
        struct Voucher { bytes32 channelId; uint128 maxClaimableAmount; }
        struct ClaimEntry { bytes32 channelId; uint128 maxClaimableAmount; uint128 totalClaimed; }
        struct ClaimBatch { ClaimEntry[] claims; }
        struct Refund { bytes32 channelId; uint256 nonce; uint128 amount; }
    }
}

/// Who pays whom through a channel; its digest names the channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChannelConfig {
    /// Whose deposit it is.
    pub payer: Address,
    /// The plain key that signs vouchers and orders for the payer.
    pub payer_authorizer: Address,
    /// Where the money goes: the pod's payee.
    pub receiver: Address,
    /// Who signs claims: the pod's signer.
    pub receiver_authorizer: Address,
    /// The ERC-20 token.
    pub token: Address,
    /// How long a withdrawal waits, below 2^40 seconds.
    pub withdraw_delay: Duration,
    /// Tells apart channels between the same parties.
    pub salt: B256,
}

impl ChannelConfig {
    /// The channel's id: the full EIP-712 digest under the x402 domain.
    pub fn id(&self, domain: &Domain) -> ChannelId {
        ChannelId(self.digest(domain))
    }
}

impl Message for ChannelConfig {
    type Sol = sol_types::ChannelConfig;
    const FAMILY: Family = Family::X402BatchSettlement;

    fn to_sol(&self) -> Self::Sol {
        Self::Sol {
            payer: self.payer,
            payerAuthorizer: self.payer_authorizer,
            receiver: self.receiver,
            receiverAuthorizer: self.receiver_authorizer,
            token: self.token,
            withdrawDelay: Uint40::saturating_from(self.withdraw_delay.0),
            salt: self.salt,
        }
    }

    fn from_sol(sol: Self::Sol) -> Result<Self, DecodeError> {
        Ok(ChannelConfig {
            payer: sol.payer,
            payer_authorizer: sol.payerAuthorizer,
            receiver: sol.receiver,
            receiver_authorizer: sol.receiverAuthorizer,
            token: sol.token,
            withdraw_delay: Duration(sol.withdrawDelay.to()),
            salt: sol.salt,
        })
    }
}

/// The payer's cumulative ceiling on a channel: no nonce, no expiry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Voucher {
    /// The channel.
    pub channel: ChannelId,
    /// The most that may ever be claimed from it.
    pub ceiling: Amount,
}

impl Message for Voucher {
    type Sol = sol_types::Voucher;
    const FAMILY: Family = Family::X402BatchSettlement;

    fn to_sol(&self) -> Self::Sol {
        Self::Sol { channelId: self.channel.0, maxClaimableAmount: self.ceiling.0 }
    }

    fn from_sol(sol: Self::Sol) -> Result<Self, DecodeError> {
        Ok(Voucher { channel: ChannelId(sol.channelId), ceiling: Amount(sol.maxClaimableAmount) })
    }
}

/// One row of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimEntry {
    /// The channel.
    pub channel: ChannelId,
    /// The ceiling of the voucher beside the row.
    pub ceiling: Amount,
    /// What the meter has counted in all.
    pub total: Amount,
}

/// The signer's statement of actual totals. With one row it is a slip.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimBatch {
    /// The rows.
    pub claims: Vec<ClaimEntry>,
}

impl Message for ClaimBatch {
    type Sol = sol_types::ClaimBatch;
    const FAMILY: Family = Family::X402BatchSettlement;

    fn to_sol(&self) -> Self::Sol {
        let row = |entry: &ClaimEntry| sol_types::ClaimEntry {
            channelId: entry.channel.0,
            maxClaimableAmount: entry.ceiling.0,
            totalClaimed: entry.total.0,
        };
        Self::Sol { claims: self.claims.iter().map(row).collect() }
    }

    fn from_sol(sol: Self::Sol) -> Result<Self, DecodeError> {
        let row = |entry: sol_types::ClaimEntry| ClaimEntry {
            channel: ChannelId(entry.channelId),
            ceiling: Amount(entry.maxClaimableAmount),
            total: Amount(entry.totalClaimed),
        };
        Ok(ClaimBatch { claims: sol.claims.into_iter().map(row).collect() })
    }
}

/// The receiver side's leave to pay unclaimed money back before the withdrawal delay.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refund {
    /// The channel.
    pub channel: ChannelId,
    /// The channel's refund nonce.
    pub nonce: U256,
    /// How much.
    pub amount: Amount,
}

impl Message for Refund {
    type Sol = sol_types::Refund;
    const FAMILY: Family = Family::X402BatchSettlement;

    fn to_sol(&self) -> Self::Sol {
        Self::Sol { channelId: self.channel.0, nonce: self.nonce, amount: self.amount.0 }
    }

    fn from_sol(sol: Self::Sol) -> Result<Self, DecodeError> {
        Ok(Refund {
            channel: ChannelId(sol.channelId),
            nonce: sol.nonce,
            amount: Amount(sol.amount),
        })
    }
}
