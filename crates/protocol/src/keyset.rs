//! The public keys that a pod proves.

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::workload::{NotCanonical, canonical_json};

/// A keyset is never longer than this.
const KEYSET_BYTES_MAX: usize = 1_024;

/// The pod's one attested key and the end of its life; the same bytes for as long as the signer lives.
///
/// On the wire it is compact JSON with its members in this order; evidence binds those exact bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyset {
    /// The signer's address.
    pub signer: Address,
    /// When the signer stops signing.
    pub not_after: Timestamp,
}

impl Keyset {
    /// The exact bytes that evidence binds.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a keyset has only members that JSON can hold")
    }

    /// Reads what [`to_bytes`](Keyset::to_bytes) wrote, and nothing else.
    ///
    /// # Errors
    /// [`NotCanonical`] for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Keyset, NotCanonical> {
        canonical_json(bytes, KEYSET_BYTES_MAX, Keyset::to_bytes)
    }
}
