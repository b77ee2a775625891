//! The part of XML that reference measurements are written in, as a tree, and its canonical form.
//!
//! Tokens come from `quick-xml`; what it leaves open is refused here: anything but printable ASCII,
//! tabs and line feeds, document types, processing instructions, comments, character references,
//! CDATA, the `xml:` prefix, undeclared prefixes, attributes that occur twice. What remains has one
//! meaning, and its canonical form (Canonical XML 1.1) follows from the tree that the values are
//! read from: what is verified is what is used.
//!
//! What the canonical form leaves out has one spelling, the one of every manifest that NVIDIA is
//! known to have issued: in tags one space before each attribute and double quotes around its
//! value, around the root element nothing but line feeds. So no byte can be another unseen.

mod canonical;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use thiserror::Error;

pub(crate) use canonical::canonical;

/// Reference measurements are 18 to 26 KiB.
pub const XML_BYTES_MAX: usize = 256 * 1024;

/// Elements are nested seven deep; the tree is walked by recursion.
const DEPTH_MAX: usize = 16;

/// A measurement has up to a few dozen alternatives.
const ATTRIBUTES_MAX: usize = 272;

/// Manifests bind six namespaces. Every element that binds one keeps all that are in scope: without
/// a bound a short document would fill the memory.
const BINDINGS_MAX: usize = 16;

/// A prefix and its namespace have up to sixty bytes. Elements and attributes keep copies of them.
const BINDING_BYTES_MAX: usize = 128;

/// The one declaration that may stand first; no manifest is known to have any.
const DECLARATION: &str = "xml version=\"1.0\" encoding=\"UTF-8\"";

/// Why bytes are no XML of the understood kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the fields are named by the messages
pub enum XmlError {
    /// Longer than any reference measurements.
    #[error("the document has {got} bytes, more than {XML_BYTES_MAX}")]
    TooLong { got: usize },
    /// A character outside printable ASCII, tab and line feed.
    #[error("byte {at} of the document, {byte:#04x}, is not printable ASCII")]
    Character { at: usize, byte: u8 },
    /// Not well-formed.
    #[error("the document is not well-formed at byte {at}: {why}")]
    Malformed { at: usize, why: String },
    /// Well-formed, and outside of what is understood.
    #[error("the document uses {what}, which is not understood")]
    NotUnderstood { what: String },
}

/// One element.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) prefix: String,
    pub(crate) local: String,
    /// All bindings in scope, the empty prefix being the default namespace.
    pub(crate) scope: Rc<Scope>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) children: Vec<Node>,
}

pub(crate) type Scope = BTreeMap<String, String>;

#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) prefix: String,
    pub(crate) local: String,
    /// Empty where the attribute has no prefix.
    pub(crate) namespace: String,
    pub(crate) value: String,
}

#[derive(Debug)]
pub(crate) enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    pub(crate) fn namespace(&self) -> &str {
        self.scope.get(&self.prefix).map_or("", String::as_str)
    }

    pub(crate) fn is(&self, namespace: &str, local: &str) -> bool {
        self.local == local && self.namespace() == namespace
    }

    /// An attribute without a prefix.
    pub(crate) fn attribute(&self, local: &str) -> Option<&str> {
        self.attribute_in("", local)
    }

    pub(crate) fn attribute_in(&self, namespace: &str, local: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|it| it.local == local && it.namespace == namespace)?;
        Some(&found.value)
    }

    /// The child elements, where there is no text but white space beside them.
    pub(crate) fn elements(&self) -> Option<Vec<&Element>> {
        let mut elements = Vec::new();
        for child in &self.children {
            match child {
                Node::Element(element) => elements.push(element),
                Node::Text(text) if text.trim_ascii().is_empty() => {}
                Node::Text(_) => return None,
            }
        }
        Some(elements)
    }

    /// The text, where there is no child element.
    pub(crate) fn text(&self) -> Option<String> {
        let part = |child: &Node| match child {
            Node::Text(text) => Some(text.clone()),
            Node::Element(_) => None,
        };
        self.children.iter().map(part).collect()
    }
}

/// Reads a document into its root element.
pub(crate) fn parse(bytes: &[u8]) -> Result<Element, XmlError> {
    if bytes.len() > XML_BYTES_MAX {
        return Err(XmlError::TooLong { got: bytes.len() });
    }
    let plain = |byte: &u8| matches!(byte, b'\t' | b'\n' | 0x20..=0x7E);
    if let Some(at) = bytes.iter().position(|byte| !plain(byte)) {
        return Err(XmlError::Character { at, byte: bytes[at] });
    }
    let text = std::str::from_utf8(bytes).expect("every byte was found to be ASCII");
    Builder::new(text).build()
}

struct Builder<'a> {
    reader: Reader<&'a [u8]>,
    open: Vec<Element>,
    root: Option<Element>,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str) -> Self {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.check_end_names = true;
        config.trim_markup_names_in_closing_tags = false;
        Self { reader, open: Vec::new(), root: None }
    }

    fn build(mut self) -> Result<Element, XmlError> {
        let mut first = true;
        loop {
            match self.next()? {
                Event::Start(tag) => self.start(&tag)?,
                Event::Empty(tag) => {
                    self.start(&tag)?;
                    self.end()?;
                }
                Event::End(_) => self.end()?,
                Event::Text(text) => self.text(&text.into_inner())?,
                Event::GeneralRef(name) => {
                    let text = predefined(&name.into_inner())?;
                    self.text(text)?;
                }
                Event::Decl(declaration) if first && *declaration == *DECLARATION => {}
                Event::Eof => break,
                Event::Comment(_) => return Err(not_understood("a comment")),
                Event::CData(_) => return Err(not_understood("CDATA")),
                Event::Decl(_) | Event::PI(_) => return Err(not_understood("an instruction")),
                Event::DocType(_) => return Err(not_understood("a document type")),
            }
            first = false;
        }
        if !self.open.is_empty() {
            return Err(self.malformed("an element does not end"));
        }
        self.root.take().ok_or_else(|| self.malformed("there is no element"))
    }

    fn next(&mut self) -> Result<Event<'a>, XmlError> {
        let result = self.reader.read_event();
        result.map_err(|error| self.malformed(&error.to_string()))
    }

    fn start(&mut self, tag: &BytesStart<'_>) -> Result<(), XmlError> {
        if self.root.is_some() {
            return Err(self.malformed("there is a second element"));
        }
        if self.open.len() == DEPTH_MAX {
            return Err(not_understood("elements nested too deep"));
        }
        let outer = self.open.last().map(|it| Rc::clone(&it.scope)).unwrap_or_default();
        let at = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        let malformed = |why: &str| XmlError::Malformed { at, why: why.to_owned() };
        self.open.push(element(tag, outer, malformed)?);
        Ok(())
    }

    fn end(&mut self) -> Result<(), XmlError> {
        let element = self.open.pop().ok_or_else(|| self.malformed("no element is open"))?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(Node::Element(element)),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), XmlError> {
        if text.contains("]]>") {
            return Err(self.malformed("]]> in text"));
        }
        let Some(element) = self.open.last_mut() else {
            let blank = text.bytes().all(|byte| byte == b'\n');
            return if blank { Ok(()) } else { Err(self.malformed("text outside of the element")) };
        };
        match element.children.last_mut() {
            Some(Node::Text(before)) => before.push_str(text),
            _ => element.children.push(Node::Text(text.to_owned())),
        }
        Ok(())
    }

    fn malformed(&self, why: &str) -> XmlError {
        let at = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        XmlError::Malformed { at, why: why.to_owned() }
    }
}

/// Builds an element without its children.
fn element(
    tag: &BytesStart<'_>,
    outer: Rc<Scope>,
    malformed: impl Fn(&str) -> XmlError,
) -> Result<Element, XmlError> {
    let mut bindings = Vec::new();
    let mut plain = Vec::new();
    let mut names = BTreeSet::new();
    let mut spelled = tag.name().0.to_owned();
    for attribute in tag.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| malformed(&error.to_string()))?;
        let name = attribute.key.0.to_owned();
        let value = unescape(&attribute.value)?;
        spelled += &format!(" {name}=\"{}\"", attribute.value);
        if names.len() == ATTRIBUTES_MAX {
            return Err(not_understood("too many attributes"));
        }
        if !names.insert(name.clone()) {
            return Err(malformed("an attribute occurs twice"));
        }
        match name.strip_prefix("xmlns") {
            Some("") => bindings.push((String::new(), value)),
            Some(":") => return Err(malformed("a namespace declaration without a prefix")),
            Some(rest) if rest.starts_with(':') => bindings.push((rest[1..].to_owned(), value)),
            _ => plain.push((name, value)),
        }
    }
    if spelled != **tag {
        return Err(not_understood("another spelling of a tag"));
    }
    let scope = scope(outer, bindings)?;
    let (prefix, local) = split(tag.name().0, &scope)?;
    let mut attributes = Vec::with_capacity(plain.len());
    let mut expanded = BTreeSet::new();
    for (name, value) in plain {
        let (prefix, local) = split(&name, &scope)?;
        let bound = (!prefix.is_empty()).then(|| scope.get(&prefix)).flatten();
        let namespace = bound.cloned().unwrap_or_default();
        if !expanded.insert((namespace.clone(), local.clone())) {
            return Err(malformed("an attribute occurs twice"));
        }
        attributes.push(Attribute { prefix, local, namespace, value });
    }
    Ok(Element { prefix, local, scope, attributes, children: Vec::new() })
}

fn scope(outer: Rc<Scope>, bindings: Vec<(String, String)>) -> Result<Rc<Scope>, XmlError> {
    if bindings.is_empty() {
        return Ok(outer);
    }
    let mut scope = Scope::clone(&outer);
    for (prefix, uri) in bindings {
        let named = !prefix.is_empty();
        if named && (!is_name(&prefix) || prefix.starts_with("xml") || uri.is_empty()) {
            return Err(not_understood(&format!("the namespace declaration of \"{prefix}\"")));
        }
        if prefix.len() + uri.len() > BINDING_BYTES_MAX {
            return Err(not_understood("a namespace with too long a name"));
        }
        scope.insert(prefix, uri);
        if scope.len() > BINDINGS_MAX {
            return Err(not_understood("too many namespaces"));
        }
    }
    Ok(Rc::new(scope))
}

/// Splits a qualified name whose prefix must be declared.
fn split(name: &str, scope: &Scope) -> Result<(String, String), XmlError> {
    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
    let prefixed = name.contains(':');
    let known = !prefixed || (is_name(prefix) && scope.contains_key(prefix));
    if known && is_name(local) {
        Ok((prefix.to_owned(), local.to_owned()))
    } else {
        Err(not_understood(&format!("the name \"{name}\"")))
    }
}

fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn unescape(raw: &str) -> Result<String, XmlError> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('&') {
        let (name, after) = after.split_once(';').ok_or_else(|| not_understood("a bare &"))?;
        text.push_str(before);
        text.push_str(predefined(name)?);
        rest = after;
    }
    text.push_str(rest);
    // A parser turns white space in an attribute into spaces; none occurs, so none is understood.
    if raw.contains(['<', '\t', '\n']) {
        return Err(not_understood("an attribute with < or a line break in it"));
    }
    Ok(text)
}

fn predefined(name: &str) -> Result<&'static str, XmlError> {
    match name {
        "amp" => Ok("&"),
        "apos" => Ok("'"),
        "gt" => Ok(">"),
        "lt" => Ok("<"),
        "quot" => Ok("\""),
        _ => Err(not_understood(&format!("the reference &{name};"))),
    }
}

fn not_understood(what: &str) -> XmlError {
    XmlError::NotUnderstood { what: what.to_owned() }
}

#[cfg(test)]
mod tests;
