//! What is understood, and its canonical form.

use proptest::prelude::*;

use super::*;

fn form(xml: &str) -> String {
    let root = parse(xml.as_bytes()).unwrap_or_else(|error| panic!("{xml}: {error}"));
    String::from_utf8(canonical(&root, |_| false)).unwrap()
}

/// The canonical form of the first child element, as a subset of the document.
fn subset(xml: &str) -> String {
    let root = parse(xml.as_bytes()).unwrap();
    String::from_utf8(canonical(root.elements().unwrap()[0], |_| false)).unwrap()
}

fn refuses(xml: &str) -> XmlError {
    match parse(xml.as_bytes()) {
        Ok(_) => panic!("{xml} was understood"),
        Err(error) => error,
    }
}

#[test]
fn writes_the_canonical_form() {
    for (xml, canonical) in [
        ("<a/>", "<a></a>"),
        ("<a></a>", "<a></a>"),
        ("<a c=\"1\" b=\"2\"/>", "<a b=\"2\" c=\"1\"></a>"),
        ("<a>x<b/>y</a>", "<a>x<b></b>y</a>"),
        ("<a>\n\t <b> </b>\n</a>", "<a>\n\t <b> </b>\n</a>"),
        ("\n<a/>\n\n", "<a></a>"),
        ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a/>", "<a></a>"),
        ("<a b=\"&lt;&gt;&amp;&quot;&apos;\"/>", "<a b=\"&lt;>&amp;&quot;'\"></a>"),
        ("<a>&lt;&gt;&amp;&quot;&apos;\"</a>", "<a>&lt;&gt;&amp;\"'\"</a>"),
        ("<a b=\"'\"/>", "<a b=\"'\"></a>"),
    ] {
        assert_eq!(form(xml), canonical, "{xml}");
    }
}

#[test]
fn refuses_other_spellings_of_what_the_canonical_form_leaves_out() {
    for xml in [
        "<a ></a>",
        "<a />",
        "<a></a >",
        "<a></a\n>",
        "<a  b=\"1\"/>",
        "<a\nb=\"1\"/>",
        "<a\tb=\"1\"/>",
        "<a b=\"1\" />",
        "<a b='1'/>",
        "<a b= \"1\"/>",
        "<a b =\"1\"/>",
        "<a b=\"1\"  c=\"2\"/>",
        "<a b=\"1\"\nc=\"2\"/>",
        "<a b=\"1\"c=\"2\"/>",
        "<a  xmlns=\"u\"/>",
        "<a xmlns='u'/>",
        "<!-- x --><a/>",
        "<a/><!-- x -->",
        "<a>1<!-- 2 -->3</a>",
        " <a/>",
        "<a/> ",
        "<a/>\t\n",
        "<?xml version=\"1.0\"?><a/>",
        "<?xml version='1.0' encoding='UTF-8'?><a/>",
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><a/>",
        "<?xml  version=\"1.0\" encoding=\"UTF-8\"?><a/>",
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?><a/>",
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><a/>",
        "\n<?xml version=\"1.0\" encoding=\"UTF-8\"?><a/>",
    ] {
        refuses(xml);
    }
}

/// Whatever byte is put in the place of another, the canonical form tells it, or it is refused.
#[test]
fn no_byte_can_be_another_unseen() {
    let xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<p:a xmlns:p=\"1\" xmlns=\"2\" p:z=\"'\" \
               b=\"&amp;\">\n\t &lt;<b/>&gt; <c d=\"e f\">x</c>\n</p:a>\n\n";
    let honest = form(xml);
    for at in 0..xml.len() {
        for byte in 0..=u8::MAX {
            let mut changed = xml.as_bytes().to_vec();
            if std::mem::replace(&mut changed[at], byte) == byte {
                continue;
            }
            if let Ok(root) = parse(&changed) {
                let text = String::from_utf8(changed).unwrap();
                let canonical = canonical(&root, |_| false);
                assert_ne!(honest.as_bytes(), canonical, "{text}");
            }
        }
    }
}

#[test]
fn writes_namespaces_where_they_change() {
    for (xml, canonical) in [
        ("<a xmlns=\"u\"><b xmlns=\"u\"/></a>", "<a xmlns=\"u\"><b></b></a>"),
        ("<a xmlns=\"u\"><b xmlns=\"\"/></a>", "<a xmlns=\"u\"><b xmlns=\"\"></b></a>"),
        ("<a><b xmlns=\"\"/></a>", "<a><b></b></a>"),
        (
            "<a xmlns:z=\"1\" xmlns=\"0\" xmlns:b=\"2\"/>",
            "<a xmlns=\"0\" xmlns:b=\"2\" xmlns:z=\"1\"></a>",
        ),
        (
            "<p:a xmlns:p=\"1\"><p:b xmlns:p=\"2\"><p:c xmlns:p=\"1\"/></p:b></p:a>",
            "<p:a xmlns:p=\"1\"><p:b xmlns:p=\"2\"><p:c xmlns:p=\"1\"></p:c></p:b></p:a>",
        ),
        ("<a xmlns:p=\"1\" b=\"\" xmlns=\"0\"/>", "<a xmlns=\"0\" xmlns:p=\"1\" b=\"\"></a>"),
    ] {
        assert_eq!(form(xml), canonical, "{xml}");
    }
}

#[test]
fn sorts_attributes_by_namespace_then_name() {
    let xml = "<a xmlns:x=\"2\" xmlns:y=\"1\" x:a=\"3\" y:b=\"2\" c=\"1\" b=\"0\" y:a=\"4\"/>";
    let canonical =
        "<a xmlns:x=\"2\" xmlns:y=\"1\" b=\"0\" c=\"1\" y:a=\"4\" y:b=\"2\" x:a=\"3\"></a>";
    assert_eq!(form(xml), canonical);
}

#[test]
fn a_subset_brings_the_bindings_of_what_it_stands_in() {
    let xml = "<a xmlns=\"0\" xmlns:q=\"2\"><p:b xmlns:p=\"1\"><p:c/></p:b></a>";
    let expected = "<p:b xmlns=\"0\" xmlns:p=\"1\" xmlns:q=\"2\"><p:c></p:c></p:b>";
    assert_eq!(subset(xml), expected);
}

#[test]
fn omits_only_children_of_the_top() {
    let root = parse(b"<a><b/><c><b/></c></a>").unwrap();
    let out = canonical(&root, |child| child.local == "b");
    assert_eq!(String::from_utf8(out).unwrap(), "<a><c><b></b></c></a>");
}

#[test]
fn canonicalizing_twice_changes_nothing() {
    for xml in [
        "<p:a xmlns:p=\"1\" p:z=\"&quot;\" a=\"&amp;\"> &lt;<b/>&gt; </p:a>",
        "<a xmlns=\"u\"><b xmlns=\"\" c=\"d\"/></a>",
    ] {
        let once = form(xml);
        assert_eq!(form(&once), once);
    }
}

#[test]
fn refuses_what_is_not_well_formed() {
    for xml in [
        "",
        " ",
        "x",
        "<a>",
        "</a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a",
        "<a b></a>",
        "<a b=c/>",
        "<a b=\"1/>",
        "<a b=\"1\" b=\"2\"/>",
        "<a>]]></a>",
        "<a>&</a>",
        "<a>&lt</a>",
        "<a b=\"&\"/>",
        "<a b=\"<\"/>",
        "<a><!-- -- --></a>",
        "<a><!-- </a>",
        "<a></a",
        "< a/>",
        "<1a/>",
        "<a:b/>",
        "<a b:c=\"1\"/>",
        "<:a/>",
        "<a:/>",
        "<a:b:c xmlns:a=\"1\"/>",
        "<a xmlns:=\"1\"/>",
        "<a xmlns:p=\"\"/>",
        "<a xmlns:1=\"u\"/>",
    ] {
        refuses(xml);
    }
}

#[test]
fn refuses_an_attribute_twice_under_two_prefixes() {
    refuses("<a xmlns:p=\"1\" xmlns:q=\"1\" p:b=\"1\" q:b=\"2\"/>");
    refuses("<a xmlns:p=\"1\" xmlns:p=\"2\"/>");
    refuses("<a xmlns=\"1\" xmlns=\"1\"/>");
}

#[test]
fn refuses_what_is_not_understood() {
    for xml in [
        "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
        "<!DOCTYPE a><a/>",
        "<a>&b;</a>",
        "<a>&#65;</a>",
        "<a>&#x41;</a>",
        "<a b=\"&#65;\"/>",
        "<a b=\"x\ny\"/>",
        "<a b=\"x\ty\"/>",
        "<a><![CDATA[x]]></a>",
        "<?go?><a/>",
        "<a><?go?></a>",
        "<a/><?go?>",
        "<?xml version=\"1.1\"?><a/>",
        "<?xml version=\"1.0\" encoding=\"latin1\"?><a/>",
        "<a><?xml version=\"1.0\"?></a>",
        "<a xml:id=\"1\"/>",
        "<a xmlns:xml=\"http://www.w3.org/XML/1998/namespace\"/>",
        "<a xmlns:xmlx=\"u\"/>",
    ] {
        refuses(xml);
    }
}

#[test]
fn refuses_other_characters() {
    for byte in [0, 1, 8, 0x0B, 0x0C, 0x0D, 0x1F, 0x7F, 0x80, 0xC3, 0xFF] {
        let xml = [b"<a>".as_slice(), &[byte], b"</a>"].concat();
        assert_eq!(parse(&xml).unwrap_err(), XmlError::Character { at: 3, byte });
    }
}

#[test]
fn bounds_length_depth_attributes_and_namespaces() {
    let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    form(&deep(DEPTH_MAX));
    refuses(&deep(DEPTH_MAX + 1));
    let wide = |count: usize| {
        let attributes = (0..count).map(|n| format!(" a{n}=\"\""));
        format!("<a{}/>", attributes.collect::<String>())
    };
    form(&wide(ATTRIBUTES_MAX));
    refuses(&wide(ATTRIBUTES_MAX + 1));
    let bound = |count: usize| {
        let bindings = (0..count).map(|n| format!(" xmlns:p{n}=\"u\""));
        format!("<a{}>", bindings.collect::<String>())
    };
    // Outer bindings count, and those written anew do not.
    form(&format!("{}<a xmlns:p0=\"v\"/></a>", bound(BINDINGS_MAX)));
    refuses(&format!("{}</a>", bound(BINDINGS_MAX + 1)));
    refuses(&format!("{}<a xmlns:q=\"v\"/></a>", bound(BINDINGS_MAX)));
    refuses(&format!("{}<a xmlns=\"v\"/></a>", bound(BINDINGS_MAX)));
    let named = |bytes: usize| format!("<a xmlns:p=\"{}\"></a>", "u".repeat(bytes - 1));
    form(&named(BINDING_BYTES_MAX));
    refuses(&named(BINDING_BYTES_MAX + 1));
    refuses(&format!("<a xmlns=\"{}\"></a>", "u".repeat(BINDING_BYTES_MAX + 1)));
    refuses(&format!("<a xmlns:{}=\"u\"></a>", "p".repeat(BINDING_BYTES_MAX)));
    let long = vec![b' '; XML_BYTES_MAX + 1];
    assert_eq!(parse(&long).unwrap_err(), XmlError::TooLong { got: XML_BYTES_MAX + 1 });
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        let _ = parse(&bytes);
    }

    #[test]
    fn garbage_that_looks_like_xml_never_panics(text in "[<>/a-c:=\"' &;!?-]{0,40}") {
        if let Ok(root) = parse(text.as_bytes()) {
            let once = canonical(&root, |_| false);
            let again = canonical(&parse(&once).expect("the canonical form is XML"), |_| false);
            prop_assert_eq!(once, again);
        }
    }
}
