//! Measurement reports: an SPDM 1.1 request, and the device's signed response to it.

use sha2::{Digest, Sha256};

use super::fault::Fault;
use super::pki::{DeviceCertificates, device_number};
use super::platform::Platform;
use crate::Architecture;

/// GET_MEASUREMENTS for all blocks, signed; then the nonce and the slot.
const REQUEST: [u8; 4] = [0x11, 0xE0, 0x01, 0xFF];
const RESPONSE: [u8; 4] = [0x11, 0x60, 0x00, 0x00];

/// How a GPU takes part in its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// Alone: a Hopper GPU has protected PCIe off.
    Single,
    /// With others: Hopper GPUs have protected PCIe on.
    Multiple,
}

/// What a report is made of besides the device's kind and key.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    /// Measurements by RIM index, which is the block's index less one.
    pub(super) measurements: Vec<(u8, [u8; 48])>,
    /// `None` where the driver is too old to send it.
    pub(super) firmware_id: Option<[u8; 48]>,
    pub(super) protection: Protection,
    /// The numbers of the switches that a GPU sees, or of the GPUs that a switch sees.
    pub(super) links: Vec<[u8; 8]>,
}

impl Contents {
    /// What a good device of this kind says.
    pub(super) fn good(platform: &Platform, protection: Protection, links: Vec<[u8; 8]>) -> Self {
        let measurements = (0..platform.blocks).map(|index| (index, platform.measurement(index)));
        let firmware_id = platform.driver.is_some().then(|| platform.firmware_id());
        Contents { measurements: measurements.collect(), firmware_id, protection, links }
    }

    /// Makes the device say what is wrong with it, where it is something that a device says.
    pub(super) fn spoil(&mut self, platform: &Platform, fault: Fault) {
        match fault {
            Fault::FwidMismatch => {
                let firmware_id = self.firmware_id.as_mut();
                firmware_id.expect("the fault is for GPUs")[0] ^= 1;
            }
            Fault::FwidMissing => self.firmware_id = None,
            Fault::MeasurementMismatch { index } => {
                let found = self.measurements.iter_mut().find(|(at, _)| *at == index);
                found.expect("a device measures what can mismatch").1 =
                    platform.other_measurement(index, "bad");
            }
            Fault::MissingBlock { index } => self.measurements.retain(|(at, _)| *at != index),
            _ => {}
        }
    }
}

/// The whole report, request first.
pub(super) fn signed(
    platform: &Platform,
    device: &str,
    certificates: &DeviceCertificates,
    contents: &Contents,
    nonce: &[u8; 32],
) -> Vec<u8> {
    let mut report = REQUEST.to_vec();
    report.extend(nonce);
    report.push(0);

    let blocks: Vec<u8> = contents.measurements.iter().flat_map(block).collect();
    report.extend(RESPONSE);
    report.push(contents.measurements.len() as u8);
    report.extend(&(blocks.len() as u32).to_le_bytes()[..3]);
    report.extend(blocks);
    // A real device draws its nonce; here the same question gets the same answer.
    let own_nonce = Sha256::new()
        .chain_update("subrosa/simulator/nvidia/nonce/v1")
        .chain_update(device)
        .chain_update(nonce);
    report.extend(own_nonce.finalize());
    let opaque = match platform.driver {
        Some(_) => gpu_fields(platform, contents),
        None => switch_fields(platform, device, contents),
    };
    report.extend((opaque.len() as u16).to_le_bytes());
    report.extend(opaque);
    let signature = certificates.firmware.key.sign_raw(&report);
    report.extend(signature);
    report
}

/// Index from one, specification DMTF, then a raw digest of 48 bytes.
fn block((index, value): &(u8, [u8; 48])) -> Vec<u8> {
    let mut block = vec![index + 1, 1];
    block.extend(51_u16.to_le_bytes());
    block.push(1);
    block.extend(48_u16.to_le_bytes());
    block.extend(value);
    block
}

/// In the order of real reports.
fn gpu_fields(platform: &Platform, contents: &Contents) -> Vec<u8> {
    let driver = platform.driver.as_ref().expect("only GPUs get here");
    let firmware = &platform.firmware;
    let mut fields = Fields::default();
    fields.add(6, &packed_version(firmware.version));
    fields.add(14, &[0, 0, 0, 0]);
    let mut chip_sku = firmware.chip_sku.as_bytes().to_vec();
    chip_sku.resize(9, 0);
    fields.add(15, &chip_sku);
    fields.add(16, b"0\0\0\0\0");
    fields.add_text(17, firmware.project);
    fields.add_text(18, firmware.project_sku);
    fields.add(19, &[0, 0]);
    fields.add_text(3, driver.version);
    fields.add(4, &[0x80, 1, 0, 0, 0, 0, 0, 0]);
    fields.add(12, &measurement_counts(contents, 64));
    fields.add(13, &[0, 0xC0, 1, 0]);
    fields.add(11, &[driver.nvdec]);
    if let Some(firmware_id) = &contents.firmware_id {
        fields.add(20, firmware_id);
    }
    let multiple = contents.protection == Protection::Multiple;
    match platform.architecture {
        Architecture::Blackwell => {
            fields.add(33, &[7, 7]);
            fields.add(34, &[1, 0]);
            fields.add_text(35, platform.product);
            fields.add(36, &[u8::from(multiple), 0]);
        }
        _ => {
            fields.add(21, &[if multiple { 0xAA } else { 0x55 }]);
            if multiple {
                fields.add(22, &ports(&contents.links));
            }
            fields.add(34, &[1, 0]);
            fields.add(36, &[if multiple { 2 } else { 0 }, 0]);
        }
    }
    fields.0
}

fn switch_fields(platform: &Platform, device: &str, contents: &Contents) -> Vec<u8> {
    let mut fields = Fields::default();
    fields.add(6, platform.firmware.version.as_bytes());
    fields.add(22, &device_number(device));
    fields.add(12, &measurement_counts(contents, 26));
    // The GPUs it sees, then which of its ports leads to which of them.
    let mut links: Vec<u8> = contents.links.iter().take(8).flatten().copied().collect();
    links.resize(64, 0xFF);
    let gpus = contents.links.len().min(8) as u8;
    links.extend((0..64).map(|port| if port / 4 < gpus { port / 4 } else { 0xFF }));
    fields.add(26, &links);
    fields.add(23, &[0xEC, 0]);
    fields.add(24, &[2, 0]);
    fields.add(25, &[1, 0]);
    fields.0
}

/// The switch behind each of a GPU's eighteen links; a GPU writes a switch's number backwards.
fn ports(switches: &[[u8; 8]]) -> Vec<u8> {
    let none = [[0; 8]];
    let switches = if switches.is_empty() { &none } else { switches };
    (0..18).flat_map(|port| switches[port / 2 % switches.len()].into_iter().rev()).collect()
}

/// How often each block was extended: here once, where there is a measurement.
fn measurement_counts(contents: &Contents, fields: u8) -> Vec<u8> {
    let count = |index| {
        let measured =
            contents.measurements.iter().any(|(at, value)| *at == index && *value != [0; 48]);
        u32::from(measured).to_le_bytes()
    };
    (0..fields).flat_map(count).collect()
}

/// `96.00.CF.00.02` as a GPU packs it: the first four parts backwards, then the fifth.
fn packed_version(dotted: &str) -> [u8; 8] {
    let part = |text| u8::from_str_radix(text, 16).expect("versions of platforms are hex");
    let parts: Vec<u8> = dotted.split('.').map(part).collect();
    [parts[3], parts[2], parts[1], parts[0], parts[4], 0, 0, 0]
}

/// Opaque fields: u16le type, u16le length, value.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn add(&mut self, kind: u16, value: &[u8]) {
        self.0.extend(kind.to_le_bytes());
        self.0.extend((value.len() as u16).to_le_bytes());
        self.0.extend(value);
    }

    fn add_text(&mut self, kind: u16, text: &str) {
        self.add(kind, &[text.as_bytes(), b"\0"].concat());
    }
}
