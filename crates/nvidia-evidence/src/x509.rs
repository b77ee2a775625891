//! Certificates (RFC 5280), as far as NVIDIA's chains use them: version 3, P-384, ECDSA with
//! SHA-384, and no other algorithm.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use der::oid::AssociatedOid;
use der::{Decode, Encode, Reader, SliceReader, Tag, TagMode, TagNumber, Tagged};
use thiserror::Error;
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierRef;
use x509_cert::time::Time;
use x509_cert::{TbsCertificate, Version};

use crate::crypto;
use crate::hexes::Fingerprint;

const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// The name in which a device states maker, product and serial number (DSP0274, annex of
/// certificates): `NVIDIA:GH100:48B02DB73E52137E`.
const DMTF_DEVICE_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.412.274.1");
const SERIAL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");

/// Certificates of the chains are about 1 KiB.
const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

/// Why bytes are no certificate that can count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the fields are named by the messages
pub enum CertificateError {
    /// Not the DER of a certificate.
    #[error("not a DER certificate: {why}")]
    Malformed { why: String },
    /// Version 1 or 2: without extensions, so nothing says what its key may do.
    #[error("not an X.509 version 3 certificate")]
    Version,
    /// Signed otherwise than by ECDSA with SHA-384.
    #[error("the signature algorithm is {oid}, not ECDSA with SHA-384")]
    Algorithm { oid: String },
    /// The key is not a P-384 key.
    #[error("the key is not a P-384 key")]
    Key,
    /// The serial number is below zero.
    #[error("the serial number is below zero")]
    Serial,
    /// An extension that must be understood is not.
    #[error("the critical extension {oid} is unknown")]
    CriticalExtension { oid: String },
    /// The same extension twice.
    #[error("the extension {oid} occurs twice")]
    ExtensionTwice { oid: String },
}

impl From<der::Error> for CertificateError {
    fn from(error: der::Error) -> Self {
        Self::Malformed { why: error.to_string() }
    }
}

/// A certificate, parsed; whether anybody signed it is another question.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    fingerprint: Fingerprint,
    signed: Vec<u8>,
    signature: Vec<u8>,
    tbs: TbsCertificate,
    point: Vec<u8>,
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<ExtendedKeyUsage>,
}

impl Certificate {
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            let why = format!("more than {CERTIFICATE_BYTES_MAX} bytes");
            return Err(CertificateError::Malformed { why });
        }
        let signed = Signed::split(der)?;
        if signed.certificates.is_some() {
            return Err(CertificateError::Malformed { why: "trailing data".into() });
        }
        let tbs = TbsCertificate::from_der(signed.body)?;
        if tbs.version() != Version::V3 {
            return Err(CertificateError::Version);
        }
        signed.check_algorithm(&tbs.signature().to_der()?)?;
        check_serial(tbs.serial_number())?;
        let extensions = tbs.extensions();
        check_extensions(extensions, |oid| {
            matches!(
                oid,
                BasicConstraints::OID | KeyUsage::OID | ExtendedKeyUsage::OID | SubjectAltName::OID
            )
        })?;
        Ok(Self {
            fingerprint: Fingerprint(crypto::sha256(der)),
            point: point(&tbs)?,
            basic_constraints: extension(extensions)?,
            key_usage: extension(extensions)?,
            extended_key_usage: extension(extensions)?,
            signed: signed.body.to_vec(),
            signature: signed.signature.to_vec(),
            tbs,
        })
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The key as an uncompressed point.
    pub(crate) fn point(&self) -> &[u8] {
        &self.point
    }

    pub(crate) fn subject(&self) -> &Name {
        self.tbs.subject()
    }

    pub(crate) fn issuer(&self) -> &Name {
        self.tbs.issuer()
    }

    /// The serial number, as [`magnitude`] writes it.
    pub(crate) fn serial(&self) -> &[u8] {
        magnitude(self.tbs.serial_number())
    }

    /// First and last second of validity, both included.
    pub(crate) fn validity(&self) -> (u64, u64) {
        let validity = self.tbs.validity();
        (seconds(&validity.not_before), seconds(&validity.not_after))
    }

    /// Whether this is an authority, and how many authorities may stand below it.
    pub(crate) fn authority(&self) -> Option<Option<u8>> {
        let constraints = self.basic_constraints.as_ref()?;
        constraints.ca.then_some(constraints.path_len_constraint)
    }

    pub(crate) fn may_sign_certificates(&self) -> bool {
        self.key_usage.as_ref().is_some_and(KeyUsage::key_cert_sign)
    }

    pub(crate) fn may_sign_lists(&self) -> bool {
        self.key_usage.as_ref().is_some_and(KeyUsage::crl_sign)
    }

    pub(crate) fn may_sign_data(&self) -> bool {
        self.key_usage.as_ref().is_some_and(KeyUsage::digital_signature)
    }

    /// Whether nothing forbids signing data: a responder's purpose stands in another extension.
    pub(crate) fn is_not_kept_from_signing_data(&self) -> bool {
        self.key_usage.as_ref().is_none_or(KeyUsage::digital_signature)
    }

    pub(crate) fn has_extended_usage(&self, oid: &ObjectIdentifier) -> bool {
        self.extended_key_usage.as_ref().is_some_and(|usage| usage.0.contains(oid))
    }

    pub(crate) fn extension(&self, oid: &ObjectIdentifier) -> Option<&[u8]> {
        let mut extensions = self.tbs.extensions()?.iter();
        extensions.find(|it| it.extn_id == *oid).map(|it| it.extn_value.as_bytes())
    }

    /// Maker, product and serial number, as the device's certificate states them.
    pub(crate) fn device_info(&self) -> Option<String> {
        let names = SubjectAltName::from_der(self.extension(&SubjectAltName::OID)?).ok()?;
        names.0.iter().find_map(|name| match name {
            GeneralName::OtherName(other) if other.type_id == DMTF_DEVICE_INFO => {
                other.value.decode_as::<String>().ok()
            }
            _ => None,
        })
    }

    /// The serial number inside the subject's name.
    pub(crate) fn subject_serial(&self) -> Option<String> {
        let mut attributes = self.subject().iter();
        let found = attributes.find(|it| it.oid == SERIAL_NUMBER)?;
        std::str::from_utf8(found.value.value()).ok().map(str::to_owned)
    }

    /// Whether `issuer`'s key signed this certificate. Costs one signature verification.
    fn is_signed_by(&self, issuer: &Certificate) -> bool {
        crypto::verify_der(&issuer.point, &self.signed, &self.signature)
    }

    /// The name of the subject for people.
    pub(crate) fn title(&self) -> String {
        title(self.subject())
    }
}

/// A name for people: its common name where it has one.
pub(crate) fn title(name: &Name) -> String {
    match name.common_name() {
        Ok(Some(name)) => name.value().into_owned(),
        _ => name.to_string(),
    }
}

/// A fleet of a hundred machines has about 3000; more than that many are forgotten together.
const SIGNATURES_MAX: usize = 8192;

/// Which signatures were found good or bad, by what was signed and by whom: the authorities above
/// eight devices are the same, and so are those of yesterday.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    known: Mutex<HashMap<(Fingerprint, Fingerprint), bool>>,
}

impl Signatures {
    pub(crate) fn holds(&self, certificate: &Certificate, issuer: &Certificate) -> bool {
        let verify = || certificate.is_signed_by(issuer);
        self.remember(certificate.fingerprint, issuer, verify)
    }

    /// What `verify` says, or said before. `what` is the SHA-256 of bytes that body and signature
    /// follow from, and `verify` must depend on nothing else but those and `signer`.
    pub(crate) fn remember(
        &self,
        what: Fingerprint,
        signer: &Certificate,
        verify: impl FnOnce() -> bool,
    ) -> bool {
        let key = (what, signer.fingerprint);
        if let Some(known) = self.known().get(&key) {
            return *known;
        }
        let verdict = verify();
        let mut known = self.known();
        if known.len() >= SIGNATURES_MAX {
            known.clear();
        }
        known.insert(key, verdict);
        verdict
    }

    /// A thread that panicked left whole entries behind.
    fn known(&self) -> MutexGuard<'_, HashMap<(Fingerprint, Fingerprint), bool>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The common form of certificates, lists and answers: a body, an algorithm, a signature. The body
/// stays as it came, because it is what was signed.
pub(crate) struct Signed<'a> {
    pub(crate) body: &'a [u8],
    algorithm: AlgorithmIdentifierRef<'a>,
    pub(crate) signature: &'a [u8],
    /// An OCSP answer's certificates.
    pub(crate) certificates: Option<Vec<AnyRef<'a>>>,
}

impl<'a> Signed<'a> {
    pub(crate) fn split(der: &'a [u8]) -> Result<Self, CertificateError> {
        let outer = AnyRef::from_der(der)?;
        outer.tag().assert_eq(Tag::Sequence)?;
        let mut reader = SliceReader::new(outer.value())?;
        let body = reader.tlv_bytes()?;
        let algorithm = reader.decode()?;
        let signature = reader.decode::<BitStringRef<'a>>()?;
        let certificates = reader.context_specific(TagNumber(0), TagMode::Explicit)?;
        reader.finish()?;
        let signature = signature.as_bytes().ok_or_else(|| CertificateError::Malformed {
            why: "the signature is not a whole number of bytes".into(),
        })?;
        Ok(Self { body, algorithm, signature, certificates })
    }

    /// Demands ECDSA with SHA-384, and that the signed body (`inner`, DER) names the same.
    pub(crate) fn check_algorithm(&self, inner: &[u8]) -> Result<(), CertificateError> {
        let outer = self.algorithm;
        let known = outer.oid == ECDSA_WITH_SHA384 && outer.parameters.is_none();
        if known && outer.to_der()? == inner {
            Ok(())
        } else {
            Err(CertificateError::Algorithm { oid: outer.oid.to_string() })
        }
    }

    /// As [`Self::check_algorithm`] where the body does not repeat the algorithm.
    pub(crate) fn check_outer_algorithm(&self) -> Result<(), CertificateError> {
        self.check_algorithm(&self.algorithm.to_der()?)
    }
}

/// Refuses an extension that occurs twice, or that must be understood and is not.
pub(crate) fn check_extensions(
    extensions: Option<&Extensions>,
    known: impl Fn(ObjectIdentifier) -> bool,
) -> Result<(), CertificateError> {
    let mut seen = std::collections::BTreeSet::new();
    for extension in extensions.into_iter().flatten() {
        let oid = extension.extn_id;
        if !seen.insert(oid) {
            return Err(CertificateError::ExtensionTwice { oid: oid.to_string() });
        }
        if extension.critical && !known(oid) {
            return Err(CertificateError::CriticalExtension { oid: oid.to_string() });
        }
    }
    Ok(())
}

/// One extension, decoded; `None` where it is absent.
pub(crate) fn extension<T>(extensions: Option<&Extensions>) -> Result<Option<T>, CertificateError>
where
    T: for<'a> Decode<'a, Error = der::Error> + AssociatedOid,
{
    let found = extensions.into_iter().flatten().find(|it| it.extn_id == T::OID);
    Ok(found.map(|it| T::from_der(it.extn_value.as_bytes())).transpose()?)
}

fn point(tbs: &TbsCertificate) -> Result<Vec<u8>, CertificateError> {
    let info = tbs.subject_public_key_info();
    let curve = info.algorithm.parameters.as_ref();
    let curve = curve.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
    let point = info.subject_public_key.as_bytes().unwrap_or_default();
    let known =
        info.algorithm.oid == EC_PUBLIC_KEY && curve == Some(SECP384R1) && crypto::is_point(point);
    if known { Ok(point.to_vec()) } else { Err(CertificateError::Key) }
}

/// A serial number, big-endian without the byte that DER writes before a top bit that is set: in
/// the one form in which certificates, lists and OCSP answers are compared. Zero is one byte.
pub(crate) fn magnitude(serial: &SerialNumber) -> &[u8] {
    match serial.as_bytes() {
        [0, rest @ ..] if !rest.is_empty() => rest,
        bytes => bytes,
    }
}

/// Refuses a serial number below zero (RFC 5280, section 4.1.2.2): without its sign it could pass
/// for another one.
pub(crate) fn check_serial(serial: &SerialNumber) -> Result<(), CertificateError> {
    let negative = serial.as_bytes().first().is_some_and(|first| *first >= 0x80);
    if negative { Err(CertificateError::Serial) } else { Ok(()) }
}

pub(crate) fn seconds(time: &Time) -> u64 {
    time.to_unix_duration().as_secs()
}

#[cfg(test)]
mod tests;
