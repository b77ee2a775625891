//! What the pod knows of the chain, and how recent that is.

use subrosa_channel::payee::ChainView;
use subrosa_protocol::{Amount, B256, ChannelConfig};

/// The chain behind the pod, or none.
#[derive(Clone)]
pub(crate) enum World {
    /// A network without a chain.
    Chainless,
}

/// A block that evidence names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NamedBlock {
    pub(crate) chain_id: u64,
    pub(crate) number: u64,
    pub(crate) hash: B256,
}

impl World {
    /// The newest finalised block; all zero without a chain.
    pub(crate) async fn finalised_block(&self) -> Result<NamedBlock, WorldError> {
        match self {
            World::Chainless => Ok(NamedBlock { chain_id: 0, number: 0, hash: B256::ZERO }),
        }
    }

    /// A channel as the chain has it, at most 30 s old; `None` where it is not there.
    pub(crate) async fn channel(
        &self,
        config: &ChannelConfig,
    ) -> Result<Option<ChainView>, WorldError> {
        let _ = config;
        match self {
            World::Chainless => Ok(None),
        }
    }

    /// What was claimed from a channel when it was last looked at.
    pub(crate) fn claimed(&self, config: Option<&ChannelConfig>) -> Amount {
        let _ = config;
        match self {
            World::Chainless => Amount::ZERO,
        }
    }
}

/// Why the chain says nothing.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {}
