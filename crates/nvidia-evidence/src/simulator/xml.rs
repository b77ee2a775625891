//! XML elements that know both their spelling and their canonical form.
//!
//! The spelling has attributes in the order of NVIDIA's own files. The canonical form
//! (Canonical XML 1.1) is made from the same parts, not from the spelling, so that a
//! canonicaliser that reads the spelling can be tested against it.

/// One element. Its text and attribute values hold no character that XML escapes.
#[derive(Clone, Debug)]
pub(super) struct Element {
    name: String,
    /// Declarations of namespaces: prefix (empty for the default one) and URI.
    namespaces: Vec<(&'static str, &'static str)>,
    /// Qualified name and value.
    attributes: Vec<(String, String)>,
    content: Vec<Content>,
}

#[derive(Clone, Debug)]
enum Content {
    Element(Element),
    Text(String),
}

/// The namespaces that an element inherits, innermost last.
type Scope = Vec<(&'static str, &'static str)>;

impl Element {
    pub(super) fn new(name: &str) -> Element {
        Element {
            name: name.into(),
            namespaces: Vec::new(),
            attributes: Vec::new(),
            content: Vec::new(),
        }
    }

    pub(super) fn declaring(mut self, prefix: &'static str, uri: &'static str) -> Element {
        self.namespaces.push((prefix, uri));
        self
    }

    pub(super) fn with(mut self, attribute: &str, value: impl Into<String>) -> Element {
        self.attributes.push((attribute.into(), plain(value.into())));
        self
    }

    pub(super) fn text(mut self, text: impl Into<String>) -> Element {
        self.content.push(Content::Text(plain(text.into())));
        self
    }

    pub(super) fn child(mut self, child: Element) -> Element {
        self.content.push(Content::Element(child));
        self
    }

    /// As files spell it.
    pub(super) fn spelled(&self) -> String {
        let mut out = format!("<{}", self.name);
        self.namespaces.iter().for_each(|&(prefix, uri)| out += &declaration(prefix, uri));
        self.attributes.iter().for_each(|(name, value)| out += &format!(" {name}=\"{value}\""));
        if self.content.is_empty() {
            return out + "/>";
        }
        out.push('>');
        for part in &self.content {
            match part {
                Content::Element(child) => out += &child.spelled(),
                Content::Text(text) => out += text,
            }
        }
        out + &format!("</{}>", self.name)
    }

    /// The canonical form of this element as a document of its own, which renders what it inherits.
    pub(super) fn canonical(&self, inherited: &[(&'static str, &'static str)]) -> String {
        let mut declared = inherited.to_vec();
        declared.retain(|(prefix, _)| !self.namespaces.iter().any(|(own, _)| own == prefix));
        declared.extend(&self.namespaces);
        self.canonical_in(&Vec::new(), declared)
    }

    fn canonical_in(&self, outer: &Scope, mut declared: Scope) -> String {
        let scope: Scope = outer.iter().chain(&declared).copied().collect();
        let uri_of = |name: &str| match name.split_once(':') {
            // An attribute without a prefix is in no namespace, whatever the default one is.
            None => "",
            Some((prefix, _)) => {
                let (_, uri) = scope.iter().rev().find(|(known, _)| *known == prefix).expect(BOUND);
                uri
            }
        };
        declared.sort();
        let mut attributes = self.attributes.clone();
        attributes.sort_by_key(|(name, _)| (uri_of(name), local(name).to_owned()));

        let mut out = format!("<{}", self.name);
        declared.iter().for_each(|&(prefix, uri)| out += &declaration(prefix, uri));
        attributes.iter().for_each(|(name, value)| out += &format!(" {name}=\"{value}\""));
        out.push('>');
        for part in &self.content {
            match part {
                Content::Element(child) => {
                    out += &child.canonical_in(&scope, child.namespaces.clone());
                }
                Content::Text(text) => out += text,
            }
        }
        out + &format!("</{}>", self.name)
    }
}

const BOUND: &str = "the elements of a manifest declare each prefix that they use";

fn declaration(prefix: &str, uri: &str) -> String {
    match prefix {
        "" => format!(" xmlns=\"{uri}\""),
        _ => format!(" xmlns:{prefix}=\"{uri}\""),
    }
}

fn local(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, local)| local)
}

/// Checks the promise that nothing needs escaping, which keeps both forms simple.
fn plain(text: String) -> String {
    assert!(!text.contains(['&', '<', '>', '"', '\r', '\t']), "manifests hold plain text");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_in_the_given_order() {
        let inner = Element::new("b:y").with("z", "1").with("b:a", "2").with("a", "3");
        let outer = Element::new("x").declaring("b", "urn:b").declaring("", "urn:x").child(inner);
        let spelled = r#"<x xmlns:b="urn:b" xmlns="urn:x"><b:y z="1" b:a="2" a="3"/></x>"#;
        assert_eq!(outer.spelled(), spelled);
    }

    #[test]
    fn canonical_form_sorts_and_closes() {
        let inner = Element::new("b:y").with("z", "1").with("b:a", "2").with("a", "3");
        let outer = Element::new("x").declaring("b", "urn:b").declaring("", "urn:x").child(inner);
        let canonical = r#"<x xmlns="urn:x" xmlns:b="urn:b"><b:y a="3" z="1" b:a="2"></b:y></x>"#;
        assert_eq!(outer.canonical(&[]), canonical);
    }

    #[test]
    fn an_apex_renders_what_it_inherits() {
        let canonical = Element::new("b:y").declaring("c", "urn:c").canonical(&[("b", "urn:b")]);
        assert_eq!(canonical, r#"<b:y xmlns:b="urn:b" xmlns:c="urn:c"></b:y>"#);
    }

    #[test]
    fn attributes_sort_by_their_namespace_before_their_name() {
        let element = Element::new("x")
            .declaring("p", "urn:z")
            .declaring("q", "urn:a")
            .with("p:a", "1")
            .with("q:b", "2")
            .canonical(&[]);
        assert_eq!(element, r#"<x xmlns:p="urn:z" xmlns:q="urn:a" q:b="2" p:a="1"></x>"#);
    }
}
