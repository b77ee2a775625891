//! What simulated hardware, or the collateral about it, can have wrong.

use super::pki::CertificateFaults;
use super::rim::SignatureFault;

/// What a node does wrong, for tests of those who must notice. Where a node has several devices
/// the fault is the first one's, unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The responder says that the boot ROM's certificate is suspended.
    CertificateHold,
    /// The boot ROM's certificate is not in the chain.
    CertificateMissing,
    /// The leaf was signed by another boot ROM than the one in the chain, of the same name.
    ChainBroken,
    /// A revocation list names the authority that provisioned the device.
    CrlRevoked,
    /// The last device is the first one once more.
    DuplicateDevice,
    /// The leaf does not name the firmware that its key belongs to.
    FwidExtensionMissing,
    /// The leaf names another firmware than the report.
    FwidMismatch,
    /// The report does not name its firmware, as those of old drivers.
    FwidMissing,
    /// The leaf names its firmware where other chips do.
    FwidOtherExtension,
    /// A measurement is none that a manifest allows.
    MeasurementMismatch {
        /// Its index in the manifests, from 0.
        index: u8,
    },
    /// The report lacks a measurement.
    MissingBlock {
        /// Its index in the manifests, from 0.
        index: u8,
    },
    /// The answer about the boot ROM's certificate is of last week.
    OcspExpired,
    /// There is no answer about the boot ROM's certificate.
    OcspMissing,
    /// A responder of another hierarchy answered about the boot ROM's certificate.
    OcspOtherResponder,
    /// The answer about the boot ROM's certificate has a broken signature.
    OcspSignature,
    /// The responder does not know the boot ROM's certificate.
    OcspUnknown,
    /// All devices are under a root of the right name that nobody trusts.
    OtherDeviceRoot,
    /// The report answers another nonce.
    OtherNonce,
    /// All manifests are under a root of the right name that nobody trusts.
    OtherRimRoot,
    /// The second GPU has protected PCIe off while the others have it on.
    PpcieMixed,
    /// The report's signature has a flipped bit.
    ReportSignature,
    /// The responder says that the boot ROM's key has leaked.
    Revoked,
    /// A manifest was edited after it was signed.
    RimDigest,
    /// The signers of manifests were valid until the end of 1970.
    RimExpired,
    /// A manifest that the first device needs is not there.
    RimMissing,
    /// A manifest that the first device needs is another product's.
    RimOfOtherDevice,
    /// A manifest's signature has a flipped bit.
    RimSignature,
    /// The responder says that the key of a manifest's signer has leaked.
    RimSignerRevoked,
    /// Driver and firmware manifest both list measurement 36. For GPUs.
    RimsOverlap,
    /// The last device is not there.
    SwitchMissing,
    /// The last switch is another node's.
    SwitchOfOtherNode,
    /// A byte follows the report.
    TrailingByte,
}

impl Fault {
    pub(super) fn of_signature(self) -> Option<SignatureFault> {
        match self {
            Fault::RimDigest => Some(SignatureFault::Digest),
            Fault::RimSignature => Some(SignatureFault::Value),
            _ => None,
        }
    }

    pub(super) fn of_certificates(self) -> CertificateFaults {
        CertificateFaults {
            other_issuer: self == Fault::ChainBroken,
            other_extension: self == Fault::FwidOtherExtension,
            no_extension: self == Fault::FwidExtensionMissing,
        }
    }

    /// Whether it is in an answer about the certificate of a manifest's signer, or of a device.
    pub(super) fn in_answer(self, of_manifest: bool) -> bool {
        match self {
            Fault::RimSignerRevoked => of_manifest,
            Fault::CertificateHold
            | Fault::OcspExpired
            | Fault::OcspMissing
            | Fault::OcspOtherResponder
            | Fault::OcspSignature
            | Fault::OcspUnknown
            | Fault::Revoked => !of_manifest,
            _ => false,
        }
    }
}
