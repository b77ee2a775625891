//! The node's process: found, started, and stopped whatever happens to us.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The version that `tools/setup-chain.sh` installs; a test holds the two together.
const VERSION: &str = "1.7.1";

/// On a busy machine the node needs 5 s to listen.
const START_TIME: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Blocks whose state is kept, in memory: far more than finality lies back. Without the limit the
/// node would keep older ones in files of the user's home.
const STATES_KEPT: &str = "256";

/// How much of the log an error shows: the log may be gone with its folder.
const LOG_TAIL_CHARS: usize = 600;

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
    /// of the wall clock. A flood of more than a block's gas without waiting for receipts can stall
    /// such a node: tests under load need one without `--mixed-mining`. With an epoch of one block,
    /// a block is final two blocks later.
    ///
    /// The node's own rich accounts are known to everybody, so it gets none; and it answers no page
    /// in a browser.
    pub(crate) async fn start(chain_id: u64, port: u16, log: &Path) -> Result<Anvil, AnvilError> {
        let program = find(|name| env::var_os(name))?;
        let failed = |error| AnvilError::Start { program: program.clone(), error };
        let output = File::create(log).map_err(failed)?;
        let mut command = Command::new(&program);
        command
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--chain-id", &chain_id.to_string(), "--accounts", "0", "--no-cors"])
            .args(["--block-time", "1", "--mixed-mining", "--slots-in-an-epoch", "1"])
            .args(["--hardfork", "prague", "--prune-history", STATES_KEPT, "--color", "never"])
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
            // Looked at before the log, so that the log of a node that ended is whole.
            let ended = matches!(self.node.try_wait(), Ok(Some(_)));
            if let Some(port) = port_in(&read(log)) {
                return Ok(port);
            }
            if ended {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(AnvilError::NotListening { log: log.to_owned(), tail: tail_of(&read(log)) })
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
///
/// Linux could kill the node by itself (`PR_SET_PDEATHSIG`), but does so when the thread that
/// started it ends, as those of tests and runtimes do.
fn watchdog(node: &Child) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", "cat >/dev/null; kill -9 \"$0\"", &node.id().to_string()])
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

/// The log as far as it can be read: it only serves to learn the port and to explain a failure.
fn read(log: &Path) -> String {
    fs::read(log).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into())
}

fn tail_of(log: &str) -> String {
    let skipped = log.chars().count().saturating_sub(LOG_TAIL_CHARS);
    log.chars().skip(skipped).collect::<String>().trim().to_owned()
}

/// `SUBROSA_ANVIL`, else the cache, else the search path.
fn find(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, AnvilError> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(program) = variable("SUBROSA_ANVIL").map(PathBuf::from) {
        return if program.is_file() { Ok(program) } else { Err(AnvilError::Named { program }) };
    }
    let path = variable("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join("anvil"));
    let cached = cache_folder(variable).and_then(|cache| cached_in(&cache));
    cached.into_iter().chain(on_path).find(|program| program.is_file()).ok_or(AnvilError::Missing)
}

/// Where `tools/setup-chain.sh` puts it.
fn cached_in(cache: &Path) -> Option<PathBuf> {
    let platform = match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => "linux-amd64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "x86_64") => "darwin-amd64",
        ("macos", "aarch64") => "darwin-arm64",
        _ => return None,
    };
    let package = format!("node_modules/@foundry-rs/anvil-{platform}/bin/anvil");
    Some(cache.join(format!("npm-foundry-{VERSION}")).join(package))
}

fn cache_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name| variable(name).map(PathBuf::from);
    folder("SUBROSA_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|folder| folder.join("subrosa")))
        .or_else(|| folder("HOME").map(|folder| folder.join(".cache/subrosa")))
}

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum AnvilError {
    /// It is installed nowhere.
    #[error(
        "anvil, the development node, is not installed; run `make setup`, \
             or name one in SUBROSA_ANVIL"
    )]
    Missing,
    /// `SUBROSA_ANVIL` names no file.
    #[error("SUBROSA_ANVIL names {}, which is no file", program.display())]
    Named {
        /// What it names.
        program: PathBuf,
    },
    /// It ended, or did not listen in time.
    #[error("anvil did not start to listen; its log {} ends with:\n{tail}", log.display())]
    NotListening {
        /// Its log.
        log: PathBuf,
        /// The end of the log.
        tail: String,
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
    fn the_setup_script_installs_the_version_that_is_looked_for() {
        let script = include_str!("../../../tools/setup-chain.sh");
        assert!(script.contains(&format!("version={VERSION}\n")));
    }

    /// Looks for anvil where only these variables are set.
    fn find_with(variables: &[(&str, &Path)]) -> Result<PathBuf, AnvilError> {
        find(|name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, path)| path.as_os_str().to_owned())
        })
    }

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn the_named_anvil_comes_before_the_cached_one_and_that_before_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, bin) = (folder.path().join("cache"), folder.path().join("bin"));
        let (named, cached) = (folder.path().join("mine"), cached_in(&cache).unwrap());
        let variables =
            [("SUBROSA_ANVIL", named.as_path()), ("SUBROSA_CACHE", &cache), ("PATH", &bin)];
        touch(&bin.join("anvil"));
        assert_eq!(find_with(&variables[1..]).unwrap(), bin.join("anvil"));
        touch(&cached);
        assert_eq!(find_with(&variables[1..]).unwrap(), cached);
        touch(&named);
        assert_eq!(find_with(&variables).unwrap(), named);
    }

    #[test]
    fn a_named_anvil_that_is_not_there_is_not_replaced_by_another() {
        let folder = tempfile::tempdir().unwrap();
        touch(&folder.path().join("anvil"));
        let named = folder.path().join("missing");
        let found = find_with(&[("SUBROSA_ANVIL", &named), ("PATH", folder.path())]);
        assert!(matches!(found, Err(AnvilError::Named { program }) if program == named));
    }

    #[test]
    fn without_an_anvil_the_error_says_how_to_get_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = find_with(&[("HOME", folder.path())]).unwrap_err().to_string();
        assert!(error.contains("make setup"), "{error}");
    }

    #[test]
    fn only_the_end_of_a_log_is_shown() {
        assert_eq!(tail_of(" short\n"), "short");
        assert_eq!(tail_of(&"é".repeat(700)), "é".repeat(600));
    }

    #[test]
    fn the_port_is_read_from_the_log() {
        assert_eq!(port_in("x\n\nListening on 127.0.0.1:37997\n"), Some(37997));
        // Half a line may be written when we look.
        assert_eq!(port_in("Listening on 127.0.0.1:"), None);
        assert_eq!(port_in("Listening"), None);
        assert_eq!(port_in(""), None);
    }
}
