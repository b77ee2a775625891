//! The anvil process: where it is found, how it is started, and that it never outlives us.

use std::env;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::DevnetError;

/// The version that `tools/setup-chain.sh` installs; a test holds the two together.
const ANVIL_VERSION: &str = "1.7.1";

/// A busy machine needs 3 to 5 s to start anvil; an idle one 0.1 s.
const START_TIME: Duration = Duration::from_secs(30);

/// How often its log is looked at while it starts.
const START_PAUSE: Duration = Duration::from_millis(5);

/// Blocks whose state is kept: far more than "finalised" lies back, and no file is written for it.
const STATES_KEPT: &str = "256";

/// What is shown of the log when anvil fails.
const LOG_TAIL_BYTES: usize = 600;

/// Runs its arguments until they end, or until its standard input closes; then kills them.
///
/// The other end of that input is held by us, so the kernel closes it however we end. Not
/// `PR_SET_PDEATHSIG`: that fires when the *thread* that started the child ends, as threads of
/// tests and of runtimes do, and only Linux has it.
const WATCHDOG: &str = r#"
exec 3<&0
"$@" 3<&- </dev/null & node=$!
{ read -r _; kill -9 "$node"; } <&3 & watcher=$!
wait "$node"; status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"#;

/// A running anvil. It dies with this value, and with this process.
#[derive(Debug)]
pub(crate) struct Node {
    watchdog: Child,
    /// Closing it ends the node.
    leash: Option<ChildStdin>,
    /// Where it answers.
    pub(crate) url: String,
}

impl Node {
    /// Starts anvil on a port (0: a free one) and waits until it listens.
    pub(crate) async fn start(port: u16, log: &Path) -> Result<Node, DevnetError> {
        let anvil = find()?;
        let mut watchdog = spawn(&anvil, port, log)
            .map_err(|error| DevnetError::NotStarted { program: anvil, error })?;
        let leash = watchdog.stdin.take();
        let mut node = Node { watchdog, leash, url: String::new() };
        node.url = tokio::time::timeout(START_TIME, node.listening(log))
            .await
            .map_err(|_| node_failed("does not listen after 30 s", log))??;
        Ok(node)
    }

    async fn listening(&mut self, log: &Path) -> Result<String, DevnetError> {
        loop {
            if let Some(address) = address_in(&read(log)) {
                return Ok(format!("http://{address}"));
            }
            if let Ok(Some(status)) = self.watchdog.try_wait() {
                return Err(node_failed(&ended(status), log));
            }
            tokio::time::sleep(START_PAUSE).await;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.leash.take());
        // The watchdog waits for the node, so that after this there is none; a kill is prompt.
        if let Err(error) = self.watchdog.wait() {
            tracing::warn!(%error, "the end of anvil could not be awaited");
        }
    }
}

/// Why these flags:
///
/// - `--block-time 1 --mixed-mining`: a block every second whatever happens, and one at once for
///   each transaction, so that tests wait 10 ms and not 1 s. Blocks of one second share a
///   timestamp, so the chain's time stays with the wall clock. It stalls when a flood of more than
///   a block's gas is sent without waiting for receipts: load tests need plain `--block-time 1`.
/// - `--slots-in-an-epoch 1`: two blocks behind the newest one is final.
/// - `--accounts 0`: anvil's own keys are known to everybody; all of ours are fresh.
/// - `--no-cors`: pages in a browser are not meant to read it.
fn spawn(anvil: &Path, port: u16, log: &Path) -> std::io::Result<Child> {
    let output = File::create(log)?;
    Command::new("/bin/sh")
        .args(["-c", WATCHDOG, "subrosa-devnet"])
        .arg(anvil)
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args(["--block-time", "1", "--mixed-mining", "--slots-in-an-epoch", "1"])
        .args(["--accounts", "0", "--no-cors", "--prune-history", STATES_KEPT])
        .args(["--color", "never"])
        .stdin(Stdio::piped())
        .stdout(output.try_clone()?)
        .stderr(output)
        // Ctrl-c in a terminal reaches its whole group; the pods still need the chain to stop well.
        .process_group(0)
        .spawn()
}

/// The anvil to start: `SUBROSA_ANVIL`, else the one in the cache, else the one on the path.
fn find() -> Result<PathBuf, DevnetError> {
    if let Some(path) = env::var_os("SUBROSA_ANVIL") {
        let path = PathBuf::from(path);
        return if path.is_file() { Ok(path) } else { Err(DevnetError::NoAnvil { path }) };
    }
    let cached = cache().map(|cache| cached_in(&cache));
    let on_path = env::var_os("PATH")
        .into_iter()
        .flat_map(|paths| env::split_paths(&paths).collect::<Vec<_>>())
        .map(|folder| folder.join("anvil"));
    let missing = || DevnetError::NoAnvil { path: cached.clone().unwrap_or("anvil".into()) };
    cached.clone().into_iter().chain(on_path).find(|path| path.is_file()).ok_or_else(missing)
}

fn cache() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("SUBROSA_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|path| path.join("subrosa")))
        .or_else(|| folder("HOME").map(|path| path.join(".cache/subrosa")))
}

fn cached_in(cache: &Path) -> PathBuf {
    let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    cache
        .join(format!("npm-foundry-{ANVIL_VERSION}/node_modules/@foundry-rs"))
        .join(format!("anvil-{system}-{machine}/bin/anvil"))
}

/// Where anvil says that it listens, once the line is whole.
fn address_in(log: &str) -> Option<&str> {
    let (_, rest) = log.split_once("Listening on ")?;
    rest.split_once('\n').map(|(address, _)| address.trim())
}

/// The log as far as it can be read: it only serves to learn the port and to explain a failure.
fn read(log: &Path) -> String {
    let mut bytes = Vec::new();
    let _ = File::open(log).and_then(|mut file| file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn ended(status: ExitStatus) -> String {
    format!("ended at once ({status})")
}

fn node_failed(problem: &str, log: &Path) -> DevnetError {
    let text = read(log);
    let mut start = text.len().saturating_sub(LOG_TAIL_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let tail = text[start..].trim().to_owned();
    DevnetError::Node { problem: problem.to_owned(), log: log.to_owned(), tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setup_script_installs_the_version_that_is_looked_for() {
        let script = include_str!("../../../tools/setup-chain.sh");
        assert!(script.contains(&format!("version={ANVIL_VERSION}\n")));
        let path = cached_in(Path::new("/cache"));
        assert!(path.starts_with(format!("/cache/npm-foundry-{ANVIL_VERSION}")), "{path:?}");
    }

    #[test]
    fn the_address_is_read_once_its_line_is_whole() {
        assert_eq!(address_in("x\nListening on 127.0.0.1:80"), None);
        assert_eq!(address_in("x\nListening on 127.0.0.1:8080\n"), Some("127.0.0.1:8080"));
        assert_eq!(address_in("\u{fffd}Listening"), None);
    }
}
