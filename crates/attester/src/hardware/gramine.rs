//! Gramine's pseudo-files, which quote the enclave that reads them
//! (Gramine, "Attestation and secret provisioning").

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use subrosa_verifier::{Cpu, QUOTE_BYTES_MAX};

use super::{RawCpu, SourceError, exact};

/// Where Gramine has them.
pub const GRAMINE_PATH: &str = "/dev/attestation";

const SOURCE_NAME: &str = "Gramine";

/// `none`, `epid` or `dcap`.
const TYPE_BYTES_MAX: usize = 64;

/// An enclave has one place for report data, so only one quote can be made at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Reads quotes from Gramine.
#[derive(Clone, Debug)]
pub struct Gramine {
    root: PathBuf,
}

impl Default for Gramine {
    /// The enclave's own.
    fn default() -> Gramine {
        Gramine::at(GRAMINE_PATH)
    }
}

impl Gramine {
    /// The pseudo-files in this folder.
    pub fn at(root: impl Into<PathBuf>) -> Gramine {
        Gramine { root: root.into() }
    }

    /// How the enclave's manifest lets it attest: `dcap`, or `none`.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn attestation_type(&self) -> Result<String, SourceError> {
        let bytes = self.read("attestation_type", TYPE_BYTES_MAX)?;
        let what = "`attestation_type` is no text";
        let text = String::from_utf8(bytes)
            .map_err(|_| SourceError::BadAnswer { source_name: SOURCE_NAME, what })?;
        Ok(text.trim_end_matches(['\n', '\0']).to_owned())
    }

    /// A quote of this enclave over these bytes. It waits for the quoting enclave, some
    /// milliseconds.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn quote(&self, report_data: &[u8; 64]) -> Result<RawCpu, SourceError> {
        let kind = self.attestation_type()?;
        if kind != "dcap" {
            return Err(SourceError::UnknownKind { source_name: SOURCE_NAME, kind });
        }
        let bytes = {
            let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            self.write("user_report_data", report_data)?;
            self.read("quote", QUOTE_BYTES_MAX)?
        };
        exact::quote(SOURCE_NAME, &bytes, Cpu::Sgx, report_data).map(|quote| RawCpu::Sgx { quote })
    }

    fn read(&self, name: &'static str, max: usize) -> Result<Vec<u8>, SourceError> {
        let path = self.root.join(name);
        let mut bytes = Vec::new();
        let read =
            File::open(&path).and_then(|file| file.take(max as u64 + 1).read_to_end(&mut bytes));
        read.map_err(|error| self.unusable(&path, error))?;
        match bytes.len() <= max {
            true => Ok(bytes),
            false => Err(SourceError::TooLong { source_name: SOURCE_NAME, what: name, max }),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), SourceError> {
        let path = self.root.join(name);
        let open = OpenOptions::new().write(true).open(&path);
        open.and_then(|mut file| file.write_all(bytes)).map_err(|error| self.unusable(&path, error))
    }

    fn unusable(&self, at: &Path, error: io::Error) -> SourceError {
        if error.kind() == io::ErrorKind::NotFound {
            return SourceError::Absent { source_name: SOURCE_NAME, at: self.root.clone() };
        }
        SourceError::Unusable { source_name: SOURCE_NAME, at: at.to_owned(), error }
    }
}
