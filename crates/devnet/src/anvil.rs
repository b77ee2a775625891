//! The node's process: found, started, and stopped whatever happens to us.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The version that `tools/setup-chain.sh` installs.
const VERSION: &str = "1.7.1";

/// On a busy machine the node needs 5 s to listen.
const START_TIME: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The node, and beside it a shell that ends the node should this process die without a word.
pub(crate) struct Anvil {
    node: Child,
    watchdog: Child,
    port: u16,
}

impl Anvil {
    /// Starts the node and returns when it listens.
    ///
    /// A block comes every second, so that time passes, and one at once for each transaction, so
    /// that nobody waits; blocks of one second share its timestamp, so the chain's time stays that
    /// of the wall clock. With an epoch of one block, a block is final two blocks later.
    pub(crate) async fn start(chain_id: u64, port: u16, log: &Path) -> Result<Anvil, AnvilError> {
        let program = find()?;
        let failed = |error| AnvilError::Start { program: program.clone(), error };
        let output = File::create(log).map_err(failed)?;
        let mut command = Command::new(&program);
        command
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--chain-id", &chain_id.to_string(), "--accounts", "1"])
            .args(["--block-time", "1", "--mixed-mining", "--slots-in-an-epoch", "1"])
            .args(["--hardfork", "prague"])
            .stdin(Stdio::null())
            .stderr(output.try_clone().map_err(failed)?)
            .stdout(output)
            // Ctrl-c in the terminal is for us: the node must outlive our last claims.
            .process_group(0);
        let mut node = command.spawn().map_err(failed)?;
        let watchdog = watchdog(&node).map_err(|error| {
            let _ = node.kill();
            failed(error)
        })?;
        let mut anvil = Anvil { node, watchdog, port };
        anvil.port = anvil.listening(log).await?;
        Ok(anvil)
    }

    /// Where the node listens.
    pub(crate) fn rpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits until the log names the port.
    async fn listening(&mut self, log: &Path) -> Result<u16, AnvilError> {
        let start = Instant::now();
        while start.elapsed() < START_TIME {
            let text = fs::read_to_string(log).unwrap_or_default();
            if let Some(port) = port_in(&text) {
                return Ok(port);
            }
            if let Ok(Some(_)) = self.node.try_wait() {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(AnvilError::NotListening { log: log.to_owned() })
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // The watchdog goes first: after the node's end its process id may be somebody else's.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

/// A shell whose standard input ends when this process ends, however that happens.
fn watchdog(node: &Child) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", "cat >/dev/null; kill \"$0\"", &node.id().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

fn port_in(log: &str) -> Option<u16> {
    let line = log.lines().find_map(|line| line.strip_prefix("Listening on "))?;
    line.rsplit(':').next()?.trim().parse().ok()
}

/// `SUBROSA_ANVIL`, else the cache, else the search path.
fn find() -> Result<PathBuf, AnvilError> {
    if let Some(program) = env::var_os("SUBROSA_ANVIL").map(PathBuf::from) {
        return if program.is_file() { Ok(program) } else { Err(AnvilError::Named { program }) };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join("anvil"));
    cached().into_iter().chain(on_path).find(|program| program.is_file()).ok_or(AnvilError::Missing)
}

/// Where `tools/setup-chain.sh` puts it.
fn cached() -> Option<PathBuf> {
    let platform = match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => "linux-amd64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "x86_64") => "darwin-amd64",
        ("macos", "aarch64") => "darwin-arm64",
        _ => return None,
    };
    let package = format!("node_modules/@foundry-rs/anvil-{platform}/bin/anvil");
    Some(cache_folder()?.join(format!("npm-foundry-{VERSION}")).join(package))
}

fn cache_folder() -> Option<PathBuf> {
    let named = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("SUBROSA_CACHE")
        .or_else(|| named("XDG_CACHE_HOME").map(|folder| folder.join("subrosa")))
        .or_else(|| named("HOME").map(|folder| folder.join(".cache/subrosa")))
}

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum AnvilError {
    /// It is installed nowhere.
    #[error("anvil, the development node, is not installed; run `make setup`")]
    Missing,
    /// `SUBROSA_ANVIL` names no file.
    #[error("SUBROSA_ANVIL names {}, which is no file", program.display())]
    Named {
        /// What it names.
        program: PathBuf,
    },
    /// It ended, or did not listen in time.
    #[error("anvil did not start to listen; {} says why", log.display())]
    NotListening {
        /// Its log.
        log: PathBuf,
    },
    /// It cannot be run.
    #[error("{} cannot be run: {error}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_log() {
        assert_eq!(port_in("x\n\nListening on 127.0.0.1:37997\n"), Some(37997));
        // Half a line may be written when we look.
        assert_eq!(port_in("Listening on 127.0.0.1:"), None);
        assert_eq!(port_in("Listening"), None);
        assert_eq!(port_in(""), None);
    }
}
