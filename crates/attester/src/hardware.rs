//! Reads evidence where hardware gives it: the kernel's configfs-tsm, dstack's guest agent,
//! Gramine's pseudo-files and NVIDIA's libraries, one file each.
//!
//! What comes out is exact: a quote ends where it declares to, a device's report with its
//! signature, and each carries the bytes that it was asked for. Nothing is appraised here.

mod answer;
mod configfs;
mod dstack;
mod error;
mod exact;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod gramine;
mod loaded;
mod machine;
mod nscq;
mod nvml;
mod probe;

use subrosa_nvidia_evidence::{Report, Trailing};
use subrosa_verifier::{Device, Devices};

pub use configfs::{CCEL_PATH, CONFIGFS_TSM_PATH, ConfigfsTsm};
pub use dstack::{DSTACK_SOCKET_PATH, Dstack, DstackInfo};
pub use error::SourceError;
pub use gramine::{GRAMINE_PATH, Gramine};
pub use machine::{DeviceSource, Machine, ProcessorSource};
pub use nscq::NSCQ_LIBRARY;
pub use nvml::{GpuMode, NVML_LIBRARY, Nvml, NvmlState};
pub use probe::{Finding, Findings, Places, probe};

/// What a processor says of itself, before anybody added collateral.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawCpu {
    /// An Intel SGX quote.
    Sgx {
        /// The quote, ending exactly where it declares to.
        quote: Vec<u8>,
    },
    /// An AMD SEV-SNP report.
    Snp {
        /// The report, [`SNP_REPORT_BYTES`](subrosa_verifier::SNP_REPORT_BYTES) long.
        report: Vec<u8>,
        /// The certificate table that the host handed over beside it (AMD's GHCB specification,
        /// section 4.1.8.1), where it did.
        certificates: Option<Vec<u8>>,
    },
    /// An Intel TDX quote.
    Tdx {
        /// The quote, ending exactly where it declares to.
        quote: Vec<u8>,
        /// What was measured into its registers.
        event_log: RawEventLog,
    },
}

/// What was measured while a trust domain started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawEventLog {
    /// The firmware's log, without the unused rest of its area.
    Ccel(Vec<u8>),
    /// dstack's log and what it names.
    Dstack {
        /// The log, the JSON text as the agent gave it.
        log_json: Vec<u8>,
        /// The raw bytes of the application's compose file.
        app_compose: Vec<u8>,
        /// The configuration of the virtual machine, JSON text; empty where the agent gives none.
        vm_config: String,
    },
    /// None.
    None,
}

/// The devices of one node, each with a report over the nonce that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawDevices {
    /// GPUs first, in the order of their source, then switches.
    pub devices: Devices,
    /// Whether the switches are among them.
    pub switches: Switches,
}

impl RawDevices {
    /// Why there are no switches although a client will look for them: several GPUs share their
    /// machine in a mode in which the switches between them read what they send each other.
    pub fn switches_missing(&self) -> Option<&'static str> {
        let Switches::Absent { reason } = self.switches else { return None };
        let leaves_it_to_switches = |device: &Device| {
            Report::parse(&device.report, Trailing::Refuse)
                .is_ok_and(|report| report.protected_pcie() == Some(true))
        };
        let devices = &self.devices.0;
        (devices.len() > 1 && devices.iter().any(leaves_it_to_switches)).then_some(reason)
    }
}

/// Whether a source gives evidence of NVSwitches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switches {
    /// It does not, for a reason that a person can read.
    Absent {
        /// Why not.
        reason: &'static str,
    },
    /// So many of the devices are switches.
    Given(usize),
}
