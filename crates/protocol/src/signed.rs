//! A message together with its signature.

use alloy_primitives::{Address, B256, Signature};

use crate::{DecodeError, Domain, Message, SecretKey, encoding};

/// The bytes of a signature on the wire: r, s, v with v 27 or 28.
const SIGNATURE_BYTES: usize = 65;

/// A message and a signature over its EIP-712 digest.
///
/// Holding one says nothing yet about who signed: call [`verify`](Signed::verify).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    message: T,
    signature: Signature,
}

impl<T: Message> Signed<T> {
    /// Signs `message` for the given chain and escrow.
    pub fn sign(message: T, domain: &Domain, key: &SecretKey) -> Signed<T> {
        let signature = key.sign_digest(&message.digest(domain));
        Signed { message, signature }
    }

    /// Joins a message to a signature that came apart from it.
    ///
    /// # Errors
    /// [`SignatureError`] for a signature that is not 65 bytes, low-s, with v 27 or 28.
    pub fn from_parts(message: T, signature: &[u8]) -> Result<Signed<T>, SignatureError> {
        Ok(Signed { message, signature: parse_signature(signature)? })
    }

    /// The message, if `expected` signed it for this chain and escrow.
    ///
    /// # Errors
    /// [`SignatureError::WrongSigner`] where somebody else did, or the domain differs.
    pub fn verify(&self, domain: &Domain, expected: Address) -> Result<&T, SignatureError> {
        let got = self.signer(domain)?;
        // A wrong domain recovers to an unrelated address, so cross-chain replay ends here too.
        if got == expected {
            Ok(&self.message)
        } else {
            Err(SignatureError::WrongSigner { got, expected })
        }
    }

    /// The address that the signature recovers to.
    ///
    /// # Errors
    /// [`SignatureError::Unrecoverable`] where it recovers to none.
    pub fn signer(&self, domain: &Domain) -> Result<Address, SignatureError> {
        self.signature
            .recover_address_from_prehash(&self.message.digest(domain))
            .map_err(|_| SignatureError::Unrecoverable)
    }

    /// The message, whoever signed it.
    ///
    /// # Security
    /// Nothing in it counts before [`verify`](Signed::verify).
    pub fn unverified(&self) -> &T {
        &self.message
    }

    /// The message's EIP-712 digest.
    pub fn digest(&self, domain: &Domain) -> B256 {
        self.message.digest(domain)
    }

    /// The signature's 65 bytes: r, s, v.
    pub fn signature_bytes(&self) -> [u8; SIGNATURE_BYTES] {
        self.signature.as_bytes()
    }

    /// The signature's 64 bytes of EIP-2098, as packed claims carry it.
    pub fn compact_signature(&self) -> [u8; 64] {
        self.signature.as_erc2098()
    }

    /// Canonical bytes: those of the message, then the 65 of the signature.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.message.encode();
        bytes.extend_from_slice(&self.signature_bytes());
        bytes
    }

    /// Reads what [`to_bytes`](Signed::to_bytes) wrote.
    ///
    /// # Errors
    /// [`SignatureError`] where either part is not in its canonical form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Signed<T>, SignatureError> {
        let split = bytes.len().checked_sub(SIGNATURE_BYTES).ok_or(SignatureError::Malformed)?;
        let (message, signature) = bytes.split_at(split);
        Signed::from_parts(T::decode(message)?, signature)
    }

    /// [`to_bytes`](Signed::to_bytes) in base64, as headers carry it.
    pub fn to_base64(&self) -> String {
        encoding::to_base64(&self.to_bytes())
    }

    /// Reads what [`to_base64`](Signed::to_base64) wrote.
    ///
    /// # Errors
    /// [`SignatureError`] for other text.
    pub fn from_base64(text: &str) -> Result<Signed<T>, SignatureError> {
        let bytes = encoding::from_base64(text).map_err(|_| SignatureError::Malformed)?;
        Signed::from_bytes(&bytes)
    }
}

fn parse_signature(bytes: &[u8]) -> Result<Signature, SignatureError> {
    let bytes: &[u8; SIGNATURE_BYTES] = bytes.try_into().map_err(|_| SignatureError::Malformed)?;
    if !matches!(bytes[64], 27 | 28) {
        return Err(SignatureError::Malformed);
    }
    let signature = Signature::from_raw_array(bytes).map_err(|_| SignatureError::Malformed)?;
    // The other s signs the same digest: a second form of one signature (EIP-2).
    if signature.normalize_s().is_some() {
        return Err(SignatureError::HighS);
    }
    Ok(signature)
}

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signed message itself cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The signature's s is in the upper half of the group order.
    #[error("the signature is not in its low-s form")]
    HighS,
    /// The signature is not 65 bytes with v 27 or 28.
    #[error("the signature is not 65 bytes r, s, v with v 27 or 28")]
    Malformed,
    /// No key fits the signature.
    #[error("no key recovers from the signature")]
    Unrecoverable,
    /// Somebody else signed, or for another chain or escrow.
    #[error("signed by {got}, expected {expected}")]
    WrongSigner {
        /// Who signed, as far as this chain and escrow are concerned.
        got: Address,
        /// Who should have.
        expected: Address,
    },
}
