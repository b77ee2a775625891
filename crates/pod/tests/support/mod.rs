//! A pod in a temporary folder, and a caller who does everything a gateway does, by hand.

#![allow(dead_code)] // each test file uses its own part

pub mod caller;
pub mod chain;
pub mod http;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use subrosa_attester::{Attester, SimulatedKind, Simulator};
use subrosa_chain::Network;
use subrosa_engine::{Engine, Script, Scripted};
use subrosa_pod::link::Link;
use subrosa_pod::{Deps, Pod, PodConfig, StepHook};
use subrosa_protocol::{Address, B256, SecretKey};
use subrosa_verifier::Releases;
use tempfile::TempDir;

pub use caller::{Ask, Caller, Eyes};
pub use chain::{MemoryChain, PAYEE};

pub const IMAGE: &str = "subrosa/test";
pub const MODEL: &str = "script";

/// What the scripted engine says.
pub const TOKENS: [&str; 4] = ["The", " answer", " is", " 42."];

/// An allow-listed key.
pub fn friend() -> SecretKey {
    SecretKey::from_bytes(&[0x11; 32]).unwrap()
}

/// A key that nobody knows.
pub fn stranger() -> SecretKey {
    SecretKey::from_bytes(&[0x22; 32]).unwrap()
}

/// A folder in which a pod can be started, killed and started again.
pub struct Home {
    pub folder: PathBuf,
    /// Removes the folder in the end, where it is ours.
    keep: Option<TempDir>,
    pub script: Script,
    /// The machine that the pod's simulator stands in for.
    pub machine: SimulatedKind,
    /// A chain in memory; none on a private network.
    pub chain: Option<Arc<MemoryChain>>,
    pub hook: Option<StepHook>,
}

impl Home {
    pub fn new() -> Home {
        let keep = tempfile::tempdir().unwrap();
        let home = Home::at(keep.path());
        Home { keep: Some(keep), ..home }
    }

    /// A home in somebody else's folder.
    pub fn at(folder: &Path) -> Home {
        let script = Script {
            tokens: TOKENS.map(String::from).to_vec(),
            prefill: Duration::ZERO,
            per_token: Duration::ZERO,
        };
        let machine = SimulatedKind::TDX;
        Home { folder: folder.to_owned(), keep: None, script, machine, chain: None, hook: None }
    }

    /// A home on a network with a chain.
    pub fn with_chain() -> Home {
        Home { chain: Some(Arc::new(MemoryChain::new())), ..Home::new() }
    }

    /// A home whose engine takes this long for each token.
    pub fn slow(per_token: Duration, tokens: usize) -> Home {
        let mut home = Home::new();
        home.script.per_token = per_token;
        home.script.tokens = (0..tokens).map(|n| format!("word{n} ")).collect();
        home
    }

    pub fn config(&self) -> PodConfig {
        let folder = self.folder.display();
        let (allowed, price, payee) = match self.chain {
            Some(_) => (String::new(), 1_000_000, PAYEE),
            None => (format!("\"{}\"", friend().address()), 0, Address::ZERO),
        };
        PodConfig::parse(&format!(
            r#"
            name = "test"
            listen = "127.0.0.1:0"
            endpoint = ""
            state_dir = "{folder}/state"
            network = "{folder}/network.toml"
            payee = "{payee}"
            salt = "{salt}"
            signer_file = "{folder}/signer.key"
            slips_file = "{folder}/slips.json"
            offer_weeks = 4
            withdraw_delay = 86400
            allow_list = [{allowed}]
            [attester.simulator]
            kind = "simulated-tdx"
            image = "{IMAGE}"
            [backend.scripted]
            model = "{MODEL}"
            answer = "as the script of the test says"
            prefill_ms = 0
            per_token_ms = 0
            [prices]
            input = "{price}"
            output = "{price}"
            [claims]
            every_s = 1
            rows = 50
            min_gain = "1000000000"
            "#,
            salt = B256::ZERO,
        ))
        .unwrap()
    }

    /// The configuration of a pod on the chain of this network file.
    pub fn config_on_chain(&self, network: &Path) -> String {
        let folder = self.folder.display();
        format!(
            r#"
            name = "test"
            listen = "127.0.0.1:0"
            endpoint = ""
            state_dir = "{folder}/state"
            network = "{network}"
            payee = "{PAYEE}"
            salt = "{salt}"
            signer_file = "{folder}/signer.key"
            slips_file = "{folder}/slips.json"
            offer_weeks = 4
            withdraw_delay = 3600
            allow_list = []
            [operator]
            wallet = "{folder}/operator.json"
            passphrase_file = "{folder}/operator.pass"
            [attester.simulator]
            kind = "simulated-tdx"
            image = "{IMAGE}"
            [backend.scripted]
            model = "{MODEL}"
            answer = "as the script of the test says"
            prefill_ms = 0
            per_token_ms = 0
            [prices]
            input = "1000000"
            output = "1000000"
            [claims]
            every_s = 1
            rows = 50
            min_gain = "1000000000"
            "#,
            network = network.display(),
            salt = B256::ZERO,
        )
    }

    /// The digest of the scripted model.
    pub fn model(&self) -> B256 {
        Scripted::new(MODEL, self.script.clone()).models()[0].digest
    }

    pub fn network(&self) -> Network {
        let model = self.model();
        let measurement = Simulator::measurement(IMAGE);
        if self.chain.is_some() {
            return chain::network();
        }
        Network::parse(&format!(
            "name = \"private\"\ntrust = \"simulated\"\nchain_id = 0\n\
             [pinned]\nmeasurements = [\"{measurement}\"]\nmodels = [\"{model}\"]\n"
        ))
        .unwrap()
    }

    pub fn deps(&self) -> Deps {
        Deps {
            network: self.network(),
            engine: Engine::Scripted(Scripted::new(MODEL, self.script.clone())),
            attester: Attester::Simulator(Simulator::of(self.machine, IMAGE)),
            link: self.chain.clone().map(|chain| chain as Arc<dyn Link>),
            listener: None,
            steps: self.hook.clone(),
        }
    }

    pub async fn start(&self) -> Pod {
        Pod::bind(self.config(), self.deps()).await.unwrap()
    }

    pub async fn meet(&self, pod: &Pod, key: SecretKey) -> Caller {
        self.meet_at(pod.local_addr(), key).await
    }

    pub async fn meet_at(&self, address: SocketAddr, key: SecretKey) -> Caller {
        let model = self.model();
        let measurements = vec![Simulator::measurement(IMAGE)];
        let releases = Releases { measurements, models: vec![model] };
        let eyes = match &self.chain {
            Some(chain) => Eyes::Memory(chain.view()),
            None => Eyes::Closed,
        };
        Caller::meet(address, releases, eyes, self.network().domain(), key).await
    }
}

/// A question for a whole answer.
pub fn question() -> Ask {
    let messages = json!([{"role": "user", "content": "What is the answer?"}]);
    Ask::chat(json!({"model": MODEL, "messages": messages, "max_tokens": 1_000}))
}

/// A question for a stream.
pub fn streamed() -> Ask {
    let messages = json!([{"role": "user", "content": "What is the answer?"}]);
    Ask::chat(json!({
        "model": MODEL, "messages": messages, "max_tokens": 1_000, "stream": true,
        "stream_options": {"include_usage": true},
    }))
}
