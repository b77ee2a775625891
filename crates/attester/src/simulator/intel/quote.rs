//! The bytes of a TDX quote, version 4, little-endian (spec/evidence.md section 5).

use sha2::{Digest, Sha256};

use super::collateral::qe_signer;
use super::key::Key;
use super::pki::Pki;

pub(crate) const QE_PRODUCT_ID: u16 = 2;
pub(crate) const QE_ISV_SVN: u16 = 4;

/// Bit 0 of the TD attributes.
pub(crate) const DEBUG: u64 = 1;
/// Bit 28 of the TD attributes.
pub(crate) const SEPT_VE_DISABLE: u64 = 1 << 28;
/// Bit 29 of the TD attributes.
pub(crate) const MIGRATABLE: u64 = 1 << 29;

const INTEL_QE_VENDOR_ID: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];

/// What the simulated trust domain reports of itself.
pub(crate) struct TdReport {
    pub(crate) attributes: u64,
    pub(crate) mrtd: [u8; 48],
    pub(crate) report_data: [u8; 64],
}

/// The simulated quoting enclave: its key, and its own report under the platform's certificate.
pub(crate) struct QuotingEnclave {
    key: Key,
    /// Everything after the quote's signature and key, which no quote changes.
    certification: Vec<u8>,
}

impl QuotingEnclave {
    pub(crate) fn on(pki: &Pki, name: &str) -> QuotingEnclave {
        let key = Key::named(&format!("{name}, attestation key"));
        let authentication = [0x5a; 32];
        let report = enclave_report(&key, &authentication);

        let mut certification = Vec::new();
        certification.extend(report);
        certification.extend(pki.pck_key.sign_raw(&report));
        certification.extend(32u16.to_le_bytes());
        certification.extend(authentication);
        certification.extend(5u16.to_le_bytes());
        extend_with_length(&mut certification, pki.pck_chain().as_bytes());
        QuotingEnclave { key, certification }
    }

    /// Signs a report.
    pub(crate) fn quote(&self, report: &TdReport) -> Vec<u8> {
        let mut quote = header().to_vec();
        quote.extend(body(report));
        let mut signature = self.key.sign_raw(&quote).to_vec();
        signature.extend(self.key.public());
        signature.extend(6u16.to_le_bytes());
        extend_with_length(&mut signature, &self.certification);
        extend_with_length(&mut quote, &signature);
        quote
    }
}

fn header() -> [u8; 48] {
    let mut header = [0; 48];
    header[0..2].copy_from_slice(&4u16.to_le_bytes());
    header[2..4].copy_from_slice(&2u16.to_le_bytes());
    header[4..8].copy_from_slice(&0x81u32.to_le_bytes());
    header[12..28].copy_from_slice(&INTEL_QE_VENDOR_ID);
    header
}

fn body(report: &TdReport) -> [u8; 584] {
    let mut body = [0; 584];
    // The features that today's guests have: x87 to AVX-512, protection keys, AMX.
    body[128..136].copy_from_slice(&0x0006_02e7u64.to_le_bytes());
    body[120..128].copy_from_slice(&report.attributes.to_le_bytes());
    body[136..184].copy_from_slice(&report.mrtd);
    body[520..584].copy_from_slice(&report.report_data);
    body
}

/// The report of the quoting enclave, which vouches for its key.
fn enclave_report(key: &Key, authentication: &[u8]) -> [u8; 384] {
    let mut report = [0; 384];
    // Initialised, 64 bits, with the provisioning key: the attributes of Intel's enclave.
    report[48] = 0x15;
    report[128..160].copy_from_slice(&qe_signer());
    report[256..258].copy_from_slice(&QE_PRODUCT_ID.to_le_bytes());
    report[258..260].copy_from_slice(&QE_ISV_SVN.to_le_bytes());
    let vouched = Sha256::new().chain_update(key.public()).chain_update(authentication).finalize();
    report[320..352].copy_from_slice(&vouched);
    report
}

fn extend_with_length(bytes: &mut Vec<u8>, block: &[u8]) {
    let length = u32::try_from(block.len()).expect("quotes have a few thousand bytes");
    bytes.extend(length.to_le_bytes());
    bytes.extend(block);
}
