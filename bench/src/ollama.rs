//! The built-in engine against a real Ollama server, on the same file with as many threads.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use subrosa_engine::catalogue::{Catalogue, verified_path};
use subrosa_engine::{Cache, Engine};
use tempfile::TempDir;

use crate::answer::{directly, request};
use crate::stats::{median, ratios};
use crate::throughput::{self, MODEL, STORY, THREADS};

/// How long the server may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

const CONTEXT_TOKENS: u64 = 2_048;
const ANSWER_TOKENS: u64 = 192;
/// Some thousand tokens.
const PROMPT_WORDS: usize = 900;

/// One word is one token, with few exceptions.
const WORDS: [&str; 32] = [
    "the", "sea", "light", "keeper", "storm", "and", "house", "night", "wind", "stone", "a",
    "ship", "water", "old", "door", "morning", "letter", "of", "rope", "bird", "window", "salt",
    "road", "hand", "with", "summer", "field", "river", "bread", "under", "glass", "song",
];

/// Tokens a second, round by round.
#[derive(Default)]
pub struct Speeds {
    decode: Vec<f64>,
    prompt: Vec<f64>,
    /// Tokens of the last long prompt.
    pub prompt_tokens: u64,
}

/// Both engines.
#[derive(Default)]
pub struct Engines {
    pub builtin: Speeds,
    pub ollama: Speeds,
}

impl Speeds {
    /// The middle of decoding and of reading a prompt.
    pub fn medians(&self) -> [f64; 2] {
        [median(&self.decode), median(&self.prompt)]
    }
}

impl Engines {
    /// How many times faster the built-in engine decodes.
    pub fn decode(&self) -> f64 {
        median(&ratios(&self.builtin.decode, &self.ollama.decode))
    }

    /// How many times faster the built-in engine reads a prompt.
    pub fn prompt(&self) -> f64 {
        median(&ratios(&self.builtin.prompt, &self.ollama.prompt))
    }
}

/// Asks both engines the same things in turn, another one first in each round.
pub async fn measure(rounds: usize) -> anyhow::Result<Engines> {
    let server = tokio::task::spawn_blocking(Server::start).await??;
    let builtin = throughput::engine()?;
    let mut measured = Engines::default();
    // The first answer of a server includes loading the model.
    server.ask(&body(STORY, 1)).await?;
    for round in 0..rounds {
        let story = body(STORY, ANSWER_TOKENS);
        let prompt = body(&long_prompt(), 1);
        for turn in 0..2 {
            match (turn + round) % 2 {
                0 => ask_builtin(&builtin, &story, &prompt, &mut measured.builtin).await?,
                _ => ask_ollama(&server, &story, &prompt, &mut measured.ollama).await?,
            }
        }
    }
    tokio::task::spawn_blocking(move || drop(server)).await?;
    Ok(measured)
}

async fn ask_builtin(
    engine: &Engine,
    story: &Value,
    prompt: &Value,
    speeds: &mut Speeds,
) -> anyhow::Result<()> {
    let timing = directly(engine, &request(story.clone())?).await?;
    let read = timing.prompt.context("the prompt was not read")?;
    // From the first token to the last: there is one step fewer than there are tokens.
    let steps = timing.output_tokens.saturating_sub(1);
    speeds.decode.push(steps as f64 / (timing.whole - read).as_secs_f64());
    let timing = directly(engine, &request(prompt.clone())?).await?;
    let read = timing.prompt.context("the prompt was not read")?;
    speeds.prompt.push(timing.input_tokens as f64 / read.as_secs_f64());
    speeds.prompt_tokens = timing.input_tokens;
    Ok(())
}

async fn ask_ollama(
    server: &Server,
    story: &Value,
    prompt: &Value,
    speeds: &mut Speeds,
) -> anyhow::Result<()> {
    let told = server.ask(story).await?;
    speeds.decode.push(told.eval_count.saturating_sub(1) as f64 / seconds(told.eval_duration));
    let told = server.ask(prompt).await?;
    speeds.prompt.push(told.prompt_eval_count as f64 / seconds(told.prompt_eval_duration));
    speeds.prompt_tokens = told.prompt_eval_count;
    Ok(())
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// A greedy chat. Its first message is new every time, so that no server has read it before.
fn body(text: &str, max_tokens: u64) -> Value {
    let number: u64 = rand::random();
    json!({
        "model": MODEL,
        "messages": [
            {"role": "system", "content": format!("{number} is the number of this chat.")},
            {"role": "user", "content": text},
        ],
        "max_tokens": max_tokens,
        "temperature": 0,
    })
}

fn long_prompt() -> String {
    let word = |_| WORDS[rand::random_range(0..WORDS.len())];
    (0..PROMPT_WORDS).map(word).collect::<Vec<_>>().join(" ")
}

/// What the server counted and timed itself.
#[derive(Deserialize)]
struct Told {
    prompt_eval_count: u64,
    prompt_eval_duration: u64,
    eval_count: u64,
    eval_duration: u64,
}

/// A server with the model imported, in a folder of its own.
struct Server {
    child: Child,
    address: SocketAddr,
    http: reqwest::Client,
    folder: TempDir,
}

impl Server {
    fn start() -> anyhow::Result<Server> {
        let cache = Cache::from_env()?;
        let binary = std::env::var_os("SUBROSA_OLLAMA")
            .map_or_else(|| cache.root().join("ollama-0.6.5/ollama"), PathBuf::from);
        let catalogue = Catalogue::compiled_in();
        let weights = catalogue.find(MODEL).and_then(|entry| entry.weights());
        let weights = verified_path(weights.context("the catalogue lost its model")?, &cache)?;
        let folder = tempfile::tempdir()?;
        // The port is free until the server takes it: nothing else asks for ports in between.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = command(&binary, address, folder.path())
            .arg("serve")
            .spawn()
            .with_context(|| format!("no Ollama at {}; run make ollama", binary.display()))?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let server = Server { child, address, http, folder };
        server.import(&binary, &weights)?;
        Ok(server)
    }

    fn import(&self, binary: &Path, weights: &Path) -> anyhow::Result<()> {
        let folder = self.folder.path();
        let deadline = Instant::now() + PATIENCE;
        while !command(binary, self.address, folder).arg("list").status()?.success() {
            ensure!(Instant::now() < deadline, "Ollama does not listen");
            std::thread::sleep(LOOK_EVERY);
        }
        let modelfile = folder.join("Modelfile");
        std::fs::write(&modelfile, format!("FROM {}\n", weights.display()))?;
        let mut create = command(binary, self.address, folder);
        let created = create.args(["create", MODEL, "-f"]).arg(&modelfile).status()?;
        ensure!(created.success(), "Ollama does not import the model");
        Ok(())
    }

    async fn ask(&self, body: &Value) -> anyhow::Result<Told> {
        let asked = json!({
            "model": MODEL,
            "messages": body["messages"],
            "stream": false,
            "options": {
                "num_thread": THREADS,
                "num_ctx": CONTEXT_TOKENS,
                "num_predict": body["max_tokens"],
                "temperature": 0,
            },
        });
        let url = format!("http://{}/api/chat", self.address);
        let response = self.http.post(url).json(&asked).send().await?.error_for_status()?;
        Ok(response.json().await?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server stops its runner on this signal, which a kill would leave behind.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn command(binary: &Path, address: SocketAddr, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .env("OLLAMA_HOST", address.to_string())
        .env("OLLAMA_MODELS", folder.join("models"))
        .env("OLLAMA_NUM_PARALLEL", "1")
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
