//! A stand-in for hardware: evidence and collateral of the vendors' real formats, under roots of
//! its own.
//!
//! Every key in it follows from a public name, so anybody can make its evidence. That is why
//! verifiers accept its roots on simulated networks alone.

mod fault;
mod gpus;
mod intel;
mod kind;
pub mod snp;

use std::fmt;
use std::sync::Arc;

use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::{
    AmdProduct, CpuEvidence, DeviceCollateral, Devices, Evidence, Nonce, Parts, report_data,
};

use self::gpus::Gpus;
use self::intel::Form;
use crate::{AttestError, SecondQuote};

pub use fault::Fault;
pub use kind::{SimulatedCpu, SimulatedGpus, SimulatedKind, UnknownSimulatedKind};
pub use subrosa_nvidia_evidence::simulator::Fault as DeviceFault;

/// Simulated hardware that booted one image. Clones are the same machine.
#[derive(Clone)]
pub struct Simulator {
    kind: SimulatedKind,
    fault: Option<Fault>,
    machine: Arc<Machine>,
}

struct Machine {
    processor: Processor,
    gpus: Option<Gpus>,
}

/// A vendor's stand-in.
#[allow(clippy::large_enum_variant, reason = "one stands for a machine; nobody holds many")]
enum Processor {
    Amd(snp::Platform),
    Intel(intel::Platform),
}

impl Simulator {
    /// Hardware of the usual kind that booted the image with this label.
    pub fn new(image_label: &str) -> Simulator {
        Simulator::of(SimulatedKind::TDX, image_label)
    }

    /// The same, with a fault.
    pub fn faulty(image_label: &str, fault: Fault) -> Simulator {
        Simulator::faulty_of(SimulatedKind::TDX, image_label, fault)
    }

    /// Hardware of a kind that booted the image with this label.
    pub fn of(kind: SimulatedKind, image_label: &str) -> Simulator {
        Simulator::build(kind, image_label, None)
    }

    /// The same, with a fault.
    ///
    /// # Panics
    /// Where the kind has nothing that the fault could be in: a test of it would show nothing.
    pub fn faulty_of(kind: SimulatedKind, image_label: &str, fault: Fault) -> Simulator {
        assert!(fault.applies_to(kind), "{kind} cannot have the fault {fault:?}");
        Simulator::build(kind, image_label, Some(fault))
    }

    fn build(kind: SimulatedKind, image_label: &str, fault: Option<Fault>) -> Simulator {
        let processor = match kind.cpu.family() {
            Family::Amd(product) => Processor::Amd(snp::Platform::new(product, image_label, fault)),
            Family::Intel(form) => Processor::Intel(intel::Platform::new(form, image_label, fault)),
        };
        let gpus = Gpus::of(kind.gpus, fault);
        Simulator { kind, fault, machine: Arc::new(Machine { processor, gpus }) }
    }

    /// Which hardware it stands in for.
    pub fn kind(&self) -> SimulatedKind {
        self.kind
    }

    /// The measurement of the image with this label on hardware of the usual kind.
    pub fn measurement(image_label: &str) -> B256 {
        Simulator::measurement_of(SimulatedKind::TDX, image_label)
    }

    /// The measurement of the image with this label on hardware of this kind, as releases list it.
    pub fn measurement_of(kind: SimulatedKind, image_label: &str) -> B256 {
        match kind.cpu.family() {
            Family::Amd(_) => snp::Platform::measurement(image_label),
            Family::Intel(form) => form.measurement(image_label),
        }
    }

    /// The root certificate of every simulator's Intel, DER.
    pub fn root_der() -> Vec<u8> {
        intel::root_der()
    }

    /// Evidence for exactly these parts, with all collateral inside.
    ///
    /// # Errors
    /// [`AttestError::Clock`].
    pub fn evidence(
        &self,
        nonce: &Nonce,
        keyset: &[u8],
        workload: &[u8],
        now: Timestamp,
    ) -> Result<Evidence, AttestError> {
        let (devices, device_collateral) = self.devices(&nonce.digest(), now);
        let devices = devices.to_bytes();
        let cpu = self.cpu_evidence(report_data(nonce, keyset, &devices, workload), now)?;
        let devices = match self.fault {
            Some(Fault::DevicesLeftOut) => Vec::new(),
            Some(Fault::DevicesOfOtherMachine) => {
                let other = Gpus::of_other_machine(self.kind.gpus);
                other.map_or(devices, |other| other.answer(&nonce.digest()).to_bytes())
            }
            _ => devices,
        };
        Ok(Evidence::compose(Parts {
            nonce: *nonce,
            keyset: keyset.to_vec(),
            devices,
            workload: workload.to_vec(),
            cpu,
            device_collateral,
        }))
    }

    /// What the processor says of bytes of the caller's choice, with its collateral.
    ///
    /// # Errors
    /// [`AttestError::Clock`].
    pub fn cpu_evidence(
        &self,
        report_data: [u8; 64],
        now: Timestamp,
    ) -> Result<CpuEvidence, AttestError> {
        match &self.machine.processor {
            Processor::Amd(platform) => platform.evidence(report_data, now).map(CpuEvidence::Snp),
            Processor::Intel(platform) => platform.evidence(report_data, now),
        }
    }

    /// See [`Attester::second_quote`](crate::Attester::second_quote).
    ///
    /// # Errors
    /// [`AttestError::Clock`].
    pub fn second_quote(
        &self,
        report_data: [u8; 64],
        gpu_nonce: Option<[u8; 32]>,
        now: Timestamp,
    ) -> Result<SecondQuote, AttestError> {
        let (devices, device_collateral) = match gpu_nonce {
            Some(nonce) => self.devices(&nonce, now),
            None => Default::default(),
        };
        let cpu = self.cpu_evidence(report_data, now)?;
        Ok(SecondQuote { cpu, devices, device_collateral })
    }

    /// What the devices say to this nonce; nothing where there is none.
    fn devices(&self, nonce: &[u8; 32], now: Timestamp) -> (Devices, DeviceCollateral) {
        match &self.machine.gpus {
            Some(gpus) => (gpus.answer(nonce), gpus.collateral(now)),
            None => Default::default(),
        }
    }
}

/// Which vendor's stand-in a processor takes, and how it is told apart there.
enum Family {
    Amd(AmdProduct),
    Intel(Form),
}

impl SimulatedCpu {
    fn family(self) -> Family {
        match self {
            SimulatedCpu::Sgx => Family::Intel(Form::Sgx),
            SimulatedCpu::Snp => Family::Amd(AmdProduct::Genoa),
            SimulatedCpu::Tdx => Family::Intel(Form::Tdx),
            SimulatedCpu::TdxCcel => Family::Intel(Form::TdxCcel),
            SimulatedCpu::TdxDstack => Family::Intel(Form::TdxDstack),
            SimulatedCpu::TdxV5 => Family::Intel(Form::TdxV5),
        }
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Simulator")
            .field("kind", &self.kind)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};
    use subrosa_verifier::SIMULATOR_ROOT_SHA256;

    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000);
    const NONCE: Nonce =
        Nonce { verifier: B256::ZERO, chain_id: 1, block_number: 2, block_hash: B256::ZERO };

    /// Every processor alone, and one with a GPU: eight take seconds, and are made of the same.
    fn kinds() -> impl Iterator<Item = SimulatedKind> {
        let kind = |cpu| SimulatedKind { cpu, gpus: SimulatedGpus::None };
        let with_gpu = SimulatedKind { gpus: SimulatedGpus::Hopper, ..SimulatedKind::TDX };
        SimulatedCpu::ALL.into_iter().map(kind).chain([with_gpu])
    }

    #[test]
    fn every_simulator_has_the_root_that_verifiers_know() {
        let fingerprint = B256::from(<[u8; 32]>::from(Sha256::digest(Simulator::root_der())));
        assert_eq!(fingerprint, SIMULATOR_ROOT_SHA256);
    }

    #[test]
    fn the_same_parts_at_the_same_time_make_the_same_bytes() {
        for kind in kinds() {
            let make = || Simulator::of(kind, "image").evidence(&NONCE, b"k", b"w", NOW).unwrap();
            assert_eq!(make().as_bytes(), make().as_bytes(), "{kind}");
        }
    }

    #[test]
    fn every_label_has_its_own_measurement_on_every_kind() {
        for kind in kinds() {
            let of = |label| Simulator::measurement_of(kind, label);
            assert_ne!(of("a"), of("b"), "{kind}");
        }
    }

    #[test]
    fn a_clock_beyond_all_certificates_is_named() {
        for kind in kinds() {
            let simulator = Simulator::of(kind, "image");
            let error = simulator.evidence(&NONCE, b"", b"", Timestamp(u64::MAX));
            assert!(matches!(error, Err(AttestError::Clock { .. })), "{kind}: {error:?}");
        }
    }

    #[test]
    fn works_at_the_beginning_of_time() {
        for kind in kinds() {
            let simulator = Simulator::of(kind, "image");
            assert!(simulator.evidence(&NONCE, b"", b"", Timestamp(0)).is_ok(), "{kind}");
        }
    }

    #[test]
    #[should_panic(expected = "simulated-tdx cannot have the fault EventDropped")]
    fn a_fault_that_the_kind_cannot_have_is_the_tests_mistake() {
        let _ = Simulator::faulty("image", Fault::EventDropped);
    }
}
