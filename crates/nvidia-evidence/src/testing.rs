//! Certificates, answers and lists of any fault, for the tests of this crate.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, RevocationReason,
    RevokedCertParams, SerialNumber, SigningKey, date_time_ymd,
};

use crate::chain::Chain;
use crate::crypto;
use crate::x509::Certificate;

/// 2024-06-01T00:00:00Z, in the middle of what is issued here.
pub(crate) const NOW: u64 = 1_717_200_000;

pub(crate) const DAY: u64 = 86_400;

/// A certificate with its key.
pub(crate) struct Issued {
    pub(crate) params: CertificateParams,
    pub(crate) key: KeyPair,
    pub(crate) der: Vec<u8>,
}

/// An authority of 2020 to 2030.
pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut params = signer(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A certificate for signatures, of 2020 to 2030.
pub(crate) fn signer(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Every other serial number has its top bit set, and with it a byte for the sign.
    let serial = crypto::sha256(name.as_bytes());
    params.serial_number = Some(SerialNumber::from([&[serial[8] | 1], &serial[..8]].concat()));
    params
}

impl Issued {
    pub(crate) fn root(params: CertificateParams) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { params, key, der }
    }

    pub(crate) fn issue(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let der = params.signed_by(&key, &self.issuer()).unwrap().der().to_vec();
        Self { params, key, der }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    pub(crate) fn certificate(&self) -> Certificate {
        Certificate::from_der(&self.der).unwrap()
    }

    /// A revocation list of a day ago to a day ahead.
    pub(crate) fn list(&self, revoked: &[(&Issued, RevocationReason)]) -> Vec<u8> {
        self.list_of(revoked, (NOW - DAY, NOW + DAY), false)
    }

    /// A revocation list; of a part of the certificates where `partial` says so.
    pub(crate) fn list_of(
        &self,
        revoked: &[(&Issued, RevocationReason)],
        (this_update, next_update): (u64, u64),
        partial: bool,
    ) -> Vec<u8> {
        let revoked = revoked.iter().map(|(issued, reason)| RevokedCertParams {
            serial_number: SerialNumber::from(issued.certificate().serial().to_vec()),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: Some(*reason),
            invalidity_date: None,
        });
        let part = rcgen::CrlIssuingDistributionPoint {
            distribution_point: rcgen::CrlDistributionPoint { uris: vec!["http://a/".into()] },
            scope: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date(this_update),
            next_update: date(next_update),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: partial.then_some(part),
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).unwrap().der().to_vec()
    }
}

fn date(seconds: u64) -> ::time::OffsetDateTime {
    ::time::OffsetDateTime::from_unix_timestamp(seconds as i64).unwrap()
}

/// A chain, leaf first.
pub(crate) fn chain(certificates: &[&Issued]) -> Chain {
    Chain::from_ders(&certificates.iter().map(|it| it.der.clone()).collect::<Vec<_>>()).unwrap()
}

/// A responder's certificate; `marks` are the extensions that appoint it.
pub(crate) fn responder(name: &str, appointed: bool, no_check: bool) -> CertificateParams {
    let mut params = signer(name);
    if appointed {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::OcspSigning];
    }
    if no_check {
        let oid = [1, 3, 6, 1, 5, 5, 7, 48, 1, 5];
        let null = vec![5, 0];
        params.custom_extensions = vec![CustomExtension::from_oid_content(&oid, null)];
    }
    params
}

/// An OCSP answer, written member by member so that each can be wrong.
pub(crate) struct Answer<'a> {
    pub(crate) about: &'a Issued,
    pub(crate) issuer: &'a Issued,
    pub(crate) responder: &'a Issued,
    /// Whether the answer carries its responder's certificate.
    pub(crate) carries_responder: bool,
    /// Certificates that it carries besides, DER.
    pub(crate) carries: Vec<Vec<u8>>,
    pub(crate) by_key: bool,
    /// DER of the status.
    pub(crate) status: Vec<u8>,
    pub(crate) produced_at: u64,
    pub(crate) this_update: u64,
    pub(crate) next_update: Option<u64>,
    /// DER of extensions of the statement and of the answer.
    pub(crate) statement_extensions: Vec<u8>,
    pub(crate) answer_extensions: Vec<u8>,
    pub(crate) statements: usize,
    pub(crate) hash: &'static aws_lc_rs::digest::Algorithm,
}

pub(crate) const GOOD: &[u8] = &[0x80, 0];
pub(crate) const UNKNOWN: &[u8] = &[0x82, 0];

/// The status of a certificate revoked in 2024 for `reason` (RFC 5280, section 5.3.1).
pub(crate) fn revoked(reason: Option<u8>) -> Vec<u8> {
    let reason = reason.map(|reason| tlv(0xA0, &[&tlv(0x0A, &[&[reason]])])).unwrap_or_default();
    tlv(0xA1, &[&tlv(0x18, &[b"20240101000000Z"]), &reason])
}

impl<'a> Answer<'a> {
    /// A good answer of now, by the issuer's responder.
    pub(crate) fn new(about: &'a Issued, issuer: &'a Issued, responder: &'a Issued) -> Self {
        Self {
            about,
            issuer,
            responder,
            carries_responder: true,
            carries: Vec::new(),
            by_key: false,
            status: GOOD.to_vec(),
            produced_at: NOW,
            this_update: NOW,
            next_update: Some(NOW + DAY),
            statement_extensions: Vec::new(),
            answer_extensions: Vec::new(),
            statements: 1,
            hash: &aws_lc_rs::digest::SHA384,
        }
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        let statements = vec![self.statement(); self.statements].concat();
        let data = tlv(
            0x30,
            &[
                &self.responder_id(),
                &time(self.produced_at),
                &tlv(0x30, &[&statements]),
                &self.answer_extensions,
            ],
        );
        let signature = self.responder.key.sign(&data).unwrap();
        let algorithm = tlv(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]]);
        let own = if self.carries_responder { &self.responder.der[..] } else { &[] };
        let certificates = tlv(0xA0, &[&tlv(0x30, &[own, &self.carries.concat()])]);
        let any = self.carries_responder || !self.carries.is_empty();
        let certificates = if any { certificates } else { Vec::new() };
        let signature = tlv(0x03, &[&[0], &signature]);
        let basic = tlv(0x30, &[&data, &algorithm, &signature, &certificates]);
        let kind = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
        let bytes = tlv(0xA0, &[&tlv(0x30, &[&kind, &tlv(0x04, &[&basic])])]);
        tlv(0x30, &[&[0x0A, 1, 0], &bytes])
    }

    fn responder_id(&self) -> Vec<u8> {
        let certificate = self.responder.certificate();
        if self.by_key {
            let sha1 = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
            return tlv(0xA2, &[&tlv(0x04, &[&crypto::hash(sha1, certificate.point())])]);
        }
        tlv(0xA1, &[&name(&certificate)])
    }

    fn statement(&self) -> Vec<u8> {
        let issuer = self.issuer.certificate();
        let oid: &[u8] = match self.hash {
            it if *it == aws_lc_rs::digest::SHA384 => &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2],
            it if *it == aws_lc_rs::digest::SHA256 => &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1],
            _ => &[0x2b, 0x0e, 3, 2, 0x1a],
        };
        let id = tlv(
            0x30,
            &[
                &tlv(0x30, &[&tlv(6, &[oid]), &[5, 0]]),
                &tlv(0x04, &[&crypto::hash(self.hash, &name(&issuer))]),
                &tlv(0x04, &[&crypto::hash(self.hash, issuer.point())]),
                &tlv(
                    0x02,
                    &[sign(self.about.certificate().serial()), self.about.certificate().serial()],
                ),
            ],
        );
        let next = self.next_update.map(|it| tlv(0xA0, &[&time(it)])).unwrap_or_default();
        let this = time(self.this_update);
        tlv(0x30, &[&id, &self.status, &this, &next, &self.statement_extensions])
    }
}

fn name(certificate: &Certificate) -> Vec<u8> {
    der::Encode::to_der(certificate.subject()).unwrap()
}

fn time(seconds: u64) -> Vec<u8> {
    let text = crate::time::Utc(seconds).to_string();
    let digits: String = text.chars().filter(|c| c.is_ascii_digit()).collect();
    tlv(0x18, &[digits.as_bytes(), b"Z"])
}

/// Extensions of one unknown extension, in the explicit tag [1].
pub(crate) fn extensions(critical: bool) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xFF] } else { &[] };
    let extension = tlv(0x30, &[&[6, 3, 0x2a, 3, 4], critical, &[4, 2, 5, 0]]);
    tlv(0xA1, &[&tlv(0x30, &[&extension])])
}

/// Tag, length, value.
pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let len = value.len();
    let mut out = vec![tag];
    match len {
        0..0x80 => out.push(len as u8),
        0x80..0x100 => out.extend([0x81, len as u8]),
        _ => out.extend([0x82, (len >> 8) as u8, len as u8]),
    }
    out.extend(value);
    out
}

/// The byte that keeps a number positive in DER where its top bit is set.
fn sign(number: &[u8]) -> &'static [u8] {
    if number[0] >= 0x80 { &[0] } else { &[] }
}
