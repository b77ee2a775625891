//! Nothing of a question or an answer is ever logged, at any level, by any crate in the process.

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::json;
use support::{Ask, Home, MODEL, friend};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const PROMPT: &str = "zanzibarquestion";
const ANSWER: &str = "xylophoneanswer";

#[tokio::test]
async fn no_log_line_holds_a_prompt_an_answer_or_a_key() {
    let lines = Lines::default();
    let sink = lines.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || sink.clone())
        .init();
    let mut home = Home::new();
    home.script.tokens = vec![ANSWER.to_owned(), " end".to_owned()];
    let pod = home.start().await;
    let mut caller = home.meet(&pod, friend()).await;
    let messages = json!([{"role": "user", "content": PROMPT}]);
    for body in [
        json!({"model": MODEL, "messages": messages, "max_tokens": 9}),
        json!({"model": MODEL, "messages": messages, "max_tokens": 9, "stream": true}),
        json!({"model": PROMPT, "messages": messages, "max_tokens": 9}),
        json!({"model": MODEL, "messages": [{"role": PROMPT, "content": PROMPT}]}),
        json!({"model": MODEL, "messages": messages, "temperature": PROMPT}),
    ] {
        let answer = caller.ask(&Ask::chat(body)).await;
        assert!(
            answer.status == 400
                || answer.status == 404
                || String::from_utf8_lossy(&answer.body).contains(ANSWER)
        );
    }
    let secret = std::fs::read(home.folder.join("signer.key")).unwrap();
    pod.shutdown().await;

    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("an answer was charged"), "the log was not captured");
    for private in [PROMPT, ANSWER, &hex::encode(&secret[..32])] {
        assert!(!logged.contains(private), "{private} was logged");
    }
    // As lists of numbers bytes would slip through a search for text.
    let as_numbers =
        |text: &str| format!("{:?}", text.as_bytes()).trim_matches(['[', ']']).to_owned();
    for private in [PROMPT, ANSWER] {
        assert!(!logged.contains(&as_numbers(private)), "{private} was logged as bytes");
    }
}
