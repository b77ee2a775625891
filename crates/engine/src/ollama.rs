//! A real Ollama server in the pod's image, over its native interface.
//!
//! The pod hashes every file that the server loads for a model and serves it under the digest of
//! those files; what the server says of its digests is only compared. Nothing here pulls or creates
//! a model.
//!
//! Ollama shortens a prompt that does not fit its context without a word, and then we would sign a
//! receipt for a prompt that the model never saw. So a prompt is refused before it is sent unless it
//! surely fits: a byte of content becomes at most one token, each message gets what its JSON costs in
//! bytes for the template, and the template, the system prompt and the model's own messages count as
//! their bytes. When the server's own count then exceeds that bound, the answer ends with an error.
//!
//! Ollama tells its counts only at the end of an answer. `Started`, and the usage of an answer that
//! is not finished, carry the least that the server must have counted: for the prompt the fewest
//! tokens of the model's vocabulary that spell its messages, for the answer one token a line of the
//! stream. `Finished` carries the server's own counts.

mod address;
mod connect;
mod files;
mod request;
mod stream;
mod vocabulary;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use subrosa_api::openai::ChatRequest;

use self::address::Server;
use self::stream::{Answer, Bounds};
use self::vocabulary::Vocabulary;
use crate::engine::check_max_tokens;
use crate::{EngineError, Generation, ServedModel, generation};

pub use self::connect::OllamaError;

/// An Ollama server, and what it serves for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OllamaConfig {
    /// `http://` with a loopback address, or `unix:` with the path of a socket.
    pub url: String,
    /// The folder that the server loads models from, its `OLLAMA_MODELS`.
    pub models_dir: PathBuf,
    /// The models to serve, by their names in Ollama.
    pub models: Vec<String>,
    /// The most tokens of prompt and answer together; `None` takes each model's own context. The
    /// server keeps memory for all of it.
    pub context_tokens: Option<u64>,
    /// The most tokens of one answer.
    pub output_tokens_max: u64,
}

impl OllamaConfig {
    /// One model, with its own context and answers of up to 2,048 tokens.
    pub fn new(
        url: impl Into<String>,
        models_dir: impl Into<PathBuf>,
        model: impl Into<String>,
    ) -> Self {
        OllamaConfig {
            url: url.into(),
            models_dir: models_dir.into(),
            models: vec![model.into()],
            context_tokens: None,
            output_tokens_max: 2048,
        }
    }
}

/// A connection to an Ollama server whose models were hashed and compared.
#[derive(Debug)]
pub struct Ollama {
    server: Server,
    models: Vec<ServedModel>,
    /// What each of `models` reads prompts with, in the same order.
    vocabularies: Vec<Arc<Vocabulary>>,
}

impl Ollama {
    /// Hashes the files of each model, compares them with what the server says, and serves them.
    ///
    /// # Errors
    /// A server that is not in this machine, files that are missing, damaged or of an unknown kind,
    /// and every difference between the files and the server's words.
    pub async fn connect(config: OllamaConfig) -> Result<Self, OllamaError> {
        connect::connect(config).await
    }

    /// What the server serves for us.
    pub fn models(&self) -> &[ServedModel] {
        &self.models
    }

    pub(crate) async fn chat(
        &self,
        model: &ServedModel,
        request: &ChatRequest,
        max_tokens: u64,
    ) -> Result<Generation, EngineError> {
        let index = self
            .models
            .iter()
            .position(|served| served.digest == model.digest && served.name == model.name)
            .ok_or_else(|| EngineError::UnknownModel { name: model.name.clone() })?;
        let served = &self.models[index];
        check_max_tokens(max_tokens, served.output_tokens_max)?;
        let prompt = request::Prompt::read(request, served, &self.vocabularies[index])?;
        // An answer that reached the end of the context would push the prompt's beginning out of it.
        let max_tokens = max_tokens.min(served.context_tokens - prompt.tokens_max);
        let body = request::body(request, served, max_tokens)?;
        let (producer, generation) = generation::channel();
        let answer = Answer {
            request: self.server.post("/api/chat").json(&body),
            vocabulary: Arc::clone(&self.vocabularies[index]),
            texts: prompt.texts,
            bounds: Bounds {
                prompt_tokens_max: prompt.tokens_max,
                context_tokens: served.context_tokens,
                max_tokens,
            },
        };
        tokio::spawn(answer.produce(producer));
        Ok(generation)
    }
}

#[cfg(test)]
mod tests;
