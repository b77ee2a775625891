//! Reference integrity manifests (RIM): NVIDIA's signed lists of what a driver or a firmware
//! measures to. SWID tags (ISO 19770-2) with an enveloped XML signature.

mod signature;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use thiserror::Error;

use crate::chain::{Chain, ChainError};
use crate::hexes::{Fingerprint, Sha384};
use crate::x509::Signatures;
use crate::xml::{self, Element, XmlError};
use signature::XmlSignature;

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const HASH: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
/// Signer, its issuer, the family's authority, the root.
const CHAIN_LEN: usize = 4;

/// Which of a device's two sets of reference measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RimKind {
    /// The driver's; a switch has none.
    Driver,
    /// The firmware's, of a GPU (VBIOS) or a switch (BIOS).
    Vbios,
}

impl fmt::Display for RimKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Driver => "driver",
            Self::Vbios => "VBIOS",
        })
    }
}

/// Whether the manifest is a GPU's or a switch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Edition {
    /// `edition="GPU"`.
    Gpu,
    /// `edition="SWITCH"`.
    Switch,
}

/// What a manifest says it is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RimIdentity {
    /// GPU or switch.
    pub edition: Edition,
    /// The chip: `GH100`, `GB100`, `LS10`.
    pub product: String,
    /// The version of the driver or firmware: `570.172.08`, `96.00.CF.00.02`.
    pub version: String,
}

impl fmt::Display for RimIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.edition {
            Edition::Gpu => "GPU",
            Edition::Switch => "switch",
        };
        write!(f, "{kind} {} {}", self.product, self.version)
    }
}

/// One reference measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// From 0; block `index + 1` of a report is compared with it.
    pub index: u8,
    /// Whether it counts.
    pub active: bool,
    /// The values that are good, at least one.
    pub alternatives: Vec<Sha384>,
}

/// Why bytes are no manifest, or why one does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the fields are named by the messages
pub enum RimError {
    /// Not XML of the understood kind.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// XML, but not NVIDIA's form of a manifest.
    #[error("the manifest's {part} is not of the known form")]
    Form { part: &'static str },
    /// A measurement is not of the known form.
    #[error("measurement {index} of the manifest is not of the known form")]
    MeasurementForm { index: String },
    /// The same index twice.
    #[error("the manifest has measurement {index} twice")]
    MeasurementTwice { index: u8 },
    /// Nothing in it would be compared.
    #[error("the manifest has no active measurement")]
    NothingActive,
    /// The signer is not proven, or not valid at the time.
    #[error("its signer: {0}")]
    Chain(#[from] ChainError),
    /// The content is not what was signed.
    #[error("its content has digest {computed}, the signature says {stated}")]
    Digest { computed: Sha384, stated: Sha384 },
    /// The signature is not the signer's.
    #[error("its signature is not that of \"{signer}\"")]
    Signature { signer: String },
}

/// A parsed manifest. What it says counts only where [`Rim::verify`] says so.
#[derive(Debug)]
pub struct Rim {
    /// SHA-256 of the file.
    file: Fingerprint,
    identity: RimIdentity,
    measurements: BTreeMap<u8, Measurement>,
    signature: XmlSignature,
    content_digest: Sha384,
    /// What does not depend on the time is computed once, for however many devices.
    links_are_good: OnceLock<Result<(), ChainError>>,
    signature_is_good: OnceLock<Result<(), RimError>>,
}

impl Rim {
    /// Reads a manifest. Proves nothing yet.
    ///
    /// # Errors
    /// Names what is not XML of the understood kind, or not of NVIDIA's form.
    pub fn parse(xml: &[u8]) -> Result<Self, RimError> {
        let root = xml::parse(xml)?;
        if !root.is(SWID, "SoftwareIdentity") {
            return Err(RimError::Form { part: "root element" });
        }
        let children = root.elements().ok_or(RimError::Form { part: "content" })?;
        let [entity, meta, payload, signature] = children[..] else {
            return Err(RimError::Form { part: "content" });
        };
        if !(entity.is(SWID, "Entity") && meta.is(SWID, "Meta") && payload.is(SWID, "Payload")) {
            return Err(RimError::Form { part: "content" });
        }
        let is_signature = |child: &Element| std::ptr::eq(child, signature);
        let content_digest = Sha384(crate::crypto::sha384(&xml::canonical(&root, is_signature)));
        Ok(Self {
            file: Fingerprint(crate::crypto::sha256(xml)),
            identity: identity(&root, meta)?,
            measurements: measurements(payload)?,
            signature: XmlSignature::read(signature)?,
            content_digest,
            links_are_good: OnceLock::new(),
            signature_is_good: OnceLock::new(),
        })
    }

    /// What the manifest says it is for.
    pub fn identity(&self) -> &RimIdentity {
        &self.identity
    }

    /// Which set this is: firmware versions are five bytes in hex, driver versions are not.
    pub fn kind(&self) -> RimKind {
        if is_firmware_version(&self.identity.version) { RimKind::Vbios } else { RimKind::Driver }
    }

    /// The measurements by index, active or not.
    pub fn measurements(&self) -> impl Iterator<Item = &Measurement> {
        self.measurements.values()
    }

    /// The measurements that count.
    pub fn active(&self) -> impl Iterator<Item = &Measurement> {
        self.measurements.values().filter(|it| it.active)
    }

    /// Whether measurement `index` counts.
    pub fn is_active(&self, index: u8) -> bool {
        self.measurements.get(&index).is_some_and(|it| it.active)
    }

    /// Demands that the signer's chain ends in `root` and is valid at `at` (Unix seconds), and that
    /// digest and signature are good.
    ///
    /// # Errors
    /// The first of those that is not so.
    pub fn verify(&self, root: Fingerprint, at: u64) -> Result<(), RimError> {
        self.check_chain(root, &Signatures::default(), at)?;
        self.check_digest()?;
        self.check_signature(&Signatures::default())
    }

    pub(crate) fn check_chain(
        &self,
        root: Fingerprint,
        signatures: &Signatures,
        at: u64,
    ) -> Result<(), RimError> {
        let chain = &self.signature.chain;
        chain.check_root(root)?;
        let links = || chain.check_links(CHAIN_LEN, signatures);
        self.links_are_good.get_or_init(links).clone()?;
        Ok(chain.check_dates(at)?)
    }

    pub(crate) fn check_digest(&self) -> Result<(), RimError> {
        let (computed, stated) = (self.content_digest, self.signature.stated_digest);
        if computed == stated { Ok(()) } else { Err(RimError::Digest { computed, stated }) }
    }

    pub(crate) fn check_signature(&self, signatures: &Signatures) -> Result<(), RimError> {
        let check = || self.signature.check(self.file, signatures);
        self.signature_is_good.get_or_init(check).clone()
    }

    /// SHA-256 of the file.
    pub(crate) fn file(&self) -> Fingerprint {
        self.file
    }

    pub(crate) fn chain(&self) -> &Chain {
        &self.signature.chain
    }
}

/// Five bytes in hex with dots between, `96.00.5E.00.01`.
fn is_firmware_version(version: &str) -> bool {
    let byte = |part: &str| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit());
    version.split('.').count() == 5 && version.split('.').all(byte)
}

fn identity(root: &Element, meta: &Element) -> Result<RimIdentity, RimError> {
    let form = RimError::Form { part: "identity" };
    let get = |name| meta.attribute(name).filter(|value| !value.is_empty());
    let (Some(edition), Some(product), Some(version)) =
        (get("edition"), get("product"), get("colloquialVersion"))
    else {
        return Err(form);
    };
    let edition = match edition {
        "GPU" => Edition::Gpu,
        "SWITCH" => Edition::Switch,
        _ => return Err(form),
    };
    if root.attribute("name") != Some(product) {
        return Err(form);
    }
    Ok(RimIdentity { edition, product: product.to_owned(), version: version.to_owned() })
}

fn measurements(payload: &Element) -> Result<BTreeMap<u8, Measurement>, RimError> {
    let resources = payload.elements().ok_or(RimError::Form { part: "payload" })?;
    let mut measurements = BTreeMap::new();
    for resource in resources {
        let measurement = measurement(resource).ok_or_else(|| {
            let index = resource.attribute("index").unwrap_or("?").chars().take(8).collect();
            RimError::MeasurementForm { index }
        })?;
        let index = measurement.index;
        if measurements.insert(index, measurement).is_some() {
            return Err(RimError::MeasurementTwice { index });
        }
    }
    if !measurements.values().any(|it: &Measurement| it.active) {
        return Err(RimError::NothingActive);
    }
    Ok(measurements)
}

fn measurement(resource: &Element) -> Option<Measurement> {
    let known = resource.is(SWID, "Resource")
        && resource.attribute("type") == Some("Measurement")
        && resource.attribute("size") == Some("48")
        && resource.children.is_empty();
    let index: u8 = number(resource.attribute("index")?)?;
    let active = match resource.attribute("active")? {
        "True" => true,
        "False" => false,
        _ => return None,
    };
    let count: usize = number::<u8>(resource.attribute("alternatives")?)?.into();
    let hashes = resource.attributes.iter().filter(|it| it.namespace == HASH).count();
    // Block indexes are bytes that count from 1, so measurement 255 could have no block.
    if !known || index == u8::MAX || count == 0 || hashes != count {
        return None;
    }
    let alternative = |n: usize| hash(resource.attribute_in(HASH, &format!("Hash{n}"))?);
    let alternatives = (0..count).map(alternative).collect::<Option<_>>()?;
    Some(Measurement { index, active, alternatives })
}

fn hash(text: &str) -> Option<Sha384> {
    let mut value = [0; 48];
    hex::decode_to_slice(text, &mut value).ok()?;
    Some(Sha384(value))
}

/// A decimal number in its one spelling.
fn number<N: std::str::FromStr + ToString>(text: &str) -> Option<N> {
    text.parse().ok().filter(|number: &N| number.to_string() == text)
}

/// Parsed manifests, for one device or for a fleet. Keep it: each manifest is verified once, however
/// many devices are compared with it, and signatures over certificates and answers that an appraisal
/// found good or bad are not verified again by the next.
#[derive(Debug, Default)]
pub struct RimStore {
    pub(crate) signatures: Arc<Signatures>,
    by_version: BTreeMap<String, Vec<Rim>>,
}

impl RimStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that shares what this one's appraisals found of signatures. For a verifier of
    /// many documents, each of which brings its own manifests: one document's must not count for
    /// another's.
    pub fn sibling(&self) -> Self {
        Self { signatures: Arc::clone(&self.signatures), by_version: BTreeMap::new() }
    }

    /// Reads a manifest and keeps it; the very same file again changes nothing.
    ///
    /// # Errors
    /// As [`Rim::parse`].
    pub fn add(&mut self, xml: &[u8]) -> Result<&Rim, RimError> {
        let rim = Rim::parse(xml)?;
        let rims = self.by_version.entry(rim.identity.version.clone()).or_default();
        let at = rims.iter().position(|known| known.file == rim.file).unwrap_or(rims.len());
        if at == rims.len() {
            rims.push(rim);
        }
        Ok(&rims[at])
    }

    /// Every manifest, by version.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Rim> {
        self.by_version.values().flatten()
    }

    /// The manifest for `wanted`. Where there is none, but one that claims the same version for
    /// another device, that one, so that the refusal can name it.
    pub(crate) fn find(&self, wanted: &RimIdentity) -> Found<'_> {
        let rims = self.by_version.get(&wanted.version).map_or(&[][..], Vec::as_slice);
        let mut exact = rims.iter().filter(|rim| rim.identity == *wanted);
        match (exact.next(), exact.next(), rims.first()) {
            (Some(_), Some(_), _) => Found::Ambiguous,
            (Some(rim), None, _) | (None, _, Some(rim)) => Found::One(rim),
            (None, _, None) => Found::None,
        }
    }
}

pub(crate) enum Found<'a> {
    None,
    One(&'a Rim),
    /// Two for the same device: which one counts would be the sender's choice.
    Ambiguous,
}

#[cfg(test)]
mod tests;
