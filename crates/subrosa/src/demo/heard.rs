//! Asking the gateway as any program would: over HTTP, in OpenAI's words.

use anyhow::{Context, Result, bail};
use serde_json::json;
use subrosa_api::sse;
use subrosa_protocol::{B256, RequestId};

use crate::commands::Chunk;
use crate::output::Output;

/// The demo's answers are short.
const EVENT_BYTES_MAX: usize = 64 * 1024;

/// A streamed answer.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) text: String,
    pub(crate) model: Option<String>,
    pub(crate) order: RequestId,
    pub(crate) pod: B256,
    /// How the stream broke off, if it did.
    pub(crate) broken: Option<String>,
}

/// A question that is being answered.
pub(crate) struct Hearing<'a> {
    response: reqwest::Response,
    decoder: sse::Decoder,
    output: &'a Output,
    heard: Heard,
}

impl<'a> Hearing<'a> {
    /// Asks; returns with the head of the answer.
    pub(crate) async fn ask(
        http: &reqwest::Client,
        base: &str,
        question: &str,
        max_tokens: u64,
        output: &'a Output,
    ) -> Result<Hearing<'a>> {
        let body = json!({
            "model": "smollm2",
            "messages": [{"role": "user", "content": question}],
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": true,
        });
        let sent = http.post(format!("{base}/v1/chat/completions")).json(&body).send().await;
        let response = sent.context("the gateway does not answer")?;
        if !response.status().is_success() {
            let status = response.status();
            bail!("the gateway answers {status}: {}", response.text().await.unwrap_or_default());
        }
        let word = |name: &str| -> Result<B256> {
            let value =
                response.headers().get(name).context("the gateway names no order or pod")?;
            Ok(value.to_str()?.parse()?)
        };
        let heard = Heard {
            text: String::new(),
            model: None,
            order: RequestId(word("x-subrosa-order")?),
            pod: word("x-subrosa-pod")?,
            broken: None,
        };
        let decoder = sse::Decoder::new(EVENT_BYTES_MAX);
        Ok(Hearing { response, decoder, output, heard })
    }

    /// Listens until so many bytes of the answer are there.
    pub(crate) async fn words(&mut self, bytes: usize) -> Result<()> {
        while self.heard.text.len() < bytes {
            if !self.more().await? {
                bail!("the answer ended before it had a middle");
            }
        }
        Ok(())
    }

    /// Listens to the end, good or bad.
    pub(crate) async fn until_the_end(mut self) -> Result<Heard> {
        while self.more().await? {}
        self.output.line("");
        Ok(self.heard)
    }

    /// Hears the next piece; false at the end.
    async fn more(&mut self) -> Result<bool> {
        let Some(bytes) = self.response.chunk().await.context("the gateway broke off")? else {
            return Ok(false);
        };
        for event in self.decoder.push(&bytes)? {
            match Chunk::read(&event.data) {
                Ok(None) => {}
                Ok(Some(chunk)) => {
                    self.output.answer(&chunk.text);
                    self.heard.text.push_str(&chunk.text);
                    self.heard.model = chunk.model.or(self.heard.model.take());
                }
                Err(error) => self.heard.broken = Some(error.to_string()),
            }
        }
        Ok(true)
    }
}
