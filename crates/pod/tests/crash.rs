//! A pod that is killed after each of its durable steps, in a process of its own, and started again on
//! the same folder: nothing is charged twice, nothing that was charged is lost.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use subrosa_pod::Pod;
use subrosa_protocol::{Receipt, Signed};
use subrosa_seal::ResponseOpener;
use subrosa_session::receipts::Query;
use support::{Ask, Caller, Home, friend, question, streamed};

/// Tells the child, which is this same test binary, where its folder is and when to die.
const FOLDER: &str = "SUBROSA_CRASH_TEST_FOLDER";
const STEPS: &str = "SUBROSA_CRASH_TEST_STEPS";

/// What a pod of two questions does: an offer, then two orders and two charges.
const STEPS_IN_ALL: usize = 5;

/// The child: a pod that kills itself, as `kill -9` would, after so many durable steps.
#[tokio::test]
async fn child() {
    let (Ok(folder), Ok(steps)) = (std::env::var(FOLDER), std::env::var(STEPS)) else {
        return;
    };
    let left = AtomicUsize::new(steps.parse().unwrap());
    let mut home = Home::at(Path::new(&folder));
    home.hook = Some(Arc::new(move |_| {
        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let me = std::process::id().to_string();
            Command::new("kill").args(["-9", &me]).status().unwrap();
            unreachable!("the process is dead");
        }
    }));
    let pod = Pod::bind(home.config(), home.deps()).await.unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "\nlistening {}", pod.local_addr()).unwrap();
    out.flush().unwrap();
    std::future::pending::<()>().await;
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a child that dies after so many steps; `None` where it died before it listened.
fn start(folder: &Path, steps: usize) -> Option<(Process, SocketAddr)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(STEPS, steps.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let process = Process(child);
    for line in lines {
        if let Some(address) = line.ok()?.strip_prefix("listening ") {
            return Some((process, address.parse().unwrap()));
        }
    }
    None
}

/// The receipt of an answer, or `None` where the pod died before it was whole.
async fn try_ask(caller: &mut Caller, ask: &Ask) -> Option<Signed<Receipt>> {
    let envelope = caller.envelope(ask);
    let (sealed, opener) = caller.seal(ask, envelope);
    let request = caller.http.post(format!("{}/subrosa/v1/ask", caller.base));
    let request = request.header("content-type", subrosa_seal::MEDIA_TYPE_REQUEST).body(sealed);
    let answer = whole(request.send().await.ok()?, opener).await?;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    Some(answer.receipt())
}

async fn whole(
    mut response: reqwest::Response,
    mut opener: ResponseOpener,
) -> Option<support::caller::Answer> {
    let mut answer = support::caller::Answer::default();
    while let Some(bytes) = response.chunk().await.ok()? {
        for event in opener.push(&bytes).ok()? {
            support::caller::take(&mut answer, event);
        }
    }
    opener.finish().ok()?;
    Some(answer)
}

#[tokio::test]
async fn killed_after_any_durable_step_a_pod_charges_each_order_once() {
    for steps in 1..=STEPS_IN_ALL {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let asks = [streamed(), question()];
        let mut received = vec![];
        if let Some((process, address)) = start(folder.path(), steps) {
            let mut caller = home.meet_at(address, friend()).await;
            for ask in &asks {
                received.extend(try_ask(&mut caller, ask).await);
            }
            drop(process);
        }
        let (_process, address) = start(folder.path(), usize::MAX).expect("it starts again");
        let mut caller = home.meet_at(address, friend()).await;
        for ask in &asks {
            let receipt = try_ask(&mut caller, ask).await.expect("the order is still good");
            received.push(receipt);
        }
        let chain = chain(&mut caller).await;
        let charges = |ask: &Ask| {
            chain.iter().filter(|receipt| receipt.unverified().request_hash == ask.hash()).count()
        };
        // Once charged, and at most once more run free after the restart took its answer from memory.
        assert!(asks.iter().all(|ask| (1..=2).contains(&charges(ask))), "after {steps} steps");
        for receipt in &received {
            assert!(chain.contains(receipt), "a receipt was lost after {steps} steps");
        }
        for pair in chain.windows(2) {
            assert_eq!(pair[1].unverified().prev, pair[0].digest(&caller.domain));
        }
    }
}

/// All receipts of the account.
async fn chain(caller: &mut Caller) -> Vec<Signed<Receipt>> {
    let mut chain = vec![];
    loop {
        let ask = Ask::get(Query::Seq(chain.len() as u64 + 1).path());
        let answer = caller.ask(&ask).await;
        if answer.status == 404 {
            return chain;
        }
        chain.push(answer.receipt());
    }
}
