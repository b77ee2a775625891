//! A chat request in the words of Ollama's native interface.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use subrosa_api::openai::{ChatRequest, Message, Role};

use super::vocabulary::Vocabulary;
use crate::{EngineError, ServedModel};

/// Tokens that a template may put around a message: the bytes of the smallest message in a request's
/// body, `{"role":"assistant"}` and its comma. So a prompt's bound stays below the bytes of its body
/// and the model's template bound, which is what a caller pays for at most.
const MESSAGE_TOKENS_MAX: u64 = 21;

/// Members whose meaning this module carries over.
const MAPPED: [&str; 14] = [
    "frequency_penalty",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "options",
    "presence_penalty",
    "response_format",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
];
/// Members that Ollama would ignore although they change an answer, or that would let one caller
/// decide over what is loaded for all.
const REFUSED: [&str; 18] = [
    "audio",
    "function_call",
    "functions",
    "keep_alive",
    "logit_bias",
    "logprobs",
    "modalities",
    "n",
    "prediction",
    "raw",
    "shift",
    "suffix",
    "system",
    "template",
    "tool_choice",
    "tools",
    "top_logprobs",
    "truncate",
];
/// Options that say how much is answered, which is `max_tokens` here, or how the model is loaded.
const OPTIONS_REFUSED: [&str; 14] = [
    "f16_kv",
    "logits_all",
    "low_vram",
    "main_gpu",
    "num_batch",
    "num_ctx",
    "num_gpu",
    "num_keep",
    "num_predict",
    "num_thread",
    "numa",
    "use_mlock",
    "use_mmap",
    "vocab_only",
];
/// Members of a message that have no meaning in text, or more tokens than bytes.
const MESSAGE_REFUSED: [&str; 5] =
    ["function_call", "images", "thinking", "tool_call_id", "tool_calls"];

/// What is known of a prompt before the server counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prompt {
    /// More tokens than it can have.
    pub(super) tokens_max: u64,
    /// The texts of its messages.
    pub(super) texts: Vec<String>,
}

impl Prompt {
    /// Refuses a prompt that may not fit the context, and one whose text is more than text to the
    /// server: it reads control words anywhere, so that a user could speak as the system.
    pub(super) fn read(
        request: &ChatRequest,
        model: &ServedModel,
        vocabulary: &Vocabulary,
    ) -> Result<Self, EngineError> {
        let mut prompt = Prompt { tokens_max: model.template_bound, texts: Vec::new() };
        for (index, message) in request.messages().iter().enumerate() {
            let text = text(message, index)?;
            if vocabulary.has_control_word(&text) {
                let must = "free of the control words of this model, its server would obey them";
                return Err(EngineError::InvalidMember { name: "messages", must });
            }
            prompt.tokens_max += text.len() as u64 + MESSAGE_TOKENS_MAX;
            prompt.texts.push(text.into_owned());
        }
        // The answer's first token needs a place too.
        let limit = model.context_tokens - 1;
        if prompt.tokens_max > limit {
            return Err(EngineError::PromptTooLong { tokens: prompt.tokens_max, limit });
        }
        Ok(prompt)
    }
}

/// The body of `POST /api/chat`. Members that are unknown here reach the server as they are.
pub(super) fn body(
    request: &ChatRequest,
    model: &ServedModel,
    max_tokens: u64,
) -> Result<Map<String, Value>, EngineError> {
    let mut body = Map::new();
    for (name, value) in request.raw() {
        let name = name.as_str();
        if MAPPED.contains(&name) || says_nothing(name, value) {
            continue;
        }
        if REFUSED.contains(&name) {
            return Err(unsupported(name));
        }
        body.insert(name.into(), value.clone());
    }
    if let Some(format) = format(request)?
        && body.insert("format".into(), format).is_some()
    {
        return Err(unsupported("response_format beside format"));
    }
    body.insert("model".into(), json!(model.name));
    body.insert("messages".into(), messages(request)?);
    body.insert("stream".into(), json!(true));
    // Servers that know these refuse instead of shortening. Those that do not ignore them.
    body.insert("truncate".into(), json!(false));
    body.insert("shift".into(), json!(false));
    body.insert("options".into(), options(request, model, max_tokens)?);
    Ok(body)
}

fn messages(request: &ChatRequest) -> Result<Value, EngineError> {
    let raw = request.raw()["messages"].as_array().expect("a parsed request has messages");
    let messages = request.messages().iter().zip(raw).enumerate();
    let messages = messages.map(|(index, (message, raw))| {
        let mut written = Map::new();
        written.insert("role".into(), json!(role(message.role, index)?));
        written.insert("content".into(), json!(text(message, index)?));
        for name in &message.other_members {
            let value = &raw[name];
            if value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
                continue;
            }
            if MESSAGE_REFUSED.contains(&name.as_str()) {
                return Err(unsupported(&format!("messages[{index}].{name}")));
            }
            written.insert(name.clone(), value.clone());
        }
        Ok(Value::Object(written))
    });
    Ok(Value::Array(messages.collect::<Result<_, _>>()?))
}

fn text(message: &Message, index: usize) -> Result<Cow<'_, str>, EngineError> {
    let other = || unsupported(&format!("messages[{index}].content of another type than text"));
    message.content.text().ok_or_else(other)
}

fn role(role: Role, index: usize) -> Result<&'static str, EngineError> {
    match role {
        Role::Assistant => Ok("assistant"),
        Role::Developer | Role::System => Ok("system"),
        Role::User => Ok("user"),
        Role::Function | Role::Tool => {
            Err(unsupported(&format!("messages[{index}].role {}", role.as_str())))
        }
    }
}

/// The caller's own options, then what the typed members say, then our bounds.
fn options(
    request: &ChatRequest,
    model: &ServedModel,
    max_tokens: u64,
) -> Result<Value, EngineError> {
    let mut options = match request.raw().get("options") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(options)) => options.clone(),
        Some(_) => {
            return Err(EngineError::InvalidMember { name: "options", must: "an object" });
        }
    };
    if let Some(name) = OPTIONS_REFUSED.iter().find(|name| options.contains_key(**name)) {
        return Err(unsupported(&format!("options.{name}")));
    }
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            options.insert(name.into(), value);
        }
    };
    set("temperature", request.temperature().map(|value| json!(value)));
    set("top_p", request.top_p().map(|value| json!(value)));
    set("seed", request.seed().map(|value| json!(value)));
    set("stop", Some(request.stop()).filter(|stop| !stop.is_empty()).map(|stop| json!(stop)));
    set("frequency_penalty", penalty(request, "frequency_penalty")?);
    set("presence_penalty", penalty(request, "presence_penalty")?);
    set("num_ctx", Some(json!(model.context_tokens)));
    set("num_predict", Some(json!(max_tokens)));
    Ok(Value::Object(options))
}

fn penalty(request: &ChatRequest, name: &'static str) -> Result<Option<Value>, EngineError> {
    match request.raw().get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) if value.as_f64().is_some_and(|number| (-2.0..=2.0).contains(&number)) => {
            Ok(Some(value.clone()))
        }
        Some(_) => Err(EngineError::InvalidMember { name, must: "a number from -2 to 2" }),
    }
}

/// OpenAI's `response_format` as Ollama's `format`: the word `json`, or a schema.
fn format(request: &ChatRequest) -> Result<Option<Value>, EngineError> {
    let Some(format) = request.raw().get("response_format").filter(|format| !format.is_null())
    else {
        return Ok(None);
    };
    let must = "text, json_object, or json_schema with a schema";
    let wrong = EngineError::InvalidMember { name: "response_format", must };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(json!("json"))),
        Some("json_schema") => match format.pointer("/json_schema/schema") {
            Some(schema @ Value::Object(_)) => Ok(Some(schema.clone())),
            _ => Err(wrong),
        },
        _ => Err(wrong),
    }
}

/// Whether a member has the value that it means when it is absent. Clients send many such.
fn says_nothing(name: &str, value: &Value) -> bool {
    match name {
        _ if value.is_null() => true,
        "functions" | "tools" => value.as_array().is_some_and(Vec::is_empty),
        "function_call" | "tool_choice" => matches!(value.as_str(), Some("auto" | "none")),
        "logit_bias" => value.as_object().is_some_and(Map::is_empty),
        "logprobs" => *value == json!(false),
        "modalities" => *value == json!(["text"]),
        "n" => *value == json!(1),
        "top_logprobs" => *value == json!(0),
        _ => false,
    }
}

fn unsupported(name: &str) -> EngineError {
    EngineError::UnsupportedMember { name: name.into() }
}
