//! NVIDIA's switch library, which the same thread asks as the management library.

mod library;

use std::ffi::OsStr;

use subrosa_verifier::{Architecture, Device};

use self::library::Session;
use super::SourceError;
use super::answer::chain_text;
use super::exact::device_report;
use super::loaded::Failure;

pub(super) use self::library::Library;

/// The library's name, as the system's loader knows it.
pub const NSCQ_LIBRARY: &str = "libnvidia-nscq.so.2";

const SOURCE_NAME: &str = "NSCQ";

/// NSCQ's number of an architecture (`NSCQ_ARCH_LS10`), the one whose switches attest.
const LS10: i8 = 2;

/// Loads the library.
pub(super) fn open(path: &OsStr) -> Result<Library, SourceError> {
    Library::open(path).map_err(|failure| failure.of(SOURCE_NAME, "to start", path))
}

/// The switches, each by the name that it gives itself.
pub(super) fn switches(library: &Library) -> Result<Vec<String>, SourceError> {
    session(library)?.switches().map_err(refused("the switches"))
}

/// A report of each switch over this nonce.
pub(super) fn devices(library: &Library, nonce: &[u8; 32]) -> Result<Vec<Device>, SourceError> {
    // Declared first: the session may look at it until it ends.
    let nonce = *nonce;
    let session = session(library)?;
    let switches = session.switches().map_err(refused("the switches"))?;
    switches.iter().map(|switch| device(&session, switch, &nonce)).collect()
}

fn session(library: &Library) -> Result<Session<'_>, SourceError> {
    library.session().map_err(refused("a session"))
}

fn device<'a>(
    session: &Session<'a>,
    switch: &str,
    nonce: &'a [u8; 32],
) -> Result<Device, SourceError> {
    match session.architecture(switch).map_err(refused("an architecture"))? {
        LS10 => {}
        other => {
            let kind = format!("a switch of NSCQ's architecture {other}");
            return Err(SourceError::UnknownKind { source_name: SOURCE_NAME, kind });
        }
    }
    let chain = session.certificate_chain(switch).map_err(refused("certificates"))?;
    let report = session.attestation_report(switch, nonce).map_err(refused("a report"))?;
    Ok(Device {
        architecture: Architecture::Ls10,
        report: device_report(SOURCE_NAME, &report, nonce)?,
        chain: chain_text(SOURCE_NAME, &chain)?,
    })
}

fn refused(request: &'static str) -> impl Fn(Failure) -> SourceError {
    move |failure| failure.of(SOURCE_NAME, request, OsStr::new(NSCQ_LIBRARY))
}
