//! A simulated node with its collateral, as a verifier sees them.

#![allow(dead_code)] // each test file uses its own part

use subrosa_nvidia_evidence::simulator::{DEVICE_ROOT_SHA256, Node, RIM_ROOT_SHA256};
use subrosa_nvidia_evidence::{
    Architecture, Collateral, DeviceEvidence, Fingerprint, NodeAppraisal, Policy, RimStore,
    appraise_node,
};

/// In 2026.
pub const AT: u64 = 1_790_000_000;

pub const DAY: u64 = 86_400;

pub const NONCE: [u8; 32] = [0xA5; 32];

/// All bytes that a verifier gets.
#[derive(Clone)]
pub struct World {
    pub nonce: [u8; 32],
    /// Kind, report and chain.
    pub devices: Vec<(Architecture, Vec<u8>, Vec<u8>)>,
    pub rims: Vec<Vec<u8>>,
    pub ocsp: Vec<Vec<u8>>,
    pub crls: Vec<Vec<u8>>,
}

impl World {
    pub fn of(node: &Node) -> World {
        let devices = node.evidence(&NONCE).into_iter();
        let collateral = node.collateral(AT);
        World {
            nonce: NONCE,
            devices: devices
                .map(|device| (device.architecture, device.report, device.chain_pem.into_bytes()))
                .collect(),
            rims: collateral.rims.into_iter().map(|rim| rim.xml).collect(),
            ocsp: collateral.ocsp,
            crls: collateral.crls,
        }
    }

    /// The manifests; those that cannot be read are as good as absent.
    pub fn rims(&self) -> RimStore {
        let mut rims = RimStore::new();
        for xml in &self.rims {
            let _unreadable = rims.add(xml).err();
        }
        rims
    }

    pub fn appraise(&self, policy: &Policy) -> NodeAppraisal {
        self.appraise_with(&self.rims(), policy)
    }

    /// The appraisal with manifests that were read, and perhaps verified, before.
    pub fn appraise_with(&self, rims: &RimStore, policy: &Policy) -> NodeAppraisal {
        let ocsp: Vec<&[u8]> = self.ocsp.iter().map(Vec::as_slice).collect();
        let crls: Vec<&[u8]> = self.crls.iter().map(Vec::as_slice).collect();
        let collateral = Collateral { rims, ocsp: &ocsp, crls: &crls };
        let devices: Vec<_> = self
            .devices
            .iter()
            .map(|(architecture, report, chain_pem)| DeviceEvidence {
                architecture: *architecture,
                report,
                chain_pem,
            })
            .collect();
        appraise_node(&devices, &collateral, &self.nonce, policy, AT)
    }
}

/// Everything is demanded, of the simulator's roots.
pub fn simulated() -> Policy {
    Policy {
        device_root: Fingerprint(DEVICE_ROOT_SHA256),
        rim_root: Fingerprint(RIM_ROOT_SHA256),
        ..Policy::strict()
    }
}
