//! A secp256k1 key that signs.

use std::fmt;

use alloy_primitives::{Address, B256, Signature};
use k256::ecdsa::SigningKey;
use zeroize::Zeroizing;

/// A secp256k1 secret key: a pod's signer, a payer authorizer.
///
/// It does not print, and its bytes are wiped when it is dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key with these 32 big-endian bytes.
    ///
    /// # Errors
    /// [`BadKey`] for zero, for a number at or past the group order, or another length.
    pub fn from_bytes(bytes: &[u8]) -> Result<SecretKey, BadKey> {
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| BadKey)?;
        SigningKey::from_bytes(bytes.into()).map(SecretKey).map_err(|_| BadKey)
    }

    /// The key's 32 bytes, for a keystore or the guest's memory file.
    ///
    /// # Security
    /// Whoever reads them signs as this key: never log them, never send them.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// The key's Ethereum address.
    pub fn address(&self) -> Address {
        Address::from_public_key(self.0.verifying_key())
    }

    /// The key's public point, x then y, 32 bytes each, big-endian.
    pub fn public_key(&self) -> [u8; 64] {
        let point = self.0.verifying_key().to_encoded_point(false);
        point.as_bytes()[1..].try_into().expect("an uncompressed point has 65 bytes")
    }

    /// Signs a digest: deterministic (RFC 6979), low-s.
    pub fn sign_digest(&self, digest: &B256) -> Signature {
        let (signature, parity) = self
            .0
            .sign_prehash_recoverable(digest.as_slice())
            .expect("a 32-byte digest can be signed by any valid key");
        Signature::from_signature_and_parity(signature, parity.is_y_odd()).normalized_s()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretKey(of {})", self.address())
    }
}

/// Bytes that are no secp256k1 secret key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are not a secp256k1 secret key")]
pub struct BadKey;
