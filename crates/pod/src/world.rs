//! What the pod knows of the chain, and how recent that is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use subrosa_channel::payee::ChainView;
use subrosa_protocol::{Amount, ChannelConfig, ChannelId, Domain, Duration};

use crate::clock;
use crate::link::{Link, LinkError, NamedBlock};

/// A view this young is used as it is; the ledger refuses one older than 30 s.
const VIEW_FRESH: Duration = Duration(10);

/// Channels whose view is kept; past it the whole cache is dropped, which costs one read each.
const VIEWS_MAX: usize = 65_536;

/// The chain behind the pod, or none.
#[derive(Clone)]
pub(crate) enum World {
    /// A network without a chain.
    Chainless,
    /// A chain, and the channels as they were last read.
    Chain(Arc<Views>),
}

/// The channels as they were last read.
pub(crate) struct Views {
    link: Arc<dyn Link>,
    domain: Domain,
    views: Mutex<HashMap<ChannelId, ChainView>>,
}

impl World {
    pub(crate) fn new(link: Option<Arc<dyn Link>>, domain: Domain) -> World {
        match link {
            Some(link) => World::Chain(Arc::new(Views { link, domain, views: Mutex::default() })),
            None => World::Chainless,
        }
    }

    /// The newest finalised block; all zero without a chain.
    pub(crate) async fn finalised_block(&self) -> Result<NamedBlock, LinkError> {
        match self {
            World::Chain(views) => views.link.finalised_block().await,
            World::Chainless => Ok(NamedBlock::default()),
        }
    }

    /// A channel as the chain has it; `None` where it is not there.
    pub(crate) async fn channel(
        &self,
        config: &ChannelConfig,
    ) -> Result<Option<ChainView>, LinkError> {
        match self {
            World::Chain(views) => views.channel(config.id(&views.domain)).await,
            World::Chainless => Ok(None),
        }
    }

    /// Reads a channel anew when it is next asked for: the payer may have deposited meanwhile.
    pub(crate) fn forget(&self, config: &ChannelConfig) {
        if let World::Chain(views) = self {
            views.forget(config.id(&views.domain));
        }
    }

    /// What was claimed from a channel when it was last read.
    pub(crate) fn claimed(&self, config: Option<&ChannelConfig>) -> Amount {
        match (self, config) {
            (World::Chain(views), Some(config)) => {
                let id = config.id(&views.domain);
                views.lock().get(&id).map_or(Amount::ZERO, |view| view.claimed)
            }
            _ => Amount::ZERO,
        }
    }
}

impl Views {
    /// A channel, read anew where what is kept is not fresh.
    pub(crate) async fn channel(&self, id: ChannelId) -> Result<Option<ChainView>, LinkError> {
        let kept = self.lock().get(&id).copied();
        match kept {
            Some(view) if clock::now().since(view.seen_at) <= VIEW_FRESH => Ok(Some(view)),
            _ => self.read(id).await,
        }
    }

    /// Reads a channel from the chain, whatever is kept of it. What is not there is not kept.
    pub(crate) async fn read(&self, id: ChannelId) -> Result<Option<ChainView>, LinkError> {
        // The time is taken before the question: a view is never younger than it says.
        let seen_at = clock::now();
        let state = self.link.channel(id).await?;
        let view = state.map(|state| ChainView {
            balance: state.balance,
            claimed: state.claimed,
            withdraw_requested_at: state.withdraw_requested_at,
            seen_at,
        });
        let mut views = self.lock();
        if views.len() >= VIEWS_MAX {
            views.clear();
        }
        match view {
            Some(view) => views.insert(id, view),
            None => views.remove(&id),
        };
        Ok(view)
    }

    /// Reads a channel anew when it is next asked for.
    pub(crate) fn forget(&self, id: ChannelId) {
        self.lock().remove(&id);
    }

    /// Where signatures count.
    pub(crate) fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The chain itself.
    pub(crate) fn link(&self) -> &Arc<dyn Link> {
        &self.link
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelId, ChainView>> {
        self.views.lock().expect("no holder of this lock panics")
    }
}
