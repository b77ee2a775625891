//! What the pod answers inside the seal (spec/pod.md 6 and 7).

use std::sync::Arc;

use serde_json::json;
use subrosa_api::openai::{Model, ModelList};
use subrosa_protocol::{Account, Amount};
use subrosa_seal::InnerRequest;
use subrosa_session::names;
use subrosa_session::pod::{payment, request_hash};
use subrosa_session::receipts::{self, Query};

use crate::chat;
use crate::clock;
use crate::core::Core;
use crate::outlet::{Outlet, Reply};
use crate::payment::{self, Context};
use crate::replies::{error, json, retry_later};

/// Who serves the models, in OpenAI's list.
const OWNER: &str = "subrosa";

/// Answers one opened request. It runs to its end whether or not the caller stays.
pub(crate) async fn converse(core: &Arc<Core>, inner: InnerRequest, outlet: Outlet) {
    let (path, query) = match inner.path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (inner.path.as_str(), None),
    };
    match (inner.method.as_str(), path, query) {
        ("POST", "/v1/chat/completions", None) => chat::answer(core, &inner, outlet).await,
        ("GET", "/v1/models", None) => outlet.reply(models(core)).await,
        ("GET", receipts::PATH, _) => {
            outlet.reply(receipt(core, &inner).await).await;
        }
        ("GET", path, None) => {
            let reply = if let Some(chat) = path.strip_prefix("/v1/signature/") {
                signature(core, &inner, chat)
            } else if let Some(name) = path.strip_prefix("/v1/models/") {
                model(core, name)
            } else {
                unknown()
            };
            outlet.reply(reply).await;
        }
        _ => outlet.reply(unknown()).await,
    }
}

fn models(core: &Core) -> Reply {
    let models = core.engine.models().iter();
    json(200, &ModelList::new(models.map(|model| Model::new(&model.name, 0, OWNER)).collect()))
}

fn model(core: &Core, name: &str) -> Reply {
    match core.engine.model(name) {
        Some(model) => json(200, &Model::new(&model.name, 0, OWNER)),
        None => not_found("model_not_found", "this pod does not serve that model"),
    }
}

/// A receipt of the caller's own account, by order or by number.
async fn receipt(core: &Core, inner: &InnerRequest) -> Reply {
    let Some(query) = Query::parse(&inner.path) else {
        let message =
            "give order=0x and 64 lower-case hex digits, or seq= and a number, and nothing else";
        return error(400, "invalid_request_error", "bad_query", message);
    };
    let account = match owner(core, inner) {
        Ok(account) => account,
        Err(reply) => return reply,
    };
    match core.book.receipt(account, query).await {
        Ok(Some(receipt)) => {
            let receipt = receipt.to_base64();
            let mut reply = json(200, &json!({ "receipt": receipt }));
            reply.headers.push((names::RECEIPT.to_owned(), receipt.into_bytes()));
            reply
        }
        Ok(None) => not_found("no_such_receipt", "this account has no such receipt"),
        Err(fault) => {
            tracing::error!(error = %fault, "a receipt could not be read");
            retry_later(503, "ledger_unreadable", "the ledger cannot be read now", 5)
        }
    }
}

/// The signature of an answer, in the vllm-proxy form.
fn signature(core: &Core, inner: &InnerRequest, chat: &str) -> Reply {
    let account = match owner(core, inner) {
        Ok(account) => account,
        Err(reply) => return reply,
    };
    // Whether another account's chat exists is nobody's business, so both cases look the same.
    let kept = core.memory.signature(chat).filter(|kept| kept.account == account);
    match kept {
        Some(kept) => json(
            200,
            &json!({
                "text": kept.text,
                "signature": kept.signature,
                "signing_address": core.signer.address(),
                "signing_algo": "ecdsa",
                "signature_kind": "provider_tee",
            }),
        ),
        None => {
            not_found("no_such_chat", "there is no such answer, or it is older than 20 minutes")
        }
    }
}

/// The account whose owner asks, by an order with maxCharge 0 for exactly this request.
fn owner(core: &Core, inner: &InnerRequest) -> Result<Account, Reply> {
    let offer = core.offer.current();
    let context = Context { path: &inner.path, offer: offer.unverified(), needed: Amount::ZERO };
    let payment = match payment(&inner.envelope) {
        Ok(Some(payment)) => payment,
        Ok(None) => {
            let message = "an order of the account with maxCharge 0 must come with this request";
            return Err(payment::missing(message, &context));
        }
        Err(fault) => return Err(payment::unreadable(&fault)),
    };
    let terms = core.offer.terms();
    terms
        .authorise(&payment, request_hash(inner), clock::now())
        .map_err(|refusal| payment::refused(&refusal, None, &context))
}

fn unknown() -> Reply {
    let message = "inside the seal a pod has /v1/models, /v1/chat/completions, /v1/signature/{id} and \
                   /subrosa/v1/receipts";
    not_found("not_found", message)
}

fn not_found(code: &str, message: &str) -> Reply {
    error(404, "invalid_request_error", code, message)
}
