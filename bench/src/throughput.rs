//! Tokens a second of the built-in engine, through the whole path and in process.

use anyhow::{Context, ensure};
use serde_json::json;
use subrosa_engine::catalogue::{Catalogue, verified_path};
use subrosa_engine::{Builtin, BuiltinConfig, Cache, Engine};
use subrosa_pod::BackendConfig;

use crate::answer::{directly, request, through};
use crate::house::{House, Place};
use crate::stats::{median, ratios};

/// The model that everything real is measured with.
pub const MODEL: &str = "smollm2";
/// Threads that multiply, of every engine.
pub const THREADS: usize = 2;
/// Tokens of one answer.
const ANSWER_TOKENS: u64 = 128;
/// An answer that is long by itself.
pub const STORY: &str = "Tell me a very long story about a lighthouse keeper and the sea.";

/// Tokens a second, round by round.
#[derive(Default)]
pub struct Throughput {
    direct: Vec<f64>,
    path: Vec<f64>,
}

impl Throughput {
    /// What of the engine's speed reaches the caller, in the middle of the rounds.
    pub fn ratio(&self) -> f64 {
        median(&ratios(&self.path, &self.direct))
    }

    /// The middle of each way: in process, through the path.
    pub fn medians(&self) -> [f64; 2] {
        [median(&self.direct), median(&self.path)]
    }

    /// How many rounds there were.
    pub fn rounds(&self) -> usize {
        self.direct.len()
    }
}

/// Asks both ways in turn, another one first in each round.
pub async fn measure(rounds: usize) -> anyhow::Result<Throughput> {
    let backend = BackendConfig::Builtin { model: MODEL.into(), parallel: 1, queue: 1 };
    let house = House::open(engine()?, backend, Place::Disk).await?;
    // The very same engine: two copies in memory would not be equally fast.
    let engine = house.pod.engine();
    let asked = request(json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": STORY}],
        "max_tokens": ANSWER_TOKENS,
        "temperature": 0,
    }))?;
    directly(engine, &asked).await?;
    through(&house.off, &asked).await?;
    let mut measured = Throughput::default();
    for round in 0..rounds {
        for way in 0..2 {
            let (timing, speeds) = match (way + round) % 2 {
                0 => (directly(engine, &asked).await?, &mut measured.direct),
                _ => (through(&house.off, &asked).await?, &mut measured.path),
            };
            ensure!(timing.output_tokens == ANSWER_TOKENS, "the story is too short");
            speeds.push(timing.tokens_per_s());
        }
    }
    house.close().await?;
    Ok(measured)
}

/// The built-in engine with the model of the cache.
pub fn engine() -> anyhow::Result<Engine> {
    let cache = Cache::from_env()?;
    let catalogue = Catalogue::compiled_in();
    let entry = catalogue.find(MODEL).context("the catalogue lost its model")?;
    let weights = entry.weights().context("the model has no one file of weights")?;
    verified_path(weights, &cache).context("run `subrosa models pull smollm2`")?;
    let config =
        BuiltinConfig::from_catalogue(entry, &cache).context("the model has no one file")?;
    Ok(Engine::Builtin(Builtin::open(BuiltinConfig { threads: THREADS, ..config })?))
}
