//! Chains of certificates, leaf first, up to a pinned root.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::hexes::Fingerprint;
use crate::time::Utc;
use crate::x509::{Certificate, CertificateError, Signatures, title};

/// Device chains are under 5 KiB.
pub const CHAIN_BYTES_MAX: usize = 64 * 1024;

/// The longest chains have five certificates; more are not even parsed.
const CERTIFICATES_MAX: usize = 8;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Why a chain does not prove its leaf. Certificates count from 0, the leaf.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the fields are named by the messages
pub enum ChainError {
    /// Longer than any chain.
    #[error("the chain has {got} bytes, more than {CHAIN_BYTES_MAX}")]
    TooLong { got: usize },
    /// Not PEM certificates and white space alone.
    #[error("the chain is not PEM: {why}")]
    NotPem { why: &'static str },
    /// One certificate cannot count.
    #[error("certificate {index}: {source}")]
    Certificate { index: usize, source: CertificateError },
    /// Its last certificate is not the pinned root.
    #[error("the chain ends in \"{subject}\" ({fingerprint}), which is not the pinned root")]
    UnknownRoot { subject: String, fingerprint: Fingerprint },
    /// A certificate names another issuer than the next.
    #[error("certificate {index} \"{subject}\" was issued by \"{issuer}\", and \"{next}\" follows")]
    NotIssuedByNext { index: usize, subject: String, issuer: String, next: String },
    /// A certificate is not signed by the next.
    #[error("certificate {index} \"{subject}\" is not signed by the next, \"{next}\"")]
    NotSignedByNext { index: usize, subject: String, next: String },
    /// A certificate above the leaf is no authority.
    #[error("certificate {index} \"{subject}\" may not issue certificates")]
    NotAuthority { index: usize, subject: String },
    /// An authority has more authorities below it than it allows.
    #[error("certificate {index} \"{subject}\" allows {allowed} authorities below it")]
    PathTooLong { index: usize, subject: String, allowed: u8 },
    /// The leaf may not sign, or is itself an authority.
    #[error("the leaf \"{subject}\" is not a certificate for signatures")]
    LeafUsage { subject: String },
    /// Not as many certificates as this kind of chain has.
    #[error("the chain has {got} certificates, not {expected}")]
    Length { got: usize, expected: usize },
    /// Not valid yet.
    #[error("certificate {index} \"{subject}\" is valid from {not_before}, not at {at}")]
    NotYetValid { index: usize, subject: String, not_before: Utc, at: Utc },
    /// No longer valid.
    #[error("certificate {index} \"{subject}\" was valid until {not_after}, not at {at}")]
    Expired { index: usize, subject: String, not_after: Utc, at: Utc },
}

/// Parsed certificates, leaf first, at least one.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    certificates: Vec<Certificate>,
}

impl Chain {
    /// Reads PEM certificates with nothing but white space around them.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, ChainError> {
        if pem.len() > CHAIN_BYTES_MAX {
            return Err(ChainError::TooLong { got: pem.len() });
        }
        let not_pem = |why| ChainError::NotPem { why };
        let mut rest = std::str::from_utf8(pem).map_err(|_| not_pem("not text"))?.trim_ascii();
        let mut ders = Vec::new();
        while !rest.is_empty() {
            if ders.len() == CERTIFICATES_MAX {
                return Err(not_pem("too many certificates"));
            }
            let body = rest.strip_prefix(BEGIN).ok_or(not_pem("no certificate begins"))?;
            let (body, after) =
                body.split_once(END).ok_or(not_pem("a certificate does not end"))?;
            ders.push(decode(body).ok_or(not_pem("a certificate is not base64"))?);
            rest = after.trim_ascii_start();
        }
        Self::from_ders(&ders)
    }

    pub(crate) fn from_ders(ders: &[Vec<u8>]) -> Result<Self, ChainError> {
        if ders.is_empty() {
            return Err(ChainError::NotPem { why: "no certificate" });
        }
        let parse = |(index, der): (usize, &Vec<u8>)| {
            Certificate::from_der(der).map_err(|source| ChainError::Certificate { index, source })
        };
        let certificates = ders.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { certificates })
    }

    pub(crate) fn leaf(&self) -> &Certificate {
        &self.certificates[0]
    }

    pub(crate) fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The certificates from `first` on, each with its issuer; the root, which is pinned, is not
    /// among them.
    pub(crate) fn issued(
        &self,
        first: usize,
    ) -> impl Iterator<Item = (&Certificate, &Certificate)> {
        self.certificates.windows(2).skip(first).map(|pair| (&pair[0], &pair[1]))
    }

    /// Demands the pinned root at the end. Its own signature proves nothing that the pin does not.
    pub(crate) fn check_root(&self, root: Fingerprint) -> Result<(), ChainError> {
        let last = self.certificates.last().expect("a chain has a certificate");
        let fingerprint = last.fingerprint();
        if fingerprint == root {
            return Ok(());
        }
        Err(ChainError::UnknownRoot { subject: last.title(), fingerprint })
    }

    /// Everything about the links that does not depend on the time.
    pub(crate) fn check_links(
        &self,
        expected: usize,
        signatures: &Signatures,
    ) -> Result<(), ChainError> {
        for (index, (certificate, next)) in self.issued(0).enumerate() {
            check_link(index, certificate, next, signatures)?;
        }
        self.check_leaf()?;
        if self.certificates.len() != expected {
            return Err(ChainError::Length { got: self.certificates.len(), expected });
        }
        Ok(())
    }

    fn check_leaf(&self) -> Result<(), ChainError> {
        let leaf = self.leaf();
        if leaf.may_sign_data() && leaf.authority().is_none() {
            Ok(())
        } else {
            Err(ChainError::LeafUsage { subject: leaf.title() })
        }
    }

    /// The last second at which every certificate is valid, in Unix seconds.
    pub(crate) fn until(&self) -> u64 {
        let ends = self.certificates.iter().map(|certificate| certificate.validity().1);
        ends.min().expect("a chain has a certificate")
    }

    /// Demands that every certificate is valid at `at`, in Unix seconds.
    pub(crate) fn check_dates(&self, at: u64) -> Result<(), ChainError> {
        for (index, certificate) in self.certificates.iter().enumerate() {
            let subject = || certificate.title();
            let (from, until) = certificate.validity();
            if at < from {
                let (not_before, at) = (Utc(from), Utc(at));
                return Err(ChainError::NotYetValid { index, subject: subject(), not_before, at });
            }
            if at > until {
                let (not_after, at) = (Utc(until), Utc(at));
                return Err(ChainError::Expired { index, subject: subject(), not_after, at });
            }
        }
        Ok(())
    }
}

fn check_link(
    index: usize,
    certificate: &Certificate,
    next: &Certificate,
    signatures: &Signatures,
) -> Result<(), ChainError> {
    let subject = || certificate.title();
    if certificate.issuer() != next.subject() {
        let (issuer, next) = (title(certificate.issuer()), next.title());
        return Err(ChainError::NotIssuedByNext { index, subject: subject(), issuer, next });
    }
    let Some(path_len) = next.authority().filter(|_| next.may_sign_certificates()) else {
        return Err(ChainError::NotAuthority { index: index + 1, subject: next.title() });
    };
    // Below certificate i + 1 stand i authorities and the leaf.
    if let Some(allowed) = path_len.filter(|allowed| usize::from(*allowed) < index) {
        return Err(ChainError::PathTooLong { index: index + 1, subject: next.title(), allowed });
    }
    if !signatures.holds(certificate, next) {
        return Err(ChainError::NotSignedByNext { index, subject: subject(), next: next.title() });
    }
    Ok(())
}

/// Base64 with white space inside, in its one canonical spelling otherwise.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(compact).ok()
}

#[cfg(test)]
mod tests;
