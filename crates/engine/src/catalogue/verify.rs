//! A file counts by its bytes, each time anew.

use std::io;
use std::path::{Path, PathBuf};

use subrosa_protocol::B256;
use thiserror::Error;

use super::ModelFile;
use crate::cache::Cache;
use crate::digest::hash_file;

/// Why a model's file in the cache cannot be used.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The file has other bytes than the catalogue says.
    #[error("{path} is damaged: its SHA-256 is {got} instead of {expected}; fetch the model again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What its bytes hash to.
        got: B256,
        /// What the catalogue says.
        expected: B256,
    },
    /// The file is not in the cache.
    #[error("{path} is not there; fetch the model first with `subrosa models pull`")]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read {path}: {why}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// The file has another length than the catalogue says.
    #[error("{path} is damaged: it has {got} bytes instead of {expected}; fetch the model again")]
    Size {
        /// The file.
        path: PathBuf,
        /// Its length.
        got: u64,
        /// What the catalogue says.
        expected: u64,
    },
}

/// The path of a model's file in the cache, after all of its bytes were hashed and compared. Call it
/// before each load: a cache is a folder in which anything may have happened since the last one.
///
/// It blocks for as long as hashing takes, some tenths of a second for 100 MB.
///
/// # Errors
/// A file that is missing, unreadable, or has other bytes than the catalogue says.
pub fn verified_path(file: &ModelFile, cache: &Cache) -> Result<PathBuf, VerifyError> {
    let path = cache.model_file(&file.sha256);
    verify(&path, file)?;
    Ok(path)
}

/// Compares the file at `path` with what the catalogue says.
pub(super) fn verify(path: &Path, file: &ModelFile) -> Result<(), VerifyError> {
    let (got_size, got) = hash_file(path).map_err(|why| match why.kind() {
        io::ErrorKind::NotFound => VerifyError::Missing { path: path.into() },
        _ => VerifyError::Read { path: path.into(), why },
    })?;
    if got_size != file.size {
        return Err(VerifyError::Size { path: path.into(), got: got_size, expected: file.size });
    }
    if got != file.sha256 {
        return Err(VerifyError::Damaged { path: path.into(), got, expected: file.sha256 });
    }
    Ok(())
}
