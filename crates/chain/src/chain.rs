//! A connection to a chain, and how it is read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::network::TransactionBuilder;
use alloy::providers::{Provider, RootProvider};
use alloy::rpc::client::RpcClient;
use alloy::rpc::types::{Filter, Log, TransactionRequest};
use alloy::sol_types::SolCall;
use subrosa_protocol::{Address, B256, Domain, Timestamp, U256};

use crate::network::{ChainParams, Finality, Network};
use crate::send::Account;
use crate::{ChainError, Contracts};

/// A node that answers slower than this counts as not answering.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// Several blocks of any chain in use.
const RECEIPT_TIME: Duration = Duration::from_secs(60);

/// Nodes refuse to search more blocks for events at once than some bound; this is below the usual.
const LOG_BLOCKS_MAX: u64 = 5_000;

/// A connection to a network's chain. Clones share it.
///
/// Reading trusts the node behind `rpc`: it can be late or hide things, which
/// [`finalised`](Chain::finalised) bounds in time.
#[derive(Clone)]
pub struct Chain(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) provider: RootProvider,
    params: ChainParams,
    /// Whether the node is a development node that mines when told to.
    pub(crate) mines_on_demand: bool,
    /// After this long a transaction without a receipt is reported as unknown.
    pub(crate) receipt_time: Duration,
    /// One transaction a key at a time, see [`Account`].
    pub(crate) accounts: Mutex<HashMap<Address, Arc<tokio::sync::Mutex<Account>>>>,
}

/// A block, as far as anyone here needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHead {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// When it was made, by its maker's clock.
    pub timestamp: Timestamp,
}

/// How deep to read: what is new may still be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The newest final block, by the network's rule.
    Final,
    /// The newest block, which a reorganisation may undo.
    Latest,
    /// The node's tag `safe`: undone only by an attack on the chain itself.
    Safe,
}

impl Chain {
    /// Connects to the chain of a network.
    ///
    /// The process must have installed a rustls provider before (all our binaries do).
    ///
    /// # Errors
    /// [`ChainError::WrongChain`] where the node is on another chain than the file says.
    pub async fn connect(network: &Network) -> Result<Chain, ChainError> {
        Chain::connect_with(network, RECEIPT_TIME).await
    }

    /// Connects, and waits this long for a transaction to be in a block before its fate is called
    /// [unknown](ChainError::Unknown); [`connect`](Chain::connect) waits a minute.
    ///
    /// # Errors
    /// As [`connect`](Chain::connect).
    pub async fn connect_with(
        network: &Network,
        receipt_time: Duration,
    ) -> Result<Chain, ChainError> {
        let params = network.chain.clone().ok_or(ChainError::Chainless)?;
        let provider = RootProvider::new(client(&params.rpc)?);
        let got = provider.get_chain_id().await?;
        if got != params.chain_id {
            return Err(ChainError::WrongChain { got, expected: params.chain_id });
        }
        // Only where nothing is at stake is a node asked whether it takes orders.
        let mines_on_demand = network.is_simulated()
            && provider.get_client_version().await.is_ok_and(|name| name.starts_with("anvil/"));
        let accounts = Mutex::default();
        Ok(Chain(Arc::new(Inner { provider, params, mines_on_demand, receipt_time, accounts })))
    }

    /// The chain's part of the network file.
    pub fn params(&self) -> &ChainParams {
        &self.0.params
    }

    /// What signatures on this chain are bound to.
    pub fn domain(&self) -> Domain {
        self.0.params.domain()
    }

    /// The newest final block, if it is not older than the network file allows.
    ///
    /// # Errors
    /// [`ChainError::StaleView`] where it is: then nothing read from the node may be acted upon.
    pub async fn finalised(&self, now: Timestamp) -> Result<BlockHead, ChainError> {
        let head = self.at(Depth::Final).await?;
        let (age, limit) = (now.since(head.timestamp), self.0.params.view_age_max);
        if age > limit {
            return Err(ChainError::StaleView { age, limit });
        }
        Ok(head)
    }

    /// The newest block at this depth, however old.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not give it.
    pub async fn at(&self, depth: Depth) -> Result<BlockHead, ChainError> {
        let tag = match (depth, self.0.params.finality) {
            (Depth::Latest, _) => BlockNumberOrTag::Latest,
            (Depth::Safe, _) => BlockNumberOrTag::Safe,
            (Depth::Final, Finality::Finalized) => BlockNumberOrTag::Finalized,
            (Depth::Final, Finality::Confirmations(blocks)) => {
                let head = self.0.provider.get_block_number().await?;
                BlockNumberOrTag::Number(head.saturating_sub(blocks))
            }
        };
        self.head(tag).await?.ok_or(ChainError::Malformed { what: "eth_getBlockByNumber" })
    }

    /// The block of this height on the node's present chain, if there is one.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not answer.
    pub async fn block(&self, number: u64) -> Result<Option<BlockHead>, ChainError> {
        self.head(BlockNumberOrTag::Number(number)).await
    }

    /// What an address holds of the chain's own coin, in wei: it pays for gas.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not answer.
    pub async fn gas_balance(&self, holder: Address) -> Result<U256, ChainError> {
        Ok(self.0.provider.get_balance(holder).await?)
    }

    /// Sends any JSON-RPC request: for development nodes, whose own methods have no name here.
    ///
    /// # Errors
    /// [`ChainError`] where the node refuses it or does not answer.
    pub async fn request(
        &self,
        method: &'static str,
        params: serde_json::Value,
    ) -> Result<serde_json::Value, ChainError> {
        Ok(self.0.provider.raw_request(method.into(), params).await?)
    }

    async fn head(&self, tag: BlockNumberOrTag) -> Result<Option<BlockHead>, ChainError> {
        let block = self.0.provider.get_block_by_number(tag).await?;
        Ok(block.map(|block| BlockHead {
            number: block.header.number,
            hash: block.header.hash,
            timestamp: Timestamp(block.header.timestamp),
        }))
    }

    pub(crate) fn contracts(&self) -> &Contracts {
        &self.0.params.contracts
    }

    /// Reads from a contract, as it was in the given block.
    pub(crate) async fn read<C: SolCall>(
        &self,
        contract: Address,
        call: C,
        at: &BlockHead,
    ) -> Result<C::Return, ChainError> {
        let request = TransactionRequest::default().with_to(contract).with_input(call.abi_encode());
        let answer = self.0.provider.call(request).block(BlockId::hash(at.hash)).await?;
        C::abi_decode_returns_validate(&answer)
            .map_err(|_| ChainError::Malformed { what: C::SIGNATURE })
    }

    /// All logs of a filter from one block to another, both included, however far apart they are.
    pub(crate) async fn logs(
        &self,
        filter: Filter,
        from: u64,
        to: u64,
    ) -> Result<Vec<Log>, ChainError> {
        let mut logs = Vec::new();
        let mut start = from;
        while start <= to {
            let end = to.min(start.saturating_add(LOG_BLOCKS_MAX - 1));
            let range = filter.clone().from_block(start).to_block(end);
            logs.extend(self.0.provider.get_logs(&range).await?);
            start = end.saturating_add(1);
        }
        Ok(logs)
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Chain").field(&self.0.params.chain_id).finish()
    }
}

fn client(rpc: &str) -> Result<RpcClient, ChainError> {
    let unreachable = |reason: String| ChainError::Unreachable { reason };
    let url: reqwest::Url =
        rpc.parse().map_err(|_| unreachable("rpc in the network file is no URL".into()))?;
    let builder =
        reqwest::Client::builder().timeout(ANSWER_TIME).redirect(reqwest::redirect::Policy::none());
    // Without TLS the machine's certificates need not even exist.
    let builder = if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
    // A node on this machine is reached directly, whatever proxy leads out of it.
    let here = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    let builder = if here { builder.no_proxy() } else { builder };
    let http = builder.build().map_err(|error| unreachable(error.to_string()))?;
    Ok(RpcClient::new_http_with_client(http, url))
}
