//! A chain, and what it takes to run pods on it, for tests that start real processes.
// Each test binary uses its own part of this.
#![allow(dead_code)]

pub mod team;

use std::path::{Path, PathBuf};

use subrosa_attester::Simulator;
use subrosa_chain::Passphrase;
use subrosa_devnet::{Devnet, DevnetOptions};
use subrosa_engine::{Script, Scripted};
use subrosa_protocol::{B256, keccak256};

/// The released image.
pub const IMAGE: &str = "subrosa/test";

/// What the pods say: four tokens.
pub const ANSWER: &str = "A rose is red.";

/// What the keystores are locked with.
pub const PASSPHRASE: &str = "a passphrase for a test";

/// The scripted engine that a pod makes of `ANSWER`.
pub fn engine() -> Scripted {
    let tokens = ANSWER.split_inclusive(' ').map(str::to_owned).collect();
    let (prefill, per_token) = Default::default();
    Scripted::new("script", Script { tokens, prefill, per_token })
}

/// A chain on which `IMAGE` and the scripted model are released; its files lie in `folder`.
pub async fn devnet(folder: &Path) -> Devnet {
    let options = DevnetOptions {
        measurements: vec![Simulator::measurement(IMAGE)],
        models: vec![engine().models()[0].digest],
        folder: Some(folder.to_owned()),
        port: 0,
    };
    Devnet::start(options).await.unwrap()
}

/// Writes what the n-th operator needs to run a pod; gives its folder and its configuration file.
pub fn pod_files(devnet: &Devnet, n: usize) -> (PathBuf, PathBuf) {
    let folder = devnet.folder().join(format!("pod-{n}"));
    std::fs::create_dir(&folder).unwrap();
    let operator = devnet.operator(n);
    std::fs::write(folder.join("operator.pass"), PASSPHRASE).unwrap();
    operator.save(&folder.join("operator.json"), &Passphrase::new(PASSPHRASE.into())).unwrap();
    let salt: B256 = keccak256(n.to_be_bytes());
    let (network, payee) = (devnet.folder().join("network.toml"), operator.address());
    let path = folder.join("pod.toml");
    let text = format!(
        r#"
        name = "pod-{n}"
        listen = "127.0.0.1:0"
        endpoint = ""
        state_dir = "state"
        network = "{}"
        payee = "{payee}"
        salt = "{salt}"
        signer_file = "signer.key"
        slips_file = "slips.json"
        offer_weeks = 4
        withdraw_delay = 3600
        allow_list = []
        [operator]
        wallet = "operator.json"
        passphrase_file = "operator.pass"
        [attester.simulator]
        kind = "simulated-tdx"
        image = "{IMAGE}"
        [backend.scripted]
        model = "script"
        answer = "{ANSWER}"
        prefill_ms = 0
        per_token_ms = 0
        [prices]
        input = "1000000"
        output = "3000000"
        [claims]
        every_s = 3600
        rows = 50
        min_gain = "1"
        "#,
        network.display()
    );
    std::fs::write(&path, text).unwrap();
    (folder, path)
}
