//! What tests of several rooms need; a dev-dependency only.

pub mod gguf;
pub mod smollm2;
