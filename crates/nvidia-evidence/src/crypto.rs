//! The few primitives that NVIDIA's evidence uses, all by `aws-lc-rs`.

use aws_lc_rs::digest::{self, Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm, UnparsedPublicKey,
};
use der::asn1::ObjectIdentifier;

/// Length of an uncompressed P-384 point: the tag, x, y (SEC 1, section 2.3.3).
const POINT_LEN: usize = 97;
/// What an uncompressed point begins with.
const UNCOMPRESSED: u8 = 0x04;
/// SHA-384, by which NVIDIA names firmware, and certificates in OCSP.
pub(crate) const SHA384_OID: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
/// The other hashes by which RFC 6960 names certificates.
const SHA1_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA512_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
/// Length of a raw P-384 signature: r ‖ s, big-endian.
pub(crate) const FIXED_SIGNATURE_LEN: usize = 96;

/// Whether `signature` (raw r ‖ s) over the SHA-384 of `message` is `point`'s.
pub(crate) fn verify_fixed(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    verify(&ECDSA_P384_SHA384_FIXED, point, message, signature)
}

/// Whether `signature` (DER) over the SHA-384 of `message` is `point`'s.
pub(crate) fn verify_der(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    verify(&ECDSA_P384_SHA384_ASN1, point, message, signature)
}

fn verify(
    algorithm: &'static EcdsaVerificationAlgorithm,
    point: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    // The library would take a whole SubjectPublicKeyInfo too, or a point in another form.
    is_point(point) && UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
}

/// Whether bytes have the form of an uncompressed point, the only one in which keys are written;
/// whether it is on the curve shows where a signature is verified.
pub(crate) fn is_point(bytes: &[u8]) -> bool {
    bytes.len() == POINT_LEN && bytes[0] == UNCOMPRESSED
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    fixed(&SHA256, bytes)
}

pub(crate) fn sha384(bytes: &[u8]) -> [u8; 48] {
    fixed(&SHA384, bytes)
}

/// The hash of this name, of those that OCSP uses.
pub(crate) fn hash_named(oid: ObjectIdentifier) -> Option<&'static Algorithm> {
    match oid {
        SHA1_OID => Some(&SHA1_FOR_LEGACY_USE_ONLY),
        SHA256_OID => Some(&SHA256),
        SHA384_OID => Some(&SHA384),
        SHA512_OID => Some(&SHA512),
        _ => None,
    }
}

/// Any hash that OCSP names a certificate's issuer by; RFC 6960 knows no other use of SHA-1 here
/// than to find an answer, which a signature then proves.
pub(crate) fn hash(algorithm: &'static Algorithm, bytes: &[u8]) -> Vec<u8> {
    digest::digest(algorithm, bytes).as_ref().to_vec()
}

fn fixed<const N: usize>(algorithm: &'static Algorithm, bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(digest::digest(algorithm, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests;
