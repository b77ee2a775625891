//! The kernel's report interface, one for TDX and SEV-SNP
//! (Linux, Documentation/ABI/testing/configfs-tsm-report).

mod files;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use subrosa_verifier::{Cpu, EVENT_LOG_BYTES_MAX, ccel_used};

use self::files::{Kernel, TsmFiles};
use super::{RawCpu, RawEventLog, SourceError, exact};

/// Where the kernel has it.
pub const CONFIGFS_TSM_PATH: &str = "/sys/kernel/config/tsm/report";

/// Where the kernel shows the firmware's log of a trust domain.
pub const CCEL_PATH: &str = "/sys/firmware/acpi/tables/data/CCEL";

const SOURCE_NAME: &str = "configfs-tsm";

/// The kernel's own bound for a report and for what comes beside it.
const BLOB_BYTES_MAX: usize = 32 * 1024;

/// Names and numbers.
const ATTRIBUTE_BYTES_MAX: usize = 256;

/// Nobody else has a reason to write into a folder of ours, so a second race is already strange.
const TRIES: u32 = 4;

/// Folders that a crashed process with our number may have left behind.
const NAMES_TRIED: u64 = 16;

/// Makes each report of this process its own folder.
static NEXT_FOLDER: AtomicU64 = AtomicU64::new(0);

/// Reads reports from the kernel.
#[derive(Clone, Debug)]
pub struct ConfigfsTsm {
    root: PathBuf,
    ccel: PathBuf,
    files: Arc<dyn TsmFiles>,
}

impl Default for ConfigfsTsm {
    /// The machine's own.
    fn default() -> ConfigfsTsm {
        ConfigfsTsm::at(CONFIGFS_TSM_PATH, CCEL_PATH)
    }
}

impl ConfigfsTsm {
    /// The interface whose folder is `root`, with the firmware's log at `ccel`.
    pub fn at(root: impl Into<PathBuf>, ccel: impl Into<PathBuf>) -> ConfigfsTsm {
        ConfigfsTsm { root: root.into(), ccel: ccel.into(), files: Arc::new(Kernel) }
    }

    /// The processor's report over these bytes, with the firmware's log where there is one.
    ///
    /// It waits for the processor: some milliseconds, at worst the kernel's own time-out of half a
    /// minute. Its folder is gone afterwards, however it ends.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn report(&self, report_data: &[u8; 64]) -> Result<RawCpu, SourceError> {
        for _ in 0..TRIES {
            if let Some(report) = self.try_report(report_data)? {
                return self.to_raw(report, report_data);
            }
        }
        Err(SourceError::Raced { source_name: SOURCE_NAME, tries: TRIES })
    }

    /// What the kernel calls the processor's interface, `tdx_guest` or `sev_guest`.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn provider(&self) -> Result<String, SourceError> {
        self.open()?.text("provider")
    }

    /// One try; nothing where somebody else wrote into the folder meanwhile.
    fn try_report(&self, report_data: &[u8; 64]) -> Result<Option<Report>, SourceError> {
        let folder = self.open()?;
        let provider = folder.text("provider")?;
        let before = folder.number("generation")?;
        let mut writes = 1;
        folder.write("inblob", report_data)?;
        // Below a paravisor a guest may only ask for its own level or a less privileged one.
        if let Some(floor) = folder.optional_text("privlevel_floor")?.filter(|floor| floor != "0") {
            folder.write("privlevel", floor.as_bytes())?;
            writes += 1;
        }
        let report = match folder.read("outblob", BLOB_BYTES_MAX) {
            Err(SourceError::Unusable { error, .. }) if is_race(&error) => return Ok(None),
            report => report?,
        };
        let beside = folder.optional("auxblob", BLOB_BYTES_MAX)?;
        if folder.number("generation")? != before.wrapping_add(writes) {
            return Ok(None);
        }
        let certificates = beside.filter(|table| !table.is_empty());
        Ok(Some(Report { provider, report, certificates }))
    }

    fn to_raw(&self, report: Report, report_data: &[u8; 64]) -> Result<RawCpu, SourceError> {
        match report.provider.as_str() {
            "sev_guest" => {
                let Report { report, certificates, .. } = report;
                let report = exact::snp_report(SOURCE_NAME, &report, report_data)?;
                Ok(RawCpu::Snp { report, certificates })
            }
            "tdx_guest" => {
                let quote = exact::quote(SOURCE_NAME, &report.report, Cpu::Tdx, report_data)?;
                Ok(RawCpu::Tdx { quote, event_log: self.event_log()? })
            }
            _ => {
                let kind = report.provider;
                Err(SourceError::UnknownKind { source_name: SOURCE_NAME, kind })
            }
        }
    }

    /// The firmware's log. That it is not there is an answer; that it cannot be read is not.
    fn event_log(&self) -> Result<RawEventLog, SourceError> {
        let area = match self.files.read(&self.ccel, EVENT_LOG_BYTES_MAX) {
            Ok(area) => area,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(RawEventLog::None),
            Err(error) => return Err(unusable(&self.ccel, error)),
        };
        if area.len() > EVENT_LOG_BYTES_MAX {
            return Err(too_long("the firmware's log", EVENT_LOG_BYTES_MAX));
        }
        let what = "the firmware's log is no event log of SHA-384 digests alone";
        let log = ccel_used(&area)
            .map_err(|_| SourceError::BadAnswer { source_name: SOURCE_NAME, what })?;
        Ok(RawEventLog::Ccel(log.to_vec()))
    }

    fn open(&self) -> Result<Folder<'_>, SourceError> {
        for _ in 0..NAMES_TRIED {
            let number = NEXT_FOLDER.fetch_add(1, Ordering::Relaxed);
            let path = self.root.join(format!("subrosa-{}-{number}", std::process::id()));
            match self.files.make_folder(&path) {
                Ok(()) => return Ok(Folder { path, files: self.files.as_ref() }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let at = self.root.clone();
                    return Err(SourceError::Absent { source_name: SOURCE_NAME, at });
                }
                Err(error) => return Err(unusable(&path, error)),
            }
        }
        Err(SourceError::Busy { source_name: SOURCE_NAME })
    }
}

/// What came out of a folder that nobody else wrote to.
struct Report {
    provider: String,
    report: Vec<u8>,
    certificates: Option<Vec<u8>>,
}

/// A folder in which the kernel makes one report; dropped, it is gone.
struct Folder<'a> {
    path: PathBuf,
    files: &'a dyn TsmFiles,
}

impl Folder<'_> {
    fn read(&self, name: &str, max: usize) -> Result<Vec<u8>, SourceError> {
        let path = self.path.join(name);
        let bytes = self.files.read(&path, max).map_err(|error| unusable(&path, error))?;
        match bytes.len() <= max {
            true => Ok(bytes),
            false => Err(too_long("an attribute", max)),
        }
    }

    /// An attribute that not every processor has.
    fn optional(&self, name: &str, max: usize) -> Result<Option<Vec<u8>>, SourceError> {
        match self.read(name, max) {
            Err(SourceError::Unusable { error, .. }) if is_nothing(&error) => Ok(None),
            read => read.map(Some),
        }
    }

    fn text(&self, name: &str) -> Result<String, SourceError> {
        self.read(name, ATTRIBUTE_BYTES_MAX).and_then(to_text)
    }

    fn optional_text(&self, name: &str) -> Result<Option<String>, SourceError> {
        self.optional(name, ATTRIBUTE_BYTES_MAX)?.map(to_text).transpose()
    }

    fn number(&self, name: &str) -> Result<u64, SourceError> {
        let what = "an attribute that counts is no number";
        let number = self.text(name)?.parse();
        number.map_err(|_| SourceError::BadAnswer { source_name: SOURCE_NAME, what })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), SourceError> {
        let path = self.path.join(name);
        self.files.write(&path, bytes).map_err(|error| unusable(&path, error))
    }
}

impl Drop for Folder<'_> {
    fn drop(&mut self) {
        // The kernel refuses only while a file in it is open, and none of ours is.
        let _ = self.files.remove_folder(&self.path);
    }
}

fn to_text(bytes: Vec<u8>) -> Result<String, SourceError> {
    let what = "an attribute is no text";
    let text = String::from_utf8(bytes)
        .map_err(|_| SourceError::BadAnswer { source_name: SOURCE_NAME, what })?;
    Ok(text.trim_end_matches('\n').to_owned())
}

/// The kernel's word for "somebody wrote while I worked", and for "interrupted, ask again".
fn is_race(error: &io::Error) -> bool {
    let kinds =
        [io::ErrorKind::WouldBlock, io::ErrorKind::ResourceBusy, io::ErrorKind::Interrupted];
    kinds.contains(&error.kind())
}

/// The attribute is not there, or the host handed nothing over.
fn is_nothing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn unusable(at: &Path, error: io::Error) -> SourceError {
    SourceError::Unusable { source_name: SOURCE_NAME, at: at.to_owned(), error }
}

fn too_long(what: &'static str, max: usize) -> SourceError {
    SourceError::TooLong { source_name: SOURCE_NAME, what, max }
}
