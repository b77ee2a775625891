//! P-256 keys made from names, so that every simulator anywhere has the same ones.

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use sha2::{Digest, Sha256};

/// Separates these keys from anything else that is hashed from a name.
const KEY_TAG: &str = "subrosa/simulator/key/v1/";

/// A key that anybody can make from its name: it protects nothing, and must never be trusted
/// outside simulated networks.
#[derive(Clone)]
pub(crate) struct Key {
    secret: SigningKey,
    /// The uncompressed point, 0x04 first.
    point: Vec<u8>,
}

impl Key {
    pub(crate) fn named(name: &str) -> Key {
        let bytes = Sha256::digest(format!("{KEY_TAG}{name}"));
        let secret = SigningKey::from_slice(&bytes).expect(
            "a hash is outside the group's order with a chance of 2^-32, and names are fixed",
        );
        let point = secret.verifying_key().to_encoded_point(false).as_bytes().to_vec();
        Key { secret, point }
    }

    /// The public key's x and y.
    pub(crate) fn public(&self) -> &[u8] {
        &self.point[1..]
    }

    /// Signs (RFC 6979, so always the same): r and s, 32 bytes each.
    pub(crate) fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.secret.sign(message);
        signature.to_bytes().into()
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.secret.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}
