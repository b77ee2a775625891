//! The checks by name, and what each found.

use std::fmt;

use thiserror::Error;

use crate::architecture::Architecture;
use crate::chain::ChainError;
use crate::fwid::FwidError;
use crate::report::ReportError;
use crate::revocation::RevocationError;
use crate::rim::{RimError, RimIdentity, RimKind};

/// The checks of one device, in the order in which they are made and listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CheckName {
    /// The report is of the known form.
    ReportStructure,
    /// The report answers the expected nonce.
    NonceMatch,
    /// The leaf's key signed the report.
    ReportSignature,
    /// The leaf's chain ends in the pinned root.
    DeviceChain,
    /// The chain is that of the architecture the evidence claims.
    Architecture,
    /// The report and the leaf name the same signing firmware.
    Fwid,
    /// Device and authorities are not revoked.
    DeviceRevocation,
    /// There is a manifest.
    RimPresent,
    /// The manifest's signer is proven, and valid at the time.
    RimChain,
    /// The manifest's content is what was signed.
    RimDigest,
    /// The manifest's signature is the signer's.
    RimSignature,
    /// The manifest's signer and its authorities are not revoked.
    RimRevocation,
    /// The manifest is for this device and this version.
    RimIdentity,
    /// Every active measurement has a good value.
    Measurements,
    /// No measurement is active in both manifests.
    MeasurementsDisjoint,
}

impl CheckName {
    /// All of them, in order.
    pub const ALL: [Self; 15] = [
        Self::ReportStructure,
        Self::NonceMatch,
        Self::ReportSignature,
        Self::DeviceChain,
        Self::Architecture,
        Self::Fwid,
        Self::DeviceRevocation,
        Self::RimPresent,
        Self::RimChain,
        Self::RimDigest,
        Self::RimSignature,
        Self::RimRevocation,
        Self::RimIdentity,
        Self::Measurements,
        Self::MeasurementsDisjoint,
    ];

    /// The name in reports: lower case with underscores.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReportStructure => "report_structure",
            Self::NonceMatch => "nonce_match",
            Self::ReportSignature => "report_signature",
            Self::DeviceChain => "device_chain",
            Self::Architecture => "architecture",
            Self::Fwid => "fwid",
            Self::DeviceRevocation => "device_revocation",
            Self::RimPresent => "rim_present",
            Self::RimChain => "rim_chain",
            Self::RimDigest => "rim_digest",
            Self::RimSignature => "rim_signature",
            Self::RimRevocation => "rim_revocation",
            Self::RimIdentity => "rim_identity",
            Self::Measurements => "measurements",
            Self::MeasurementsDisjoint => "measurements_disjoint",
        }
    }

    /// What the check protects against, for people.
    pub const fn protects_against(self) -> &'static str {
        match self {
            Self::ReportStructure => "bytes that two readers would understand differently",
            Self::NonceMatch => "an old report, or one made for somebody else",
            Self::ReportSignature => "a report that no device made",
            Self::DeviceChain => "a device that NVIDIA did not make",
            Self::Architecture => "a device that passes for one of another kind",
            Self::Fwid => "a report signed by other firmware than the certified one",
            Self::DeviceRevocation => "a device whose key is known to have leaked",
            Self::RimPresent => "versions that are named and not proven",
            Self::RimChain => "reference values that NVIDIA did not issue, or no longer stands by",
            Self::RimDigest => "reference values changed after they were signed",
            Self::RimSignature => "reference values that somebody else signed",
            Self::RimRevocation => "reference values signed with a key known to have leaked",
            Self::RimIdentity => "reference values of another device or version",
            Self::Measurements => "a driver or firmware that is not the released one",
            Self::MeasurementsDisjoint => "two manifests that both decide one measurement",
        }
    }
}

impl fmt::Display for CheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One check of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which check.
    pub name: CheckName,
    /// Which manifest, for the checks that are made of each.
    pub rim: Option<RimKind>,
    /// What it found.
    pub outcome: Outcome,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Good; what was seen, for people.
    Passed(String),
    /// Absent, and the policy does not demand it.
    Waived(String),
    /// Not made, because an earlier check did not pass; says which. Never counts as passed.
    Absent(CheckName),
    /// Not good.
    Refused(Box<Refusal>),
}

impl Outcome {
    /// Whether this outcome lets evidence pass.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Passed(_) | Self::Waived(_))
    }

    /// The refusal, where this is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

/// Why a check refuses a device.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the fields are named by the messages
pub enum Refusal {
    /// The report cannot be read.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The report answers another nonce.
    #[error("the report answers nonce {}, not {}", hex::encode(got), hex::encode(expected))]
    Nonce { got: [u8; 32], expected: [u8; 32] },
    /// The leaf's key did not sign the report.
    #[error("the report is not signed by \"{signer}\"")]
    ReportSignature { signer: String },
    /// The chain does not prove the leaf.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The leaf does not state its device, or a chip that is not known.
    #[error("the leaf certificate does not say which device it is")]
    DeviceUnknown,
    /// The leaf is another kind of device.
    #[error("the evidence claims {claimed}, the certificate is of a {chip}")]
    Architecture { claimed: Architecture, chip: String },
    /// The signing firmware is not proven.
    #[error(transparent)]
    Fwid(#[from] FwidError),
    /// A certificate is not known to count.
    #[error(transparent)]
    Revocation(#[from] RevocationError),
    /// The report does not name the version, so no manifest can be sought.
    #[error("the report does not name the version of its {kind}")]
    VersionUnknown { kind: RimKind },
    /// There is no manifest.
    #[error("there are no reference measurements for {wanted} ({id})")]
    RimMissing { wanted: RimIdentity, id: String },
    /// There are two.
    #[error("there are two sets of reference measurements for {wanted}")]
    RimAmbiguous { wanted: RimIdentity },
    /// The manifest does not count.
    #[error("the {kind} manifest: {why}")]
    Rim { kind: RimKind, why: RimError },
    /// The manifest is for something else.
    #[error("the reference measurements are for {got}, not {wanted}")]
    RimIdentity { wanted: RimIdentity, got: RimIdentity },
    /// Measurements differ. Indexes count from 0.
    #[error(
        "{kind} measurements differ at {different:?}, have no block at {absent:?}; {equal} are equal"
    )]
    Measurements { kind: RimKind, equal: usize, different: Vec<u8>, absent: Vec<u8> },
    /// Both manifests decide a measurement.
    #[error("measurements {indexes:?} are active in both manifests")]
    MeasurementsOverlap { indexes: Vec<u8> },
}

#[cfg(test)]
mod tests;
