//! A paid pod on a real chain, killed by `kill -9` after each of its durable steps and started
//! again: nothing earned is lost, nothing is charged twice.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use subrosa_api::openai::ChatRequest;
use subrosa_client::{Client, ClientConfig, Pacing, ReceiptView};
use subrosa_devnet::Devnet;
use subrosa_engine::catalogue::Catalogue;
use subrosa_pod::{Deps, Pod, PodConfig, Step};
use subrosa_protocol::Amount;

/// Tells the child, which is this same test binary, its configuration and when to die.
const CONFIG: &str = "SUBROSA_CRASH_TEST_CONFIG";
const STEPS: &str = "SUBROSA_CRASH_TEST_STEPS";

/// What a pod of two questions does: offer, registration, two orders, two charges, a claim.
const STEPS_IN_ALL: usize = 7;

/// The child: the real pod, which kills itself after so many steps, and claims when it is told.
#[tokio::test]
async fn child() {
    let (Ok(config), Ok(steps)) = (std::env::var(CONFIG), std::env::var(STEPS)) else {
        return;
    };
    let config = PodConfig::load(Path::new(&config)).unwrap();
    let left = AtomicUsize::new(steps.parse().unwrap());
    let mut deps = Deps::from_config(&config, None).await.unwrap();
    deps.steps = Some(Arc::new(move |step| {
        // Slips leave on a clock of their own; they are no step of a question.
        if step != Step::SlipsExported && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let me = std::process::id().to_string();
            Command::new("kill").args(["-9", &me]).status().unwrap();
            unreachable!("the process is dead");
        }
    }));
    let pod = Pod::bind(config, deps).await.unwrap();
    say("listening");
    loop {
        let line = tokio::task::spawn_blocking(|| std::io::stdin().lines().next()).await.unwrap();
        let Some(Ok(_)) = line else { return };
        pod.claim_now().await.unwrap();
        say("claimed");
    }
}

fn say(word: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "\n{word}").unwrap();
    out.flush().unwrap();
}

struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a pod that dies after so many steps; `None` where it died before it listened.
    fn start(config: &Path, steps: usize) -> Option<Process> {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(CONFIG, config)
            .env(STEPS, steps.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut process = Process { child, stdin, stdout };
        process.hear("listening").then_some(process)
    }

    /// Whether the pod says that word before it dies.
    fn hear(&mut self, word: &str) -> bool {
        let mut lines = (&mut self.stdout).lines();
        lines.any(|line| line.is_ok_and(|line| line == word))
    }

    fn claim(&mut self) -> bool {
        self.stdin.write_all(b"claim\n").is_ok() && self.hear("claimed")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn client(devnet: &Devnet, state: &Path) -> Client {
    let config = ClientConfig {
        network: devnet.network().clone(),
        chain: Some(devnet.chain().clone()),
        payer: devnet.payer().clone(),
        state_dir: state.to_owned(),
        catalogue: Catalogue::compiled_in(),
        policy: None,
        pacing: Pacing::Off,
        deposit: Amount(10_000),
        private_pods: Vec::new(),
    };
    Client::open(config).await.unwrap()
}

/// Asks; the receipt, if answer and receipt came whole.
async fn ask(client: &Client) -> Option<ReceiptView> {
    let mut answer = client.ask(ChatRequest::ask("script", "What is a rose?")).await.ok()?;
    let mut body = Vec::new();
    while let Some(piece) = answer.next().await {
        body.extend_from_slice(&piece.ok()?);
    }
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&body));
    answer.receipt().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_killed_after_any_durable_step_earns_every_charge_once() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = support::devnet(folder.path()).await;
    for steps in 1..=STEPS_IN_ALL {
        let (pod_folder, config) = support::pod_files(&devnet, steps);
        let client = client(&devnet, &pod_folder.join("client")).await;

        let mut received = Vec::new();
        let mut lived = false;
        if let Some(mut process) = Process::start(&config, steps) {
            client.refresh().await.unwrap();
            received.extend(ask(&client).await);
            received.extend(ask(&client).await);
            lived = process.claim();
        }
        assert!(!lived, "the pod was to die at step {steps}");

        let mut process = Process::start(&config, usize::MAX).expect("it starts again");
        client.refresh().await.unwrap();
        client.fetch_missing().await;
        while received.len() < 3 {
            received.push(ask(&client).await.expect("the pod that came back answers"));
        }
        client.fetch_missing().await;
        assert!(process.claim(), "after step {steps}");

        let kept = client.receipts().await.unwrap();
        for receipt in &received {
            assert!(kept.contains(receipt), "a receipt was lost after step {steps}");
        }
        let mut seqs: Vec<_> = kept.iter().map(|receipt| receipt.seq).collect();
        seqs.sort_unstable();
        let whole: Vec<_> = (1..=kept.len() as u64).collect();
        assert_eq!(seqs, whole, "the chain of receipts has a hole after step {steps}");

        let charged: u128 = kept.iter().map(|receipt| receipt.charged.0).sum();
        assert!(kept.iter().all(|receipt| receipt.charged.0 > 0));
        let payee = devnet.operator(steps).address();
        let earned = devnet.chain().token_balance(payee).await.unwrap();
        assert_eq!(earned, Amount(charged), "after step {steps}");
        client.close().await;
    }
}
