//! The token that prices are in.

use alloy::primitives::Bytes;
use alloy::sol_types::{Eip712Domain, SolStruct, SolValue};
use subrosa_protocol::{Address, Amount, B256, ChannelConfig, SecretKey, U256, keccak256};

use crate::bindings::token::{ReceiveWithAuthorization, TestToken};
use crate::send::Mined;
use crate::{Chain, ChainError, Depth, Wallet};

/// A deposit that is signed now must be in a block within this time, in seconds.
const AUTHORISATION_LIFE: u64 = 3_600;

impl Chain {
    /// What an address holds of the network's token.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not answer.
    pub async fn token_balance(&self, holder: Address) -> Result<Amount, ChainError> {
        let at = self.at(Depth::Latest).await?;
        let call = TestToken::balanceOfCall { account: holder };
        let units = self.read(self.contracts().token, call, &at).await?;
        // More than 2^128 units are more than an escrow takes; as an amount they are the most.
        Ok(Amount(units.try_into().unwrap_or(u128::MAX)))
    }

    /// Makes tokens out of nothing, where the network's token is the test token.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction.
    pub async fn mint(
        &self,
        wallet: &Wallet,
        to: Address,
        amount: Amount,
    ) -> Result<Mined, ChainError> {
        let call = TestToken::mintCall { to, amount: U256::from(amount.0) };
        Ok(self.call(wallet, self.contracts().token, call).await?.mined)
    }

    /// Lets the escrow take `amount` of the wallet's tokens, if it may not yet.
    pub(crate) async fn allow(
        &self,
        wallet: &Wallet,
        token: Address,
        amount: Amount,
    ) -> Result<(), ChainError> {
        let at = self.at(Depth::Latest).await?;
        let spender = self.contracts().escrow;
        let call = TestToken::allowanceCall { owner: wallet.address(), spender };
        let needed = U256::from(amount.0);
        if self.read(token, call, &at).await? < needed {
            let call = TestToken::approveCall { spender, value: needed };
            self.call(wallet, token, call).await?;
        }
        Ok(())
    }

    /// The payer's EIP-3009 authorization for a deposit, as the escrow takes it: valid after,
    /// valid before, salt, signature. Its nonce binds it to the channel.
    pub(crate) async fn authorise(
        &self,
        config: &ChannelConfig,
        amount: Amount,
        payer: &SecretKey,
    ) -> Result<(U256, U256, U256, Bytes), ChainError> {
        let now = self.at(Depth::Latest).await?.timestamp;
        let salt = U256::from_be_bytes(rand::random::<[u8; 32]>());
        let valid_before = U256::from(now.0 + AUTHORISATION_LIFE);
        let authorization = ReceiveWithAuthorization {
            from: config.payer,
            to: self.contracts().escrow,
            value: U256::from(amount.0),
            validAfter: U256::ZERO,
            validBefore: valid_before,
            nonce: deposit_nonce(config.id(&self.domain()).0, salt),
        };
        let domain = self.token_domain(config.token).await?;
        let signature = payer.sign_digest(&authorization.eip712_signing_hash(&domain));
        Ok((U256::ZERO, valid_before, salt, signature.as_bytes().into()))
    }

    /// The token's own EIP-712 domain: by EIP-5267 where the token knows that, else by its name and
    /// version 1.
    async fn token_domain(&self, token: Address) -> Result<Eip712Domain, ChainError> {
        let at = self.at(Depth::Latest).await?;
        let domain = |name: String, version: String| {
            let chain = U256::from(self.params().chain_id);
            Eip712Domain::new(
                Some(name.into()),
                Some(version.into()),
                Some(chain),
                Some(token),
                None,
            )
        };
        match self.read(token, TestToken::eip712DomainCall {}, &at).await {
            Ok(told) => Ok(domain(told.name, told.version)),
            Err(ChainError::Refused { .. } | ChainError::Malformed { .. }) => {
                let name = self.read(token, TestToken::nameCall {}, &at).await?;
                Ok(domain(name, "1".into()))
            }
            Err(error) => Err(error),
        }
    }
}

/// x402: keccak256(abi.encode(bytes32 channelId, uint256 salt)), so that nobody moves a signed
/// deposit to another channel.
fn deposit_nonce(channel: B256, salt: U256) -> B256 {
    keccak256((channel, salt).abi_encode())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nonce_of_a_deposit_is_that_of_x402() {
        let channel = "0x8ea4b277c96d508b2d34b4f68ed56a23326b1e86baadcc7dd94a251cab3ec016";
        let nonce = "0x6a978793d96dcb65c35d3d86b10ca53507fe16a47fd6cb12296edd41735ff284";
        let got = deposit_nonce(channel.parse().unwrap(), U256::from(1));
        assert_eq!(got, nonce.parse::<B256>().unwrap());
    }
}
