//! Language models behind one face: the built-in engine, a real Ollama server, and a scripted one
//! for tests.
//!
//! An [`Engine`] serves a few models and answers chats with a [`Generation`], which counts its
//! tokens truly, also when it is cancelled.

mod builtin;
mod cache;
pub mod catalogue;
mod digest;
mod engine;
mod error;
mod generation;
mod http;
mod scripted;

pub use builtin::{Builtin, BuiltinConfig, ModelFault, SamplingDefaults};
pub use cache::{Cache, CacheError};
pub use engine::{Engine, ServedModel};
pub use error::{EngineError, TemplateFault};
pub use generation::{Event, FinishReason, Generation, Usage};
pub use scripted::{Fault, Script, Scripted};
