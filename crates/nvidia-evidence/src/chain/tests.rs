//! Chains of any fault.

use base64::Engine;
use proptest::prelude::*;
use rcgen::{BasicConstraints, CustomExtension, IsCa, KeyPair, KeyUsagePurpose};

use super::*;
use crate::testing::{DAY, Issued, NOW, authority, chain, signer};

/// Leaf, boot ROM, provisioner, family and root.
struct World {
    root: Issued,
    family: Issued,
    provisioner: Issued,
    boot_rom: Issued,
    leaf: Issued,
}

fn world() -> World {
    world_with(authority("provisioner"), signer("leaf"))
}

fn world_with(provisioner: rcgen::CertificateParams, leaf: rcgen::CertificateParams) -> World {
    let root = Issued::root(authority("root"));
    let family = root.issue(authority("family"));
    let provisioner = family.issue(provisioner);
    let boot_rom = provisioner.issue(authority("boot ROM"));
    let leaf = boot_rom.issue(leaf);
    World { root, family, provisioner, boot_rom, leaf }
}

impl World {
    fn all(&self) -> [&Issued; 5] {
        [&self.leaf, &self.boot_rom, &self.provisioner, &self.family, &self.root]
    }

    fn chain(&self) -> Chain {
        chain(&self.all())
    }
}

fn links(chain: &Chain) -> Result<(), ChainError> {
    chain.check_links(5, &Signatures::default())
}

#[test]
fn accepts_a_chain_that_is_in_order() {
    let world = world();
    let chain = world.chain();
    assert_eq!(chain.check_root(world.root.certificate().fingerprint()), Ok(()));
    assert_eq!(links(&chain), Ok(()));
    assert_eq!(chain.check_dates(NOW), Ok(()));
}

#[test]
fn refuses_another_root() {
    let error = world().chain().check_root(world().root.certificate().fingerprint()).unwrap_err();
    assert!(
        matches!(&error, ChainError::UnknownRoot { subject, .. } if subject == "root"),
        "{error}"
    );
}

#[test]
fn refuses_a_certificate_of_another_key_with_the_right_name() {
    let (world, other) = (world(), world());
    for swapped in 0..4 {
        let mut certificates = world.all();
        certificates[swapped] = other.all()[swapped];
        let error = links(&chain(&certificates)).unwrap_err();
        assert!(matches!(error, ChainError::NotSignedByNext { .. }), "{swapped}: {error}");
    }
}

#[test]
fn refuses_a_chain_out_of_order_or_with_a_gap() {
    let world = world();
    let [a, b, c, d, e] = world.all();
    for certificates in [&[b, a, c, d, e][..], &[a, c, d, e], &[a, b, d, c, e], &[e, d, c, b, a]] {
        let error = links(&chain(certificates)).unwrap_err();
        assert!(matches!(error, ChainError::NotIssuedByNext { .. }), "{error}");
    }
}

#[test]
fn refuses_another_number_of_certificates() {
    let world = world();
    let error = links(&chain(&world.all()[..4])).unwrap_err();
    assert_eq!(error, ChainError::Length { got: 4, expected: 5 });
    let [a, b, c, d, e] = world.all();
    let error = links(&chain(&[a, b, c, d, e, e])).unwrap_err();
    assert_eq!(error, ChainError::Length { got: 6, expected: 5 });
}

#[test]
fn refuses_an_issuer_that_is_no_authority() {
    let no_constraints = || {
        let mut params = authority("provisioner");
        params.is_ca = IsCa::NoCa;
        params
    };
    let not_ca = || {
        let mut params = authority("provisioner");
        params.is_ca = IsCa::ExplicitNoCa;
        params
    };
    let no_usage = || {
        let mut params = authority("provisioner");
        params.key_usages = vec![KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params
    };
    let silent = || {
        let mut params = authority("provisioner");
        params.key_usages = Vec::new();
        params
    };
    for params in [no_constraints(), not_ca(), no_usage(), silent()] {
        let error = links(&world_with(params, signer("leaf")).chain()).unwrap_err();
        assert!(matches!(error, ChainError::NotAuthority { index: 2, .. }), "{error}");
    }
}

#[test]
fn refuses_more_authorities_than_one_above_allows() {
    let limited = |length| {
        let mut params = authority("provisioner");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
        world_with(params, signer("leaf"))
    };
    let error = links(&limited(0).chain()).unwrap_err();
    assert!(matches!(error, ChainError::PathTooLong { index: 2, allowed: 0, .. }), "{error}");
    assert_eq!(links(&limited(1).chain()), Ok(()));
}

#[test]
fn refuses_a_leaf_that_is_an_authority_or_may_not_sign() {
    let mut silent = signer("leaf");
    silent.key_usages = Vec::new();
    let mut both = authority("leaf");
    both.key_usages.push(KeyUsagePurpose::DigitalSignature);
    for leaf in [silent, both, authority("leaf")] {
        let error = links(&world_with(authority("provisioner"), leaf).chain()).unwrap_err();
        assert!(matches!(error, ChainError::LeafUsage { .. }), "{error}");
    }
}

#[test]
fn holds_in_the_first_and_last_second_of_validity() {
    let mut params = authority("provisioner");
    params.not_before = rcgen::date_time_ymd(2024, 6, 1);
    params.not_after = rcgen::date_time_ymd(2024, 6, 2);
    let chain = world_with(params, signer("leaf")).chain();
    assert_eq!(chain.check_dates(NOW), Ok(()));
    assert_eq!(chain.check_dates(NOW + DAY), Ok(()));
    let early = chain.check_dates(NOW - 1).unwrap_err();
    assert!(matches!(early, ChainError::NotYetValid { index: 2, .. }), "{early}");
    let late = chain.check_dates(NOW + DAY + 1).unwrap_err();
    assert!(matches!(late, ChainError::Expired { index: 2, .. }), "{late}");
}

#[test]
fn refuses_a_critical_extension_that_it_does_not_know() {
    let with = |critical| {
        let mut params = signer("leaf");
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        extension.set_criticality(critical);
        params.custom_extensions = vec![extension];
        Issued::root(params).der
    };
    assert!(Certificate::from_der(&with(false)).is_ok());
    let error = Certificate::from_der(&with(true)).unwrap_err();
    assert_eq!(error, CertificateError::CriticalExtension { oid: "1.2.3.4".into() });
}

#[test]
fn refuses_an_extension_that_occurs_twice() {
    let mut params = signer("leaf");
    let extension = || CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    params.custom_extensions = vec![extension(), extension()];
    let error = Certificate::from_der(&Issued::root(params).der).unwrap_err();
    assert_eq!(error, CertificateError::ExtensionTwice { oid: "1.2.3.4".into() });
}

#[test]
fn refuses_other_algorithms() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let der = signer("leaf").self_signed(&key).unwrap().der().to_vec();
    let error = Certificate::from_der(&der).unwrap_err();
    assert!(matches!(error, CertificateError::Algorithm { .. }), "{error}");
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let der = signer("leaf").self_signed(&key).unwrap().der().to_vec();
    assert!(matches!(Certificate::from_der(&der), Err(CertificateError::Algorithm { .. })));
    // Signed by P-384, but itself of P-256.
    let root = Issued::root(authority("root"));
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let issuer = rcgen::Issuer::from_params(&root.params, &root.key);
    let der = signer("leaf").signed_by(&key, &issuer).unwrap().der().to_vec();
    assert_eq!(Certificate::from_der(&der).unwrap_err(), CertificateError::Key);
}

#[test]
fn refuses_a_key_in_another_form_than_the_uncompressed() {
    let der = world().leaf.der;
    let before = [0x03, 0x62, 0x00, 0x04];
    let at = der.windows(4).position(|it| it == before).unwrap();
    for tag in [0, 2, 3, 5, 6, 7, 0x84] {
        let mut der = der.clone();
        der[at + 3] = tag;
        assert_eq!(Certificate::from_der(&der).unwrap_err(), CertificateError::Key, "{tag}");
    }
}

#[test]
fn refuses_a_certificate_whose_body_names_another_algorithm() {
    let mut der = world().leaf.der;
    let oid = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
    let at = der.windows(oid.len()).position(|it| it == oid).unwrap();
    der[at + oid.len() - 1] = 2;
    assert!(matches!(Certificate::from_der(&der), Err(CertificateError::Algorithm { .. })));
}

#[test]
fn refuses_bytes_after_a_certificate_and_certificates_too_long() {
    let mut der = world().leaf.der;
    der.push(0);
    assert!(matches!(Certificate::from_der(&der), Err(CertificateError::Malformed { .. })));
    assert!(matches!(
        Certificate::from_der(&[0x30; 20_000]),
        Err(CertificateError::Malformed { .. })
    ));
}

fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|it| str::from_utf8(it).unwrap()).collect();
    format!("{BEGIN}\n{}\n{END}", lines.join("\n"))
}

#[test]
fn reads_pem_with_white_space_alone_around_certificates() {
    let world = world();
    let one = pem(&world.leaf.der);
    let two = pem(&world.boot_rom.der);
    for text in [format!("{one}\n{two}"), format!("\n{one}{two}\n\n"), format!("{one}\r\n{two} ")] {
        assert_eq!(Chain::from_pem(text.as_bytes()).unwrap().certificates().len(), 2, "{text}");
    }
    let mut cases = vec![
        String::new(),
        "\n".into(),
        format!("x{one}"),
        format!("{one}x"),
        format!("{one}\nx\n{two}"),
        one.replace(BEGIN, "-----BEGIN X509 CRL-----"),
        one.replace(END, ""),
        one.replace("\nM", "\n*"),
        format!("{BEGIN}{END}"),
        format!("{one}\0"),
    ];
    cases.push(vec![one; CERTIFICATES_MAX + 1].join("\n"));
    for text in cases {
        assert!(Chain::from_pem(text.as_bytes()).is_err(), "{text}");
    }
    assert!(Chain::from_pem(&[0xFF]).is_err());
    let long = vec![b' '; CHAIN_BYTES_MAX + 1];
    let error = Chain::from_pem(&long).unwrap_err();
    assert_eq!(error, ChainError::TooLong { got: CHAIN_BYTES_MAX + 1 });
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        let _ = Chain::from_pem(&bytes);
        let _ = Certificate::from_der(&bytes);
        let _ = Chain::from_pem(pem(&bytes).as_bytes());
    }
}

#[test]
fn a_verdict_is_remembered_for_the_same_signature_and_signer_alone() {
    let (one, other) = (world().root.certificate(), world().root.certificate());
    let signatures = Signatures::default();
    let (a, b) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
    assert!(signatures.remember(a, &one, || true));
    assert!(signatures.remember(a, &one, || panic!("it is known")));
    assert!(!signatures.remember(a, &other, || false));
    assert!(!signatures.remember(b, &one, || false));
    assert!(!signatures.remember(b, &one, || panic!("it is known")));
}

#[test]
fn a_bad_signature_stays_bad_beside_a_good_one() {
    let (world, other) = (world(), world());
    let signatures = Signatures::default();
    let forged =
        chain(&[&world.leaf, &other.boot_rom, &other.provisioner, &other.family, &other.root]);
    for _ in 0..2 {
        assert_eq!(world.chain().check_links(5, &signatures), Ok(()));
        let error = forged.check_links(5, &signatures).unwrap_err();
        assert!(matches!(error, ChainError::NotSignedByNext { index: 0, .. }), "{error}");
    }
}
