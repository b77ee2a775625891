//! A payer and a pod in a box: money is right whatever is lost and whoever crashes.

mod pair;
mod sealed;
mod stories;
mod storm;
