//! P-384 keys made from names, so that every simulator anywhere has the same ones.

use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use rcgen::{PKCS_ECDSA_P384_SHA384, PublicKeyData, SignatureAlgorithm};
use sha2::{Digest, Sha384};

/// Separates these keys from anything else that is hashed from a name.
const KEY_TAG: &str = "subrosa/simulator/nvidia/key/v1/";

/// A key that anybody can make from its name: it protects nothing, and must never be trusted
/// outside simulated networks.
#[derive(Clone)]
pub(super) struct Key {
    secret: SigningKey,
    /// The uncompressed point, 0x04 first.
    point: Vec<u8>,
}

impl Key {
    pub(super) fn named(name: &str) -> Key {
        let bytes = Sha384::digest(format!("{KEY_TAG}{name}"));
        let secret = SigningKey::from_slice(&bytes)
            .expect("a hash is outside the group's order with a chance of 2^-189");
        let point = secret.verifying_key().to_encoded_point(false).as_bytes().to_vec();
        Key { secret, point }
    }

    /// The uncompressed public key, 97 bytes.
    pub(super) fn point(&self) -> &[u8] {
        &self.point
    }

    /// Signs the SHA-384 of the message (RFC 6979, so always the same): r and s, 48 bytes each.
    pub(super) fn sign_raw(&self, message: &[u8]) -> [u8; 96] {
        let signature: Signature = self.secret.sign(message);
        signature.to_bytes()[..].try_into().expect("two scalars of 48 bytes each")
    }

    /// The same signature in DER.
    pub(super) fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.secret.sign(message);
        signature.to_der().as_bytes().to_vec()
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P384_SHA384
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.sign_der(message))
    }
}
