//! Chain.
mod network;
pub mod strict;
pub use network::*;
