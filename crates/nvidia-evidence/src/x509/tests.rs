//! Bounds; what certificates say is tested with chains.

use rcgen::CustomExtension;

use super::*;
use crate::testing::{Issued, signer};

/// A self-signed certificate of exactly so many bytes. Signatures differ in length, so that not every
/// try has it.
fn certificate_of(bytes: usize) -> Vec<u8> {
    const BESIDE: usize = 500;
    let mut padding = bytes - BESIDE;
    for _ in 0..200 {
        let mut params = signer("leaf");
        let extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0; padding]);
        params.custom_extensions = vec![extension];
        let der = Issued::root(params).der;
        if der.len() == bytes {
            return der;
        }
        padding = padding + bytes - der.len();
    }
    panic!("no certificate has {bytes} bytes");
}

#[test]
fn reads_a_certificate_of_the_greatest_length_and_none_that_is_longer() {
    Certificate::from_der(&certificate_of(CERTIFICATE_BYTES_MAX)).unwrap();
    let error = Certificate::from_der(&certificate_of(CERTIFICATE_BYTES_MAX + 1)).unwrap_err();
    let why = format!("more than {CERTIFICATE_BYTES_MAX} bytes");
    assert_eq!(error, CertificateError::Malformed { why });
}
