//! What a model is: the files that are loaded, by their bytes (spec/wire.md section 5).

use std::fmt::Write;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::hash::sha256;

const TAG: &str = "subrosa/model-manifest/v1";

/// One file that a backend loads for a model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// What the file is for: `weights`, `template`, `system`, `params`, `adapter`, `projector`.
    pub role: String,
    /// The file's name inside the model; no white space, no folder above it.
    pub path: String,
    /// The file's length in bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: B256,
}

/// All that makes up a model's answers: weights, adapters, chat template, system prompt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelManifest {
    /// The files, in the order of their role and path.
    layers: Vec<Layer>,
}

impl ModelManifest {
    /// A manifest of these layers, in whatever order they come.
    ///
    /// # Errors
    /// [`BadManifest`] for no layer, a doubled one, or a role or path that could be read as two fields.
    pub fn new(mut layers: Vec<Layer>) -> Result<ModelManifest, BadManifest> {
        layers.sort();
        let manifest = ModelManifest { layers };
        manifest.check()?;
        Ok(manifest)
    }

    /// The layers, sorted.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Whether a manifest that was read from elsewhere keeps the rules of [`ModelManifest::new`].
    ///
    /// # Errors
    /// As [`ModelManifest::new`], and [`BadManifest::Order`].
    pub fn check(&self) -> Result<(), BadManifest> {
        if self.layers.is_empty() {
            return Err(BadManifest::Empty);
        }
        for layer in &self.layers {
            let fields = [&layer.role, &layer.path];
            if fields.iter().any(|field| !is_plain(field))
                || layer.path.split('/').any(|part| part == "..")
            {
                return Err(BadManifest::Field);
            }
        }
        let sorted =
            |pair: &[Layer]| (&pair[0].role, &pair[0].path) < (&pair[1].role, &pair[1].path);
        if !self.layers.windows(2).all(sorted) {
            return Err(BadManifest::Order);
        }
        Ok(())
    }

    /// The canonical text: the tag, then a line `role path size sha256` a layer.
    pub fn canonical(&self) -> String {
        let mut text = format!("{TAG}\n");
        for Layer { role, path, size, sha256 } in &self.layers {
            writeln!(text, "{role} {path} {size} {}", hex::encode(sha256))
                .expect("writing to a string does not fail");
        }
        text
    }

    /// The model's digest: SHA-256 of the canonical text.
    pub fn digest(&self) -> B256 {
        sha256(self.canonical().as_bytes())
    }
}

fn is_plain(field: &str) -> bool {
    !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Why a list of layers is no manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadManifest {
    /// There is no layer.
    #[error("a model manifest needs at least one layer")]
    Empty,
    /// A role or path is empty, has white space, or climbs out of its folder.
    #[error("a layer's role and path are printable ASCII without blanks and without ..")]
    Field,
    /// The layers are not sorted by role and path, or one stands twice.
    #[error("layers stand once each, sorted by role and path")]
    Order,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(role: &str, path: &str) -> Layer {
        Layer { role: role.into(), path: path.into(), size: 3, sha256: B256::repeat_byte(0xab) }
    }

    #[test]
    fn the_canonical_text_is_exact() {
        let manifest =
            ModelManifest::new(vec![layer("weights", "a.gguf"), layer("system", "s")]).unwrap();
        let hash = "ab".repeat(32);
        let text =
            format!("subrosa/model-manifest/v1\nsystem s 3 {hash}\nweights a.gguf 3 {hash}\n");
        assert_eq!(manifest.canonical(), text);
        assert_eq!(manifest.digest(), sha256(text.as_bytes()));
    }

    #[test]
    fn refuses_fields_that_could_be_read_twice() {
        for path in ["", "a b", "a\nb", "../a", "a/../b", "ä"] {
            assert_eq!(
                ModelManifest::new(vec![layer("weights", path)]),
                Err(BadManifest::Field),
                "{path:?}"
            );
        }
        assert_eq!(ModelManifest::new(vec![]), Err(BadManifest::Empty));
        let twice = vec![layer("weights", "a"), layer("weights", "a")];
        assert_eq!(ModelManifest::new(twice), Err(BadManifest::Order));
    }
}
