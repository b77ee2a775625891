//! The enveloped XML signature (XMLDSig 1.1) of a manifest, in the one form that NVIDIA uses.

use super::RimError;
use crate::chain::{Chain, decode};
use crate::crypto::{self, FIXED_SIGNATURE_LEN};
use crate::hexes::{Fingerprint, Sha384};
use crate::x509::Signatures;
use crate::xml::{self, Element};

const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const CANONICAL_XML_1_1: &str = "http://www.w3.org/2006/12/xml-c14n11";
const SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";
const ECDSA_SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";

#[derive(Debug)]
pub(super) struct XmlSignature {
    /// The canonical form of SignedInfo.
    signed: Vec<u8>,
    value: Vec<u8>,
    pub(super) stated_digest: Sha384,
    pub(super) chain: Chain,
}

impl XmlSignature {
    pub(super) fn read(signature: &Element) -> Result<Self, RimError> {
        let form = RimError::Form { part: "signature" };
        let parts = children(signature, ["SignedInfo", "SignatureValue", "KeyInfo"]);
        let Some([info, value, key]) = parts.filter(|_| signature.is(XMLDSIG, "Signature")) else {
            return Err(form);
        };
        let (Some(stated_digest), Some(value)) = (stated_digest(info), bytes(value)) else {
            return Err(form);
        };
        if value.len() != FIXED_SIGNATURE_LEN {
            return Err(form);
        }
        let ders = certificates(key).ok_or(form)?;
        let signed = xml::canonical(info, |_| false);
        Ok(Self { signed, value, stated_digest, chain: Chain::from_ders(&ders)? })
    }

    /// Demands that the chain's leaf signed; `file` is the SHA-256 of the whole manifest.
    pub(super) fn check(&self, file: Fingerprint, signatures: &Signatures) -> Result<(), RimError> {
        let leaf = self.chain.leaf();
        let verify = || crypto::verify_fixed(leaf.point(), &self.signed, &self.value);
        if signatures.remember(file, leaf, verify) {
            Ok(())
        } else {
            Err(RimError::Signature { signer: leaf.title() })
        }
    }
}

/// Demands the one set of algorithms, over the whole document; returns the digest that was signed.
fn stated_digest(info: &Element) -> Option<Sha384> {
    let [canonicalization, method, reference] =
        children(info, ["CanonicalizationMethod", "SignatureMethod", "Reference"])?;
    let [transforms, digest_method, digest_value] =
        children(reference, ["Transforms", "DigestMethod", "DigestValue"])?;
    let [enveloped, canonical] = children(transforms, ["Transform", "Transform"])?;
    let known = algorithm(canonicalization, CANONICAL_XML_1_1)
        && algorithm(method, ECDSA_SHA384)
        && reference.attribute("URI") == Some("")
        && algorithm(enveloped, ENVELOPED)
        && algorithm(canonical, CANONICAL_XML_1_1)
        && algorithm(digest_method, SHA384);
    let digest = bytes(digest_value)?.try_into().ok()?;
    known.then_some(Sha384(digest))
}

fn algorithm(element: &Element, expected: &str) -> bool {
    element.attribute("Algorithm") == Some(expected) && element.children.is_empty()
}

fn certificates(key: &Element) -> Option<Vec<Vec<u8>>> {
    let [data] = children(key, ["X509Data"])?;
    let certificates = data.elements()?;
    let read = |it: &&Element| it.is(XMLDSIG, "X509Certificate").then(|| bytes(it)).flatten();
    certificates.iter().map(read).collect()
}

/// The children, where they are exactly these.
fn children<'a, const N: usize>(
    element: &'a Element,
    names: [&str; N],
) -> Option<[&'a Element; N]> {
    let found: [&Element; N] = element.elements()?.try_into().ok()?;
    found.iter().zip(names).all(|(it, name)| it.is(XMLDSIG, name)).then_some(found)
}

fn bytes(element: &Element) -> Option<Vec<u8>> {
    decode(&element.text()?)
}
