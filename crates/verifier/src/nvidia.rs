//! NVIDIA's GPUs and switches: from the pinned roots down to every active measurement.
//!
//! The crate `nvidia-evidence` makes the checks; here they are put under the names of a report, all
//! devices under one.

use std::sync::LazyLock;

use subrosa_nvidia_evidence as nvidia;
use subrosa_nvidia_evidence::CheckName as Made;
use subrosa_nvidia_evidence::{
    Appraiser, DeviceEvidence, NodeAppraisal, NodeCheckName, RimStore, Surplus, Trailing,
};
use subrosa_protocol::Timestamp;

use crate::check::CheckName;
use crate::devices::{Architecture, Devices};
use crate::evidence::{DeviceCollateral, Evidence};
use crate::policy::{Demand, Gpu, NvidiaPolicy, Policy};
use crate::report::Checks;

/// What was found of signatures over authorities and reference measurements, which many documents
/// share: a bounded memory of pure answers, nothing of which counts for a document that lacks the
/// bytes.
static SIGNATURES: LazyLock<RimStore> = LazyLock::new(RimStore::new);

/// Which checks of a device stand behind one of a report's, in the order in which they are made.
const OF_DEVICES: [(CheckName, &[Made]); 10] = [
    (CheckName::NvidiaPayloadPresent, &[Made::ReportStructure]),
    (CheckName::NvidiaNonce, &[Made::NonceMatch]),
    (CheckName::NvidiaSignature, &[Made::ReportSignature]),
    (CheckName::NvidiaCertChain, &[Made::DeviceChain, Made::Architecture]),
    (CheckName::NvidiaFirmwareId, &[Made::Fwid]),
    (CheckName::NvidiaRevocation, &[Made::DeviceRevocation, Made::RimRevocation]),
    (CheckName::NvidiaRimChain, &[Made::RimChain]),
    (CheckName::NvidiaRimDigest, &[Made::RimDigest]),
    (CheckName::NvidiaRimSignature, &[Made::RimSignature]),
    (
        CheckName::NvidiaMeasurements,
        &[Made::RimPresent, Made::RimIdentity, Made::Measurements, Made::MeasurementsDisjoint],
    ),
];

/// Which checks of a machine stand behind one of a report's.
const OF_NODES: [(CheckName, &[NodeCheckName]); 2] = [
    (CheckName::NvidiaDistinctDevices, &[NodeCheckName::DevicesDistinct]),
    (
        CheckName::NvswitchBinding,
        &[
            NodeCheckName::OneArchitecture,
            NodeCheckName::ProtectedPcie,
            NodeCheckName::SwitchesPresent,
        ],
    ),
];

/// Records that a kind of document has no place for devices.
pub(crate) fn lack(policy: &Policy, why: &str, checks: &mut Checks) {
    for name in CheckName::OF_DEVICES {
        checks.absent(name, why);
    }
    if policy.gpu == Gpu::Required {
        let seen = format!("policy demands a GPU, and {why}");
        checks.fail(CheckName::NvidiaPayloadPresent, seen);
    }
}

/// Records that a document has a place for devices, and none in it.
pub(crate) fn check_none(policy: &Policy, checks: &mut Checks) {
    match policy.gpu {
        Gpu::Required => {
            let seen = "policy demands a GPU, there is none";
            checks.fail(CheckName::NvidiaPayloadPresent, seen);
        }
        Gpu::Optional => {
            for name in CheckName::OF_DEVICES {
                checks.waive(name, "no device, none demanded");
            }
        }
    }
}

/// Appraises the devices that the quote was found to bind; until when they are good.
pub(crate) fn check(
    evidence: &Evidence,
    policy: &Policy,
    now: Timestamp,
    checks: &mut Checks,
) -> Timestamp {
    let devices = match Devices::from_bytes(evidence.devices()) {
        Ok(devices) => devices,
        Err(error) => {
            checks.fail(CheckName::NvidiaPayloadPresent, error.to_string());
            return now;
        }
    };
    if devices.0.is_empty() {
        check_none(policy, checks);
        if *evidence.device_collateral() != DeviceCollateral::default() {
            // Bytes that no check looks at could be changed unseen.
            let seen = "collateral of devices that are not there";
            checks.fail(CheckName::NvidiaPayloadPresent, seen);
        }
        return Timestamp(u64::MAX);
    }
    let asked = Asked { nonce: evidence.nonce().digest(), exactly: true };
    let until = appraise(&devices, evidence.device_collateral(), &asked, policy, now, checks);
    checks.pass(CheckName::CpuGpuChain, "the quote binds these devices' reports and chains");
    until
}

/// Appraises the devices of a foreign document, which answer the nonce of its quote.
pub(crate) fn check_foreign(
    devices: &Devices,
    collateral: &DeviceCollateral,
    nonce: &[u8; 32],
    policy: &Policy,
    at: Timestamp,
    checks: &mut Checks,
) {
    if devices.0.is_empty() {
        check_none(policy, checks);
        return;
    }
    check_alone(devices, collateral, nonce, policy, at, checks);
    checks.absent(CheckName::CpuGpuChain, "nothing but the nonce joins the devices to the quote");
}

/// Appraises devices beside which no processor says anything, and which answer one nonce.
pub(crate) fn check_alone(
    devices: &Devices,
    collateral: &DeviceCollateral,
    nonce: &[u8; 32],
    policy: &Policy,
    at: Timestamp,
    checks: &mut Checks,
) {
    let asked = Asked { nonce: *nonce, exactly: false };
    appraise(devices, collateral, &asked, policy, at, checks);
}

/// What the devices were asked, and how the answer must be.
struct Asked {
    nonce: [u8; 32],
    /// Whether nothing may follow a report, and no collateral be surplus: in a document of ours no
    /// byte is one that no check looks at. Beside a foreign one lies what somebody happened to have.
    exactly: bool,
}

fn appraise(
    devices: &Devices,
    collateral: &DeviceCollateral,
    asked: &Asked,
    policy: &Policy,
    now: Timestamp,
    checks: &mut Checks,
) -> Timestamp {
    let mut rims = SIGNATURES.sibling();
    for (at, rim) in collateral.rims.iter().enumerate() {
        if let Err(error) = rims.add(rim) {
            let seen = format!("reference measurements {at} cannot be read: {error}");
            checks.fail(CheckName::NvidiaRimDigest, seen);
        }
    }
    let ocsp: Vec<&[u8]> = collateral.ocsp.iter().map(Vec::as_slice).collect();
    let crls: Vec<&[u8]> = collateral.crls.iter().map(Vec::as_slice).collect();
    let collateral = nvidia::Collateral { rims: &rims, ocsp: &ocsp, crls: &crls };
    let evidence: Vec<DeviceEvidence<'_>> = devices
        .0
        .iter()
        .map(|device| DeviceEvidence {
            architecture: device.architecture,
            report: &device.report,
            chain_pem: device.chain.as_bytes(),
        })
        .collect();
    let trailing = if asked.exactly { Trailing::Refuse } else { Trailing::TolerateOne };
    let policy = demands(policy, trailing);
    let mut appraiser = Appraiser::new(&collateral, &policy, now.0);
    let node = appraiser.node(&evidence, &asked.nonce);
    for (name, made) in OF_DEVICES {
        record_devices(name, made, &node, checks);
    }
    for (name, made) in OF_NODES {
        record_node(name, made, &node, checks);
    }
    if asked.exactly && node.is_accepted() {
        refuse_surplus(appraiser.surplus(), checks);
    }
    if checks.has_passed(CheckName::NvidiaPayloadPresent) {
        checks.pass(CheckName::NvidiaPayloadPresent, census(devices));
    }
    Timestamp(appraiser.good_until())
}

/// Refuses collateral that proved nothing about devices which are all good.
fn refuse_surplus(surplus: Option<Surplus>, checks: &mut Checks) {
    let Some(surplus) = surplus else { return };
    let name = match surplus {
        Surplus::Answer { .. } | Surplus::AnswerUnproven { .. } => CheckName::NvidiaRevocation,
        Surplus::Rim { .. } => CheckName::NvidiaMeasurements,
    };
    checks.fail(name, surplus.to_string());
}

/// How many devices of each kind there are, in words.
fn census(devices: &Devices) -> String {
    let count = |architecture| {
        let of_kind = devices.0.iter().filter(|device| device.architecture == architecture);
        let (one, more) = match architecture {
            Architecture::Blackwell => ("Blackwell GPU", "Blackwell GPUs"),
            Architecture::Hopper => ("Hopper GPU", "Hopper GPUs"),
            Architecture::Ls10 => ("switch", "switches"),
        };
        match of_kind.count() {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {more}")),
        }
    };
    let counts: Vec<_> = Architecture::ALL.into_iter().filter_map(count).collect();
    counts.join(", ")
}

/// What a policy demands, in the words of the crate that makes the checks.
fn demands(policy: &Policy, trailing: Trailing) -> nvidia::Policy {
    let NvidiaPolicy { firmware_id, revocation, reference_measurements } = policy.nvidia;
    nvidia::Policy {
        device_root: nvidia::Fingerprint(policy.roots.nvidia_device.nvidia_device_sha256().0),
        rim_root: nvidia::Fingerprint(policy.roots.nvidia_rim.nvidia_rim_sha256().0),
        fwid: firmware_id.into(),
        device_revocation: revocation.into(),
        rim_revocation: revocation.into(),
        rims: reference_measurements.into(),
        trailing,
    }
}

/// One check of all devices: the worst that came of it, with the device that it came of.
fn record_devices(name: CheckName, made: &[Made], node: &NodeAppraisal, checks: &mut Checks) {
    let mut passed = Vec::new();
    let mut waived = None;
    let mut absent = None;
    let mut good = 0;
    for (device, appraisal) in node.devices().iter().enumerate() {
        let of_name = appraisal.checks().iter().filter(|check| made.contains(&check.name));
        if of_name.clone().all(|check| matches!(check.outcome, nvidia::Outcome::Passed(_))) {
            good += 1;
        }
        for check in of_name {
            match &check.outcome {
                nvidia::Outcome::Refused(refusal) => {
                    return checks.fail(name, format!("device {device}: {refusal}"));
                }
                nvidia::Outcome::Absent(first) => {
                    absent = absent
                        .or(Some(format!("device {device} not looked at: {}", before(*first))));
                }
                nvidia::Outcome::Waived(why) => {
                    waived = waived.or(Some(format!("device {device}: {why}")));
                }
                nvidia::Outcome::Passed(seen)
                    if device == 0 && !seen.is_empty() && !passed.contains(&seen.as_str()) =>
                {
                    passed.push(seen.as_str());
                }
                nvidia::Outcome::Passed(_) => {}
            }
        }
    }
    let count = node.devices().len();
    match (absent, waived) {
        (Some(seen), _) => checks.absent(name, seen),
        (None, Some(seen)) if count == 1 => checks.waive(name, seen),
        (None, Some(seen)) => checks.waive(name, format!("{good} of {count} devices good; {seen}")),
        (None, None) if count == 0 => checks.absent(name, "the devices were not looked at"),
        (None, None) => {
            let first = if passed.is_empty() { "good".into() } else { passed.join(", ") };
            let seen = match count {
                1 => first,
                count => format!("{count} devices, the first: {first}"),
            };
            checks.pass(name, seen);
        }
    }
}

/// What did not pass before a check, which was therefore not made.
fn before(first: Made) -> &'static str {
    match first {
        Made::ReportStructure => "its report cannot be read",
        Made::NonceMatch => "it answers another nonce",
        Made::ReportSignature => "its report is not signed",
        Made::DeviceChain => "its certificates are not proven",
        Made::Architecture => "it is of another kind",
        Made::Fwid => "its signing firmware is not proven",
        Made::DeviceRevocation => "its certificates may be revoked",
        Made::RimPresent => "no reference measurements",
        Made::RimChain => "the signer of its reference measurements is not proven",
        Made::RimDigest => "its reference measurements were changed",
        Made::RimSignature => "its reference measurements are not signed",
        Made::RimRevocation => "the signer of its reference measurements may be revoked",
        Made::RimIdentity => "its reference measurements are of something else",
        Made::Measurements => "its measurements differ",
        Made::MeasurementsDisjoint => "its reference measurements overlap",
    }
}

/// One check of the machine that the devices make together.
fn record_node(name: CheckName, made: &[NodeCheckName], node: &NodeAppraisal, checks: &mut Checks) {
    let mut passed = Vec::new();
    for made in made {
        match node.outcome(*made) {
            Some(Ok(seen)) if *made == NodeCheckName::ProtectedPcie => {
                passed.push(format!("protected PCIe {seen}"));
            }
            Some(Ok(seen)) => passed.push(seen.clone()),
            Some(Err(refusal)) => return checks.fail(name, refusal.to_string()),
            None => return checks.absent(name, "the devices together were not looked at"),
        }
    }
    checks.pass(name, passed.join(", "));
}

impl From<Demand> for nvidia::Demand {
    fn from(demand: Demand) -> nvidia::Demand {
        match demand {
            Demand::Required => nvidia::Demand::Required,
            Demand::Waived => nvidia::Demand::Waived,
        }
    }
}
