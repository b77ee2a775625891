//! Set answers at set times, with set faults, for tests and benches.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use subrosa_api::openai::ChatRequest;
use subrosa_protocol::manifest::{Layer, ModelManifest};
use tokio::time::sleep;

use crate::engine::check_max_tokens;
use crate::generation::{self, Producer};
use crate::{EngineError, Event, FinishReason, Generation, ServedModel};

/// What a scripted engine says, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The answer's tokens, in order; the answer ends by itself after the last.
    pub tokens: Vec<String>,
    /// How long the prompt takes.
    pub prefill: Duration,
    /// How long each token takes.
    pub per_token: Duration,
}

/// What goes wrong in a scripted engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every chat is refused for want of a place.
    Busy {
        /// What the refusal says.
        retry_after_s: u64,
    },
    /// The backend dies in the middle of each answer.
    DieAfter {
        /// Tokens that are generated before.
        tokens: u64,
    },
}

/// An engine that follows a script. It reads time from tokio only, so that a paused clock works.
///
/// A prompt has as many tokens as its messages have words, and at least one.
#[derive(Debug)]
pub struct Scripted {
    models: Vec<ServedModel>,
    script: Script,
    fault: Mutex<Option<Fault>>,
}

/// Prompt and answer of a scripted model, together.
const CONTEXT_TOKENS: u64 = 1 << 20;
/// One answer of a scripted model.
const OUTPUT_TOKENS_MAX: u64 = 1 << 16;

impl Scripted {
    /// An engine that serves one model of that name.
    pub fn new(name: &str, script: Script) -> Self {
        let text = json!(script.tokens).to_string();
        let layer = Layer {
            role: "weights".into(),
            path: "script.json".into(),
            size: text.len() as u64,
            sha256: crate::engine::sha256(text.as_bytes()),
        };
        let manifest = ModelManifest::new(vec![layer]).expect("one plain layer is a manifest");
        let model = ServedModel {
            name: name.into(),
            digest: manifest.digest(),
            manifest,
            context_tokens: CONTEXT_TOKENS,
            // An empty prompt counts as one token, and no word is shorter than a byte.
            template_bound: 1,
            output_tokens_max: OUTPUT_TOKENS_MAX,
            settings: serde_json::Map::new(),
        };
        Scripted { models: vec![model], script, fault: Mutex::new(None) }
    }

    /// What this engine serves.
    pub fn models(&self) -> &[ServedModel] {
        &self.models
    }

    /// Makes chats that begin from now on fail in that way, or no longer.
    pub fn set_fault(&self, fault: Option<Fault>) {
        *self.fault.lock().expect("no holder of this lock panics") = fault;
    }

    pub(crate) async fn chat(
        &self,
        model: &ServedModel,
        request: &ChatRequest,
        max_tokens: u64,
    ) -> Result<Generation, EngineError> {
        if !self.models.iter().any(|served| served.digest == model.digest) {
            return Err(EngineError::UnknownModel { name: model.name.clone() });
        }
        check_max_tokens(max_tokens, OUTPUT_TOKENS_MAX)?;
        let fault = *self.fault.lock().expect("no holder of this lock panics");
        if let Some(Fault::Busy { retry_after_s }) = fault {
            return Err(EngineError::Busy { retry_after_s });
        }
        let input_tokens = words(request);
        let limit = CONTEXT_TOKENS - 1;
        if input_tokens > limit {
            return Err(EngineError::PromptTooLong { tokens: input_tokens, limit });
        }
        let (producer, generation) = generation::channel();
        let script = self.script.clone();
        tokio::spawn(play(producer, script, fault, input_tokens, max_tokens));
        Ok(generation)
    }
}

fn words(request: &ChatRequest) -> u64 {
    let texts = request.messages().iter().filter_map(|message| message.content.text());
    let words: usize = texts.map(|text| text.split_whitespace().count()).sum();
    words.max(1) as u64
}

/// Plays the script to its end, or until nobody listens.
async fn play(
    producer: Producer,
    script: Script,
    fault: Option<Fault>,
    input_tokens: u64,
    max_tokens: u64,
) {
    if !wait(&producer, script.prefill).await {
        return;
    }
    producer.count_input(input_tokens);
    if !producer.send(Ok(Event::Started { input_tokens })).await {
        return;
    }
    let mut output_tokens = 0;
    for token in &script.tokens {
        if output_tokens == max_tokens {
            break;
        }
        if fault == Some(Fault::DieAfter { tokens: output_tokens }) {
            producer.send(Err(EngineError::Died { output_tokens })).await;
            return;
        }
        if !wait(&producer, script.per_token).await {
            return;
        }
        output_tokens += 1;
        producer.count_output(output_tokens);
        if !token.is_empty() && !producer.send(Ok(Event::Text(token.clone()))).await {
            return;
        }
    }
    let all_said = output_tokens == script.tokens.len() as u64;
    let reason = if all_said { FinishReason::Stop } else { FinishReason::Length };
    let usage = producer.usage();
    producer.send(Ok(Event::Finished { reason, usage })).await;
}

/// Waits; false when the reader went away meanwhile.
async fn wait(producer: &Producer, time: Duration) -> bool {
    if time.is_zero() {
        return !producer.is_abandoned();
    }
    tokio::select! {
        () = sleep(time) => true,
        () = producer.abandoned() => false,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::Usage;

    fn engine() -> Scripted {
        Scripted::new(
            "script",
            Script {
                tokens: vec!["Hel".into(), "lo".into(), "!".into()],
                prefill: Duration::from_millis(20),
                per_token: Duration::from_millis(5),
            },
        )
    }

    async fn ask(engine: &Scripted, max_tokens: u64) -> Result<Generation, EngineError> {
        let request = ChatRequest::ask("script", "two words");
        engine.chat(&engine.models()[0], &request, max_tokens).await
    }

    async fn all(mut generation: Generation) -> Vec<Result<Event, EngineError>> {
        let mut events = Vec::new();
        while let Some(event) = generation.next().await {
            events.push(event);
        }
        events
    }

    #[tokio::test(start_paused = true)]
    async fn plays_its_tokens_at_their_times() {
        let engine = engine();
        let begun = Instant::now();
        let events = all(ask(&engine, 10).await.unwrap()).await;
        let usage = Usage { input_tokens: 2, output_tokens: 3 };
        assert_eq!(
            events,
            [
                Ok(Event::Started { input_tokens: 2 }),
                Ok(Event::Text("Hel".into())),
                Ok(Event::Text("lo".into())),
                Ok(Event::Text("!".into())),
                Ok(Event::Finished { reason: FinishReason::Stop, usage }),
            ]
        );
        assert_eq!(begun.elapsed(), Duration::from_millis(35));
    }

    #[tokio::test(start_paused = true)]
    async fn stops_at_the_bound_of_tokens() {
        let events = all(ask(&engine(), 2).await.unwrap()).await;
        let usage = Usage { input_tokens: 2, output_tokens: 2 };
        let finished = Event::Finished { reason: FinishReason::Length, usage };
        assert_eq!(events.last(), Some(&Ok(finished)));
    }

    #[tokio::test(start_paused = true)]
    async fn dies_in_the_middle_when_told_so() {
        let engine = engine();
        engine.set_fault(Some(Fault::DieAfter { tokens: 1 }));
        let events = all(ask(&engine, 10).await.unwrap()).await;
        assert_eq!(events.len(), 3);
        assert_eq!(events[2], Err(EngineError::Died { output_tokens: 1 }));
    }

    #[tokio::test(start_paused = true)]
    async fn refuses_when_told_to_be_busy_and_serves_again_afterwards() {
        let engine = engine();
        engine.set_fault(Some(Fault::Busy { retry_after_s: 4 }));
        let refusal = ask(&engine, 10).await.unwrap_err();
        assert_eq!(refusal, EngineError::Busy { retry_after_s: 4 });
        engine.set_fault(None);
        assert!(ask(&engine, 10).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_answer_counts_what_was_generated() {
        let engine = engine();
        let mut generation = ask(&engine, 10).await.unwrap();
        generation.next().await;
        generation.next().await;
        let usage = generation.cancel().await;
        assert_eq!(usage, Usage { input_tokens: 2, output_tokens: 1 });
    }

    #[tokio::test]
    async fn refuses_no_tokens_and_a_foreign_model() {
        let engine = engine();
        let refusal = ask(&engine, 0).await.unwrap_err();
        assert_eq!(refusal, EngineError::MaxTokens { got: 0, limit: OUTPUT_TOKENS_MAX });
        let mut other = engine.models()[0].clone();
        other.digest = Default::default();
        let request = ChatRequest::ask("script", "x");
        let refusal = engine.chat(&other, &request, 1).await.unwrap_err();
        assert_eq!(refusal, EngineError::UnknownModel { name: "script".into() });
    }
}
