//! The rules for what runs in the image: whatever can move plaintext or change an answer
//! (spec/evidence.md section 6).

use subrosa_protocol::Workload;
use subrosa_protocol::workload::BackendKind;

use crate::check::CheckName;
use crate::policy::Policy;
use crate::report::Checks;

/// Checks the workload that a released image states of itself.
pub(crate) fn check(bytes: &[u8], policy: &Policy, checks: &mut Checks) -> Option<Workload> {
    let workload = match Workload::from_bytes(bytes) {
        Ok(workload) => workload,
        Err(error) => {
            checks.fail(CheckName::WorkloadStructure, error.to_string());
            return None;
        }
    };
    let seen = format!("image {:?}, {}", workload.image, models(&workload));
    checks.pass(CheckName::WorkloadStructure, seen);
    demand(CheckName::BackendInImage, backend_in_image(&workload), policy, checks);
    demand(CheckName::PlaintextExits, plaintext_exits(&workload), policy, checks);
    checks.record(CheckName::MeasuredModelWeights, models_released(&workload, policy));
    Some(workload)
}

/// Records a rule that a simulated network only reports.
fn demand(name: CheckName, result: Result<String, String>, policy: &Policy, checks: &mut Checks) {
    match result {
        Err(seen) if policy.is_simulated() => checks.waive(name, format!("{seen} (simulated)")),
        result => {
            checks.record(name, result);
        }
    }
}

fn backend_in_image(workload: &Workload) -> Result<String, String> {
    let backend = &workload.backend;
    let kind = match backend.kind {
        BackendKind::Builtin => "built-in",
        BackendKind::Ollama => "Ollama",
        BackendKind::Scripted => return Err("the backend is the scripted stand-in".into()),
    };
    if !backend.in_image {
        return Err(format!("the {kind} backend is outside the measured image"));
    }
    if backend.pulls {
        return Err(format!("the {kind} backend can fetch models while it runs"));
    }
    Ok(format!("the {kind} backend is inside the image"))
}

fn plaintext_exits(workload: &Workload) -> Result<String, String> {
    match workload.exits.as_slice() {
        [] => Ok("none".into()),
        [exit, ..] => {
            let (kind, to) = (&exit.kind, &exit.to);
            Err(match workload.exits.len() {
                1 => format!("an exit in the clear, a {kind:?} to {to:?}"),
                count => format!("{count} exits in the clear, the first a {kind:?} to {to:?}"),
            })
        }
    }
}

fn models_released(workload: &Workload, policy: &Policy) -> Result<String, String> {
    for model in &workload.models {
        let (name, digest) = (&model.name, model.manifest.digest());
        if !policy.releases.models.contains(&digest) {
            return Err(format!("model {name:?} with digest {digest} is not a released one"));
        }
    }
    let released = if workload.models.len() == 1 { "released" } else { "all released" };
    Ok(format!("{}, {released}", models(workload)))
}

/// How many models there are, in words.
fn models(workload: &Workload) -> String {
    match workload.models.len() {
        1 => "1 model".into(),
        count => format!("{count} models"),
    }
}

#[cfg(test)]
mod tests {
    use subrosa_protocol::Timestamp;
    use subrosa_protocol::manifest::{Layer, ModelManifest};
    use subrosa_protocol::workload::{Backend, Exit, WorkloadModel};

    use super::*;
    use crate::kind::{Cpu, Kind};
    use crate::policy::Releases;
    use crate::report::{Outcome, Report};

    fn manifest() -> ModelManifest {
        let (role, path, sha256) = ("weights".into(), "model.gguf".into(), [3; 32].into());
        ModelManifest::new(vec![Layer { role, path, size: 1, sha256 }]).unwrap()
    }

    fn honest() -> Workload {
        let model = WorkloadModel { name: "m".into(), manifest: manifest(), settings: vec![] };
        Workload {
            image: "pod".into(),
            backend: Backend { kind: BackendKind::Ollama, in_image: true, pulls: false },
            exits: vec![],
            models: vec![model],
        }
    }

    fn strict() -> Policy {
        let models = vec![manifest().digest()];
        Policy::strict(Releases { measurements: vec![], models })
    }

    /// What the rules make of a workload on a network that is not simulated.
    fn examined(workload: &Workload) -> Report {
        let mut checks = Checks::new(Kind::Evidence(Cpu::Tdx));
        check(&workload.to_bytes(), &strict(), &mut checks);
        checks.finish(&strict(), Timestamp(0)).unwrap_err().into_report()
    }

    fn outcome(workload: &Workload, name: CheckName) -> Outcome {
        examined(workload).outcome(name)
    }

    #[test]
    fn a_report_counts_the_models() {
        let mut workload = honest();
        for words in ["1 model, released", "2 models, all released"] {
            let report = examined(&workload);
            assert_eq!(report.check(CheckName::MeasuredModelWeights).unwrap().seen, words);
            let (manifest, settings) = (manifest(), vec![]);
            workload.models.push(WorkloadModel { name: "n".into(), manifest, settings });
        }
    }

    #[test]
    fn an_honest_workload_passes_every_rule() {
        for name in [
            CheckName::WorkloadStructure,
            CheckName::BackendInImage,
            CheckName::PlaintextExits,
            CheckName::MeasuredModelWeights,
        ] {
            assert_eq!(outcome(&honest(), name), Outcome::Passed, "{name}");
        }
    }

    #[test]
    fn a_backend_outside_the_image_is_refused() {
        let mut workload = honest();
        workload.backend.in_image = false;
        assert_eq!(outcome(&workload, CheckName::BackendInImage), Outcome::Failed);
    }

    #[test]
    fn a_backend_that_can_fetch_models_is_refused() {
        let mut workload = honest();
        workload.backend.pulls = true;
        assert_eq!(outcome(&workload, CheckName::BackendInImage), Outcome::Failed);
    }

    #[test]
    fn the_scripted_stand_in_is_refused() {
        let mut workload = honest();
        workload.backend.kind = BackendKind::Scripted;
        assert_eq!(outcome(&workload, CheckName::BackendInImage), Outcome::Failed);
    }

    #[test]
    fn every_exit_in_the_clear_is_refused() {
        for kind in ["log", "trace", "backend", "", "anything"] {
            let mut workload = honest();
            workload.exits.push(Exit { kind: kind.into(), to: "127.0.0.1".into() });
            assert_eq!(outcome(&workload, CheckName::PlaintextExits), Outcome::Failed, "{kind}");
        }
    }

    #[test]
    fn one_unreleased_model_among_released_ones_is_refused() {
        let mut workload = honest();
        let layer = Layer {
            role: "template".into(),
            path: "other".into(),
            size: 1,
            sha256: [4; 32].into(),
        };
        let manifest = ModelManifest::new(vec![layer]).unwrap();
        workload.models.push(WorkloadModel { name: "x".into(), manifest, settings: vec![] });
        assert_eq!(outcome(&workload, CheckName::MeasuredModelWeights), Outcome::Failed);
    }
}
