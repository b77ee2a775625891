//! The parts of the demo: chain, wallets, pods, client, gateway.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use subrosa_client::{Client, ClientConfig};
use subrosa_devnet::{Devnet, DevnetOptions};
use subrosa_engine::Cache;
use subrosa_engine::catalogue::{Catalogue, Entry, verified_path};
use subrosa_gateway::{DEFAULT_PORT, Gateway, GatewayConfig};
use subrosa_protocol::{Amount, B256};
use subrosa_seal::Pacing;

use super::files::{self, Role};
use super::pods::PodProcess;
use crate::commands;
use crate::output::Output;

/// What the payer puts into a channel: a tenth of a token.
const DEPOSIT: Amount = Amount(100_000);

/// Everything that runs.
pub(crate) struct Stage {
    pub(crate) folder: PathBuf,
    pub(crate) model: Entry,
    pub(crate) pods: Vec<PodProcess>,
    pub(crate) client: Arc<Client>,
    pub(crate) http: reqwest::Client,
    gateway: Gateway,
    // Dropped last: pods that are still claiming need their chain.
    pub(crate) devnet: Devnet,
}

impl Stage {
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.gateway.local_addr())
    }

    pub(crate) fn pod(&self, role: Role) -> &PodProcess {
        self.pods.iter().find(|pod| pod.role == role).expect("every role has a pod")
    }

    pub(crate) fn pod_mut(&mut self, role: Role) -> &mut PodProcess {
        self.pods.iter_mut().find(|pod| pod.role == role).expect("every role has a pod")
    }

    /// The name of a pod by its id.
    pub(crate) fn name(&self, id: B256) -> &'static str {
        self.pods.iter().find(|pod| pod.ready.id == id).map_or("unknown", |pod| pod.role.name())
    }

    /// Ends everything, the front door first.
    pub(crate) async fn end(self) {
        self.gateway.shutdown().await;
        if let Some(client) = Arc::into_inner(self.client) {
            client.close().await;
        }
        for pod in self.pods {
            pod.stop().await;
        }
    }
}

/// The model's files, fetched if they are not here.
pub(crate) async fn model(output: &Output) -> Result<Entry> {
    let catalogue = Catalogue::compiled_in();
    let entry = catalogue.find("smollm2").context("the catalogue has no smollm2")?.clone();
    let cache = Cache::from_env()?;
    let checked = {
        let (entry, cache) = (entry.clone(), cache.clone());
        tokio::task::spawn_blocking(move || {
            entry.files().iter().all(|file| verified_path(file, &cache).is_ok())
        })
    };
    if !checked.await.expect("hashing does not panic") {
        output.line("Fetching the model SmolLM2-135M-Instruct (once)");
        commands::pull(&entry, &cache, output).await?;
    }
    Ok(entry)
}

/// A chain with contracts, releases and a funded payer.
pub(crate) async fn devnet(folder: &Path, model: &Entry) -> Result<Devnet> {
    let options = DevnetOptions {
        measurements: files::released_measurements(),
        models: vec![model.digest()],
        folder: Some(folder.to_owned()),
        port: 0,
    };
    Ok(Devnet::start(options).await?)
}

/// Three pods from three files, and the payer's keystore.
pub(crate) async fn pods(folder: &Path, devnet: &Devnet) -> Result<Vec<PodProcess>> {
    let payer = (folder.to_owned(), devnet.payer().clone());
    let writing = tokio::task::spawn_blocking(move || files::wallet(&payer.0, "payer", &payer.1));
    let started = Role::ALL.map(|role| pod(folder, role, devnet));
    let pods = futures_util::future::try_join_all(started).await?;
    writing.await.expect("writing a wallet does not panic")?;
    Ok(pods)
}

async fn pod(folder: &Path, role: Role, devnet: &Devnet) -> Result<PodProcess> {
    let operator = devnet.operator(role.number());
    let folder = folder.join("pods").join(role.name());
    std::fs::create_dir_all(&folder)?;
    files::pod(&folder, role, operator.address(), &network_file(devnet))?;
    let keystore = {
        let folder = folder.clone();
        // Encrypting a keystore takes a second of computing on purpose.
        tokio::task::spawn_blocking(move || files::wallet(&folder, "operator", &operator))
    };
    keystore.await.expect("writing a wallet does not panic")?;
    let started = PodProcess::start(role, &folder).await;
    started.with_context(|| format!("pod {}", role.name()))
}

/// The network file, which everybody gets.
pub(crate) fn network_file(devnet: &Devnet) -> PathBuf {
    devnet.folder().join("network.toml")
}

/// A client that knows every pod, and a gateway in front of it.
pub(crate) async fn front_door(
    folder: &Path,
    devnet: &Devnet,
    any_port: bool,
) -> Result<(Arc<Client>, Gateway)> {
    let config = ClientConfig {
        network: devnet.network().clone(),
        chain: Some(devnet.chain().clone()),
        payer: devnet.payer().clone(),
        state_dir: folder.join("payer"),
        catalogue: Catalogue::compiled_in(),
        policy: None,
        pacing: Pacing::default(),
        deposit: DEPOSIT,
        private_pods: Vec::new(),
    };
    let client = Arc::new(Client::open(config).await?);
    client.refresh().await?;
    let gateway = bind(&client, if any_port { 0 } else { DEFAULT_PORT }).await;
    let gateway = match gateway {
        Ok(gateway) => gateway,
        // Something else has the usual port, most likely a gateway of the user's own.
        Err(_) => bind(&client, 0).await?,
    };
    Ok((client, gateway))
}

async fn bind(client: &Arc<Client>, port: u16) -> Result<Gateway> {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let config = GatewayConfig { listen, ..GatewayConfig::default() };
    Ok(Gateway::bind(config, Arc::clone(client)).await?)
}

/// Everything, set up.
pub(crate) fn assemble(
    folder: &Path,
    model: Entry,
    devnet: Devnet,
    pods: Vec<PodProcess>,
    (client, gateway): (Arc<Client>, Gateway),
) -> Stage {
    // The gateway is on this machine, whatever proxy leads out of it.
    let http = reqwest::Client::builder().no_proxy().build();
    let http = http.expect("a client without any settings can be built");
    Stage { folder: folder.to_owned(), model, pods, client, http, gateway, devnet }
}
