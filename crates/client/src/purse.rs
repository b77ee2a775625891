//! The payer's money: one ledger a pod, channels opened and filled as they are needed.
//!
//! A channel's config is on disk before its deposit leaves, so that a crash in between loses no deposit: the
//! next start finds the config and reads from the chain what lies under it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Transaction;
use subrosa_chain::{Chain, ChainError, ChannelState, Wallet};
use subrosa_channel::payer::{Ledger, Record};
use subrosa_protocol::{Address, Amount, B256, ChannelConfig, Domain};
use subrosa_store::{Pending, Store, payer as tables};
use subrosa_verifier::AttestedOffer;

use crate::config::OpenError;
use crate::pod::lock;
use crate::visit::now;

/// How often, and how many times, to look whether a deposit arrived whose transaction is not known yet.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const LOOKS_MAX: usize = 20;

/// An account with one pod.
pub(crate) struct Account {
    pub(crate) ledger: Mutex<Ledger>,
    /// Held while money moves on chain, so that two questions do not deposit twice, and until an order
    /// has reserved what was found, so that no other question takes it first.
    filling: tokio::sync::Mutex<()>,
    signer: Address,
    /// What the chain said of the channel when it was last looked at; none before.
    standing: Mutex<Option<Standing>>,
}

/// Whether a channel can pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Emptied, which is for good: no deposit enters it again.
    Closed,
    /// It takes deposits, and its pod takes vouchers on it.
    Open,
    /// The payer takes tokens back, so its pod takes no voucher on it.
    Withdrawing,
}

/// An account whose money nobody else moves or reserves meanwhile.
pub(crate) struct Held<'a> {
    _filling: tokio::sync::MutexGuard<'a, ()>,
}

/// Every account of one payer.
pub(crate) struct Purse {
    domain: Domain,
    wallet: Wallet,
    chain: Option<Chain>,
    store: Store,
    deposit: Amount,
    accounts: Mutex<HashMap<Address, Vec<Arc<Account>>>>,
    /// Held while it is found out whether an account can pay, so that two questions do not open two.
    opening: tokio::sync::Mutex<()>,
}

/// Why there is no money for a question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FundsError {
    #[error("the chain: {0}")]
    Chain(String),
    #[error("the wallet holds {have} of the token, {needed} are needed: fund {payer}")]
    Empty { have: Amount, needed: Amount, payer: Address },
    #[error("a deposit was sent and is not in a block yet; try again in a minute")]
    Pending,
    #[error("the state directory takes no more writes")]
    Store,
}

impl From<ChainError> for FundsError {
    fn from(error: ChainError) -> FundsError {
        match error {
            ChainError::Unknown { .. } => FundsError::Pending,
            other => FundsError::Chain(other.to_string()),
        }
    }
}

impl Purse {
    /// Reads the ledgers that are kept.
    pub(crate) async fn open(
        domain: Domain,
        wallet: Wallet,
        chain: Option<Chain>,
        store: Store,
        deposit: Amount,
    ) -> Result<Purse, OpenError> {
        let kept = store.read(|db| tables::load(db, now())).await?;
        let mut accounts: HashMap<Address, Vec<Arc<Account>>> = HashMap::new();
        for records in kept {
            let ledger = Ledger::restore(domain, records).ok_or(OpenError::Ledger)?;
            accounts.entry(ledger.signer()).or_default().push(Arc::new(Account::new(ledger)));
        }
        let (accounts, opening) = (Mutex::new(accounts), tokio::sync::Mutex::new(()));
        Ok(Purse { domain, wallet, chain, store, deposit, accounts, opening })
    }

    pub(crate) fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    pub(crate) fn domain(&self) -> &Domain {
        &self.domain
    }

    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        lock(&self.accounts).values().flatten().cloned().collect()
    }

    /// The account with this signer that an offer's terms fit and that can pay; opened where there is none.
    /// The chain is asked unless it said before that the channel is open, and `needed` lies in it.
    pub(crate) async fn account(
        &self,
        offer: &AttestedOffer,
        needed: Amount,
    ) -> Result<Arc<Account>, FundsError> {
        let ready = |account: &Arc<Account>| self.is_ready(account, needed);
        if let Some(account) = self.fitting(offer).into_iter().find(ready) {
            return Ok(account);
        }
        let _opening = self.opening.lock().await;
        for account in self.fitting(offer) {
            if self.is_ready(&account, needed) || self.looks_open(&account).await? {
                return Ok(account);
            }
        }
        let (ledger, record) = self.open_ledger(offer);
        let signer = ledger.signer();
        let account = Arc::new(Account::new(ledger));
        // Nothing lies under a salt that was never used.
        *lock(&account.standing) = Some(Standing::Open);
        let pending = {
            let mut accounts = lock(&self.accounts);
            accounts.entry(signer).or_default().push(Arc::clone(&account));
            self.store.write(move |db| tables::append(db, signer, &[record]))
        };
        pending.await.map_err(|_| FundsError::Store)?;
        Ok(account)
    }

    /// The accounts with this signer that an offer's terms fit.
    fn fitting(&self, offer: &AttestedOffer) -> Vec<Arc<Account>> {
        let accounts = lock(&self.accounts);
        let known = accounts.get(&offer.signer).into_iter().flatten();
        known.filter(|account| account.fits(offer)).cloned().collect()
    }

    /// Whether the account can pay, as far as is known without asking.
    fn is_ready(&self, account: &Account, needed: Amount) -> bool {
        let free = self.chain.is_none() || account.config().is_none();
        free || (account.standing() == Some(Standing::Open) && account.available() >= needed)
    }

    /// Asks the chain whether the channel takes deposits and vouchers.
    async fn looks_open(&self, account: &Account) -> Result<bool, FundsError> {
        let (Some(chain), Some(config)) = (&self.chain, account.config()) else { return Ok(true) };
        // What is closed stays so.
        if account.standing() == Some(Standing::Closed) {
            return Ok(false);
        }
        self.read_balance(account, chain, &config).await?;
        Ok(account.standing() == Some(Standing::Open))
    }

    fn open_ledger(&self, offer: &AttestedOffer) -> (Ledger, Record) {
        if self.domain.is_chainless() {
            return Ledger::open_free(self.domain, self.wallet.address(), offer.signer);
        }
        let config = ChannelConfig {
            payer: self.wallet.address(),
            payer_authorizer: self.wallet.address(),
            receiver: offer.payee,
            receiver_authorizer: offer.signer,
            token: offer.token,
            withdraw_delay: offer.withdraw_delay,
            salt: salt(),
        };
        Ledger::open_channel(self.domain, config)
    }

    /// Makes sure that the account can reserve `needed` more, depositing where it cannot. Reserve it
    /// while what is returned is held.
    pub(crate) async fn fill<'a>(
        &self,
        account: &'a Account,
        needed: Amount,
    ) -> Result<Held<'a>, FundsError> {
        let held = account.hold().await;
        let (Some(chain), Some(config)) = (&self.chain, account.config()) else { return Ok(held) };
        if account.available() >= needed {
            return Ok(held);
        }
        // An earlier deposit may be on its way still: what it brings must not be paid once more.
        chain.clear_pending(&self.wallet).await?;
        let deposited = self.read_balance(account, chain, &config).await?;
        if account.available() >= needed {
            return Ok(held);
        }
        let missing = needed.saturating_sub(account.available());
        let amount = self.deposit.max(missing);
        let have = chain.token_balance(self.wallet.address()).await?;
        if have < amount {
            let payer = self.wallet.address();
            return Err(FundsError::Empty { have, needed: amount, payer });
        }
        self.on_disk().await?;
        match chain.deposit(&self.wallet, &config, amount).await {
            Ok(_) | Err(ChainError::Unknown { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // A transaction that is not known yet is no failure: paying again could pay twice.
        for _ in 0..LOOKS_MAX {
            if self.read_balance(account, chain, &config).await? > deposited {
                return Ok(held);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(FundsError::Pending)
    }

    /// Returns once everything that was queued so far is on disk. Before every deposit: whoever found
    /// the account open already has not waited for its config to be written, and without the config
    /// the deposit is lost.
    pub(crate) async fn on_disk(&self) -> Result<(), FundsError> {
        self.store.write(|_| Ok(())).await.map(|_| ()).map_err(|_| FundsError::Store)
    }

    pub(crate) async fn read_balance(
        &self,
        account: &Account,
        chain: &Chain,
        config: &ChannelConfig,
    ) -> Result<Amount, FundsError> {
        let state = chain.channel(config.id(&self.domain)).await?;
        *lock(&account.standing) = Some(Standing::of(state.as_ref()));
        let balance = state.map_or(Amount::ZERO, |state| state.balance);
        if balance != account.balance() {
            let ((), pending) =
                self.step(account, |ledger| ((), vec![ledger.fund(balance)], nothing_more()));
            pending.await.map_err(|_| FundsError::Store)?;
        }
        Ok(balance)
    }

    /// Takes a step of the ledger and queues its records under the ledger's lock, so that the disk has what
    /// the ledger did in the order in which it did it. Await what is returned before the effect leaves.
    pub(crate) fn step<R>(
        &self,
        account: &Account,
        step: impl FnOnce(&mut Ledger) -> (R, Vec<Record>, More),
    ) -> (R, Pending<()>) {
        let mut ledger = lock(&account.ledger);
        let (result, records, more) = step(&mut ledger);
        let signer = account.signer;
        let pending = self.store.write(move |db| {
            tables::append(db, signer, &records)?;
            more(db)
        });
        (result, pending)
    }
}

/// What else belongs into the transaction of a ledger's step.
pub(crate) type More = Box<dyn FnOnce(&Transaction<'_>) -> rusqlite::Result<()> + Send>;

/// Nothing else.
pub(crate) fn nothing_more() -> More {
    Box::new(|_| Ok(()))
}

impl Account {
    fn new(ledger: Ledger) -> Account {
        let signer = ledger.signer();
        let (ledger, standing) = (Mutex::new(ledger), Mutex::new(None));
        Account { ledger, filling: tokio::sync::Mutex::new(()), signer, standing }
    }

    /// The channel may not be what it was: the chain is asked before it pays again.
    pub(crate) fn doubt(&self) {
        let mut standing = lock(&self.standing);
        *standing = standing.filter(|standing| *standing == Standing::Closed);
    }

    fn standing(&self) -> Option<Standing> {
        *lock(&self.standing)
    }

    /// Waits until nobody else moves this account's money.
    pub(crate) async fn hold(&self) -> Held<'_> {
        Held { _filling: self.filling.lock().await }
    }

    pub(crate) fn signer(&self) -> Address {
        self.signer
    }

    pub(crate) fn config(&self) -> Option<ChannelConfig> {
        lock(&self.ledger).config().cloned()
    }

    fn available(&self) -> Amount {
        lock(&self.ledger).available()
    }

    fn balance(&self) -> Amount {
        lock(&self.ledger).balance()
    }

    /// Whether a channel has the terms that the offer demands; a free account always fits.
    fn fits(&self, offer: &AttestedOffer) -> bool {
        self.config().is_none_or(|config| {
            config.receiver == offer.payee
                && config.token == offer.token
                && config.withdraw_delay == offer.withdraw_delay
        })
    }
}

impl Standing {
    fn of(state: Option<&ChannelState>) -> Standing {
        match state {
            Some(state) if state.closed => Standing::Closed,
            Some(state) if state.withdraw_requested_at.is_some() => Standing::Withdrawing,
            _ => Standing::Open,
        }
    }
}

/// Every channel has a salt of its own: one that was closed never opens again.
fn salt() -> B256 {
    B256::from(rand::random::<[u8; 32]>())
}
