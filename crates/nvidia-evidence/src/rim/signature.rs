//! The enveloped XML signature (XMLDSig 1.1) of a manifest, in the one form and spelling that NVIDIA
//! uses.
//!
//! The content's digest leaves the signature out, and the signature covers its SignedInfo alone. So
//! the rest is held to one spelling: no text between elements, no other attributes, base64 without
//! white space, and in certificates lines of 64 characters.

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::RimError;
use crate::chain::Chain;
use crate::crypto::{self, FIXED_SIGNATURE_LEN};
use crate::hexes::{Fingerprint, Sha384};
use crate::x509::Signatures;
use crate::xml::{self, Element, Node};

const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const CANONICAL_XML_1_1: &str = "http://www.w3.org/2006/12/xml-c14n11";
const SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";
const ECDSA_SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
/// Of a certificate's base64; each line, the last too, ends with a line feed.
const LINE_CHARACTERS: usize = 64;

#[derive(Debug)]
pub(super) struct XmlSignature {
    /// The canonical form of SignedInfo.
    signed: Vec<u8>,
    value: [u8; FIXED_SIGNATURE_LEN],
    pub(super) stated_digest: Sha384,
    pub(super) chain: Chain,
}

impl XmlSignature {
    pub(super) fn read(signature: &Element) -> Result<Self, RimError> {
        if !(signature.is(XMLDSIG, "Signature") && is_plain(signature, signature)) {
            return Err(form("signature"));
        }
        let [info, value, key] = children(signature, ["SignedInfo", "SignatureValue", "KeyInfo"])?;
        Ok(Self {
            stated_digest: stated_digest(info)?,
            value: base64_of(value).ok_or(form("signature value"))?,
            chain: Chain::from_ders(&certificates(key)?)?,
            signed: xml::canonical(info, |_| false),
        })
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

fn form(part: &'static str) -> RimError {
    RimError::Form { part }
}

/// Demands the one set of algorithms, over the whole document; returns the digest that was signed.
fn stated_digest(info: &Element) -> Result<Sha384, RimError> {
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
    if !known {
        return Err(form("signature algorithm"));
    }
    base64_of(digest_value).map(Sha384).ok_or(form("digest value"))
}

fn algorithm(element: &Element, expected: &str) -> bool {
    element.attribute("Algorithm") == Some(expected) && element.children.is_empty()
}

fn certificates(key: &Element) -> Result<Vec<Vec<u8>>, RimError> {
    let [data] = children(key, ["X509Data"])?;
    let certificates = only_elements(data).ok_or(form("signature"))?;
    let read = |it: &&Element| it.is(XMLDSIG, "X509Certificate").then(|| in_lines(it)).flatten();
    let read: Option<_> = certificates.iter().map(read).collect();
    read.ok_or(form("signer's certificate"))
}

/// Whether an element and all below it are named with the signature's prefix, bind no namespace of
/// their own, and have no attribute but the one that their name calls for.
fn is_plain(element: &Element, signature: &Element) -> bool {
    let expected = match element.local.as_str() {
        "CanonicalizationMethod" | "DigestMethod" | "SignatureMethod" | "Transform" => {
            Some("Algorithm")
        }
        "Reference" => Some("URI"),
        _ => None,
    };
    let mut names = element.attributes.iter().map(|it| (it.prefix.as_str(), it.local.as_str()));
    element.prefix == signature.prefix
        && Rc::ptr_eq(&element.scope, &signature.scope)
        && names.next() == expected.map(|name| ("", name))
        && names.next().is_none()
        && element.children.iter().all(|child| match child {
            Node::Element(child) => is_plain(child, signature),
            Node::Text(_) => true,
        })
}

/// The children, where there is no text beside them.
fn only_elements<'a>(element: &'a Element) -> Option<Vec<&'a Element>> {
    let child = |child: &'a Node| match child {
        Node::Element(child) => Some(child),
        Node::Text(_) => None,
    };
    element.children.iter().map(child).collect()
}

/// The children, where they are exactly these.
fn children<'a, const N: usize>(
    element: &'a Element,
    names: [&str; N],
) -> Result<[&'a Element; N], RimError> {
    let found = only_elements(element).ok_or(form("signature"))?;
    let found: [&Element; N] = found.try_into().map_err(|_| form("signature"))?;
    let named = found.iter().zip(names).all(|(it, name)| it.is(XMLDSIG, name));
    if named { Ok(found) } else { Err(form("signature")) }
}

/// Base64 in its one spelling, without white space.
fn base64_of<const N: usize>(element: &Element) -> Option<[u8; N]> {
    STANDARD.decode(element.text()?).ok()?.try_into().ok()
}

/// Base64 in lines.
fn in_lines(element: &Element) -> Option<Vec<u8>> {
    let text = element.text()?;
    let mut compact = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        // Only the last line may be shorter, or the next would not begin where it must.
        let full = compact.len().is_multiple_of(LINE_CHARACTERS);
        let line = line
            .strip_suffix('\n')
            .filter(|line| full && (1..=LINE_CHARACTERS).contains(&line.len()))?;
        compact.push_str(line);
    }
    STANDARD.decode(compact).ok()
}
