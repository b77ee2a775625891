//! Manifests of any form; signed ones are in the tests of the simulator and of the vectors.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::testing::{Issued, NOW, authority, signer};

/// A manifest's parts, each of which can be wrong. Its signature is zeros.
#[derive(Clone)]
struct Parts {
    root: String,
    entity: String,
    meta: String,
    payload: String,
    signature: String,
}

const ZERO: &str = "000000000000000000000000000000000000000000000000\
                    000000000000000000000000000000000000000000000000";

fn resource(index: &str, active: &str) -> String {
    format!(
        "<Resource type=\"Measurement\" index=\"{index}\" active=\"{active}\" alternatives=\"2\" \
         h:Hash0=\"{ZERO}\" h:Hash1=\"{ZERO}\" name=\"m\" size=\"48\"/>"
    )
}

fn parts() -> Parts {
    let root = Issued::root(authority("root"));
    let leaf = root.issue(signer("leaf"));
    let certificate = |it: &Issued| {
        let text = STANDARD.encode(&it.der);
        let lines = text.as_bytes().chunks(64).map(|it| str::from_utf8(it).unwrap());
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        format!("<d:X509Certificate>{lines}</d:X509Certificate>")
    };
    let signature = format!(
        "<d:Signature xmlns:d=\"http://www.w3.org/2000/09/xmldsig#\"><d:SignedInfo>\
         <d:CanonicalizationMethod Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"/>\
         <d:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384\"/>\
         <d:Reference URI=\"\"><d:Transforms>\
         <d:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>\
         <d:Transform Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"/></d:Transforms>\
         <d:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#sha384\"/>\
         <d:DigestValue>{}</d:DigestValue></d:Reference></d:SignedInfo>\
         <d:SignatureValue>{}</d:SignatureValue><d:KeyInfo><d:X509Data>{}{}</d:X509Data>\
         </d:KeyInfo></d:Signature>",
        STANDARD.encode([0; 48]),
        STANDARD.encode([0; 96]),
        certificate(&leaf),
        certificate(&root),
    );
    Parts {
        root: "<SoftwareIdentity xmlns=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\" \
               xmlns:h=\"http://www.w3.org/2001/04/xmlenc#sha384\" name=\"GH100\">"
            .into(),
        entity: "<Entity/>".into(),
        meta: "<Meta colloquialVersion=\"96.00.5E.00.01\" edition=\"GPU\" product=\"GH100\"/>"
            .into(),
        payload: format!("<Payload>{}{}</Payload>", resource("0", "True"), resource("7", "False")),
        signature,
    }
}

impl Parts {
    fn xml(&self) -> String {
        let Self { root, entity, meta, payload, signature } = self;
        format!("{root}{entity}{meta}{payload}{signature}</SoftwareIdentity>")
    }

    fn parse(&self) -> Result<Rim, RimError> {
        Rim::parse(self.xml().as_bytes())
    }

    fn with_payload(resources: &[String]) -> Self {
        Self { payload: format!("<Payload>{}</Payload>", resources.concat()), ..parts() }
    }
}

fn form(part: &'static str) -> RimError {
    RimError::Form { part }
}

#[test]
fn reads_what_a_manifest_says() {
    let rim = parts().parse().unwrap();
    assert_eq!(rim.identity().to_string(), "GPU GH100 96.00.5E.00.01");
    assert_eq!(rim.kind(), RimKind::Vbios);
    assert_eq!(rim.measurements().count(), 2);
    let active: Vec<_> = rim.active().collect();
    assert_eq!((active.len(), active[0].index, active[0].alternatives.len()), (1, 0, 2));
    assert!(rim.is_active(0) && !rim.is_active(7) && !rim.is_active(1));
}

#[test]
fn tells_drivers_from_firmware_by_their_versions() {
    for (version, kind) in [
        ("96.00.5e.00.01", RimKind::Vbios),
        ("545.00", RimKind::Driver),
        ("570.172.08", RimKind::Driver),
        ("96.00.5E.00", RimKind::Driver),
        ("96.00.5E.00.001", RimKind::Driver),
        ("96.00.5G.00.01", RimKind::Driver),
    ] {
        let meta = parts().meta.replace("96.00.5E.00.01", version);
        assert_eq!(Parts { meta, ..parts() }.parse().unwrap().kind(), kind, "{version}");
    }
}

#[test]
fn refuses_an_unsigned_manifest_and_two_signatures() {
    let unsigned = Parts { signature: String::new(), ..parts() };
    assert_eq!(unsigned.parse().unwrap_err(), form("content"));
    let signature = parts().signature;
    let doubled = Parts { signature: format!("{signature}{signature}"), ..parts() };
    assert_eq!(doubled.parse().unwrap_err(), form("content"));
    let nested = Parts { payload: format!("<Payload>{signature}</Payload>"), ..parts() };
    assert!(nested.parse().is_err());
    let wrapped = Parts { entity: format!("<Entity>{}</Entity>", parts().payload), ..parts() };
    // A second payload where nobody looks changes nothing but the digest.
    let honest = parts().parse().unwrap();
    assert_eq!(wrapped.parse().unwrap().measurements, honest.measurements);
    assert_ne!(wrapped.parse().unwrap().content_digest, honest.content_digest);
}

#[test]
fn refuses_other_elements_or_another_order() {
    let good = parts();
    let cases = [
        Parts { entity: good.meta.clone(), meta: good.entity.clone(), ..good.clone() },
        Parts { payload: format!("{}{}", good.payload, good.payload), ..good.clone() },
        Parts { payload: String::new(), ..good.clone() },
        Parts { meta: format!("text{}", good.meta), ..good.clone() },
        Parts { entity: "<Entity xmlns=\"\"/>".into(), ..good.clone() },
        Parts { signature: format!("{}<Link/>", good.signature), ..good.clone() },
    ];
    for case in cases {
        assert_eq!(case.parse().unwrap_err(), form("content"), "{}", case.xml());
    }
    let root = good.root.replace("2015/schema", "2009/schema");
    assert_eq!(Parts { root, ..good }.parse().unwrap_err(), form("root element"));
}

#[test]
fn refuses_an_identity_of_another_form() {
    let good = parts().meta;
    for meta in [
        good.replace("edition=\"GPU\"", "edition=\"NIC\""),
        good.replace("edition=\"GPU\" ", ""),
        good.replace("product=\"GH100\"", "product=\"\""),
        good.replace("product=\"GH100\"", "product=\"LS10\""),
        good.replace("colloquialVersion", "version"),
    ] {
        assert_eq!(Parts { meta, ..parts() }.parse().unwrap_err(), form("identity"));
    }
}

#[test]
fn refuses_measurements_of_another_form() {
    let good = resource("3", "True");
    for bad in [
        good.replace("type=\"Measurement\"", "type=\"File\""),
        good.replace("size=\"48\"", "size=\"32\""),
        good.replace("\"True\"", "\"true\""),
        good.replace("\"True\"", "\"1\""),
        good.replace("active=\"True\" ", ""),
        good.replace("index=\"3\"", "index=\"03\""),
        good.replace("index=\"3\"", "index=\"+3\""),
        good.replace("index=\"3\"", "index=\"255\""),
        good.replace("index=\"3\"", "index=\"256\""),
        good.replace("index=\"3\"", "index=\"-1\""),
        good.replace("index=\"3\" ", ""),
        good.replace("alternatives=\"2\"", "alternatives=\"1\""),
        good.replace("alternatives=\"2\"", "alternatives=\"3\""),
        good.replace("alternatives=\"2\"", "alternatives=\"0\""),
        good.replace("h:Hash1", "h:Hash2"),
        good.replace("h:Hash1", "Hash1"),
        good.replacen(ZERO, &ZERO[2..], 1),
        good.replacen(ZERO, &format!("{ZERO}00"), 1),
        good.replacen(ZERO, &ZERO.replacen('0', "g", 1), 1),
        good.replace("/>", ">text</Resource>"),
        good.replace("<Resource", "<File"),
    ] {
        let error = Parts::with_payload(&[resource("0", "True"), bad.clone()]).parse().unwrap_err();
        assert!(matches!(error, RimError::MeasurementForm { .. }), "{bad}: {error}");
    }
}

#[test]
fn refuses_an_index_twice_and_a_manifest_with_nothing_active() {
    let twice = Parts::with_payload(&[resource("3", "True"), resource("3", "False")]);
    assert_eq!(twice.parse().unwrap_err(), RimError::MeasurementTwice { index: 3 });
    for resources in [&[resource("3", "False")][..], &[]] {
        let error = Parts::with_payload(resources).parse().unwrap_err();
        assert_eq!(error, RimError::NothingActive);
    }
}

#[test]
fn refuses_signatures_of_another_form() {
    let good = parts().signature;
    let (digest, value) = (STANDARD.encode([0; 48]), STANDARD.encode([0; 96]));
    let cases = [
        ("signature algorithm", good.replace("URI=\"\"", "URI=\"#x\"")),
        ("signature", good.replace("Reference URI=\"\"", "Reference")),
        ("signature algorithm", good.replace("#ecdsa-sha384", "#ecdsa-sha256")),
        ("signature algorithm", good.replace("more#sha384", "more#sha224")),
        ("signature algorithm", good.replacen("2006/12/xml-c14n11", "2001/10/xml-exc-c14n#", 1)),
        (
            "signature",
            good.replace("<d:Transform Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"/>", ""),
        ),
        ("signature algorithm", good.replace("#enveloped-signature", "#base64")),
        ("signature", good.replace("http://www.w3.org/2000/09/xmldsig#\"><d:Si", "urn:x\"><d:Si")),
        ("signature value", good.replace(&value, &STANDARD.encode([0; 95]))),
        ("signature value", good.replace(&value, &STANDARD.encode([0; 97]))),
        ("digest value", good.replace(&digest, &STANDARD.encode([0; 32]))),
        ("digest value", good.replace(&digest, "*")),
        ("signature", good.replace("d:KeyInfo", "d:KeyName")),
        ("signature", good.replace("d:X509Data", "d:PGPData")),
        ("signer's certificate", good.replace("d:X509Certificate", "d:X509CRL")),
    ];
    for (part, signature) in cases {
        assert_ne!(signature, good);
        let error = Parts { signature: signature.clone(), ..parts() }.parse().unwrap_err();
        assert_eq!(error, form(part), "{signature}");
    }
}

/// Neither digest nor signature covers this, so each part has one spelling.
#[test]
fn refuses_other_spellings_of_a_signature_by_what_is_spelled_otherwise() {
    let good = parts().signature;
    let value = "</d:SignatureValue>";
    let first = good.find("<d:X509Certificate>").unwrap() + "<d:X509Certificate>".len();
    let certificates = |change: &dyn Fn(&str) -> String| {
        let end = first + good[first..].find('<').unwrap();
        [&good[..first], &change(&good[first..end]), &good[end..]].concat()
    };
    let cases = [
        ("signature value", good.replace(value, &format!("\n{value}"))),
        ("signature value", good.replace(value, &format!(" {value}"))),
        ("signature value", good.replace("AAAA</d:SignatureValue>", "AA\nAA</d:SignatureValue>")),
        ("signature value", good.replace("AAAA</d:SignatureValue>", "A<d:a/></d:SignatureValue>")),
        ("digest value", good.replace("</d:DigestValue>", "\n</d:DigestValue>")),
        ("digest value", good.replace("<d:DigestValue>", "<d:DigestValue>\t")),
        ("signature", good.replace("</d:SignedInfo>", "</d:SignedInfo>\n")),
        ("signature", good.replace("<d:SignedInfo>", "\n<d:SignedInfo>")),
        ("signature", good.replace("</d:Signature>", " </d:Signature>")),
        ("signature", good.replace("<d:X509Data>", "<d:X509Data>\n")),
        ("signature", good.replace("</d:X509Data>", "</d:X509Data>\n")),
        ("signature", good.replace("<d:Transforms>", "<d:Transforms> ")),
        ("signature", good.replace("<d:KeyInfo>", "<d:KeyInfo Id=\"a\">")),
        ("signature", good.replace("<d:SignatureValue>", "<d:SignatureValue Id=\"a\">")),
        ("signature", good.replace("<d:SignedInfo>", "<d:SignedInfo Id=\"a\">")),
        ("signature", good.replace("<d:X509Data>", "<d:X509Data a=\"\">")),
        ("signature", good.replacen("<d:X509Certificate>", "<d:X509Certificate a=\"\">", 1)),
        ("signature", good.replace("URI=\"\"", "URI=\"\" Id=\"a\"")),
        ("signature", good.replace("URI=\"\"", "h:URI=\"\"")),
        ("signature", good.replace("\"/><d:SignatureMethod ", "\" a=\"b\"/><d:SignatureMethod ")),
        ("signature", good.replace("<d:Signature ", "<d:Signature Id=\"a\" ")),
        ("signature", good.replace("<d:KeyInfo>", "<d:KeyInfo xmlns:e=\"u\">")),
        (
            "signature",
            good.replace("<d:KeyInfo>", "<KeyInfo xmlns=\"http://www.w3.org/2000/09/xmldsig#\">")
                .replace("</d:KeyInfo>", "</KeyInfo>"),
        ),
        ("signer's certificate", certificates(&|text| text.replace('\n', ""))),
        ("signer's certificate", certificates(&|text| text.trim_end().to_owned())),
        ("signer's certificate", certificates(&|text| format!("\n{text}"))),
        ("signer's certificate", certificates(&|text| format!("{text}\n"))),
        ("signer's certificate", certificates(&|text| text.replace('\n', "\n\n"))),
        ("signer's certificate", certificates(&|text| text.replacen('\n', " ", 1))),
        ("signer's certificate", certificates(&|text| text.replacen('\n', "\t\n", 1))),
        ("signer's certificate", certificates(&|text| text.replacen('\n', "", 1))),
        ("signer's certificate", certificates(&|text| format!("{}\n{}", &text[..32], &text[32..]))),
        ("signer's certificate", certificates(&|text| text.replacen('M', "*", 1))),
    ];
    for (part, signature) in cases {
        assert_ne!(signature, good);
        let error = Parts { signature: signature.clone(), ..parts() }.parse().unwrap_err();
        assert_eq!(error, form(part), "{signature}");
    }
    for (from, to) in [("<d:KeyInfo>", "<!-- --><d:KeyInfo>"), ("<d:KeyInfo>", "<?go?><d:KeyInfo>")]
    {
        let signature = good.replace(from, to);
        let error = Parts { signature, ..parts() }.parse().unwrap_err();
        assert!(matches!(error, RimError::Xml(XmlError::NotUnderstood { .. })), "{error}");
    }
}

/// What is signed, or the signature, or a certificate, becomes another, or nothing can be read.
#[test]
fn no_byte_of_a_manifest_can_be_another_unseen() {
    let xml = parts().xml();
    let seen = |rim: &Rim| {
        let chain =
            rim.chain().certificates().iter().map(|it| it.fingerprint()).collect::<Vec<_>>();
        (rim.content_digest, format!("{:?}", rim.signature), chain)
    };
    let honest = seen(&Rim::parse(xml.as_bytes()).unwrap());
    for at in 0..xml.len() {
        let flips = (0..8).map(|bit| xml.as_bytes()[at] ^ 1 << bit);
        for byte in flips.chain(*b"\t\n &") {
            let mut changed = xml.as_bytes().to_vec();
            if std::mem::replace(&mut changed[at], byte) == byte {
                continue;
            }
            if let Ok(rim) = Rim::parse(&changed) {
                assert_ne!(seen(&rim), honest, "{}", String::from_utf8_lossy(&changed));
            }
        }
    }
}

#[test]
fn refuses_a_signer_that_cannot_be_read() {
    let good = parts().signature;
    let begin = good.find("<d:X509Certificate>").unwrap();
    let end = good.find("</d:X509Data>").unwrap();
    let none = [&good[..begin], &good[end..]].concat();
    let garbage = [&good[..begin], "<d:X509Certificate>AAAA\n</d:X509Certificate>", &good[end..]];
    for signature in [none, garbage.concat()] {
        let error = Parts { signature, ..parts() }.parse().unwrap_err();
        assert!(matches!(error, RimError::Chain(_)), "{error}");
    }
}

#[test]
fn checks_each_of_root_chain_digest_and_signature() {
    let rim = parts().parse().unwrap();
    let last = rim.chain().certificates().last().unwrap().fingerprint();
    let other = Fingerprint([0; 32]);
    let error = rim.verify(other, NOW).unwrap_err();
    assert!(matches!(error, RimError::Chain(ChainError::UnknownRoot { .. })), "{error}");
    let error = rim.verify(last, NOW).unwrap_err();
    assert_eq!(error, RimError::Chain(ChainError::Length { got: 2, expected: 4 }));
    assert!(matches!(rim.check_digest(), Err(RimError::Digest { .. })));
    assert_eq!(
        rim.check_signature(&Signatures::default()),
        Err(RimError::Signature { signer: "leaf".into() })
    );
}

#[test]
fn finds_the_manifest_that_is_wanted_or_one_that_claims_its_version() {
    let mut store = RimStore::new();
    let file = parts().xml();
    store.add(file.as_bytes()).unwrap();
    store.add(file.as_bytes()).unwrap();
    let wanted = |edition, product: &str, version: &str| RimIdentity {
        edition,
        product: product.into(),
        version: version.into(),
    };
    let version = "96.00.5E.00.01";
    let gpu = wanted(Edition::Gpu, "GH100", version);
    assert!(matches!(store.find(&gpu), Found::One(rim) if *rim.identity() == gpu));
    for other in [wanted(Edition::Gpu, "GB100", version), wanted(Edition::Switch, "GH100", version)]
    {
        assert!(matches!(store.find(&other), Found::One(rim) if *rim.identity() == gpu));
    }
    let newer = wanted(Edition::Gpu, "GH100", "96.00.5E.00.02");
    assert!(matches!(store.find(&newer), Found::None));
    let sibling = store.sibling();
    assert!(matches!(sibling.find(&gpu), Found::None));
    assert!(std::sync::Arc::ptr_eq(&sibling.signatures, &store.signatures));
    store.add(parts().xml().as_bytes()).unwrap();
    assert!(matches!(store.find(&gpu), Found::Ambiguous));
    assert!(store.add(b"<a/>").is_err());
}

/// A manifest of which nothing is left to compare proves nothing.
#[test]
fn a_comparison_of_nothing_is_not_good() {
    let mut report =
        [&[0x11, 0xE0, 1, 0xFF][..], &[0; 33], &[0x11, 0x60, 0, 0, 0, 0, 0, 0]].concat();
    report.extend([0; 32]);
    report.extend([5, 0, 11, 0, 1, 0, 0x55]); // opaque data: the video decoder is off
    report.extend([0; 96]);
    let report = crate::Report::parse(&report, crate::Trailing::Refuse).unwrap();
    let rim = Parts::with_payload(&[resource("35", "True")]).parse().unwrap();
    let comparison = crate::Comparison::of(&report, &rim, RimKind::Driver);
    assert_eq!((comparison.compared(), &comparison.skipped[..]), (0, &[35][..]));
    assert!(!comparison.is_good());
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        let _ = Rim::parse(&bytes);
    }

    #[test]
    fn a_cut_manifest_never_parses(at in 0..10_000_usize) {
        let xml = parts().xml();
        prop_assert!(Rim::parse(&xml.as_bytes()[..at % xml.len()]).is_err());
    }
}
