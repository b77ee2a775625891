//! The keys that requests are sealed to, and proof that their owner is there now.

use alloy_primitives::{B256, Bytes};
use alloy_sol_types::sol;

use crate::{DecodeError, Duration, Family, Message, Timestamp};

mod sol_types {
    #![allow(missing_docs, reason = "the macro makes them; the types around them are described")]
    use super::sol;
    sol! {
        struct KeyConfig {
            bytes ohttpKeys;
            bytes32 tlsKey;
            bytes32 workload;
            uint64 notBefore;
            uint64 notAfter;
        }
        struct Liveness { bytes32 nonce; bytes32 keyConfig; }
    }
}

/// The longest life of a key config: what a stolen sealing key could open is at most this much.
pub const KEY_CONFIG_LIFE_MAX: Duration = Duration(3_600);

/// Signed by the attested signer: what to seal to, which TLS key to expect, until when.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyConfig {
    /// The OHTTP key configurations, as RFC 9458 section 3.2 lists them.
    pub ohttp_keys: Bytes,
    /// SHA-256 of the TLS certificate's SubjectPublicKeyInfo.
    pub tls_key: B256,
    /// The digest of the keyset and workload behind the keys.
    pub workload: B256,
    /// When the keys begin to count.
    pub not_before: Timestamp,
    /// When they end, at most [`KEY_CONFIG_LIFE_MAX`] later.
    pub not_after: Timestamp,
}

impl Message for KeyConfig {
    type Sol = sol_types::KeyConfig;
    const FAMILY: Family = Family::Subrosa;

    fn to_sol(&self) -> Self::Sol {
        Self::Sol {
            ohttpKeys: self.ohttp_keys.clone(),
            tlsKey: self.tls_key,
            workload: self.workload,
            notBefore: self.not_before.0,
            notAfter: self.not_after.0,
        }
    }

    fn from_sol(sol: Self::Sol) -> Result<Self, DecodeError> {
        Ok(KeyConfig {
            ohttp_keys: sol.ohttpKeys,
            tls_key: sol.tlsKey,
            workload: sol.workload,
            not_before: Timestamp(sol.notBefore),
            not_after: Timestamp(sol.notAfter),
        })
    }
}

/// Signed by the attested signer for one asker: it holds its key now, and these are its keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Liveness {
    /// The asker's nonce.
    pub nonce: B256,
    /// The digest of the key config given beside it.
    pub key_config: B256,
}

impl Message for Liveness {
    type Sol = sol_types::Liveness;
    const FAMILY: Family = Family::Subrosa;

    fn to_sol(&self) -> Self::Sol {
        Self::Sol { nonce: self.nonce, keyConfig: self.key_config }
    }

    fn from_sol(sol: Self::Sol) -> Result<Self, DecodeError> {
        Ok(Liveness { nonce: sol.nonce, key_config: sol.keyConfig })
    }
}
