//! Salted hashes of what was asked and what was answered (spec/wire.md section 4).
//!
//! Both begin with a tag, so that neither passes for the other, and with the order's salt, so that
//! nobody who reads a receipt can confirm a guessed prompt.

use alloy_primitives::B256;
use sha2::{Digest, Sha256};

const REQUEST_TAG: &[u8] = b"subrosa/request/v1";
const RESPONSE_TAG: &[u8] = b"subrosa/response/v1";

/// A salt is this long, and drawn once an order.
pub const SALT_BYTES: usize = 32;

/// SHA-256 of the exact bytes.
pub fn sha256(bytes: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(bytes)))
}

/// What is asked: SHA-256 of tag, salt, then method, path, content type and body, each after its
/// length as a big-endian u32.
pub fn request_hash(
    salt: &[u8; SALT_BYTES],
    method: &str,
    path: &str,
    content_type: &str,
    body: &[u8],
) -> B256 {
    let mut hasher = tagged(REQUEST_TAG, salt);
    for part in [method.as_bytes(), path.as_bytes(), content_type.as_bytes(), body] {
        write_part(&mut hasher, part);
    }
    finish(hasher)
}

/// What was answered, as a whole: status, content type and body bytes.
pub fn response_hash(
    salt: &[u8; SALT_BYTES],
    status: u16,
    content_type: &str,
    body: &[u8],
) -> B256 {
    let mut hasher = ResponseHasher::new(salt, status, content_type);
    hasher.body(body);
    hasher.finish()
}

/// [`response_hash`] over a body that comes in pieces.
///
/// The parts are those of a response (status as two bytes, content type, body), but the body's length is
/// only known at its end: so the body's own SHA-256 stands as the third part, 32 bytes long.
#[derive(Clone)]
pub struct ResponseHasher {
    outer: Sha256,
    body: Sha256,
}

impl ResponseHasher {
    /// A hasher that has taken status and content type.
    pub fn new(salt: &[u8; SALT_BYTES], status: u16, content_type: &str) -> ResponseHasher {
        let mut outer = tagged(RESPONSE_TAG, salt);
        write_part(&mut outer, &status.to_be_bytes());
        write_part(&mut outer, content_type.as_bytes());
        ResponseHasher { outer, body: Sha256::new() }
    }

    /// Takes the next bytes of the body; how they are cut does not matter.
    pub fn body(&mut self, bytes: &[u8]) {
        self.body.update(bytes);
    }

    /// The hash of all that was taken.
    pub fn finish(self) -> B256 {
        let ResponseHasher { mut outer, body } = self;
        write_part(&mut outer, &body.finalize());
        finish(outer)
    }
}

fn tagged(tag: &[u8], salt: &[u8; SALT_BYTES]) -> Sha256 {
    Sha256::new().chain_update(tag).chain_update(salt)
}

fn write_part(hasher: &mut Sha256, part: &[u8]) {
    let length = u32::try_from(part.len()).expect("no part is longer than the largest size class");
    hasher.update(length.to_be_bytes());
    hasher.update(part);
}

fn finish(hasher: Sha256) -> B256 {
    B256::from(<[u8; 32]>::from(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; 32] = [9; 32];

    #[test]
    fn parts_cannot_slide_into_each_other() {
        let one = request_hash(&SALT, "POST", "/v1/ab", "c", b"");
        let other = request_hash(&SALT, "POST", "/v1/a", "bc", b"");
        assert_ne!(one, other);
    }

    #[test]
    fn a_response_hashes_the_same_however_it_is_cut() {
        let mut hasher = ResponseHasher::new(&SALT, 200, "text/plain");
        hasher.body(b"an");
        hasher.body(b"");
        hasher.body(b"swer");
        assert_eq!(hasher.finish(), response_hash(&SALT, 200, "text/plain", b"answer"));
    }

    #[test]
    fn the_salt_hides_a_guessable_prompt() {
        let other = request_hash(&[8; 32], "POST", "/v1/a", "c", b"2+2");
        assert_ne!(request_hash(&SALT, "POST", "/v1/a", "c", b"2+2"), other);
    }
}
