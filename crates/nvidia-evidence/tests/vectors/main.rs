//! Evidence of real devices: what it must be appraised to.
//!
//! The files are found by `SUBROSA_VECTORS` (default `../shared/vectors` seen from the workspace
//! root); where they are absent, these tests say "skipped".

mod files;
mod negative;
mod node;
mod positive;
mod tampered;
