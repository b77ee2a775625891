//! The files of a model as they lie in Ollama's folder, hashed by ourselves.
//!
//! `manifests/HOST/NAMESPACE/NAME/TAG` is JSON that lists the layers; `blobs/sha256-HEX` are their
//! bytes.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use subrosa_protocol::B256;
use subrosa_protocol::manifest::{Layer, ModelManifest};

use super::OllamaError;
use crate::catalogue::WEIGHTS;
use crate::digest::{hash_file, parse_sha256};

/// Bytes of a manifest, and of a layer that is text.
const TEXT_BYTES_MAX: u64 = 4 << 20;
const LAYERS_MAX: usize = 256;
const NAMESPACE: &str = "library";
const TAG: &str = "latest";

/// A model's name in Ollama, with its parts written out. A name with a host is refused: its model
/// could come from anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    namespace: String,
    model: String,
    tag: String,
}

impl Name {
    pub(super) fn parse(text: &str) -> Result<Self, OllamaError> {
        let (path, tag) = text.split_once(':').unwrap_or((text, TAG));
        let (namespace, model) = path.split_once('/').unwrap_or((NAMESPACE, path));
        // Each part becomes a part of a path.
        let plain = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphanumeric())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if [namespace, model, tag].into_iter().all(plain) {
            return Ok(Name { namespace: namespace.into(), model: model.into(), tag: tag.into() });
        }
        Err(OllamaError::Name { model: text.into() })
    }

    /// The name as the server lists it.
    pub(super) fn listed(&self) -> String {
        let Name { namespace, model, tag } = self;
        match namespace.as_str() {
            NAMESPACE => format!("{model}:{tag}"),
            _ => format!("{namespace}/{model}:{tag}"),
        }
    }
}

/// A model's files after each of them was hashed.
#[derive(Debug)]
pub(super) struct ModelFiles {
    /// SHA-256 of Ollama's own manifest, which is what the server calls the model's digest.
    pub(super) manifest_sha256: B256,
    /// Our manifest: every layer and the configuration, the licence excepted, since it changes no
    /// answer.
    pub(super) manifest: ModelManifest,
    pub(super) weights: PathBuf,
    pub(super) template: Option<String>,
    /// Bytes of what the server puts before a chat by itself.
    pub(super) preamble_bytes: u64,
}

/// Finds a model's manifest, hashes every file that it names, and compares digests and lengths.
pub(super) fn read(models_dir: &Path, name: &Name) -> Result<ModelFiles, OllamaError> {
    let bytes = read_text(&find_manifest(models_dir, name)?)?;
    let written: Written = serde_json::from_slice(&bytes).map_err(|_| OllamaError::Manifest {
        model: name.listed(),
        why: "is not of a known form",
    })?;
    if written.layers.len() > LAYERS_MAX {
        return Err(OllamaError::Manifest { model: name.listed(), why: "has too many layers" });
    }
    let mut reader = Reader { blobs: models_dir.join("blobs"), layers: Vec::new() };
    let config = reader.blob(&written.config, "config")?;
    check_config(&config, name)?;
    let mut files = ModelFiles {
        manifest_sha256: B256::from(<[u8; 32]>::from(Sha256::digest(&bytes))),
        manifest: ModelManifest::new(reader.layers.clone())
            .expect("one layer with plain fields is a manifest"),
        weights: PathBuf::new(),
        template: None,
        preamble_bytes: 0,
    };
    let mut weights = Vec::new();
    for layer in &written.layers {
        let role = role(&layer.media_type)?;
        let path = reader.blob(layer, role)?;
        match role {
            WEIGHTS => weights.push(path),
            "template" => {
                let text = String::from_utf8(read_text(&path)?);
                files.template = Some(text.map_err(|_| OllamaError::Manifest {
                    model: name.listed(),
                    why: "has a template that is not text",
                })?);
            }
            "messages" | "system" => files.preamble_bytes += layer.size,
            _ => {}
        }
    }
    let [weights] = &weights[..] else {
        let why = "must have exactly one file of weights";
        return Err(OllamaError::Manifest { model: name.listed(), why });
    };
    files.weights = weights.clone();
    files.manifest = ModelManifest::new(reader.layers)
        .map_err(|_| OllamaError::Manifest { model: name.listed(), why: "names a layer twice" })?;
    Ok(files)
}

/// The manifest file of that name under the one host that has it.
fn find_manifest(models_dir: &Path, name: &Name) -> Result<PathBuf, OllamaError> {
    let folder = models_dir.join("manifests");
    let broken = |why| OllamaError::Io { path: folder.clone(), why };
    let mut found = Vec::new();
    for host in std::fs::read_dir(&folder).map_err(broken)? {
        let path =
            host.map_err(broken)?.path().join(&name.namespace).join(&name.model).join(&name.tag);
        if path.is_file() {
            found.push(path);
        }
    }
    match found.len() {
        0 => Err(OllamaError::NoModel { model: name.listed() }),
        1 => Ok(found.remove(0)),
        _ => Err(OllamaError::Ambiguous { model: name.listed() }),
    }
}

struct Reader {
    blobs: PathBuf,
    layers: Vec<Layer>,
}

impl Reader {
    /// Hashes the bytes of a layer and adds it, unless it changes no answer.
    fn blob(&mut self, layer: &WrittenLayer, role: &str) -> Result<PathBuf, OllamaError> {
        let hexadecimal = layer.digest.strip_prefix("sha256:").unwrap_or_default();
        let expected = parse_sha256(hexadecimal).ok_or(OllamaError::Digest)?;
        let file = format!("sha256-{hexadecimal}");
        let path = self.blobs.join(&file);
        let (size, sha256) =
            hash_file(&path).map_err(|why| OllamaError::Io { path: path.clone(), why })?;
        if sha256 != expected || size != layer.size {
            return Err(OllamaError::Damaged { path });
        }
        if role != LICENCE {
            let path = format!("blobs/{file}");
            self.layers.push(Layer { role: role.into(), path, size, sha256 });
        }
        Ok(path)
    }
}

const LICENCE: &str = "license";

fn role(media_type: &str) -> Result<&'static str, OllamaError> {
    Ok(match media_type.strip_prefix("application/vnd.ollama.image.") {
        Some("adapter") => "adapter",
        Some("license") => LICENCE,
        Some("messages") => "messages",
        Some("model") => WEIGHTS,
        Some("params") => "params",
        Some("projector") => "projector",
        Some("system") => "system",
        Some("template") => "template",
        _ => return Err(OllamaError::LayerKind { kind: media_type.into() }),
    })
}

/// Newer servers can name another machine in the configuration, and send it the prompts.
fn check_config(path: &Path, name: &Name) -> Result<(), OllamaError> {
    let wrong = |why| OllamaError::Manifest { model: name.listed(), why };
    let config: Config = serde_json::from_slice(&read_text(path)?)
        .map_err(|_| wrong("has a configuration that is not of a known form"))?;
    let remote = [config.remote_host, config.remote_model];
    if remote.iter().flatten().any(|value| !value.is_empty()) {
        return Err(OllamaError::Remote { model: name.listed() });
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<Vec<u8>, OllamaError> {
    let broken = |why| OllamaError::Io { path: path.into(), why };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(broken)?;
    file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(OllamaError::TooLarge { path: path.into() });
    }
    Ok(bytes)
}

#[derive(Deserialize)]
struct Written {
    config: WrittenLayer,
    layers: Vec<WrittenLayer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenLayer {
    media_type: String,
    digest: String,
    size: u64,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    remote_host: Option<String>,
    #[serde(default)]
    remote_model: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_out() {
        assert_eq!(Name::parse("smollm2").unwrap().listed(), "smollm2:latest");
        assert_eq!(Name::parse("smollm2:135m").unwrap().listed(), "smollm2:135m");
        assert_eq!(Name::parse("me/my-model_1.5:q4").unwrap().listed(), "me/my-model_1.5:q4");
    }

    #[test]
    fn refuses_names_that_would_leave_the_folder_or_have_a_host() {
        for wrong in [
            "",
            ":",
            "a:",
            "../x",
            "a/../b",
            "a:..",
            "/a",
            "a/b/c",
            "a\\b",
            "host:1/a/b",
            "-a",
            "é",
        ] {
            assert!(matches!(Name::parse(wrong), Err(OllamaError::Name { .. })), "{wrong}");
        }
    }
}
