//! NVIDIA's management library, loaded while the pod runs.
//!
//! The library takes half a second to two seconds to start, and sometimes hangs. So one thread owns
//! it for good, and callers wait for that thread only so long.

mod library;

use std::ffi::{OsStr, OsString};
use std::sync::mpsc;
use std::time::Duration;

use subrosa_verifier::{Architecture, DEVICES_MAX, Device, Devices};
use tokio::sync::oneshot;

use self::library::{Failure, Library};
use super::answer::chain_text;
use super::exact::device_report;
use super::{RawDevices, SourceError, Switches};

/// The library's name, as the system's loader knows it.
pub const NVML_LIBRARY: &str = "libnvidia-ml.so.1";

const SOURCE_NAME: &str = "NVML";

/// A start of two seconds, and eight GPUs that sign for a second each, three times over.
const PATIENCE: Duration = Duration::from_secs(30);

/// Callers that wait for their turn; each would wait some seconds for the one before.
const BACKLOG: usize = 4;

/// NVML's number of an architecture (`NVML_DEVICE_ARCH_HOPPER`).
const HOPPER: u32 = 9;

/// The same of Blackwell.
const BLACKWELL: u32 = 10;

/// What a library's number of a multi-GPU mode means: links between GPUs cross the PCIe bus
/// protected.
const MULTI_GPU_PROTECTED_PCIE: u32 = 1;

/// The same: links between GPUs are encrypted.
const MULTI_GPU_ENCRYPTED_NVLINK: u32 = 2;

/// Asks the library; clones share its thread.
///
/// The thread ends when the last clone is gone and the library has answered. A library that hangs
/// keeps its thread for as long as the process lives.
#[derive(Clone, Debug)]
pub struct Nvml {
    jobs: mpsc::SyncSender<Job>,
    patience: Duration,
}

/// What the driver says of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvmlState {
    /// The driver's version.
    pub driver: String,
    /// How its GPUs work.
    pub mode: GpuMode,
    /// The GPUs, each by its UUID.
    pub gpus: Vec<String>,
}

/// Whether GPUs keep what they compute to themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuMode {
    /// Confidential: memory and bus are protected, and debugging is off.
    Confidential,
    /// Confidential but open to debuggers.
    DevTools,
    /// Not confidential.
    Off,
}

enum Job {
    Devices { nonce: [u8; 32], answer: oneshot::Sender<Result<RawDevices, SourceError>> },
    State { answer: oneshot::Sender<Result<NvmlState, SourceError>> },
}

impl Default for Nvml {
    /// The system's own library.
    fn default() -> Nvml {
        Nvml::at(NVML_LIBRARY)
    }
}

impl Nvml {
    /// The library at this path, or of this name. It is loaded when it is first asked.
    ///
    /// # Security
    /// Loading a library runs it with all rights of this process. The path is the operator's to
    /// choose, from the measured image.
    pub fn at(library: impl AsRef<OsStr>) -> Nvml {
        let (jobs, queue) = mpsc::sync_channel(BACKLOG);
        let library = library.as_ref().to_owned();
        std::thread::Builder::new()
            .name("nvml".into())
            .spawn(move || work(library, &queue))
            .expect("a process can start a thread while it starts");
        Nvml { jobs, patience: PATIENCE }
    }

    /// The same library, given so long for each answer.
    pub fn with_patience(self, patience: Duration) -> Nvml {
        Nvml { patience, ..self }
    }

    /// A report of each GPU over this nonce.
    ///
    /// # Errors
    /// [`SourceError`]; [`SourceError::NotConfidential`] where they would have nothing to say.
    pub async fn devices(&self, nonce: [u8; 32]) -> Result<RawDevices, SourceError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Job::Devices { nonce, answer }, answered).await
    }

    /// What the driver says of the machine.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn state(&self) -> Result<NvmlState, SourceError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Job::State { answer }, answered).await
    }

    async fn ask<T>(
        &self,
        job: Job,
        answered: oneshot::Receiver<Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        let busy = |_| SourceError::Busy { source_name: SOURCE_NAME };
        self.jobs.try_send(job).map_err(busy)?;
        let after_ms = u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX);
        match tokio::time::timeout(self.patience, answered).await {
            Ok(answer) => answer.expect("the worker answers every job that it takes"),
            Err(_) => Err(SourceError::TimedOut { source_name: SOURCE_NAME, after_ms }),
        }
    }
}

/// Answers jobs until nobody can ask any more. The library stays open while it works.
fn work(path: OsString, queue: &mpsc::Receiver<Job>) {
    let mut library = None;
    while let Ok(job) = queue.recv() {
        match job {
            // Nobody waits for these any more.
            Job::Devices { answer, .. } if answer.is_closed() => {}
            Job::State { answer } if answer.is_closed() => {}
            Job::Devices { nonce, answer } => {
                let _ = answer.send(with(&mut library, &path, |library| devices(library, &nonce)));
            }
            Job::State { answer } => {
                let _ = answer.send(with(&mut library, &path, state));
            }
        }
    }
}

/// Asks the library, opening it first where it is not open; after a failure it is opened anew, for
/// drivers are reloaded while pods run.
fn with<T>(
    library: &mut Option<Library>,
    path: &OsStr,
    ask: impl FnOnce(&Library) -> Result<T, SourceError>,
) -> Result<T, SourceError> {
    let open = match library.take() {
        Some(open) => open,
        None => Library::open(path).map_err(|failure| failure.of("to start", path))?,
    };
    let answer = ask(&open)?;
    *library = Some(open);
    Ok(answer)
}

fn state(library: &Library) -> Result<NvmlState, SourceError> {
    let driver = library.driver_version().map_err(refused("the driver's version"))?;
    let mode = mode(library)?;
    let count = library.device_count().map_err(refused("the number of GPUs"))?;
    let gpus = (0..bounded(count)?).map(|index| {
        let device = library.device(index).map_err(refused("a GPU"))?;
        library.uuid(&device).map_err(refused("a GPU's UUID"))
    });
    Ok(NvmlState { driver, mode, gpus: gpus.collect::<Result<_, _>>()? })
}

fn mode(library: &Library) -> Result<GpuMode, SourceError> {
    let settings = library.confidential_compute().map_err(refused("the confidential mode"))?;
    let protected = [MULTI_GPU_PROTECTED_PCIE, MULTI_GPU_ENCRYPTED_NVLINK];
    Ok(match settings.enabled || protected.contains(&settings.multi_gpu) {
        false => GpuMode::Off,
        true if settings.dev_tools => GpuMode::DevTools,
        true => GpuMode::Confidential,
    })
}

fn devices(library: &Library, nonce: &[u8; 32]) -> Result<RawDevices, SourceError> {
    match mode(library)? {
        GpuMode::Confidential => {}
        GpuMode::DevTools => {
            return Err(SourceError::NotConfidential { why: "they are open to debuggers" });
        }
        GpuMode::Off => return Err(SourceError::NotConfidential { why: "the mode is off" }),
    }
    let count = library.device_count().map_err(refused("the number of GPUs"))?;
    let devices = (0..bounded(count)?).map(|index| device(library, index, nonce));
    let devices = Devices(devices.collect::<Result<_, _>>()?);
    let reason = "NVML knows GPUs only; switches answer through NSCQ, which is not read";
    Ok(RawDevices { devices, switches: Switches::Absent { reason } })
}

fn device(library: &Library, index: u32, nonce: &[u8; 32]) -> Result<Device, SourceError> {
    let device = library.device(index).map_err(refused("a GPU"))?;
    let architecture = match library.architecture(&device).map_err(refused("an architecture"))? {
        HOPPER => Architecture::Hopper,
        BLACKWELL => Architecture::Blackwell,
        other => {
            let kind = format!("a GPU of NVML's architecture {other}");
            return Err(SourceError::UnknownKind { source_name: SOURCE_NAME, kind });
        }
    };
    let report = library.attestation_report(&device, nonce).map_err(refused("a report"))?;
    let chain = library.certificate_chain(&device).map_err(refused("certificates"))?;
    Ok(Device {
        architecture,
        report: device_report(SOURCE_NAME, &report, nonce)?,
        chain: chain_text(SOURCE_NAME, &chain)?,
    })
}

fn bounded(count: u32) -> Result<u32, SourceError> {
    match usize::try_from(count).is_ok_and(|count| count <= DEVICES_MAX) {
        true => Ok(count),
        false => {
            let what = "it counts more GPUs than a node has";
            Err(SourceError::BadAnswer { source_name: SOURCE_NAME, what })
        }
    }
}

fn refused(request: &'static str) -> impl Fn(Failure) -> SourceError {
    move |failure| failure.of(request, OsStr::new(NVML_LIBRARY))
}

impl Failure {
    fn of(self, request: &'static str, path: &OsStr) -> SourceError {
        let source_name = SOURCE_NAME;
        match self {
            Failure::Absent => SourceError::Absent { source_name, at: path.into() },
            Failure::BadText => {
                SourceError::BadAnswer { source_name, what: "a text of the library has no end" }
            }
            Failure::Code(code) => {
                let code = format!("error {code}, {}", in_words(code));
                SourceError::Refused { source_name, request, code }
            }
            Failure::MissingFunction(name) => {
                let code = format!("this driver's library has no {name}; a newer driver has");
                SourceError::Refused { source_name, request, code }
            }
            Failure::Unloadable(words) => {
                let error = std::io::Error::other(words);
                SourceError::Unusable { source_name, at: path.into(), error }
            }
            Failure::TooLong { what, max } => SourceError::TooLong { source_name, what, max },
        }
    }
}

/// The library's numbers of errors (nvml.h, `nvmlReturn_t`), those that a pod can meet.
fn in_words(code: i32) -> &'static str {
    match code {
        1 => "the library was not started",
        2 => "it did not understand the question",
        3 => "the GPU cannot do this",
        4 => "this user may not ask",
        6 => "not found",
        9 => "the driver is not loaded",
        12 => "the library misses a part of itself",
        13 => "the library lacks a function",
        15 => "the GPU is lost",
        18 => "library and driver are of different versions",
        25 => "the library wants another version of the question",
        _ => "unknown to us",
    }
}
