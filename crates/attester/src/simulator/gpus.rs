//! The GPUs and switches beside a simulated processor.

use std::sync::{Mutex, PoisonError};

use subrosa_nvidia_evidence::simulator::{Node, SimulatedCollateral, SimulatedDevice};
use subrosa_protocol::Timestamp;
use subrosa_verifier::{Device, DeviceCollateral, Devices};

use super::fault::Fault;
use super::kind::SimulatedGpus;

const DAY_S: u64 = 24 * 3_600;

/// Names the devices of a machine that is not this one.
const OTHER_MACHINE: &str = "another machine";

/// The devices of one machine.
pub(crate) struct Gpus {
    node: Node,
    /// What NVIDIA states about them on one day, with that day's number.
    collateral: Mutex<Option<(u64, DeviceCollateral)>>,
}

impl Gpus {
    /// The devices of a machine that has some.
    pub(crate) fn of(gpus: SimulatedGpus, fault: Option<Fault>) -> Option<Gpus> {
        let node = node(gpus)?;
        let node = match fault {
            Some(Fault::Device(fault)) => node.faulty(fault),
            _ => node,
        };
        Some(Gpus { node, collateral: Mutex::new(None) })
    }

    /// The same devices of another machine.
    pub(crate) fn of_other_machine(gpus: SimulatedGpus) -> Option<Gpus> {
        let node = node(gpus)?.named(OTHER_MACHINE);
        Some(Gpus { node, collateral: Mutex::new(None) })
    }

    /// What they say to a nonce.
    pub(crate) fn answer(&self, nonce: &[u8; 32]) -> Devices {
        Devices(self.node.evidence(nonce).into_iter().map(device).collect())
    }

    /// What it takes to check them.
    pub(crate) fn collateral(&self, now: Timestamp) -> DeviceCollateral {
        let today = now.0 / DAY_S;
        // A panic elsewhere leaves at worst an old entry, which its day tells.
        let mut kept = self.collateral.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((day, collateral)) if *day == today => collateral.clone(),
            _ => {
                let SimulatedCollateral { rims, ocsp, crls } = self.node.collateral(now.0);
                let rims = rims.into_iter().map(|rim| rim.xml).collect();
                let collateral = DeviceCollateral { rims, ocsp, crls };
                *kept = Some((today, collateral.clone()));
                collateral
            }
        }
    }
}

fn node(gpus: SimulatedGpus) -> Option<Node> {
    match gpus {
        SimulatedGpus::None => None,
        SimulatedGpus::Blackwell => Some(Node::blackwell(1)),
        SimulatedGpus::Hopper => Some(Node::hopper(1)),
        SimulatedGpus::EightBlackwells => Some(Node::blackwell(8)),
        SimulatedGpus::EightHoppers => Some(Node::hopper(8)),
    }
}

fn device(device: SimulatedDevice) -> Device {
    Device { architecture: device.architecture, report: device.report, chain: device.chain_pem }
}
