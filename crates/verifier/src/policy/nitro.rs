//! Who signs for AWS Nitro enclaves.

use subrosa_protocol::B256;

use super::Root;

/// SHA-256 of the root certificate of AWS Nitro enclaves (valid to 2049-10-28).
pub const AWS_NITRO_ROOT_SHA256: B256 = B256::new([
    0x64, 0x1a, 0x03, 0x21, 0xa3, 0xe2, 0x44, 0xef, 0xe4, 0x56, 0x46, 0x31, 0x95, 0xd6, 0x06, 0x31,
    0x7e, 0xd7, 0xcd, 0xcc, 0x3c, 0x17, 0x56, 0xe0, 0x98, 0x93, 0xf3, 0xc6, 0x8f, 0x79, 0xbb, 0x5b,
]);

impl Root {
    /// The SHA-256 of the root of AWS Nitro, as this says it; nobody simulates it.
    pub(crate) fn nitro_sha256(self) -> Option<B256> {
        match self {
            Root::Sha256(fingerprint) => Some(fingerprint),
            Root::Simulator => None,
            Root::Vendor => Some(AWS_NITRO_ROOT_SHA256),
        }
    }
}
