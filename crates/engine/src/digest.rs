//! SHA-256 of files, and its spelling.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
use subrosa_protocol::B256;

/// What one read takes from a file that is hashed.
const READ_BYTES: usize = 1 << 18;

/// Length and SHA-256 of a file's bytes. It blocks for as long as the disk and the digest take.
pub(crate) fn hash_file(path: &Path) -> io::Result<(u64, B256)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut size = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size, finish(hasher))),
            read => {
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
}

/// Reads 64 lower-case hexadecimal digits, and nothing else: a digest becomes part of a path, and
/// two spellings of one digest would be two files.
pub(crate) fn parse_sha256(text: &str) -> Option<B256> {
    let canonical = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 64 || !text.bytes().all(canonical) {
        return None;
    }
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).ok()?;
    Some(B256::from(digest))
}

fn finish(hasher: Sha256) -> B256 {
    B256::from(<[u8; 32]>::from(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn hashes_a_file_to_its_length_and_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(hash_file(&path).unwrap(), (3, parse_sha256(ABC).unwrap()));
        assert!(hash_file(&folder.path().join("none")).is_err());
    }

    #[test]
    fn only_sixty_four_lower_case_digits_are_a_digest() {
        assert!(parse_sha256(ABC).is_some());
        let path = format!("../{}", &ABC[3..]);
        for wrong in
            ["", &ABC[1..], &ABC.to_uppercase(), &path, &format!("{ABC}0"), &"é".repeat(32)]
        {
            assert_eq!(parse_sha256(wrong), None, "{wrong}");
        }
    }
}
