//! A generation on its way to the caller: told, metered, charged (spec/pod.md 6).

use bytes::Bytes;
use sha2::{Digest, Sha256};
use subrosa_api::openai::{ChatStream, ErrorBody, FinishReason, Usage};
use subrosa_api::sse;
use subrosa_channel::payee::Run;
use subrosa_engine::{EngineError, Event, Generation};
use subrosa_protocol::{Account, Outcome, Receipt, RequestId, Signed};
use subrosa_session::pod::{Answering, receipt_fields};
use subrosa_store::Durable;

use crate::book::{Admission, Charged};
use crate::chat::Question;
use crate::clock;
use crate::memory::{Answer, ChatSignature};
use crate::outlet::{Open, Outlet};
use crate::replies::{self, JSON, SSE};

/// One answer in the telling.
pub(crate) struct Telling<'a> {
    question: &'a Question<'a>,
    run: Run,
    chat: ChatStream,
    id: String,
    answering: Answering,
    body: Vec<u8>,
    text: String,
    begun: std::time::Instant,
}

/// How far the answer has come out.
enum Way {
    /// Nothing has left.
    Closed(Outlet),
    /// The head has left, and the body is on its way.
    Open(Open),
}

/// How a generation ended.
enum End {
    Cancelled,
    Failed(EngineError),
    Finished(subrosa_engine::FinishReason),
}

impl<'a> Telling<'a> {
    pub(crate) fn new(question: &'a Question<'a>, run: Run) -> Telling<'a> {
        let id = format!("chatcmpl-{}", hex::encode(rand::random::<[u8; 16]>()));
        let chat = ChatStream::new(id.as_str(), clock::now().0, &question.model.name);
        let content_type = if question.request.stream() { SSE } else { JSON };
        let answering = Answering::new(&question.inner.envelope.salt, 200, content_type);
        let begun = std::time::Instant::now();
        Telling { question, run, chat, id, answering, body: Vec::new(), text: String::new(), begun }
    }

    /// Tells the answer as it comes, then charges it and gives its receipt.
    pub(crate) async fn tell(
        mut self,
        mut generation: Generation,
        order: Durable<Admission>,
        outlet: Outlet,
    ) {
        let mut gone = std::pin::pin!(outlet.gone());
        let mut way = Way::Closed(outlet);
        let end = loop {
            let event = tokio::select! {
                () = gone.as_mut() => break End::Cancelled,
                event = generation.next() => event,
            };
            match event {
                Some(Ok(Event::Started { .. })) => way = self.begin(way, &order).await,
                Some(Ok(Event::Text(text))) => self.add(&way, text).await,
                Some(Ok(Event::Finished { reason, .. })) => break End::Finished(reason),
                Some(Err(fault)) => break End::Failed(fault),
                None => break End::Failed(EngineError::Backend("it ended without an end".into())),
            }
        };
        // The meter is read after the work has stopped: it counts every token, told or not.
        let usage = generation.cancel().await;
        let usage = Usage::new(usage.input_tokens, usage.output_tokens);
        self.finish(way, end, usage).await;
    }

    async fn begin(&mut self, way: Way, order: &Durable<Admission>) -> Way {
        match way {
            Way::Closed(outlet) if self.question.request.stream() => {
                let open = outlet.begin(order, replies::content_type(SSE)).await;
                let way = Way::Open(open);
                let chunk = sse::encode(&self.chat.role());
                self.push(&way, chunk).await;
                way
            }
            way => way,
        }
    }

    async fn add(&mut self, way: &Way, text: String) {
        if self.question.request.stream() {
            let chunk = sse::encode(&self.chat.text(text));
            self.push(way, chunk).await;
        } else {
            self.text.push_str(&text);
        }
    }

    /// Hands more of the body to the seal, and records exactly that.
    async fn push(&mut self, way: &Way, bytes: Bytes) {
        self.answering.body(&bytes);
        self.body.extend_from_slice(&bytes);
        if let Way::Open(open) = way {
            open.body(bytes).await;
        }
    }

    async fn finish(mut self, way: Way, end: End, usage: Usage) {
        let nothing_done = usage.total_tokens == 0;
        let way = match (way, &end) {
            // Of an answer that failed before any of it left, nobody has anything: it costs nothing.
            (Way::Closed(outlet), End::Failed(fault)) => {
                tracing::warn!(error = %fault, "the engine failed before an answer");
                let reply = replies::engine_refused(fault);
                return self.question.give_up(self.run, outlet, reply).await;
            }
            (_, End::Cancelled) if nothing_done => return self.question.release(self.run).await,
            (way, _) => way,
        };
        self.write_end(&way, &end, usage).await;
        let outcome = match &end {
            End::Cancelled => Outcome::Cancelled,
            End::Failed(_) => Outcome::Failed,
            End::Finished(subrosa_engine::FinishReason::Stop) => Outcome::Complete,
            End::Finished(subrosa_engine::FinishReason::Length) => Outcome::Limit,
        };
        self.charge(way, outcome, usage).await;
    }

    /// The last bytes of the body: of a stream its closing events, else the whole.
    async fn write_end(&mut self, way: &Way, end: &End, usage: Usage) {
        let request = &self.question.request;
        if !request.stream() {
            let text = std::mem::take(&mut self.text);
            let whole = self.chat.completion(text, finish_reason(end), usage);
            let whole = serde_json::to_vec(&whole).expect("a completion is plain JSON");
            return self.push(way, Bytes::from(whole)).await;
        }
        match end {
            End::Cancelled => {}
            End::Failed(_) => {
                let message =
                    "the model server failed in the middle of the answer; it is not whole";
                let chunk = sse::encode(&ErrorBody::new("server_error", "backend_failed", message));
                self.push(way, chunk).await;
            }
            End::Finished(_) => {
                let chunk = sse::encode(&self.chat.finish(finish_reason(end)));
                self.push(way, chunk).await;
                if request.include_usage() {
                    let chunk = sse::encode(&self.chat.usage(usage));
                    self.push(way, chunk).await;
                }
                self.push(way, Bytes::from_static(sse::DONE)).await;
            }
        }
    }

    /// Charges what was generated. The receipt leaves once charge and receipt are on disk.
    async fn charge(self, way: Way, outcome: Outcome, usage: Usage) {
        let Telling { question, run, id, answering, body, begun, .. } = self;
        let core = question.core;
        let (account, request, price) = (run.account(), run.request(), run.price());
        let metered = answering.metered(usage.prompt_tokens, usage.completion_tokens, outcome);
        let charged = core.book.charge(run, &metered, &core.signer, clock::now());
        let (receipt, confirming) = match charged {
            Ok(charged) => charged,
            Err(error) => return tracing::error!(%account, %error, "an answer was not charged"),
        };
        let durable = match confirming.durable().await {
            Ok(durable) => durable,
            Err(error) => return tracing::error!(%account, %error, "a charge was not written"),
        };
        tracing::info!(
            %account, %request, ?outcome, input_tokens = usage.prompt_tokens,
            output_tokens = usage.completion_tokens, charged = %receipt.unverified().charged,
            ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "an answer was charged"
        );
        let told = Told { account, request, id, body: Bytes::from(body), receipt };
        told.remember(question, outcome);
        let claimed = core.world.claimed(question.config().as_ref());
        let fields = receipt_fields(&told.receipt, price, claimed);
        told.let_out(way, &durable, fields).await;
    }
}

/// An answer that was told and charged.
struct Told {
    account: Account,
    request: RequestId,
    id: String,
    body: Bytes,
    receipt: Signed<Receipt>,
}

impl Told {
    /// Keeps the answer for a retry, and its signature. What failed is not kept: nobody wants it
    /// again.
    fn remember(&self, question: &Question<'_>, outcome: Outcome) {
        let core = question.core;
        let streamed = question.request.stream();
        if outcome != Outcome::Failed {
            let answer = Answer {
                content_type: if streamed { SSE } else { JSON },
                streamed,
                body: self.body.clone(),
                receipt: self.receipt.clone(),
            };
            core.memory.keep_answer(self.account, self.request, answer);
        }
        let (asked, told) = (Sha256::digest(&question.inner.body), Sha256::digest(&self.body));
        let text = format!("{}:{}", hex::encode(asked), hex::encode(told));
        let signature = sign_text(&core.signer, &text);
        let kept = ChatSignature { account: self.account, text, signature };
        core.memory.keep_signature(self.id.clone(), kept);
    }

    async fn let_out(self, way: Way, durable: &Durable<Charged>, fields: subrosa_seal::Fields) {
        match way {
            Way::Open(open) => open.end(durable, fields).await,
            Way::Closed(outlet) => {
                let mut headers = replies::content_type(JSON);
                headers.extend(fields);
                outlet.answer(durable, headers, self.body).await;
            }
        }
    }
}

fn finish_reason(end: &End) -> FinishReason {
    match end {
        End::Finished(subrosa_engine::FinishReason::Stop) => FinishReason::Stop,
        End::Finished(subrosa_engine::FinishReason::Length) | End::Cancelled | End::Failed(_) => {
            FinishReason::Length
        }
    }
}

/// Signs a text as EIP-191 personal messages are signed: what vllm-proxy's clients verify.
fn sign_text(signer: &subrosa_protocol::SecretKey, text: &str) -> String {
    let message = format!("\x19Ethereum Signed Message:\n{}{text}", text.len());
    let digest = subrosa_protocol::keccak256(message.as_bytes());
    format!("0x{}", hex::encode(signer.sign_digest(&digest).as_bytes()))
}
