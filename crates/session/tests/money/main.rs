//! A payer and a pod in a box: money is right whatever is lost and whoever crashes.
#![allow(clippy::print_stdout, reason = "seeds are printed, so that a failure can be run again")]
#![allow(clippy::large_enum_variant, reason = "a box holds a few of each")]

mod pair;
mod sealed;
mod stories;
mod storm;
