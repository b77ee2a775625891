//! The parsers that are not public by themselves, for the fuzz targets.

use crate::crl::RevocationList;
use crate::ocsp::OcspAnswer;
use crate::x509::Certificate;

/// Whether the bytes can be read as an OCSP answer.
pub fn reads_as_answer(der: &[u8]) -> bool {
    OcspAnswer::parse(der).is_ok()
}

/// Whether the bytes can be read as a certificate.
pub fn reads_as_certificate(der: &[u8]) -> bool {
    Certificate::from_der(der).is_ok()
}

/// Whether the bytes can be read as a revocation list.
pub fn reads_as_list(der: &[u8]) -> bool {
    RevocationList::parse(der).is_ok()
}
