//! The keys of NVIDIA's attestation service: a JSON Web Key Set (RFC 7517) that the user gives.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use super::super::json::Foreign;
use crate::evidence::Unreadable;

/// The service publishes a dozen at a time.
const KEYS_MAX: usize = 64;

/// A coordinate of a point on P-384.
const COORDINATE_BYTES: usize = 48;

/// SEC 1 section 2.3.3: both coordinates follow.
const UNCOMPRESSED: u8 = 0x04;

/// A key on P-384, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::foreign) struct ServiceKey {
    pub(in crate::foreign) id: String,
    point: Vec<u8>,
}

impl ServiceKey {
    /// Whether it made a signature with ES384 (RFC 7518 section 3.4): r and s, 48 bytes each.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &self.point);
        key.verify(message, signature).is_ok()
    }

    /// Its thumbprint by SHA-256, in base64url (RFC 7638).
    pub(super) fn thumbprint(&self) -> String {
        let (x, y) = self.point[1..].split_at(COORDINATE_BYTES);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let members = format!(r#"{{"crv":"P-384","kty":"EC","x":"{x}","y":"{y}"}}"#);
        URL_SAFE_NO_PAD.encode(Sha256::digest(members))
    }
}

/// The keys for ES384 in a key set; keys of other kinds are let pass and used for nothing.
pub(in crate::foreign) fn read_keys(set: &mut Foreign) -> Result<Vec<ServiceKey>, Unreadable> {
    let mut keys = Vec::new();
    for mut key in set.objects("keys", KEYS_MAX)? {
        let is = |text: Option<String>, known: &str| text.as_deref() == Some(known);
        let (kind, curve) = (key.text_if_any("kty")?, key.text_if_any("crv")?);
        let (algorithm, usage) = (key.text_if_any("alg")?, key.text_if_any("use")?);
        let fits = is(kind, "EC") && is(curve, "P-384");
        let signs = usage.is_none_or(|usage| usage == "sig");
        if !(fits && signs && algorithm.is_none_or(|algorithm| algorithm == super::ES384)) {
            continue;
        }
        let mut point = vec![UNCOMPRESSED];
        point.extend(read_coordinate(&mut key, "x")?);
        point.extend(read_coordinate(&mut key, "y")?);
        keys.push(ServiceKey { id: key.text_within("kid", super::TOKEN_BYTES_MAX)?, point });
    }
    match keys.is_empty() {
        true => Err(Unreadable::UnknownEndorsement),
        false => Ok(keys),
    }
}

fn read_coordinate(key: &mut Foreign, name: &str) -> Result<Vec<u8>, Unreadable> {
    let text = key.text(name)?;
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == COORDINATE_BYTES);
    bytes.ok_or_else(|| Unreadable::WrongType {
        member: key.path(name),
        expected: "a coordinate of 48 bytes in base64url",
    })
}
