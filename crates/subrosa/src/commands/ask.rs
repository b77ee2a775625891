//! `subrosa ask`: one question, answered as it comes.

use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use subrosa_api::openai::{ChatRequest, Limits};
use subrosa_api::sse;
use subrosa_client::{Answer, Client, ReceiptView};
use subrosa_protocol::RequestId;

use super::client;
use crate::args::{AskArgs, Common};
use crate::output::{Output, Tone};

/// An event of a chat is a few hundred bytes; a pod that sends longer ones is not one of ours.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

pub(crate) async fn run(common: &Common, args: &AskArgs, output: &Output) -> Result<ExitCode> {
    let request = request(args)?;
    let client = client::open(common, &args.client, output).await?;
    let asked = ask(&client, request, output).await;
    let simulated = client.is_simulated();
    client.close().await;
    let (answer, receipt) = asked?;
    if simulated {
        output.note("SIMULATED evidence: this network proves nothing about hardware");
    }
    match &receipt {
        Some(receipt) => output.note(format!(
            "paid {} atomic units for {} + {} tokens; receipt {}",
            receipt.charged, receipt.input_tokens, receipt.output_tokens, receipt.order
        )),
        None => output.note("no receipt came; it is fetched while a gateway runs"),
    }
    output.value(&json!({"simulated": simulated, "answer": answer, "receipt": receipt}));
    Ok(ExitCode::SUCCESS)
}

fn request(args: &AskArgs) -> Result<ChatRequest> {
    let mut body = json!({
        "model": args.model,
        "messages": [{"role": "user", "content": args.question}],
        "max_tokens": args.max_tokens,
        "stream": true,
    });
    if let Some(temperature) = args.temperature {
        body["temperature"] = json!(temperature);
    }
    Ok(ChatRequest::parse(body.to_string().as_bytes(), &Limits::default())?)
}

async fn ask(
    client: &Client,
    request: ChatRequest,
    output: &Output,
) -> Result<(Value, Option<ReceiptView>)> {
    let waiting = output.wait("waiting for the first words");
    let mut answer = client.ask(request).await?;
    drop(waiting);
    let heard = listen(&mut answer, output).await;
    output.line("");
    let (text, model) = heard?;
    let told = json!({"text": text, "model": model, "pod": answer.pod, "order": answer.order});
    let order = answer.order;
    match answer.receipt().await {
        Some(receipt) => Ok((told, Some(receipt))),
        None => Ok((told, fetched(client, order).await?)),
    }
}

/// A receipt that did not come with its answer, asked for once more.
async fn fetched(client: &Client, order: RequestId) -> Result<Option<ReceiptView>> {
    client.fetch_missing().await;
    let receipts = client.receipts().await?;
    Ok(receipts.into_iter().find(|receipt| receipt.order == order))
}

/// Prints the answer as it comes; gives its text and the model's name.
async fn listen(answer: &mut Answer, output: &Output) -> Result<(String, Option<String>)> {
    let mut decoder = sse::Decoder::new(EVENT_BYTES_MAX);
    let (mut text, mut model) = (String::new(), None);
    while let Some(piece) = answer.next().await {
        let piece = piece.inspect_err(|_| output.piece(&output.paint(Tone::Bad, " [cut off]")))?;
        if answer.status != 200 {
            text.push_str(&String::from_utf8_lossy(&piece));
            continue;
        }
        for event in decoder.push(&piece)? {
            let Some(chunk) = Chunk::read(&event.data)? else { continue };
            output.answer(&chunk.text);
            text.push_str(&chunk.text);
            model = chunk.model.or(model);
        }
    }
    if answer.status != 200 {
        anyhow::bail!("the pod answers with status {}: {}", answer.status, message(&text));
    }
    Ok((text, model))
}

/// What one event of a streamed chat says.
pub(crate) struct Chunk {
    pub(crate) text: String,
    pub(crate) model: Option<String>,
}

impl Chunk {
    /// Reads an event's data; nothing for the mark at the end.
    pub(crate) fn read(data: &str) -> Result<Option<Chunk>> {
        if data == "[DONE]" {
            return Ok(None);
        }
        let event: Value = serde_json::from_str(data).context("an event is not JSON")?;
        if let Some(error) = event.get("error") {
            let told = error["message"].as_str().unwrap_or("the stream ended with an error");
            let code = error["code"].as_str().unwrap_or("unknown");
            anyhow::bail!("{code}: {told}");
        }
        let text = event["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
        let model = event["model"].as_str().map(str::to_owned);
        Ok(Some(Chunk { text: text.to_owned(), model }))
    }
}

fn message(body: &str) -> String {
    let told = serde_json::from_str::<Value>(body)
        .ok()
        .and_then(|body| body["error"]["message"].as_str().map(str::to_owned));
    told.unwrap_or_else(|| "without a reason that can be read".into())
}
