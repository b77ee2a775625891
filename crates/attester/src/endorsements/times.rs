//! Until when the vendors' statements count.

use subrosa_protocol::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;

/// When a revocation list is followed by the next one, from its DER bytes.
pub(super) fn crl_ends(der: &[u8]) -> Option<Timestamp> {
    let list = <CertificateList>::from_der(der).ok()?;
    let next = list.tbs_cert_list.next_update?;
    Some(Timestamp(next.to_unix_duration().as_secs()))
}

/// When a certificate ends, from its DER bytes.
pub(super) fn certificate_ends(der: &[u8]) -> Option<Timestamp> {
    let certificate = Certificate::from_der(der).ok()?;
    let validity = certificate.tbs_certificate().validity();
    Some(Timestamp(validity.not_after.to_unix_duration().as_secs()))
}

/// A time like `2026-11-28T00:00:00Z`.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(moment.unix_timestamp()).ok().map(Timestamp)
}
