//! Which images and weights are released.

use std::collections::BTreeSet;

use subrosa_protocol::{B256, Timestamp, U256};

use crate::bindings::releases::Releases;
use crate::send::Mined;
use crate::{BlockHead, Chain, ChainError, Depth, Wallet};

/// How many entries are read at once.
const PAGE: u64 = 200;

/// What a released digest stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The measurement of an image.
    Measurement,
    /// The digest of a model's manifest.
    Model,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Kind::Measurement => 0,
            Kind::Model => 1,
        }
    }
}

/// The releases that count: published, their delay over, not revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseSet {
    /// Measurements of images.
    pub measurements: BTreeSet<B256>,
    /// Digests of models.
    pub models: BTreeSet<B256>,
    /// The final block in which they were read.
    pub at: BlockHead,
}

impl Chain {
    /// The releases that count at the newest final block, less those that were revoked since: a
    /// revocation counts as soon as it is seen.
    ///
    /// # Errors
    /// [`ChainError::StaleView`] where that block is older than the network file allows.
    pub async fn releases(&self, now: Timestamp) -> Result<ReleaseSet, ChainError> {
        let at = self.finalised(now).await?;
        let head = self.at(Depth::Latest).await?;
        let (measurements, models) = tokio::try_join!(
            self.released(Kind::Measurement, &at, &head),
            self.released(Kind::Model, &at, &head),
        )?;
        Ok(ReleaseSet { measurements, models, at })
    }

    /// Approves a digest as one of the publishers.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction.
    pub async fn approve_release(
        &self,
        wallet: &Wallet,
        kind: Kind,
        digest: B256,
    ) -> Result<Mined, ChainError> {
        let call = Releases::approveCall { kind: kind.number(), digest };
        Ok(self.call(wallet, self.contracts().releases, call).await?.mined)
    }

    /// Revokes a digest as one of the publishers, at once and for good.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction.
    pub async fn revoke_release(
        &self,
        wallet: &Wallet,
        kind: Kind,
        digest: B256,
    ) -> Result<Mined, ChainError> {
        let call = Releases::revokeCall { kind: kind.number(), digest };
        Ok(self.call(wallet, self.contracts().releases, call).await?.mined)
    }

    async fn released(
        &self,
        kind: Kind,
        at: &BlockHead,
        head: &BlockHead,
    ) -> Result<BTreeSet<B256>, ChainError> {
        let mut active = BTreeSet::new();
        for (digest, release) in self.published(kind, at).await? {
            let due = release.activeAt != 0 && release.activeAt <= at.timestamp.0;
            if due && !release.revoked {
                active.insert(digest);
            }
        }
        for (digest, release) in self.published(kind, head).await? {
            if release.revoked {
                active.remove(&digest);
            }
        }
        Ok(active)
    }

    async fn published(
        &self,
        kind: Kind,
        at: &BlockHead,
    ) -> Result<Vec<(B256, crate::bindings::releases::IReleases::Release)>, ChainError> {
        let mut found = Vec::new();
        loop {
            let call = Releases::publishedCall {
                kind: kind.number(),
                offset: U256::from(found.len()),
                limit: U256::from(PAGE),
            };
            let page = self.read(self.contracts().releases, call, at).await?;
            let count = page.digests.len() as u64;
            found.extend(page.digests.into_iter().zip(page.page));
            if count < PAGE {
                return Ok(found);
            }
        }
    }
}
