//! OCSP answers (RFC 6960), as they come from a responder.

use aws_lc_rs::digest::{self, Algorithm};
use der::asn1::{AnyRef, GeneralizedTime, Null, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Choice, Decode, Encode, Enumerated, Sequence, Tag, Tagged};
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::name::Name;
use x509_cert::spki::AlgorithmIdentifierRef;

use crate::crypto;
use crate::hexes::Fingerprint;
use crate::revocation::{AnswerError, Status, window};
use crate::x509::{Certificate, Signatures, Signed, check_extensions};

/// Answers are 1 to 2 KiB.
pub const OCSP_BYTES_MAX: usize = 32 * 1024;

/// Responders send their own certificate, and some the authorities above it.
const CERTIFICATES_MAX: usize = 4;

const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");
const OCSP_NO_CHECK: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.5");

/// A parsed answer.
#[derive(Debug)]
pub(crate) struct OcspAnswer {
    fingerprint: Fingerprint,
    signed: Vec<u8>,
    signature: Vec<u8>,
    responder: Responder,
    produced_at: u64,
    certificates: Vec<Certificate>,
    pub(crate) statement: Statement,
}

#[derive(Debug)]
enum Responder {
    Name(Box<Name>),
    KeyHash(Vec<u8>),
}

/// What an answer says of one certificate.
#[derive(Debug)]
pub(crate) struct Statement {
    hash: &'static Algorithm,
    issuer_name_hash: Vec<u8>,
    issuer_key_hash: Vec<u8>,
    /// Big-endian without leading zeros.
    pub(crate) serial: Vec<u8>,
    pub(crate) status: Status,
    this_update: u64,
    next_update: Option<u64>,
}

/// When an answer is followed by the next one (Unix seconds), for those who keep answers and renew
/// them; none where the bytes are no answer, or one without an end. Nothing in it is verified.
pub fn ocsp_next_update(der: &[u8]) -> Option<u64> {
    OcspAnswer::parse(der).ok()?.statement.next_update
}

impl OcspAnswer {
    pub(crate) fn parse(der: &[u8]) -> Result<Self, AnswerError> {
        if der.len() > OCSP_BYTES_MAX {
            return Err(AnswerError::TooLong { got: der.len() });
        }
        let response = OcspResponse::from_der(der)?;
        if response.status != OcspStatus::Successful {
            return Err(AnswerError::NotSuccessful { status: response.status as u8 });
        }
        let bytes = response.bytes.ok_or(AnswerError::Form { part: "response" })?;
        if bytes.kind != BASIC {
            return Err(AnswerError::Form { part: "response type" });
        }
        let signed = Signed::split(bytes.response.as_bytes())?;
        signed.check_outer_algorithm()?;
        let data = ResponseData::from_der(signed.body)?;
        check_extensions(data.extensions.as_ref(), |_| false)?;
        // Each certificate is asked for by itself; were an answer to hold many statements, a short
        // document could demand many signature verifications.
        let [statement] = &data.responses[..] else {
            return Err(AnswerError::Form { part: "number of statements" });
        };
        let statement = Statement::read(statement)?;
        let certificates = signed.certificates.unwrap_or_default();
        if certificates.len() > CERTIFICATES_MAX {
            return Err(AnswerError::Form { part: "number of certificates" });
        }
        let certificate = |any: AnyRef<'_>| Certificate::from_der(&any.to_der()?);
        Ok(Self {
            fingerprint: Fingerprint(crypto::sha256(der)),
            signed: signed.body.to_vec(),
            signature: signed.signature.to_vec(),
            responder: responder(data.responder)?,
            produced_at: data.produced_at.to_unix_duration().as_secs(),
            certificates: certificates.into_iter().map(certificate).collect::<Result<_, _>>()?,
            statement,
        })
    }

    /// Demands that `issuer`, or a responder that it appointed, signed this answer, and that it is
    /// of `at` (Unix seconds). Returns the last second at which all that holds.
    pub(crate) fn check(
        &self,
        issuer: &Certificate,
        signatures: &Signatures,
        at: u64,
    ) -> Result<u64, AnswerError> {
        let signer = self.signer(issuer, signatures, at)?;
        let verify = || crypto::verify_der(signer.point(), &self.signed, &self.signature);
        if !signatures.remember(self.fingerprint, signer, verify) {
            return Err(AnswerError::Signature { signer: signer.title() });
        }
        self.check_certificates(issuer, signer, signatures)?;
        let statement = &self.statement;
        let until = window(statement.this_update.max(self.produced_at), statement.next_update, at)?;
        Ok(until.min(signer.validity().1))
    }

    /// Demands of the certificates that nothing is read from that somebody signed them: they are no
    /// place where bytes could be changed unseen.
    fn check_certificates(
        &self,
        issuer: &Certificate,
        signer: &Certificate,
        signatures: &Signatures,
    ) -> Result<(), AnswerError> {
        let known = [issuer.fingerprint(), signer.fingerprint()];
        for other in self.certificates.iter().filter(|it| !known.contains(&it.fingerprint())) {
            let mut issuers = self.certificates.iter().chain([issuer]);
            if !issuers.any(|it| it.subject() == other.issuer() && signatures.holds(other, it)) {
                return Err(AnswerError::CertificateUnsigned { subject: other.title() });
            }
        }
        Ok(())
    }

    fn signer<'a>(
        &'a self,
        issuer: &'a Certificate,
        signatures: &Signatures,
        at: u64,
    ) -> Result<&'a Certificate, AnswerError> {
        if self.responder.is(issuer) {
            return Ok(issuer);
        }
        let responder = self.certificates.iter().find(|it| self.responder.is(it));
        let responder = responder.ok_or(AnswerError::ResponderUnknown)?;
        let name = || responder.title();
        let appointed = responder.issuer() == issuer.subject()
            && responder.has_extended_usage(&OCSP_SIGNING)
            && responder.extension(&OCSP_NO_CHECK).is_some()
            && responder.is_not_kept_from_signing_data()
            && signatures.holds(responder, issuer);
        if !appointed {
            return Err(AnswerError::ResponderNotAppointed {
                responder: name(),
                issuer: issuer.title(),
            });
        }
        let (from, until) = responder.validity();
        if at < from || at > until {
            return Err(AnswerError::ResponderNotValid { responder: name() });
        }
        Ok(responder)
    }
}

impl Responder {
    fn is(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Name(name) => certificate.subject() == &**name,
            Self::KeyHash(hash) => {
                *hash == key_hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate)
            }
        }
    }
}

impl Statement {
    fn read(response: &SingleResponse<'_>) -> Result<Self, AnswerError> {
        check_extensions(response.extensions.as_ref(), |_| false)?;
        let id = &response.id;
        Ok(Self {
            hash: hash(id.hash)?,
            issuer_name_hash: id.issuer_name_hash.as_bytes().to_vec(),
            issuer_key_hash: id.issuer_key_hash.as_bytes().to_vec(),
            serial: id.serial.as_bytes().to_vec(),
            status: status(&response.status),
            this_update: response.this_update.to_unix_duration().as_secs(),
            next_update: response.next_update.map(|it| it.to_unix_duration().as_secs()),
        })
    }

    /// Whether this is about `certificate` of `issuer`.
    pub(crate) fn is_about(&self, certificate: &Certificate, issuer: &Certificate) -> bool {
        let name = issuer.subject().to_der().unwrap_or_default();
        self.serial == certificate.serial()
            && self.issuer_name_hash == crypto::hash(self.hash, &name)
            && self.issuer_key_hash == key_hash(self.hash, issuer)
    }
}

/// OCSP hashes the key's bits alone, without its algorithm.
fn key_hash(algorithm: &'static Algorithm, certificate: &Certificate) -> Vec<u8> {
    crypto::hash(algorithm, certificate.point())
}

fn hash(algorithm: AlgorithmIdentifierRef<'_>) -> Result<&'static Algorithm, AnswerError> {
    crypto::hash_named(algorithm.oid).ok_or(AnswerError::Form { part: "hash algorithm" })
}

fn responder(id: ResponderId<'_>) -> Result<Responder, AnswerError> {
    Ok(match id {
        ResponderId::ByName(name) => Responder::Name(Box::new(name)),
        ResponderId::ByKey(any) if any.tag() == Tag::OctetString => {
            Responder::KeyHash(any.value().to_vec())
        }
        ResponderId::ByKey(_) => return Err(AnswerError::Form { part: "responder" }),
    })
}

fn status(status: &CertStatus) -> Status {
    match status {
        CertStatus::Good(_) => Status::Good,
        CertStatus::Unknown(_) => Status::Unknown,
        CertStatus::Revoked(info) if info.reason == Some(CrlReason::CertificateHold) => {
            Status::Hold
        }
        CertStatus::Revoked(_) => Status::Revoked,
    }
}

#[derive(Sequence)]
struct OcspResponse<'a> {
    status: OcspStatus,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    bytes: Option<ResponseBytes<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Enumerated)]
#[repr(u8)]
enum OcspStatus {
    Successful = 0,
    MalformedRequest = 1,
    InternalError = 2,
    TryLater = 3,
    SigRequired = 5,
    Unauthorized = 6,
}

#[derive(Sequence)]
struct ResponseBytes<'a> {
    kind: ObjectIdentifier,
    response: &'a OctetStringRef,
}

#[derive(Sequence)]
struct ResponseData<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", default = "u8::default")]
    version: u8,
    responder: ResponderId<'a>,
    produced_at: GeneralizedTime,
    responses: Vec<SingleResponse<'a>>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

#[derive(Choice)]
#[allow(clippy::large_enum_variant)] // one per answer
enum ResponderId<'a> {
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", constructed = "true")]
    ByName(Name),
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", constructed = "true")]
    ByKey(AnyRef<'a>),
}

#[derive(Sequence)]
struct SingleResponse<'a> {
    id: CertId<'a>,
    status: CertStatus,
    this_update: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    next_update: Option<GeneralizedTime>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

#[derive(Sequence)]
struct CertId<'a> {
    hash: AlgorithmIdentifierRef<'a>,
    issuer_name_hash: &'a OctetStringRef,
    issuer_key_hash: &'a OctetStringRef,
    serial: UintRef<'a>,
}

#[derive(Choice)]
enum CertStatus {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Good(Null),
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Revoked(RevokedInfo),
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT")]
    Unknown(Null),
}

#[derive(Sequence)]
struct RevokedInfo {
    time: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    reason: Option<CrlReason>,
}
