//! The workload document: what runs here, as evidence binds it (spec/pod.md 3).

use subrosa_engine::{Engine, ServedModel};
use subrosa_protocol::Workload;
use subrosa_protocol::workload::{Backend, BackendKind, Exit, Setting, WorkloadModel};

use crate::config::{AttesterConfig, BackendConfig, PodConfig};

/// What this pod runs: everything that can move plaintext or change an answer.
pub(crate) fn describe(config: &PodConfig, engine: &Engine) -> Workload {
    let AttesterConfig::Simulator { image } = &config.attester;
    let outside = backend_outside(&config.backend);
    Workload {
        image: image.clone(),
        backend: Backend {
            kind: match config.backend {
                BackendConfig::Builtin { .. } => BackendKind::Builtin,
                BackendConfig::Ollama { .. } => BackendKind::Ollama,
                BackendConfig::Scripted { .. } => BackendKind::Scripted,
            },
            in_image: outside.is_none(),
            pulls: false,
        },
        exits: outside.map(|to| Exit { kind: "backend".to_owned(), to }).into_iter().collect(),
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

/// The address of a backend that is not reached over loopback, and so is no process of this image.
fn backend_outside(backend: &BackendConfig) -> Option<String> {
    let BackendConfig::Ollama { url, .. } = backend else {
        return None;
    };
    let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let loopback = matches!(host, "127.0.0.1" | "localhost" | "[::1]");
    (!loopback).then(|| url.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_beyond_loopback_is_declared_as_an_exit() {
        let ollama = |url: &str| BackendConfig::Ollama {
            url: url.into(),
            models_dir: "/models".into(),
            model: "m".into(),
        };
        for inside in ["http://127.0.0.1:11434", "http://localhost:1/x", "http://[::1]:11434"] {
            assert_eq!(backend_outside(&ollama(inside)), None, "{inside}");
        }
        for outside in [
            "http://10.0.0.7:11434",
            "http://localhost.example:1",
            "http://user@host:1",
            "http://127.0.0.1.example",
            "http://127.0.0.1@host",
        ] {
            assert_eq!(backend_outside(&ollama(outside)).as_deref(), Some(outside));
        }
    }
}
