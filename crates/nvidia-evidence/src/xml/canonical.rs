//! Canonical XML 1.1 of one element and what it contains.

use std::rc::Rc;

use super::{Attribute, Element, Node, Scope};

/// The canonical form of `element`; of its children, `omit` says which are left out.
///
/// The element is written as the document's root or as the top of a subset: with every binding in
/// scope, as inclusive canonicalization demands.
pub(crate) fn canonical(element: &Element, omit: impl Fn(&Element) -> bool) -> Vec<u8> {
    let mut out = String::new();
    write(element, &Rc::default(), &omit, true, &mut out);
    out.into_bytes()
}

fn write(
    element: &Element,
    outer: &Rc<Scope>,
    omit: &impl Fn(&Element) -> bool,
    top: bool,
    out: &mut String,
) {
    out.push('<');
    write_name(&element.prefix, &element.local, out);
    write_bindings(&element.scope, outer, out);
    write_attributes(&element.attributes, out);
    out.push('>');
    for child in &element.children {
        match child {
            Node::Element(child) if top && omit(child) => {}
            Node::Element(child) => write(child, &element.scope, omit, false, out),
            Node::Text(text) => write_text(text, out),
        }
    }
    out.push_str("</");
    write_name(&element.prefix, &element.local, out);
    out.push('>');
}

/// The bindings that differ from those outside, by prefix, the default first.
fn write_bindings(scope: &Rc<Scope>, outer: &Rc<Scope>, out: &mut String) {
    if Rc::ptr_eq(scope, outer) {
        return;
    }
    for (prefix, uri) in scope.iter() {
        let before = outer.get(prefix).map_or("", String::as_str);
        let unchanged = before == uri && (!uri.is_empty() || prefix.is_empty());
        if unchanged {
            continue;
        }
        out.push_str(if prefix.is_empty() { " xmlns" } else { " xmlns:" });
        out.push_str(prefix);
        write_value(uri, out);
    }
}

/// The attributes by namespace, then name; those without a namespace first.
fn write_attributes(attributes: &[Attribute], out: &mut String) {
    let mut sorted: Vec<&Attribute> = attributes.iter().collect();
    sorted.sort_by(|a, b| (&a.namespace, &a.local).cmp(&(&b.namespace, &b.local)));
    for attribute in sorted {
        out.push(' ');
        write_name(&attribute.prefix, &attribute.local, out);
        write_value(&attribute.value, out);
    }
}

fn write_name(prefix: &str, local: &str, out: &mut String) {
    if !prefix.is_empty() {
        out.push_str(prefix);
        out.push(':');
    }
    out.push_str(local);
}

fn write_value(value: &str, out: &mut String) {
    out.push_str("=\"");
    for character in value.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out.push('"');
}

fn write_text(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            other => out.push(other),
        }
    }
}
