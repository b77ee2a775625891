//! What a pod offers, at what price.

use alloy_primitives::{Address, B256};
use alloy_sol_types::sol;

use crate::message::Uint40;
use crate::{Amount, DecodeError, Duration, Family, Message, Timestamp};

mod sol_types {
    #![allow(missing_docs, reason = "the macro makes them; the types around them are described")]
    use super::sol;
    sol! {
        struct ModelOffer {
            bytes32 digest;
            uint128 inputPrice;
            uint128 outputPrice;
            uint64 templateBound;
            uint64 contextTokens;
            uint64 outputTokensMax;
        }
        struct Offer {
            uint64 chainId;
            address escrow;
            address token;
            address payee;
            address signer;
            uint40 withdrawDelay;
            bytes32 workload;
            ModelOffer[] models;
            uint64 expires;
        }
    }
}

/// Prices are for this many tokens.
const TOKENS_PER_PRICE: u128 = 1_000_000;

/// What tokens cost, in atomic token units per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Price {
    /// Per million tokens of the prompt.
    pub input: Amount,
    /// Per million tokens of the answer.
    pub output: Amount,
}

impl Price {
    /// What so many tokens cost: both products, added, divided by a million and rounded up once.
    ///
    /// A product that does not fit 128 bits counts as the largest amount, which no channel holds.
    pub fn charge(&self, input_tokens: u64, output_tokens: u64) -> Amount {
        let input = self.input.0.saturating_mul(u128::from(input_tokens));
        let output = self.output.0.saturating_mul(u128::from(output_tokens));
        Amount(input.saturating_add(output).div_ceil(TOKENS_PER_PRICE))
    }
}

/// One model of an offer: its weights by digest, its price, its bounds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelOffer {
    /// The digest of the model's manifest.
    pub digest: B256,
    /// What tokens cost.
    pub price: Price,
    /// The most tokens that the chat template adds to a request's body bytes.
    pub template_bound: u64,
    /// The model's context, in tokens.
    pub context_tokens: u64,
    /// The most tokens that one answer may have.
    pub output_tokens_max: u64,
}

impl ModelOffer {
    /// The most that a request with this body and this `max_tokens` can cost.
    ///
    /// A byte-level tokenizer never makes more tokens than bytes, so the payer can compute it without
    /// the pod's tokenizer (spec/wire.md 3.2).
    pub fn max_charge(&self, body_bytes: u64, max_tokens: u64) -> Amount {
        self.price.charge(body_bytes.saturating_add(self.template_bound), max_tokens)
    }
}

/// What a pod offers: signed by its attested signer, its digest registered on chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Offer {
    /// The chain.
    pub chain_id: u64,
    /// The escrow contract.
    pub escrow: Address,
    /// The token that prices are in.
    pub token: Address,
    /// Whom channels pay.
    pub payee: Address,
    /// The pod's attested key, and so the channels' `receiverAuthorizer`.
    pub signer: Address,
    /// The withdrawal delay that channels must have.
    pub withdraw_delay: Duration,
    /// The digest of the keyset and workload that serve this offer.
    pub workload: B256,
    /// The models.
    pub models: Vec<ModelOffer>,
    /// When the offer ends.
    pub expires: Timestamp,
}

impl Offer {
    /// The entry for a model.
    pub fn model(&self, digest: &B256) -> Option<&ModelOffer> {
        self.models.iter().find(|model| model.digest == *digest)
    }
}

impl Message for Offer {
    type Sol = sol_types::Offer;
    const FAMILY: Family = Family::Subrosa;

    fn to_sol(&self) -> Self::Sol {
        let model = |model: &ModelOffer| sol_types::ModelOffer {
            digest: model.digest,
            inputPrice: model.price.input.0,
            outputPrice: model.price.output.0,
            templateBound: model.template_bound,
            contextTokens: model.context_tokens,
            outputTokensMax: model.output_tokens_max,
        };
        Self::Sol {
            chainId: self.chain_id,
            escrow: self.escrow,
            token: self.token,
            payee: self.payee,
            signer: self.signer,
            withdrawDelay: Uint40::saturating_from(self.withdraw_delay.0),
            workload: self.workload,
            models: self.models.iter().map(model).collect(),
            expires: self.expires.0,
        }
    }

    fn from_sol(sol: Self::Sol) -> Result<Self, DecodeError> {
        let model = |model: sol_types::ModelOffer| ModelOffer {
            digest: model.digest,
            price: Price { input: Amount(model.inputPrice), output: Amount(model.outputPrice) },
            template_bound: model.templateBound,
            context_tokens: model.contextTokens,
            output_tokens_max: model.outputTokensMax,
        };
        Ok(Offer {
            chain_id: sol.chainId,
            escrow: sol.escrow,
            token: sol.token,
            payee: sol.payee,
            signer: sol.signer,
            withdraw_delay: Duration(sol.withdrawDelay.to()),
            workload: sol.workload,
            models: sol.models.into_iter().map(model).collect(),
            expires: Timestamp(sol.expires),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: Price = Price { input: Amount(3), output: Amount(5) };

    #[test]
    fn rounds_up_once_over_the_sum() {
        assert_eq!(PRICE.charge(0, 0), Amount(0));
        assert_eq!(PRICE.charge(1, 1), Amount(1));
        assert_eq!(PRICE.charge(1_000_000, 1_000_000), Amount(8));
        assert_eq!(PRICE.charge(1_000_000, 1_000_001), Amount(9));
    }

    #[test]
    fn a_price_that_overflows_costs_more_than_anyone_has() {
        let price = Price { input: Amount(u128::MAX), output: Amount(1) };
        assert_eq!(price.charge(2, 1), Amount(u128::MAX.div_ceil(TOKENS_PER_PRICE)));
    }
}
