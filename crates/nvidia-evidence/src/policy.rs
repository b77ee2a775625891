//! What an appraisal demands.

use crate::hexes::Fingerprint;
use crate::report::Trailing;

/// NVIDIA Device Identity CA.
pub const NVIDIA_DEVICE_ROOT: Fingerprint = Fingerprint([
    0x10, 0x2b, 0xf6, 0x59, 0xd5, 0x41, 0x96, 0x14, 0xc9, 0xd8, 0xe6, 0xae, 0xce, 0xbc, 0x80, 0x45,
    0x4e, 0xb2, 0x6b, 0x1d, 0xf6, 0xa7, 0x69, 0xac, 0x72, 0x0b, 0x9a, 0x69, 0x0b, 0x16, 0x7b, 0x48,
]);

/// NVIDIA CoRIM signing Root CA.
pub const NVIDIA_RIM_ROOT: Fingerprint = Fingerprint([
    0x12, 0x97, 0x7b, 0x51, 0x15, 0xac, 0xb0, 0x38, 0x11, 0x79, 0x27, 0x9f, 0xff, 0xeb, 0x5a, 0x8c,
    0x4d, 0x26, 0x49, 0x71, 0xeb, 0xb3, 0x22, 0x98, 0x02, 0x3a, 0x46, 0x5f, 0xa4, 0x1d, 0xf5, 0xd1,
]);

/// Whether something must be there. A waiver is for what is absent: what is there is checked, and
/// can refuse, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Absence refuses.
    Required,
    /// Absence is waived.
    Waived,
}

/// What an appraisal demands. Every member is written out; [`Policy::strict`] is the one to begin
/// from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The root of device chains.
    pub device_root: Fingerprint,
    /// The root of the chains that sign reference measurements.
    pub rim_root: Fingerprint,
    /// The identity of a GPU's signing firmware, which old firmware does not report. No firmware of
    /// switches is known to report it: for them its absence is waived whatever this says.
    pub fwid: Demand,
    /// Answers about the certificates of the device from the boot ROM upwards; nobody answers about
    /// the leaf, which the device makes itself.
    pub device_revocation: Demand,
    /// Answers about the certificates that sign reference measurements.
    pub rim_revocation: Demand,
    /// Reference measurements. Without them a report proves which device speaks and which versions
    /// it names, not that they are genuine.
    pub rims: Demand,
    /// What may follow a report's signature.
    pub trailing: Trailing,
}

impl Policy {
    /// NVIDIA's roots, everything required, nothing left over.
    pub const fn strict() -> Self {
        Self {
            device_root: NVIDIA_DEVICE_ROOT,
            rim_root: NVIDIA_RIM_ROOT,
            fwid: Demand::Required,
            device_revocation: Demand::Required,
            rim_revocation: Demand::Required,
            rims: Demand::Required,
            trailing: Trailing::Refuse,
        }
    }
}
