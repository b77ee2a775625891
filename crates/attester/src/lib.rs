//! Where a pod's evidence comes from. Every source gives the same document, which
//! `subrosa-verifier` checks; here stand the simulator and the vendors' hardware, one file each.
//!
//! ```
//! use subrosa_attester::{Attester, Simulator};
//! use subrosa_protocol::{B256, Timestamp};
//! use subrosa_verifier::Nonce;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), subrosa_attester::AttestError> {
//! let attester = Attester::Simulator(Simulator::new("pod 0.1"));
//! let (verifier, block_hash) = (B256::repeat_byte(9), B256::ZERO);
//! let nonce = Nonce { verifier, chain_id: 0, block_number: 0, block_hash };
//! let now = Timestamp(1_790_000_000);
//! let made = attester.evidence(&nonce, b"keyset", b"workload", now).await?;
//! assert_eq!(made.evidence.nonce(), &nonce);
//! # Ok(())
//! # }
//! ```
//!
//! The types to know: [`Attester`], [`hardware::Machine`] and [`Simulator`]; tests of verifiers also
//! want [`Fault`].

mod endorsements;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod hardware;
mod simulator;

use subrosa_protocol::Timestamp;
use subrosa_verifier::{CpuEvidence, DeviceCollateral, Devices, Evidence, Nonce};

use self::hardware::Machine;

pub use endorsements::{
    AMD_KDS, EndorseError, Endorser, FetchError, INTEL_PCS, NVIDIA_OCSP, NVIDIA_RIM, Services,
};
pub use simulator::snp;
pub use simulator::{
    DeviceFault, Fault, SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator, UnknownSimulatedKind,
};

/// A source of evidence.
#[derive(Debug)]
pub enum Attester {
    /// Real hardware, whose makers answer for it.
    Hardware(Box<Machine>),
    /// Evidence of the real formats under roots that everybody can make: it proves nothing.
    Simulator(Simulator),
}

impl Attester {
    /// Evidence for exactly these parts, with all collateral inside. The devices are asked with the
    /// same nonce.
    ///
    /// It takes some milliseconds of computing off the caller's thread, and on hardware up to some
    /// seconds of waiting for processor, devices and vendors; a pod keeps what it got.
    ///
    /// # Errors
    /// [`AttestError`].
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn evidence(
        &self,
        nonce: &Nonce,
        keyset: &[u8],
        workload: &[u8],
        now: Timestamp,
    ) -> Result<Attestation, AttestError> {
        match self {
            Attester::Hardware(machine) => machine.evidence(nonce, keyset, workload, now).await,
            Attester::Simulator(simulator) => {
                let (simulator, nonce) = (simulator.clone(), *nonce);
                let (keyset, workload) = (keyset.to_vec(), workload.to_vec());
                let make = move || simulator.evidence(&nonce, &keyset, &workload, now);
                Ok(Attestation { evidence: compute(make).await?, switches_missing: None })
            }
        }
    }

    /// A quote over other bytes than our own document's, for documents of other people's form; with
    /// the devices' evidence for `gpu_nonce`, where there is one.
    ///
    /// # Errors
    /// [`AttestError`].
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    ///
    /// # Security
    /// Our own documents have zeros in the last 32 bytes of `report_data`. Such bytes are refused:
    /// what came out could stand in for the quote of a document that nobody made.
    pub async fn second_quote(
        &self,
        report_data: [u8; 64],
        gpu_nonce: Option<[u8; 32]>,
        now: Timestamp,
    ) -> Result<SecondQuote, AttestError> {
        if report_data[32..] == [0; 32] {
            return Err(AttestError::OwnReportData);
        }
        match self {
            Attester::Hardware(machine) => machine.second_quote(report_data, gpu_nonce, now).await,
            Attester::Simulator(simulator) => {
                let simulator = simulator.clone();
                compute(move || simulator.second_quote(report_data, gpu_nonce, now)).await
            }
        }
    }

    /// Whether its evidence proves nothing about hardware.
    pub fn is_simulated(&self) -> bool {
        matches!(self, Attester::Simulator(_))
    }
}

/// Evidence, and what its maker should know of it.
#[derive(Clone, Debug)]
pub struct Attestation {
    /// The evidence.
    pub evidence: Evidence,
    /// Why it shows no switches although its GPUs leave what they send each other to some: clients
    /// refuse it. None where nothing is missing.
    pub switches_missing: Option<&'static str>,
}

/// A quote outside a document of ours.
#[derive(Clone, Debug)]
pub struct SecondQuote {
    /// What the processor says, with its collateral and, where there is one, its event log.
    pub cpu: CpuEvidence,
    /// What the devices say to the nonce that was given for them.
    pub devices: Devices,
    /// What it takes to check the devices.
    pub device_collateral: DeviceCollateral,
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// The clock says a time that certificates cannot hold.
    #[error("the clock says {now}, which no certificate can hold; set the clock")]
    Clock {
        /// The time.
        now: Timestamp,
    },
    /// A vendor states nothing about the hardware.
    #[error(transparent)]
    Endorse(#[from] EndorseError),
    /// These report data are those of our own documents.
    #[error("a second quote cannot have zeros where our own documents have them")]
    OwnReportData,
    /// The hardware gives nothing.
    #[error(transparent)]
    Source(#[from] hardware::SourceError),
}

/// Runs what takes milliseconds where it holds nobody up.
async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("making evidence does not panic")
}
