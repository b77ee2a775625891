//! The enum of backends and what they serve.

use sha2::{Digest, Sha256};
use subrosa_api::openai::ChatRequest;
use subrosa_protocol::B256;
use subrosa_protocol::manifest::ModelManifest;

use crate::{Builtin, EngineError, Generation, Ollama, Scripted};

/// A model that an engine serves, as a pod's workload and offer describe it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServedModel {
    /// The name that requests use.
    pub name: String,
    /// The manifest's digest; it names the model in offers and receipts.
    pub digest: B256,
    /// Path, size and SHA-256 of each file that the backend loads.
    pub manifest: ModelManifest,
    /// The most tokens that prompt and answer have together.
    pub context_tokens: u64,
    /// The most tokens that templating can add beyond the bytes of a request's body.
    pub template_bound: u64,
    /// The most tokens of one answer.
    pub output_tokens_max: u64,
    /// Every other setting that can change an answer; measured in the pod's workload.
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// One backend. An enum, since the alternatives are ours.
#[derive(Debug)]
pub enum Engine {
    /// The engine in this process.
    Builtin(Builtin),
    /// A real Ollama server in the pod's image.
    Ollama(Ollama),
    /// Set answers, for tests and benches.
    Scripted(Scripted),
}

impl Engine {
    /// What this engine serves.
    pub fn models(&self) -> &[ServedModel] {
        match self {
            Engine::Builtin(builtin) => builtin.models(),
            Engine::Ollama(ollama) => ollama.models(),
            Engine::Scripted(scripted) => scripted.models(),
        }
    }

    /// The served model of that name.
    pub fn model(&self, name: &str) -> Option<&ServedModel> {
        self.models().iter().find(|model| model.name == name)
    }

    /// Begins to answer a chat with at most `max_tokens` tokens.
    ///
    /// # Errors
    /// What can be refused before any work is: a full queue, a prompt beyond the context, a member
    /// that is not supported. Faults of the work itself arrive as events.
    pub async fn chat(
        &self,
        model: &ServedModel,
        request: &ChatRequest,
        max_tokens: u64,
    ) -> Result<Generation, EngineError> {
        match self {
            Engine::Builtin(builtin) => builtin.chat(model, request, max_tokens).await,
            Engine::Ollama(ollama) => ollama.chat(model, request, max_tokens).await,
            Engine::Scripted(scripted) => scripted.chat(model, request, max_tokens).await,
        }
    }
}

/// Refuses a bound of output tokens that the model does not allow.
pub(crate) fn check_max_tokens(got: u64, limit: u64) -> Result<(), EngineError> {
    if (1..=limit).contains(&got) { Ok(()) } else { Err(EngineError::MaxTokens { got, limit }) }
}

pub(crate) fn sha256(bytes: &[u8]) -> B256 {
    B256::from_slice(&Sha256::digest(bytes))
}
