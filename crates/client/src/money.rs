//! Money that its owner moves by hand: into a channel, and out of it again.

use std::sync::Arc;

use subrosa_chain::{Chain, ChainError, Mined};
use subrosa_protocol::{Amount, B256, ChannelConfig, ChannelId};

use crate::client::Client;
use crate::pod::lock;
use crate::purse::{Account, FundsError};
use crate::view::ChannelView;

impl Client {
    /// Puts `amount` into the channel with a pod, which is opened where there is none.
    ///
    /// # Errors
    /// [`MoneyError`]; after [`MoneyError::Chain`] look at the balance before doing it again.
    pub async fn deposit(&self, pod: B256, amount: Amount) -> Result<ChannelView, MoneyError> {
        let inner = self.inner();
        let chain = inner.chain().ok_or(MoneyError::Chainless)?;
        let pods = inner.directory.accepted();
        let accepted = pods.iter().find(|accepted| accepted.id == pod);
        let offer = &accepted.ok_or(MoneyError::PodNotAccepted { pod })?.offer;
        // More than any channel holds, so that the chain is asked whether this one takes deposits.
        let account = inner.purse.account(offer, Amount(u128::MAX)).await?;
        let config = account.config().ok_or(MoneyError::Chainless)?;
        let _held = account.hold().await;
        inner.purse.on_disk().await?;
        chain.deposit(inner.purse.wallet(), &config, amount).await?;
        let balance = inner.purse.read_balance(&account, chain, &config).await?;
        let ledger = lock(&account.ledger);
        let channel = config.id(inner.purse.domain());
        let (ceiling, charged) = (ledger.ceiling(), ledger.charged());
        Ok(ChannelView { channel, pod, balance, ceiling, charged })
    }

    /// Begins to take tokens back out of a channel: `amount`, else all that no receipt has charged.
    /// The pod has the channel's delay to claim what it earned.
    ///
    /// # Errors
    /// [`MoneyError`].
    pub async fn begin_withdrawal(
        &self,
        channel: ChannelId,
        amount: Option<Amount>,
    ) -> Result<Mined, MoneyError> {
        let (chain, account, config) = self.own(channel)?;
        let unspent = {
            let ledger = lock(&account.ledger);
            ledger.balance().saturating_sub(ledger.charged())
        };
        let wallet = self.inner().purse.wallet();
        let begun = chain.initiate_withdraw(wallet, &config, amount.unwrap_or(unspent)).await;
        // Whatever is known of the transaction: from now on the next question looks first.
        account.doubt();
        Ok(begun?)
    }

    /// Finishes a withdrawal whose delay is over.
    ///
    /// # Errors
    /// [`MoneyError`].
    pub async fn finish_withdrawal(&self, channel: ChannelId) -> Result<Mined, MoneyError> {
        let (chain, account, config) = self.own(channel)?;
        let purse = &self.inner().purse;
        let _held = account.hold().await;
        let mined = chain.finalize_withdraw(purse.wallet(), &config).await?;
        purse.read_balance(&account, chain, &config).await?;
        Ok(mined)
    }

    fn own(&self, id: ChannelId) -> Result<(&Chain, Arc<Account>, ChannelConfig), MoneyError> {
        let inner = self.inner();
        let chain = inner.chain().ok_or(MoneyError::Chainless)?;
        for account in inner.purse.accounts() {
            if let Some(config) = account.config()
                && config.id(inner.purse.domain()) == id
            {
                return Ok((chain, account, config));
            }
        }
        Err(MoneyError::NoChannel { channel: id })
    }
}

/// Why money was not moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The chain refuses, or cannot be reached.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// There is nothing to move.
    #[error("this network has no chain, so nobody pays and nothing is deposited")]
    Chainless,
    /// The channel cannot be opened or read.
    #[error("the channel cannot be used: {reason}")]
    Channel {
        /// What is wrong.
        reason: String,
    },
    /// No channel of that id is known here.
    #[error("no channel {channel} is known here; `subrosa wallet show` lists those that are")]
    NoChannel {
        /// The channel.
        channel: ChannelId,
    },
    /// Money goes to pods only whose evidence was accepted.
    #[error("pod {pod} is not accepted, see `subrosa pods`; nothing was deposited")]
    PodNotAccepted {
        /// The pod.
        pod: B256,
    },
}

impl From<FundsError> for MoneyError {
    fn from(error: FundsError) -> MoneyError {
        MoneyError::Channel { reason: error.to_string() }
    }
}
