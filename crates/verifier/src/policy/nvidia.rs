//! What NVIDIA's GPUs and switches must show.

use serde::{Deserialize, Serialize};

/// What NVIDIA's GPUs and switches must show, where there are any.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NvidiaPolicy {
    /// Whether a certificate for the very firmware is demanded; drivers before 550 have none.
    pub firmware_id: Demand,
    /// Whether a vendor's word on revocation must come along.
    pub revocation: Demand,
    /// Whether every active measurement must be a published one.
    pub reference_measurements: Demand,
}

/// Whether a check must be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// It must be made, and pass.
    Required,
    /// It need not be made, and is waived.
    Waived,
}

impl NvidiaPolicy {
    /// Everything is demanded.
    pub fn strict() -> NvidiaPolicy {
        NvidiaPolicy {
            firmware_id: Demand::Required,
            revocation: Demand::Required,
            reference_measurements: Demand::Required,
        }
    }
}
