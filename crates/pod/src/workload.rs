//! The workload document: what runs here, as evidence binds it (spec/pod.md 3).

use subrosa_engine::{Engine, ServedModel};
use subrosa_protocol::Workload;
use subrosa_protocol::workload::{Backend, BackendKind, Setting, WorkloadModel};

use crate::config::PodConfig;

/// What this pod runs: everything that can move plaintext or change an answer.
pub(crate) fn describe(config: &PodConfig, engine: &Engine) -> Workload {
    Workload {
        image: config.attester.image().to_owned(),
        backend: Backend {
            kind: match engine {
                Engine::Builtin(_) => BackendKind::Builtin,
                Engine::Ollama(_) => BackendKind::Ollama,
                Engine::Scripted(_) => BackendKind::Scripted,
            },
            // The engine connects to no server beyond loopback or a socket of this machine.
            in_image: true,
            pulls: false,
        },
        exits: Vec::new(),
        models: engine.models().iter().map(model).collect(),
    }
}

fn model(served: &ServedModel) -> WorkloadModel {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut settings: Vec<Setting> = served
        .settings
        .iter()
        .map(|(name, value)| Setting { name: name.clone(), value: text(value) })
        .collect();
    for (name, value) in
        [("context_tokens", served.context_tokens), ("output_tokens_max", served.output_tokens_max)]
    {
        if !served.settings.contains_key(name) {
            settings.push(Setting { name: name.to_owned(), value: value.to_string() });
        }
    }
    settings.sort_by(|one, other| one.name.cmp(&other.name));
    WorkloadModel { name: served.name.clone(), manifest: served.manifest.clone(), settings }
}
