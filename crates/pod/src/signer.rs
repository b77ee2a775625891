//! The pod's one attested key, in a file of the guest's memory.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::TryRngCore;
use rand::rngs::OsRng;
use subrosa_protocol::{Duration, Keyset, SecretKey, Timestamp};
use zeroize::Zeroizing;

/// How long a signer signs. A boot seldom lasts as long; a new boot makes a new signer.
const SIGNER_LIFE: Duration = Duration(365 * 24 * 3_600);

/// Key, then the end of its life as a big-endian u64.
const FILE_BYTES: usize = 40;

/// The pod's signer and the keyset that names it: the same bytes for as long as the file exists.
///
/// The key is drawn at random and derived from nothing: an operator who can extend an app id must not
/// be able to compute it (spec/pod.md 3).
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) key: SecretKey,
    pub(crate) keyset: Vec<u8>,
    pub(crate) not_after: Timestamp,
}

impl Signer {
    /// Reads the signer's file, or draws a key and makes the file at first boot.
    pub(crate) fn open(path: &Path, now: Timestamp) -> Result<Signer, SignerError> {
        match fs::read(path) {
            Ok(bytes) => Signer::read(path, &Zeroizing::new(bytes), now),
            Err(error) if error.kind() == ErrorKind::NotFound => Signer::create(path, now),
            Err(source) => Err(SignerError::Unreadable { path: path.to_owned(), source }),
        }
    }

    fn read(path: &Path, bytes: &[u8], now: Timestamp) -> Result<Signer, SignerError> {
        let unreadable = |source| SignerError::Unreadable { path: path.to_owned(), source };
        let mode = fs::metadata(path).map_err(unreadable)?.mode() & 0o777;
        if mode != 0o600 {
            return Err(SignerError::Exposed { path: path.to_owned(), mode });
        }
        let damaged = || SignerError::Damaged { path: path.to_owned() };
        let bytes: &[u8; FILE_BYTES] = bytes.try_into().map_err(|_| damaged())?;
        let (key, not_after) = bytes.split_at(32);
        let key = SecretKey::from_bytes(key).map_err(|_| damaged())?;
        let not_after = u64::from_be_bytes(not_after.try_into().expect("the last 8 of 40 bytes"));
        if not_after <= now.0 {
            return Err(SignerError::Expired { path: path.to_owned() });
        }
        Ok(Signer::new(key, Timestamp(not_after)))
    }

    fn create(path: &Path, now: Timestamp) -> Result<Signer, SignerError> {
        let unwritable = |source| SignerError::Unwritable { path: path.to_owned(), source };
        let signer = Signer::new(random_key(), now.after(SIGNER_LIFE));
        let mut bytes = Zeroizing::new(signer.key.to_bytes().to_vec());
        bytes.extend_from_slice(&signer.not_after.0.to_be_bytes());
        // Written beside and renamed, so that a crash leaves no half of a key behind.
        let draft = path.with_extension("draft");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .map_err(unwritable)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(unwritable)?;
        fs::rename(&draft, path).map_err(unwritable)?;
        Ok(signer)
    }

    fn new(key: SecretKey, not_after: Timestamp) -> Signer {
        let keyset = Keyset { signer: key.address(), not_after }.to_bytes();
        Signer { key, keyset, not_after }
    }
}

fn random_key() -> SecretKey {
    let mut bytes = Zeroizing::new([0; 32]);
    loop {
        OsRng.try_fill_bytes(&mut *bytes).expect("the system's random source does not fail");
        // All but one in 2^128 draws are a key.
        if let Ok(key) = SecretKey::from_bytes(&*bytes) {
            return key;
        }
    }
}

/// Why the pod has no signer.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The file is not one that a pod wrote.
    #[error("{} is not a signer's file; restore it, or remove it to make a new signer", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The signer has reached the end of its life.
    #[error("the signer in {} has expired; remove the file to make a new one", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
    },
    /// Others than the pod's user may read the file.
    #[error("{} has mode {mode:o}, a signer's file must have 600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file cannot be read.
    #[error("cannot read the signer's file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file cannot be made.
    #[error("cannot write the signer's file {}: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    #[test]
    fn a_restart_finds_the_same_signer_and_the_same_keyset_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signer.key");
        let first = Signer::open(&path, NOW).unwrap();
        let second = Signer::open(&path, NOW.after(Duration(86_400))).unwrap();
        assert_eq!(first.key.address(), second.key.address());
        assert_eq!(first.keyset, second.keyset);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn refuses_a_file_that_others_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signer.key");
        Signer::open(&path, NOW).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Signer::open(&path, NOW), Err(SignerError::Exposed { mode: 0o640, .. })));
    }

    #[test]
    fn refuses_damage_and_age_instead_of_making_a_new_signer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signer.key");
        Signer::open(&path, NOW).unwrap();
        let expired = Signer::open(&path, NOW.after(SIGNER_LIFE));
        assert!(matches!(expired, Err(SignerError::Expired { .. })));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..39]).unwrap();
        assert!(matches!(Signer::open(&path, NOW), Err(SignerError::Damaged { .. })));
    }
}
