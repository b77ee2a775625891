//! The x402 v2 content of a 402, scheme `batch-settlement` (spec/wire.md section 7).

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::{Amount, encoding};

/// The header that carries a [`PaymentRequired`].
pub const PAYMENT_REQUIRED_HEADER: &str = "payment-required";

/// What a payer must do to be answered: base64 of this JSON stands in `PAYMENT-REQUIRED`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// Always 2.
    pub x402_version: u8,
    /// Why this request was not paid, as one of x402's or our error names.
    pub error: String,
    /// What is paid for.
    pub resource: Resource,
    /// How it can be paid.
    pub accepts: Vec<PaymentRequirements>,
    /// No extension of ours.
    pub extensions: serde_json::Map<String, serde_json::Value>,
}

/// What is paid for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its path.
    pub url: String,
}

/// One way to pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// `batch-settlement`.
    pub scheme: String,
    /// CAIP-2: `eip155:` and the chain id.
    pub network: String,
    /// The most that this request can cost.
    pub amount: Amount,
    /// The token.
    pub asset: Address,
    /// The channel's receiver.
    pub pay_to: Address,
    /// How long the pod waits for a payment, in seconds.
    pub max_timeout_seconds: u64,
    /// What a channel to this pod needs.
    pub extra: Extra,
}

/// The members that scheme `batch-settlement` adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extra {
    /// The channel's `receiverAuthorizer`.
    pub receiver_authorizer: Address,
    /// The channel's `withdrawDelay`, in seconds.
    pub withdraw_delay: u64,
    /// The EIP-712 domain's name.
    pub name: String,
    /// The EIP-712 domain's version.
    pub version: String,
}

impl PaymentRequired {
    /// The header's value.
    pub fn to_header(&self) -> String {
        encoding::to_base64(&serde_json::to_vec(self).expect("every member is plain JSON"))
    }

    /// Reads the header's value; members that we do not know are let through, as x402 asks.
    pub fn from_header(value: &str) -> Option<PaymentRequired> {
        serde_json::from_slice(&encoding::from_base64(value).ok()?).ok()
    }
}
