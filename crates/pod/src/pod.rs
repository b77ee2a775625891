//! The pod as a whole: started in one order, stopped in another.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use subrosa_attester::Attester;
use subrosa_chain::Network;
use subrosa_engine::Engine;
use subrosa_protocol::{Address, B256, Domain, Offer, Signed, workload_digest};
use subrosa_store::{Store, payee};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ask::ASKS_MAX;
use crate::book::Book;
use crate::claimer::{ClaimError, ClaimReport, Claimer};
use crate::clock;
use crate::config::PodConfig;
use crate::core::Core;
use crate::due::Occasion;
use crate::evidence::EvidenceDesk;
use crate::keys::{KeyDesk, KeySigner};
use crate::link::{Link, LinkError};
use crate::memory::Memory;
use crate::offer::{OfferDesk, OfferPlan, model_offer};
use crate::offers;
use crate::registrar::Registrar;
use crate::server::Server;
use crate::signer::Signer;
use crate::start::StartError;
use crate::steps::{StepHook, Steps};
use crate::tls::TlsIdentity;
use crate::world::{Views, World};
use crate::{outside, slips, workload};

/// How often memory and ledger are looked through for what has lapsed.
const SWEEP: Duration = Duration::from_secs(60);

/// How often an offer is looked at for its end.
const OFFER_WATCH: Duration = Duration::from_secs(3_600);

/// After the pod stops accepting, conversations get this long to end by themselves.
const CONVERSATIONS_TIME: Duration = Duration::from_secs(60);

/// What a pod is made of besides its configuration.
pub struct Deps {
    /// The network that it serves.
    pub network: Network,
    /// What generates the answers.
    pub engine: Engine,
    /// Where evidence comes from.
    pub attester: Attester,
    /// The chain, with the operator's wallet; on a network with a chain.
    pub link: Option<Arc<dyn Link>>,
    /// A listener of the caller's own, in place of the configuration's address.
    pub listener: Option<TcpListener>,
    /// Told of every durable step; for tests alone, see [`Step`](crate::Step).
    pub steps: Option<StepHook>,
}

/// A running pod.
pub struct Pod {
    core: Arc<Core>,
    server: Server,
    address: SocketAddr,
    registrar: Option<Registrar>,
    simulated: bool,
    stop: CancellationToken,
    background: TaskTracker,
}

impl Pod {
    /// Starts a pod. It returns when the pod listens and can answer.
    ///
    /// # Errors
    /// [`StartError`] naming what is missing or wrong; nothing keeps running then.
    pub async fn bind(config: PodConfig, deps: Deps) -> Result<Pod, StartError> {
        let Deps { network, engine, attester, link, listener, steps } = deps;
        check(&config, &network, &attester, link.is_some())?;
        let listener = match listener {
            Some(listener) => listener,
            None => TcpListener::bind(config.listen).await.map_err(StartError::Listen)?,
        };
        let now = clock::now();
        let simulated = attester.is_simulated();
        let signer = Signer::open(&config.signer_file, now)?;
        let workload = workload::describe(&config, &engine).to_bytes();
        let workload_digest = workload_digest(&signer.keyset, &workload);
        let domain = network.domain();
        let world = World::new(link, domain);

        let store = Store::open(&config.state_dir, &[payee::ROOM, offers::ROOM])?;
        let kept = store.read_blocking(|db| offers::running(db, now))?;
        let book = Book::open(domain, store, Steps::new(steps), now)?;
        let plan = OfferPlan {
            domain,
            token: network.chain.as_ref().map_or(Address::ZERO, |chain| chain.contracts.token),
            payee: config.payee,
            withdraw_delay: config.withdraw_delay,
            workload: workload_digest,
            models: engine
                .models()
                .iter()
                .map(|model| model_offer(model, config.price()))
                .collect(),
            weeks: config.offer_weeks,
            allow_list: config.allow_list.clone(),
        };
        let (offer, is_new) = OfferDesk::open(plan, signer.key.clone(), kept, now);
        if is_new {
            book.keep_offer(&offer.current(), &domain).await?;
        }
        let evidence =
            EvidenceDesk::open(attester, world.clone(), signer.keyset.clone(), workload).await?;
        let tls = TlsIdentity::generate()?;
        let keys = KeyDesk::new(KeySigner {
            key: signer.key.clone(),
            domain,
            tls_key: tls.spki,
            workload: workload_digest,
        });
        let claimer = match &world {
            World::Chain(views) => {
                Some(Claimer::new(Arc::clone(views), config.payee, config.claims))
            }
            World::Chainless => None,
        };
        let core = Arc::new(Core {
            domain,
            signer: signer.key,
            engine,
            offer,
            evidence,
            keys,
            book,
            claimer,
            world,
            memory: Memory::new(),
            asks: Arc::new(Semaphore::new(ASKS_MAX)),
            tasks: TaskTracker::new(),
        });
        let server = Server::start(listener, tls.server, outside::router(Arc::clone(&core)))
            .map_err(StartError::Listen)?;
        let address = server.address();
        let endpoint = match config.endpoint.as_str() {
            "" => format!("https://{address}"),
            endpoint => endpoint.to_owned(),
        };
        let registrar = network.chain.as_ref().map(|chain| Registrar {
            registry: chain.contracts.registry,
            payee: config.payee,
            salt: config.salt,
            endpoint,
            domain,
        });
        let (stop, background) = (CancellationToken::new(), TaskTracker::new());
        let pod = Pod { core, server, address, registrar, simulated, stop, background };
        if let Err(error) = pod.register().await {
            pod.shutdown().await;
            return Err(error.into());
        }
        pod.start_tasks(config.slips_file);
        tracing::info!(name = %config.name, %address, signer = %pod.signer(), "the pod is listening");
        Ok(pod)
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What generates its answers, to be measured without the way to it.
    pub fn engine(&self) -> &Engine {
        &self.core.engine
    }

    /// The address of its attested key.
    pub fn signer(&self) -> Address {
        self.core.signer.address()
    }

    /// Whether its evidence proves nothing about hardware.
    pub fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// The pod's id in the registry, where there is one.
    pub fn id(&self) -> Option<B256> {
        let (registrar, views) = self.registered()?;
        Some(registrar.id(&**views.link()))
    }

    /// Claims and settles everything that is owed, now.
    ///
    /// # Errors
    /// [`ClaimError`]. After [`LinkError::Unknown`](crate::link::LinkError::Unknown) the same again is
    /// safe: what was booked is not booked twice.
    pub async fn claim_now(&self) -> Result<ClaimReport, ClaimError> {
        let claimer = self.core.claimer.as_ref().ok_or(ClaimError::NoChain)?;
        claimer.claim(&self.core.book, &self.core.signer, Occasion::Asked).await
    }

    /// Takes the pod out of the registry, for good: it gets no new channels. What is owed stays
    /// claimable.
    ///
    /// # Errors
    /// [`ClaimError`].
    pub async fn retire(&self) -> Result<(), ClaimError> {
        let (registrar, views) = self.registered().ok_or(ClaimError::NoChain)?;
        views.link().retire(registrar.id(&**views.link())).await?;
        Ok(())
    }

    /// Writes the slips out now, as the pod does every ten seconds.
    pub async fn export_slips(&self, file: &Path) {
        slips::export(&self.core, file).await;
    }

    fn registered(&self) -> Option<(&Registrar, &Views)> {
        match (&self.registrar, &self.core.world) {
            (Some(registrar), World::Chain(views)) => Some((registrar, views)),
            _ => None,
        }
    }

    async fn register(&self) -> Result<(), LinkError> {
        match &self.registrar {
            Some(registrar) => register(&self.core, registrar, &self.core.offer.current()).await,
            None => Ok(()),
        }
    }

    /// Stops, in this order: no new connection and no new request; what is being generated ends, is
    /// charged and gets its receipt; the background tasks end; the ledger is closed.
    pub async fn shutdown(self) {
        // The places are closed first, so that requests on connections that linger are refused.
        self.core.asks.close();
        self.core.tasks.close();
        let conversations = tokio::time::timeout(CONVERSATIONS_TIME, self.core.tasks.wait());
        let (_, conversations) = tokio::join!(self.server.shutdown(), conversations);
        if conversations.is_err() {
            tracing::warn!("conversations were still going on after their time");
        }
        self.stop.cancel();
        self.background.close();
        self.background.wait().await;
        self.core.book.close().await;
    }

    fn start_tasks(&self, slips: PathBuf) {
        self.background(|core| async move { core.keys.keep_rotating().await });
        self.background(|core| async move { core.evidence.keep_fresh().await });
        self.background(|core| async move { sweep(&core).await });
        let registrar = self.registrar.clone();
        self.background(|core| async move { renew_offer(&core, registrar.as_ref()).await });
        if self.core.claimer.is_some() {
            self.background(|core| async move { claim(&core).await });
        }
        // Without a chain nobody pays, and there is nothing to claim.
        if !self.core.domain.is_chainless() {
            self.background(|core| async move { slips::keep_exporting(&core, &slips).await });
        }
    }

    /// Runs a task of the pod until the pod stops.
    fn background<F: Future<Output = ()> + Send + 'static>(
        &self,
        task: impl FnOnce(Arc<Core>) -> F,
    ) {
        let task = task(Arc::clone(&self.core));
        let stop = self.stop.clone();
        self.background.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }
}

/// What must hold between configuration, network and attester before anything is made.
fn check(
    config: &PodConfig,
    network: &Network,
    attester: &Attester,
    has_link: bool,
) -> Result<(), StartError> {
    let Domain { chain_id, .. } = network.domain();
    let price = config.price();
    let is_free = price.input.0 == 0 && price.output.0 == 0;
    match chain_id {
        0 if !is_free => return Err(StartError::PricedWithoutChain),
        0 => {}
        _ if !has_link => return Err(StartError::NoOperator),
        _ if !config.allow_list.is_empty() => return Err(StartError::ListWithChain),
        _ => {}
    }
    if attester.is_simulated() && !network.is_simulated() {
        return Err(StartError::SimulatedOnHardware);
    }
    Ok(())
}

async fn sweep(core: &Core) {
    loop {
        tokio::time::sleep(SWEEP).await;
        core.memory.sweep();
        if let Err(error) = core.book.sweep(clock::now()).await {
            tracing::error!(%error, "lapsed reservations were not given back");
        }
    }
}

async fn claim(core: &Core) {
    if let Some(claimer) = &core.claimer {
        claimer.keep_claiming(&core.book, &core.signer).await;
    }
}

async fn register(
    core: &Core,
    registrar: &Registrar,
    offer: &Signed<Offer>,
) -> Result<(), LinkError> {
    let World::Chain(views) = &core.world else {
        return Ok(());
    };
    let offer = offer.digest(&core.domain);
    let evidence = core.evidence.shared_digest();
    registrar.register(views.link(), &core.signer, offer, evidence, core.book.steps()).await
}

/// Replaces an offer before it ends: the next one is kept, accepted, registered, and then given out.
async fn renew_offer(core: &Core, registrar: Option<&Registrar>) {
    let mut waiting = None;
    loop {
        tokio::time::sleep(OFFER_WATCH).await;
        let now = clock::now();
        let Some(next) = waiting.take().or_else(|| core.offer.successor(now)) else { continue };
        if let Err(error) = core.book.keep_offer(&next, &core.domain).await {
            tracing::error!(%error, "the next offer was not kept");
            continue;
        }
        core.offer.accept(&next, now);
        let registered = match registrar {
            Some(registrar) => register(core, registrar, &next).await,
            None => Ok(()),
        };
        match registered {
            Ok(()) => core.offer.give_out(next),
            Err(error) => {
                tracing::error!(%error, "the next offer was not registered");
                waiting = Some(next);
            }
        }
    }
}
