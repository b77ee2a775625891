//! Measures the built-in engine on a GGUF file and prints one line of JSON.
//!
//! ```text
//! cargo run -p subrosa-engine --example speed -- FILE [THREADS [RUNS]]
//! ```

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, bail};
use serde_json::json;
use subrosa_api::openai::{ChatRequest, Limits};
use subrosa_engine::{Builtin, BuiltinConfig, Engine, Event};

/// Words of the long prompt, and tokens of the long answer.
const PROMPT_WORDS: usize = 400;
const ANSWER_TOKENS: u64 = 192;

struct Run {
    input_tokens: u64,
    prompt_s: f64,
    output_tokens: u64,
    decode_s: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().context("name a GGUF file")?;
    let threads = arguments.next().map_or(Ok(2), |text| text.parse())?;
    let runs: usize = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let began = Instant::now();
    let config = BuiltinConfig { threads, ..BuiltinConfig::new("model", file) };
    let engine = Engine::Builtin(Builtin::open(config)?);
    let load_s = began.elapsed().as_secs_f64();
    let story = "Tell me a very long story about a lighthouse keeper and the sea.";
    let words: Vec<String> = (0..PROMPT_WORDS).map(|i| format!("word{}", i % 37)).collect();
    let (mut decode, mut prompt) = (0f64, 0f64);
    for _ in 0..runs {
        let run = measure(&engine, story, ANSWER_TOKENS).await?;
        decode = decode.max((run.output_tokens - 1) as f64 / run.decode_s);
        let run = measure(&engine, &words.join(" "), 1).await?;
        prompt = prompt.max(run.input_tokens as f64 / run.prompt_s);
    }
    let result = json!({
        "load_s": load_s,
        "threads": threads,
        "runs": runs,
        "decode_tokens_per_s": decode,
        "prompt_tokens_per_s": prompt,
    });
    writeln!(std::io::stdout(), "{result}")?;
    Ok(())
}

/// One greedy answer. Its prompt takes until `Started`, its decoding from there on.
async fn measure(engine: &Engine, text: &str, max_tokens: u64) -> anyhow::Result<Run> {
    let body = json!({
        "model": "model",
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
    });
    let request = ChatRequest::parse(body.to_string().as_bytes(), &Limits::default())?;
    let began = Instant::now();
    let mut generation = engine.chat(&engine.models()[0], &request, max_tokens).await?;
    let mut started = began;
    while let Some(event) = generation.next().await {
        match event? {
            Event::Started { .. } => started = Instant::now(),
            Event::Text(_) => {}
            Event::Finished { usage, .. } => {
                return Ok(Run {
                    input_tokens: usage.input_tokens,
                    prompt_s: (started - began).as_secs_f64(),
                    output_tokens: usage.output_tokens,
                    decode_s: started.elapsed().as_secs_f64(),
                });
            }
        }
    }
    bail!("the answer ended without an end")
}
