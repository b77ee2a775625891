//! What every request and every task of one pod shares.

use std::sync::Arc;

use subrosa_engine::Engine;
use subrosa_protocol::{Domain, SecretKey};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::book::Book;
use crate::claimer::Claimer;
use crate::evidence::EvidenceDesk;
use crate::keys::KeyDesk;
use crate::memory::Memory;
use crate::offer::OfferDesk;
use crate::world::World;

/// The pod, as its tasks see it.
pub(crate) struct Core {
    /// Where signatures count.
    pub(crate) domain: Domain,
    /// The attested key.
    pub(crate) signer: SecretKey,
    /// What generates the answers.
    pub(crate) engine: Engine,
    /// Offers and the terms that they make.
    pub(crate) offer: OfferDesk,
    /// Evidence.
    pub(crate) evidence: EvidenceDesk,
    /// Sealing keys.
    pub(crate) keys: KeyDesk,
    /// The ledger.
    pub(crate) book: Book,
    /// Claims what is owed; where there is a chain.
    pub(crate) claimer: Option<Claimer>,
    /// The chain, if there is one.
    pub(crate) world: World,
    /// Answers and signatures that are kept for minutes, in memory only.
    pub(crate) memory: Memory,
    /// Places for requests in flight.
    pub(crate) asks: Arc<Semaphore>,
    /// Conversations and pacers, which outlive their connection.
    pub(crate) tasks: TaskTracker,
}
