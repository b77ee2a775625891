//! One answer of the server, line by line, with its counts.

use std::sync::Arc;

use reqwest::{RequestBuilder, Response, StatusCode};
use subrosa_api::ndjson;

use super::vocabulary::Vocabulary;
use super::wire::Line;
use crate::generation::Producer;
use crate::{EngineError, Event, FinishReason, Usage};

/// Bytes of a line: one token's text, or the last line's counts.
const LINE_BYTES_MAX: usize = 1 << 20;
/// When a server whose queue is full is asked again.
const RETRY_AFTER_S: u64 = 5;

/// One question on its way.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) request: RequestBuilder,
    pub(super) vocabulary: Arc<Vocabulary>,
    pub(super) texts: Vec<String>,
    pub(super) bounds: Bounds,
}

/// What the server's counts must keep.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// More tokens than the prompt can have.
    pub(super) prompt_tokens_max: u64,
    /// The most tokens of prompt and answer together.
    pub(super) context_tokens: u64,
    /// The most tokens of the answer.
    pub(super) max_tokens: u64,
}

/// What a line means for the answer.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Text(String),
    Finished(String, FinishReason, Usage),
}

/// The reader went away.
struct Abandoned;

impl Answer {
    /// Sends the question and forwards what comes back, until it ends or the reader goes away. Then
    /// the connection is dropped, and the server stops.
    pub(super) async fn produce(self, producer: Producer) {
        let fault = tokio::select! {
            // A reader that is gone must not be charged for lines that arrived at the same moment.
            biased;
            () = producer.abandoned() => return,
            outcome = self.run(&producer) => outcome.err(),
        };
        if let Some(fault) = fault {
            producer.send(Err(fault)).await;
        }
    }

    async fn run(self, producer: &Producer) -> Result<(), EngineError> {
        let Answer { request, vocabulary, texts, bounds } = self;
        // The server reads the prompt in the meantime.
        let least = move || texts.iter().map(|text| vocabulary.least_tokens(text)).sum::<u64>();
        let mut least = Some(tokio::task::spawn_blocking(least));
        let mut response = open(request).await?;
        let mut decoder = ndjson::Decoder::new(LINE_BYTES_MAX);
        while let Some(bytes) = next_bytes(&mut response, producer).await? {
            let lines =
                decoder.push(&bytes).map_err(|_| ended(producer, "sent too long a line"))?;
            for line in lines {
                if let Some(least) = least.take() {
                    let input_tokens = least.await.unwrap_or_default();
                    producer.count_input(input_tokens);
                    if !producer.send(Ok(Event::Started { input_tokens })).await {
                        return Ok(());
                    }
                }
                match bounds.step(&line, producer)? {
                    Step::Text(text) => {
                        if forward(text, producer).await.is_err() {
                            return Ok(());
                        }
                    }
                    Step::Finished(text, reason, usage) => {
                        return finish((text, reason, usage), producer).await;
                    }
                }
            }
        }
        // Ollama ends so when its runner dies, and when it gives up on a model that repeats itself.
        Err(ended(producer, "closed the connection before the answer's end"))
    }
}

impl Bounds {
    fn step(&self, line: &[u8], producer: &Producer) -> Result<Step, EngineError> {
        let line: Line = serde_json::from_slice(line)
            .map_err(|_| ended(producer, "sent a line that is not of a known form"))?;
        if line.error.is_some() {
            return Err(ended(producer, "reported an error"));
        }
        if line.message.is_none() && !line.done {
            return Err(ended(producer, "sent a line that is not of a known form"));
        }
        let message = line.message.unwrap_or_default();
        if !message.tool_calls.is_empty() {
            return Err(ended(producer, "called a tool that nobody offered"));
        }
        if !line.done {
            producer.count_output((producer.usage().output_tokens + 1).min(self.max_tokens));
            return Ok(Step::Text(message.content));
        }
        let reason = match line.done_reason.as_deref() {
            Some("length") => FinishReason::Length,
            Some("stop") => FinishReason::Stop,
            _ => return Err(ended(producer, "ended for a reason that is not known")),
        };
        let (Some(input_tokens), Some(output_tokens)) = (line.prompt_eval_count, line.eval_count)
        else {
            return Err(ended(producer, "did not count the tokens"));
        };
        if input_tokens > self.prompt_tokens_max || input_tokens >= self.context_tokens {
            return Err(ended(producer, "counted more tokens than the prompt can have"));
        }
        // Its count includes the token that ends the turn, which may be one beyond the bound.
        let output_tokens = output_tokens.min(self.max_tokens);
        let usage = Usage { input_tokens, output_tokens };
        Ok(Step::Finished(message.content, reason, usage))
    }
}

async fn open(request: RequestBuilder) -> Result<Response, EngineError> {
    let response = request
        .send()
        .await
        .map_err(|_| EngineError::Backend("Ollama cannot be reached".into()))?;
    match response.status() {
        StatusCode::OK => Ok(response),
        StatusCode::SERVICE_UNAVAILABLE => Err(EngineError::Busy { retry_after_s: RETRY_AFTER_S }),
        status => Err(EngineError::Backend(format!("Ollama answers with status {status}"))),
    }
}

async fn next_bytes(
    response: &mut Response,
    producer: &Producer,
) -> Result<Option<bytes::Bytes>, EngineError> {
    response.chunk().await.map_err(|_| ended(producer, "broke the connection"))
}

/// Passes text on; a line without any, such as one of a model that thinks, is no event.
async fn forward(text: String, producer: &Producer) -> Result<(), Abandoned> {
    if text.is_empty() || producer.send(Ok(Event::Text(text))).await {
        return Ok(());
    }
    Err(Abandoned)
}

async fn finish(
    (text, reason, usage): (String, FinishReason, Usage),
    producer: &Producer,
) -> Result<(), EngineError> {
    producer.count_input(usage.input_tokens);
    producer.count_output(usage.output_tokens);
    if forward(text, producer).await.is_ok() {
        producer.send(Ok(Event::Finished { reason, usage })).await;
    }
    Ok(())
}

/// The fault of an answer that ends so. The server's own words are not repeated: they may quote the
/// prompt.
fn ended(producer: &Producer, how: &str) -> EngineError {
    match producer.usage().output_tokens {
        0 => EngineError::Backend(format!("Ollama {how}")),
        output_tokens => EngineError::Died { output_tokens },
    }
}
