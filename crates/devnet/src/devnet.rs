//! The running chain: node, contracts, releases, funded keys.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use subrosa_chain::{
    Chain, ChainError, ChainParams, Contracts, Depth, Finality, Kind, Mined, Network, Pinned,
    Publishers, Trust, Wallet, deploy,
};
use subrosa_protocol::{Address, Amount, B256, Timestamp};
use tempfile::TempDir;

use crate::anvil::{Anvil, AnvilError};

/// What development chains are called everywhere.
const CHAIN_ID: u64 = 31337;

/// Operators that are made and funded at the start.
const OPERATORS: usize = 10;

const PUBLISHERS: usize = 3;
const THRESHOLD: usize = 2;

/// A moment in which nobody looks, so that the delay is exercised and nobody waits for it.
const PUBLICATION_DELAY: subrosa_protocol::Duration = subrosa_protocol::Duration(1);

/// The chain makes a block a second and finality takes two; a minute of silence is a fault.
const VIEW_AGE_MAX: subrosa_protocol::Duration = subrosa_protocol::Duration(60);

/// 100 of the chain's coin, in wei, as JSON-RPC writes it.
const GAS_MONEY: &str = "0x56bc75e2d63100000";

/// 1,000 test tokens, which have six decimals.
const PAYER_MONEY: Amount = Amount(1_000_000_000);

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a development chain starts with.
#[derive(Clone, Debug, Default)]
pub struct DevnetOptions {
    /// Measurements of images to publish.
    pub measurements: Vec<B256>,
    /// Digests of models to publish.
    pub models: Vec<B256>,
    /// Where the node's log and `network.toml` go; none: a folder that goes away with the chain.
    pub folder: Option<PathBuf>,
    /// The node's port; 0: any free one.
    pub port: u16,
}

/// A development chain. Dropping it stops the node.
pub struct Devnet {
    // The node is stopped before its folder goes.
    _anvil: Anvil,
    folder: PathBuf,
    _temporary: Option<TempDir>,
    network: Network,
    chain: Chain,
    payer: Wallet,
    operators: Vec<Wallet>,
    publishers: Vec<Wallet>,
}

impl Devnet {
    /// Starts the node, deploys the contracts, publishes the releases and waits until they count.
    ///
    /// A rustls provider is installed in the process if there is none: the HTTP client wants one.
    ///
    /// # Errors
    /// [`DevnetError`]; nothing keeps running then.
    pub async fn start(options: DevnetOptions) -> Result<Devnet, DevnetError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let temporary = match &options.folder {
            Some(folder) => fs::create_dir_all(folder).map(|()| None),
            None => tempfile::tempdir().map(Some),
        };
        let temporary = temporary.map_err(DevnetError::Folder)?;
        let folder = match (&options.folder, &temporary) {
            (Some(folder), _) => folder.clone(),
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => unreachable!("without a folder a temporary one was made"),
        };
        let anvil = Anvil::start(CHAIN_ID, options.port, &folder.join("anvil.log")).await?;
        let founders = Founders::generate();
        let (network, chain) = founders.found(anvil.rpc()).await?;
        let devnet = Devnet {
            _anvil: anvil,
            folder,
            _temporary: temporary,
            network,
            chain,
            payer: founders.payer,
            operators: founders.operators,
            publishers: founders.publishers,
        };
        devnet.publish(Kind::Measurement, &options.measurements).await?;
        devnet.publish(Kind::Model, &options.models).await?;
        devnet.settle_down().await?;
        let file = devnet.folder.join("network.toml");
        fs::write(file, devnet.network.to_toml()).map_err(DevnetError::Folder)?;
        Ok(devnet)
    }

    /// The network file, as everybody on this chain gets it.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// A connection to the chain.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Where the node's log and `network.toml` lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A key with gas and 1,000 test tokens.
    pub fn payer(&self) -> &Wallet {
        &self.payer
    }

    /// The n-th of ten keys with gas.
    ///
    /// # Panics
    /// For 10 and above.
    pub fn operator(&self, n: usize) -> Wallet {
        self.operators[n].clone()
    }

    /// The n-th of three publishers, of whom it takes two.
    ///
    /// # Panics
    /// For 3 and above.
    pub fn publisher(&self, n: usize) -> &Wallet {
        &self.publishers[n]
    }

    /// Makes test tokens for somebody.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not do it.
    pub async fn mint(&self, to: Address, amount: Amount) -> Result<Mined, ChainError> {
        self.chain.mint(&self.publishers[0], to, amount).await
    }

    /// Gives somebody gas.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not do it.
    pub async fn fund_gas(&self, to: Address) -> Result<(), ChainError> {
        fund_gas(&self.chain, to).await
    }

    /// Approves digests as two of the publishers, which publishes them; they count a second later,
    /// once that is final. Those that are published already are passed over.
    ///
    /// # Errors
    /// [`ChainError`] where the contract refuses or the node does not answer.
    pub async fn publish(&self, kind: Kind, digests: &[B256]) -> Result<(), ChainError> {
        for publisher in self.publishers.iter().take(THRESHOLD) {
            for digest in digests {
                match self.chain.approve_release(publisher, kind, *digest).await {
                    Err(ChainError::Refused { reason, .. })
                        if reason.starts_with("Releases_AlreadyApproved") => {}
                    other => _ = other?,
                }
            }
        }
        Ok(())
    }

    /// Returns when everything that stands on the chain now is final, and releases that were
    /// published until now count.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not answer.
    pub async fn settle_down(&self) -> Result<(), ChainError> {
        let head = self.chain.at(Depth::Latest).await?;
        let due = head.timestamp.after(PUBLICATION_DELAY);
        loop {
            let last = self.chain.at(Depth::Final).await?;
            if last.number >= head.number && last.timestamp >= due {
                return Ok(());
            }
            // Blocks come each second anyway; more of them let finality follow the clock closely.
            self.mine().await?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Makes a block.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not answer.
    pub async fn mine(&self) -> Result<(), ChainError> {
        self.chain.request("evm_mine", json!([])).await.map(drop)
    }

    /// Lets time pass on the chain only, so that from then on its clock is ahead of the wall's.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not answer.
    pub async fn skip(&self, span: subrosa_protocol::Duration) -> Result<Timestamp, ChainError> {
        self.chain.request("evm_increaseTime", json!([span.0])).await?;
        self.mine().await?;
        Ok(self.chain.at(Depth::Latest).await?.timestamp)
    }
}

/// The keys of a new chain.
struct Founders {
    payer: Wallet,
    operators: Vec<Wallet>,
    publishers: Vec<Wallet>,
}

impl Founders {
    fn generate() -> Founders {
        let many = |count| std::iter::repeat_with(Wallet::generate).take(count).collect();
        let payer = Wallet::generate();
        Founders { payer, operators: many(OPERATORS), publishers: many(PUBLISHERS) }
    }

    /// Deploys the contracts and hands out money.
    async fn found(&self, rpc: String) -> Result<(Network, Chain), ChainError> {
        let mut network = self.network(rpc);
        let chain = Chain::connect(&network).await?;
        let everybody = self.operators.iter().chain(&self.publishers).chain([&self.payer]);
        for wallet in everybody {
            fund_gas(&chain, wallet.address()).await?;
        }
        let publishers = chain.params().publishers.clone();
        let founder = &self.publishers[0];
        let deployed_block = chain.at(Depth::Latest).await?.number;
        let contracts =
            deploy::contracts(&chain, founder, &publishers, PUBLICATION_DELAY, None).await?;
        if let Some(params) = &mut network.chain {
            params.contracts = contracts;
            params.deployed_block = deployed_block;
        }
        let chain = Chain::connect(&network).await?;
        chain.mint(founder, self.payer.address(), PAYER_MONEY).await?;
        Ok((network, chain))
    }

    /// The network file, but for what is not deployed yet.
    fn network(&self, rpc: String) -> Network {
        let nowhere = Address::ZERO;
        Network {
            name: "devnet".into(),
            trust: Trust::Simulated,
            chain: Some(ChainParams {
                chain_id: CHAIN_ID,
                rpc,
                deployed_block: 0,
                finality: Finality::Finalized,
                view_age_max: VIEW_AGE_MAX,
                contracts: Contracts {
                    escrow: nowhere,
                    registry: nowhere,
                    releases: nowhere,
                    token: nowhere,
                },
                publishers: Publishers {
                    threshold: THRESHOLD as u64,
                    addresses: self.publishers.iter().map(Wallet::address).collect(),
                },
            }),
            pinned: Pinned::default(),
        }
    }
}

async fn fund_gas(chain: &Chain, to: Address) -> Result<(), ChainError> {
    chain.request("anvil_setBalance", json!([to, GAS_MONEY])).await.map(drop)
}

/// Why there is no development chain.
#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    /// The node's program.
    #[error(transparent)]
    Anvil(#[from] AnvilError),
    /// The node runs, but does not do what is asked.
    #[error("the development chain cannot be set up: {0}")]
    Chain(#[from] ChainError),
    /// The folder for log and network file.
    #[error("the folder of the development chain cannot be written: {0}")]
    Folder(io::Error),
}
