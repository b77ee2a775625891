//! One chat from its order to its receipt (spec/pod.md 6).

use std::sync::Arc;

use subrosa_api::openai::{ChatRequest, Limits};
use subrosa_channel::payee::{Admitted, Checked, Ledger, Moment, Refusal, Run};
use subrosa_engine::{Generation, ServedModel};
use subrosa_protocol::{Account, Amount, ChannelConfig, Message, Offer, Price};
use subrosa_seal::{InnerRequest, REQUEST_CLASS_MAX};
use subrosa_session::pod::{asked, payment, receipt_fields};
use subrosa_store::Durable;

use crate::book::{Admission, Confirming};
use crate::clock;
use crate::core::Core;
use crate::memory::Answer;
use crate::outlet::{Outlet, Reply};
use crate::payment::{self, Context};
use crate::replies;
use crate::telling::Telling;

/// Answers `POST /v1/chat/completions`.
pub(crate) async fn answer(core: &Arc<Core>, inner: &InnerRequest, outlet: Outlet) {
    let question = match Question::read(core, inner) {
        Ok(question) => question,
        Err(reply) => return outlet.reply(reply).await,
    };
    match question.admit().await {
        Ok(Taken::Again { answer, order }) => question.tell_again(answer, &order, outlet).await,
        Ok(Taken::Run { run, order }) => question.run(run, order, outlet).await,
        Err(reply) => outlet.reply(reply).await,
    }
}

/// A chat request that was read, and the model that will answer it.
pub(crate) struct Question<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) inner: &'a InnerRequest,
    pub(crate) request: ChatRequest,
    pub(crate) model: &'a ServedModel,
    pub(crate) max_tokens: u64,
}

/// How an order was taken.
enum Taken {
    /// It was answered before, and the answer is still here.
    Again { answer: Answer, order: Durable<Admission> },
    /// It is to be run; its records are on their way to the disk.
    Run { run: Run, order: Confirming<Admission> },
}

impl<'a> Question<'a> {
    fn read(core: &'a Arc<Core>, inner: &'a InnerRequest) -> Result<Question<'a>, Reply> {
        let limits = Limits { body_bytes_max: REQUEST_CLASS_MAX, ..Limits::default() };
        let request = ChatRequest::parse(&inner.body, &limits)
            .map_err(|fault| replies::bad_request(&fault))?;
        let model = core.engine.model(request.model()).ok_or_else(|| {
            let message = "this pod does not serve that model; GET /v1/models lists what it serves";
            replies::error(404, "invalid_request_error", "model_not_found", message)
        })?;
        let max_tokens = request.max_tokens().unwrap_or(model.output_tokens_max);
        if max_tokens == 0 || max_tokens > model.output_tokens_max {
            let fault = subrosa_engine::EngineError::MaxTokens {
                got: max_tokens,
                limit: model.output_tokens_max,
            };
            return Err(replies::engine_refused(&fault));
        }
        Ok(Question { core, inner, request, model, max_tokens })
    }

    /// Checks the payment and reserves its most.
    async fn admit(&self) -> Result<Taken, Reply> {
        let mut admitted = self.admit_as_seen().await?;
        if let (Err((Refusal::BalanceTooLow { .. }, _)), Some(config)) = (&admitted, self.config())
        {
            // The payer deposits and asks at once: the channel is read anew before it is refused.
            self.core.world.forget(&config);
            admitted = self.admit_as_seen().await?;
        }
        admitted.map_err(|(refusal, account)| {
            tracing::info!(account = %account, code = refusal.code(), "an order was refused");
            let refused = |ledger: Option<&Ledger>| self.refused(&refusal, ledger);
            self.core.book.look(account, refused)
        })
    }

    /// Admits the order under the channel as it was last read, or tells the ledger's refusal.
    async fn admit_as_seen(&self) -> Result<Result<Taken, (Refusal, Account)>, Reply> {
        let checked = self.check()?;
        let (account, request) = (checked.account(), checked.order().request_id);
        let answer = self.core.memory.answer(account, request);
        let chain = match self.config() {
            Some(config) => self.core.world.channel(&config).await.map_err(|fault| {
                tracing::warn!(error = %fault, "the chain could not be asked about a channel");
                replies::retry_later(
                    503,
                    "chain_unreachable",
                    "the pod cannot see the chain now",
                    2,
                )
            })?,
            None => None,
        };
        let moment = Moment { now: clock::now(), chain, remembered: answer.is_some() };
        let (verdict, order) = self.core.book.admit(checked, &moment);
        match (verdict, answer) {
            (Ok(Admitted::Remembered { .. }), Some(answer)) => {
                let order = order.durable().await.map_err(|_| ledger_stopped())?;
                Ok(Ok(Taken::Again { answer, order }))
            }
            (Ok(Admitted::Remembered { .. }), None) => {
                unreachable!("the ledger was told that nothing is remembered")
            }
            (Ok(Admitted::Run(run)), _) => Ok(Ok(Taken::Run { run, order })),
            (Err(refusal), _) => {
                // A refusal may halt the account, which must be on disk before anyone is told.
                order.durable().await.map_err(|_| ledger_stopped())?;
                Ok(Err((refusal, account)))
            }
        }
    }

    fn check(&self) -> Result<Checked, Reply> {
        let payment = match payment(&self.inner.envelope) {
            Ok(Some(payment)) => payment,
            Ok(None) => return Err(self.payment_missing()),
            Err(fault) => return Err(payment::unreadable(&fault)),
        };
        let asked = asked(self.inner, self.model.digest, self.max_tokens);
        let terms = self.core.offer.terms();
        terms.check(payment, &asked, clock::now()).map_err(|refusal| self.refused(&refusal, None))
    }

    fn payment_missing(&self) -> Reply {
        let message =
            "this pod answers against a signed order; run `subrosa gateway`, which makes one";
        let offer = self.core.offer.current();
        payment::missing(message, &self.context(offer.unverified()))
    }

    fn refused(&self, refusal: &Refusal, ledger: Option<&Ledger>) -> Reply {
        let offer = self.core.offer.current();
        payment::refused(refusal, ledger, &self.context(offer.unverified()))
    }

    fn context<'b>(&'b self, offer: &'b Offer) -> Context<'b> {
        Context { path: &self.inner.path, offer, needed: self.needed() }
    }

    /// The most that this request can cost under the current offer.
    fn needed(&self) -> Amount {
        let offer = self.core.offer.current();
        let model = offer.unverified().model(&self.model.digest);
        let bytes = self.inner.body.len() as u64;
        model.map_or(Amount::ZERO, |model| model.max_charge(bytes, self.max_tokens))
    }

    /// The channel that the envelope names.
    pub(crate) fn config(&self) -> Option<ChannelConfig> {
        let bytes = self.inner.envelope.channel_config.as_deref()?;
        ChannelConfig::decode(bytes).ok()
    }

    /// Gives a remembered answer once more, byte for byte.
    async fn tell_again(&self, answer: Answer, order: &Durable<Admission>, outlet: Outlet) {
        let claimed = self.core.world.claimed(self.config().as_ref());
        let price = self.price();
        let fields = receipt_fields(&answer.receipt, price, claimed);
        let mut headers = replies::content_type(answer.content_type);
        let trailers = if answer.streamed {
            fields
        } else {
            headers.extend(fields);
            Vec::new()
        };
        outlet.again(order, headers, answer.body, trailers).await;
    }

    pub(crate) fn price(&self) -> Price {
        let offer = self.core.offer.current();
        let free = Price { input: Amount::ZERO, output: Amount::ZERO };
        offer.unverified().model(&self.model.digest).map_or(free, |model| model.price)
    }

    /// Runs the model while the order goes to disk, and tells what it says.
    async fn run(&self, run: Run, order: Confirming<Admission>, outlet: Outlet) {
        let started = self.core.engine.chat(self.model, &self.request, self.max_tokens);
        let (order, started): (_, Result<Generation, _>) = tokio::join!(order.durable(), started);
        match (order, started) {
            (Ok(order), Ok(generation)) => {
                Telling::new(self, run).tell(generation, order, outlet).await
            }
            (Ok(_), Err(fault)) => {
                tracing::info!(error = %fault, "the engine refused a request");
                self.give_up(run, outlet, replies::engine_refused(&fault)).await;
            }
            (Err(fault), _) => {
                tracing::error!(error = %fault, "an order could not be written");
                outlet.reply(ledger_stopped()).await;
            }
        }
    }

    /// Releases a run of which nothing was told, and says why.
    pub(crate) async fn give_up(&self, run: Run, outlet: Outlet, reply: Reply) {
        self.release(run).await;
        outlet.reply(reply).await;
    }

    pub(crate) async fn release(&self, run: Run) {
        if let Err(error) = self.core.book.release(run).await {
            tracing::error!(%error, "a reservation could not be given back");
        }
    }
}

/// The reply when the disk takes nothing any more.
fn ledger_stopped() -> Reply {
    replies::retry_later(
        503,
        "ledger_stopped",
        "this pod cannot write its ledger; choose another",
        30,
    )
}
