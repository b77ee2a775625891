//! One pod and its clients on a private network: no chain, an allow-list, everything else as ever.
//!
//! Orders and receipts are signed, checked and written to disk as on a network with a chain. What is
//! missing is the voucher's signature and the look at the channel's balance, which a pod has cached.

use anyhow::{Context, bail};
use subrosa_attester::{Attester, SimulatedKind, Simulator};
use subrosa_chain::{Network, Pinned, Trust, Wallet};
use subrosa_client::{Client, ClientConfig};
use subrosa_engine::Engine;
use subrosa_engine::catalogue::Catalogue;
use subrosa_pod::{AttesterConfig, BackendConfig, ClaimConfig, Deps, Pod, PodConfig, PriceConfig};
use subrosa_protocol::{Address, Amount, B256, Duration};
use subrosa_seal::Pacing;
use tempfile::TempDir;

const IMAGE: &str = "subrosa/bench";

/// Where ledgers are kept.
#[derive(Clone, Copy)]
pub enum Place {
    /// The disk of this checkout, as everybody has one.
    Disk,
    /// A file system in memory, which shows what the path costs without the disk.
    Memory,
}

impl Place {
    /// A new folder there, removed when it is dropped.
    pub fn folder(self) -> anyhow::Result<TempDir> {
        let at = match self {
            // Not the folder for temporary files, which often is in memory.
            Place::Disk => "target",
            Place::Memory => "/dev/shm",
        };
        tempfile::tempdir_in(at).with_context(|| format!("no folder can be made in {at}"))
    }
}

/// A running pod, a client with ticks off, and one with the default tick.
pub struct House {
    pub pod: Pod,
    pub off: Client,
    pub ticked: Client,
    /// Removes the state when the house is closed.
    folder: TempDir,
}

impl House {
    /// Starts a pod in front of the engine, and clients that have verified it. State is kept in a new
    /// folder at the place.
    pub async fn open(
        engine: Engine,
        backend: BackendConfig,
        place: Place,
    ) -> anyhow::Result<House> {
        let folder = place.folder()?;
        let payers = [Wallet::generate(), Wallet::generate()];
        let network = network(&engine);
        let allow_list = payers.iter().map(Wallet::address).collect();
        let config = pod_config(&folder, backend, allow_list);
        let deps = Deps {
            network: network.clone(),
            engine,
            attester: Attester::Simulator(Simulator::new(IMAGE)),
            link: None,
            listener: None,
            steps: None,
        };
        let pod = Pod::bind(config, deps).await.context("the pod does not start")?;
        let endpoint = format!("https://{}", pod.local_addr());
        let client = async |payer: &Wallet, name: &str, pacing| {
            let config = ClientConfig {
                network: network.clone(),
                chain: None,
                payer: payer.clone(),
                state_dir: folder.path().join(name),
                catalogue: Catalogue::compiled_in(),
                policy: None,
                pacing,
                deposit: Amount::ZERO,
                private_pods: vec![endpoint.clone()],
            };
            verified(Client::open(config).await?).await
        };
        let off = client(&payers[0], "off", Pacing::Off).await?;
        let ticked = client(&payers[1], "ticked", Pacing::default()).await?;
        Ok(House { pod, off, ticked, folder })
    }

    /// Stops everything, callers first.
    pub async fn close(self) -> anyhow::Result<()> {
        self.off.close().await;
        self.ticked.close().await;
        self.pod.shutdown().await;
        self.folder.close()?;
        Ok(())
    }
}

/// A client whose pod passed every check.
async fn verified(client: Client) -> anyhow::Result<Client> {
    client.refresh().await?;
    match client.pods().as_slice() {
        [pod] if pod.accepted => Ok(client),
        pods => bail!("the pod is refused: {:?}", pods.first().and_then(|pod| pod.reason.clone())),
    }
}

fn network(engine: &Engine) -> Network {
    Network {
        name: "bench".into(),
        trust: Trust::Simulated,
        chain: None,
        pinned: Pinned {
            measurements: vec![Simulator::measurement(IMAGE)],
            models: engine.models().iter().map(|model| model.digest).collect(),
            blocks: vec![],
        },
    }
}

fn pod_config(folder: &TempDir, backend: BackendConfig, allow_list: Vec<Address>) -> PodConfig {
    let path = |name: &str| folder.path().join(name);
    PodConfig {
        name: "bench".into(),
        listen: ([127, 0, 0, 1], 0).into(),
        endpoint: String::new(),
        state_dir: path("pod"),
        network: path("network.toml"),
        payee: Address::ZERO,
        salt: B256::ZERO,
        signer_file: path("signer.key"),
        slips_file: path("slips.json"),
        offer_weeks: 4,
        withdraw_delay: Duration(86_400),
        operator: None,
        attester: AttesterConfig::Simulator { kind: SimulatedKind::TDX, image: IMAGE.into() },
        backend,
        prices: PriceConfig { input: Amount::ZERO, output: Amount::ZERO },
        claims: ClaimConfig { every_s: 3_600, rows: 50, min_gain: Amount(10_000) },
        allow_list,
    }
}
