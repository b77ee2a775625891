//! The payer's order: this request, at most this charge.

use alloy_primitives::B256;
use alloy_sol_types::sol;

use crate::{Account, Amount, DecodeError, Family, Message, RequestId, Timestamp};

mod sol_types {
    #![allow(missing_docs, reason = "the macro makes them; the types around them are described")]
    use super::sol;
    sol! {
        struct Order {
            bytes32 account;
            bytes32 offer;
            bytes32 requestId;
            bytes32 requestHash;
            uint128 maxCharge;
            uint128 ceiling;
            uint64 expires;
        }
    }
}

/// Signed by the payer's authorizer for each request; its id works once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// Who pays.
    pub account: Account,
    /// The digest of the offer that is taken.
    pub offer: B256,
    /// The order's single-use id.
    pub request_id: RequestId,
    /// What is asked: see [`hash::request_hash`](crate::hash::request_hash).
    pub request_hash: B256,
    /// The most that may be charged for it.
    pub max_charge: Amount,
    /// The ceiling of the voucher sent beside it; zero where there is none.
    pub ceiling: Amount,
    /// When the order ends.
    pub expires: Timestamp,
}

impl Message for Order {
    type Sol = sol_types::Order;
    const FAMILY: Family = Family::Subrosa;

    fn to_sol(&self) -> Self::Sol {
        Self::Sol {
            account: self.account.0,
            offer: self.offer,
            requestId: self.request_id.0,
            requestHash: self.request_hash,
            maxCharge: self.max_charge.0,
            ceiling: self.ceiling.0,
            expires: self.expires.0,
        }
    }

    fn from_sol(sol: Self::Sol) -> Result<Self, DecodeError> {
        Ok(Order {
            account: Account(sol.account),
            offer: sol.offer,
            request_id: RequestId(sol.requestId),
            request_hash: sol.requestHash,
            max_charge: Amount(sol.maxCharge),
            ceiling: Amount(sol.ceiling),
            expires: Timestamp(sol.expires),
        })
    }
}
