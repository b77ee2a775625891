//! The kinds of simulated devices: what their reports, certificates and manifests say of them.

use sha2::{Digest, Sha384};

use crate::Architecture;

/// Separates simulated measurements from other hashes.
const MEASUREMENT_TAG: &str = "subrosa/simulator/nvidia/measurement/v1";

/// NVDEC off, as on every Hopper sample; measurement 35 is of NVDEC.
const OFF: u8 = 0x55;
/// NVDEC on.
const ON: u8 = 0xAA;

/// A kind of device. Identifiers are those of real models; measurements are made up.
#[derive(Debug)]
pub(super) struct Platform {
    pub(super) architecture: Architecture,
    /// The chip as manifests call it.
    pub(super) product: &'static str,
    /// The chip as certificates call it.
    pub(super) chip: &'static str,
    /// The processor that signs reports, as certificates call it.
    pub(super) signer: &'static str,
    /// The first byte of a boot ROM certificate's serial number; the device's number follows.
    pub(super) serial_prefix: u8,
    /// What the chip's authority is called; switches are under the Hopper one.
    pub(super) identity: &'static str,
    pub(super) provisioner: &'static str,
    /// How many measurements a report has.
    pub(super) blocks: u8,
    /// A switch has none.
    pub(super) driver: Option<Driver>,
    pub(super) firmware: Firmware,
}

/// A GPU's driver, and the RIM with its measurements.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) version: &'static str,
    pub(super) rim_prefix: &'static str,
    /// Which measurements the manifest lists.
    pub(super) indices: &'static [u8],
    pub(super) nvdec: u8,
}

/// A device's firmware (VBIOS, switch BIOS), and the RIM with its measurements.
#[derive(Debug)]
pub(super) struct Firmware {
    /// Dotted.
    pub(super) version: &'static str,
    pub(super) rim_prefix: &'static str,
    pub(super) project: &'static str,
    pub(super) project_sku: &'static str,
    pub(super) chip_sku: &'static str,
    pub(super) indices: &'static [u8],
    /// How a leaf certificate names the firmware that its key belongs to.
    pub(super) identity: FirmwareIdentity,
}

/// The extension of a leaf certificate with the digest of the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirmwareIdentity {
    /// DICE CompositeDeviceID, 2.23.133.5.4.1.
    CompositeDevice,
    /// DICE TcbInfo, 2.23.133.5.4.1.1.
    TcbInfo,
}

pub(super) const HOPPER: Platform = Platform {
    architecture: Architecture::Hopper,
    product: "GH100",
    chip: "GH100",
    signer: "GSP",
    serial_prefix: 0x41,
    identity: "GH100 Identity",
    provisioner: "GH100 Provisioner ICA 1",
    blocks: 64,
    driver: Some(Driver {
        version: "570.172.08",
        rim_prefix: "NV_GPU_DRIVER_GH100_",
        indices: &[
            7, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
        ],
        nvdec: OFF,
    }),
    firmware: Firmware {
        version: "96.00.CF.00.02",
        rim_prefix: "NV_GPU_VBIOS_G520_0280_895_",
        project: "G520",
        project_sku: "0280",
        chip_sku: "895",
        indices: &[0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12],
        identity: FirmwareIdentity::CompositeDevice,
    },
};

pub(super) const BLACKWELL: Platform = Platform {
    architecture: Architecture::Blackwell,
    product: "GB100",
    chip: "GB100",
    signer: "GSP",
    serial_prefix: 0x41,
    identity: "GB100 Identity",
    provisioner: "GB100 Provisioner ICA 00000",
    blocks: 64,
    driver: Some(Driver {
        version: "595.91.07",
        rim_prefix: "NV_GPU_CC_DRIVER_GB100_",
        indices: &[
            21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41,
        ],
        nvdec: ON,
    }),
    firmware: Firmware {
        version: "97.00.E4.00.1E",
        rim_prefix: "NV_GPU_VBIOS_G525_0220_886_",
        project: "G525",
        project_sku: "0220",
        chip_sku: "886",
        indices: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 20],
        identity: FirmwareIdentity::TcbInfo,
    },
};

pub(super) const LS10: Platform = Platform {
    architecture: Architecture::Ls10,
    product: "LS10",
    chip: "LS_10",
    signer: "FSP",
    serial_prefix: 0x50,
    identity: "GH100 Identity",
    provisioner: "LS_10 Provisioner ICA 1",
    blocks: 31,
    driver: None,
    firmware: Firmware {
        version: "96.10.55.00.01",
        rim_prefix: "NV_SWITCH_BIOS_5612_0002_890_",
        project: "5612",
        project_sku: "0002",
        chip_sku: "890",
        indices: &[
            0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
            24, 25, 26, 27, 28, 29, 30,
        ],
        identity: FirmwareIdentity::CompositeDevice,
    },
};

impl Platform {
    /// What a good device measures at an index: zeros where no manifest looks, and where real
    /// devices measure nothing.
    pub(super) fn measurement(&self, index: u8) -> [u8; 48] {
        let driver = self.driver.as_ref().is_some_and(|driver| driver.indices.contains(&index));
        let zero = matches!(index, 0 | 8 | 10 | 23 | 24 | 28) && self.driver.is_some();
        match (driver || self.firmware.indices.contains(&index)) && !zero {
            true => self.other_measurement(index, "good"),
            false => [0; 48],
        }
    }

    /// What some other software or hardware would measure there.
    pub(super) fn other_measurement(&self, index: u8, label: &str) -> [u8; 48] {
        let hash = Sha384::new()
            .chain_update(MEASUREMENT_TAG)
            .chain_update(self.product)
            .chain_update([index])
            .chain_update(label);
        hash.finalize().into()
    }

    /// The digest of the firmware that a leaf certificate's key belongs to.
    pub(super) fn firmware_id(&self) -> [u8; 48] {
        let hash = Sha384::new()
            .chain_update(MEASUREMENT_TAG)
            .chain_update(self.product)
            .chain_update("firmware id");
        hash.finalize().into()
    }
}
