//! What a verifier accepts: typed and total, so that a missing member is an error, not a default.

mod absent;
mod amd;
mod intel;
mod nitro;
mod nvidia;

use serde::{Deserialize, Serialize};
use subrosa_protocol::{B256, Duration};

pub use absent::Absent;
pub use amd::{
    AMD_ARK_GENOA_SHA256, AMD_ARK_MILAN_SHA256, AMD_ARK_TURIN_SHA256, AmdPolicy, AmdProduct,
    AmdTcb, AmdTcbFloors, Bit, GuestPolicyBits, HostData, IdBlock, KeyDigest, PlatformBits,
    SIMULATOR_AMD_ROOT_SHA256,
};
pub(crate) use intel::XFAM_OF_TDX;
pub use intel::{ConfigId, IntelPolicy, IntelTcbStatus, Modules, SgxPolicy, Stated, TdxPolicy};
pub use nitro::AWS_NITRO_ROOT_SHA256;
pub use nvidia::{
    Demand, NVIDIA_DEVICE_ROOT_SHA256, NVIDIA_RIM_ROOT_SHA256, NvidiaPolicy,
    SIMULATOR_NVIDIA_DEVICE_ROOT_SHA256, SIMULATOR_NVIDIA_RIM_ROOT_SHA256,
};

/// SHA-256 of Intel's SGX root certificate, which signs for TDX too (valid to 2049-12-31).
pub const INTEL_ROOT_SHA256: B256 = B256::new([
    0x44, 0xa0, 0x19, 0x6b, 0x2b, 0x99, 0xf8, 0x89, 0xb8, 0xe1, 0x49, 0xe9, 0x5b, 0x80, 0x7a, 0x35,
    0x0e, 0x74, 0x24, 0x96, 0x43, 0x99, 0xe8, 0x85, 0xa7, 0xcb, 0xb8, 0xcc, 0xfa, 0xb6, 0x74, 0xd3,
]);

/// SHA-256 of the simulator's root certificate, whose key everybody can make.
pub const SIMULATOR_ROOT_SHA256: B256 = B256::new([
    0xff, 0xb3, 0x72, 0xe7, 0x41, 0x4e, 0x20, 0x83, 0x48, 0xbb, 0x10, 0x67, 0x4d, 0xad, 0x21, 0xbf,
    0xf6, 0x42, 0x87, 0x22, 0xd6, 0x74, 0xff, 0x8d, 0x33, 0x8f, 0x3c, 0x31, 0xfd, 0xa9, 0xa6, 0x2c,
]);

/// Finality takes a chain a quarter of an hour and pods renew shared evidence every ten minutes;
/// the rest is the time for which a client may keep what it verified.
const AGE_MAX: Duration = Duration(3_600);

/// Twice what finality takes; an older view could hide a revoked release.
const VIEW_AGE_MAX: Duration = Duration(1_800);

/// What a verifier accepts. Every member is written out, in TOML or JSON.
///
/// ```
/// use subrosa_verifier::{Policy, Releases};
///
/// let releases = Releases { measurements: vec![[7; 32].into()], models: vec![[8; 32].into()] };
/// let policy = Policy::strict(releases);
/// assert_eq!(Policy::from_toml(&policy.to_toml()), Ok(policy));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whether evidence must come from hardware.
    pub trust: Trust,
    /// Whether a host may debug the guest.
    pub debug: Debug,
    /// Whether a GPU must be attested too.
    pub gpu: Gpu,
    /// Which machines are accepted.
    pub machines: Machines,
    /// Which images and models are accepted.
    pub releases: Releases,
    /// Which certificate each vendor's chain must end in.
    pub roots: Roots,
    /// How fresh evidence must be.
    pub nonce: NoncePolicy,
    /// How good Intel must find the platform.
    pub intel: IntelPolicy,
    /// Which AMD chips are accepted.
    pub amd: AmdPolicy,
    /// What NVIDIA's devices must show.
    pub nvidia: NvidiaPolicy,
    /// Which checks may be absent from foreign documents.
    pub absent: Absent,
}

/// Whether evidence must come from hardware; a network file says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Evidence comes from hardware, under its vendor's root.
    Hardware,
    /// Evidence may come from the simulator and proves nothing; everything that a person sees says
    /// so.
    Simulated,
}

/// Whether a host may debug the guest. There is one answer, and policies spell it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Debug {
    /// It may not.
    Never,
}

/// Whether a GPU must be attested too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gpu {
    /// Answers from the processor alone are accepted.
    Optional,
    /// A pod without an attested GPU is refused.
    Required,
}

/// Which machines are accepted, by the number that their processor's vendor gave them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Machines {
    /// Any machine.
    Any,
    /// Machines with one of these numbers (Intel: PPID, AMD: CHIP_ID), in lower-case hex.
    Listed(Vec<String>),
}

/// Which images and models are accepted: what the Releases contract lists, or a pinned list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Releases {
    /// Image measurements, as [`tdx_measurement`](crate::tdx_measurement) computes them.
    pub measurements: Vec<B256>,
    /// Digests of model manifests.
    pub models: Vec<B256>,
}

/// Which certificate each vendor's chain must end in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roots {
    /// The root of SGX and TDX.
    pub intel: Root,
    /// The roots of SEV-SNP, one a generation of chips.
    pub amd: Root,
    /// The root of AWS Nitro, which signs for no pod of ours.
    pub nitro: Root,
    /// The root of GPUs and switches.
    pub nvidia_device: Root,
    /// The root of NVIDIA's reference measurements.
    pub nvidia_rim: Root,
}

impl Roots {
    /// The same for every vendor.
    pub fn all(root: Root) -> Roots {
        Roots { intel: root, amd: root, nitro: root, nvidia_device: root, nvidia_rim: root }
    }

    fn are_vendors(&self) -> bool {
        *self == Roots::all(Root::Vendor)
    }
}

/// A root certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Root {
    /// Another one, by the SHA-256 of its DER bytes; only where `trust` is simulated.
    Sha256(B256),
    /// The simulator's; only where `trust` is simulated.
    Simulator,
    /// The vendor's own.
    Vendor,
}

/// How fresh evidence must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoncePolicy {
    /// Which nonce is demanded.
    pub kind: NonceKind,
    /// How old the block in the nonce may be; and how long evidence without a block counts.
    #[serde(rename = "age_s_max")]
    pub age_max: Duration,
    /// How old our own finalised view of the chain may be.
    #[serde(rename = "view_age_s_max")]
    pub view_age_max: Duration,
}

/// Which nonce is demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NonceKind {
    /// One that this verifier drew.
    Own,
    /// A recent block is enough, where there is a chain.
    Shared,
}

/// Whether something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    /// It is not.
    No,
    /// It is.
    Yes,
}

impl Policy {
    /// The default: hardware alone, up to date, from these releases.
    ///
    /// Two threads a core, added memory and cached keys are allowed, because every server has them.
    pub fn strict(releases: Releases) -> Policy {
        Policy {
            trust: Trust::Hardware,
            debug: Debug::Never,
            gpu: Gpu::Optional,
            machines: Machines::Any,
            releases,
            roots: Roots::all(Root::Vendor),
            nonce: NoncePolicy {
                kind: NonceKind::Shared,
                age_max: AGE_MAX,
                view_age_max: VIEW_AGE_MAX,
            },
            intel: IntelPolicy::strict(),
            amd: AmdPolicy::strict(),
            nvidia: NvidiaPolicy::strict(),
            absent: Absent::strict(),
        }
    }

    /// As strict, but under the simulator's root, for networks whose file says `trust =
    /// "simulated"`.
    pub fn simulated(releases: Releases) -> Policy {
        Policy {
            trust: Trust::Simulated,
            roots: Roots::all(Root::Simulator),
            ..Policy::strict(releases)
        }
    }

    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError`] for a missing, unknown or wrong member, and for a policy that contradicts
    /// itself.
    pub fn from_toml(text: &str) -> Result<Policy, PolicyError> {
        let policy: Policy = toml::from_str(text)
            .map_err(|error| PolicyError::Malformed { reason: error.message().to_owned() })?;
        policy.check()?;
        Ok(policy)
    }

    /// The policy as a file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a policy has only members that TOML can hold")
    }

    /// Whether the policy contradicts itself.
    ///
    /// # Errors
    /// [`PolicyError::RootNotVendors`] and [`PolicyError::Machine`].
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.trust == Trust::Hardware && !self.roots.are_vendors() {
            return Err(PolicyError::RootNotVendors);
        }
        let lower_hex =
            |text: &String| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match &self.machines {
            Machines::Listed(machines) if !machines.iter().all(lower_hex) => {
                Err(PolicyError::Machine)
            }
            _ => Ok(()),
        }
    }

    /// What reports call it: the name of a preset, whatever its releases and machines, or `custom`.
    pub fn name(&self) -> &'static str {
        let like = |preset: fn(Releases) -> Policy| {
            let machines = self.machines.clone();
            Policy { machines, ..preset(self.releases.clone()) } == *self
        };
        if like(Policy::strict) {
            "strict"
        } else if like(Policy::simulated) {
            "simulated"
        } else {
            "custom"
        }
    }

    /// Whether what passes proves nothing about hardware.
    pub fn is_simulated(&self) -> bool {
        self.trust == Trust::Simulated
    }
}

impl Root {
    /// The SHA-256 of Intel's root certificate, as this says it.
    pub(crate) fn intel_sha256(self) -> B256 {
        match self {
            Root::Sha256(fingerprint) => fingerprint,
            Root::Simulator => SIMULATOR_ROOT_SHA256,
            Root::Vendor => INTEL_ROOT_SHA256,
        }
    }
}

/// Why a policy is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A machine's number is not lower-case hex.
    #[error("policy lists a machine whose number is not lower-case hex")]
    Machine,
    /// The file is no policy; the reason names the member.
    #[error("policy cannot be read, write every member and no other: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// A root other than the vendor's on a network that is not simulated.
    #[error(
        "policy trusts a root other than the vendor's, which only trust = \"simulated\" allows"
    )]
    RootNotVendors,
}
