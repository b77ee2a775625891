//! Reports of NVIDIA's devices in a JSON list, as its attestation SDK writes them: nothing but the
//! devices, and no word of the machine that they are in.

use subrosa_nvidia_evidence::{Report, Trailing};
use subrosa_protocol::{B256, Timestamp};

use super::endorsements::Endorsements;
use super::json::Foreign;
use crate::check::CheckName;
use crate::devices::{
    Architecture, DEVICE_CHAIN_BYTES_MAX, DEVICE_REPORT_BYTES_MAX, DEVICES_MAX, Device, Devices,
};
use crate::evidence::Unreadable;
use crate::json::Value;
use crate::kind::Kind;
use crate::nvidia;
use crate::policy::{Machines, Policy};
use crate::report::Checks;

/// Devices with their reports and certificates, and nothing around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvidiaDevices {
    devices: Devices,
    /// For each device, the nonce that the file says it answers, where it says so.
    told: Vec<Option<[u8; 32]>>,
}

impl NvidiaDevices {
    /// Whether a list is one of devices: objects, each with a report and certificates.
    pub(super) fn is_one(list: &[Value]) -> bool {
        let has =
            |members: &[(String, Value)], name| members.iter().any(|(known, _)| known == name);
        let is_device = |entry: &Value| match entry {
            Value::Object(members) => has(members, "evidence") && has(members, "certificate"),
            _ => false,
        };
        !list.is_empty() && list.iter().all(is_device)
    }

    pub(super) fn read(list: Vec<Value>) -> Result<NvidiaDevices, Unreadable> {
        let (mut devices, mut told) = (Vec::new(), Vec::new());
        for mut entry in Foreign::entries("devices", list, DEVICES_MAX)? {
            devices.push(read_device(&mut entry, None)?);
            told.push(entry.word_if_any("nonce")?);
        }
        Ok(NvidiaDevices { devices: Devices(devices), told })
    }

    /// The nonce that each report answers; none where a report cannot be read. Whether a device
    /// signed it is not known here.
    fn answered(&self) -> Vec<Option<[u8; 32]>> {
        let nonce = |device: &Device| {
            let report = Report::parse(&device.report, Trailing::TolerateOne).ok()?;
            Some(*report.request_nonce())
        };
        self.devices.0.iter().map(nonce).collect()
    }
}

/// Reads a device: `arch`, or what the object around it says of all, `certificate` and `evidence`.
pub(super) fn read_device(entry: &mut Foreign, common: Option<&str>) -> Result<Device, Unreadable> {
    let own = entry.text_if_any("arch")?;
    let named = own.as_deref().or(common);
    let known = Architecture::ALL
        .into_iter()
        .find(|known| named.is_some_and(|named| named.eq_ignore_ascii_case(known.name())));
    let chain = entry.base64("certificate", DEVICE_CHAIN_BYTES_MAX)?;
    Ok(Device {
        architecture: known.ok_or(Unreadable::UnknownDevice)?,
        report: entry.base64("evidence", DEVICE_REPORT_BYTES_MAX)?,
        chain: String::from_utf8(chain)
            .map_err(|_| Unreadable::NotPem { member: entry.path("certificate") })?,
    })
}

/// Appraises the devices, which must all answer the given nonce; without one, that of the first.
pub(super) fn examine(
    file: &NvidiaDevices,
    endorsements: &Endorsements,
    nonce: Option<B256>,
    policy: &Policy,
    at: Timestamp,
) -> Checks {
    let mut checks = Checks::new(Kind::NvidiaDevices);
    if let Err(error) = policy.check() {
        checks.fail(CheckName::NvidiaCertChain, error.to_string());
        return checks;
    }
    match policy.machines {
        Machines::Any => {
            checks.waive(CheckName::CpuIdRegistry, "any machine, the devices name none");
        }
        Machines::Listed(_) => {
            checks.fail(CheckName::CpuIdRegistry, "devices name no machine that could be listed");
        }
    }
    let answered = file.answered();
    check_told(file, &answered, &mut checks);
    // Where no report can be read, none is held against a nonce.
    let first = answered.iter().flatten().next().copied().unwrap_or_default();
    let asked = nonce.map_or(first, |nonce| nonce.0);
    let collateral = endorsements.devices();
    nvidia::check_alone(&file.devices, collateral, &asked, policy, at, &mut checks);
    match nonce {
        Some(nonce) => match_nonce(nonce, &answered, &mut checks),
        None => {
            let seen = format!(
                "no nonce was given; the first report answers {}, which says nothing of its age",
                hex::encode(first)
            );
            checks.absent(CheckName::NonceMatch, seen);
        }
    }
    checks
}

/// What the file says that a device answers counts for nothing, but must not differ.
fn check_told(file: &NvidiaDevices, answered: &[Option<[u8; 32]>], checks: &mut Checks) {
    for (device, (told, answered)) in file.told.iter().zip(answered).enumerate() {
        if let (Some(told), Some(answered)) = (told, answered)
            && told != answered
        {
            let (told, answered) = (hex::encode(told), hex::encode(answered));
            let seen = format!(
                "device {device}: the file says nonce {told}, the report answers {answered}"
            );
            checks.fail(CheckName::NvidiaNonce, seen);
        }
    }
}

/// Passes only where every device is known to have signed our nonce.
fn match_nonce(ours: B256, answered: &[Option<[u8; 32]>], checks: &mut Checks) {
    use CheckName::{NonceMatch, NvidiaNonce, NvidiaSignature};
    let other = answered.iter().enumerate().find_map(|(device, answered)| {
        answered.filter(|answered| ours != *answered).map(|answered| (device, answered))
    });
    if ours.is_zero() {
        checks.fail(NonceMatch, "a nonce of zero asks for nothing");
    } else if let Some((device, answered)) = other {
        let answered = hex::encode(answered);
        checks.fail(NonceMatch, format!("device {device} answers {answered}, we asked {ours}"));
    } else if checks.has_passed(NvidiaNonce) && checks.has_passed(NvidiaSignature) {
        checks.pass(NonceMatch, format!("our nonce {ours}"));
    } else {
        checks.absent(NonceMatch, "nvidia_nonce and nvidia_signature did not both pass");
    }
}
