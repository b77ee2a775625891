//! What a person types on a network: the real binary, a real pod process, a real chain.

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use subrosa_attester::Simulator;
use subrosa_chain::Passphrase;
use subrosa_devnet::Devnet;
use subrosa_verifier::{Policy, Releases};
use support::{ANSWER, PASSPHRASE};

/// A chain with one pod, and a person with a wallet.
struct World {
    pod: Running,
    pod_config: PathBuf,
    devnet: Devnet,
    folder: tempfile::TempDir,
}

/// A process that says one line of JSON when it is ready.
struct Running {
    child: Child,
    ready: Value,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).expect("it says that it is ready");
        Running { child, ready }
    }

    /// Asks it to end, as systemd would.
    fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl World {
    async fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let devnet = support::devnet(folder.path()).await;
        let (_, pod_config) = support::pod_files(&devnet, 0);
        let wallet = folder.path().join("wallet.json");
        devnet.payer().save(&wallet, &Passphrase::new(PASSPHRASE.into())).unwrap();
        let mut command = binary(folder.path());
        let pod = Running::start(command.args(["pod", "--json", "--config"]).arg(&pod_config));
        World { pod, pod_config, devnet, folder }
    }

    fn run(&self, args: &[&str]) -> Output {
        binary(self.folder.path()).args(args).output().unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {told}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The error of a command that must fail.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// The network file lies in the state folder, where it is found by itself.
fn binary(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subrosa"));
    command
        .env_remove("SUBROSA_NETWORK")
        .env_remove("SUBROSA_WALLET")
        .env_remove("RUST_LOG")
        .env("SUBROSA_STATE_DIR", state)
        .env("SUBROSA_PASSPHRASE", PASSPHRASE);
    command
}

fn units(amount: &Value) -> u128 {
    amount.as_str().unwrap_or_else(|| panic!("{amount} is no amount")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_asks_pays_checks_and_takes_the_rest_back() {
    let world = World::start().await;
    let id = world.pod.ready["id"].as_str().unwrap();

    let pods = world.json(&["pods"]);
    assert_eq!((&pods[0]["id"], &pods[0]["accepted"]), (&id.into(), &true.into()));
    let told = String::from_utf8(world.run(&["pods", "--checks"]).stdout).unwrap();
    assert!(told.contains("SIMULATED") && told.contains("tee_measurement"), "{told}");

    let asked = world.json(&["ask", "--model", "script", "What is a rose?"]);
    assert_eq!(asked["answer"]["text"], ANSWER);
    assert_eq!(asked["simulated"], true);
    let order = asked["answer"]["order"].as_str().unwrap();
    let charged = units(&asked["receipt"]["charged"]);
    assert!(charged > 0);

    let receipts = world.json(&["receipts", "list"]);
    assert_eq!((receipts.as_array().unwrap().len(), &receipts[0]["order"]), (1, &order.into()));
    assert_eq!(world.json(&["receipts", "show", order])["verdict"], "accepted");
    checked_offline(&world, order);

    let config = world.pod_config.to_str().unwrap();
    let claim = world.json(&["pod", "claim", "--config", config]);
    assert_eq!(units(&claim["after"]) - units(&claim["before"]), charged);
    moved_by_hand(&world, id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_names_other_images_refuses_what_the_chain_lists() {
    let world = World::start().await;
    for (label, check) in [(support::IMAGE, None), ("another image", Some("tee_measurement"))] {
        let measurements = vec![Simulator::measurement(label)];
        let policy = Policy::simulated(Releases { measurements, models: vec![] });
        let file = world.folder.path().join("policy.toml");
        std::fs::write(&file, policy.to_toml()).unwrap();
        let pods = world.json(&["pods", "--policy", file.to_str().unwrap()]);
        assert_eq!(pods[0]["accepted"], check.is_none(), "{label}: {pods}");
        assert_eq!(pods[0]["failed_check"].as_str(), check, "{label}");
    }
}

/// Exported, the receipt passes; with another byte in it, it does not.
fn checked_offline(world: &World, order: &str) {
    let exported = world.run(&["receipts", "export", order]);
    let file = world.folder.path().join("receipt.json");
    std::fs::write(&file, &exported.stdout).unwrap();
    let network = world.devnet.folder().join("network.toml");
    let (file, network) = (file.to_str().unwrap(), network.to_str().unwrap());
    let verify = |file: &str| world.run(&["verify", file, "--network", network, "--json"]);
    assert_eq!(verify(file).status.code(), Some(0));
    let nonce = "4c".repeat(32);
    let asked = world.run(&["verify", file, "--network", network, "--nonce", &nonce]);
    assert_eq!(asked.status.code(), Some(2), "a nonce that nobody looks at is not taken");
    assert!(String::from_utf8_lossy(&exported.stderr).contains("with a proof of its releases"));

    let mut bundle: Value = serde_json::from_slice(&exported.stdout).unwrap();
    proven_by_its_block(world, file, network, &bundle);
    bundle["exported_at"] = Value::from(1);
    bundle["releases"]["models"] = serde_json::json!([]);
    let forged = world.folder.path().join("forged.json");
    std::fs::write(&forged, bundle.to_string()).unwrap();
    let refused = verify(forged.to_str().unwrap());
    assert_eq!(refused.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&refused.stdout).unwrap();
    let failed =
        report["checks"].as_array().unwrap().iter().find(|check| check["outcome"] == "failed");
    assert_eq!(failed.unwrap()["name"], "measured_model_weights");
}

/// The releases follow from a block that the caller names, and from no other; without a proof the receipt
/// counts for nothing on a named network.
fn proven_by_its_block(world: &World, file: &str, network: &str, bundle: &Value) {
    let verify = |file: &str, block: &str| {
        let output = world.run(&["verify", file, "--network", network, "--block", block, "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap().clone();
        let outcome = move |name: &str| {
            let check = checks.iter().find(|check| check["name"] == name).unwrap();
            check["outcome"].as_str().unwrap().to_owned()
        };
        (output.status.code(), outcome("releases_proof"), outcome("releases_block"))
    };
    let hash = bundle["releases"]["block"]["hash"].as_str().unwrap();
    let sentence = |arguments: &[&str]| {
        let told = world.json(&[&["verify", file, "--network", network], arguments].concat());
        told["sentence"].as_str().unwrap().to_owned()
    };
    assert!(sentence(&[]).contains("is the exporter's word"));
    assert!(sentence(&["--block", hash]).contains("everything that it stands on was checked"));
    assert_eq!(verify(file, hash), (Some(0), "passed".into(), "passed".into()));
    let other = format!("0x{}", "7".repeat(64));
    assert_eq!(verify(file, &other), (Some(1), "passed".into(), "failed".into()));

    let mut bare = bundle.clone();
    bare["releases"].as_object_mut().unwrap().remove("proof").unwrap();
    let bare_file = world.folder.path().join("bare.json");
    std::fs::write(&bare_file, bare.to_string()).unwrap();
    let bare_file = bare_file.to_str().unwrap();
    assert_eq!(verify(bare_file, hash), (Some(1), "absent".into(), "failed".into()));
    let told = world.run(&["verify", bare_file, "--network", network]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("export with a proof"), "{told:?}");
}

/// Deposit, withdrawal, and what is refused of both.
async fn moved_by_hand(world: &World, pod: &str) {
    let before = units(&world.json(&["wallet", "show"])["tokens"]);
    let channel = world.json(&["wallet", "deposit", "5_000", "--pod", pod]);
    assert_eq!(before - units(&world.json(&["wallet", "show"])["tokens"]), 5_000);
    let id = channel["channel"].as_str().unwrap();
    let shown = world.json(&["wallet", "show"]);
    assert_eq!(shown["channels"][0]["channel"], id);
    assert_eq!(shown["channels"][0]["balance"], channel["balance"]);

    let nobody = format!("0x{}", "7".repeat(64));
    let told = world.refused(&["wallet", "deposit", "1", "--pod", &nobody]);
    assert!(told.contains("not accepted") && told.contains("nothing was deposited"), "{told}");
    let told = world.refused(&["wallet", "withdraw", &nobody]);
    assert!(told.contains("no channel"), "{told}");

    let begun = world.json(&["wallet", "withdraw", id]);
    assert_eq!(begun["finished"], false);
    let told = world.refused(&["wallet", "withdraw", id, "--finish"]);
    assert!(told.contains("Withdraw"), "the delay is not over: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_serves_until_it_is_asked_to_end_and_keeps_its_state_to_itself() {
    let world = World::start().await;
    let mut command = binary(world.folder.path());
    let gateway = Running::start(command.args(["gateway", "--json", "--listen", "127.0.0.1:0"]));
    assert_eq!(
        (&gateway.ready["accepted"], &gateway.ready["simulated"]),
        (&1.into(), &true.into())
    );

    let base = format!("http://{}", gateway.ready["address"].as_str().unwrap());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let models: Value =
        http.get(format!("{base}/v1/models")).send().await.unwrap().json().await.unwrap();
    assert_eq!(models["data"][0]["id"], "script");

    let told = world.refused(&["receipts", "list"]);
    assert!(told.contains("/subrosa/v1/receipts"), "{told}");
    assert_eq!(gateway.stop(), Some(0));
    assert_eq!(world.json(&["receipts", "list"]), Value::Array(Vec::new()));
    assert_eq!(world.pod.stop(), Some(0));
}

#[test]
fn beyond_loopback_a_gateway_wants_a_token_before_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "short\n").unwrap();
    let token = folder.path().join("token");
    let output = binary(folder.path())
        .args(["gateway", "--listen", "0.0.0.0:0", "--token-file"])
        .arg(token)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("16 characters"));
}
