//! What the whole path adds to the time of the first token.

use std::time::Duration;

use serde_json::json;
use subrosa_engine::{Engine, Script, Scripted};
use subrosa_pod::BackendConfig;

use crate::answer::{directly, request, through};
use crate::house::{House, Place};
use crate::stats::{differences, median, quantile};

const MODEL: &str = "script";
const ANSWER: &str = "The answer is 42.";
const PREFILL_MS: u64 = 20;

/// In process, without ticks, at the default tick, without a disk; the last two without a prefill.
const WAYS: usize = 6;
const TICKED: usize = 2;

/// An answer at the default tick takes a second and more, since it is filled up to its class: it is
/// asked for once in so many rounds.
const TICKED_EVERY: usize = 8;

/// Connections open and caches fill before anything counts.
const ROUNDS_BEFORE: usize = 10;

/// Questions begin at any moment of a timer's millisecond, as in life; without this the engine's timer
/// would hide what comes before it.
const JITTER_US: u64 = 3_000;

/// Milliseconds from the question to the first token, round by round.
#[derive(Default)]
pub struct FirstToken {
    direct: Vec<f64>,
    off: Vec<f64>,
    ticked: Vec<f64>,
    /// Without ticks, with the ledgers of both sides in memory.
    off_in_memory: Vec<f64>,
    /// The same with an engine that needs no time for its prompt, and that engine in process.
    at_once: Vec<f64>,
    direct_at_once: Vec<f64>,
}

impl FirstToken {
    /// What the path adds without ticks: that part of the rounds has less.
    pub fn added(&self, part: f64) -> f64 {
        quantile(&differences(&self.off, &self.direct), part)
    }

    /// What the path adds at the default tick: the difference of the middles, as it has fewer rounds.
    pub fn ticked(&self) -> f64 {
        median(&self.ticked) - median(&self.direct)
    }

    /// What the path adds without ticks and without a disk, in the middle.
    pub fn added_in_memory(&self) -> f64 {
        median(&differences(&self.off_in_memory, &self.direct))
    }

    /// The same for an engine that answers at once. The engine's clock, which counts in milliseconds,
    /// is then not a part of it, nor what grows cold while the engine thinks.
    pub fn added_at_once(&self) -> f64 {
        median(&differences(&self.at_once, &self.direct_at_once))
    }

    /// The middle of each way: in process, without ticks, at the default tick.
    pub fn medians(&self) -> [f64; 3] {
        [median(&self.direct), median(&self.off), median(&self.ticked)]
    }

    /// How many rounds there were.
    pub fn rounds(&self) -> usize {
        self.direct.len()
    }
}

/// Asks every way in turn, another one first in each round.
pub async fn measure(rounds: usize) -> anyhow::Result<FirstToken> {
    let house = open(PREFILL_MS, Place::Disk).await?;
    let in_memory = open(PREFILL_MS, Place::Memory).await?;
    let at_once = open(0, Place::Memory).await?;
    let mut measured = FirstToken::default();
    for round in 0..ROUNDS_BEFORE + rounds {
        if round == ROUNDS_BEFORE {
            measured = FirstToken::default();
        }
        for way in 0..WAYS {
            let way = (way + round) % WAYS;
            if way == TICKED && round % TICKED_EVERY != 0 {
                continue;
            }
            let asked = request(json!({
                "model": MODEL,
                "messages": [{"role": "user", "content": format!("Question {round}?")}],
                "max_tokens": 16,
            }))?;
            std::thread::sleep(Duration::from_micros(rand::random_range(0..JITTER_US)));
            let (timing, times) = match way {
                0 => (directly(house.pod.engine(), &asked).await?, &mut measured.direct),
                1 => (through(&house.off, &asked).await?, &mut measured.off),
                TICKED => (through(&house.ticked, &asked).await?, &mut measured.ticked),
                3 => (through(&in_memory.off, &asked).await?, &mut measured.off_in_memory),
                4 => (through(&at_once.off, &asked).await?, &mut measured.at_once),
                _ => (directly(at_once.pod.engine(), &asked).await?, &mut measured.direct_at_once),
            };
            times.push(timing.first_token.as_secs_f64() * 1e3);
        }
    }
    for house in [house, in_memory, at_once] {
        house.close().await?;
    }
    Ok(measured)
}

/// A house whose engine follows a script.
async fn open(prefill_ms: u64, place: Place) -> anyhow::Result<House> {
    let script = Script {
        tokens: ANSWER.split_inclusive(' ').map(str::to_owned).collect(),
        prefill: Duration::from_millis(prefill_ms),
        per_token: Duration::ZERO,
    };
    let engine = Engine::Scripted(Scripted::new(MODEL, script));
    let backend = BackendConfig::Scripted {
        model: MODEL.into(),
        answer: ANSWER.into(),
        prefill_ms,
        per_token_ms: 0,
    };
    House::open(engine, backend, place).await
}
