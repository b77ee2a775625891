//! Founding a network: its contracts, deployed from the committed bytecode.

use alloy::sol_types::SolConstructor;
use subrosa_protocol::{Address, Duration, U256};

use crate::bindings::escrow::Escrow;
use crate::bindings::registry::PodRegistry;
use crate::bindings::releases::Releases;
use crate::bindings::token::TestToken;
use crate::{Chain, ChainError, Contracts, Publishers, Wallet};

/// Deploys the contracts of a network, with the test token where no other token is named.
///
/// The contracts that `chain` was connected with do not matter here.
///
/// # Errors
/// [`ChainError`], see there what is known of the last transaction. What was deployed before stays
/// on the chain and harms nobody.
pub async fn contracts(
    chain: &Chain,
    wallet: &Wallet,
    publishers: &Publishers,
    publication_delay: Duration,
    token: Option<Address>,
) -> Result<Contracts, ChainError> {
    let escrow = chain.create(wallet, Escrow::BYTECODE.to_vec()).await?;
    let registry = Deployment::of(&PodRegistry::BYTECODE)
        .with(PodRegistry::constructorCall { escrow_: escrow });
    let releases = Deployment::of(&Releases::BYTECODE).with(Releases::constructorCall {
        publishers_: publishers.addresses.clone(),
        threshold_: U256::from(publishers.threshold),
        publicationDelay_: publication_delay.0,
    });
    Ok(Contracts {
        escrow,
        registry: chain.create(wallet, registry.0).await?,
        releases: chain.create(wallet, releases.0).await?,
        token: match token {
            Some(token) => token,
            None => chain.create(wallet, TestToken::BYTECODE.to_vec()).await?,
        },
    })
}

/// Creation code with its constructor's arguments behind it.
struct Deployment(Vec<u8>);

impl Deployment {
    fn of(bytecode: &[u8]) -> Deployment {
        Deployment(bytecode.to_vec())
    }

    fn with(mut self, arguments: impl SolConstructor) -> Deployment {
        self.0.extend(arguments.abi_encode());
        self
    }
}
