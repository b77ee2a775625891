//! Known answers of the real SmolLM2. Where its file is not in the cache, the tests say so and pass:
//! `subrosa models pull smollm2` fetches it.

use std::sync::OnceLock;

use serde_json::{Value, json};
use subrosa_api::openai::{ChatRequest, Limits};
use subrosa_engine::{Builtin, BuiltinConfig, Engine, Event, FinishReason, Usage};
use subrosa_testkit::smollm2;

/// One engine for all tests of this file: loading it takes a second.
fn engine() -> Option<&'static Engine> {
    static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
    ENGINE
        .get_or_init(|| {
            let config = BuiltinConfig {
                sha256: Some(smollm2::SHA256.parse().unwrap()),
                ..BuiltinConfig::new("smollm2", smollm2::cached()?)
            };
            Some(Engine::Builtin(Builtin::open(config).unwrap()))
        })
        .as_ref()
}

#[derive(Debug)]
struct Answer {
    text: String,
    reason: FinishReason,
    usage: Usage,
}

async fn ask(engine: &Engine, messages: Value, members: Value) -> Answer {
    let mut body = json!({"model": "smollm2", "messages": messages});
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    let request = ChatRequest::parse(body.to_string().as_bytes(), &Limits::default()).unwrap();
    let mut generation = engine.chat(&engine.models()[0], &request, 64).await.unwrap();
    let mut text = String::new();
    loop {
        match generation.next().await.unwrap().unwrap() {
            Event::Started { .. } => {}
            Event::Text(more) => text += &more,
            Event::Finished { reason, usage } => return Answer { text, reason, usage },
        }
    }
}

#[tokio::test]
async fn knows_the_capital_of_france() {
    let Some(engine) = engine() else { return };
    let question = json!([{"role": "user", "content": "What is the capital of France?"}]);
    let answer = ask(engine, question, json!({"temperature": 0})).await;
    assert_eq!(answer.text, "The capital of France is Paris.");
    assert_eq!(answer.reason, FinishReason::Stop);
    // Seven tokens of text and the one that ends the turn; Ollama counts the same.
    assert_eq!(answer.usage, Usage { input_tokens: 37, output_tokens: 8 });
}

#[tokio::test]
async fn answers_of_many_at_once_are_those_of_each_alone() {
    let Some(engine) = engine() else { return };
    let question = |text: &str| json!([{"role": "user", "content": text}]);
    let members = || json!({"temperature": 0.8, "seed": 11});
    let texts = ["Name three colours.", "Say hello to Ann.", "What is ice?"];
    let mut alone = Vec::new();
    for text in texts {
        alone.push(ask(engine, question(text), members()).await.text);
    }
    let [a, b, c] = texts.map(|text| ask(engine, question(text), members()));
    let (a, b, c) = tokio::join!(a, b, c);
    assert_eq!([a.text, b.text, c.text], alone[..]);
}
