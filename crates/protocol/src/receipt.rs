//! The pod's statement about one answer.

use alloy_primitives::B256;
use alloy_sol_types::sol;
use serde::{Deserialize, Serialize};

use crate::{Account, Amount, DecodeError, Family, Message, Timestamp};

mod sol_types {
    #![allow(missing_docs, reason = "the macro makes them; the types around them are described")]
    use super::sol;
    sol! {
        struct Receipt {
            bytes32 account;
            uint64 seq;
            bytes32 prev;
            bytes32 requestHash;
            bytes32 responseHash;
            bytes32 modelDigest;
            bytes32 workload;
            bytes32 offer;
            uint8 outcome;
            uint64 inputTokens;
            uint64 outputTokens;
            uint128 charged;
            uint128 cumulative;
            uint64 issuedAt;
        }
    }
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The model came to its end.
    Complete,
    /// The client went away.
    Cancelled,
    /// The answer reached `max_tokens` or the context's end.
    Limit,
    /// The engine broke off.
    Failed,
}

impl Outcome {
    /// The number that stands for it on the wire.
    pub fn code(self) -> u8 {
        match self {
            Outcome::Complete => 0,
            Outcome::Cancelled => 1,
            Outcome::Limit => 2,
            Outcome::Failed => 3,
        }
    }

    /// The outcome that a number stands for.
    pub fn from_code(code: u8) -> Option<Outcome> {
        match code {
            0 => Some(Outcome::Complete),
            1 => Some(Outcome::Cancelled),
            2 => Some(Outcome::Limit),
            3 => Some(Outcome::Failed),
            _ => None,
        }
    }
}

/// Signed by the pod's signer: what answered what, and what it cost.
///
/// `seq` and `prev` chain the receipts of an account. Two receipts of one (account, seq) with different
/// digests prove that the signer said two things.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// Who pays.
    pub account: Account,
    /// The receipt's place in the account's chain, from 1.
    pub seq: u64,
    /// The digest of the receipt before it; zero for the first.
    pub prev: B256,
    /// What was asked.
    pub request_hash: B256,
    /// What was answered.
    pub response_hash: B256,
    /// The manifest digest of the model that answered.
    pub model: B256,
    /// The digest of the keyset and workload that answered.
    pub workload: B256,
    /// The offer that it was answered under.
    pub offer: B256,
    /// How the answer ended.
    pub outcome: Outcome,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// What this answer cost.
    pub charged: Amount,
    /// What all answers of the account have cost, this one included.
    pub cumulative: Amount,
    /// When the charge was made.
    pub issued_at: Timestamp,
}

impl Message for Receipt {
    type Sol = sol_types::Receipt;
    const FAMILY: Family = Family::Subrosa;

    fn to_sol(&self) -> Self::Sol {
        Self::Sol {
            account: self.account.0,
            seq: self.seq,
            prev: self.prev,
            requestHash: self.request_hash,
            responseHash: self.response_hash,
            modelDigest: self.model,
            workload: self.workload,
            offer: self.offer,
            outcome: self.outcome.code(),
            inputTokens: self.input_tokens,
            outputTokens: self.output_tokens,
            charged: self.charged.0,
            cumulative: self.cumulative.0,
            issuedAt: self.issued_at.0,
        }
    }

    fn from_sol(sol: Self::Sol) -> Result<Self, DecodeError> {
        Ok(Receipt {
            account: Account(sol.account),
            seq: sol.seq,
            prev: sol.prev,
            request_hash: sol.requestHash,
            response_hash: sol.responseHash,
            model: sol.modelDigest,
            workload: sol.workload,
            offer: sol.offer,
            outcome: Outcome::from_code(sol.outcome)
                .ok_or(DecodeError::Value { member: "outcome" })?,
            input_tokens: sol.inputTokens,
            output_tokens: sol.outputTokens,
            charged: Amount(sol.charged),
            cumulative: Amount(sol.cumulative),
            issued_at: Timestamp(sol.issuedAt),
        })
    }
}
