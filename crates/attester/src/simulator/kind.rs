//! Which hardware a simulator stands in for.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use subrosa_verifier::Cpu;

/// What every name begins with, so that nobody takes one for hardware.
const PREFIX: &str = "simulated-";

/// A machine to stand in for. Its name, such as `simulated-tdx-8gpu`, is what configurations write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct SimulatedKind {
    /// The processor.
    pub cpu: SimulatedCpu,
    /// The GPUs beside it.
    pub gpus: SimulatedGpus,
}

/// A processor, with the form of its evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SimulatedCpu {
    /// Intel SGX: a quote of version 3.
    Sgx,
    /// AMD SEV-SNP on a chip of the generation Genoa.
    Snp,
    /// Intel TDX: a quote of version 4, no event log.
    Tdx,
    /// The same, with the firmware's event log.
    TdxCcel,
    /// The same, with dstack's event log and an application's compose file.
    TdxDstack,
    /// Intel TDX 1.5: a quote of version 5, no event log.
    TdxV5,
}

/// The GPUs of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SimulatedGpus {
    /// None.
    None,
    /// One Blackwell GPU.
    Blackwell,
    /// Eight Blackwell GPUs.
    EightBlackwells,
    /// Eight Hopper GPUs with protected PCIe, and the four switches between them.
    EightHoppers,
    /// One Hopper GPU.
    Hopper,
}

impl SimulatedKind {
    /// What simulators are unless they are told otherwise: TDX alone.
    pub const TDX: SimulatedKind =
        SimulatedKind { cpu: SimulatedCpu::Tdx, gpus: SimulatedGpus::None };

    /// All kinds.
    pub fn all() -> impl Iterator<Item = SimulatedKind> {
        SimulatedCpu::ALL.into_iter().flat_map(|cpu| {
            SimulatedGpus::ALL.into_iter().map(move |gpus| SimulatedKind { cpu, gpus })
        })
    }
}

impl SimulatedCpu {
    /// All processors.
    pub const ALL: [SimulatedCpu; 6] = [
        SimulatedCpu::Sgx,
        SimulatedCpu::Snp,
        SimulatedCpu::Tdx,
        SimulatedCpu::TdxCcel,
        SimulatedCpu::TdxDstack,
        SimulatedCpu::TdxV5,
    ];

    /// The processor as reports name it.
    pub fn cpu(self) -> Cpu {
        match self {
            SimulatedCpu::Sgx => Cpu::Sgx,
            SimulatedCpu::Snp => Cpu::Snp,
            SimulatedCpu::Tdx
            | SimulatedCpu::TdxCcel
            | SimulatedCpu::TdxDstack
            | SimulatedCpu::TdxV5 => Cpu::Tdx,
        }
    }

    fn name(self) -> &'static str {
        match self {
            SimulatedCpu::Sgx => "sgx",
            SimulatedCpu::Snp => "snp",
            SimulatedCpu::Tdx => "tdx",
            SimulatedCpu::TdxCcel => "tdx-ccel",
            SimulatedCpu::TdxDstack => "tdx-dstack",
            SimulatedCpu::TdxV5 => "tdx-v5",
        }
    }
}

impl SimulatedGpus {
    /// All sets of GPUs.
    pub const ALL: [SimulatedGpus; 5] = [
        SimulatedGpus::None,
        SimulatedGpus::Blackwell,
        SimulatedGpus::EightBlackwells,
        SimulatedGpus::EightHoppers,
        SimulatedGpus::Hopper,
    ];

    fn suffix(self) -> &'static str {
        match self {
            SimulatedGpus::None => "",
            SimulatedGpus::Blackwell => "-gpu-blackwell",
            SimulatedGpus::EightBlackwells => "-8gpu-blackwell",
            SimulatedGpus::EightHoppers => "-8gpu",
            SimulatedGpus::Hopper => "-gpu",
        }
    }
}

impl fmt::Display for SimulatedKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{}{}", self.cpu.name(), self.gpus.suffix())
    }
}

impl FromStr for SimulatedKind {
    type Err = UnknownSimulatedKind;

    fn from_str(name: &str) -> Result<SimulatedKind, UnknownSimulatedKind> {
        let known = SimulatedKind::all().find(|kind| kind.to_string() == name);
        known.ok_or(UnknownSimulatedKind)
    }
}

impl TryFrom<String> for SimulatedKind {
    type Error = UnknownSimulatedKind;

    fn try_from(name: String) -> Result<SimulatedKind, UnknownSimulatedKind> {
        name.parse()
    }
}

/// A name that no simulated machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no simulated machine has this name, expected one of: {}", names())]
pub struct UnknownSimulatedKind;

fn names() -> String {
    SimulatedKind::all().map(|kind| kind.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_known_by_its_own_name() {
        for kind in SimulatedKind::all() {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("simulated-tdx".parse(), Ok(SimulatedKind::TDX));
        let node = SimulatedKind { gpus: SimulatedGpus::EightHoppers, ..SimulatedKind::TDX };
        assert_eq!("simulated-tdx-8gpu".parse(), Ok(node));
    }

    #[test]
    fn a_name_that_no_kind_has_is_refused_with_those_that_there_are() {
        for name in [
            "",
            "tdx",
            "simulated-",
            "simulated-TDX",
            "simulated-tdx ",
            "simulated-sev",
            "simulated-tdx-9gpu",
            "simulated-8gpu",
        ] {
            let error = name.parse::<SimulatedKind>().unwrap_err();
            assert!(error.to_string().contains("simulated-tdx-v5"), "{name}");
        }
    }
}
