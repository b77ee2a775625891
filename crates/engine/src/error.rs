//! What can go wrong between a question and its answer, and who is at fault.

use thiserror::Error;

/// Why an engine did not answer, or stopped answering.
///
/// No variant carries text of a prompt or of an answer: these messages are logged.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// The backend failed or could not be reached; the caller may ask another pod.
    #[error("the model server failed: {0}")]
    Backend(String),
    /// Every place and every seat in the queue is taken.
    #[error("all places are taken, try again in {retry_after_s} s")]
    Busy {
        /// Seconds after which a place is likely to be free.
        retry_after_s: u64,
    },
    /// The backend died in the middle of an answer; what came so far is not the whole answer.
    #[error("the model server died after {output_tokens} tokens of the answer")]
    Died {
        /// Tokens that were generated before it died.
        output_tokens: u64,
    },
    /// A member of the request has a value that cannot be served.
    #[error("{name} must be {must}")]
    InvalidMember {
        /// The member's name.
        name: &'static str,
        /// What a good value looks like.
        must: &'static str,
    },
    /// The tokens that may be generated are zero or more than the model's bound.
    #[error("max_tokens is {got}, this model allows 1 to {limit}")]
    MaxTokens {
        /// What was asked for.
        got: u64,
        /// The model's bound.
        limit: u64,
    },
    /// The prompt, with the answer's first token, does not fit the model's context.
    #[error("the prompt has {tokens} tokens, this model reads at most {limit}")]
    PromptTooLong {
        /// Tokens of the prompt after templating.
        tokens: u64,
        /// The most that this model reads.
        limit: u64,
    },
    /// The model's chat template refused or failed on these messages.
    #[error("the model's chat template cannot render these messages: {0}")]
    Template(TemplateFault),
    /// The model is not served by this engine.
    #[error("this engine does not serve the model {name}")]
    UnknownModel {
        /// The name that was asked for.
        name: String,
    },
    /// A message holds a byte that the model's vocabulary lacks, such as a control character. It is
    /// not left out in silence: the receipt would be for a prompt that the model never saw.
    #[error(
        "a message has a character that this model has no token for, remove control characters"
    )]
    UnreadableText,
    /// A member of the request would change the answer and is not supported.
    #[error("{name} is not supported by this engine, leave it out")]
    UnsupportedMember {
        /// The member's name; never its value.
        name: String,
    },
}

/// How a chat template failed, without the text that it failed on.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum TemplateFault {
    /// The template took more steps than a template needs.
    #[error("it did not end within its bound of steps")]
    Endless,
    /// The template called `raise_exception`: it does not take these roles in this order.
    #[error("it refuses these roles in this order")]
    Refused,
    /// The template produced more text than the context can hold.
    #[error("it produced too much text")]
    TooLarge,
    /// The template uses something that is missing or wrong.
    #[error("it is faulty at line {line}: {kind}")]
    Faulty {
        /// Line of the template.
        line: usize,
        /// The kind of fault in the template engine's words.
        kind: String,
    },
}

impl EngineError {
    /// Whether the same request may succeed elsewhere or later without a change.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            EngineError::Backend(_) | EngineError::Busy { .. } | EngineError::Died { .. }
        )
    }
}
