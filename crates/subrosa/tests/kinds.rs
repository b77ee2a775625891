//! A pod of each kind of simulated machine: the real binary, verified and asked through a gateway.

mod support;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use serde_json::{Value, json};
use subrosa_attester::{SimulatedGpus, SimulatedKind, Simulator};
use subrosa_chain::Network;
use subrosa_client::{Client, Pacing, PodView};
use subrosa_gateway::{Gateway, GatewayConfig};
use subrosa_verifier::{CheckName, Kind, Outcome};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use support::{ANSWER, IMAGE, team};

/// A pod as a process; it ends with this.
struct Pod {
    url: String,
    _process: Child,
    /// Kept open, so that the pod can write to it.
    _stdout: BufReader<ChildStdout>,
}

impl Pod {
    /// Starts the binary from a file that names the kind.
    async fn start(folder: &Path, kind: SimulatedKind) -> Pod {
        let path = folder.join("pod.toml");
        let config = team::pod_config(folder, &kind.to_string(), team::friend().address());
        std::fs::write(&path, config).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_subrosa"))
            .args(["pod", "--leash", "--json", "--config"])
            .arg(&path)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        assert!(stdout.read_line(&mut line).await.unwrap() > 0, "{kind}: the pod does not start");
        let ready: Value = serde_json::from_str(&line).unwrap();
        let url = format!("https://{}", ready["address"].as_str().unwrap());
        Pod { url, _process: process, _stdout: stdout }
    }
}

/// A client that looked at the pod.
async fn client(folder: &Path, pod: &Pod) -> Arc<Client> {
    let network = Network::load(&folder.join("network.toml")).unwrap();
    team::client(folder, network, pod.url.clone(), Pacing::Off).await
}

/// Writes the network of a team whose image is released for machines of one kind.
fn release_for(folder: &Path, kind: SimulatedKind) {
    let network = team::network(Simulator::measurement_of(kind, IMAGE));
    std::fs::write(folder.join("network.toml"), network).unwrap();
}

/// What a gateway in front of the client answers to a question.
async fn ask(client: Arc<Client>) -> String {
    let listen = GatewayConfig { listen: "127.0.0.1:0".parse().unwrap(), ..Default::default() };
    let gateway = Gateway::bind(listen, client).await.unwrap();
    let url = format!("http://{}/v1/chat/completions", gateway.local_addr());
    let question = json!({
        "model": "script",
        "messages": [{ "role": "user", "content": "What is a rose?" }],
    });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.post(url).json(&question).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    gateway.shutdown().await;
    answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

/// The kind's pod, accepted as what it is, and its answer.
async fn accepted_and_asked(name: &str) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kind: SimulatedKind = name.parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    release_for(folder.path(), kind);
    let pod = Pod::start(folder.path(), kind).await;
    let client = client(folder.path(), &pod).await;
    let view = client.pods().remove(0);
    assert_accepted(&view, kind);
    assert_eq!(ask(client).await, ANSWER, "{kind}");
}

fn assert_accepted(view: &PodView, kind: SimulatedKind) {
    assert!(view.accepted && view.simulated, "{kind}: {:?}", view.reason);
    assert_eq!(view.measurement, Some(Simulator::measurement_of(kind, IMAGE)), "{kind}");
    let report = view.report.as_ref().unwrap();
    assert_eq!(report.kind, Kind::Evidence(kind.cpu.cpu()), "{kind}");
    let devices = match kind.gpus {
        SimulatedGpus::None => Outcome::Waived,
        _ => Outcome::Passed,
    };
    for check in [CheckName::NvidiaMeasurements, CheckName::CpuGpuChain] {
        assert_eq!(report.outcome(check), devices, "{kind}, {check}");
    }
}

#[tokio::test]
async fn a_pod_on_sgx_is_accepted_and_answers() {
    accepted_and_asked("simulated-sgx").await;
}

#[tokio::test]
async fn a_pod_on_sev_snp_is_accepted_and_answers() {
    accepted_and_asked("simulated-snp").await;
}

#[tokio::test]
async fn a_pod_on_tdx_of_either_version_is_accepted_and_answers() {
    accepted_and_asked("simulated-tdx").await;
    accepted_and_asked("simulated-tdx-v5").await;
}

#[tokio::test]
async fn a_pod_on_tdx_with_an_event_log_is_accepted_and_answers() {
    accepted_and_asked("simulated-tdx-ccel").await;
    accepted_and_asked("simulated-tdx-dstack").await;
}

#[tokio::test]
async fn a_pod_with_one_gpu_is_accepted_and_answers() {
    accepted_and_asked("simulated-tdx-gpu").await;
    accepted_and_asked("simulated-snp-gpu-blackwell").await;
}

#[tokio::test]
async fn a_pod_with_eight_gpus_is_accepted_and_answers() {
    accepted_and_asked("simulated-tdx-8gpu").await;
    accepted_and_asked("simulated-tdx-8gpu-blackwell").await;
}

#[tokio::test]
async fn a_pod_on_a_machine_that_nothing_is_released_for_is_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for (name, released) in [
        ("simulated-snp", "simulated-tdx"),
        ("simulated-sgx", "simulated-snp"),
        ("simulated-tdx-ccel", "simulated-tdx"),
        ("simulated-tdx-8gpu", "simulated-tdx-dstack"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        release_for(folder.path(), released.parse().unwrap());
        let pod = Pod::start(folder.path(), name.parse().unwrap()).await;
        let view = client(folder.path(), &pod).await.pods().remove(0);
        assert!(!view.accepted, "{name} for {released}");
        assert_eq!(view.failed_check.as_deref(), Some("tee_measurement"), "{name} for {released}");
    }
}
