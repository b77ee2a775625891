//! Time as the protocol knows it: whole Unix seconds, always handed in from outside.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A moment, in Unix seconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// A span of time, in seconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Duration(pub u64);

impl Timestamp {
    /// The moment `span` later; the end of time where that would overflow.
    pub fn after(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }

    /// The moment `span` earlier; the epoch where that would underflow.
    pub fn before(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(span.0))
    }

    /// How much later this is than `earlier`; zero where it is not later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
