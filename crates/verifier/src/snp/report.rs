//! The layout of an SEV-SNP attestation report, versions 2 to 5 (AMD's SEV-SNP firmware ABI,
//! document 56860, table ATTESTATION_REPORT; spec/evidence.md section 11).
//!
//! This reads; whether to believe what is read is decided one level up.

use crate::policy::{AmdProduct, AmdTcb};

/// The length of every SEV-SNP report (AMD document 56860, table ATTESTATION_REPORT).
pub const SNP_REPORT_BYTES: usize = 1_184;

/// What the signature covers: everything before it.
const SIGNED_BYTES: usize = 0x2a0;

/// Room for r and for s; P-384 needs less.
const SIGNATURE_FIELD_BYTES: usize = 72;

/// A number of P-384.
const SCALAR_BYTES: usize = 48;

const VERSIONS: std::ops::RangeInclusive<u32> = 2..=5;
const ALGORITHM_ECDSA_P384_SHA384: u32 = 1;

const CURRENT_TCB: usize = 0x038;
const REPORTED_TCB: usize = 0x180;
const COMMITTED_TCB: usize = 0x1e0;
const LAUNCH_TCB: usize = 0x1f0;
const CPUID: usize = 0x188;
const CHIP_ID: usize = 0x1a0;
const CHIP_ID_BYTES: usize = 64;
/// Turin's chips have short numbers, zeros fill the rest.
const TURIN_CHIP_ID_BYTES: usize = 8;

/// Bytes that belong to no field in any version.
const RESERVED: [(usize, usize); 7] = [
    (0x04c, 0x050),
    (0x18b, 0x1a0),
    (0x1eb, 0x1ec),
    (0x1ef, 0x1f0),
    (0x208, 0x2a0),
    (SIGNED_BYTES + SCALAR_BYTES, SIGNED_BYTES + SIGNATURE_FIELD_BYTES),
    (SIGNED_BYTES + SIGNATURE_FIELD_BYTES + SCALAR_BYTES, SNP_REPORT_BYTES),
];
/// Family, model and stepping, before version 3.
const RESERVED_BEFORE_3: (usize, usize) = (CPUID, CPUID + 3);
/// Two vectors of mitigations, before version 5.
const RESERVED_BEFORE_5: (usize, usize) = (0x1f8, 0x208);

/// An SEV-SNP report whose structure is sound. Nothing in it is proven before its signature is.
#[derive(Clone, Copy, Debug)]
pub struct SnpReport<'a> {
    bytes: &'a [u8; SNP_REPORT_BYTES],
    tcbs: Tcbs,
}

/// The four TCBs of a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcbs {
    /// What runs.
    pub(crate) current: AmdTcb,
    /// What the host lets the chip sign for.
    pub(crate) reported: AmdTcb,
    /// What cannot be rolled back any more.
    pub(crate) committed: AmdTcb,
    /// What ran when the guest was started.
    pub(crate) launch: AmdTcb,
}

impl<'a> SnpReport<'a> {
    /// Reads a report, from its first byte to its last.
    ///
    /// # Errors
    /// [`BadSnpReport`], which names the first thing that no chip writes.
    pub fn parse(bytes: &'a [u8]) -> Result<SnpReport<'a>, BadSnpReport> {
        let bytes: &[u8; SNP_REPORT_BYTES] =
            bytes.try_into().map_err(|_| BadSnpReport::Length { got: bytes.len() })?;
        let version = u32_at(bytes, 0);
        if !VERSIONS.contains(&version) {
            return Err(BadSnpReport::Version { got: version });
        }
        let algorithm = u32_at(bytes, 0x034);
        if algorithm != ALGORITHM_ECDSA_P384_SHA384 {
            return Err(BadSnpReport::Algorithm { got: algorithm });
        }
        check_reserved(bytes, version)?;
        let layout = match version {
            // Turin's firmware never wrote version 2, so its reports have the older layout.
            2 => TcbLayout::MilanAndGenoa,
            _ => TcbLayout::of(product_of(bytes[CPUID], bytes[CPUID + 1])?),
        };
        let tcbs = Tcbs {
            current: layout.read(bytes, CURRENT_TCB)?,
            reported: layout.read(bytes, REPORTED_TCB)?,
            committed: layout.read(bytes, COMMITTED_TCB)?,
            launch: layout.read(bytes, LAUNCH_TCB)?,
        };
        Ok(SnpReport { bytes, tcbs })
    }

    /// The version of its layout, 2 to 5.
    pub fn version(&self) -> u32 {
        u32_at(self.bytes, 0)
    }

    /// The generation of the chip as the report itself names it, from version 3 on.
    pub fn product(&self) -> Option<AmdProduct> {
        match self.version() {
            2 => None,
            _ => product_of(self.bytes[CPUID], self.bytes[CPUID + 1]).ok(),
        }
    }

    /// Whether the bytes of its TCBs were read as this generation writes them.
    pub(crate) fn has_layout_of(&self, product: AmdProduct) -> bool {
        match self.product() {
            Some(named) => named == product,
            None => TcbLayout::of(product) == TcbLayout::MilanAndGenoa,
        }
    }

    pub(crate) fn guest_svn(&self) -> u32 {
        u32_at(self.bytes, 0x004)
    }

    /// What the guest demanded of its host, as a little-endian number.
    pub(crate) fn guest_policy(&self) -> u64 {
        u64_at(self.bytes, 0x008)
    }

    pub(crate) fn family_id(&self) -> [u8; 16] {
        self.field(0x010)
    }

    pub(crate) fn image_id(&self) -> [u8; 16] {
        self.field(0x020)
    }

    /// The privilege level that asked for the report.
    pub(crate) fn vmpl(&self) -> u32 {
        u32_at(self.bytes, 0x030)
    }

    /// The firmware whose key signed the report, which may lag behind what runs.
    pub fn reported_tcb(&self) -> AmdTcb {
        self.tcbs.reported
    }

    pub(crate) fn tcbs(&self) -> &Tcbs {
        &self.tcbs
    }

    /// What the platform says of itself, as a little-endian number.
    pub(crate) fn platform_info(&self) -> u64 {
        u64_at(self.bytes, 0x040)
    }

    /// Which keys took part.
    pub(crate) fn key_info(&self) -> u32 {
        u32_at(self.bytes, 0x048)
    }

    /// The bytes that the guest had signed.
    pub fn report_data(&self) -> [u8; 64] {
        self.field(0x050)
    }

    /// The measurement of what was loaded at start.
    pub(crate) fn measurement(&self) -> [u8; 48] {
        self.field(0x090)
    }

    /// What the host chose for the guest to read.
    pub(crate) fn host_data(&self) -> [u8; 32] {
        self.field(0x0c0)
    }

    pub(crate) fn id_key_digest(&self) -> [u8; 48] {
        self.field(0x0e0)
    }

    pub(crate) fn author_key_digest(&self) -> [u8; 48] {
        self.field(0x110)
    }

    /// The chip's number, with the zeros that fill a short one; zeros alone where the host hides it.
    pub fn chip_id(&self) -> [u8; CHIP_ID_BYTES] {
        self.field(CHIP_ID)
    }

    /// What the signature covers.
    pub(crate) fn signed(&self) -> &'a [u8] {
        &self.bytes[..SIGNED_BYTES]
    }

    /// The signature as others write it: r and s, 48 bytes each, big-endian.
    pub(crate) fn signature(&self) -> [u8; 2 * SCALAR_BYTES] {
        let mut signature: [u8; 2 * SCALAR_BYTES] = [0; 2 * SCALAR_BYTES];
        let (r, s) = signature.split_at_mut(SCALAR_BYTES);
        r.copy_from_slice(&self.bytes[SIGNED_BYTES..][..SCALAR_BYTES]);
        s.copy_from_slice(&self.bytes[SIGNED_BYTES + SIGNATURE_FIELD_BYTES..][..SCALAR_BYTES]);
        r.reverse();
        s.reverse();
        signature
    }

    fn field<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.bytes[offset..offset + N].try_into().expect("every field lies inside the report")
    }
}

/// How many bytes of CHIP_ID a generation uses; zeros fill the rest.
pub(crate) fn chip_id_bytes(product: AmdProduct) -> usize {
    match product {
        AmdProduct::Genoa | AmdProduct::Milan => CHIP_ID_BYTES,
        AmdProduct::Turin => TURIN_CHIP_ID_BYTES,
    }
}

/// Where the parts stand in the eight bytes of a TCB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TcbLayout {
    MilanAndGenoa,
    Turin,
}

impl TcbLayout {
    fn of(product: AmdProduct) -> TcbLayout {
        match product {
            AmdProduct::Genoa | AmdProduct::Milan => TcbLayout::MilanAndGenoa,
            AmdProduct::Turin => TcbLayout::Turin,
        }
    }

    /// Bytes of a TCB that no part uses.
    fn unused(self) -> std::ops::Range<usize> {
        match self {
            TcbLayout::MilanAndGenoa => 2..6,
            TcbLayout::Turin => 4..7,
        }
    }

    fn read(self, bytes: &[u8; SNP_REPORT_BYTES], offset: usize) -> Result<AmdTcb, BadSnpReport> {
        let tcb: &[u8; 8] = bytes[offset..offset + 8].try_into().expect("eight bytes were taken");
        if let Some(at) = self.unused().find(|at| tcb[*at] != 0) {
            return Err(BadSnpReport::Reserved { offset: offset + at });
        }
        let [first, second, third, fourth, _, _, seventh, microcode] = *tcb;
        Ok(match self {
            TcbLayout::MilanAndGenoa => {
                AmdTcb { fmc: 0, boot_loader: first, tee: second, snp: seventh, microcode }
            }
            TcbLayout::Turin => {
                AmdTcb { fmc: first, boot_loader: second, tee: third, snp: fourth, microcode }
            }
        })
    }
}

fn check_reserved(bytes: &[u8; SNP_REPORT_BYTES], version: u32) -> Result<(), BadSnpReport> {
    let older = [(version < 3, RESERVED_BEFORE_3), (version < 5, RESERVED_BEFORE_5)];
    let older = older.into_iter().filter_map(|(applies, range)| applies.then_some(range));
    for (start, end) in RESERVED.into_iter().chain(older) {
        if let Some(at) = bytes[start..end].iter().position(|byte| *byte != 0) {
            return Err(BadSnpReport::Reserved { offset: start + at });
        }
    }
    Ok(())
}

fn product_of(family: u8, model: u8) -> Result<AmdProduct, BadSnpReport> {
    AmdProduct::of_processor(family, model).ok_or(BadSnpReport::Processor { family, model })
}

fn u32_at(bytes: &[u8; SNP_REPORT_BYTES], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes were taken"))
}

fn u64_at(bytes: &[u8; SNP_REPORT_BYTES], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes were taken"))
}

/// Why bytes are no SEV-SNP report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSnpReport {
    /// Another algorithm of signatures.
    #[error("the report is signed by algorithm {got}, expected 1 (ECDSA P-384 with SHA-384)")]
    Algorithm {
        /// The algorithm.
        got: u32,
    },
    /// Too short or too long.
    #[error("the report has {got} bytes, expected {SNP_REPORT_BYTES}")]
    Length {
        /// How many it has.
        got: usize,
    },
    /// A processor that this verifier does not know.
    #[error("the report is of processor family {family:#x}, model {model:#x}, which is unknown")]
    Processor {
        /// CPUID's family, extended part included.
        family: u8,
        /// CPUID's model, extended part included.
        model: u8,
    },
    /// A byte that belongs to no field is not zero.
    #[error("the report has something in its reserved bytes at {offset:#x}")]
    Reserved {
        /// Where.
        offset: usize,
    },
    /// Another version.
    #[error("the report has version {got}, this verifier reads 2 to 5")]
    Version {
        /// The version.
        got: u32,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sev::firmware::guest::AttestationReport;
    use sev::parser::ByteParser;

    use super::*;

    const MILAN: [u8; 2] = [0x19, 0x01];
    const GENOA: [u8; 2] = [0x19, 0x11];
    const TURIN: [u8; 2] = [0x1a, 0x02];

    /// Anything in every field, nothing in reserved bytes.
    fn report() -> impl Strategy<Value = [u8; SNP_REPORT_BYTES]> {
        let content = proptest::collection::vec(any::<u8>(), SNP_REPORT_BYTES);
        let chips = prop_oneof![Just(MILAN), Just(GENOA), Just(TURIN)];
        (content, 2_u32..=5, chips).prop_map(|(content, version, chip)| {
            let mut bytes: [u8; SNP_REPORT_BYTES] = content.try_into().unwrap();
            bytes[..4].copy_from_slice(&version.to_le_bytes());
            bytes[0x034..0x038].copy_from_slice(&ALGORITHM_ECDSA_P384_SHA384.to_le_bytes());
            bytes[CPUID..CPUID + 2].copy_from_slice(&chip);
            let older = [(version < 3, RESERVED_BEFORE_3), (version < 5, RESERVED_BEFORE_5)];
            let older = older.into_iter().filter_map(|(applies, range)| applies.then_some(range));
            for (start, end) in RESERVED.into_iter().chain(older) {
                bytes[start..end].fill(0);
            }
            let layout = match (version, chip) {
                (3.., TURIN) => TcbLayout::Turin,
                _ => TcbLayout::MilanAndGenoa,
            };
            for tcb in [CURRENT_TCB, REPORTED_TCB, COMMITTED_TCB, LAUNCH_TCB] {
                layout.unused().for_each(|at| bytes[tcb + at] = 0);
            }
            // The other reader takes a short number in version 2 for a Turin chip's.
            bytes[CHIP_ID + CHIP_ID_BYTES - 1] |= 1;
            bytes
        })
    }

    fn tcb(tcb: sev::firmware::host::TcbVersion) -> AmdTcb {
        AmdTcb {
            fmc: tcb.fmc.unwrap_or(0),
            boot_loader: tcb.bootloader,
            tee: tcb.tee,
            snp: tcb.snp,
            microcode: tcb.microcode,
        }
    }

    proptest! {
        #[test]
        fn every_field_is_what_another_reader_finds(bytes in report()) {
            let ours = SnpReport::parse(&bytes).unwrap();
            let theirs = AttestationReport::from_bytes(&bytes).unwrap();
            prop_assert_eq!(ours.version(), theirs.version);
            prop_assert_eq!(ours.guest_svn(), theirs.guest_svn);
            prop_assert_eq!(ours.guest_policy(), theirs.policy.0);
            prop_assert_eq!(ours.family_id(), theirs.family_id);
            prop_assert_eq!(ours.image_id(), theirs.image_id);
            prop_assert_eq!(ours.vmpl(), theirs.vmpl);
            prop_assert_eq!(ours.platform_info(), theirs.plat_info.0);
            prop_assert_eq!(ours.key_info(), theirs.key_info.0);
            prop_assert_eq!(ours.report_data(), theirs.report_data);
            prop_assert_eq!(ours.measurement(), theirs.measurement);
            prop_assert_eq!(ours.host_data(), theirs.host_data);
            prop_assert_eq!(ours.id_key_digest(), theirs.id_key_digest);
            prop_assert_eq!(ours.author_key_digest(), theirs.author_key_digest);
            prop_assert_eq!(ours.chip_id(), theirs.chip_id);
            prop_assert_eq!(ours.tcbs().current, tcb(theirs.current_tcb));
            prop_assert_eq!(ours.tcbs().reported, tcb(theirs.reported_tcb));
            prop_assert_eq!(ours.tcbs().committed, tcb(theirs.committed_tcb));
            prop_assert_eq!(ours.tcbs().launch, tcb(theirs.launch_tcb));
            let signature = ours.signature();
            let (r, s) = signature.split_at(SCALAR_BYTES);
            for (ours, theirs) in [(r, theirs.signature.r()), (s, theirs.signature.s())] {
                let big_endian: Vec<u8> = theirs[..SCALAR_BYTES].iter().rev().copied().collect();
                prop_assert_eq!(ours, big_endian);
            }
        }

        #[test]
        fn whatever_another_reader_refuses_is_refused(
            mut bytes in report(),
            at in 0..SNP_REPORT_BYTES,
            byte in any::<u8>(),
        ) {
            bytes[at] = byte;
            if AttestationReport::from_bytes(&bytes).is_err() {
                prop_assert!(SnpReport::parse(&bytes).is_err());
            }
        }
    }
}
