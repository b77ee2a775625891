//! Evidence, a policy and a time in; [`Attested`] or a [`Refusal`] out, with every check by name.
//!
//! Nothing here waits, reads a clock or touches a network: the document carries all that it takes.
//! Sealing, ordering and routing demand an [`Attested`], and only [`verify`] makes one.
//!
//! ```
//! use subrosa_verifier::{Evidence, Policy, Releases, Unreadable};
//!
//! let policy = Policy::strict(Releases::default());
//! assert!(!policy.is_simulated());
//! // A document is read strictly before anything in it is looked at.
//! let error = Evidence::parse(br#"{"version":1,"version":1}"#).unwrap_err();
//! assert_eq!(error, Unreadable::DuplicateMember { member: "version".into() });
//! ```
//!
//! The types to know: [`Evidence`] (believed by nobody), [`Policy`] (what is accepted),
//! [`Attested`] (what was). The document and every check stand in `spec/evidence.md`. Files
//! are by vendor: Intel's are `dcap`, `quote`, `sgx` and `tdx`, AMD's `snp`, NVIDIA's `nvidia`.

mod attested;
mod certificate;
mod chain;
mod check;
mod dcap;
mod devices;
mod event_log;
mod evidence;
mod foreign;
mod json;
mod kind;
mod nonce;
mod nvidia;
mod policy;
mod quote;
mod quoted;
mod release_proof;
mod report;
mod sentence;
mod sgx;
mod snp;
mod strict;
mod tdx;
mod verify;
mod workload;

pub use attested::{
    Attested, AttestedKeys, AttestedOffer, Claims, KeyRefusal, OfferRefusal, Rechecked,
};
pub use check::CheckName;
pub use devices::{
    Architecture, DEVICE_CHAIN_BYTES_MAX, DEVICE_REPORT_BYTES_MAX, DEVICES_MAX, Device, Devices,
};
pub use event_log::{BadLog, ccel_used, dstack_measurement, runtime_event_digest};
pub use evidence::{
    APP_COMPOSE_BYTES_MAX, AmdCollateral, CpuEvidence, DOCUMENT_BYTES_MAX, DeviceCollateral,
    EVENT_LOG_BYTES_MAX, EventLog, Evidence, ISSUER_CHAIN_BYTES_MAX, IntelCollateral, OCSP_MAX,
    Parts, QUOTE_BYTES_MAX, RIMS_MAX, SgxEvidence, SnpEvidence, TdxEvidence, Unreadable,
};
pub use foreign::{
    Document, Endorsements, NitroDocument, NvidiaDevices, NvidiaTokens, Quote, VllmProxy, examine,
};
pub use kind::{Cpu, Kind};
pub use nonce::{Block, ChainView, Freshness, Nonce, report_data};
pub use policy::{
    AMD_ARK_GENOA_SHA256, AMD_ARK_MILAN_SHA256, AMD_ARK_TURIN_SHA256, AWS_NITRO_ROOT_SHA256,
    Absent, Allowed, AmdPolicy, AmdProduct, AmdTcb, AmdTcbFloors, Bit, ConfigId, Debug, Demand,
    Gpu, GuestPolicyBits, HostData, INTEL_ROOT_SHA256, IdBlock, IntelPolicy, IntelTcbStatus,
    KeyDigest, Machines, Modules, NVIDIA_DEVICE_ROOT_SHA256, NVIDIA_RIM_ROOT_SHA256, NonceKind,
    NoncePolicy, NvidiaPolicy, PlatformBits, Policy, PolicyError, Releases, Root, Roots,
    SIMULATOR_AMD_ROOT_SHA256, SIMULATOR_NVIDIA_DEVICE_ROOT_SHA256,
    SIMULATOR_NVIDIA_RIM_ROOT_SHA256, SIMULATOR_ROOT_SHA256, SgxPolicy, Stated, TdxPolicy, Trust,
};
pub use quote::{BadQuote, TrimmedQuote, sgx_measurement, tdx_measurement, trim_quote};
pub use release_proof::{
    ENTRIES_MAX, EntryProof, HEADER_BYTES_MAX, NODE_BYTES_MAX, NODES_MAX, ProofRefusal,
    ProvenReleases, ReleaseKind, ReleaseProof, Standing, storage_slot,
};
pub use report::{Check, Outcome, Refusal, Report, Verdict};
pub use snp::{BadSnpReport, SNP_REPORT_BYTES, SnpReport, snp_measurement};
pub use verify::{recheck, verify};
