//! One question from the caller's side: choose, order, seal, deliver, check the receipt, fail over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use subrosa_api::openai::ChatRequest;
use subrosa_channel::payer::Ledger;
use subrosa_protocol::{Amount, B256, Message, RequestId};
use subrosa_seal::Fields;
use subrosa_session::client::{Asking, Delivery, Ending, Next, Question};
use subrosa_session::receipts::Query;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, PIECES_MAX, StreamError};
use crate::choose;
use crate::client::Inner;
use crate::fetch::{self, Incoming, Lost, NotSent};
use crate::kept;
use crate::pod::{Pod, lock};
use crate::purse::{Account, FundsError, Held, More, nothing_more};
use crate::view::{ReceiptView, RefusedPod};
use crate::visit::{self, now};

/// Where chats are asked for.
const CHAT_PATH: &str = "/v1/chat/completions";

/// The most tokens of an answer where the caller names no bound: what is reserved must stay affordable.
const MAX_TOKENS_DEFAULT: u64 = 1_024;

/// What `session` calls the refusal of a pod whose every place is taken.
const BUSY: &str = "status_429";

/// When a place may be free again, in seconds: about as long as a short answer takes.
const BUSY_WAIT_S: u64 = 2;

/// After a caller left, the pod needs a moment to stop and to charge.
const RECEIPT_WAIT: Duration = Duration::from_secs(1);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The answer broke off.
    #[error(transparent)]
    BrokenOff(#[from] StreamError),
    /// Every place at every pod is taken.
    #[error("every pod that could answer is busy; ask again in {BUSY_WAIT_S} seconds")]
    Busy,
    /// The payer cannot pay.
    #[error("no money for this question: {reason}")]
    Funds {
        /// What is missing, and what to do.
        reason: String,
    },
    /// No accepted pod serves the model.
    #[error("no accepted pod serves that model; GET /v1/models lists those that can be asked")]
    ModelUnknown,
    /// No pod may be asked.
    #[error("no pod can be asked: {}", told(refused))]
    NoPod {
        /// Each pod and the check that it failed.
        refused: Vec<RefusedPod>,
    },
    /// Every pod that may be asked failed.
    #[error("every pod that could answer failed: {}", reasons.join("; "))]
    PodsFailed {
        /// Why, pod by pod.
        reasons: Vec<String>,
    },
    /// The state directory takes no more writes, so nothing may be ordered.
    #[error("nothing can be ordered, because the state directory takes no more writes")]
    Store,
    /// The request is too large to be sealed.
    #[error("the request is larger than the largest size class; shorten it")]
    TooLarge,
}

fn told(refused: &[RefusedPod]) -> String {
    if refused.is_empty() {
        return "the registry lists none".into();
    }
    let told = |pod: &RefusedPod| format!("{} failed {}", pod.endpoint, pod.failed_check);
    refused.iter().map(told).collect::<Vec<_>>().join(", ")
}

impl AskError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            AskError::BrokenOff(error) => error.code(),
            AskError::Busy => "pods_busy",
            AskError::Funds { .. } => "insufficient_funds",
            AskError::ModelUnknown => "model_not_found",
            AskError::NoPod { .. } => "no_pod_accepted",
            AskError::PodsFailed { .. } => "pods_failed",
            AskError::Store => "state_unwritable",
            AskError::TooLarge => "body_too_large",
        }
    }

    /// The HTTP status that says the same.
    pub fn status(&self) -> u16 {
        match self {
            AskError::BrokenOff(_) | AskError::PodsFailed { .. } => 502,
            AskError::Busy => 429,
            AskError::Funds { .. } => 402,
            AskError::ModelUnknown => 404,
            AskError::NoPod { .. } => 503,
            AskError::Store => 500,
            AskError::TooLarge => 413,
        }
    }

    /// When it may be better, in seconds.
    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            AskError::Busy => Some(BUSY_WAIT_S),
            AskError::NoPod { .. } | AskError::PodsFailed { .. } => Some(10),
            _ => None,
        }
    }
}

/// Asks the best pod, and the next ones as long as no byte of an answer came.
pub(crate) async fn ask(inner: &Arc<Inner>, request: ChatRequest) -> Result<Answer, AskError> {
    let model = inner.resolve(request.model())?;
    let pods = rank(inner, &request, &model);
    let (pieces, pieces_out) = mpsc::channel(PIECES_MAX);
    let (receipt, receipt_out) = oneshot::channel();
    let (head, head_out) = oneshot::channel();
    let stop = CancellationToken::new();
    let outbox = Outbox {
        head: Some(head),
        pieces: Some(pieces),
        receipt: Some(receipt),
        stop: stop.clone(),
    };
    let guard = stop.drop_guard();
    let inner = Arc::clone(inner);
    let tasks = inner.tasks.clone();
    tasks.spawn(Drive { inner, request, model, outbox }.run(pods));
    let head = head_out.await.map_err(|_| AskError::PodsFailed { reasons: Vec::new() })??;
    let Head { status, headers, order, pod } = head;
    Ok(Answer {
        status,
        content_type: text_of(&headers, "content-type"),
        headers: text_headers(&headers),
        order,
        pod,
        pieces: pieces_out,
        receipt: receipt_out,
        _stop: guard,
    })
}

fn rank(inner: &Inner, request: &ChatRequest, model: &B256) -> Vec<Arc<Pod>> {
    let body_bytes = u64::try_from(request.to_body().len()).unwrap_or(u64::MAX);
    let pods = inner.directory.accepted();
    let max_tokens = request.max_tokens().unwrap_or(MAX_TOKENS_DEFAULT);
    let candidates =
        pods.iter().filter_map(|pod| pod.candidate(model, body_bytes, max_tokens)).collect();
    let ranked = choose::rank(candidates, rand::random());
    let find = |candidate: &choose::Candidate| pods.iter().find(|pod| pod.id == candidate.pod);
    ranked.iter().filter_map(find).cloned().collect()
}

fn text_of(headers: &Fields, name: &str) -> String {
    let value = subrosa_seal::field(headers, name).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

fn text_headers(headers: &Fields) -> Vec<(String, String)> {
    let text = |(name, value): &(String, Vec<u8>)| {
        Some((name.clone(), String::from_utf8(value.clone()).ok()?))
    };
    headers.iter().filter(|(name, _)| name != "content-type").filter_map(text).collect()
}

/// What the caller gets first.
struct Head {
    status: u16,
    headers: Fields,
    order: RequestId,
    pod: B256,
}

/// The ways to the caller; each closes when it is taken.
struct Outbox {
    head: Option<oneshot::Sender<Result<Head, AskError>>>,
    pieces: Option<mpsc::Sender<Result<Bytes, StreamError>>>,
    receipt: Option<oneshot::Sender<Option<ReceiptView>>>,
    stop: CancellationToken,
}

impl Outbox {
    fn head(&mut self, head: Result<Head, AskError>) {
        if let Some(sender) = self.head.take() {
            // A caller that left is noticed by its token.
            let _ = sender.send(head);
        }
    }

    async fn piece(&mut self, piece: Result<Bytes, StreamError>) {
        if let Some(sender) = &self.pieces {
            let _ = sender.send(piece).await;
        }
    }

    /// The caller's stream ends here, while filler drains behind.
    fn end(&mut self) {
        self.pieces = None;
    }

    fn receipt(&mut self, receipt: Option<ReceiptView>) {
        if let Some(sender) = self.receipt.take() {
            let _ = sender.send(receipt);
        }
    }
}

/// How the attempt at one pod ended.
enum Ended {
    /// The caller has its answer, or an honest error.
    Done,
    /// Another pod may be asked.
    NextPod(String),
    /// Every place at this pod is taken, which is no fault of it.
    Busy,
    /// The payer cannot pay this pod; the channel with another may still hold enough.
    NoFunds(String),
}

/// One question on its way through the pods.
struct Drive {
    inner: Arc<Inner>,
    request: ChatRequest,
    model: B256,
    outbox: Outbox,
}

impl Drive {
    async fn run(mut self, pods: Vec<Arc<Pod>>) {
        let (mut reasons, mut unpaid, mut busy) = (Vec::new(), None, None);
        for chosen in pods {
            if self.outbox.stop.is_cancelled() {
                return;
            }
            // While others were asked, this one may have been refused, or attested anew.
            let Some(pod) = self.inner.directory.accepted_pod(&chosen.id) else {
                reasons.push(format!("{}: it was refused meanwhile", chosen.endpoint));
                continue;
            };
            match self.at(&pod).await {
                Ok(Ended::Done) => return,
                Ok(Ended::NextPod(reason)) => {
                    pod.failed();
                    tracing::info!(pod = %pod.endpoint, %reason, "asking the next pod");
                    reasons.push(format!("{}: {reason}", pod.endpoint));
                }
                Ok(Ended::Busy) => busy = Some(AskError::Busy),
                Ok(Ended::NoFunds(reason)) => unpaid = Some(AskError::Funds { reason }),
                Err(error) => return self.outbox.head(Err(error)),
            }
        }
        // What passes by waiting is told before what takes somebody's doing.
        let error = busy.or(unpaid).unwrap_or(AskError::PodsFailed { reasons });
        self.outbox.head(Err(error));
    }

    async fn at(&mut self, pod: &Arc<Pod>) -> Result<Ended, AskError> {
        if !pod.is_fresh(now()) && visit::renew(pod, self.inner.purse.domain()).await.is_err() {
            return Ok(Ended::NextPod("its keys ended and it gives no new ones".into()));
        }
        let question = self.question(pod);
        let no_funds = |error| match error {
            FundsError::Store => Err(AskError::Store),
            error => Ok(Ended::NoFunds(error.to_string())),
        };
        let needed = max_charge(pod, &question);
        let account = match self.inner.purse.account(&pod.offer, needed).await {
            Ok(account) => account,
            Err(error) => return no_funds(error),
        };
        let held = match self.inner.purse.fill(&account, needed).await {
            Ok(held) => held,
            Err(error) => return no_funds(error),
        };
        if self.outbox.stop.is_cancelled() {
            return Ok(Ended::Done);
        }
        let asking = match self.begin(pod, &account, held, question).await? {
            Ok(asking) => asking,
            Err(reason) => return Ok(Ended::NextPod(reason)),
        };
        let started = Instant::now();
        self.exchange(pod, &account, asking, started).await
    }

    /// The request as this pod calls it, with the bound that makes its cost computable.
    fn question(&self, pod: &Pod) -> Question {
        let mut request = self.request.clone();
        if let Some(name) = pod.model_name(&self.model) {
            request.set_model(name);
        }
        let bound = pod.offer.model(&self.model).map_or(0, |model| model.output_tokens_max);
        let max_tokens = request.max_tokens().unwrap_or(MAX_TOKENS_DEFAULT.min(bound));
        request.set_max_tokens(max_tokens);
        Question {
            method: "POST".into(),
            path: CHAT_PATH.into(),
            headers: vec![("content-type".into(), b"application/json".to_vec())],
            body: request.to_body(),
            model: self.model,
            max_tokens,
        }
    }

    /// Signs the order and puts it on disk, with what it takes to re-check its receipt later.
    async fn begin(
        &self,
        pod: &Arc<Pod>,
        account: &Account,
        held: Held<'_>,
        question: Question,
    ) -> Result<Result<Asking, String>, AskError> {
        let key = self.inner.purse.wallet().secret_key();
        let channel = account.config().map(|config| config.encode());
        let (begun, pending) = self.inner.purse.step(account, |ledger| {
            match Asking::begin(question, &pod.offer, ledger, key, &mut rand::rng(), now()) {
                Ok((asking, records)) => {
                    let kept = kept_question(pod, channel, &asking);
                    (Ok(asking), records, Box::new(move |db| kept::question(db, &kept)))
                }
                Err(refusal) => (Err(refusal.to_string()), Vec::new(), nothing_more()),
            }
        });
        // It is reserved, so the next question may look at what is left while this one goes to disk.
        drop(held);
        pending.await.map_err(|_| AskError::Store)?;
        Ok(begun)
    }

    /// Sends the order until it is answered, refused, or hopeless.
    async fn exchange(
        &mut self,
        pod: &Arc<Pod>,
        account: &Arc<Account>,
        mut asking: Asking,
        started: Instant,
    ) -> Result<Ended, AskError> {
        loop {
            let request = {
                let ledger = lock(&account.ledger);
                asking.request(&ledger, self.inner.pacing, now())
            };
            let stop = self.outbox.stop.clone();
            let sent = tokio::select! {
                sent = fetch::send(pod, &request) => sent,
                () = stop.cancelled() => return Ok(self.left(pod, account, &asking)),
            };
            let next = match sent {
                Err(NotSent::Unsealable) => {
                    self.give_up(account, asking.order_id()).await?;
                    return Err(AskError::TooLarge);
                }
                Err(NotSent::StaleKey) => asking.on_stale_key(),
                Err(NotSent::Lost) => asking.on_lost(),
                Ok(incoming) => match self.deliver(pod, &mut asking, incoming, started).await {
                    Delivered::Whole => match self.conclude(pod, account, &mut asking).await? {
                        Some(ended) => return Ok(ended),
                        None => continue,
                    },
                    Delivered::CallerLeft => return Ok(self.left(pod, account, &asking)),
                    Delivered::Lost(lost) => match asking.on_lost() {
                        Next::BrokenOff => {
                            return Ok(self.broken_off(pod, account, &asking, lost).await);
                        }
                        next => next,
                    },
                },
            };
            match next {
                Next::Again => {}
                Next::AgainWithFreshKeys => {
                    if visit::renew(pod, self.inner.purse.domain()).await.is_err() {
                        return Ok(Ended::NextPod("it gives no fresh keys".into()));
                    }
                }
                Next::BrokenOff | Next::FailOver => {
                    self.fetch_later(pod, account, asking.order_id());
                    return Ok(Ended::NextPod("the connection was lost before an answer".into()));
                }
            }
        }
    }

    /// Gives back what an order reserves that never left.
    async fn give_up(&self, account: &Account, order: RequestId) -> Result<(), AskError> {
        let drop_it = |ledger: &mut Ledger| ((), ledger.drop_order(order), nothing_more());
        let ((), pending) = self.inner.purse.step(account, drop_it);
        pending.await.map(|_| ()).map_err(|_| AskError::Store)
    }

    /// Passes on what the seal opens.
    async fn deliver(
        &mut self,
        pod: &Arc<Pod>,
        asking: &mut Asking,
        mut incoming: Incoming,
        started: Instant,
    ) -> Delivered {
        loop {
            let stop = self.outbox.stop.clone();
            let events = tokio::select! {
                events = incoming.next() => events,
                () = stop.cancelled(), if self.outbox.pieces.is_some() => return Delivered::CallerLeft,
            };
            let events = match events {
                Ok(Some(events)) => events,
                Ok(None) => break,
                Err(lost) => return Delivered::Lost(lost),
            };
            for event in events {
                let ends = matches!(event, subrosa_seal::ResponseEvent::End);
                for delivery in asking.on_event(event) {
                    self.pass_on(pod, asking.order_id(), delivery, started).await;
                }
                if ends && asking.has_begun() {
                    if asking.was_cut() {
                        self.outbox.piece(Err(StreamError::BrokenOff)).await;
                    }
                    self.outbox.end();
                }
            }
        }
        match incoming.finish() {
            Ok(()) => Delivered::Whole,
            Err(lost) => Delivered::Lost(lost),
        }
    }

    async fn pass_on(
        &mut self,
        pod: &Arc<Pod>,
        order: RequestId,
        delivery: Delivery,
        started: Instant,
    ) {
        match delivery {
            Delivery::Head { status, headers } => {
                pod.succeeded(started.elapsed());
                self.outbox.head(Ok(Head { status, headers, order, pod: pod.id }));
                let pod = Arc::clone(pod);
                self.inner.tasks.spawn_blocking(move || pod.prepare());
            }
            Delivery::Body(bytes) => self.outbox.piece(Ok(bytes)).await,
        }
    }

    /// Takes the pod's receipt or refusal into the ledger. Nothing where the order is sent again.
    async fn conclude(
        &mut self,
        pod: &Arc<Pod>,
        account: &Arc<Account>,
        asking: &mut Asking,
    ) -> Result<Option<Ended>, AskError> {
        let key = self.inner.purse.wallet().secret_key();
        let order = asking.order_id();
        let channel = account.config().map(|config| config.encode());
        let (ending, pending) = self.inner.purse.step(account, |ledger| {
            let conclusion = asking.conclude(ledger, key);
            let more: More = match &conclusion.ending {
                Ending::Answered { receipt } => {
                    let receipt = receipt.clone();
                    Box::new(move |db| kept::receipt(db, order, &receipt))
                }
                Ending::OrderedAgain => {
                    let kept = kept_question(pod, channel, asking);
                    Box::new(move |db| kept::question(db, &kept))
                }
                _ => nothing_more(),
            };
            (conclusion.ending, conclusion.records, more)
        });
        pending.await.map_err(|_| AskError::Store)?;
        match ending {
            Ending::Answered { receipt } => {
                self.outbox.receipt(Some(crate::client::receipt_view(order, pod.id, &receipt)));
                Ok(Some(Ended::Done))
            }
            Ending::OrderedAgain => Ok(None),
            Ending::AgainLater { after_s } => {
                tokio::time::sleep(Duration::from_secs(after_s)).await;
                Ok(None)
            }
            Ending::FailOver { reason } if reason == BUSY => Ok(Some(Ended::Busy)),
            Ending::FailOver { reason } => {
                // It may be the channel: somebody with the payer's key may have begun to withdraw.
                account.doubt();
                Ok(Some(Ended::NextPod(reason)))
            }
            Ending::Refused { status, headers, body } => {
                self.outbox.head(Ok(Head { status, headers, order, pod: pod.id }));
                self.outbox.piece(Ok(body.into())).await;
                self.outbox.end();
                self.outbox.receipt(None);
                Ok(Some(Ended::Done))
            }
            Ending::Unreceipted { fault } => {
                if let Some(fault) = &fault {
                    tracing::warn!(pod = %pod.endpoint, fault = fault.code(), "a receipt was refused");
                    pod.failed();
                }
                let receipt = self.inner.fetch_receipt(pod, account, Query::Order(order)).await;
                self.outbox.receipt(receipt);
                Ok(Some(Ended::Done))
            }
        }
    }

    /// The caller went away: the pod stops when the connection closes, and charges what it generated.
    fn left(&mut self, pod: &Arc<Pod>, account: &Arc<Account>, asking: &Asking) -> Ended {
        self.fetch_later(pod, account, asking.order_id());
        Ended::Done
    }

    async fn broken_off(
        &mut self,
        pod: &Arc<Pod>,
        account: &Arc<Account>,
        asking: &Asking,
        lost: Lost,
    ) -> Ended {
        pod.failed();
        let error = if lost.altered { StreamError::Altered } else { StreamError::BrokenOff };
        self.outbox.piece(Err(error)).await;
        self.outbox.end();
        self.outbox.receipt(None);
        self.fetch_later(pod, account, asking.order_id());
        Ended::Done
    }

    /// The order may have been charged: its receipt is fetched as soon as the pod answers again.
    fn fetch_later(&self, pod: &Arc<Pod>, account: &Arc<Account>, order: RequestId) {
        let (inner, pod, account) = (Arc::clone(&self.inner), Arc::clone(pod), Arc::clone(account));
        self.inner.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(RECEIPT_WAIT) => {}
                () = inner.stop.cancelled() => return,
            }
            inner.fetch_receipt(&pod, &account, Query::Order(order)).await;
        });
    }
}

/// What it takes to re-check the order's receipt later.
fn kept_question(pod: &Pod, channel: Option<Vec<u8>>, asking: &Asking) -> kept::Question {
    kept::Question {
        pod: pod.id,
        evidence_digest: pod.attested.evidence_digest(),
        evidence: pod.evidence.clone(),
        offer: pod.offer_base64.clone(),
        releases: pod.releases.clone(),
        order: asking.order().clone(),
        channel,
    }
}

/// How far one answer came.
enum Delivered {
    Whole,
    CallerLeft,
    Lost(Lost),
}

fn max_charge(pod: &Pod, question: &Question) -> Amount {
    let bytes = u64::try_from(question.body.len()).unwrap_or(u64::MAX);
    let model = pod.offer.model(&question.model);
    model.map_or(Amount::ZERO, |model| model.max_charge(bytes, question.max_tokens))
}
