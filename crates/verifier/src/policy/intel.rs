//! How good Intel must find the platform, and how the guest must be set up.

use serde::{Deserialize, Serialize};
use subrosa_protocol::Duration;

use super::Allowed;

/// The newest evaluation of Intel's that every platform could have met when this was written.
const INTEL_EVALUATION_MIN: u32 = 17;

/// How good Intel must find the platform.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntelPolicy {
    /// The accepted statuses.
    pub statuses: Vec<IntelTcbStatus>,
    /// How long after a TCB level's date a status of "out of date" is tolerated, where it is
    /// accepted.
    #[serde(rename = "grace_s")]
    pub grace: Duration,
    /// The least number of Intel's evaluation that the collateral must follow.
    pub evaluation_number_min: u32,
    /// Advisories that refuse a platform that they apply to.
    pub rejected_advisories: Vec<String>,
    /// Whether the processor may run two threads a core; servers do.
    pub smt: Allowed,
    /// Whether memory may be added to the platform; servers allow it.
    pub dynamic_platform: Allowed,
    /// Whether the platform's keys may be cached by Intel; servers' are.
    pub cached_keys: Allowed,
}

/// Intel's judgement of a platform, under Intel's names. A revoked platform is never accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IntelTcbStatus {
    /// The configuration may expose it, and so may its software.
    ConfigurationAndSWHardeningNeeded,
    /// The configuration may expose it.
    ConfigurationNeeded,
    /// Updates are missing.
    OutOfDate,
    /// Updates are missing, and the configuration may expose it.
    OutOfDateConfigurationNeeded,
    /// Its software may expose it.
    SWHardeningNeeded,
    /// Nothing is missing.
    UpToDate,
}

impl IntelPolicy {
    /// Up to date, with the switches that every server has on.
    pub fn strict() -> IntelPolicy {
        IntelPolicy {
            statuses: vec![IntelTcbStatus::UpToDate],
            grace: Duration(0),
            evaluation_number_min: INTEL_EVALUATION_MIN,
            rejected_advisories: vec![],
            smt: Allowed::Yes,
            dynamic_platform: Allowed::Yes,
            cached_keys: Allowed::Yes,
        }
    }
}
