//! What runs in a pod, as its measured image states it: whatever can move plaintext or change an answer.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::hash::sha256;
use crate::manifest::ModelManifest;

/// A workload document is never longer than this.
pub const WORKLOAD_BYTES_MAX: usize = 256 * 1024;

/// Image, backend, log sinks and models of a pod (spec/wire.md section 6).
///
/// On the wire it is compact JSON with its members in this order; evidence binds those exact bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The image's name, for people; its measurement comes from the quote.
    pub image: String,
    /// What generates the answers.
    pub backend: Backend,
    /// Where text could leave the image other than in a sealed answer; empty on honest pods.
    pub exits: Vec<Exit>,
    /// The models that may be served.
    pub models: Vec<WorkloadModel>,
}

/// The process that generates answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Its kind.
    pub kind: BackendKind,
    /// Whether it is a process of the same measured image, reached over loopback or a unix socket.
    pub in_image: bool,
    /// Whether it can fetch or make models while running; off on honest pods.
    pub pulls: bool,
}

/// Which backend generates the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendKind {
    /// Our own decoder, inside the pod's process.
    Builtin,
    /// An Ollama server.
    Ollama,
    /// A scripted stand-in that no released image has.
    Scripted,
}

/// A way for text to leave the image in the clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exit {
    /// What leaves: `log`, `trace`, `backend`.
    pub kind: String,
    /// Where to.
    pub to: String,
}

/// A model as the workload lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadModel {
    /// The name that requests call it by.
    pub name: String,
    /// Its files.
    pub manifest: ModelManifest,
    /// Settings that change answers, sorted by name.
    pub settings: Vec<Setting>,
}

/// A setting that changes answers, such as the context length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value, as text.
    pub value: String,
}

impl Workload {
    /// The exact bytes that evidence binds.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a workload has only members that JSON can hold")
    }

    /// Reads what [`to_bytes`](Workload::to_bytes) wrote, and nothing else.
    ///
    /// # Errors
    /// [`NotCanonical`] for unknown, missing, doubled or reordered members, white space, upper-case hex or
    /// trailing bytes, for a manifest that breaks its rules, and past [`WORKLOAD_BYTES_MAX`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Workload, NotCanonical> {
        let workload: Workload = canonical_json(bytes, WORKLOAD_BYTES_MAX, Workload::to_bytes)?;
        let sound = workload.models.iter().all(|model| model.manifest.check().is_ok());
        if sound { Ok(workload) } else { Err(NotCanonical { document: "workload" }) }
    }

    /// The model with this digest.
    pub fn model(&self, digest: &B256) -> Option<&WorkloadModel> {
        self.models.iter().find(|model| model.manifest.digest() == *digest)
    }
}

/// The `workload` member of every signed message: SHA-256(SHA-256(keyset) ‖ SHA-256(workload)), over the
/// exact bytes that evidence carries.
pub fn workload_digest(keyset: &[u8], workload: &[u8]) -> B256 {
    let digest =
        Sha256::new().chain_update(sha256(keyset)).chain_update(sha256(workload)).finalize();
    B256::from(<[u8; 32]>::from(digest))
}

/// Reads a JSON document that has one spelling only: the one that we write ourselves.
pub(crate) fn canonical_json<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    bytes_max: usize,
    to_bytes: impl Fn(&T) -> Vec<u8>,
) -> Result<T, NotCanonical> {
    let document = std::any::type_name::<T>().rsplit("::").next().unwrap_or("document");
    if bytes.len() > bytes_max {
        return Err(NotCanonical { document });
    }
    let value = serde_json::from_slice(bytes).map_err(|_| NotCanonical { document })?;
    if to_bytes(&value) == bytes { Ok(value) } else { Err(NotCanonical { document }) }
}

/// Bytes that are not the one canonical spelling of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {document} is not in its canonical form")]
pub struct NotCanonical {
    /// Which document.
    pub document: &'static str,
}
