//! Which checks may be absent, because a kind of document cannot carry them.

use serde::{Deserialize, Serialize};

use crate::check::CheckName;
use crate::kind::{Cpu, Kind};

/// For each kind of foreign document, the checks that may be absent.
///
/// Our own documents carry everything: nothing may be absent from them, and so nothing but a whole
/// document of ours makes an [`Attested`](crate::Attested).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absent {
    /// From a bare SGX quote.
    pub sgx_quote: Vec<CheckName>,
    /// From a bare SEV-SNP report.
    pub snp_report: Vec<CheckName>,
    /// From a bare TDX quote.
    pub tdx_quote: Vec<CheckName>,
    /// From an attestation document of AWS Nitro.
    pub nitro_document: Vec<CheckName>,
    /// From reports of NVIDIA's devices alone.
    pub nvidia_devices: Vec<CheckName>,
    /// From tokens of NVIDIA's attestation service.
    pub nvidia_token: Vec<CheckName>,
    /// From the answer of a vllm-proxy.
    pub vllm_proxy: Vec<CheckName>,
}

/// What a bare quote cannot say beside devices: who asked, what was released, which key it is for.
const BEYOND_A_QUOTE: [CheckName; 9] = [
    CheckName::NonceMatch,
    CheckName::BlockRecent,
    CheckName::TeeMeasurement,
    CheckName::TeeReportdataBinding,
    CheckName::SigningKeyPresent,
    CheckName::WorkloadStructure,
    CheckName::BackendInImage,
    CheckName::PlaintextExits,
    CheckName::MeasuredModelWeights,
];

/// What a vllm-proxy's answer cannot say: it binds neither block nor devices nor workload.
const BEYOND_A_VLLM_PROXY: [CheckName; 8] = [
    CheckName::BlockRecent,
    CheckName::TeeMeasurement,
    CheckName::TlsKeyBinding,
    CheckName::CpuGpuChain,
    CheckName::WorkloadStructure,
    CheckName::BackendInImage,
    CheckName::PlaintextExits,
    CheckName::MeasuredModelWeights,
];

impl Absent {
    /// What each kind of document has no place for.
    pub fn strict() -> Absent {
        // A host's configuration can be held against something only where its file came along.
        let tdx =
            [CheckName::TeeBootConfig, CheckName::EventLogIntegrity, CheckName::ComposeBinding];
        let mut quote = [BEYOND_A_QUOTE.as_slice(), &CheckName::OF_DEVICES].concat();
        quote.sort();
        // No maker of a processor says anything of a machine of AWS's.
        let nitro = [
            CheckName::TeeTcbNotRevoked,
            CheckName::TeeTcbCurrent,
            CheckName::TeeHardwareConfig,
            CheckName::TeeBootConfig,
        ];
        Absent {
            sgx_quote: quote.clone(),
            snp_report: quote.clone(),
            tdx_quote: [quote.as_slice(), &tdx].concat(),
            nitro_document: [quote.as_slice(), &nitro].concat(),
            // As from a bare quote: who looks at a file that somebody kept asked nothing.
            nvidia_devices: vec![CheckName::NonceMatch],
            nvidia_token: vec![],
            vllm_proxy: BEYOND_A_VLLM_PROXY.into(),
        }
    }

    /// Whether a check may be absent from a kind of document.
    pub(crate) fn allows(&self, kind: Kind, name: CheckName) -> bool {
        let names = match kind {
            Kind::Evidence(_) => return false,
            Kind::NitroDocument => &self.nitro_document,
            Kind::NvidiaDevices => &self.nvidia_devices,
            Kind::NvidiaToken => &self.nvidia_token,
            Kind::Quote(Cpu::Sgx) => &self.sgx_quote,
            Kind::Quote(Cpu::Snp) => &self.snp_report,
            Kind::Quote(Cpu::Tdx) => &self.tdx_quote,
            Kind::VllmProxy => &self.vllm_proxy,
        };
        names.contains(&name)
    }
}
