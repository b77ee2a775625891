//! What the server says, in as far as we read it. Members that are not here are ignored.

use serde::Deserialize;
use serde_json::{Map, Value};

/// Answer to `GET /api/version`.
#[derive(Debug, Deserialize)]
pub(super) struct Version {
    pub(super) version: String,
}

/// Answer to `GET /api/tags`.
#[derive(Debug, Deserialize)]
pub(super) struct Tags {
    pub(super) models: Vec<Tag>,
}

/// One model of the server.
#[derive(Debug, Deserialize)]
pub(super) struct Tag {
    pub(super) name: String,
    /// SHA-256 of the model's manifest file.
    pub(super) digest: String,
}

/// Answer to `POST /api/show`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Show {
    pub(super) modelfile: String,
    pub(super) template: String,
    pub(super) details: Details,
    pub(super) model_info: Map<String, Value>,
    /// Where newer servers send prompts instead of answering them.
    pub(super) remote_host: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Details {
    /// Empty, or the path of the file that the model was created from.
    pub(super) parent_model: String,
}

/// One line of the answer to `POST /api/chat`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Line {
    pub(super) error: Option<Value>,
    pub(super) message: Option<LineMessage>,
    pub(super) done: bool,
    pub(super) done_reason: Option<String>,
    pub(super) prompt_eval_count: Option<u64>,
    pub(super) eval_count: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LineMessage {
    pub(super) content: String,
    pub(super) tool_calls: Vec<Value>,
}
