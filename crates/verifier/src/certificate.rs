//! Certificates and revocation lists of AMD and AWS: X.509 (RFC 5280), signed with SHA-384.
//!
//! Only what they issue is read: AMD's certificates are signed with RSASSA-PSS, those of AWS with
//! ECDSA on P-384. There is one way to spell each, so that no byte can change unseen: strict DER,
//! nothing behind the end, and the algorithm outside the signature equal to the one inside. Serial
//! numbers may be zero, as those of all AMD chips are.

use std::collections::BTreeSet;
use std::fmt;

use ring::signature::{
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, RSA_PSS_2048_8192_SHA384, UnparsedPublicKey,
};
use subrosa_nvidia_evidence::Utc;
use subrosa_protocol::Timestamp;
use x509_cert::certificate::{CertificateInner, Rfc5280, Version};
use x509_cert::crl::{CertificateList, RevokedCert};
use x509_cert::der::asn1::{BitString, ObjectIdentifier};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Header, Reader, SliceReader, Tag, Tagged};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::name::Name;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// RSASSA-PSS-params (RFC 4055): SHA-384 for the message and for MGF1, 48 bytes of salt.
const PSS_SHA384: [u8; 52] = [
    0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05,
    0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08,
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa2,
    0x03, 0x02, 0x01, 0x30,
];

/// The trailer field, which AMD spells out although it is the default.
const PSS_TRAILER: [u8; 5] = [0xa3, 0x03, 0x02, 0x01, 0x01];

/// How a vendor signs what it issues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384,
    /// RSASSA-PSS with SHA-384.
    RsaPss,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Algorithm::EcdsaP384 => "ECDSA P-384",
            Algorithm::RsaPss => "RSASSA-PSS",
        })
    }
}

/// A certificate, read and not believed yet.
#[derive(Debug)]
pub(crate) struct Certificate {
    parsed: CertificateInner<Rfc5280>,
    signed: Signed,
}

/// A revocation list, read and not believed yet.
#[derive(Debug)]
pub(crate) struct RevocationList {
    parsed: CertificateList<Rfc5280>,
    signed: Signed,
}

/// What an authority signed, and how.
#[derive(Debug)]
struct Signed {
    algorithm: Algorithm,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Certificate {
    /// Reads DER, from its first byte to its last, of a vendor that signs with `algorithm`.
    pub(crate) fn parse(der: &[u8], algorithm: Algorithm) -> Result<Certificate, BadCertificate> {
        let parsed = CertificateInner::<Rfc5280>::from_der(der).map_err(not_der)?;
        let inner = parsed.tbs_certificate();
        if inner.version() != Version::V3 {
            return Err(BadCertificate::Version);
        }
        let algorithms = [inner.signature(), parsed.signature_algorithm()];
        let signed = Signed::read(der, algorithm, algorithms, parsed.signature())?;
        check_distinct(inner.extensions().map_or(&[], Vec::as_slice))?;
        Ok(Certificate { parsed, signed })
    }

    /// The one common name of the subject; none where there is another number of them.
    pub(crate) fn common_name(&self) -> Option<String> {
        let mut names = self.subject().iter().filter(|part| part.oid == COMMON_NAME);
        let name = names.next()?;
        match names.next() {
            None => std::str::from_utf8(name.value.value()).ok().map(str::to_owned),
            Some(_) => None,
        }
    }

    /// The serial number, big-endian, without leading zeros.
    pub(crate) fn serial(&self) -> &[u8] {
        self.parsed.tbs_certificate().serial_number().as_bytes()
    }

    pub(crate) fn extensions(&self) -> &[Extension] {
        self.parsed.tbs_certificate().extensions().map_or(&[], Vec::as_slice)
    }

    /// The last second in which it counts, once `now` is seen to lie inside its life.
    pub(crate) fn check_time(&self, now: Timestamp) -> Result<Timestamp, BadCertificate> {
        let validity = self.parsed.tbs_certificate().validity();
        let (from, until) = (seconds(validity.not_before), seconds(validity.not_after));
        match from <= now && now <= until {
            true => Ok(until),
            false => Err(BadCertificate::OutsideLife { from, until }),
        }
    }

    /// Checks that this may issue certificates.
    pub(crate) fn check_authority(&self) -> Result<(), BadCertificate> {
        let usage = self.parsed.tbs_certificate().get_extension::<KeyUsage>();
        let authority = matches!(self.constraints(), Ok(Some(constraints)) if constraints.ca)
            && matches!(usage, Ok(Some((_, usage))) if usage.key_cert_sign());
        let known = [BasicConstraints::OID, KeyUsage::OID];
        match authority && critical_are_among(self.extensions(), &known) {
            true => Ok(()),
            false => Err(BadCertificate::NoAuthority),
        }
    }

    /// Checks that so many authorities may stand between this one and the last certificate.
    pub(crate) fn check_path(&self, authorities_below: usize) -> Result<(), BadCertificate> {
        let constraints = self.constraints().map_err(|_| BadCertificate::NoAuthority)?;
        match constraints.and_then(|constraints| constraints.path_len_constraint) {
            Some(most) if usize::from(most) < authorities_below => Err(BadCertificate::Path),
            _ => Ok(()),
        }
    }

    /// Checks that this is a signer of documents: no authority, and its key is for signatures.
    pub(crate) fn check_signer(&self) -> Result<(), BadCertificate> {
        let usage = self.parsed.tbs_certificate().get_extension::<KeyUsage>();
        let signs = matches!(usage, Ok(Some((_, usage)))
            if usage.digital_signature() && !usage.key_cert_sign());
        let is_leaf = matches!(self.constraints(), Ok(None))
            || matches!(self.constraints(), Ok(Some(constraints)) if !constraints.ca);
        let known = [BasicConstraints::OID, KeyUsage::OID];
        match signs && is_leaf && critical_are_among(self.extensions(), &known) {
            true => Ok(()),
            false => Err(BadCertificate::NoSigner),
        }
    }

    fn constraints(&self) -> Result<Option<BasicConstraints>, x509_cert::der::Error> {
        let extension = self.parsed.tbs_certificate().get_extension::<BasicConstraints>()?;
        Ok(extension.map(|(_, constraints)| constraints))
    }

    /// Checks that this is no authority, and asks for nothing that this verifier does not know.
    pub(crate) fn check_leaf(&self) -> Result<(), BadCertificate> {
        match critical_are_among(self.extensions(), &[]) {
            true => Ok(()),
            false => Err(BadCertificate::Critical),
        }
    }

    /// Checks that `authority` issued and signed this.
    pub(crate) fn check_issued_by(&self, authority: &Certificate) -> Result<(), BadCertificate> {
        match self.parsed.tbs_certificate().issuer() == authority.subject() {
            true => self.signed.check(authority),
            false => Err(BadCertificate::OtherIssuer),
        }
    }

    /// Checks a signature of ECDSA P-384 with SHA-384: r and s, 48 bytes each, big-endian.
    pub(crate) fn check_ecdsa(
        &self,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadCertificate> {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, self.p384_key()?)
            .verify(message, signature)
            .map_err(|_| BadCertificate::Signature)
    }

    fn subject(&self) -> &Name {
        self.parsed.tbs_certificate().subject()
    }

    /// The key on P-384, an uncompressed point.
    fn p384_key(&self) -> Result<&[u8], BadCertificate> {
        let info = self.parsed.tbs_certificate().subject_public_key_info();
        let curve = info.algorithm.parameters.as_ref();
        let curve = curve.and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
        match (info.algorithm.oid, curve, info.subject_public_key.as_bytes()) {
            (EC_PUBLIC_KEY, Some(SECP384R1), Some(key)) => Ok(key),
            _ => Err(BadCertificate::Key),
        }
    }

    /// The RSA key, as PKCS #1 writes it.
    fn rsa_key(&self) -> Result<&[u8], BadCertificate> {
        let info = self.parsed.tbs_certificate().subject_public_key_info();
        let key = info.subject_public_key.as_bytes();
        key.filter(|_| info.algorithm.oid == RSA).ok_or(BadCertificate::Key)
    }
}

impl RevocationList {
    /// Reads a list of AMD's in DER, from its first byte to its last.
    pub(crate) fn parse(der: &[u8]) -> Result<RevocationList, BadCertificate> {
        let parsed = CertificateList::<Rfc5280>::from_der(der).map_err(not_der)?;
        let inner = &parsed.tbs_cert_list;
        if inner.version != Version::V2 {
            return Err(BadCertificate::Version);
        }
        let algorithms = [&inner.signature, &parsed.signature_algorithm];
        let signed = Signed::read(der, Algorithm::RsaPss, algorithms, &parsed.signature)?;
        let list = RevocationList { parsed, signed };
        let none = Extensions::new();
        let of_list = list.parsed.tbs_cert_list.crl_extensions.iter();
        let of_entries = list.entries().iter().flat_map(|entry| &entry.crl_entry_extensions);
        for extensions in of_list.chain(of_entries).chain([&none]) {
            check_distinct(extensions)?;
            // A list that covers a part alone says so in a critical extension.
            if !critical_are_among(extensions, &[]) {
                return Err(BadCertificate::Critical);
            }
        }
        Ok(list)
    }

    /// Checks that `authority` issued and signed this.
    pub(crate) fn check_issued_by(&self, authority: &Certificate) -> Result<(), BadCertificate> {
        match self.parsed.tbs_cert_list.issuer == *authority.subject() {
            true => self.signed.check(authority),
            false => Err(BadCertificate::OtherIssuer),
        }
    }

    /// The last second in which it counts, once `now` is seen to lie between this update and the
    /// next, in whose second it no longer counts.
    pub(crate) fn check_time(&self, now: Timestamp) -> Result<Timestamp, BadCertificate> {
        let inner = &self.parsed.tbs_cert_list;
        let next = inner.next_update.ok_or(BadCertificate::Endless)?;
        let (from, until) = (seconds(inner.this_update), seconds(next));
        match from <= now && now < until {
            true => Ok(Timestamp(until.0 - 1)),
            false => Err(BadCertificate::OutsideLife { from, until }),
        }
    }

    /// Whether it lists this certificate.
    pub(crate) fn lists(&self, certificate: &Certificate) -> bool {
        self.entries().iter().any(|entry| entry.serial_number.as_bytes() == certificate.serial())
    }

    fn entries(&self) -> &[RevokedCert<Rfc5280>] {
        self.parsed.tbs_cert_list.revoked_certificates.as_deref().unwrap_or(&[])
    }
}

impl Signed {
    /// Takes what was signed out of its DER.
    fn read(
        der: &[u8],
        algorithm: Algorithm,
        algorithms: [&AlgorithmIdentifierOwned; 2],
        signature: &BitString,
    ) -> Result<Signed, BadCertificate> {
        let [inside, outside] = algorithms;
        let is_known = match algorithm {
            Algorithm::EcdsaP384 => inside.oid == ECDSA_SHA384 && inside.parameters.is_none(),
            Algorithm::RsaPss => is_pss_sha384(inside),
        };
        if inside != outside || !is_known {
            return Err(BadCertificate::Algorithm { expected: algorithm });
        }
        let mut reader = SliceReader::new(der).map_err(not_der)?;
        Header::decode(&mut reader).map_err(not_der)?;
        let message = reader.tlv_bytes().map_err(not_der)?.to_vec();
        let signature = signature.as_bytes().ok_or(BadCertificate::Signature)?.to_vec();
        Ok(Signed { algorithm, message, signature })
    }

    fn check(&self, authority: &Certificate) -> Result<(), BadCertificate> {
        let Signed { message, signature, .. } = self;
        let verified = match self.algorithm {
            Algorithm::EcdsaP384 => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, authority.p384_key()?)
                    .verify(message, signature)
            }
            Algorithm::RsaPss => {
                UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, authority.rsa_key()?)
                    .verify(message, signature)
            }
        };
        verified.map_err(|_| BadCertificate::Signature)
    }
}

fn is_pss_sha384(algorithm: &AlgorithmIdentifierOwned) -> bool {
    let Some(parameters) = &algorithm.parameters else { return false };
    let rest = parameters.value().strip_prefix(&PSS_SHA384);
    let trailer_is_known = rest.is_some_and(|rest| rest.is_empty() || rest == PSS_TRAILER);
    algorithm.oid == RSASSA_PSS && parameters.tag() == Tag::Sequence && trailer_is_known
}

fn critical_are_among(extensions: &[Extension], known: &[ObjectIdentifier]) -> bool {
    extensions.iter().filter(|one| one.critical).all(|one| known.contains(&one.extn_id))
}

/// An extension that stands twice would let two readers take different ones.
fn check_distinct(extensions: &[Extension]) -> Result<(), BadCertificate> {
    let mut seen = BTreeSet::new();
    match extensions.iter().all(|one| seen.insert(one.extn_id)) {
        true => Ok(()),
        false => Err(BadCertificate::Twice),
    }
}

fn seconds(time: Time) -> Timestamp {
    Timestamp(time.to_unix_duration().as_secs())
}

fn not_der(_: x509_cert::der::Error) -> BadCertificate {
    BadCertificate::NotDer
}

/// Why a certificate or a list is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadCertificate {
    /// Another algorithm, or one inside the signature and another outside.
    #[error("is not signed with {expected} and SHA-384, or says two things of its algorithm")]
    Algorithm {
        /// The vendor's.
        expected: Algorithm,
    },
    /// An extension that must be understood.
    #[error("has a critical extension that this verifier does not know")]
    Critical,
    /// No end.
    #[error("names no next update")]
    Endless,
    /// A key of another kind.
    #[error("or its issuer has a key of another kind")]
    Key,
    /// Not allowed to issue.
    #[error("is of no certificate authority")]
    NoAuthority,
    /// Not allowed to sign documents.
    #[error("is of an authority, or of a key that is not for signatures")]
    NoSigner,
    /// Not strict DER, or something behind it.
    #[error("is not strict DER")]
    NotDer,
    /// Somebody else's.
    #[error("names another issuer")]
    OtherIssuer,
    /// Too early or too late.
    #[error("counts from {} to {}", Utc(from.0), Utc(until.0))]
    OutsideLife {
        /// From when.
        from: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// More authorities below it than it allows.
    #[error("allows fewer authorities below it")]
    Path,
    /// Not signed by its issuer.
    #[error("has a signature that its issuer did not make")]
    Signature,
    /// An extension twice.
    #[error("has an extension twice")]
    Twice,
    /// Another version of X.509.
    #[error("has another version")]
    Version,
}
