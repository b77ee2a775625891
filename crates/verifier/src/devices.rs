//! What devices say: the bytes that a quote binds as `devices` (spec/evidence.md section 1).

use serde_json::json;
pub use subrosa_nvidia_evidence::Architecture;
use subrosa_protocol::encoding::to_base64;

use crate::Unreadable;
use crate::strict::Object;

/// Eight GPUs and four switches, and as many again.
pub const DEVICES_MAX: usize = 24;

/// The longest report of one device that a document carries: a GPU's has 4 kB.
pub const DEVICE_REPORT_BYTES_MAX: usize = 16 * 1024;

/// The longest chain of one device that a document carries: five certificates in PEM have 5 kB.
pub const DEVICE_CHAIN_BYTES_MAX: usize = 16 * 1024;

/// The devices of one machine, each with a report over the same nonce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices(pub Vec<Device>);

/// A device's report and certificates, as the device gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Which kind of device it is.
    pub architecture: Architecture,
    /// SPDM request and response, ending with the signature.
    pub report: Vec<u8>,
    /// PEM: its certificate first, the root last.
    pub chain: String,
}

/// The name as documents of ours write it.
fn spelled(architecture: Architecture) -> String {
    architecture.name().to_ascii_lowercase()
}

impl Devices {
    /// The bytes that a quote binds: none where there is no device, else compact JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let device = |device: &Device| {
            json!({
                "architecture": spelled(device.architecture),
                "report": to_base64(&device.report),
                "chain": device.chain,
            })
        };
        let devices: Vec<_> = self.0.iter().map(device).collect();
        json!({ "devices": devices }).to_string().into_bytes()
    }

    /// Reads those bytes; each set of devices has one spelling.
    ///
    /// # Errors
    /// [`Unreadable`], which says which member is wrong and how.
    pub fn from_bytes(bytes: &[u8]) -> Result<Devices, Unreadable> {
        if bytes.is_empty() {
            return Ok(Devices::default());
        }
        let mut object = Object::parse(bytes)?;
        let mut devices = Vec::new();
        for mut entry in object.objects("devices", DEVICES_MAX)? {
            let name = entry.text("architecture")?;
            let known = Architecture::ALL.into_iter().find(|known| spelled(*known) == name);
            devices.push(Device {
                architecture: known.ok_or(Unreadable::UnknownDevice)?,
                report: entry.base64("report", DEVICE_REPORT_BYTES_MAX)?,
                chain: entry.text_within("chain", DEVICE_CHAIN_BYTES_MAX)?,
            });
            entry.finish()?;
        }
        object.finish()?;
        let devices = Devices(devices);
        match devices.to_bytes() == bytes {
            true => Ok(devices),
            false => Err(Unreadable::NotCanonical { member: "devices".into() }),
        }
    }
}
