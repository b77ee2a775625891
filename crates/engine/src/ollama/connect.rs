//! Meeting a server: hash its models' files, then compare them with what it says.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, json};
use thiserror::Error;

use super::address::Server;
use super::files::{self, ModelFiles, Name};
use super::vocabulary::Vocabulary;
use super::wire::{Show, Tags, Version};
use super::{Ollama, OllamaConfig};
use crate::ServedModel;

/// Bytes of one answer about models; a list of tensors is in some of them.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Tokens that a tokenizer may put before and after everything.
const ENDS_TOKENS: u64 = 16;

/// Why an Ollama server cannot be used.
#[derive(Debug, Error)]
pub enum OllamaError {
    /// Two registries' models have the same name.
    #[error("Ollama's folder has the model {model} from two places, remove one")]
    Ambiguous {
        /// The model.
        model: String,
    },
    /// The server says something of another form than Ollama does.
    #[error("the server at that address does not answer as Ollama does on {path}")]
    Answer {
        /// The path that was asked.
        path: &'static str,
    },
    /// The context is zero, one token, or larger than the model's own.
    #[error("context_tokens is {got}, the model {model} allows 2 to {limit}")]
    Context {
        /// The model.
        model: String,
        /// What was asked for.
        got: u64,
        /// The model's own.
        limit: u64,
    },
    /// A file has other bytes than its name says.
    #[error(
        "{path} is damaged: its length or SHA-256 is not the manifest's; create the model again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The server answers for a model with other files than those that were hashed.
    #[error(
        "the server's {what} of the model {model} is not that of the files in models_dir; is it the folder that the server uses?"
    )]
    Differs {
        /// The model.
        model: String,
        /// What differs.
        what: &'static str,
    },
    /// A digest in a manifest is not `sha256:` and 64 lower-case hexadecimal digits.
    #[error("a layer's digest is not sha256: and 64 lower-case hexadecimal digits")]
    Digest,
    /// The system refuses to read.
    #[error("cannot read {path}: {why}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// A model has a layer of a kind that we do not know.
    #[error(
        "a layer is of the unknown kind {kind}; it may change answers, so the model is refused"
    )]
    LayerKind {
        /// Its media type.
        kind: String,
    },
    /// A manifest in Ollama's folder is wrong.
    #[error("Ollama's manifest of the model {model} {why}")]
    Manifest {
        /// The model.
        model: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A name is none of Ollama's without a host.
    #[error("{model} is not a model's name of the form [namespace/]name[:tag]")]
    Name {
        /// The name.
        model: String,
    },
    /// The model is not in Ollama's folder, or the server does not list it.
    #[error("Ollama has no model {model}; create it, and give the name that `ollama list` shows")]
    NoModel {
        /// The model.
        model: String,
    },
    /// The weights are not a GGUF file with a vocabulary.
    #[error("the weights of the model {model} are not a GGUF file that we can read: {why}")]
    NotGguf {
        /// The model.
        model: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The address is not inside this machine.
    #[error(
        "{url} is not inside this machine; use http://127.0.0.1:PORT or unix:/PATH, since prompts go there in clear"
    )]
    NotLoopback {
        /// The address.
        url: String,
    },
    /// The most tokens of an answer are zero or more than the context.
    #[error("output_tokens_max is {got}, the model {model} allows 1 to {limit}")]
    OutputTokens {
        /// The model.
        model: String,
        /// What was asked for.
        got: u64,
        /// The model's context.
        limit: u64,
    },
    /// The model is answered by another machine.
    #[error("the model {model} is answered by another machine, it cannot be served privately")]
    Remote {
        /// The model.
        model: String,
    },
    /// A file that should be small text is large.
    #[error("{path} is too large for what it is")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The server does not answer.
    #[error("the Ollama server does not answer; is it running at that address?")]
    Unreachable,
}

pub(super) async fn connect(config: OllamaConfig) -> Result<Ollama, OllamaError> {
    let server = Server::at(&config.url)?;
    let version: Version = ask(server.get("/api/version"), "/api/version").await?;
    let tags: Tags = ask(server.get("/api/tags"), "/api/tags").await?;
    let mut ollama = Ollama { server, models: Vec::new(), vocabularies: Vec::new() };
    for model in &config.models {
        let name = Name::parse(model)?;
        let (folder, listed) = (config.models_dir.clone(), name.clone());
        let (files, vocabulary) = tokio::task::spawn_blocking(move || read(&folder, &listed))
            .await
            .expect("reading files does not panic")?;
        check_tag(&tags, &name, &files)?;
        let show = ollama.server.post("/api/show").json(&json!({"model": name.listed()}));
        let show: Show = ask(show, "/api/show").await?;
        check_show(&show, &name, &files)?;
        let context_tokens = context_tokens(&show, &name, &config)?;
        ollama.models.push(describe(model, files, &version, context_tokens, &config));
        ollama.vocabularies.push(Arc::new(vocabulary));
    }
    Ok(ollama)
}

fn read(models_dir: &Path, name: &Name) -> Result<(ModelFiles, Vocabulary), OllamaError> {
    let files = files::read(models_dir, name)?;
    let vocabulary = Vocabulary::read_file(&files.weights).map_err(|fault| {
        let model = name.listed();
        OllamaError::NotGguf { model, why: fault.why }
    })?;
    Ok((files, vocabulary))
}

/// The server's digest of a model is that of Ollama's own manifest file.
fn check_tag(tags: &Tags, name: &Name, files: &ModelFiles) -> Result<(), OllamaError> {
    let model = name.listed();
    let Some(tag) = tags.models.iter().find(|tag| tag.name == model) else {
        return Err(OllamaError::NoModel { model });
    };
    let digest = tag.digest.strip_prefix("sha256:").unwrap_or(&tag.digest);
    if digest != hex::encode(files.manifest_sha256) {
        return Err(OllamaError::Differs { model, what: "digest" });
    }
    Ok(())
}

/// The server must load the very file that was hashed, and use the template that was hashed.
fn check_show(show: &Show, name: &Name, files: &ModelFiles) -> Result<(), OllamaError> {
    let differs = |what| Err(OllamaError::Differs { model: name.listed(), what });
    if show.remote_host.as_ref().is_some_and(|host| !host.is_empty()) {
        return Err(OllamaError::Remote { model: name.listed() });
    }
    let parent = &show.details.parent_model;
    if parent.contains("sha256-") && !is_same_file(Path::new(parent), &files.weights) {
        return differs("parent model");
    }
    let mut from = show.modelfile.lines().filter_map(|line| line.strip_prefix("FROM "));
    if !from.next().is_some_and(|path| is_same_file(Path::new(path.trim()), &files.weights)) {
        return differs("file of weights");
    }
    match &files.template {
        Some(template) if *template != show.template => differs("template"),
        _ => Ok(()),
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let (one, other) = (one.canonicalize(), other.canonicalize());
    matches!((one, other), (Ok(one), Ok(other)) if one == other)
}

fn context_tokens(show: &Show, name: &Name, config: &OllamaConfig) -> Result<u64, OllamaError> {
    let information = |key: &str| show.model_info.get(key);
    let own = information("general.architecture")
        .and_then(|architecture| information(&format!("{}.context_length", architecture.as_str()?)))
        .and_then(|length| length.as_u64())
        .ok_or(OllamaError::Answer { path: "/api/show" })?;
    let got = config.context_tokens.unwrap_or(own);
    if !(2..=own).contains(&got) {
        return Err(OllamaError::Context { model: name.listed(), got, limit: own });
    }
    if !(1..=got).contains(&config.output_tokens_max) {
        let (model, got, limit) = (name.listed(), config.output_tokens_max, got);
        return Err(OllamaError::OutputTokens { model, got, limit });
    }
    Ok(got)
}

fn describe(
    name: &str,
    files: ModelFiles,
    version: &Version,
    context_tokens: u64,
    config: &OllamaConfig,
) -> ServedModel {
    let mut settings = Map::new();
    settings.insert("ollama_version".into(), json!(version.version));
    let template = files.template.as_ref().map_or(0, |template| template.len() as u64);
    ServedModel {
        name: name.into(),
        digest: files.manifest.digest(),
        manifest: files.manifest,
        context_tokens,
        template_bound: template + files.preamble_bytes + ENDS_TOKENS,
        output_tokens_max: config.output_tokens_max,
        settings,
    }
}

/// Asks one thing, and reads an answer of bounded length.
async fn ask<T: DeserializeOwned>(
    request: RequestBuilder,
    path: &'static str,
) -> Result<T, OllamaError> {
    let mut response = request.send().await.map_err(|_| OllamaError::Unreachable)?;
    if response.status() != StatusCode::OK {
        return Err(OllamaError::Answer { path });
    }
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|_| OllamaError::Unreachable)? {
        if body.len() + bytes.len() > ANSWER_BYTES_MAX {
            return Err(OllamaError::Answer { path });
        }
        body.extend_from_slice(&bytes);
    }
    serde_json::from_slice(&body).map_err(|_| OllamaError::Answer { path })
}
