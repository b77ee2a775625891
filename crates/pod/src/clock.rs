//! The one place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use subrosa_protocol::Timestamp;

/// The time now.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_secs())
}
