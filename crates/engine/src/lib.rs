//! Language models behind one face: the built-in engine, a real Ollama server, and a scripted one
//! for tests.
//!
//! ```
//! use std::time::Duration;
//!
//! use subrosa_api::openai::ChatRequest;
//! use subrosa_engine::{Engine, Event, Script, Scripted};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let tokens = vec!["Par".to_owned(), "is.".to_owned()];
//! let script = Script { tokens, prefill: Duration::ZERO, per_token: Duration::ZERO };
//! let engine = Engine::Scripted(Scripted::new("script", script));
//! let request = ChatRequest::ask("script", "The capital of France?");
//! let mut answer = engine.chat(&engine.models()[0], &request, 16).await?;
//! let mut text = String::new();
//! while let Some(event) = answer.next().await {
//!     if let Event::Text(more) = event? {
//!         text += &more;
//!     }
//! }
//! assert_eq!(text, "Paris.");
//! assert_eq!(answer.usage().output_tokens, 2);
//! # Ok::<(), subrosa_engine::EngineError>(())
//! # }).unwrap();
//! ```
//!
//! The three types to know: an [`Engine`] serves models and takes chats, a [`Generation`] is one answer
//! in the making, whose tokens are counted truly even when it is cancelled, and a [`ServedModel`] is
//! what an offer says of a model.

mod builtin;
mod cache;
pub mod catalogue;
mod digest;
mod engine;
mod error;
mod generation;
mod http;
mod ollama;
mod scripted;

pub use builtin::{Builtin, BuiltinConfig, ModelFault, SamplingDefaults};
pub use cache::{Cache, CacheError};
pub use engine::{Engine, ServedModel};
pub use error::{EngineError, TemplateFault};
pub use generation::{Event, FinishReason, Generation, Usage};
pub use ollama::{Ollama, OllamaConfig, OllamaError};
pub use scripted::{Fault, Script, Scripted};
