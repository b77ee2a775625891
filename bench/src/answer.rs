//! One question, put to an engine in this process or through the whole path, and how long it took.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use subrosa_api::openai::{ChatRequest, Limits};
use subrosa_api::sse::Decoder;
use subrosa_client::Client;
use subrosa_engine::{Engine, Event};

/// An event of a stream is far smaller.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// When an answer came.
pub struct Timing {
    /// From the question until its prompt was read; in this process alone.
    pub prompt: Option<Duration>,
    /// From the question until the first token's text was in the caller's hands.
    pub first_token: Duration,
    /// From the question until the answer's end.
    pub whole: Duration,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
}

impl Timing {
    /// Tokens a second, the prompt's time included.
    pub fn tokens_per_s(&self) -> f64 {
        self.output_tokens as f64 / self.whole.as_secs_f64()
    }
}

/// A request for a streamed, greedy answer.
pub fn request(body: Value) -> anyhow::Result<ChatRequest> {
    let mut request = ChatRequest::parse(body.to_string().as_bytes(), &Limits::default())?;
    request.set_stream(true);
    Ok(request)
}

/// Asks the engine itself.
pub async fn directly(engine: &Engine, request: &ChatRequest) -> anyhow::Result<Timing> {
    let model = engine.models().first().context("the engine serves no model")?;
    let max_tokens = request.max_tokens().unwrap_or(model.output_tokens_max);
    let began = Instant::now();
    let mut generation = engine.chat(model, request, max_tokens).await?;
    let (mut prompt, mut first_token) = (None, None);
    while let Some(event) = generation.next().await {
        match event? {
            Event::Started { .. } => prompt = Some(began.elapsed()),
            Event::Text(_) => first_token = first_token.or_else(|| Some(began.elapsed())),
            Event::Finished { usage, .. } => {
                return Ok(Timing {
                    prompt,
                    first_token: first_token.context("the answer has no text")?,
                    whole: began.elapsed(),
                    input_tokens: usage.input_tokens,
                    output_tokens: usage.output_tokens,
                });
            }
        }
    }
    bail!("the answer ended without an end")
}

/// Asks through client, seal, HTTPS and pod, and waits for the receipt, which is not timed.
pub async fn through(client: &Client, request: &ChatRequest) -> anyhow::Result<Timing> {
    let request = request.clone();
    let began = Instant::now();
    let mut answer = client.ask(request).await?;
    ensure!(answer.status == 200, "the pod answers with status {}", answer.status);
    let mut decoder = Decoder::new(EVENT_BYTES_MAX);
    let mut first_token = None;
    while let Some(piece) = answer.next().await {
        for event in decoder.push(&piece?)? {
            if first_token.is_none() && has_text(&event.data) {
                first_token = Some(began.elapsed());
            }
        }
    }
    let whole = began.elapsed();
    let receipt = answer.receipt().await.context("there is no receipt")?;
    ensure!(receipt.verified, "the receipt does not verify");
    Ok(Timing {
        prompt: None,
        first_token: first_token.context("the answer has no text")?,
        whole,
        input_tokens: receipt.input_tokens,
        output_tokens: receipt.output_tokens,
    })
}

/// Whether a chunk carries text of the answer: the first one names the role only.
fn has_text(data: &str) -> bool {
    let Ok(chunk) = serde_json::from_str::<Value>(data) else { return false };
    chunk["choices"][0]["delta"]["content"].as_str().is_some_and(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_chunk_with_text_counts_as_a_token() {
        assert!(has_text(r#"{"choices":[{"delta":{"content":"a"}}]}"#));
        assert!(!has_text(r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#));
        assert!(!has_text(r#"{"choices":[],"usage":{}}"#));
        assert!(!has_text("[DONE]"));
    }
}
