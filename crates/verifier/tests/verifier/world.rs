//! The smallest world in which evidence can be made and checked: one chain, one pod, one policy.

use subrosa_attester::{Fault, SimulatedKind, Simulator};
use subrosa_protocol::manifest::{Layer, ModelManifest};
use subrosa_protocol::workload::{Backend, BackendKind, WorkloadModel};
use subrosa_protocol::{Address, B256, Domain, Keyset, SecretKey, Timestamp, Workload};
use subrosa_verifier::{
    Attested, Block, ChainView, CheckName, CpuEvidence, DeviceCollateral, Evidence, Freshness,
    Nonce, Outcome, Parts, Policy, Refusal, Releases, TdxEvidence, report_data, verify,
};

pub const NOW: Timestamp = Timestamp(1_790_000_000);
pub const IMAGE: &str = "pod 0.1";
pub const DOMAIN: Domain = Domain { chain_id: 31_337, escrow: Address::new([0xe5; 20]) };
pub const OUR_NONCE: B256 = B256::new([0x4e; 32]);

pub const BLOCK: Block =
    Block { number: 40, hash: B256::new([0xb1; 32]), timestamp: Timestamp(NOW.0 - 60) };

/// A pod, what it says of itself, and what a client makes of it.
pub struct World {
    pub simulator: Simulator,
    pub nonce: Nonce,
    pub keyset: Vec<u8>,
    /// Bytes for the quote to bind in place of what the simulator's own devices say.
    pub devices: Vec<u8>,
    pub workload: Vec<u8>,
    pub policy: Policy,
    pub freshness: Freshness,
    pub now: Timestamp,
}

impl World {
    pub fn new() -> World {
        World::with(Simulator::new(IMAGE))
    }

    pub fn faulty(fault: Fault) -> World {
        World::with(Simulator::faulty(IMAGE, fault))
    }

    /// A pod on hardware of this kind, whose image is released for it.
    pub fn of(kind: SimulatedKind) -> World {
        World::with(Simulator::of(kind, IMAGE))
    }

    pub fn with(simulator: Simulator) -> World {
        let keyset = Keyset { signer: signer().address(), not_after: Timestamp(NOW.0 + 90_000) };
        World {
            nonce: shared_nonce(),
            keyset: keyset.to_bytes(),
            devices: vec![],
            workload: workload().to_bytes(),
            policy: Policy::simulated(releases_of(simulator.kind())),
            freshness: shared(),
            now: NOW,
            simulator,
        }
    }

    pub fn evidence(&self) -> Evidence {
        let World { nonce, keyset, devices, workload, now, .. } = self;
        if devices.is_empty() {
            return self.simulator.evidence(nonce, keyset, workload, *now).unwrap();
        }
        let bound = report_data(nonce, keyset, devices, workload);
        let cpu = self.simulator.cpu_evidence(bound, *now).unwrap();
        compose(*nonce, keyset, devices, workload, cpu)
    }

    /// What the client makes of evidence that came over the wire.
    pub fn check(&self, evidence: &Evidence) -> Result<Attested, Refusal> {
        let received = Evidence::parse(evidence.as_bytes()).unwrap();
        assert_eq!(&received, evidence);
        verify(&received, &self.policy, &self.freshness, self.now)
    }

    pub fn verdict(&self) -> Result<Attested, Refusal> {
        self.check(&self.evidence())
    }

    pub fn attested(&self) -> Attested {
        self.verdict().unwrap()
    }

    /// The refusal of this world's evidence.
    pub fn refused(&self) -> Refusal {
        self.verdict().unwrap_err()
    }
}

/// A document of these parts, without devices' collateral.
pub fn compose(
    nonce: Nonce,
    keyset: &[u8],
    devices: &[u8],
    workload: &[u8],
    cpu: CpuEvidence,
) -> Evidence {
    Evidence::compose(Parts {
        nonce,
        keyset: keyset.to_vec(),
        devices: devices.to_vec(),
        workload: workload.to_vec(),
        cpu,
        device_collateral: DeviceCollateral::default(),
    })
}

/// The TDX quote of evidence that has one.
pub fn tdx(evidence: &Evidence) -> TdxEvidence {
    match evidence.cpu() {
        CpuEvidence::Tdx(tdx) => tdx.clone(),
        other => panic!("not TDX: {:?}", other.cpu()),
    }
}

/// Asserts what failed first, and that nothing was passed that could not be known.
#[track_caller]
pub fn assert_failed(refusal: &Refusal, name: CheckName) {
    assert_eq!(refusal.failed().name, name, "{refusal}");
    assert_eq!(refusal.report().outcome(name), Outcome::Failed);
}

/// Asserts the outcomes of several checks.
#[track_caller]
pub fn assert_outcomes(refusal: &Refusal, outcome: Outcome, names: &[CheckName]) {
    for name in names {
        assert_eq!(refusal.report().outcome(*name), outcome, "{name}: {refusal}");
    }
}

pub fn signer() -> SecretKey {
    SecretKey::from_bytes(&[0x51; 32]).unwrap()
}

pub fn shared_nonce() -> Nonce {
    Nonce {
        verifier: B256::ZERO,
        chain_id: DOMAIN.chain_id,
        block_number: BLOCK.number,
        block_hash: BLOCK.hash,
    }
}

/// A client that follows the chain, a few blocks ahead of the evidence.
pub fn shared() -> Freshness {
    let finalised = Block { number: 44, hash: B256::repeat_byte(0xb2), timestamp: NOW };
    let view = ChainView { chain_id: DOMAIN.chain_id, finalised, named: Some(BLOCK) };
    Freshness { nonce: None, chain: Some(view) }
}

pub fn manifest() -> ModelManifest {
    let sha256 = B256::repeat_byte(0x3a);
    let layer = Layer { role: "weights".into(), path: "model.gguf".into(), size: 1_000, sha256 };
    ModelManifest::new(vec![layer]).unwrap()
}

pub fn workload() -> Workload {
    let model = WorkloadModel { name: "smollm2".into(), manifest: manifest(), settings: vec![] };
    Workload {
        image: IMAGE.into(),
        backend: Backend { kind: BackendKind::Builtin, in_image: true, pulls: false },
        exits: vec![],
        models: vec![model],
    }
}

pub fn releases() -> Releases {
    releases_of(SimulatedKind::TDX)
}

pub fn releases_of(kind: SimulatedKind) -> Releases {
    Releases {
        measurements: vec![Simulator::measurement_of(kind, IMAGE)],
        models: vec![manifest().digest()],
    }
}
