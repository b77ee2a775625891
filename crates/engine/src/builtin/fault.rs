//! Why a model file is not loaded.

use thiserror::Error;

/// What is wrong with a model file. A file is foreign input: each fault has a name, and nothing of
/// the file is trusted before it was checked.
#[derive(Debug, Error)]
pub enum ModelFault {
    /// The file's bytes are not those that were named.
    #[error("the model file has the SHA-256 {got}, expected {expected}: fetch it anew")]
    Digest {
        /// The digest that was named, in hex.
        expected: String,
        /// The digest of the bytes that were read, in hex.
        got: String,
    },
    /// The manifest of its files cannot be made.
    #[error("the model's files cannot be named in a manifest: {0}")]
    Manifest(#[from] subrosa_protocol::manifest::BadManifest),
    /// A key of the metadata is missing.
    #[error("the model file lacks {key}")]
    Missing {
        /// The key.
        key: String,
    },
    /// The container is broken.
    #[error("the model file is not a good GGUF file: {reason}")]
    NotGguf {
        /// What is wrong with it.
        reason: String,
    },
    /// A number of the metadata is outside what makes sense.
    #[error("{what} is {got}, it must be {must}")]
    OutOfBounds {
        /// What it is.
        what: String,
        /// Its value.
        got: u64,
        /// What is accepted.
        must: String,
    },
    /// The file cannot be read.
    #[error("the model file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// The chat template does not compile, or fails on a plain chat.
    #[error("the chat template of the model file does not work: {0}")]
    Template(crate::TemplateFault),
    /// A tensor is missing, superfluous, of another shape than the metadata says, or beyond the file.
    #[error("the tensor {name} {problem}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The tokenizer's tables do not make a tokenizer.
    #[error("the tokenizer of the model file does not work: {reason}")]
    Tokenizer {
        /// What is wrong with it.
        reason: String,
    },
    /// The file needs something that this engine does not have.
    #[error("the model file needs {what}, which this engine does not have: serve it with another")]
    Unsupported {
        /// What it needs.
        what: String,
    },
}

impl ModelFault {
    pub(super) fn tensor(name: &str, problem: impl Into<String>) -> Self {
        ModelFault::Tensor { name: name.into(), problem: problem.into() }
    }

    pub(super) fn not_gguf(reason: impl std::fmt::Display) -> Self {
        ModelFault::NotGguf { reason: reason.to_string() }
    }

    pub(super) fn tokenizer(reason: impl std::fmt::Display) -> Self {
        ModelFault::Tokenizer { reason: reason.to_string() }
    }
}
