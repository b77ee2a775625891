//! How good Intel must find the platform, and how the guest must be set up.

use serde::{Deserialize, Serialize};
use subrosa_protocol::Duration;

use super::Allowed;

/// The newest evaluation of Intel's that every platform could have met when this was written.
const INTEL_EVALUATION_MIN: u32 = 17;

/// The processor state that TDX lets a guest have (Intel TDX module base specification, XFAM): x87,
/// SSE, AVX, AVX-512, PT, PKRU, CET, user interrupts, LBR, AMX.
pub(crate) const XFAM_OF_TDX: u64 = 0x6_dbe7;

/// How good Intel must find the platform.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntelPolicy {
    /// The accepted statuses.
    pub statuses: Vec<IntelTcbStatus>,
    /// How long after a TCB level's date a status of "out of date" is tolerated, where it is
    /// accepted.
    #[serde(rename = "grace_s")]
    pub grace: Duration,
    /// The least number of Intel's evaluation that the collateral must follow.
    pub evaluation_number_min: u32,
    /// Advisories that refuse a platform that they apply to.
    pub rejected_advisories: Vec<String>,
    /// Whether the processor may run two threads a core; servers do.
    pub smt: Allowed,
    /// Whether memory may be added to the platform; servers allow it.
    pub dynamic_platform: Allowed,
    /// Whether the platform's keys may be cached by Intel; servers' are.
    pub cached_keys: Allowed,
    /// How an SGX enclave must be set up.
    pub sgx: SgxPolicy,
    /// How a TDX guest must be set up.
    pub tdx: TdxPolicy,
}

/// How an SGX enclave must be set up. Debugging and the provisioning keys are never accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SgxPolicy {
    /// The bits of MISCSELECT that an enclave may have.
    pub misc_select_allowed: u32,
    /// Whether whoever starts the enclave may configure it: CONFIGID and CONFIGSVN.
    pub config: Stated,
}

/// How a TDX guest must be set up. Debugging, profiling and migration are never accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TdxPolicy {
    /// Which TDX modules are accepted, among those that Intel signed.
    pub modules: Modules,
    /// The bits of XFAM that a guest may have, within what TDX permits.
    pub xfam_allowed: u64,
    /// Whether the guest may use protection keys for supervisor pages.
    pub pks: Allowed,
    /// Whether the guest may use performance counters.
    pub perfmon: Allowed,
    /// Whether service domains may be bound to the guest.
    pub service_td: Allowed,
    /// What MRCONFIGID may be.
    pub config_id: ConfigId,
    /// What MROWNER and MROWNERCONFIG may be.
    pub owner: Stated,
}

/// Which TDX modules are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modules {
    /// Any that Intel signed and does not find out of date.
    Any,
    /// Those with one of these measurements (MRSEAM), in lower-case hex.
    Listed(Vec<String>),
}

/// What a host may have said of a guest's configuration (MRCONFIGID).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigId {
    /// Anything; people are told.
    Any,
    /// Nothing, or the hash of the compose file that came with the evidence.
    ComposeHash,
    /// Nothing.
    Zero,
}

/// What a host may have stated about a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stated {
    /// Anything; people are told.
    Any,
    /// Nothing.
    Zero,
}

/// Intel's judgement of a platform, under Intel's names. A revoked platform is never accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IntelTcbStatus {
    /// The configuration may expose it, and so may its software.
    ConfigurationAndSWHardeningNeeded,
    /// The configuration may expose it.
    ConfigurationNeeded,
    /// Updates are missing.
    OutOfDate,
    /// Updates are missing, and the configuration may expose it.
    OutOfDateConfigurationNeeded,
    /// Its software may expose it.
    SWHardeningNeeded,
    /// The platform was updated after the guest had started; a new start would show it.
    TDRelaunchAdvised,
    /// The same, and the configuration may expose it.
    TDRelaunchAdvisedConfigurationNeeded,
    /// Nothing is missing.
    UpToDate,
}

impl IntelPolicy {
    /// Up to date, with the switches that every server has on.
    pub fn strict() -> IntelPolicy {
        IntelPolicy {
            statuses: vec![IntelTcbStatus::UpToDate],
            grace: Duration(0),
            evaluation_number_min: INTEL_EVALUATION_MIN,
            rejected_advisories: vec![],
            smt: Allowed::Yes,
            dynamic_platform: Allowed::Yes,
            cached_keys: Allowed::Yes,
            sgx: SgxPolicy::strict(),
            tdx: TdxPolicy::strict(),
        }
    }
}

impl SgxPolicy {
    /// Nothing beyond what the measurement covers.
    pub fn strict() -> SgxPolicy {
        SgxPolicy { misc_select_allowed: 0, config: Stated::Zero }
    }
}

impl TdxPolicy {
    /// Nothing that a host may add to what the measurement covers, but for the compose file's hash.
    pub fn strict() -> TdxPolicy {
        TdxPolicy {
            modules: Modules::Any,
            xfam_allowed: XFAM_OF_TDX,
            pks: Allowed::No,
            perfmon: Allowed::No,
            service_td: Allowed::No,
            config_id: ConfigId::ComposeHash,
            owner: Stated::Zero,
        }
    }
}
