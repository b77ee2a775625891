//! The rules for what runs in the image: whatever can move plaintext or change an answer
//! (spec/evidence.md section 6).

use subrosa_protocol::Workload;
use subrosa_protocol::workload::BackendKind;

use crate::policy::Policy;
use crate::report::{CheckName, Checks};

/// Checks the workload that a released image states of itself.
pub(crate) fn check(bytes: &[u8], policy: &Policy, checks: &mut Checks) -> Option<Workload> {
    let workload = match Workload::from_bytes(bytes) {
        Ok(workload) => workload,
        Err(error) => {
            checks.fail(CheckName::WorkloadStructure, error.to_string());
            return None;
        }
    };
    let seen = format!("image {:?}, {} models", workload.image, workload.models.len());
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
    let kind = backend.kind;
    if kind == BackendKind::Scripted {
        return Err("the backend is the scripted stand-in".into());
    }
    if !backend.in_image {
        return Err(format!("the {kind:?} backend is outside the measured image"));
    }
    if backend.pulls {
        return Err(format!("the {kind:?} backend can fetch models while it runs"));
    }
    Ok(format!("the {kind:?} backend is inside the image"))
}

fn plaintext_exits(workload: &Workload) -> Result<String, String> {
    match workload.exits.as_slice() {
        [] => Ok("none".into()),
        [exit, ..] => {
            let (count, kind, to) = (workload.exits.len(), &exit.kind, &exit.to);
            Err(format!("{count} exits in the clear, the first a {kind:?} to {to:?}"))
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
    Ok(format!("{} models, all released", workload.models.len()))
}
