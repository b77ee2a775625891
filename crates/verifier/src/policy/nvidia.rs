//! What NVIDIA's GPUs and switches must show.

use serde::{Deserialize, Serialize};
use subrosa_nvidia_evidence::{NVIDIA_DEVICE_ROOT, NVIDIA_RIM_ROOT};
use subrosa_protocol::B256;

use super::Root;

/// SHA-256 of the certificate of NVIDIA's Device Identity CA.
pub const NVIDIA_DEVICE_ROOT_SHA256: B256 = B256::new(NVIDIA_DEVICE_ROOT.0);

/// SHA-256 of the certificate of NVIDIA's CoRIM signing root (valid to 2053-03-08).
pub const NVIDIA_RIM_ROOT_SHA256: B256 = B256::new(NVIDIA_RIM_ROOT.0);

/// SHA-256 of the root of simulated devices, whose key everybody can make.
pub const SIMULATOR_NVIDIA_DEVICE_ROOT_SHA256: B256 = B256::new([
    0x75, 0xda, 0x74, 0xef, 0xde, 0x95, 0xf0, 0xa1, 0x7e, 0x76, 0xd3, 0x91, 0x6d, 0xc4, 0x6c, 0x64,
    0x5e, 0xcf, 0x7d, 0x57, 0xc4, 0xa9, 0x88, 0xe0, 0x69, 0xa7, 0x98, 0x21, 0x52, 0x85, 0x35, 0x7f,
]);

/// The same for simulated reference measurements.
pub const SIMULATOR_NVIDIA_RIM_ROOT_SHA256: B256 = B256::new([
    0xb1, 0xc7, 0x43, 0x9b, 0xef, 0x49, 0xfe, 0x87, 0xc5, 0x49, 0x4f, 0x18, 0x6e, 0x13, 0x80, 0xd9,
    0x84, 0x73, 0x32, 0xdf, 0x50, 0x8f, 0x2b, 0x71, 0xbc, 0x5a, 0x38, 0x36, 0xe4, 0xfa, 0xec, 0x33,
]);

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

impl Root {
    /// The SHA-256 of the root of NVIDIA's devices, as this says it.
    pub(crate) fn nvidia_device_sha256(self) -> B256 {
        match self {
            Root::Sha256(fingerprint) => fingerprint,
            Root::Simulator => SIMULATOR_NVIDIA_DEVICE_ROOT_SHA256,
            Root::Vendor => NVIDIA_DEVICE_ROOT_SHA256,
        }
    }

    /// The SHA-256 of the root of NVIDIA's reference measurements, as this says it.
    pub(crate) fn nvidia_rim_sha256(self) -> B256 {
        match self {
            Root::Sha256(fingerprint) => fingerprint,
            Root::Simulator => SIMULATOR_NVIDIA_RIM_ROOT_SHA256,
            Root::Vendor => NVIDIA_RIM_ROOT_SHA256,
        }
    }
}
