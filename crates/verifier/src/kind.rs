//! What a report is about: the kind of document, and the processor behind it.

use std::fmt;

use serde::{Serialize, Serializer};

/// Which processor attests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cpu {
    /// Intel SGX.
    Sgx,
    /// AMD SEV-SNP.
    Snp,
    /// Intel TDX.
    Tdx,
}

impl fmt::Display for Cpu {
    /// The processor's name for people.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Cpu::Sgx => "Intel SGX",
            Cpu::Snp => "AMD SEV-SNP",
            Cpu::Tdx => "Intel TDX",
        })
    }
}

/// What kind of document was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Our own evidence document.
    Evidence(Cpu),
    /// An attestation document of AWS Nitro, which no processor's maker vouches for.
    NitroDocument,
    /// NVIDIA's devices with their reports, without anything around them.
    NvidiaDevices,
    /// A token of NVIDIA's attestation service, and one for each device.
    NvidiaToken,
    /// A quote or report as the hardware gave it, without anything around it.
    Quote(Cpu),
    /// The answer of a vllm-proxy (reference form of NEAR AI, Phala and others), on TDX.
    VllmProxy,
}

impl Kind {
    /// The processor behind it; none where no processor signed anything.
    pub fn cpu(self) -> Option<Cpu> {
        match self {
            Kind::Evidence(cpu) | Kind::Quote(cpu) => Some(cpu),
            Kind::NitroDocument | Kind::NvidiaDevices | Kind::NvidiaToken => None,
            Kind::VllmProxy => Some(Cpu::Tdx),
        }
    }

    /// The name as reports and policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Evidence(Cpu::Sgx) => "sgx_evidence",
            Kind::Evidence(Cpu::Snp) => "snp_evidence",
            Kind::Evidence(Cpu::Tdx) => "tdx_evidence",
            Kind::NitroDocument => "nitro_document",
            Kind::NvidiaDevices => "nvidia_devices",
            Kind::NvidiaToken => "nvidia_token",
            Kind::Quote(Cpu::Sgx) => "sgx_quote",
            Kind::Quote(Cpu::Snp) => "snp_report",
            Kind::Quote(Cpu::Tdx) => "tdx_quote",
            Kind::VllmProxy => "vllm_proxy",
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
