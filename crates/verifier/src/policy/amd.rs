//! Which AMD chips are accepted, and how the guest must be set up.

use serde::{Deserialize, Serialize};

use super::Allowed;

/// Which AMD chips are accepted, and how the guest must be set up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmdPolicy {
    /// Whether the processor may run two threads a core; servers do.
    pub smt: Allowed,
}

impl AmdPolicy {
    /// Today's chips with today's firmware.
    pub fn strict() -> AmdPolicy {
        AmdPolicy { smt: Allowed::Yes }
    }
}
