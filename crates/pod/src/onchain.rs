//! The real chain behind a pod: contracts through a node, written to by the operator's wallet.

use futures_util::FutureExt;
use subrosa_chain::{Chain, ChainError, ChannelState, ClaimRow, Depth, Mined, Wallet};
use subrosa_protocol::{Address, Amount, B256, ChannelId, ClaimBatch, Registration, Signed};
use tokio::sync::Mutex;

use crate::clock;
use crate::link::{Entry, Later, Link, LinkError, NamedBlock};

/// Up to this balance a deposit counts as soon as it is in a block; what lies above counts once it is
/// final. So much is lost at most on a channel where a reorganisation undoes its deposit.
const UNSETTLED_MAX: Amount = Amount(5_000_000);

/// A chain and the operator's wallet on it.
pub struct OnChain {
    chain: Chain,
    wallet: Wallet,
    payee: Address,
    /// The block from which withdrawals are looked for next.
    next_block: Mutex<u64>,
}

impl OnChain {
    /// A link for pods of this payee, which sees withdrawals from the newest finalised block on.
    ///
    /// Earlier ones are seen when their channel is read, as each is before anything is claimed.
    ///
    /// # Errors
    /// [`LinkError::Unreachable`] where the node gives no block.
    pub async fn new(chain: Chain, wallet: Wallet, payee: Address) -> Result<OnChain, LinkError> {
        let head = chain.finalised(clock::now()).await?;
        Ok(OnChain { chain, wallet, payee, next_block: Mutex::new(head.number) })
    }
}

impl OnChain {
    /// What of a large balance counts: all that is final, and of the rest what is risked.
    async fn settled_balance(&self, id: ChannelId, latest: Amount) -> Result<Amount, LinkError> {
        let state = self.chain.channel_at(id, Depth::Final).await?;
        let settled = state.map_or(Amount::ZERO, |state| state.balance);
        Ok(settled.max(UNSETTLED_MAX).min(latest))
    }
}

impl Link for OnChain {
    fn operator(&self) -> Address {
        self.wallet.address()
    }

    fn finalised_block(&self) -> Later<'_, NamedBlock> {
        async {
            let head = self.chain.finalised(clock::now()).await?;
            let chain_id = self.chain.domain().chain_id;
            Ok(NamedBlock { chain_id, number: head.number, hash: head.hash })
        }
        .boxed()
    }

    fn channel(&self, id: ChannelId) -> Later<'_, Option<ChannelState>> {
        async move {
            let Some(state) = self.chain.channel(id).await?.filter(|state| !state.closed) else {
                return Ok(None);
            };
            let balance = match state.balance > UNSETTLED_MAX {
                true => self.settled_balance(id, state.balance).await?,
                false => state.balance,
            };
            let ChannelState { claimed, withdraw_requested_at, .. } = state;
            Ok(Some(ChannelState { balance, claimed, withdraw_requested_at, ..state }))
        }
        .boxed()
    }

    fn withdrawals(&self) -> Later<'_, Vec<ChannelId>> {
        async {
            let mut next = self.next_block.lock().await;
            let (channels, after) = self.chain.withdrawals(self.payee, *next).await?;
            *next = after;
            Ok(channels)
        }
        .boxed()
    }

    fn balance(&self, holder: Address) -> Later<'_, Amount> {
        async move { Ok(self.chain.token_balance(holder).await?) }.boxed()
    }

    fn claim(&self, rows: Vec<ClaimRow>, batch: Signed<ClaimBatch>) -> Later<'_, Mined> {
        async move {
            let claimed = self.chain.claim_packed(&self.wallet, &rows, &batch).await?;
            Ok(claimed.mined)
        }
        .boxed()
    }

    fn settle(&self, receiver: Address) -> Later<'_, Mined> {
        async move { Ok(self.chain.settle(&self.wallet, receiver).await?) }.boxed()
    }

    fn entry(&self, id: B256) -> Later<'_, Option<Entry>> {
        async move {
            Ok(self.chain.pod(id).await?.map(|pod| Entry {
                payee: pod.payee,
                signer: pod.signer,
                offer: pod.offer,
                endpoint: pod.endpoints.into_iter().next().unwrap_or_default(),
                retired: pod.retired,
            }))
        }
        .boxed()
    }

    fn register(
        &self,
        salt: B256,
        endpoint: String,
        registration: Signed<Registration>,
    ) -> Later<'_, Mined> {
        async move {
            let id = registration.unverified().id;
            let endpoints = [endpoint];
            let done = match self.chain.pod(id).await? {
                Some(_) => self.chain.update(&self.wallet, &endpoints, &registration).await?,
                None => self.chain.register(&self.wallet, salt, &endpoints, &registration).await?,
            };
            Ok(done)
        }
        .boxed()
    }

    fn retire(&self, id: B256) -> Later<'_, Mined> {
        async move { Ok(self.chain.retire(&self.wallet, id).await?) }.boxed()
    }
}

impl From<ChainError> for LinkError {
    fn from(error: ChainError) -> LinkError {
        match error {
            ChainError::Refused { reason, .. } => LinkError::Refused { reason },
            ChainError::Unknown { hash } => LinkError::Unknown { hash },
            other => LinkError::Unreachable { reason: other.to_string() },
        }
    }
}
