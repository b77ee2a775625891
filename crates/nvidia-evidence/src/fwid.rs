//! The identity of the firmware that signs reports (FWID): what the report says must be what the
//! device's boot ROM certified.
//!
//! Hopper's leaf carries it in 2.23.133.5.4.1, Blackwell's in 2.23.133.5.4.1.1 (TCG DICE
//! Attestation Architecture, section 6.1.1).

use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode, Reader, Sequence, SliceReader, Tag, TagNumber, Tagged};
use thiserror::Error;

use crate::architecture::Architecture;
use crate::crypto::SHA384_OID;
use crate::hexes::Sha384;
use crate::report::Report;
use crate::x509::Certificate;

const COMPOSITE_DEVICE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1");
const TCB_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1.1");
const TCB_INFO_FWIDS: u32 = 6;

/// Why the firmware's identity is not proven.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the fields are named by the messages
pub enum FwidError {
    /// Firmware too old to say it, and switches.
    #[error("the report does not say which firmware signed it")]
    AbsentFromReport,
    /// The leaf has no extension of this architecture's form.
    #[error("the leaf certificate has no extension {oid}")]
    AbsentFromCertificate { oid: String },
    /// The leaf's extension cannot be read.
    #[error("the leaf certificate's extension {oid} is malformed")]
    Malformed { oid: String },
    /// Another firmware signed than the one certified.
    #[error("the report names firmware {report}, the certificate {certificate}")]
    Mismatch { report: Sha384, certificate: Sha384 },
}

/// Demands that the report's FWID is the leaf's; returns it.
pub(crate) fn check(
    report: &Report,
    leaf: &Certificate,
    architecture: Architecture,
) -> Result<Sha384, FwidError> {
    let said = report.fwid().ok_or(FwidError::AbsentFromReport)?;
    let certified = certified(leaf, architecture)?;
    if said == certified {
        Ok(said)
    } else {
        Err(FwidError::Mismatch { report: said, certificate: certified })
    }
}

fn certified(leaf: &Certificate, architecture: Architecture) -> Result<Sha384, FwidError> {
    let oid = match architecture {
        Architecture::Blackwell => TCB_INFO,
        Architecture::Hopper | Architecture::Ls10 => COMPOSITE_DEVICE,
    };
    let name = || oid.to_string();
    let value =
        leaf.extension(&oid).ok_or_else(|| FwidError::AbsentFromCertificate { oid: name() })?;
    let fwid = if oid == TCB_INFO { from_tcb_info(value) } else { from_composite(value) };
    fwid.ok_or_else(|| FwidError::Malformed { oid: name() })
}

#[derive(Sequence)]
struct CompositeDevice<'a> {
    version: u8,
    device_key: AnyRef<'a>,
    fwid: Fwid<'a>,
}

#[derive(Sequence)]
struct Fwid<'a> {
    algorithm: ObjectIdentifier,
    digest: &'a OctetStringRef,
}

impl Fwid<'_> {
    fn sha384(&self) -> Option<Sha384> {
        let digest = self.digest.as_bytes().try_into().ok()?;
        (self.algorithm == SHA384_OID).then_some(Sha384(digest))
    }
}

fn from_composite(value: &[u8]) -> Option<Sha384> {
    let device = CompositeDevice::from_der(value).ok()?;
    let known = device.version == 1 && device.device_key.tag() == Tag::Sequence;
    device.fwid.sha384().filter(|_| known)
}

/// The first of the FWIDs: the firmware that holds the leaf's key.
fn from_tcb_info(value: &[u8]) -> Option<Sha384> {
    let info = AnyRef::from_der(value).ok().filter(|any| any.tag() == Tag::Sequence)?;
    let mut reader = SliceReader::new(info.value()).ok()?;
    let mut last = None;
    let mut found = None;
    while !reader.is_finished() {
        let member = AnyRef::decode(&mut reader).ok()?;
        let Tag::ContextSpecific { number, constructed } = member.tag() else { return None };
        if last.is_some_and(|last| number <= last) {
            return None;
        }
        last = Some(number);
        if number == TagNumber(TCB_INFO_FWIDS) && constructed {
            let mut fwids = SliceReader::new(member.value()).ok()?;
            found = Some(Fwid::decode(&mut fwids).ok()?.sha384()?);
        }
    }
    found
}

#[cfg(test)]
mod tests;
