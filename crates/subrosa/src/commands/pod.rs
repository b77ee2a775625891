//! `subrosa pod`: run a pod, and tell a running one to claim.
//!
//! A running pod listens on a Unix socket in its state folder, which only its own user can reach.
//! One word goes in, one line of JSON comes out.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use subrosa_pod::{Deps, Pod, PodConfig};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::{config, doctor, stop_signal};
use crate::args::{Common, PodArgs, PodCommand};
use crate::output::{self, Output, Tone};

/// The socket's name in the state folder.
const CONTROL_SOCKET: &str = "control.sock";

/// The longest word that is listened to.
const WORD_BYTES_MAX: u64 = 64;

pub(crate) async fn run(common: &Common, args: PodArgs, output: &Output) -> Result<ExitCode> {
    match (args.command, args.config) {
        (Some(PodCommand::Run { config, leash }), _) => {
            serve(common, &config.config, leash, output).await
        }
        (Some(PodCommand::Claim { config }), _) => tell(&config.config, "claim", output).await,
        (Some(PodCommand::Doctor { config }), _) => doctor::run(config.as_deref(), output).await,
        (Some(PodCommand::Retire { config }), _) => tell(&config.config, "retire", output).await,
        (None, Some(config)) => serve(common, &config.config, args.leash, output).await,
        (None, None) => bail!(
            "which pod? name its configuration with --config FILE; \
             `subrosa config example pod` prints one to start from"
        ),
    }
}

pub(crate) fn load(path: &Path) -> Result<PodConfig> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    // Read once more for its messages, which suggest what was meant.
    config::pod(&text).with_context(|| path.display().to_string())?;
    Ok(PodConfig::load(path)?)
}

async fn serve(common: &Common, path: &Path, leash: bool, output: &Output) -> Result<ExitCode> {
    let config = load(path)?;
    let asked_for = config.operator.as_ref().is_some_and(|operator| {
        operator.passphrase_file.is_none() && operator.passphrase_env.is_none()
    });
    let passphrase = if asked_for { Some(common.passphrase()?) } else { None };
    let waiting = output.wait("loading the model");
    let deps = Deps::from_config(&config, passphrase).await?;
    let (name, socket) = (config.name.clone(), config.state_dir.join(CONTROL_SOCKET));
    waiting.tell("starting the pod");
    let pod = Pod::bind(config, deps).await?;
    drop(waiting);
    let control = listen(&socket)?;
    greet(&pod, &name, output);
    tokio::select! {
        stopped = stop_signal() => stopped?,
        () = obey(control, &pod) => {}
        () = until_stdin_ends(), if leash => {}
    }
    let _ = std::fs::remove_file(&socket);
    pod.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

fn greet(pod: &Pod, name: &str, output: &Output) {
    let address = pod.local_addr();
    if output.is_json() {
        return output::event(&json!({
            "event": "ready",
            "name": name,
            "address": address,
            "signer": pod.signer(),
            "id": pod.id(),
            "simulated": pod.is_simulated(),
        }));
    }
    if pod.is_simulated() {
        let word = output.paint(Tone::Warning, "SIMULATED");
        output.line(format!("{word} evidence: this pod proves nothing about hardware"));
    }
    output.line(format!("pod {name} answers at https://{address}, signer {}", pod.signer()));
    output.line("ctrl-c ends it");
}

fn listen(path: &Path) -> Result<UnixListener> {
    // The store's lock is ours by now, so a socket that is there was left by a pod that is gone.
    let _ = std::fs::remove_file(path);
    let told = || format!("cannot listen at {}; is the path too long?", path.display());
    let listener = UnixListener::bind(path).with_context(told)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).with_context(told)?;
    Ok(listener)
}

/// Obeys one word after the other, for as long as it is polled.
async fn obey(listener: UnixListener, pod: &Pod) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        let answer = match word(&mut stream).await.as_deref() {
            Some("claim") => claim(pod).await,
            Some("retire") => match pod.retire().await {
                Ok(()) => json!({"retired": pod.id()}),
                Err(error) => json!({"error": error.to_string()}),
            },
            _ => json!({"error": "a pod understands claim and retire"}),
        };
        // Whoever asked may be gone; the chain has what was done.
        let _ = stream.write_all(format!("{answer}\n").as_bytes()).await;
    }
}

async fn claim(pod: &Pod) -> Value {
    match pod.claim_now().await {
        Ok(report) => json!({
            "before": report.before,
            "after": report.after,
            "claimed": report.claimed,
            "rows": report.rows,
            "gas": report.gas,
            "transactions": report.transactions,
        }),
        Err(error) => json!({"error": error.to_string()}),
    }
}

async fn word(stream: &mut UnixStream) -> Option<String> {
    let mut line = String::new();
    BufReader::new(stream.take(WORD_BYTES_MAX)).read_line(&mut line).await.ok()?;
    Some(line.trim_end().to_owned())
}

async fn until_stdin_ends() {
    let mut stdin = tokio::io::stdin();
    let mut bytes = [0; 64];
    while stdin.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}

async fn tell(path: &Path, word: &str, output: &Output) -> Result<ExitCode> {
    let answer = command(&load(path)?.state_dir, word).await?;
    output.value(&answer);
    output.line(match word {
        "claim" => format!(
            "claimed {} on {} channels for {} gas; the payee held {} before and holds {} now",
            text(&answer["claimed"]),
            text(&answer["rows"]),
            text(&answer["gas"]),
            text(&answer["before"]),
            text(&answer["after"]),
        ),
        _ => "the pod is out of the registry; let it run until its channels are claimed".into(),
    });
    Ok(ExitCode::SUCCESS)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Sends a word to the pod that runs on this state folder, and gives its answer.
pub(crate) async fn command(state_dir: &Path, word: &str) -> Result<Value> {
    let socket = state_dir.join(CONTROL_SOCKET);
    let mut stream = UnixStream::connect(&socket)
        .await
        .with_context(|| format!("no pod is running on {}", state_dir.display()))?;
    stream.write_all(format!("{word}\n").as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    let answer: Value = serde_json::from_str(&line).context("the pod ended before it answered")?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => bail!("{error}"),
        None => Ok(answer),
    }
}
