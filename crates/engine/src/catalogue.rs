//! The catalogue: which models we know, what their files are, and where each may come from.
//!
//! `models.toml` is compiled in; a file of the same form can add to it or replace entries. Whatever
//! a source delivers counts only with the size and SHA-256 of the catalogue.

mod pull;
mod source;
mod url;
mod verify;
mod wheel;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use subrosa_protocol::B256;
use subrosa_protocol::manifest::{BadManifest, Layer, ModelManifest};
use thiserror::Error;

pub use pull::{Progress, PullError, Pulled, Step, pull};
pub use source::Source;
pub use verify::{VerifyError, verified_path};

use crate::digest::parse_sha256;

const COMPILED_IN: &str = include_str!("../models.toml");

/// Why a catalogue cannot be used.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// A model's context is zero.
    #[error("model {model}: context_tokens must be at least 1")]
    Context {
        /// The model.
        model: String,
    },
    /// A digest is not 64 lower-case hexadecimal digits.
    #[error("model {model}: {member} must be 64 lower-case hexadecimal digits")]
    Digest {
        /// The model.
        model: String,
        /// The member that holds it.
        member: &'static str,
    },
    /// Two models share a name or an alias.
    #[error("the name {name} stands for two models, rename one")]
    DoubledName {
        /// The name.
        name: String,
    },
    /// The files of a model are no manifest.
    #[error("model {model}: {why}")]
    Manifest {
        /// The model.
        model: String,
        /// What is wrong with them.
        why: BadManifest,
    },
    /// A name or an alias is empty or has white space.
    #[error("model {model}: names and aliases are printable ASCII without blanks")]
    Name {
        /// The model.
        model: String,
    },
    /// The file cannot be read.
    #[error("cannot read the catalogue {path}: {why}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// A source is none that we can fetch.
    #[error("model {model}: {why}")]
    Source {
        /// The model.
        model: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The text is not TOML of this form.
    #[error("the catalogue is not of the form of models.toml: {0}")]
    Toml(#[from] toml::de::Error),
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// What the file is for, in the words of [`Layer::role`].
    pub role: String,
    /// Its name inside the model.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub sha256: B256,
    /// Where it may come from, the first choice first; empty for a file that is put there by hand.
    pub sources: Vec<Source>,
}

/// One model of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    name: String,
    aliases: Vec<String>,
    licence: String,
    context_tokens: u64,
    files: Vec<ModelFile>,
    manifest: ModelManifest,
}

impl Entry {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Other names for it.
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// Its licence, as an SPDX expression.
    pub fn licence(&self) -> &str {
        &self.licence
    }

    /// The most tokens that prompt and answer have together.
    pub fn context_tokens(&self) -> u64 {
        self.context_tokens
    }

    /// Its files.
    pub fn files(&self) -> &[ModelFile] {
        &self.files
    }

    /// The file of its weights, where it is one file.
    pub fn weights(&self) -> Option<&ModelFile> {
        let mut weights = self.files.iter().filter(|file| file.role == WEIGHTS);
        weights.next().filter(|_| weights.next().is_none())
    }

    /// Its manifest, whose digest names the model in workloads, offers and receipts.
    pub fn manifest(&self) -> &ModelManifest {
        &self.manifest
    }

    /// The digest of its manifest.
    pub fn digest(&self) -> B256 {
        self.manifest.digest()
    }
}

/// The role of a model's weights.
pub const WEIGHTS: &str = "weights";

/// The manifest of a model that is one file of weights, such as a GGUF that brings its tokenizer and
/// chat template along. The catalogue and the built-in engine both use it, so that they agree.
///
/// # Errors
/// A path that a manifest cannot hold.
pub fn weights_manifest(path: &str, size: u64, sha256: B256) -> Result<ModelManifest, BadManifest> {
    manifest_of([(WEIGHTS, path, size, sha256)])
}

fn manifest_of<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a str, u64, B256)>,
) -> Result<ModelManifest, BadManifest> {
    let layers = files.into_iter().map(|(role, path, size, sha256)| Layer {
        role: role.into(),
        path: path.into(),
        size,
        sha256,
    });
    ModelManifest::new(layers.collect())
}

/// The models that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    entries: Vec<Entry>,
}

impl Catalogue {
    /// The catalogue that is compiled in.
    pub fn compiled_in() -> Self {
        Self::parse(COMPILED_IN).expect("a test parses the catalogue that is compiled in")
    }

    /// Reads a catalogue from a file.
    ///
    /// # Errors
    /// A file that cannot be read, or is no catalogue.
    pub fn load(path: &Path) -> Result<Self, CatalogueError> {
        let text = std::fs::read_to_string(path)
            .map_err(|why| CatalogueError::Read { path: path.into(), why })?;
        Self::parse(&text)
    }

    /// Reads a catalogue.
    ///
    /// # Errors
    /// Anything in it that is wrong, by the model's name; an unknown member is.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let written: Written = toml::from_str(text)?;
        let entries = written.model.into_iter().map(WrittenModel::check);
        let catalogue = Catalogue { entries: entries.collect::<Result<_, _>>()? };
        catalogue.check_names()?;
        Ok(catalogue)
    }

    /// This catalogue with the entries of another, which replace those of the same name.
    ///
    /// # Errors
    /// [`CatalogueError::DoubledName`] where an alias would then stand for two models.
    pub fn with(mut self, other: Catalogue) -> Result<Self, CatalogueError> {
        let replaced = |entry: &Entry| other.entries.iter().any(|new| new.name == entry.name);
        self.entries.retain(|entry| !replaced(entry));
        self.entries.extend(other.entries);
        self.check_names()?;
        Ok(self)
    }

    /// Every model, in the catalogue's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The model of that name or alias; case does not count.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| {
            let mut names = std::iter::once(&entry.name).chain(&entry.aliases);
            names.any(|known| known.eq_ignore_ascii_case(name))
        })
    }

    fn check_names(&self) -> Result<(), CatalogueError> {
        let mut seen = HashSet::new();
        for entry in &self.entries {
            for name in std::iter::once(&entry.name).chain(&entry.aliases) {
                if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(CatalogueError::Name { model: entry.name.clone() });
                }
                if !seen.insert(name.to_ascii_lowercase()) {
                    return Err(CatalogueError::DoubledName { name: name.clone() });
                }
            }
        }
        Ok(())
    }
}

/// A catalogue as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    model: Vec<WrittenModel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenModel {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    licence: String,
    context_tokens: u64,
    files: Vec<WrittenFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    role: String,
    path: String,
    size: u64,
    sha256: String,
    #[serde(default)]
    sources: Vec<source::Written>,
}

impl WrittenModel {
    fn check(self) -> Result<Entry, CatalogueError> {
        let model = &self.name;
        if self.context_tokens == 0 {
            return Err(CatalogueError::Context { model: model.clone() });
        }
        let files = self.files.into_iter().map(|file| file.check(model));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let layers = files.iter().map(|file| (&*file.role, &*file.path, file.size, file.sha256));
        let manifest = manifest_of(layers)
            .map_err(|why| CatalogueError::Manifest { model: model.clone(), why })?;
        Ok(Entry {
            name: self.name,
            aliases: self.aliases,
            licence: self.licence,
            context_tokens: self.context_tokens,
            files,
            manifest,
        })
    }
}

impl WrittenFile {
    fn check(self, model: &str) -> Result<ModelFile, CatalogueError> {
        let sha256 = parse_sha256(&self.sha256)
            .ok_or_else(|| CatalogueError::Digest { model: model.into(), member: "sha256" })?;
        let sources = self.sources.into_iter().map(|written| written.check(model));
        Ok(ModelFile {
            role: self.role,
            path: self.path,
            size: self.size,
            sha256,
            sources: sources.collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests;
