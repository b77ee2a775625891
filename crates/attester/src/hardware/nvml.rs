//! NVIDIA's management library, loaded while the pod runs, and the switch library where the GPUs
//! talk through switches.
//!
//! The library takes half a second to two seconds to start, and sometimes hangs. So one thread owns
//! both for good, and callers wait for that thread only so long.

mod library;

use std::ffi::OsStr;
use std::sync::mpsc;
use std::time::Duration;

use subrosa_verifier::{Architecture, DEVICES_MAX, Device, Devices};
use tokio::sync::oneshot;

use self::library::Library;
use super::answer::chain_text;
use super::exact::device_report;
use super::loaded::Failure;
use super::{NSCQ_LIBRARY, RawDevices, SourceError, Switches, nscq};

/// The library's name, as the system's loader knows it.
pub const NVML_LIBRARY: &str = "libnvidia-ml.so.1";

const SOURCE_NAME: &str = "NVML";

/// A start of two seconds, and eight GPUs and four switches that sign for a second each, twice over.
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
    Switches { answer: oneshot::Sender<Result<Vec<String>, SourceError>> },
}

impl Default for Nvml {
    /// The system's own libraries.
    fn default() -> Nvml {
        Nvml::at(NVML_LIBRARY, NSCQ_LIBRARY)
    }
}

impl Nvml {
    /// The libraries of GPUs and of switches at these paths, or of these names. Each is loaded when
    /// it is first asked; that of switches is where GPUs are in protected PCIe mode, and elsewhere
    /// need not be there.
    ///
    /// # Security
    /// Loading a library runs it with all rights of this process. The paths are the operator's to
    /// choose, from the measured image.
    pub fn at(library: impl AsRef<OsStr>, of_switches: impl AsRef<OsStr>) -> Nvml {
        let (jobs, queue) = mpsc::sync_channel(BACKLOG);
        let (library, of_switches) = (library.as_ref().to_owned(), of_switches.as_ref().to_owned());
        std::thread::Builder::new()
            .name("nvml".into())
            .spawn(move || work(&library, &of_switches, &queue))
            .expect("a process can start a thread while it starts");
        Nvml { jobs, patience: PATIENCE }
    }

    /// The same library, given so long for each answer.
    pub fn with_patience(self, patience: Duration) -> Nvml {
        Nvml { patience, ..self }
    }

    /// A report of each GPU over this nonce, and of each switch that they talk through.
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

    /// The switches, each by the name that it gives itself, whatever the GPUs do.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn switches(&self) -> Result<Vec<String>, SourceError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Job::Switches { answer }, answered).await
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

/// Answers jobs until nobody can ask any more. The libraries stay open while they work.
fn work(path: &OsStr, of_switches: &OsStr, queue: &mpsc::Receiver<Job>) {
    let open = || Library::open(path).map_err(|failure| failure.of(SOURCE_NAME, "to start", path));
    let open_switches = || nscq::open(of_switches);
    let (mut library, mut switches) = (None, None);
    while let Ok(job) = queue.recv() {
        match job {
            // Nobody waits for these any more.
            Job::Devices { answer, .. } if answer.is_closed() => {}
            Job::State { answer } if answer.is_closed() => {}
            Job::Switches { answer } if answer.is_closed() => {}
            Job::Devices { nonce, answer } => {
                let devices = with(&mut library, open, |library| {
                    let gpus = gpus(library, &nonce)?;
                    match protected_pcie(library)? {
                        false => Ok(without_switches(gpus)),
                        true => with(&mut switches, open_switches, |switches| {
                            with_switches(gpus, nscq::devices(switches, &nonce)?)
                        }),
                    }
                });
                let _ = answer.send(devices);
            }
            Job::State { answer } => {
                let _ = answer.send(with(&mut library, open, state));
            }
            Job::Switches { answer } => {
                let _ = answer.send(with(&mut switches, open_switches, nscq::switches));
            }
        }
    }
}

/// Asks a library, opening it first where it is not open; after a failure it is opened anew, for
/// drivers are reloaded while pods run.
fn with<L, T>(
    library: &mut Option<L>,
    open: impl FnOnce() -> Result<L, SourceError>,
    ask: impl FnOnce(&L) -> Result<T, SourceError>,
) -> Result<T, SourceError> {
    let opened = match library.take() {
        Some(opened) => opened,
        None => open()?,
    };
    let answer = ask(&opened)?;
    *library = Some(opened);
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

/// Whether GPUs talk to each other through switches that have to be shown beside them.
fn protected_pcie(library: &Library) -> Result<bool, SourceError> {
    let settings = library.confidential_compute().map_err(refused("the confidential mode"))?;
    Ok(settings.multi_gpu == MULTI_GPU_PROTECTED_PCIE)
}

fn without_switches(gpus: Vec<Device>) -> RawDevices {
    let reason = "the GPUs are not in protected PCIe mode: no switch sees what they say";
    RawDevices { devices: Devices(gpus), switches: Switches::Absent { reason } }
}

fn with_switches(
    mut devices: Vec<Device>,
    switches: Vec<Device>,
) -> Result<RawDevices, SourceError> {
    let wrong = |what| Err(SourceError::BadAnswer { source_name: SOURCE_NAME, what });
    if switches.is_empty() {
        return wrong("GPUs are in protected PCIe mode, and there is no switch");
    }
    let count = switches.len();
    devices.extend(switches);
    match devices.len() > DEVICES_MAX {
        true => wrong("there are more GPUs and switches than a node has"),
        false => Ok(RawDevices { devices: Devices(devices), switches: Switches::Given(count) }),
    }
}

fn gpus(library: &Library, nonce: &[u8; 32]) -> Result<Vec<Device>, SourceError> {
    match mode(library)? {
        GpuMode::Confidential => {}
        GpuMode::DevTools => {
            return Err(SourceError::NotConfidential { why: "they are open to debuggers" });
        }
        GpuMode::Off => return Err(SourceError::NotConfidential { why: "the mode is off" }),
    }
    let count = library.device_count().map_err(refused("the number of GPUs"))?;
    (0..bounded(count)?).map(|index| device(library, index, nonce)).collect()
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
    move |failure| failure.of(SOURCE_NAME, request, OsStr::new(NVML_LIBRARY))
}
