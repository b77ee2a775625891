//! The few calls that make a report, so that tests can play the kernel.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// Files that answer to being written: configfs, or what plays it.
pub(super) trait TsmFiles: Debug + Send + Sync {
    /// Makes a folder; the kernel fills it with attributes.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with its attributes.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Reads a file, and at most one byte more than `max`.
    fn read(&self, path: &Path, max: usize) -> io::Result<Vec<u8>>;

    /// Writes an attribute at one stroke.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
}

/// The kernel's own files.
#[derive(Debug)]
pub(super) struct Kernel;

impl TsmFiles for Kernel {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn read(&self, path: &Path, max: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(max as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // Never created: a folder without this attribute is not the kernel's. Whether a binary
        // attribute was taken shows in `generation`, because the kernel takes it on closing.
        OpenOptions::new().write(true).open(path)?.write_all(bytes)
    }
}
