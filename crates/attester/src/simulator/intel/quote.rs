//! The bytes of SGX and TDX quotes, little-endian (reference: Intel's `sgx_quote_3.h` to
//! `sgx_quote_5.h`; spec/evidence.md section 5).

use sha2::{Digest, Sha256};

use super::Technology;
use super::collateral::qe_signer;
use super::key::Key;
use super::pki::{COMPONENT_SVN, PCE_SVN, Pki};

pub(crate) const QE_ISV_SVN: u16 = 4;

/// Bit 1 of an enclave's attributes.
pub(crate) const ENCLAVE_DEBUG: u8 = 1 << 1;
/// Bits 0 and 2: the enclave is initialised, and of 64 bits.
const ENCLAVE_INITIALISED_64_BIT: u8 = 0b101;
/// Bit 4: it may have the provisioning key, as Intel's quoting enclave has.
const ENCLAVE_PROVISIONING: u8 = 1 << 4;
/// The processor state that an enclave may use: x87 and SSE, which every enclave has.
const ENCLAVE_XFRM: u8 = 0b11;

/// Bit 0 of the TD attributes.
pub(crate) const TD_DEBUG: u64 = 1;
/// Bit 28 of the TD attributes.
pub(crate) const TD_SEPT_VE_DISABLE: u64 = 1 << 28;
/// Bit 29 of the TD attributes.
pub(crate) const TD_MIGRATABLE: u64 = 1 << 29;
/// The processor state that today's guests have: x87 to AVX-512, protection keys, AMX.
const TD_XFAM: u64 = 0x0006_02e7;

const INTEL_QE_VENDOR_ID: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];

const TEE_SGX: u32 = 0;
const TEE_TDX: u32 = 0x81;

/// The type of a version 5 body that holds a report of TDX 1.5.
const BODY_TD_15: u16 = 3;

/// Types of certification data: the quoting enclave's report, and a chain in PEM.
const CERTIFICATION_QE_REPORT: u16 = 6;
const CERTIFICATION_PCK_CHAIN: u16 = 5;

/// What is quoted.
pub(crate) enum Report {
    /// An enclave, in a quote of version 3.
    Enclave(EnclaveReport),
    /// A trust domain of TDX 1.0, in a quote of version 4.
    Td10(TdReport),
    /// A trust domain of TDX 1.5, in a quote of version 5.
    Td15 {
        report: TdReport,
        /// The measurement of the guests that serve it.
        service: [u8; 48],
    },
}

/// What a simulated enclave reports of itself.
pub(crate) struct EnclaveReport {
    /// The attributes that are not every enclave's.
    pub(crate) attributes: u8,
    pub(crate) mrenclave: [u8; 32],
    pub(crate) mrsigner: [u8; 32],
    pub(crate) product_id: u16,
    pub(crate) svn: u16,
    pub(crate) report_data: [u8; 64],
}

/// What a simulated trust domain reports of itself.
pub(crate) struct TdReport {
    pub(crate) attributes: u64,
    pub(crate) mrtd: [u8; 48],
    pub(crate) config_id: [u8; 48],
    pub(crate) registers: [[u8; 48]; 4],
    pub(crate) report_data: [u8; 64],
}

/// The simulated quoting enclave: its key, and its own report under the platform's certificate.
pub(crate) struct QuotingEnclave {
    technology: Technology,
    key: Key,
    /// Everything after the quote's signature and key, which no quote changes.
    certification: Vec<u8>,
}

impl QuotingEnclave {
    pub(crate) fn on(pki: &Pki, name: &str, technology: Technology) -> QuotingEnclave {
        let key = Key::named(&match technology {
            Technology::Sgx => format!("{name}, SGX attestation key"),
            Technology::Tdx => format!("{name}, attestation key"),
        });
        let authentication = [0x5a; 32];
        let report = technology.qe_report(&key, &authentication);

        let mut certification = Vec::new();
        certification.extend(report);
        certification.extend(pki.pck_key.sign_raw(&report));
        certification.extend(32u16.to_le_bytes());
        certification.extend(authentication);
        certification.extend(CERTIFICATION_PCK_CHAIN.to_le_bytes());
        extend_with_length(&mut certification, pki.pck_chain().as_bytes());
        QuotingEnclave { technology, key, certification }
    }

    /// Signs a report.
    pub(crate) fn quote(&self, report: &Report) -> Vec<u8> {
        let mut quote = report.header().to_vec();
        quote.extend(report.body());
        let mut signature = self.key.sign_raw(&quote).to_vec();
        signature.extend(self.key.public());
        match self.technology {
            Technology::Sgx => signature.extend(&self.certification),
            Technology::Tdx => {
                signature.extend(CERTIFICATION_QE_REPORT.to_le_bytes());
                extend_with_length(&mut signature, &self.certification);
            }
        }
        extend_with_length(&mut quote, &signature);
        quote
    }
}

impl Technology {
    /// The product id of Intel's quoting enclave for it.
    pub(crate) fn qe_product_id(self) -> u16 {
        match self {
            Technology::Sgx => 1,
            Technology::Tdx => 2,
        }
    }

    /// The report of the quoting enclave, which vouches for its key.
    fn qe_report(self, key: &Key, authentication: &[u8]) -> [u8; 384] {
        let vouched =
            Sha256::new().chain_update(key.public()).chain_update(authentication).finalize();
        let mut report_data = [0; 64];
        report_data[..32].copy_from_slice(&vouched);
        EnclaveReport {
            attributes: ENCLAVE_PROVISIONING,
            mrenclave: [0; 32],
            mrsigner: qe_signer(),
            product_id: self.qe_product_id(),
            svn: QE_ISV_SVN,
            report_data,
        }
        .to_bytes()
    }
}

impl Report {
    fn header(&self) -> [u8; 48] {
        let (version, tee) = match self {
            Report::Enclave(_) => (3u16, TEE_SGX),
            Report::Td10(_) => (4, TEE_TDX),
            Report::Td15 { .. } => (5, TEE_TDX),
        };
        let mut header = [0; 48];
        header[0..2].copy_from_slice(&version.to_le_bytes());
        header[2..4].copy_from_slice(&2u16.to_le_bytes());
        header[4..8].copy_from_slice(&tee.to_le_bytes());
        if let Report::Enclave(_) = self {
            header[8..10].copy_from_slice(&QE_ISV_SVN.to_le_bytes());
            header[10..12].copy_from_slice(&PCE_SVN.to_le_bytes());
        }
        header[12..28].copy_from_slice(&INTEL_QE_VENDOR_ID);
        header
    }

    fn body(&self) -> Vec<u8> {
        match self {
            Report::Enclave(report) => report.to_bytes().to_vec(),
            Report::Td10(report) => report.to_bytes().to_vec(),
            Report::Td15 { report, service } => {
                let mut report = report.to_bytes().to_vec();
                // The versions of the module that runs now: those that it was started with.
                report.extend_from_within(0..16);
                report.extend(service);
                let mut body = BODY_TD_15.to_le_bytes().to_vec();
                extend_with_length(&mut body, &report);
                body
            }
        }
    }
}

impl EnclaveReport {
    fn to_bytes(&self) -> [u8; 384] {
        let mut report = [0; 384];
        report[0..16].copy_from_slice(&[COMPONENT_SVN; 16]);
        report[48] = ENCLAVE_INITIALISED_64_BIT | self.attributes;
        report[56] = ENCLAVE_XFRM;
        report[64..96].copy_from_slice(&self.mrenclave);
        report[128..160].copy_from_slice(&self.mrsigner);
        report[256..258].copy_from_slice(&self.product_id.to_le_bytes());
        report[258..260].copy_from_slice(&self.svn.to_le_bytes());
        report[320..384].copy_from_slice(&self.report_data);
        report
    }
}

impl TdReport {
    fn to_bytes(&self) -> [u8; 584] {
        let mut report = [0; 584];
        report[120..128].copy_from_slice(&self.attributes.to_le_bytes());
        report[128..136].copy_from_slice(&TD_XFAM.to_le_bytes());
        report[136..184].copy_from_slice(&self.mrtd);
        report[184..232].copy_from_slice(&self.config_id);
        for (register, offset) in self.registers.iter().zip([328, 376, 424, 472]) {
            report[offset..offset + 48].copy_from_slice(register);
        }
        report[520..584].copy_from_slice(&self.report_data);
        report
    }
}

fn extend_with_length(bytes: &mut Vec<u8>, block: &[u8]) {
    let length = u32::try_from(block.len()).expect("quotes have a few thousand bytes");
    bytes.extend(length.to_le_bytes());
    bytes.extend(block);
}
