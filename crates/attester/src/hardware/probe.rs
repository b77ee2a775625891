//! What hardware there is, in words for whoever sets a pod up.

use std::path::{Path, PathBuf};

use super::{
    CCEL_PATH, CONFIGFS_TSM_PATH, ConfigfsTsm, DSTACK_SOCKET_PATH, Dstack, GRAMINE_PATH, GpuMode,
    Gramine, NSCQ_LIBRARY, NVML_LIBRARY, Nvml, SourceError,
};

/// Where the system lists what sits on its PCI bus.
const PCI_PATH: &str = "/sys/bus/pci/devices";

/// NVIDIA's number on that bus.
const NVIDIA: &str = "0x10de";

/// The bus's class of display and of 3D controllers; the first digits count.
const GPU_CLASSES: [&str; 2] = ["0x0300", "0x0302"];

/// The bus's class of bridges of another kind, as NVSwitches are.
const SWITCH_CLASS: &str = "0x0680";

/// Where to look; the default is where systems have it.
#[derive(Clone, Debug)]
pub struct Places {
    /// The kernel's report interface.
    pub configfs: PathBuf,
    /// The firmware's log.
    pub ccel: PathBuf,
    /// dstack's socket.
    pub dstack: PathBuf,
    /// Gramine's pseudo-files.
    pub gramine: PathBuf,
    /// NVIDIA's library of switches, a path or a name.
    pub nscq: PathBuf,
    /// NVIDIA's library, a path or a name.
    pub nvml: PathBuf,
    /// What sits on the PCI bus.
    pub pci: PathBuf,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            configfs: CONFIGFS_TSM_PATH.into(),
            ccel: CCEL_PATH.into(),
            dstack: DSTACK_SOCKET_PATH.into(),
            gramine: GRAMINE_PATH.into(),
            nscq: NSCQ_LIBRARY.into(),
            nvml: NVML_LIBRARY.into(),
            pci: PCI_PATH.into(),
        }
    }
}

/// Everything that was looked for, found or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

/// One thing that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What, a noun.
    pub name: &'static str,
    /// Whether it is there and works.
    pub found: bool,
    /// What was seen, a phrase.
    pub detail: String,
    /// What a person would do next, a sentence; none where there is nothing to do.
    pub next_step: Option<String>,
}

/// Looks for every source that a pod can use. It asks for no quote.
///
/// It waits for NVIDIA's library, which takes up to two seconds to start.
pub async fn probe(places: &Places) -> Findings {
    let files = places.clone();
    let looking = move || {
        let configfs = configfs(&files);
        let (log, gramine) = (firmware_log(&files.ccel, &configfs), gramine(&files.gramine));
        let bus = Bus::read(&files.pci);
        (configfs, log, gramine, bus)
    };
    let (configfs, log, gramine, bus) =
        tokio::task::spawn_blocking(looking).await.expect("looking does not panic");
    let libraries = Nvml::at(&places.nvml, &places.nscq);
    let nvidia = async { (gpus(&libraries, &bus).await, switches(&libraries, &bus).await) };
    let (dstack, (gpus, switches)) = tokio::join!(dstack(&places.dstack), nvidia);
    Findings(vec![configfs, log, dstack, gramine, gpus, switches])
}

fn configfs(places: &Places) -> Finding {
    let name = "processor by configfs-tsm";
    let at = places.configfs.display();
    match ConfigfsTsm::at(&places.configfs, &places.ccel).provider() {
        Ok(provider) if provider == "tdx_guest" => {
            found(name, format!("an Intel TDX guest, at {at}"))
        }
        Ok(provider) if provider == "sev_guest" => {
            found(name, format!("an AMD SEV-SNP guest, at {at}"))
        }
        Ok(provider) => {
            let next = "Nothing to do: documents carry TDX and SEV-SNP only.";
            missing(name, format!("the kernel calls it {provider:?}"), next)
        }
        Err(SourceError::Absent { .. }) => {
            let next = "Start a confidential virtual machine with Linux 6.7 or later, mount configfs \
                        (mount -t configfs none /sys/kernel/config) and load tdx_guest or sev_guest; \
                        in a container, pass the folder through.";
            missing(name, format!("nothing at {at}"), next)
        }
        Err(SourceError::Unusable { error, .. })
            if error.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            missing(name, error.to_string(), "Run the pod as root, or let its user write there.")
        }
        Err(error) => {
            let next = "This is no confidential virtual machine, or its driver is not loaded: load \
                        tdx_guest or sev_guest.";
            missing(name, error.to_string(), next)
        }
    }
}

fn firmware_log(ccel: &Path, processor: &Finding) -> Finding {
    let (name, at) = ("firmware's log", ccel.display());
    match std::fs::File::open(ccel) {
        Ok(_) => found(name, format!("at {at}")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Finding {
            name,
            found: false,
            detail: format!("nothing at {at}"),
            next_step: processor.found.then(|| {
                "Nothing to do on SEV-SNP. On TDX, policies that replay the log will refuse; use a \
                 firmware that gives an ACPI table CCEL."
                    .into()
            }),
        },
        Err(error) => {
            missing(name, error.to_string(), "Run the pod as root, or let its user read the log.")
        }
    }
}

async fn dstack(socket: &Path) -> Finding {
    let name = "dstack's guest agent";
    match Dstack::at(socket).info().await {
        Ok(info) => found(name, format!("application {}", quoted(&info.app_id))),
        Err(SourceError::Absent { at, .. }) => {
            let next = "Nothing to do outside dstack. Inside, mount the socket into the pod's \
                        container.";
            missing(name, format!("nothing at {}", at.display()), next)
        }
        Err(error) => {
            missing(name, error.to_string(), "See the agent's own log: dstack-guest-agent.")
        }
    }
}

fn gramine(root: &Path) -> Finding {
    let name = "Gramine enclave";
    match Gramine::at(root).attestation_type() {
        Ok(kind) if kind == "dcap" => found(name, "attests by DCAP".into()),
        Ok(kind) => {
            let next = "Set sgx.remote_attestation = \"dcap\" in Gramine's manifest.";
            missing(name, format!("its attestation is {}", quoted(&kind)), next)
        }
        Err(SourceError::Absent { at, .. }) => {
            let next = "Nothing to do outside Gramine.";
            missing(name, format!("nothing at {}", at.display()), next)
        }
        Err(error) => missing(name, error.to_string(), "See Gramine's log."),
    }
}

async fn gpus(libraries: &Nvml, bus: &Bus) -> Finding {
    let name = "NVIDIA GPUs";
    match libraries.state().await {
        Ok(state) => {
            let (count, driver) = (state.gpus.len(), quoted(&state.driver));
            let seen = format!("{count} with driver {driver}");
            match state.mode {
                _ if count == 0 => missing(name, seen, "Pass a GPU through to this machine."),
                GpuMode::Confidential => found(name, format!("{seen}, confidential")),
                GpuMode::DevTools => {
                    let next = "Have the host set confidential mode on, not devtools: gpu-admin-tools \
                                --set-cc-mode=on.";
                    missing(name, format!("{seen}, open to debuggers"), next)
                }
                GpuMode::Off => {
                    let next = "Have the host set confidential mode on: gpu-admin-tools \
                                --set-cc-mode=on (Hopper or Blackwell).";
                    missing(name, format!("{seen}, not confidential"), next)
                }
            }
        }
        Err(SourceError::Absent { .. }) if bus.gpus == 0 => {
            let next = "Nothing to do without a GPU.";
            missing(name, "none on the PCI bus, and no driver".into(), next)
        }
        Err(error) => {
            let next = "Install NVIDIA's open kernel modules and libnvidia-ml.so.1, in a container by \
                        the container toolkit, and load the driver.";
            missing(name, format!("{} on the PCI bus; {error}", bus.gpus), next)
        }
    }
}

async fn switches(libraries: &Nvml, bus: &Bus) -> Finding {
    let name = "NVSwitches";
    if bus.switches == 0 {
        let next = "Nothing to do unless the GPUs are in protected PCIe mode; then pass the switches \
                    through, too.";
        return missing(name, "none on the PCI bus".into(), next);
    }
    match libraries.switches().await {
        Ok(switches) if switches.len() == bus.switches => {
            found(name, format!("{} answer", switches.len()))
        }
        Ok(switches) => {
            let seen = format!("{} on the PCI bus, {} answer", bus.switches, switches.len());
            missing(name, seen, "Have the host reset the switches, and start this machine again.")
        }
        Err(error) => {
            let next = "Install libnvidia-nscq of exactly the driver's version, in a container beside \
                        libnvidia-ml.so.1, or take evidence of devices from dstack.";
            missing(name, format!("{} on the PCI bus; {error}", bus.switches), next)
        }
    }
}

/// NVIDIA's devices, counted where the system lists them; none where it lists nothing.
struct Bus {
    gpus: usize,
    switches: usize,
}

impl Bus {
    fn read(pci: &Path) -> Bus {
        let mut bus = Bus { gpus: 0, switches: 0 };
        let entries = std::fs::read_dir(pci).into_iter().flatten().flatten();
        for device in entries.map(|entry| entry.path()) {
            let attribute = |name| std::fs::read_to_string(device.join(name)).unwrap_or_default();
            if attribute("vendor").trim() != NVIDIA {
                continue;
            }
            let class = attribute("class");
            bus.gpus += usize::from(GPU_CLASSES.iter().any(|gpu| class.starts_with(gpu)));
            bus.switches += usize::from(class.starts_with(SWITCH_CLASS));
        }
        bus
    }
}

/// Foreign text for a terminal: quoted, and what a terminal would obey escaped.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn found(name: &'static str, detail: String) -> Finding {
    Finding { name, found: true, detail, next_step: None }
}

fn missing(name: &'static str, detail: String, next_step: &str) -> Finding {
    Finding { name, found: false, detail, next_step: Some(next_step.into()) }
}
