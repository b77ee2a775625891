//! What is kept, without a wallet and without a network: for those who only look it up.

use std::path::Path;

use serde::Serialize;
use subrosa_channel::payer::Ledger;
use subrosa_protocol::{Address, Amount, ChannelId, Domain, RequestId};
use subrosa_store::{Store, payer as tables};

use crate::client::{RecordsError, receipt_view};
use crate::config::OpenError;
use crate::export::Bundle;
use crate::kept;
use crate::view::ReceiptView;
use crate::visit::now;

/// The receipts in a state directory. It holds the directory's lock.
pub struct Records {
    store: Store,
    domain: Domain,
}

impl Records {
    /// Opens a client's state directory.
    ///
    /// # Errors
    /// [`OpenError::Store`] where a client has it open, or it cannot be read.
    pub fn open(state_dir: &Path, domain: Domain) -> Result<Records, OpenError> {
        let store = Store::open(state_dir, &[subrosa_store::payer::ROOM, kept::ROOM])?;
        Ok(Records { store, domain })
    }

    /// Every receipt that is kept, the newest first.
    ///
    /// # Errors
    /// [`RecordsError`] where the state directory cannot be read.
    pub async fn receipts(&self) -> Result<Vec<ReceiptView>, RecordsError> {
        let rows = self.store.read(kept::receipts).await.map_err(|_| RecordsError::Store)?;
        Ok(rows.iter().map(|(order, pod, receipt)| receipt_view(*order, *pod, receipt)).collect())
    }

    /// One receipt with all that it takes to check it offline; none where none is kept.
    ///
    /// # Errors
    /// [`RecordsError`] where the state directory cannot be read.
    pub async fn export(&self, order: RequestId) -> Result<Option<Bundle>, RecordsError> {
        let find = move |db: &rusqlite::Connection| kept::find(db, order);
        let kept = self.store.read(find).await.map_err(|_| RecordsError::Store)?;
        Ok(kept.and_then(|kept| Bundle::of(kept, &self.domain, now())))
    }

    /// The channels that are kept, as far as they were seen: the chain is not asked.
    ///
    /// # Errors
    /// [`RecordsError`] where the state directory cannot be read.
    pub async fn channels(&self) -> Result<Vec<KeptChannel>, RecordsError> {
        let kept = self.store.read(|db| tables::load(db, now())).await;
        let ledgers = kept.map_err(|_| RecordsError::Store)?;
        let ledgers = ledgers.into_iter().filter_map(|kept| Ledger::restore(self.domain, kept));
        Ok(ledgers.filter_map(|ledger| KeptChannel::of(&ledger, &self.domain)).collect())
    }

    /// Closes the state directory.
    pub async fn close(self) {
        self.store.close().await;
    }
}

/// A channel in the ledgers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptChannel {
    /// The channel.
    pub channel: ChannelId,
    /// Whose deposit lies in it.
    pub payer: Address,
    /// The key of the pod that it pays.
    pub signer: Address,
    /// What lay in it when it was last looked at.
    pub balance: Amount,
    /// What was signed away at most.
    pub ceiling: Amount,
    /// What receipts say was charged.
    pub charged: Amount,
}

impl KeptChannel {
    /// The channel of a ledger; none where callers do not pay.
    fn of(ledger: &Ledger, domain: &Domain) -> Option<KeptChannel> {
        let config = ledger.config()?;
        Some(KeptChannel {
            channel: config.id(domain),
            payer: config.payer,
            signer: ledger.signer(),
            balance: ledger.balance(),
            ceiling: ledger.ceiling(),
            charged: ledger.charged(),
        })
    }
}
