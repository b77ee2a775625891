//! A chat request: typed where we must understand it, and kept whole for backends that know more.

use serde_json::{Map, Value, json};

use super::{ApiError, Message};
use crate::json;

/// Stop strings in one request. OpenAI takes 4; local programs send more.
const STOPS_MAX: usize = 16;
/// Bytes of one stop string. It bounds what a stream must hold back to look for it.
const STOP_BYTES_MAX: usize = 1024;
/// Bytes of a model's name.
const MODEL_BYTES_MAX: usize = 256;

/// What a caller of [`ChatRequest::parse`] accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the body.
    pub body_bytes_max: usize,
    /// Messages of the chat.
    pub messages_max: usize,
    /// The most that `max_tokens` may say, whatever the model. A model's own bound is checked where
    /// the model is known.
    pub output_tokens_max: u64,
}

impl Default for Limits {
    /// A body of 4 MiB, 4,096 messages, a million tokens.
    fn default() -> Self {
        Limits { body_bytes_max: 4 << 20, messages_max: 4096, output_tokens_max: 1_000_000 }
    }
}

/// A chat request whose every typed member was checked.
///
/// The JSON object that it was parsed from is kept, in its order, so that members which we do not
/// know survive. A member that is `null` counts as absent, as with OpenAI.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    raw: Map<String, Value>,
    model: String,
    messages: Vec<Message>,
    stream: bool,
    include_usage: bool,
    max_tokens: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    seed: Option<i64>,
    stop: Vec<String>,
}

impl ChatRequest {
    /// Reads the body of `POST /v1/chat/completions`.
    ///
    /// # Errors
    /// Everything that is wrong with a typed member, by the parameter's name. A member that is
    /// unknown here is not judged.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, ApiError> {
        if body.len() > limits.body_bytes_max {
            return Err(ApiError::BodyTooLarge { limit: limits.body_bytes_max });
        }
        match json::parse(body)? {
            Value::Object(raw) => Self::from_map(raw, limits),
            _ => Err(ApiError::NotObject),
        }
    }

    /// A request of one user message.
    pub fn ask(model: &str, text: &str) -> Self {
        let message = json!({"role": "user", "content": text});
        let mut raw = Map::new();
        raw.insert("model".into(), json!(model));
        raw.insert("messages".into(), json!([message]));
        ChatRequest {
            messages: vec![Message::parse(&message, "messages[0]").expect("it was just built")],
            raw,
            model: model.into(),
            stream: false,
            include_usage: false,
            max_tokens: None,
            temperature: None,
            top_p: None,
            seed: None,
            stop: Vec::new(),
        }
    }

    fn from_map(raw: Map<String, Value>, limits: &Limits) -> Result<Self, ApiError> {
        let members = Members(&raw);
        let stream = members.boolean("stream")?.unwrap_or(false);
        Ok(ChatRequest {
            model: members.model()?,
            messages: members.messages(limits.messages_max)?,
            stream,
            include_usage: members.include_usage()? && stream,
            max_tokens: members.max_tokens(limits.output_tokens_max)?,
            temperature: members.number("temperature", 0.0, 2.0)?,
            top_p: members.number("top_p", 0.0, 1.0)?,
            seed: members.seed()?,
            stop: members.stop()?,
            raw,
        })
    }

    /// The whole JSON object, in the caller's order.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }

    /// The model that is asked.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The chat so far; never empty.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Whether the answer comes in pieces.
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// Whether a streamed answer ends with a chunk of its usage. Never without [`Self::stream`].
    pub fn include_usage(&self) -> bool {
        self.include_usage
    }

    /// The most tokens of the answer: `max_tokens`, or `max_completion_tokens`, its newer name.
    pub fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }

    /// Sampling temperature, from 0 to 2.
    pub fn temperature(&self) -> Option<f64> {
        self.temperature
    }

    /// Nucleus of the sampling, from 0 to 1.
    pub fn top_p(&self) -> Option<f64> {
        self.top_p
    }

    /// Seed of the sampling.
    pub fn seed(&self) -> Option<i64> {
        self.seed
    }

    /// Strings that end the answer; none of them is empty.
    pub fn stop(&self) -> &[String] {
        &self.stop
    }

    /// Replaces the model's name, as an alias is resolved.
    pub fn set_model(&mut self, model: &str) {
        self.model = model.into();
        self.raw.insert("model".into(), json!(model));
    }

    /// Sets `max_tokens`, and removes its newer name: an order's bound needs the number.
    pub fn set_max_tokens(&mut self, max_tokens: u64) {
        self.max_tokens = Some(max_tokens);
        self.raw.shift_remove("max_completion_tokens");
        self.raw.insert("max_tokens".into(), json!(max_tokens));
    }

    /// Asks for a stream with its usage, or for one whole answer.
    pub fn set_stream(&mut self, stream: bool) {
        self.stream = stream;
        self.include_usage = stream;
        self.raw.insert("stream".into(), json!(stream));
        match stream {
            true => self.raw.insert("stream_options".into(), json!({"include_usage": true})),
            false => self.raw.shift_remove("stream_options"),
        };
    }

    /// The request as a body; [`Self::parse`] reads it back to an equal one.
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(&self.raw).expect("a JSON object always serialises")
    }
}

/// Readers of single members. Each refuses what its member cannot be.
struct Members<'a>(&'a Map<String, Value>);

impl Members<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn required(&self, name: &str) -> Result<&Value, ApiError> {
        self.get(name).ok_or_else(|| ApiError::Missing { param: name.into() })
    }

    fn model(&self) -> Result<String, ApiError> {
        match self.required("model")? {
            Value::String(name) if name.is_empty() => {
                Err(ApiError::Empty { param: "model".into() })
            }
            Value::String(name) if name.len() > MODEL_BYTES_MAX => {
                Err(ApiError::TooLong { param: "model".into(), limit: MODEL_BYTES_MAX })
            }
            Value::String(name) => Ok(name.clone()),
            _ => Err(ApiError::wrong_type("model", "a string")),
        }
    }

    fn messages(&self, limit: usize) -> Result<Vec<Message>, ApiError> {
        let param = "messages";
        let list = self
            .required(param)?
            .as_array()
            .ok_or_else(|| ApiError::wrong_type(param, "a list"))?;
        if list.is_empty() {
            return Err(ApiError::Empty { param: param.into() });
        }
        if list.len() > limit {
            return Err(ApiError::TooMany { param: param.into(), limit });
        }
        list.iter()
            .enumerate()
            .map(|(i, message)| Message::parse(message, &format!("{param}[{i}]")))
            .collect()
    }

    fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(ApiError::wrong_type(name, "true or false")),
        }
    }

    fn include_usage(&self) -> Result<bool, ApiError> {
        let Some(options) = self.get("stream_options") else {
            return Ok(false);
        };
        let options = options
            .as_object()
            .ok_or_else(|| ApiError::wrong_type("stream_options", "an object"))?;
        match options.get("include_usage") {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(ApiError::wrong_type("stream_options.include_usage", "true or false")),
        }
    }

    fn max_tokens(&self, limit: u64) -> Result<Option<u64>, ApiError> {
        let old = self.token_limit("max_tokens", limit)?;
        let new = self.token_limit("max_completion_tokens", limit)?;
        match (old, new) {
            (Some(old), Some(new)) if old != new => Err(ApiError::ConflictingLimits),
            _ => Ok(old.or(new)),
        }
    }

    fn token_limit(&self, name: &str, limit: u64) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value {
            Value::Number(number) => match number.as_u64() {
                Some(tokens) if (1..=limit).contains(&tokens) => Ok(Some(tokens)),
                _ => Err(ApiError::out_of_range(name, format!("a whole number from 1 to {limit}"))),
            },
            _ => Err(ApiError::wrong_type(name, "a whole number")),
        }
    }

    fn number(&self, name: &str, low: f64, high: f64) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = value.as_f64().ok_or_else(|| ApiError::wrong_type(name, "a number"))?;
        if (low..=high).contains(&number) {
            return Ok(Some(number));
        }
        Err(ApiError::out_of_range(name, format!("from {low} to {high}")))
    }

    fn seed(&self) -> Result<Option<i64>, ApiError> {
        match self.get("seed") {
            None => Ok(None),
            Some(Value::Number(number)) => number.as_i64().map(Some).ok_or_else(|| {
                ApiError::out_of_range("seed", "a whole number of 64 bits with a sign")
            }),
            Some(_) => Err(ApiError::wrong_type("seed", "a whole number")),
        }
    }

    fn stop(&self) -> Result<Vec<String>, ApiError> {
        match self.get("stop") {
            None => Ok(Vec::new()),
            Some(one @ Value::String(_)) => Ok(vec![stop_string(one, "stop")?]),
            Some(Value::Array(list)) if list.len() > STOPS_MAX => {
                Err(ApiError::TooMany { param: "stop".into(), limit: STOPS_MAX })
            }
            Some(Value::Array(list)) => list
                .iter()
                .enumerate()
                .map(|(i, stop)| stop_string(stop, &format!("stop[{i}]")))
                .collect(),
            Some(_) => Err(ApiError::wrong_type("stop", "a string or a list of strings")),
        }
    }
}

/// An empty stop string would end every answer before it begins, so it is refused.
fn stop_string(value: &Value, param: &str) -> Result<String, ApiError> {
    match value {
        Value::String(text) if text.is_empty() => Err(ApiError::Empty { param: param.into() }),
        Value::String(text) if text.len() > STOP_BYTES_MAX => {
            Err(ApiError::TooLong { param: param.into(), limit: STOP_BYTES_MAX })
        }
        Value::String(text) => Ok(text.clone()),
        _ => Err(ApiError::wrong_type(param, "a string")),
    }
}
