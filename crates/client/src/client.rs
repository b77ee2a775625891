//! The client: what it holds, and what it can be asked to do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use subrosa_api::openai::ChatRequest;
use subrosa_chain::{BlockHead, Chain, Network};
use subrosa_engine::catalogue::Catalogue;
use subrosa_protocol::{Address, Amount, B256, ChannelId, Receipt, RequestId, Signed};
use subrosa_seal::Pacing;
use subrosa_session::receipts::{Query, own_request};
use subrosa_store::Store;
use subrosa_verifier::Policy;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer::Answer;
use crate::ask::{self, AskError};
use crate::config::{ClientConfig, OpenError};
use crate::directory::{Directory, Standing, Turned};
use crate::export::{Bundle, ReleasesSeen};
use crate::fetch;
use crate::kept;
use crate::pod::{Pod, lock};
use crate::purse::{Account, More, Purse, nothing_more};
use crate::view::{BalanceView, ChannelView, ModelView, PodView, ReceiptView};
use crate::visit::{self, Listed, Refused, Terms, now};

/// How often the registry, the releases and every pod are looked at again.
const REFRESH_EVERY: Duration = Duration::from_secs(60);

/// The most pods that are visited at once: each takes a socket, and a registry may list thousands.
const VISITS_MAX: usize = 128;

/// A pod that holds its answers back for longer keeps its receipts until the next look, and nobody else
/// waits for it.
const MISSING_TIME: Duration = Duration::from_secs(30);

/// The most receipts that are fetched for one account at a time.
const MISSING_MAX: usize = 64;

/// Finds pods, checks them, asks them, pays them, and keeps what they sign.
pub struct Client {
    inner: Arc<Inner>,
}

/// What every task of the client shares.
pub(crate) struct Inner {
    network: Network,
    pub(crate) purse: Purse,
    chain: Option<Chain>,
    policy: Policy,
    catalogue: Catalogue,
    pub(crate) pacing: Pacing,
    private_pods: Vec<String>,
    pub(crate) directory: Directory,
    store: Store,
    /// The last releases that were read, so that refusals can name them.
    releases: Mutex<Option<ReleasesSeen>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Client {
    /// Opens the state directory and starts looking at pods every minute. No pod is known until
    /// [`refresh`](Client::refresh) returns.
    ///
    /// # Errors
    /// [`OpenError`] where the state directory is in use or the configuration contradicts itself.
    pub async fn open(config: ClientConfig) -> Result<Client, OpenError> {
        let domain = config.network.domain();
        if domain.is_chainless() == config.chain.is_some() {
            return Err(OpenError::Chain);
        }
        let policy = policy(&config)?;
        let store = Store::open(&config.state_dir, &[subrosa_store::payer::ROOM, kept::ROOM])?;
        let chain = config.chain;
        let purse =
            Purse::open(domain, config.payer, chain.clone(), store.clone(), config.deposit).await?;
        let inner = Arc::new(Inner {
            network: config.network,
            purse,
            chain,
            policy,
            catalogue: config.catalogue,
            pacing: config.pacing,
            private_pods: config.private_pods,
            directory: Directory::default(),
            store,
            releases: Mutex::new(None),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let watching = Arc::clone(&inner);
        inner.tasks.spawn(async move { watching.watch().await });
        Ok(Client { inner })
    }

    /// Reads registry and releases, visits every pod, and returns when each is accepted or refused.
    ///
    /// # Errors
    /// [`RefreshError`] where the chain cannot be read; then pods keep their standing until it expires.
    pub async fn refresh(&self) -> Result<(), RefreshError> {
        self.inner.refresh().await
    }

    /// Asks a question of the best pod that serves the model.
    ///
    /// # Errors
    /// [`AskError`], before a byte of an answer; after it, [`Answer::next`] tells.
    pub async fn ask(&self, request: ChatRequest) -> Result<Answer, AskError> {
        ask::ask(&self.inner, request).await
    }

    /// Every pod that is known, and why it may be asked or not.
    pub fn pods(&self) -> Vec<PodView> {
        self.inner.directory.views(self.is_simulated())
    }

    /// The models that accepted pods serve.
    pub fn models(&self) -> Vec<ModelView> {
        self.inner.models()
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.inner.network
    }

    /// Whether evidence may be simulated here, which proves nothing about hardware.
    pub fn is_simulated(&self) -> bool {
        self.inner.network.is_simulated()
    }

    /// Who pays.
    pub fn payer(&self) -> Address {
        self.inner.purse.wallet().address()
    }

    /// Every receipt that is kept, the newest first.
    ///
    /// # Errors
    /// [`RecordsError`] where the state directory cannot be read.
    pub async fn receipts(&self) -> Result<Vec<ReceiptView>, RecordsError> {
        let rows = self.inner.store.read(kept::receipts).await.map_err(|_| RecordsError::Store)?;
        Ok(rows.iter().map(|(order, pod, receipt)| receipt_view(*order, *pod, receipt)).collect())
    }

    /// One receipt with all that it takes to check it offline; none where none is kept. Where no proof of
    /// its releases was kept, the chain is asked for one.
    ///
    /// # Errors
    /// [`RecordsError`] where the state directory cannot be read.
    pub async fn export(&self, order: RequestId) -> Result<Option<Bundle>, RecordsError> {
        let find = move |db: &rusqlite::Connection| kept::find(db, order);
        let kept = self.inner.store.read(find).await.map_err(|_| RecordsError::Store)?;
        let mut bundle = kept.and_then(|kept| Bundle::of(kept, self.inner.purse.domain(), now()));
        if let (Some(bundle), Some(chain)) = (&mut bundle, &self.inner.chain)
            && let Err(error) = bundle.prove(chain).await
        {
            tracing::warn!(%error, "a receipt is exported without a proof of its releases");
        }
        Ok(bundle)
    }

    /// What the wallet and the channels hold.
    ///
    /// # Errors
    /// [`RecordsError::Chain`] where the chain cannot be read.
    pub async fn balance(&self) -> Result<BalanceView, RecordsError> {
        let payer = self.payer();
        let wallet = match &self.inner.chain {
            Some(chain) => chain
                .token_balance(payer)
                .await
                .map_err(|error| RecordsError::Chain(error.to_string()))?,
            None => Amount::ZERO,
        };
        let pods = self.inner.directory.views(false);
        let channel = |account: Arc<Account>| {
            let ledger = lock(&account.ledger);
            let pod = pods.iter().find(|pod| pod.signer == Some(account.signer()));
            ledger.config().map(|config| ChannelView {
                channel: ChannelId(config.id(self.inner.purse.domain()).0),
                pod: pod.map_or(B256::ZERO, |pod| pod.id),
                balance: ledger.balance(),
                ceiling: ledger.ceiling(),
                charged: ledger.charged(),
            })
        };
        let channels = self.inner.purse.accounts().into_iter().filter_map(channel).collect();
        Ok(BalanceView { payer, wallet, channels })
    }

    /// Fetches, inside the seal, receipts that did not arrive with their answers; how many came.
    pub async fn fetch_missing(&self) -> usize {
        self.inner.fetch_missing().await
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Stops what runs in the background and closes the state directory.
    pub async fn close(self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.store.close().await;
    }
}

fn policy(config: &ClientConfig) -> Result<Policy, OpenError> {
    let releases = subrosa_verifier::Releases::default();
    let simulated = config.network.is_simulated();
    match &config.policy {
        Some(policy) if policy.is_simulated() && !simulated => Err(OpenError::Policy),
        Some(policy) => Ok(policy.clone()),
        None if simulated => Ok(Policy::simulated(releases)),
        None => Ok(Policy::strict(releases)),
    }
}

impl Inner {
    pub(crate) fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    async fn watch(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(REFRESH_EVERY) => {}
                () = self.stop.cancelled() => return,
            }
            tokio::select! {
                () = self.look_again() => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    async fn look_again(&self) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "pods could not be looked at");
        }
        self.fetch_missing().await;
        self.sweep().await;
    }

    async fn refresh(&self) -> Result<(), RefreshError> {
        let (releases, at) = self.read_releases().await?;
        let listed = self.listed().await?;
        let mut policy = self.policy.clone();
        let releases = releases.narrowed_to(&policy.releases);
        policy.releases = releases.to_releases();
        self.directory.keep(&listed);
        let terms = Terms {
            policy: &policy,
            releases: &releases,
            at,
            domain: *self.purse.domain(),
            chain: self.chain.as_ref(),
        };
        let places = tokio::sync::Semaphore::new(VISITS_MAX);
        let visits = listed.iter().map(|pod| async {
            let _place = places.acquire().await;
            self.visit(pod, &terms).await;
        });
        futures_util::future::join_all(visits).await;
        *lock(&self.releases) = Some(releases);
        Ok(())
    }

    async fn visit(&self, listed: &Listed, terms: &Terms<'_>) {
        let past = self.directory.past(&listed.id);
        let before = self.directory.accepted_pod(&listed.id);
        let standing = match visit::visit(listed, terms, before.as_deref(), past).await {
            Ok(pod) => {
                let pod = Arc::new(pod);
                pod.prepare();
                Standing::Accepted(pod)
            }
            Err(refused) => {
                let Refused { check, reason, .. } = &refused;
                tracing::info!(pod = %listed.endpoint, %check, %reason, "a pod is refused");
                Standing::Refused(Box::new(Turned { listed: listed.clone(), refused, past }))
            }
        };
        self.directory.set(listed.id, standing);
    }

    /// Digests that the chain lists at its finalised block; where the network file pins some, only those of
    /// them, so that a revocation on chain reaches a client that pins too. Without a chain: the pins.
    async fn read_releases(&self) -> Result<(ReleasesSeen, Option<BlockHead>), RefreshError> {
        let pinned = &self.network.pinned;
        let Some(chain) = &self.chain else { return Ok((ReleasesSeen::pinned(pinned), None)) };
        let set = chain.releases(now()).await.map_err(|error| RefreshError(error.to_string()))?;
        Ok((ReleasesSeen::on_chain(&set).restricted_to(pinned), Some(set.at)))
    }

    async fn listed(&self) -> Result<Vec<Listed>, RefreshError> {
        let Some(chain) = &self.chain else {
            let named = |endpoint: &String| Listed {
                id: subrosa_protocol::hash::sha256(endpoint.as_bytes()),
                endpoint: visit::endpoint(endpoint).unwrap_or_else(|| endpoint.clone()),
                registered: None,
            };
            return Ok(self.private_pods.iter().map(named).collect());
        };
        let pods = chain.pods().await.map_err(|error| RefreshError(error.to_string()))?;
        let listed = |pod: subrosa_chain::RegisteredPod| {
            let endpoint = visit::endpoint(pod.endpoints.first()?)?;
            let registered = Some((pod.signer, pod.offer));
            (!pod.retired).then_some(Listed { id: pod.id, endpoint, registered })
        };
        Ok(pods.into_iter().filter_map(listed).collect())
    }

    /// The digest that a name stands for: of the catalogue, of a pod's own list, or itself in hex.
    pub(crate) fn resolve(&self, name: &str) -> Result<B256, AskError> {
        let pods = self.directory.accepted();
        if pods.is_empty() {
            return Err(AskError::NoPod { refused: self.directory.refused() });
        }
        let offered = |digest: &B256| pods.iter().any(|pod| pod.offer.model(digest).is_some());
        let in_catalogue = self.catalogue.find(name).map(|entry| entry.digest());
        // On a network that anyone may join, a pod must not give a well-known name to other weights.
        if self.chain.is_some()
            && let Some(digest) = in_catalogue
        {
            return Some(digest).filter(offered).ok_or(AskError::ModelUnknown);
        }
        let own = |pod: &Arc<Pod>| {
            let mut models = pod.attested.workload().models.iter();
            models.find(|model| model.name == name).map(|model| model.manifest.digest())
        };
        let digest = in_catalogue
            .filter(offered)
            .or_else(|| pods.iter().find_map(own).filter(offered))
            .or_else(|| name.parse().ok().filter(offered));
        digest.ok_or(AskError::ModelUnknown)
    }

    fn models(&self) -> Vec<ModelView> {
        let mut models: BTreeMap<B256, ModelView> = BTreeMap::new();
        for pod in self.directory.accepted() {
            for offered in &pod.offer.models {
                let digest = offered.digest;
                let entry = self.catalogue.entries().iter().find(|entry| entry.digest() == digest);
                let name = entry.map_or(pod.model_name(&digest), |entry| Some(entry.name()));
                let aliases = entry.map(|entry| entry.aliases().to_vec()).unwrap_or_default();
                let Some(name) = name.map(str::to_owned) else { continue };
                let view = ModelView { name, aliases, digest, pods: 0 };
                models.entry(digest).or_insert(view).pods += 1;
            }
        }
        models.into_values().collect()
    }

    /// Asks the pod for a receipt of ours, takes it into the ledger, and notes it.
    pub(crate) async fn fetch_receipt(
        &self,
        pod: &Arc<Pod>,
        account: &Account,
        query: Query,
    ) -> Option<ReceiptView> {
        let request = {
            let ledger = lock(&account.ledger);
            let (key, domain) = (self.purse.wallet().secret_key(), self.purse.domain());
            let offer = pod.offer.digest();
            own_request(query.path(), offer, &ledger, key, domain, &mut rand::rng(), now())
        };
        let receipt = fetch::receipt(pod, &request).await?;
        let (taken, pending) = self.purse.step(account, |ledger| {
            let verdict = ledger.accept(receipt.clone(), None);
            match verdict.outcome {
                Ok(order) => {
                    let kept = receipt.clone();
                    let more: More = Box::new(move |db| kept::receipt(db, order, &kept));
                    (Ok(order), verdict.records, more)
                }
                Err(fault) => (Err(fault), verdict.records, nothing_more()),
            }
        });
        pending.await.ok()?;
        match taken {
            Ok(order) => Some(receipt_view(order, pod.id, &receipt)),
            Err(fault) => {
                tracing::warn!(pod = %pod.endpoint, fault = fault.code(), "a fetched receipt was refused");
                None
            }
        }
    }

    async fn fetch_missing(&self) -> usize {
        let pods = self.directory.accepted();
        let accounts = self.purse.accounts();
        let came = AtomicUsize::new(0);
        let fetches = accounts.iter().map(|account| async {
            let pod = pods.iter().find(|pod| pod.attested.signer() == account.signer());
            if let Some(pod) = pod {
                let fetching = self.fetch_missing_of(pod, account, &came);
                // What did not come in time is still missing, and asked for at the next look.
                let _ = tokio::time::timeout(MISSING_TIME, fetching).await;
            }
        });
        futures_util::future::join_all(fetches).await;
        came.into_inner()
    }

    async fn fetch_missing_of(&self, pod: &Arc<Pod>, account: &Account, came: &AtomicUsize) {
        for query in missing(account) {
            if self.fetch_receipt(pod, account, query).await.is_some() {
                came.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Gives up reservations of orders that lapsed unanswered.
    async fn sweep(&self) {
        for account in self.purse.accounts() {
            let step = |ledger: &mut subrosa_channel::payer::Ledger| {
                ((), ledger.sweep(now()), nothing_more())
            };
            let ((), pending) = self.purse.step(&account, step);
            if pending.await.is_err() {
                tracing::error!("the state directory takes no more writes");
                return;
            }
        }
    }
}

/// What of an account's receipts should be there and is not.
fn missing(account: &Account) -> Vec<Query> {
    let ledger = lock(&account.ledger);
    let orders = ledger.open_orders().map(|order| Query::Order(order.unverified().request_id));
    let seqs = ledger.missing(MISSING_MAX).into_iter().map(Query::Seq);
    orders.take(MISSING_MAX).chain(seqs).collect()
}

/// A receipt that passed the ledger's checks, in plain members.
pub(crate) fn receipt_view(order: RequestId, pod: B256, receipt: &Signed<Receipt>) -> ReceiptView {
    let receipt = receipt.unverified();
    ReceiptView {
        order,
        pod,
        account: receipt.account,
        seq: receipt.seq,
        model_digest: receipt.model,
        workload: receipt.workload,
        outcome: receipt.outcome,
        input_tokens: receipt.input_tokens,
        output_tokens: receipt.output_tokens,
        charged: receipt.charged,
        cumulative: receipt.cumulative,
        issued_at: receipt.issued_at,
        verified: true,
    }
}

/// The registry or the releases cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pods cannot be found: {0}")]
pub struct RefreshError(String);

/// What is kept cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// The chain cannot be read.
    #[error("the chain cannot be read: {0}")]
    Chain(String),
    /// The state directory cannot be read.
    #[error("the state directory cannot be read")]
    Store,
}
