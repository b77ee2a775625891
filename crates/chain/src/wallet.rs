//! A key in an encrypted file.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use alloy::signers::k256::elliptic_curve::rand_core::OsRng;
use alloy::signers::local::PrivateKeySigner;
use rand::TryRngCore;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use subrosa_protocol::{Address, SecretKey};
use zeroize::Zeroizing;

/// A keystore has less than a kilobyte.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// More scrypt memory (128 · n · r bytes) than this is an attack on the reader: 1 GiB.
const SCRYPT_BYTES_MAX: u64 = 1 << 30;

/// What a keystore is locked with. It does not print and is wiped when it is dropped.
#[derive(Clone)]
pub struct Passphrase(SecretString);

impl Passphrase {
    /// Takes the text as it is, spaces included.
    pub fn new(text: String) -> Passphrase {
        Passphrase(text.into())
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Passphrase")
    }
}

/// A key that pays or operates.
///
/// On disk it is a Web3 keystore, version 3 (scrypt, AES-128-CTR), with mode 0600, readable by
/// every Ethereum wallet. The member `address` stands there in clear.
#[derive(Clone, Debug)]
pub struct Wallet {
    key: SecretKey,
}

impl Wallet {
    /// Makes a key and keeps it in a new file.
    ///
    /// # Errors
    /// [`WalletError::Exists`] rather than overwriting anything.
    pub fn create(path: &Path, passphrase: &Passphrase) -> Result<Wallet, WalletError> {
        let wallet = Wallet::generate();
        wallet.save(path, passphrase)?;
        Ok(wallet)
    }

    /// Opens a keystore.
    ///
    /// # Errors
    /// [`WalletError`]; a wrong passphrase has its own variant.
    pub fn open(path: &Path, passphrase: &Passphrase) -> Result<Wallet, WalletError> {
        check(path)?;
        let signer = PrivateKeySigner::decrypt_keystore(path, passphrase.0.expose_secret())
            .map_err(|_| WalletError::Passphrase { path: path.to_owned() })?;
        let bytes = Zeroizing::new(signer.to_bytes().0);
        let key =
            SecretKey::from_bytes(bytes.as_slice()).expect("a signer's bytes are a secp256k1 key");
        Ok(Wallet { key })
    }

    /// The address in a keystore, without opening it.
    ///
    /// # Security
    /// Nothing proves it before the keystore is opened.
    ///
    /// # Errors
    /// [`WalletError`] where the file is no keystore; `None` where it does not name its address.
    pub fn peek_address(path: &Path) -> Result<Option<Address>, WalletError> {
        Ok(check(path)?.address.and_then(|text| text.parse().ok()))
    }

    /// A wallet of a key that lies elsewhere.
    pub fn from_key(key: SecretKey) -> Wallet {
        Wallet { key }
    }

    /// A new random key, kept nowhere.
    ///
    /// # Panics
    /// If the operating system has no randomness to give.
    pub fn generate() -> Wallet {
        loop {
            let mut bytes = Zeroizing::new([0; 32]);
            rand::rngs::OsRng
                .try_fill_bytes(bytes.as_mut_slice())
                .expect("the operating system gives randomness");
            // All but one in 2^127 draws are a key.
            if let Ok(key) = SecretKey::from_bytes(bytes.as_slice()) {
                return Wallet { key };
            }
        }
    }

    /// Keeps the key in a new file, never readable by others, never half written.
    ///
    /// # Errors
    /// [`WalletError::Exists`] rather than overwriting anything.
    pub fn save(&self, path: &Path, passphrase: &Passphrase) -> Result<(), WalletError> {
        let unwritable = |error| WalletError::File { path: path.to_owned(), error };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        // The keystore library creates files that everybody may read; in here nobody can look.
        let staging = Staging::beside(folder).map_err(unwritable)?;
        let staged = staging.encrypt(&self.key, passphrase).map_err(unwritable)?;
        match fs::hard_link(&staged, path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(WalletError::Exists { path: path.to_owned() })
            }
            Err(error) => Err(unwritable(error)),
        }
    }

    /// The key's address.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// The key itself, to sign with.
    pub fn secret_key(&self) -> &SecretKey {
        &self.key
    }
}

/// A folder of mode 0700 that goes away with this value.
struct Staging(PathBuf);

impl Staging {
    fn beside(folder: &Path) -> io::Result<Staging> {
        use std::os::unix::fs::DirBuilderExt;
        let name = format!(".subrosa-wallet-{:016x}", rand::random::<u64>());
        let staging = Staging(folder.join(name));
        fs::DirBuilder::new().mode(0o700).create(&staging.0)?;
        Ok(staging)
    }

    fn encrypt(&self, key: &SecretKey, passphrase: &Passphrase) -> io::Result<PathBuf> {
        let bytes = key.to_bytes();
        let path = self.0.join("keystore");
        PrivateKeySigner::encrypt_keystore(
            &self.0,
            &mut OsRng,
            bytes.as_slice(),
            passphrase.0.expose_secret(),
            Some("keystore"),
        )
        .map_err(io::Error::other)?;

        let mut keystore: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
        keystore["address"] = hex::encode(key.address()).into();
        fs::write(&path, keystore.to_string())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        fs::File::open(&path)?.sync_all()?;
        Ok(path)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays behind is an encrypted key in a folder that only its owner can enter.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The members of a keystore whose values the keystore library trusts too much.
#[derive(Deserialize)]
struct Keystore {
    version: u64,
    address: Option<String>,
    crypto: Crypto,
}

#[derive(Deserialize)]
struct Crypto {
    ciphertext: String,
    cipherparams: CipherParams,
    kdfparams: KdfParams,
}

#[derive(Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Deserialize)]
struct KdfParams {
    dklen: u64,
    #[serde(default)]
    n: u64,
    #[serde(default)]
    r: u64,
    #[serde(default)]
    p: u64,
    #[serde(default)]
    c: u64,
}

/// Refuses what the keystore library would panic on or spend hours with.
fn check(path: &Path) -> Result<Keystore, WalletError> {
    let unreadable = |error| WalletError::File { path: path.to_owned(), error };
    let malformed = || WalletError::NotKeystore { path: path.to_owned() };
    if fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(malformed());
    }
    let text = fs::read(path).map_err(unreadable)?;
    let keystore: Keystore = serde_json::from_slice(&text).map_err(|_| malformed())?;
    let kdf = &keystore.crypto.kdfparams;
    let scrypt_bytes = 128_u64.saturating_mul(kdf.n).saturating_mul(kdf.r);
    let sane = keystore.version == 3
        && keystore.crypto.ciphertext.len() == 64
        && keystore.crypto.cipherparams.iv.len() == 32
        && kdf.dklen == 32
        && scrypt_bytes <= SCRYPT_BYTES_MAX
        && kdf.p <= 16
        && kdf.c <= 10_000_000;
    if sane { Ok(keystore) } else { Err(malformed()) }
}

/// Why a wallet cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// There is a file of that name.
    #[error("{} exists; a wallet is never overwritten, choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("the wallet {} cannot be read or written: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// The file is no keystore of version 3.
    #[error("{} is no keystore of version 3", path.display())]
    NotKeystore {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase is not the one that locked the file.
    #[error("the passphrase does not open {}", path.display())]
    Passphrase {
        /// The file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Passphrase {
        Passphrase::new(text.into())
    }

    #[test]
    fn a_wallet_opens_with_its_passphrase_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("payer.json");
        let wallet = Wallet::create(&path, &secret("correct horse")).unwrap();

        let opened = Wallet::open(&path, &secret("correct horse")).unwrap();
        assert_eq!(opened.address(), wallet.address());
        assert_eq!(Wallet::peek_address(&path).unwrap(), Some(wallet.address()));
        let refusal = Wallet::open(&path, &secret("wrong horse")).unwrap_err();
        assert!(matches!(refusal, WalletError::Passphrase { .. }), "{refusal}");
    }

    #[test]
    fn the_file_is_for_its_owner_only_and_nothing_stays_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("payer.json");
        Wallet::create(&path, &secret("x")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("payer.json");
        fs::write(&path, "precious").unwrap();
        let refusal = Wallet::create(&path, &secret("x")).unwrap_err();
        assert!(matches!(refusal, WalletError::Exists { .. }), "{refusal}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn hostile_keystores_are_refused_without_panic_or_effort() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("payer.json");
        Wallet::create(&path, &secret("x")).unwrap();
        let good: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();

        let hostile = folder.path().join("hostile.json");
        let mutations: [(&str, serde_json::Value); 6] = [
            ("/version", 2.into()),
            ("/crypto/kdfparams/n", (1_u64 << 40).into()),
            ("/crypto/kdfparams/p", 1_000_000.into()),
            ("/crypto/kdfparams/dklen", 8.into()),
            ("/crypto/cipherparams/iv", "00".into()),
            ("/crypto/ciphertext", "".into()),
        ];
        for (pointer, value) in mutations {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            fs::write(&hostile, bad.to_string()).unwrap();
            let refusal = Wallet::open(&hostile, &secret("x")).unwrap_err();
            assert!(matches!(refusal, WalletError::NotKeystore { .. }), "{pointer}: {refusal}");
        }
        // Numbers that the derivation itself has no use for are for the library to refuse.
        for pointer in ["n", "r", "p"].map(|name| format!("/crypto/kdfparams/{name}")) {
            let mut bad = good.clone();
            *bad.pointer_mut(&pointer).unwrap() = 0.into();
            fs::write(&hostile, bad.to_string()).unwrap();
            assert!(Wallet::open(&hostile, &secret("x")).is_err(), "{pointer}");
        }
        for garbage in ["", "{}", "[1]", "\u{0}"] {
            fs::write(&hostile, garbage).unwrap();
            assert!(Wallet::open(&hostile, &secret("x")).is_err(), "{garbage:?}");
        }
    }
}
