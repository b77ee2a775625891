//! The chain room against a real node: one for all tests of this file.

mod escrow;
mod node;
mod registry;
mod releases;
mod world;
