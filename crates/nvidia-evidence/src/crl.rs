//! Certificate revocation lists (RFC 5280, section 5).

use std::collections::HashMap;

use der::{Decode, Encode};
use x509_cert::crl::{RevokedCert, TbsCertList};
use x509_cert::ext::pkix::CrlReason;
use x509_cert::name::Name;

use crate::crypto;
use crate::hexes::Fingerprint;
use crate::revocation::{AnswerError, Status, window};
use crate::x509::{
    Certificate, Signatures, Signed, check_extensions, check_serial, extension, magnitude, seconds,
};

/// NVIDIA's lists are under 2 KiB; a list of 7000 entries still fits.
pub const CRL_BYTES_MAX: usize = 256 * 1024;

/// A parsed list.
#[derive(Debug)]
pub(crate) struct RevocationList {
    fingerprint: Fingerprint,
    signed: Vec<u8>,
    signature: Vec<u8>,
    issuer: Name,
    this_update: u64,
    next_update: Option<u64>,
    revoked: HashMap<Vec<u8>, Status>,
}

impl RevocationList {
    pub(crate) fn parse(der: &[u8]) -> Result<Self, AnswerError> {
        if der.len() > CRL_BYTES_MAX {
            return Err(AnswerError::TooLong { got: der.len() });
        }
        let signed = Signed::split(der)?;
        if signed.certificates.is_some() {
            return Err(AnswerError::Form { part: "end" });
        }
        let list: TbsCertList = TbsCertList::from_der(signed.body)?;
        signed.check_algorithm(&list.signature.to_der()?)?;
        // A list of changes (delta) or of a part of the certificates says so in an extension that
        // is critical; neither is understood.
        check_extensions(list.crl_extensions.as_ref(), |_| false)?;
        let revoked = list.revoked_certificates.iter().flatten();
        Ok(Self {
            fingerprint: Fingerprint(crypto::sha256(der)),
            revoked: revoked.map(entry).collect::<Result<_, _>>()?,
            signed: signed.body.to_vec(),
            signature: signed.signature.to_vec(),
            issuer: list.issuer,
            this_update: seconds(&list.this_update),
            next_update: list.next_update.as_ref().map(seconds),
        })
    }

    /// Whether this list claims to be `issuer`'s.
    pub(crate) fn is_of(&self, issuer: &Certificate) -> bool {
        self.issuer == *issuer.subject()
    }

    /// Demands that `issuer` signed this list and that it is of `at` (Unix seconds). Returns the last
    /// second at which it counts.
    pub(crate) fn check(
        &self,
        issuer: &Certificate,
        signatures: &Signatures,
        at: u64,
    ) -> Result<u64, AnswerError> {
        let verify = || crypto::verify_der(issuer.point(), &self.signed, &self.signature);
        let signed =
            issuer.may_sign_lists() && signatures.remember(self.fingerprint, issuer, verify);
        if !signed {
            return Err(AnswerError::Signature { signer: issuer.title() });
        }
        window(self.this_update, self.next_update, at)
    }

    /// What the list says of a serial number.
    pub(crate) fn status(&self, serial: &[u8]) -> Status {
        self.revoked.get(serial).copied().unwrap_or(Status::Good)
    }
}

fn entry(revoked: &RevokedCert) -> Result<(Vec<u8>, Status), AnswerError> {
    let extensions = revoked.crl_entry_extensions.as_ref();
    check_extensions(extensions, |_| false)?;
    let status = match extension::<CrlReason>(extensions)? {
        Some(CrlReason::CertificateHold) => Status::Hold,
        _ => Status::Revoked,
    };
    check_serial(&revoked.serial_number)?;
    Ok((magnitude(&revoked.serial_number).to_vec(), status))
}
