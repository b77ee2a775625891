//! What a chat is answered with: one completion, or a stream of chunks; and the list of models.
//!
//! The types serialise to exactly the members of OpenAI's interface. Read from elsewhere, members
//! that they do not have are ignored: a program that must keep them passes the bytes on.

use serde::{Deserialize, Serialize};

/// Tokens of one chat, in OpenAI's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt after templating.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// The sum.
    pub total_tokens: u64,
}

impl Usage {
    /// Usage of so many tokens of prompt and answer.
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The backend's filter withheld the rest.
    ContentFilter,
    /// The bound of tokens was reached.
    Length,
    /// The model ended its turn, or a stop string was produced.
    Stop,
    /// The model calls tools.
    ToolCalls,
}

/// The answer as one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Always `assistant`.
    pub role: String,
    /// The text; `null` where the model only calls tools.
    pub content: Option<String>,
}

/// One of a completion's answers; we make one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Its place in the list.
    pub index: u32,
    /// The answer.
    pub message: Reply,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatCompletion {
    /// The answer's id.
    pub id: String,
    /// Always `chat.completion`.
    pub object: String,
    /// Unix seconds.
    pub created: u64,
    /// The model that answered.
    pub model: String,
    /// The answers.
    pub choices: Vec<Choice>,
    /// What it took.
    pub usage: Usage,
}

/// What a chunk adds to the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Who speaks; only in the first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// More of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// One of a chunk's answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkChoice {
    /// Which answer it continues.
    pub index: u32,
    /// What it adds.
    pub delta: Delta,
    /// Why the answer ended; `null` until it did.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
}

/// One piece of a streamed answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatChunk {
    /// The answer's id, the same in each chunk.
    pub id: String,
    /// Always `chat.completion.chunk`.
    pub object: String,
    /// Unix seconds, the same in each chunk.
    pub created: u64,
    /// The model that answers.
    pub model: String,
    /// What is added; empty in the chunk of the usage.
    pub choices: Vec<ChunkChoice>,
    /// What it took; only in the chunk of the usage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Makes the pieces of one answer: `role`, any number of `text`, `finish`, then `usage` if the
/// caller asked for it, then [`crate::sse::DONE`]; or the whole as one completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatStream {
    id: String,
    created: u64,
    model: String,
}

impl ChatStream {
    /// An answer of that id, begun at `created` (Unix seconds) by that model.
    pub fn new(id: impl Into<String>, created: u64, model: impl Into<String>) -> Self {
        ChatStream { id: id.into(), created, model: model.into() }
    }

    /// The first chunk: who speaks.
    pub fn role(&self) -> ChatChunk {
        let delta = Delta { role: Some("assistant".into()), content: Some(String::new()) };
        self.chunk(delta, None)
    }

    /// A chunk of text.
    pub fn text(&self, text: impl Into<String>) -> ChatChunk {
        let delta = Delta { role: None, content: Some(text.into()) };
        self.chunk(delta, None)
    }

    /// The chunk that says why the answer ended.
    pub fn finish(&self, reason: FinishReason) -> ChatChunk {
        self.chunk(Delta::default(), Some(reason))
    }

    /// The chunk of the usage, with no choices.
    pub fn usage(&self, usage: Usage) -> ChatChunk {
        ChatChunk { choices: Vec::new(), usage: Some(usage), ..self.chunk(Delta::default(), None) }
    }

    /// The whole answer at once.
    pub fn completion(
        &self,
        text: impl Into<String>,
        finish_reason: FinishReason,
        usage: Usage,
    ) -> ChatCompletion {
        let message = Reply { role: "assistant".into(), content: Some(text.into()) };
        ChatCompletion {
            id: self.id.clone(),
            object: "chat.completion".into(),
            created: self.created,
            model: self.model.clone(),
            choices: vec![Choice { index: 0, message, finish_reason }],
            usage,
        }
    }

    fn chunk(&self, delta: Delta, finish_reason: Option<FinishReason>) -> ChatChunk {
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk".into(),
            created: self.created,
            model: self.model.clone(),
            choices: vec![ChunkChoice { index: 0, delta, finish_reason }],
            usage: None,
        }
    }
}

/// One entry of `GET /v1/models`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// The name that requests use.
    pub id: String,
    /// Always `model`.
    pub object: String,
    /// Unix seconds.
    pub created: u64,
    /// Who serves it.
    pub owned_by: String,
}

impl Model {
    /// A model of that name.
    pub fn new(id: impl Into<String>, created: u64, owned_by: impl Into<String>) -> Self {
        Model { id: id.into(), object: "model".into(), created, owned_by: owned_by.into() }
    }
}

/// The answer to `GET /v1/models`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelList {
    /// Always `list`.
    pub object: String,
    /// The models.
    pub data: Vec<Model>,
}

impl ModelList {
    /// A list of these models.
    pub fn new(data: Vec<Model>) -> Self {
        ModelList { object: "list".into(), data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse;

    fn answer() -> ChatStream {
        ChatStream::new("chatcmpl-1", 1_700_000_000, "smollm2")
    }

    #[test]
    fn a_completion_has_exactly_openais_members() {
        let whole = answer().completion("Paris.", FinishReason::Stop, Usage::new(12, 3));
        let text = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"smollm2","choices":[{"index":0,"message":{"role":"assistant","content":"Paris."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}"#;
        assert_eq!(serde_json::to_string(&whole).unwrap(), text);
        assert_eq!(serde_json::from_str::<ChatCompletion>(text).unwrap(), whole);
    }

    #[test]
    fn a_streamed_answer_is_exactly_openais_sequence_of_events() {
        let answer = answer();
        let mut stream = Vec::new();
        for chunk in [
            answer.role(),
            answer.text("Par"),
            answer.text("is."),
            answer.finish(FinishReason::Length),
            answer.usage(Usage::new(12, 3)),
        ] {
            stream.extend_from_slice(&sse::encode(&chunk));
        }
        stream.extend_from_slice(sse::DONE);
        let head = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"smollm2","choices":["#;
        let expected = [
            r#"{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            r#"{"index":0,"delta":{"content":"Par"},"finish_reason":null}]}"#,
            r#"{"index":0,"delta":{"content":"is."},"finish_reason":null}]}"#,
            r#"{"index":0,"delta":{},"finish_reason":"length"}]}"#,
            r#"],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}"#,
        ]
        .map(|rest| format!("{head}{rest}\n\n"))
        .concat();
        let expected = expected + "data: [DONE]\n\n";
        assert_eq!(String::from_utf8(stream).unwrap(), expected);
    }

    #[test]
    fn chunks_are_read_back_as_they_were_made() {
        let answer = answer();
        for chunk in [
            answer.role(),
            answer.text("é"),
            answer.finish(FinishReason::Stop),
            answer.usage(Usage::new(u64::MAX, 1)),
        ] {
            let text = serde_json::to_string(&chunk).unwrap();
            assert_eq!(serde_json::from_str::<ChatChunk>(&text).unwrap(), chunk);
        }
    }

    #[test]
    fn reads_a_foreign_chunk_with_members_of_its_own() {
        let text = r#"{"id":"x","object":"chat.completion.chunk","created":1,"model":"m","service_tier":"y","choices":[{"index":0,"delta":{"content":null,"refusal":null},"logprobs":null,"finish_reason":"content_filter"}],"usage":null}"#;
        let chunk: ChatChunk = serde_json::from_str(text).unwrap();
        let choice = &chunk.choices[0];
        assert_eq!(choice.finish_reason, Some(FinishReason::ContentFilter));
        assert_eq!(choice.delta, Delta::default());
        assert_eq!(chunk.usage, None);
    }

    #[test]
    fn a_model_list_has_exactly_openais_members() {
        let list = ModelList::new(vec![Model::new("smollm2", 7, "subrosa")]);
        let text = r#"{"object":"list","data":[{"id":"smollm2","object":"model","created":7,"owned_by":"subrosa"}]}"#;
        assert_eq!(serde_json::to_string(&list).unwrap(), text);
        assert_eq!(serde_json::from_str::<ModelList>(text).unwrap(), list);
    }

    #[test]
    fn foreign_garbage_is_an_error_and_not_a_panic() {
        for text in ["", "{}", "[]", r#"{"choices":[{}]}"#, r#"{"usage":-1}"#] {
            assert!(serde_json::from_str::<ChatChunk>(text).is_err());
            assert!(serde_json::from_str::<ChatCompletion>(text).is_err());
            assert!(serde_json::from_str::<ModelList>(text).is_err());
        }
    }
}
