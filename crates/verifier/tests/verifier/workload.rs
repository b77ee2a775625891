//! What runs in the image: exits, backends and models that nobody measured.

use subrosa_protocol::manifest::{Layer, ModelManifest};
use subrosa_protocol::workload::{Backend, BackendKind, Exit, WorkloadModel};
use subrosa_protocol::{B256, Workload};
use subrosa_verifier::CheckName::{self, *};
use subrosa_verifier::Outcome;

use crate::world::*;

fn outside_image(workload: &mut Workload) {
    workload.backend.in_image = false;
}

fn pulling(workload: &mut Workload) {
    workload.backend = Backend { kind: BackendKind::Ollama, in_image: true, pulls: true };
}

fn scripted(workload: &mut Workload) {
    workload.backend.kind = BackendKind::Scripted;
}

fn logging(workload: &mut Workload) {
    workload.exits.push(Exit { kind: "log".into(), to: "https://logs.example".into() });
}

/// What an honest workload becomes, and the rule that it then breaks.
type Breach = (fn(&mut Workload), CheckName);

const BREACHES: [Breach; 4] = [
    (outside_image, BackendInImage),
    (pulling, BackendInImage),
    (scripted, BackendInImage),
    (logging, PlaintextExits),
];

#[test]
fn a_simulated_network_reports_what_it_tolerates() {
    for (breach, name) in BREACHES {
        let mut stated = workload();
        breach(&mut stated);
        let mut world = World::new();
        world.workload = stated.to_bytes();
        let attested = world.attested();
        let check = attested.report().check(name).unwrap();
        assert_eq!(check.outcome, Outcome::Waived, "{check:?}");
        assert!(check.seen.ends_with("(simulated)"), "{check:?}");
    }
}

#[test]
fn an_unreleased_model_is_refused_even_where_hardware_is_simulated() {
    let mut world = World::new();
    world.policy.releases.models.clear();
    assert_failed(&world.refused(), MeasuredModelWeights);

    let sha256 = B256::repeat_byte(0x99);
    let layer = Layer { role: "weights".into(), path: "other.gguf".into(), size: 1, sha256 };
    let manifest = ModelManifest::new(vec![layer]).unwrap();
    let mut stated = workload();
    let settings = vec![];
    stated.models.push(WorkloadModel { name: "smuggled".into(), manifest, settings });
    let mut world = World::new();
    world.workload = stated.to_bytes();
    assert_failed(&world.refused(), MeasuredModelWeights);
}

#[test]
fn a_workload_that_is_not_canonical_is_refused() {
    let spellings: [&[u8]; 4] = [b"", b"{}", b"null", b"{\"image\":\"x\"}"];
    for bytes in spellings {
        let mut world = World::new();
        world.workload = bytes.to_vec();
        let refusal = world.refused();
        assert_failed(&refusal, WorkloadStructure);
        assert_outcomes(&refusal, Outcome::Absent, &[BackendInImage, MeasuredModelWeights]);
    }
    let mut world = World::new();
    world.workload.push(b'\n');
    assert_failed(&world.refused(), WorkloadStructure);
}
