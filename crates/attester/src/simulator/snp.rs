//! A stand-in for AMD's chips and their authorities: SEV-SNP reports of the real format, signed by
//! a simulated chip whose certificate leads to a simulated root.
//!
//! Keys follow from public names, so anybody can make these reports. [`SnpMachine`] says whatever a
//! test wants said; a simulator uses the honest one.

mod rsa;
mod x509;

use std::sync::LazyLock;

use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use sha2::{Digest, Sha384};
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::{
    AmdCollateral, AmdProduct, AmdTcb, SNP_REPORT_BYTES, SnpEvidence, snp_measurement,
};

use self::rsa::RsaKey;
use self::x509::{Certificate, PublicKey, RevocationList, authority_extensions};
use super::fault::Fault;
use crate::AttestError;

pub use x509::SnpExtension;

const ROOT_NAME: &str = "Subrosa SIMULATED AMD root, proves nothing";
const OTHER_ROOT_NAME: &str = "Subrosa SIMULATED AMD root that nobody trusts";
/// What the names of AMD's roots begin with on their certificates.
const ARK_PREFIX: &str = "ARK-";
const AUTHORITY_NAME: &str = "Subrosa SIMULATED AMD authority, proves nothing";

/// From the hashes of each name to the next primes that suit.
const ROOT_STEPS: [u32; 2] = [1_256, 290];
const OTHER_ROOT_STEPS: [u32; 2] = [1_950, 400];
const AUTHORITY_STEPS: [u32; 2] = [2_376, 230];

static ROOT: LazyLock<RsaKey> = LazyLock::new(|| RsaKey::named(ROOT_NAME, ROOT_STEPS));
static OTHER_ROOT: LazyLock<RsaKey> =
    LazyLock::new(|| RsaKey::named(OTHER_ROOT_NAME, OTHER_ROOT_STEPS));
static AUTHORITY: LazyLock<RsaKey> =
    LazyLock::new(|| RsaKey::named(AUTHORITY_NAME, AUTHORITY_STEPS));

/// Separates the key of the simulated chip from other hashes.
const CHIP_KEY_TAG: &str = "subrosa/simulator/snp-chip/v1";
/// Separates the measurements of simulated images from other hashes of labels.
const IMAGE_TAG: &str = "subrosa/simulated-image/v1";

/// Certificates count whenever tests run; lists are what is dated.
const LIFE: (Timestamp, Timestamp) = (Timestamp(0), Timestamp(2_524_607_999)); // to the end of 2049

/// AMD's lists live for about a year; this one is renewed daily.
const CRL_LIFE_S: u64 = 30 * DAY_S;
const DAY_S: u64 = 24 * 3_600;

const ROOT_SERIAL: u64 = 0x01_0000;
const AUTHORITY_SERIAL: u64 = 0x01_0001;
/// Real chips' certificates have no other number.
const VCEK_SERIAL: u64 = 0;

/// AMD's arc of extensions.
const AMD: [u64; 8] = [1, 3, 6, 1, 4, 1, 3704, 1];

/// Which root a simulated chip's certificates lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SnpRoot {
    /// The one that simulated networks trust.
    Known,
    /// One that nobody trusts.
    Other,
}

/// A chip, its certificates, and what its authority revoked.
#[derive(Clone, Debug)]
pub struct SnpMachine {
    /// Which root the certificates lead to.
    pub root: SnpRoot,
    /// The name of the authority, such as `SEV-Genoa`.
    pub authority: String,
    /// What stands in the authority's certificate besides its name and key.
    pub authority_extensions: Vec<SnpExtension>,
    /// The name on the chip's certificate.
    pub certificate: String,
    /// From when to when the chip's certificate counts, both included.
    pub life: (Timestamp, Timestamp),
    /// What the chip's certificate says of the chip.
    pub extensions: Vec<SnpExtension>,
    /// From when the list counts, and from when no longer.
    pub crl_life: (Timestamp, Timestamp),
    /// What stands in the list besides its number.
    pub crl_extensions: Vec<SnpExtension>,
    /// The serial numbers that the list names.
    pub revoked: Vec<u64>,
}

/// What a report says. Bytes that belong to no field are zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of AMD's table ATTESTATION_REPORT")]
pub struct SnpReport {
    pub version: u32,
    pub guest_svn: u32,
    pub policy: u64,
    pub family_id: [u8; 16],
    pub image_id: [u8; 16],
    pub vmpl: u32,
    pub signature_algo: u32,
    pub current_tcb: [u8; 8],
    pub platform_info: u64,
    pub key_info: u32,
    pub report_data: [u8; 64],
    pub measurement: [u8; 48],
    pub host_data: [u8; 32],
    pub id_key_digest: [u8; 48],
    pub author_key_digest: [u8; 48],
    pub reported_tcb: [u8; 8],
    /// Family, model, stepping; written from version 3 on.
    pub cpuid: [u8; 3],
    pub chip_id: [u8; 64],
    pub committed_tcb: [u8; 8],
    pub launch_tcb: [u8; 8],
}

impl SnpMachine {
    /// An honest chip of this generation, with nothing revoked by a list that counts from `issued`
    /// on.
    pub fn new(product: AmdProduct, issued: Timestamp) -> SnpMachine {
        SnpMachine {
            root: SnpRoot::Known,
            authority: format!("SEV-{product}"),
            authority_extensions: authority_extensions().into(),
            certificate: "SEV-VCEK".into(),
            life: LIFE,
            extensions: chip_extensions(product, current_tcb(product), chip_id(product)),
            crl_life: (issued, Timestamp(issued.0.saturating_add(CRL_LIFE_S))),
            crl_extensions: vec![],
            revoked: vec![],
        }
    }

    /// All certificates and the list.
    ///
    /// # Errors
    /// [`AttestError::Clock`] for a time that no certificate can hold.
    pub fn collateral(&self) -> Result<AmdCollateral, AttestError> {
        let (root_name, root) = self.root.key();
        let vcek = Certificate {
            serial: VCEK_SERIAL,
            issuer: &self.authority,
            subject: &self.certificate,
            from: self.life.0,
            until: self.life.1,
            key: PublicKey::P384(&chip_point()),
            extensions: &self.extensions,
        };
        let ask = Certificate {
            serial: AUTHORITY_SERIAL,
            issuer: &root_name,
            subject: &self.authority,
            from: LIFE.0,
            until: LIFE.1,
            key: PublicKey::Rsa(&AUTHORITY.public()),
            extensions: &self.authority_extensions,
        };
        let crl = RevocationList {
            issuer: &root_name,
            from: self.crl_life.0,
            until: self.crl_life.1,
            serials: &self.revoked,
            extensions: &self.crl_extensions,
        };
        Ok(AmdCollateral {
            vcek: vcek.sign(&AUTHORITY)?,
            ask: ask.sign(root)?,
            ark: self.root.certificate(),
            crl: crl.sign(root)?,
        })
    }
}

impl SnpRoot {
    /// The root's certificate, DER.
    pub fn certificate(self) -> Vec<u8> {
        let (name, key) = self.key();
        let ark = Certificate {
            serial: ROOT_SERIAL,
            issuer: &name,
            subject: &name,
            from: LIFE.0,
            until: LIFE.1,
            key: PublicKey::Rsa(&key.public()),
            extensions: &authority_extensions(),
        };
        ark.sign(key).expect("the root's dates are fixed")
    }

    /// The name on its certificate, and its key.
    fn key(self) -> (String, &'static RsaKey) {
        let (name, key) = match self {
            SnpRoot::Known => (ROOT_NAME, &ROOT),
            SnpRoot::Other => (OTHER_ROOT_NAME, &OTHER_ROOT),
        };
        (format!("{ARK_PREFIX}{name}"), key)
    }
}

impl SnpReport {
    /// An honest report of an honest guest on an honest chip of this generation.
    pub fn new(product: AmdProduct, image: [u8; 48], report_data: [u8; 64]) -> SnpReport {
        let tcb = tcb_bytes(product, current_tcb(product));
        let (version, cpuid) = match product {
            AmdProduct::Genoa => (3, [0x19, 0x11, 1]),
            AmdProduct::Milan => (3, [0x19, 0x01, 1]),
            AmdProduct::Turin => (5, [0x1a, 0x02, 1]),
        };
        SnpReport {
            version,
            guest_svn: 0,
            policy: 0x3_0000,
            family_id: [0; 16],
            image_id: [0; 16],
            vmpl: 0,
            signature_algo: 1,
            current_tcb: tcb,
            platform_info: 0x25,
            key_info: 0,
            report_data,
            measurement: image,
            host_data: [0; 32],
            id_key_digest: [0; 48],
            author_key_digest: [0; 48],
            reported_tcb: tcb,
            cpuid,
            chip_id: padded(&chip_id(product)),
            committed_tcb: tcb,
            launch_tcb: tcb,
        }
    }

    /// The report's bytes, signed by the simulated chip.
    pub fn sign(&self) -> Vec<u8> {
        SnpReport::sign_bytes(self.to_bytes())
    }

    /// Puts the simulated chip's signature on a report of any content.
    pub fn sign_bytes(mut report: [u8; SNP_REPORT_BYTES]) -> Vec<u8> {
        let signature: Signature = CHIP.sign(&report[..0x2a0]);
        let (r, s) = signature.split_bytes();
        for (offset, number) in [(0x2a0, r), (0x2e8, s)] {
            let little_endian = number.iter().rev();
            report[offset..].iter_mut().zip(little_endian).for_each(|(to, from)| *to = *from);
        }
        report.into()
    }

    /// The report's bytes without a signature.
    pub fn to_bytes(&self) -> [u8; SNP_REPORT_BYTES] {
        let mut bytes = [0; SNP_REPORT_BYTES];
        let mut put = |offset: usize, field: &[u8]| {
            bytes[offset..offset + field.len()].copy_from_slice(field);
        };
        put(0x000, &self.version.to_le_bytes());
        put(0x004, &self.guest_svn.to_le_bytes());
        put(0x008, &self.policy.to_le_bytes());
        put(0x010, &self.family_id);
        put(0x020, &self.image_id);
        put(0x030, &self.vmpl.to_le_bytes());
        put(0x034, &self.signature_algo.to_le_bytes());
        put(0x038, &self.current_tcb);
        put(0x040, &self.platform_info.to_le_bytes());
        put(0x048, &self.key_info.to_le_bytes());
        put(0x050, &self.report_data);
        put(0x090, &self.measurement);
        put(0x0c0, &self.host_data);
        put(0x0e0, &self.id_key_digest);
        put(0x110, &self.author_key_digest);
        // Every guest has a number; no migration agent is all ones.
        put(0x140, &Sha384::digest(self.measurement)[..32]);
        put(0x160, &[0xff; 32]);
        put(0x180, &self.reported_tcb);
        if self.version >= 3 {
            put(0x188, &self.cpuid);
        }
        put(0x1a0, &self.chip_id);
        put(0x1e0, &self.committed_tcb);
        // Firmware 1.58 build 3.
        put(0x1e8, &[3, 58, 1, 0, 3, 58, 1]);
        put(0x1f0, &self.launch_tcb);
        bytes
    }
}

/// Simulated SEV-SNP hardware that booted one image.
pub(crate) struct Platform {
    product: AmdProduct,
    image: [u8; 48],
    fault: Option<Fault>,
}

impl Platform {
    pub(crate) fn new(product: AmdProduct, image_label: &str, fault: Option<Fault>) -> Platform {
        Platform { product, image: image(image_label), fault }
    }

    /// The measurement of the image with this label, as releases list it.
    pub(crate) fn measurement(image_label: &str) -> B256 {
        snp_measurement(&image(image_label), &[0; 32])
    }

    pub(crate) fn evidence(
        &self,
        report_data: [u8; 64],
        now: Timestamp,
    ) -> Result<SnpEvidence, AttestError> {
        let report = self.report(report_data);
        Ok(SnpEvidence { report, collateral: self.collateral(now)? })
    }

    /// Whether this kind of machine has what the fault is in.
    pub(crate) fn can_have(fault: Fault) -> bool {
        matches!(
            fault,
            Fault::CollateralExpired
                | Fault::Debug
                | Fault::Migratable
                | Fault::OtherPlatform
                | Fault::OtherReportData
                | Fault::OtherRoot
                | Fault::TcbOutOfDate
                | Fault::TcbRevoked
                | Fault::TrailingBytes
        )
    }

    fn report(&self, report_data: [u8; 64]) -> Vec<u8> {
        let mut report = SnpReport::new(self.product, self.image, report_data);
        match self.fault {
            Some(Fault::Debug) => report.policy |= 1 << 19,
            Some(Fault::Migratable) => report.policy |= 1 << 18,
            Some(Fault::OtherPlatform) => report.chip_id[0] ^= 1,
            Some(Fault::OtherReportData) => report.report_data[0] ^= 1,
            // The host let older firmware run when it started the guest.
            Some(Fault::TcbOutOfDate) => report.launch_tcb[7] = 0,
            _ => {}
        }
        let mut bytes = report.sign();
        if self.fault == Some(Fault::TrailingBytes) {
            bytes.push(0);
        }
        bytes
    }

    /// Collateral of the day before, so that a verifier whose clock is behind accepts it too.
    fn collateral(&self, now: Timestamp) -> Result<AmdCollateral, AttestError> {
        let age = match self.fault {
            Some(Fault::CollateralExpired) => CRL_LIFE_S + 10 * DAY_S,
            _ => DAY_S,
        };
        let issued = Timestamp((now.0 - now.0 % DAY_S).saturating_sub(age));
        let mut machine = SnpMachine::new(self.product, issued);
        match self.fault {
            Some(Fault::OtherRoot) => machine.root = SnpRoot::Other,
            Some(Fault::TcbRevoked) => machine.revoked.push(AUTHORITY_SERIAL),
            _ => {}
        }
        machine.collateral()
    }
}

/// What AMD's authority says of a chip in its certificate.
pub fn chip_extensions(product: AmdProduct, tcb: AmdTcb, chip_id: Vec<u8>) -> Vec<SnpExtension> {
    let number = |number: u8| yasna::construct_der(|writer| writer.write_u8(number));
    let text = |text: &str| yasna::construct_der(|writer| writer.write_ia5_string(text));
    let (name, layout) = match product {
        AmdProduct::Genoa => ("Genoa-B1", 0),
        AmdProduct::Milan => ("Milan-B0", 0),
        AmdProduct::Turin => ("Turin-C1", 1),
    };
    let mut extensions = vec![
        extension(&[1], number(layout)),
        extension(&[2], text(name)),
        extension(&[3, 1], number(tcb.boot_loader)),
        extension(&[3, 2], number(tcb.tee)),
        extension(&[3, 3], number(tcb.snp)),
        extension(&[3, 5], number(0)),
        extension(&[3, 6], number(0)),
        extension(&[3, 7], number(0)),
        extension(&[3, 8], number(tcb.microcode)),
        extension(&[4], chip_id),
    ];
    let own = match product {
        AmdProduct::Genoa | AmdProduct::Milan => extension(&[3, 4], number(0)),
        AmdProduct::Turin => extension(&[3, 9], number(tcb.fmc)),
    };
    extensions.push(own);
    extensions
}

/// The firmware of the simulated chip.
pub fn current_tcb(product: AmdProduct) -> AmdTcb {
    match product {
        AmdProduct::Genoa => AmdTcb { fmc: 0, boot_loader: 10, tee: 0, snp: 27, microcode: 88 },
        AmdProduct::Milan => AmdTcb { fmc: 0, boot_loader: 4, tee: 0, snp: 27, microcode: 222 },
        AmdProduct::Turin => AmdTcb { fmc: 1, boot_loader: 1, tee: 1, snp: 4, microcode: 81 },
    }
}

/// A TCB as reports of this generation write it.
pub fn tcb_bytes(product: AmdProduct, tcb: AmdTcb) -> [u8; 8] {
    let AmdTcb { fmc, boot_loader, tee, snp, microcode } = tcb;
    match product {
        AmdProduct::Genoa | AmdProduct::Milan => [boot_loader, tee, 0, 0, 0, 0, snp, microcode],
        AmdProduct::Turin => [fmc, boot_loader, tee, snp, 0, 0, 0, microcode],
    }
}

/// The number of the simulated chip: 64 bytes, on Turin 8.
pub fn chip_id(product: AmdProduct) -> Vec<u8> {
    let number = *b"subrosa simulated chip, proves nothing, made of names and a hash";
    match product {
        AmdProduct::Genoa | AmdProduct::Milan => number.into(),
        AmdProduct::Turin => number[..8].into(),
    }
}

static CHIP: LazyLock<SigningKey> = LazyLock::new(|| {
    let bytes = Sha384::digest(CHIP_KEY_TAG);
    SigningKey::from_slice(&bytes)
        .expect("a hash is outside the group's order with a chance of 2^-189")
});

/// The chip's public key, an uncompressed point.
fn chip_point() -> Vec<u8> {
    CHIP.verifying_key().to_encoded_point(false).as_bytes().to_vec()
}

fn extension(arc: &[u64], value: Vec<u8>) -> SnpExtension {
    SnpExtension { oid: [&AMD, arc].concat(), critical: false, value }
}

fn padded(chip_id: &[u8]) -> [u8; 64] {
    let mut padded = [0; 64];
    padded[..chip_id.len()].copy_from_slice(chip_id);
    padded
}

fn image(label: &str) -> [u8; 48] {
    Sha384::new().chain_update(IMAGE_TAG).chain_update(label).finalize().into()
}

#[cfg(test)]
mod tests {
    use sha2::Sha256;
    use subrosa_verifier::SIMULATOR_AMD_ROOT_SHA256;

    use super::*;

    #[test]
    fn every_simulator_has_the_root_that_verifiers_know() {
        let certificate = SnpRoot::Known.certificate();
        let fingerprint = B256::from(<[u8; 32]>::from(Sha256::digest(certificate)));
        assert_eq!(fingerprint, SIMULATOR_AMD_ROOT_SHA256);
    }

    #[test]
    fn chips_have_numbers_of_the_length_of_their_generation() {
        for product in AmdProduct::ALL {
            let expected = if product == AmdProduct::Turin { 8 } else { 64 };
            assert_eq!(chip_id(product).len(), expected);
        }
    }
}
