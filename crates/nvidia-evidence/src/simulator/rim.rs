//! Reference manifests: SWID tags with an enveloped XML signature, spelled as NVIDIA spells them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha384};

use super::pki::{RimCertificates, hex};
use super::platform::{Driver, Platform};
use super::xml::Element;

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const SHA384_ENCRYPTION: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
const RIM_MODEL: &str = "https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/";
const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const CANONICAL: &str = "http://www.w3.org/2006/12/xml-c14n11";
const ECDSA_SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
const SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";

/// Every manifest lists this many measurements, active or not.
const RESOURCES: u8 = 64;

/// Lines of a certificate in a manifest.
const LINE_CHARACTERS: usize = 64;

/// What a manifest says.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    pub(super) product: &'static str,
    pub(super) edition: &'static str,
    /// Of the driver or the firmware.
    pub(super) version: String,
    /// Active measurements: index, and the values of which any will do.
    pub(super) active: Vec<(u8, Vec<[u8; 48]>)>,
}

/// What is wrong with a manifest's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureFault {
    /// A measurement was edited after signing.
    Digest,
    /// The signature value has a flipped bit.
    Value,
}

impl Manifest {
    pub(super) fn of_driver(platform: &Platform, driver: &Driver) -> Manifest {
        Manifest::of(platform, driver.version, driver.indices)
    }

    pub(super) fn of_firmware(platform: &Platform) -> Manifest {
        Manifest::of(platform, platform.firmware.version, platform.firmware.indices)
    }

    fn of(platform: &Platform, version: &str, indices: &[u8]) -> Manifest {
        let edition = if platform.driver.is_some() { "GPU" } else { "SWITCH" };
        let active = indices.iter().map(|&index| (index, alternatives(platform, index))).collect();
        Manifest { product: platform.product, edition, version: version.into(), active }
    }

    /// Lists a measurement that another manifest lists too.
    pub(super) fn list(&mut self, platform: &Platform, index: u8) {
        self.active.push((index, alternatives(platform, index)));
    }

    /// The file, signed.
    pub(super) fn signed(
        &self,
        certificates: &RimCertificates,
        fault: Option<SignatureFault>,
    ) -> Vec<u8> {
        let digest = Sha384::digest(self.document().canonical(&[]));
        let signed_info = signed_info(&STANDARD.encode(digest));
        // Inside the document it inherits the namespaces of the root and of the signature.
        let inherited = [("", SWID), ("ns0", SWID), ("ns2", SHA384_ENCRYPTION), ("ds", SIGNATURE)];
        let message = signed_info.canonical(&inherited);
        let mut value = certificates.signer.key.sign_raw(message.as_bytes());
        let mut manifest = self.clone();
        match fault {
            Some(SignatureFault::Digest) => manifest.active[0].1[0][0] ^= 1,
            Some(SignatureFault::Value) => value[95] ^= 1,
            None => {}
        }
        let signature = Element::new("ds:Signature")
            .declaring("ds", SIGNATURE)
            .child(signed_info)
            .child(Element::new("ds:SignatureValue").text(STANDARD.encode(value)))
            .child(Element::new("ds:KeyInfo").child(key_data(certificates)));
        // The signature stands where it is left out before hashing: behind the last line feed.
        manifest.document().child(signature).spelled().into_bytes()
    }

    /// The document without its signature.
    fn document(&self) -> Element {
        Element::new("SoftwareIdentity")
            .declaring("", SWID)
            .declaring("ns0", SWID)
            .declaring("ns2", SHA384_ENCRYPTION)
            .with("corpus", "false")
            .with("name", self.product)
            .with("patch", "false")
            .with("supplemental", "false")
            .with("tagId", self.tag_id())
            .with("version", "1.0")
            .with("tagVersion", "0")
            .text("\n    ")
            .child(
                Element::new("ns0:Entity")
                    .with("name", "SIMULATED, proves nothing")
                    .with("role", "softwareCreator tagCreator"),
            )
            .text("\n    ")
            .child(self.meta())
            .text("\n    ")
            .child(self.payload())
            .text("\n")
    }

    fn tag_id(&self) -> String {
        hex(&Sha384::digest(format!("{} {}", self.product, self.version)))
    }

    fn meta(&self) -> Element {
        Element::new("ns0:Meta")
            .declaring("ns1", RIM_MODEL)
            .with("colloquialVersion", self.version.as_str())
            .with("edition", self.edition)
            .with("product", self.product)
            .with("revision", "r1")
            .with("PayloadType", "direct")
            .with("ns1:BindingSpec", "RIMIM")
            .with("ns1:BindingSpecVersion", "1.01")
            .with("ns1:PlatformManufacturerId", "0")
            .with("ns1:PlatformManufacturerStr", "SIMULATED")
            .with("ns1:PlatformModel", self.product)
            .with("ns1:FirmwareManufacturer", "SIMULATED")
            .with("ns1:FirmwareManufacturerId", "0")
    }

    fn payload(&self) -> Element {
        let mut payload = Element::new("ns0:Payload").declaring("SHA384", SHA384_ENCRYPTION);
        for index in 0..RESOURCES {
            let active = self.active.iter().find(|(at, _)| *at == index);
            let none = vec![[0; 48]];
            let values = active.map_or(&none, |(_, values)| values);
            let mut resource = Element::new("ns0:Resource")
                .with("type", "Measurement")
                .with("index", index.to_string())
                .with("active", if active.is_some() { "True" } else { "False" })
                .with("alternatives", values.len().to_string());
            for (number, value) in values.iter().enumerate() {
                resource = resource.with(&format!("ns2:Hash{number}"), hex(value));
            }
            let resource = resource.with("name", format!("Measurement_{index}")).with("size", "48");
            payload = payload.text("\n        ").child(resource);
        }
        payload.text("\n    ")
    }
}

/// Some measurements have several good values, and not always the first is the one found.
fn alternatives(platform: &Platform, index: u8) -> Vec<[u8; 48]> {
    let good = platform.measurement(index);
    let other = |label| platform.other_measurement(index, label);
    match index {
        9 => vec![other("older"), other("oldest"), good, other("newer")],
        23 | 24 | 32 => vec![other("older"), good],
        35 => vec![good, other("newer")],
        _ => vec![good],
    }
}

fn signed_info(digest: &str) -> Element {
    let algorithm = |name: &str, uri: &str| Element::new(name).with("Algorithm", uri);
    let transforms = Element::new("ds:Transforms")
        .child(algorithm("ds:Transform", ENVELOPED))
        .child(algorithm("ds:Transform", CANONICAL));
    let reference = Element::new("ds:Reference")
        .with("URI", "")
        .child(transforms)
        .child(algorithm("ds:DigestMethod", SHA384))
        .child(Element::new("ds:DigestValue").text(digest));
    Element::new("ds:SignedInfo")
        .child(algorithm("ds:CanonicalizationMethod", CANONICAL))
        .child(algorithm("ds:SignatureMethod", ECDSA_SHA384))
        .child(reference)
}

fn key_data(certificates: &RimCertificates) -> Element {
    certificates.chain().into_iter().fold(Element::new("ds:X509Data"), |data, der| {
        data.child(Element::new("ds:X509Certificate").text(lines(&STANDARD.encode(der))))
    })
}

/// Lines of 64 characters, each ended by a line feed.
fn lines(text: &str) -> String {
    let mut out = String::new();
    for line in text.as_bytes().chunks(LINE_CHARACTERS) {
        out.extend(line.iter().map(|&byte| char::from(byte)));
        out.push('\n');
    }
    out
}
