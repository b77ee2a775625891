//! Pods as processes: this very binary, started from a file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use subrosa_protocol::{Address, B256};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::files::Role;

/// Loading a model and registering takes a few seconds on a busy machine.
const START_TIME: Duration = Duration::from_secs(60);

/// How many bytes of a log are shown when its pod fails.
const LOG_TAIL_BYTES: usize = 800;

/// A pod that runs.
pub(crate) struct PodProcess {
    pub(crate) role: Role,
    pub(crate) folder: PathBuf,
    pub(crate) ready: Ready,
    child: Child,
    /// Kept open, so that the pod can write to it.
    _stdout: BufReader<ChildStdout>,
}

/// What a pod says when it can answer.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ready {
    pub(crate) address: String,
    pub(crate) signer: Address,
    pub(crate) id: B256,
}

impl PodProcess {
    /// Starts the pod of that folder and waits until it can answer. Its standard input is its leash:
    /// when we end, however, it ends.
    pub(crate) async fn start(role: Role, folder: &Path) -> Result<PodProcess> {
        let log_path = folder.join("pod.log");
        let log = File::options().create(true).append(true).open(&log_path)?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["pod", "--leash", "--json", "--config"])
            .arg(folder.join("pod.toml"))
            .env("RUST_LOG", "info")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("this binary does not start a second time")?;
        let stdout = child.stdout.take().expect("standard output was piped");
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let reading = tokio::time::timeout(START_TIME, stdout.read_line(&mut line));
        let read = reading.await.context("it says nothing")?;
        if read? == 0 {
            bail!(
                "the pod {} does not start; its log ends with:\n{}",
                role.name(),
                tail(&log_path)
            );
        }
        let ready = serde_json::from_str(&line).context("it does not say that it is ready")?;
        Ok(PodProcess { role, folder: folder.to_owned(), ready, child, _stdout: stdout })
    }

    /// Where its configuration says that its ledger is.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Ends the process as a power cut would: `kill -9`. Returns when it is gone.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("the pod cannot be killed")
    }

    /// Lets the pod end in its own order.
    pub(crate) async fn stop(mut self) {
        drop(self.child.stdin.take());
        // What does not end by itself is killed when the handle is dropped.
        let _ = tokio::time::timeout(Duration::from_secs(3), self.child.wait()).await;
    }
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let start = text.len().saturating_sub(LOG_TAIL_BYTES);
    let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text[start..].trim().to_owned()
}
