//! The appraisal of several devices that say they are one machine.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

use thiserror::Error;

use crate::appraise::{Appraisal, Appraiser, Collateral, DeviceClaims, DeviceEvidence};
use crate::architecture::Architecture;
use crate::policy::Policy;

/// A board of eight GPUs and four switches is the largest machine.
pub const DEVICES_MAX: usize = 64;

/// Eight Hopper GPUs are a whole board.
const GPUS_OF_A_BOARD: usize = 8;
/// It has four switches.
const SWITCHES_OF_A_BOARD: usize = 4;

/// The checks of a machine, in the order in which they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeCheckName {
    /// No device is shown twice.
    DevicesDistinct,
    /// There are GPUs, all of one family, with switches only where that family has them.
    OneArchitecture,
    /// All GPUs say the same of their links.
    ProtectedPcie,
    /// Several GPUs in PPCIE mode show their switches, those that every one of them is linked to; a
    /// board of eight has four.
    SwitchesPresent,
}

impl NodeCheckName {
    /// All of them, in order.
    pub const ALL: [Self; 4] =
        [Self::DevicesDistinct, Self::OneArchitecture, Self::ProtectedPcie, Self::SwitchesPresent];

    /// The name in reports: lower case with underscores.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DevicesDistinct => "devices_distinct",
            Self::OneArchitecture => "one_architecture",
            Self::ProtectedPcie => "protected_pcie",
            Self::SwitchesPresent => "switches_present",
        }
    }

    /// What the check protects against, for people.
    pub const fn protects_against(self) -> &'static str {
        match self {
            Self::DevicesDistinct => "one genuine device that stands for several",
            Self::OneArchitecture => "devices of several machines shown as one",
            Self::ProtectedPcie => "a GPU whose links are open beside others whose are not",
            Self::SwitchesPresent => "switches that read what GPUs send each other",
        }
    }
}

impl fmt::Display for NodeCheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a check refuses a machine. Devices count from 0.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the fields are named by the messages
pub enum NodeRefusal {
    /// A device could not be read, so nothing can be said of the machine.
    #[error("device {device} cannot be read")]
    Unreadable { device: usize },
    /// More devices than any machine has.
    #[error("{got} devices, more than {DEVICES_MAX}")]
    TooMany { got: usize },
    /// The same device twice.
    #[error("devices {first} and {second} have the same {what}, {value}")]
    Duplicate { first: usize, second: usize, what: &'static str, value: String },
    /// No GPU at all.
    #[error("there is no GPU")]
    NoGpu,
    /// Two families of GPUs.
    #[error("device {device} is a {got} among {expected}")]
    Mixed { device: usize, got: Architecture, expected: Architecture },
    /// A switch beside GPUs that have none of that kind.
    #[error("device {device} is a switch beside {gpus} GPUs")]
    StraySwitch { device: usize, gpus: Architecture },
    /// GPUs disagree about their links.
    #[error(
        "device {device} says {got:?} of its protected links, device {other} says {expected:?}"
    )]
    ProtectedPcie { device: usize, got: Option<bool>, other: usize, expected: Option<bool> },
    /// Switches are missing, or there are too many.
    #[error("{gpus} GPUs in PPCIE mode come with {got} switches, not {needed}")]
    Switches { gpus: usize, got: usize, needed: usize },
    /// A GPU in PPCIE mode among others does not say which switches it is linked to.
    #[error("device {device} is in PPCIE mode and names no switch that it is linked to")]
    NoLinks { device: usize },
    /// The switches shown are not those that a GPU is linked to.
    #[error("device {device} is linked to switches {linked:?}, those shown are {shown:?}")]
    OtherSwitches { device: usize, linked: Vec<String>, shown: Vec<String> },
}

/// One check of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCheck {
    /// Which check.
    pub name: NodeCheckName,
    /// What was seen, or why it refuses.
    pub outcome: Result<String, NodeRefusal>,
}

/// The outcome of every check of every device, and of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAppraisal {
    devices: Vec<Appraisal>,
    checks: Vec<NodeCheck>,
}

impl NodeAppraisal {
    /// The devices, in the order of the evidence.
    pub fn devices(&self) -> &[Appraisal] {
        &self.devices
    }

    /// The checks of the machine, in order.
    pub fn checks(&self) -> &[NodeCheck] {
        &self.checks
    }

    /// Whether every device and the machine are accepted.
    pub fn is_accepted(&self) -> bool {
        self.devices.iter().all(Appraisal::is_accepted)
            && self.checks.iter().all(|check| check.outcome.is_ok())
    }

    /// The outcome of one check of the machine.
    pub fn outcome(&self, name: NodeCheckName) -> Option<&Result<String, NodeRefusal>> {
        let found = self.checks.iter().find(|check| check.name == name)?;
        Some(&found.outcome)
    }
}

/// Appraises the devices of one machine at `at` (Unix seconds), all asked with the same nonce.
pub fn appraise_node(
    evidence: &[DeviceEvidence<'_>],
    collateral: &Collateral<'_>,
    nonce: &[u8; 32],
    policy: &Policy,
    at: u64,
) -> NodeAppraisal {
    Appraiser::new(collateral, policy, at).node(evidence, nonce)
}

impl Appraiser<'_> {
    /// Makes every check of the devices of one machine, and of the machine.
    pub fn node(&mut self, evidence: &[DeviceEvidence<'_>], nonce: &[u8; 32]) -> NodeAppraisal {
        let got = evidence.len();
        if got > DEVICES_MAX {
            return refused_whole(&NodeRefusal::TooMany { got });
        }
        let devices: Vec<_> = evidence.iter().map(|it| self.device(it, nonce)).collect();
        let claims = devices.iter().map(Appraisal::unverified_claims);
        let claims = claims
            .enumerate()
            .map(|(device, claims)| claims.ok_or(NodeRefusal::Unreadable { device }))
            .collect::<Result<Vec<_>, _>>();
        match claims {
            Err(refusal) => NodeAppraisal { devices, ..refused_whole(&refusal) },
            Ok(claims) => {
                let check = |name| NodeCheck { name, outcome: check(name, &claims) };
                let checks = NodeCheckName::ALL.into_iter().map(check).collect();
                NodeAppraisal { devices, checks }
            }
        }
    }
}

fn refused_whole(refusal: &NodeRefusal) -> NodeAppraisal {
    let check = |name| NodeCheck { name, outcome: Err(refusal.clone()) };
    NodeAppraisal {
        devices: Vec::new(),
        checks: NodeCheckName::ALL.into_iter().map(check).collect(),
    }
}

fn check(name: NodeCheckName, devices: &[&DeviceClaims]) -> Result<String, NodeRefusal> {
    match name {
        NodeCheckName::DevicesDistinct => devices_distinct(devices),
        NodeCheckName::OneArchitecture => one_architecture(devices),
        NodeCheckName::ProtectedPcie => protected_pcie(devices),
        NodeCheckName::SwitchesPresent => switches_present(devices),
    }
}

fn devices_distinct(devices: &[&DeviceClaims]) -> Result<String, NodeRefusal> {
    let mut seen = HashMap::new();
    for (second, device) in devices.iter().enumerate() {
        let identities = [
            ("serial number of the leaf", Some(device.leaf_serial.clone())),
            ("key", Some(device.key.to_string())),
            ("identity", device.device_info.clone()),
            ("boot ROM", device.boot_rom_serial.clone()),
        ];
        for (what, value) in identities {
            let Some(value) = value else { continue };
            match seen.entry((what, value)) {
                Entry::Vacant(entry) => {
                    entry.insert(second);
                }
                Entry::Occupied(entry) => {
                    let (first, value) = (*entry.get(), entry.key().1.clone());
                    return Err(NodeRefusal::Duplicate { first, second, what, value });
                }
            }
        }
    }
    Ok(format!("{} devices", devices.len()))
}

fn gpus<'a>(devices: &[&'a DeviceClaims]) -> Vec<(usize, &'a DeviceClaims)> {
    let devices = devices.iter().copied().enumerate();
    devices.filter(|(_, device)| device.architecture.is_gpu()).collect()
}

fn one_architecture(devices: &[&DeviceClaims]) -> Result<String, NodeRefusal> {
    let gpus = gpus(devices);
    let (_, first) = gpus.first().ok_or(NodeRefusal::NoGpu)?;
    let expected = first.architecture;
    if let Some((device, other)) = gpus.iter().find(|(_, it)| it.architecture != expected) {
        let got = other.architecture;
        return Err(NodeRefusal::Mixed { device: *device, got, expected });
    }
    let stray = devices.iter().position(|it| !it.architecture.is_gpu());
    match stray.filter(|_| expected != Architecture::Hopper) {
        Some(device) => Err(NodeRefusal::StraySwitch { device, gpus: expected }),
        None => Ok(expected.to_string()),
    }
}

fn protected_pcie(devices: &[&DeviceClaims]) -> Result<String, NodeRefusal> {
    let gpus = gpus(devices);
    let (other, first) = gpus.first().ok_or(NodeRefusal::NoGpu)?;
    let expected = first.protected_pcie;
    match gpus.iter().find(|(_, it)| it.protected_pcie != expected) {
        Some((device, it)) => Err(NodeRefusal::ProtectedPcie {
            device: *device,
            got: it.protected_pcie,
            other: *other,
            expected,
        }),
        None => Ok(match expected {
            Some(true) => "on",
            Some(false) => "off",
            None => "not said",
        }
        .to_owned()),
    }
}

/// In PPCIE mode GPUs do not encrypt what they send over the switches: these belong to what must
/// be proven, however many of the machine's GPUs are shown, since who shows them could leave one
/// out. A GPU that is alone sends nothing to others. Blackwell encrypts, and shows no switches.
fn switches_present(devices: &[&DeviceClaims]) -> Result<String, NodeRefusal> {
    let gpus = gpus(devices);
    let got = devices.len() - gpus.len();
    let protected: Vec<_> =
        gpus.iter().copied().filter(|(_, gpu)| gpu.protected_pcie == Some(true)).collect();
    if gpus.len() > 1 && !protected.is_empty() {
        let linked = switches_linked(devices, &protected)?;
        let needed = if gpus.len() == GPUS_OF_A_BOARD { SWITCHES_OF_A_BOARD } else { linked };
        if got != needed {
            return Err(NodeRefusal::Switches { gpus: gpus.len(), got, needed });
        }
    }
    Ok(format!("{got} switches"))
}

/// Demands that the switches shown are those that each protected GPU is linked to; returns how many.
/// The nonce alone does not say that a switch is of this machine: its links do.
fn switches_linked(
    devices: &[&DeviceClaims],
    protected: &[(usize, &DeviceClaims)],
) -> Result<usize, NodeRefusal> {
    let switches = devices.iter().filter(|it| !it.architecture.is_gpu());
    let shown: BTreeSet<[u8; 8]> =
        switches.flat_map(|it| it.switch_numbers.iter().copied()).collect();
    for (device, gpu) in protected {
        let device = *device;
        if gpu.switch_numbers.is_empty() {
            return Err(NodeRefusal::NoLinks { device });
        }
        if gpu.switch_numbers != shown {
            let text = |it: &BTreeSet<[u8; 8]>| it.iter().map(hex::encode).collect();
            let (linked, shown) = (text(&gpu.switch_numbers), text(&shown));
            return Err(NodeRefusal::OtherSwitches { device, linked, shown });
        }
    }
    Ok(shown.len())
}

#[cfg(test)]
mod tests;
