//! Which AMD chips are accepted, with which firmware, and how the guest must be set up.

use std::fmt;

use serde::{Deserialize, Serialize};
use subrosa_protocol::B256;

use super::{Demand, Root};

/// SHA-256 of AMD's root certificate for Milan (valid to 2045-10-22).
pub const AMD_ARK_MILAN_SHA256: B256 = B256::new([
    0x69, 0xd0, 0x63, 0xb4, 0x53, 0x44, 0xd2, 0x6a, 0x2e, 0x94, 0xe1, 0xf4, 0x21, 0x0d, 0xe4, 0x9e,
    0xf5, 0x55, 0x30, 0x82, 0x87, 0xd4, 0xc1, 0x74, 0x44, 0x5c, 0x95, 0x63, 0x9a, 0x54, 0x0b, 0xcd,
]);

/// SHA-256 of AMD's root certificate for Genoa, Bergamo and Siena (valid to 2047-01-26).
pub const AMD_ARK_GENOA_SHA256: B256 = B256::new([
    0x4c, 0x65, 0x98, 0xd1, 0x9c, 0x18, 0x71, 0x9c, 0x5d, 0xfd, 0x4a, 0x7d, 0x33, 0x5f, 0x67, 0x4e,
    0x5b, 0xfe, 0x1d, 0x8f, 0x80, 0x0c, 0xea, 0x2c, 0xf2, 0x70, 0xc1, 0x0d, 0x10, 0x3d, 0xb2, 0xf1,
]);

/// SHA-256 of AMD's root certificate for Turin (valid to 2048-05-15).
pub const AMD_ARK_TURIN_SHA256: B256 = B256::new([
    0x1f, 0x08, 0x41, 0x61, 0xa4, 0x4b, 0xb6, 0xd9, 0x37, 0x78, 0xa9, 0x04, 0x87, 0x7d, 0x48, 0x19,
    0xca, 0xfa, 0x5d, 0x05, 0xef, 0x41, 0x93, 0xb2, 0xde, 0xd9, 0xdd, 0x9c, 0x73, 0xdd, 0x3f, 0x6a,
]);

/// SHA-256 of the simulator's AMD root certificate, whose key everybody can make.
pub const SIMULATOR_AMD_ROOT_SHA256: B256 = B256::new([
    0x2e, 0xbe, 0xda, 0xb4, 0x88, 0x10, 0x55, 0x9e, 0xb3, 0x56, 0xac, 0xda, 0xda, 0x3a, 0x15, 0x9b,
    0xf5, 0x17, 0x7d, 0x79, 0x8c, 0x66, 0xc7, 0xf9, 0x1f, 0x24, 0x93, 0x5d, 0xce, 0x72, 0xdb, 0x15,
]);

/// Reports have named their chip, and whether its memory was checked for aliases, since version 3.
const REPORT_VERSION_MIN: u32 = 3;

/// Which AMD chips are accepted, with which firmware, and how the guest must be set up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmdPolicy {
    /// The accepted generations of chips.
    pub products: Vec<AmdProduct>,
    /// The oldest accepted version of reports.
    pub report_version_min: u32,
    /// Whether AMD's list of revoked authorities must come along.
    pub revocation: Demand,
    /// Whether the running firmware must be one that cannot be rolled back any more: current TCB
    /// equal to committed TCB.
    pub firmware_committed: Demand,
    /// The privilege level that must have asked for the report; 0 is the most privileged.
    pub vmpl: u32,
    /// What the host may have set the guest's HOST_DATA to.
    pub host_data: HostData,
    /// Which ID block the host may have started the guest with.
    pub id_block: IdBlock,
    /// The least TCB of each generation: for the current, the reported, the committed and the
    /// launch TCB alike.
    pub tcb_min: AmdTcbFloors,
    /// What the guest must have demanded of its host.
    pub guest_policy: GuestPolicyBits,
    /// What the platform must say of itself.
    pub platform: PlatformBits,
}

/// A generation of AMD server chips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmdProduct {
    /// EPYC 9004 and 8004: Genoa, Bergamo, Siena.
    Genoa,
    /// EPYC 7003. The seed of its chips' keys can be read out by software, so its reports can be
    /// forged whatever TCB they name.
    Milan,
    /// EPYC 9005.
    Turin,
}

impl AmdProduct {
    /// The generation of a processor by CPUID's family and model, each with its extended part
    /// added; none where it is not known.
    pub fn of_processor(family: u8, model: u8) -> Option<AmdProduct> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(AmdProduct::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(AmdProduct::Genoa),
            (0x1a, 0x00..=0x11) => Some(AmdProduct::Turin),
            _ => None,
        }
    }
}

/// The version numbers of a chip's firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmdTcb {
    /// The first part that a Turin chip loads; 0 for others, which have none.
    pub fmc: u8,
    /// The boot loader of the secure processor.
    pub boot_loader: u8,
    /// Its operating system.
    pub tee: u8,
    /// The SEV-SNP firmware.
    pub snp: u8,
    /// The microcode of the cores.
    pub microcode: u8,
}

/// The least TCB of each generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmdTcbFloors {
    /// Genoa's. Genoa-X counts its microcode otherwise and needs a policy of its own.
    pub genoa: AmdTcb,
    /// Milan's.
    pub milan: AmdTcb,
    /// Turin's.
    pub turin: AmdTcb,
}

/// What one bit must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bit {
    /// Either.
    Any,
    /// 0.
    Clear,
    /// 1.
    Set,
}

/// The bits of a guest's policy, which its host had to heed. DEBUG has a check of its own, and bits
/// that this verifier does not know are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestPolicyBits {
    /// Bit 16: the host may run two threads a core.
    pub smt: Bit,
    /// Bit 18: a migration agent may move the guest.
    pub migration_agent: Bit,
    /// Bit 20: the guest may run on one socket alone.
    pub single_socket: Bit,
    /// Bit 21: there may be CXL devices and memory.
    pub cxl: Bit,
    /// Bit 22: memory must be encrypted with AES-256-XTS.
    pub mem_aes_256_xts: Bit,
    /// Bit 23: the host must not measure the guest's power.
    pub rapl_disabled: Bit,
    /// Bit 24: the host must not see ciphertext.
    pub ciphertext_hiding: Bit,
    /// Bit 25: the host must not move or swap the guest's pages.
    pub page_swap_disabled: Bit,
}

/// The bits of a platform's information. Bits that this verifier does not know are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformBits {
    /// Bit 0: it runs two threads a core.
    pub smt: Bit,
    /// Bit 1: all of its memory is encrypted.
    pub tsme: Bit,
    /// Bit 2: its memory corrects errors.
    pub ecc: Bit,
    /// Bit 3: nobody can measure power.
    pub rapl_disabled: Bit,
    /// Bit 4: the host does not see ciphertext.
    pub ciphertext_hiding: Bit,
    /// Bit 5: since the last reset no two addresses were found to lead to the same memory
    /// (BadRAM).
    pub alias_check_complete: Bit,
    /// Bit 6: devices' writes are ordered safely.
    pub iommu_write_safe: Bit,
    /// Bit 7: devices may be trusted by guests.
    pub tio: Bit,
}

/// What the host may have set the guest's HOST_DATA to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostData {
    /// Anything that a release lists: it is part of the measurement.
    Measured,
    /// Zeros alone.
    Zero,
}

/// Which ID block the host may have started the guest with. It names a family, an image and a
/// version, in the words of whoever signed it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdBlock {
    /// Any, or none.
    Any,
    /// None: family, image, version and key are zeros.
    None,
    /// One signed by a key with one of these digests.
    Signed(Vec<KeyDigest>),
}

/// The SHA-384 of a public key as AMD's firmware hashes it, in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyDigest(#[serde(with = "hex::serde")] pub [u8; 48]);

impl AmdPolicy {
    /// Today's chips with today's firmware, and a guest that no host can move.
    pub fn strict() -> AmdPolicy {
        AmdPolicy {
            products: vec![AmdProduct::Genoa, AmdProduct::Turin],
            report_version_min: REPORT_VERSION_MIN,
            revocation: Demand::Required,
            firmware_committed: Demand::Required,
            vmpl: 0,
            host_data: HostData::Measured,
            id_block: IdBlock::None,
            tcb_min: AmdTcbFloors::strict(),
            guest_policy: GuestPolicyBits {
                smt: Bit::Any,
                migration_agent: Bit::Clear,
                single_socket: Bit::Any,
                cxl: Bit::Clear,
                mem_aes_256_xts: Bit::Any,
                rapl_disabled: Bit::Any,
                ciphertext_hiding: Bit::Any,
                page_swap_disabled: Bit::Any,
            },
            platform: PlatformBits {
                smt: Bit::Any,
                tsme: Bit::Any,
                ecc: Bit::Any,
                rapl_disabled: Bit::Any,
                ciphertext_hiding: Bit::Any,
                alias_check_complete: Bit::Set,
                iommu_write_safe: Bit::Any,
                tio: Bit::Any,
            },
        }
    }
}

impl AmdTcbFloors {
    /// The firmware that AMD's bulletins demand: AMD-SB-3019 (microcode that anybody could sign),
    /// 3020 and 3023 (holes of the SEV-SNP firmware), 3027 (stack pointers that a host could move).
    fn strict() -> AmdTcbFloors {
        AmdTcbFloors {
            genoa: AmdTcb { fmc: 0, boot_loader: 7, tee: 0, snp: 0x1b, microcode: 0x56 },
            milan: AmdTcb { fmc: 0, boot_loader: 4, tee: 0, snp: 0x1b, microcode: 0xdb },
            turin: AmdTcb { fmc: 1, boot_loader: 1, tee: 1, snp: 0x04, microcode: 0x51 },
        }
    }

    /// The floor of one generation.
    pub fn of(&self, product: AmdProduct) -> AmdTcb {
        match product {
            AmdProduct::Genoa => self.genoa,
            AmdProduct::Milan => self.milan,
            AmdProduct::Turin => self.turin,
        }
    }
}

impl AmdTcb {
    /// Whether every part is at least the floor's.
    pub fn reaches(&self, floor: &AmdTcb) -> bool {
        self.fmc >= floor.fmc
            && self.boot_loader >= floor.boot_loader
            && self.tee >= floor.tee
            && self.snp >= floor.snp
            && self.microcode >= floor.microcode
    }
}

impl fmt::Display for AmdTcb {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AmdTcb { fmc, boot_loader, tee, snp, microcode } = self;
        if *fmc != 0 {
            write!(formatter, "FMC {fmc} ")?;
        }
        write!(formatter, "boot loader {boot_loader} TEE {tee} SNP {snp} microcode {microcode}")
    }
}

impl AmdProduct {
    /// All generations.
    pub const ALL: [AmdProduct; 3] = [AmdProduct::Genoa, AmdProduct::Milan, AmdProduct::Turin];

    /// The name as AMD's certificates write it.
    pub fn as_str(self) -> &'static str {
        match self {
            AmdProduct::Genoa => "Genoa",
            AmdProduct::Milan => "Milan",
            AmdProduct::Turin => "Turin",
        }
    }
}

impl fmt::Display for AmdProduct {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Bit {
    /// Whether a bit is what it must be.
    pub(crate) fn allows(self, set: bool) -> bool {
        match self {
            Bit::Any => true,
            Bit::Clear => !set,
            Bit::Set => set,
        }
    }
}

impl Root {
    /// Whether AMD's root with this SHA-256 is the one that this says, for chips of this
    /// generation.
    pub(crate) fn is_amd(self, product: AmdProduct, fingerprint: B256) -> bool {
        let pinned = match (self, product) {
            (Root::Sha256(other), _) => other,
            (Root::Simulator, _) => SIMULATOR_AMD_ROOT_SHA256,
            (Root::Vendor, AmdProduct::Genoa) => AMD_ARK_GENOA_SHA256,
            (Root::Vendor, AmdProduct::Milan) => AMD_ARK_MILAN_SHA256,
            (Root::Vendor, AmdProduct::Turin) => AMD_ARK_TURIN_SHA256,
        };
        fingerprint == pinned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tcb_names_its_parts_and_the_first_only_where_there_is_one() {
        let tcb = AmdTcb { fmc: 0, boot_loader: 1, tee: 2, snp: 3, microcode: 4 };
        let words = "boot loader 1 TEE 2 SNP 3 microcode 4";
        assert_eq!(tcb.to_string(), words);
        assert_eq!(AmdTcb { fmc: 5, ..tcb }.to_string(), format!("FMC 5 {words}"));
    }
}
