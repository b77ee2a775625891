//! Evidence that must be refused, and by which check.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384};
use sha2::{Digest, Sha256};
use subrosa_nvidia_evidence::{
    Appraisal, Architecture, ChainError, CheckName, Collateral, Demand, FwidError, Outcome, Policy,
    Refusal, Rim, RimError, RimKind, RimStore, appraise_device,
};

use crate::files::*;
use crate::positive::blackwell;

/// The check that refuses first, and why.
fn refusal(device: &Device, rims: &RimStore, at: u64) -> (CheckName, Refusal) {
    refusal_for(device, rims, &device.own_nonce(), at)
}

fn refusal_for(
    device: &Device,
    rims: &RimStore,
    nonce: &[u8; 32],
    at: u64,
) -> (CheckName, Refusal) {
    let appraisal = device.appraise(rims, nonce, at);
    assert!(!appraisal.is_accepted() && appraisal.accepted().is_none());
    let (name, refusal) = appraisal.first_refusal().expect("a check refuses");
    (name, refusal.clone())
}

fn vbios_differs(refusal: &Refusal) -> &[u8] {
    match refusal {
        Refusal::Measurements { kind: RimKind::Vbios, different, absent, .. } => {
            assert!(absent.is_empty());
            different
        }
        other => panic!("{other}"),
    }
}

#[test]
fn refuses_reports_with_an_invalid_signature() {
    let Some(vectors) = vectors() else { return };
    let gpu = vectors.device(
        Architecture::Hopper,
        &at(SAMPLE, "gpu/hopperAttestationReportInvalidSignature.txt"),
        &at(SDK, "hopperCertChain.txt"),
    );
    let switch = vectors.device(
        Architecture::Ls10,
        &at(SAMPLE, "switch/switchAttestationReportInvalidSignature.txt"),
        &at(SAMPLE, "switch/switchCertChain.txt"),
    );
    for device in [gpu, switch] {
        let (name, refusal) = refusal(&device, &RimStore::new(), JUNE_2024);
        assert_eq!(name, CheckName::ReportSignature);
        assert!(matches!(refusal, Refusal::ReportSignature { .. }), "{refusal}");
    }
}

#[test]
fn refuses_a_chain_without_its_boot_rom() {
    let Some(vectors) = vectors() else { return };
    let device = Device { chain: vectors.bytes(&at(GO, "invalidCertChain.txt")), ..vectors.h100() };
    let (name, refusal) = refusal(&device, &vectors.h100_rims(), JUNE_2024);
    assert_eq!(name, CheckName::DeviceChain);
    let Refusal::Chain(ChainError::NotIssuedByNext { index: 0, issuer, next, .. }) = refusal else {
        panic!("{refusal}")
    };
    assert_eq!(
        (issuer.as_str(), next.as_str()),
        ("GH100 A01 GSP BROM", "NVIDIA GH100 Provisioner ICA 1")
    );
}

#[test]
fn refuses_the_set_of_the_h100_before_and_after_its_window() {
    let Some(vectors) = vectors() else { return };
    let (device, rims) = (vectors.h100(), vectors.h100_rims());
    let (name, early) = refusal(&device, &rims, utc("2023-06-01T00:00:00Z"));
    assert_eq!(name, CheckName::RimChain);
    let Refusal::Rim { why: RimError::Chain(ChainError::NotYetValid { index: 0, .. }), .. } = early
    else {
        panic!("{early}")
    };
    let (name, late) = refusal(&device, &rims, utc("2026-11-28T00:00:00Z"));
    assert_eq!(name, CheckName::RimChain);
    let Refusal::Rim { why: RimError::Chain(ChainError::Expired { index: 0, .. }), .. } = late
    else {
        panic!("{late}")
    };
}

#[test]
fn refuses_the_set_of_the_h100_for_another_nonce() {
    let Some(vectors) = vectors() else { return };
    let expected = nonce(KNOWN_NONCE);
    let (name, refusal) = refusal_for(&vectors.h100(), &vectors.h100_rims(), &expected, JUNE_2024);
    assert_eq!(name, CheckName::NonceMatch);
    assert_eq!(refusal, Refusal::Nonce { got: nonce(H100_NONCE), expected });
}

#[test]
fn the_nonce_is_the_requests_not_the_devices() {
    let Some(vectors) = vectors() else { return };
    let device = vectors.h100();
    let report = subrosa_nvidia_evidence::Report::parse(
        &device.report,
        subrosa_nvidia_evidence::Trailing::Refuse,
    );
    let own_random = *report.unwrap().device_nonce();
    let (name, _) = refusal_for(&device, &vectors.h100_rims(), &own_random, JUNE_2024);
    assert_eq!(name, CheckName::NonceMatch);
}

#[test]
fn refuses_another_revision_of_the_vbios_manifest() {
    let Some(vectors) = vectors() else { return };
    let rims = vectors.rims(&[DRIVER_545, VBIOS_5E_01_PROD]);
    let (name, refusal) = refusal(&vectors.h100(), &rims, JUNE_2024);
    assert_eq!(name, CheckName::Measurements);
    assert_eq!(vbios_differs(&refusal), [1, 2, 3, 9]);
}

#[test]
fn refuses_a_mismatch_under_a_manifest_that_is_itself_good() {
    let Some(vectors) = vectors() else { return };
    let file = at(RIMS, "NV_GPU_VBIOS_1010_0200_882_96005E0001_measurement_mismatch.xml");
    let rims = vectors.rims(&[&file]);
    let device = vectors.device(
        Architecture::Hopper,
        &at(SAMPLE, "gpu/hopperAttestationReport.txt"),
        &at(SAMPLE, "gpu/hopperCertChain.txt"),
    );
    let first = utc("2023-12-13T23:58:03Z");
    let last = utc("2025-12-12T23:58:03Z");
    for at in [first, last] {
        let appraisal = device.appraise(&rims, &device.own_nonce(), at);
        let outcome = appraisal.outcome(CheckName::Measurements, Some(RimKind::Vbios)).unwrap();
        assert_eq!(vbios_differs(outcome.refusal().unwrap()), [9]);
        for name in [CheckName::RimChain, CheckName::RimDigest, CheckName::RimSignature] {
            passed(&appraisal, name, Some(RimKind::Vbios));
        }
    }
    for at in [first - 1, last + 1] {
        let appraisal = device.appraise(&rims, &device.own_nonce(), at);
        let outcome = appraisal.outcome(CheckName::RimChain, Some(RimKind::Vbios)).unwrap();
        assert!(outcome.refusal().is_some(), "at {at}");
        let outcome = appraisal.outcome(CheckName::Measurements, Some(RimKind::Vbios));
        assert_eq!(outcome, Some(&Outcome::Absent(CheckName::RimChain)));
    }
}

#[test]
fn refuses_two_reports_against_old_revisions_of_their_vbios_manifests() {
    let Some(vectors) = vectors() else { return };
    let newer = vectors.device(
        Architecture::Hopper,
        &at(SDK, "hopperAttestationReport.txt"),
        &at(SDK, "hopperCertChain.txt"),
    );
    let older = vectors.device(
        Architecture::Hopper,
        &at(SAMPLE, "gpu/hopperAttestationReportExpired.txt"),
        &at(SAMPLE, "gpu/hopperCertChainExpired.txt"),
    );
    let cases = [
        (newer, "580.159.03", "rims/1010_0205_862_9600740020_PROD.swidtag"),
        (older, "570.124.03", "rims/1010_0205_862_96005E0004_PROD.swidtag"),
    ];
    for (device, driver, rim) in cases {
        let rims = vectors.rims(&[&at(TRUST, rim)]);
        let appraisal = device.appraise(&rims, &device.own_nonce(), JUNE_2024);
        assert_eq!(appraisal.unverified_claims().unwrap().driver_version.as_deref(), Some(driver));
        let outcome = appraisal.outcome(CheckName::Measurements, Some(RimKind::Vbios)).unwrap();
        assert_eq!(vbios_differs(outcome.refusal().unwrap()), [9]);
        passed(&appraisal, CheckName::ReportSignature, None);
        passed(&appraisal, CheckName::Fwid, None);
    }
}

/// A report that names the driver version of a manifest at hand; its own signature is broken.
fn with_driver(device: Device, from: &str, to: &str) -> Device {
    let find = |needle: &[u8]| device.report.windows(needle.len()).position(|it| it == needle);
    let start = find(from.as_bytes()).expect("the report names its driver");
    let mut report = device.report.clone();
    let (old, new) = (from.len(), to.len());
    report.splice(start..start + old, to.bytes());
    let grow = |report: &mut Vec<u8>, at: usize| {
        let len = u16::from_le_bytes([report[at], report[at + 1]]);
        let len = usize::from(len) + new - old;
        report[at..at + 2].copy_from_slice(&u16::try_from(len).unwrap().to_le_bytes());
    };
    grow(&mut report, start - 2);
    let opaque = 37 + 8 + 3520 + 32;
    grow(&mut report, opaque);
    Device { report, ..device }
}

fn driver_outcome(appraisal: &Appraisal, name: CheckName) -> &Outcome {
    appraisal.outcome(name, Some(RimKind::Driver)).expect("the check is made of each manifest")
}

#[test]
fn refuses_a_driver_manifest_with_an_incorrect_signature() {
    let Some(vectors) = vectors() else { return };
    let rims = vectors.rims(&[&at(SDK, "incorrect_signature_driver_rim.xml")]);
    let device = with_driver(vectors.h100(), "545.00", "550.144.03");
    let appraisal = device.appraise(&rims, &device.own_nonce(), utc("2025-06-01T00:00:00Z"));
    assert!(driver_outcome(&appraisal, CheckName::RimChain).is_good());
    assert!(driver_outcome(&appraisal, CheckName::RimDigest).is_good());
    let refusal = driver_outcome(&appraisal, CheckName::RimSignature).refusal().unwrap();
    let Refusal::Rim { why: RimError::Signature { signer }, .. } = refusal else {
        panic!("{refusal}")
    };
    assert_eq!(signer, "HCC RIM L4 Signer");
    let measurements = driver_outcome(&appraisal, CheckName::Measurements);
    assert_eq!(*measurements, Outcome::Absent(CheckName::RimSignature));
}

#[test]
fn refuses_a_changed_driver_manifest_by_its_digest_before_any_comparison() {
    let Some(vectors) = vectors() else { return };
    let file = at(RIMS, "NV_GPU_DRIVER_GH100_535.86.09_measurement_mismatch.xml");
    let rims = vectors.rims(&[&file, VBIOS_5E_01_PROD]);
    let device = vectors.device(
        Architecture::Hopper,
        &at(SAMPLE, "gpu/hopperAttestationReport.txt"),
        &at(SAMPLE, "gpu/hopperCertChain.txt"),
    );
    let appraisal = device.appraise(&rims, &device.own_nonce(), utc("2025-06-01T00:00:00Z"));
    let refusal = driver_outcome(&appraisal, CheckName::RimDigest).refusal().unwrap();
    assert!(matches!(refusal, Refusal::Rim { why: RimError::Digest { .. }, .. }), "{refusal}");
    assert!(driver_outcome(&appraisal, CheckName::RimSignature).is_good());
    assert_eq!(appraisal.first_refusal().unwrap().0, CheckName::RimDigest);
    let measurements = driver_outcome(&appraisal, CheckName::Measurements);
    assert_eq!(*measurements, Outcome::Absent(CheckName::RimDigest));
}

#[test]
fn refuses_the_changed_manifests_of_a_switch_by_their_digest() {
    let Some(vectors) = vectors() else { return };
    let device = vectors.switch();
    let cases = [
        ("invalid_signature.xml", utc("2025-06-01T00:00:00Z"), None),
        ("measurement_mismatch.xml", utc("2025-06-01T00:00:00Z"), Some("GPU GH100 96.10.55.00.01")),
    ];
    for (name, at_time, renamed) in cases {
        let file = at(RIMS, &format!("NV_SWITCH_BIOS_5612_0002_890_9610550001_{name}"));
        let rims = vectors.rims(&[&file]);
        let appraisal = device.appraise(&rims, &device.own_nonce(), at_time);
        let vbios = Some(RimKind::Vbios);
        let refusal = appraisal.outcome(CheckName::RimDigest, vbios).unwrap().refusal().unwrap();
        assert!(matches!(refusal, Refusal::Rim { why: RimError::Digest { .. }, .. }), "{refusal}");
        passed(&appraisal, CheckName::RimSignature, vbios);
        let identity = appraisal.outcome(CheckName::RimIdentity, vbios).unwrap();
        match (renamed, identity.refusal()) {
            (Some(name), Some(Refusal::RimIdentity { wanted, got })) => {
                assert_eq!(wanted.to_string(), "switch LS10 96.10.55.00.01");
                assert_eq!(got.to_string(), name);
            }
            (None, None) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn refuses_an_expired_driver_manifest_by_its_signer_and_its_digest() {
    let Some(vectors) = vectors() else { return };
    let rim = Rim::parse(&vectors.bytes(&at(RIMS, "NV_GPU_DRIVER_GH100_570.124.03_expired.xml")));
    let rim = rim.unwrap();
    let root = subrosa_nvidia_evidence::NVIDIA_RIM_ROOT;
    let verify = |at: &str| rim.verify(root, utc(at)).unwrap_err();
    let expired =
        |error: &RimError| matches!(error, RimError::Chain(ChainError::Expired { index: 0, .. }));
    assert!(expired(&verify("2025-01-02T00:00:01Z")));
    assert!(expired(&verify("2026-11-28T00:00:00Z")));
    for at in ["2025-01-01T00:00:00Z", "2025-01-02T00:00:00Z"] {
        let valid = verify(at);
        assert!(matches!(valid, RimError::Digest { .. }), "{valid}");
    }
}

#[test]
fn refuses_a_manifest_of_the_debug_root_by_its_name() {
    let Some(vectors) = vectors() else { return };
    let rim = Rim::parse(&vectors.bytes(&at(SDK, "incorrect_cert_chain_driver_rim.xml"))).unwrap();
    let at_time = utc("2025-06-01T00:00:00Z");
    let error = rim.verify(subrosa_nvidia_evidence::NVIDIA_RIM_ROOT, at_time).unwrap_err();
    let RimError::Chain(ChainError::UnknownRoot { subject, .. }) = error else { panic!("{error}") };
    assert_eq!(subject, "NVIDIA CoRIM L1 Root CA Debug Only");
}

#[test]
fn refuses_any_manifest_under_another_root() {
    let Some(vectors) = vectors() else { return };
    // The "incorrect root" of the SDK is no root at all: its fingerprint is what is pinned here.
    let pem = vectors.bytes(&at(SDK, "incorrect_rim_root.crt"));
    let text = String::from_utf8(pem).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).unwrap();
    let root = subrosa_nvidia_evidence::Fingerprint(Sha256::digest(&der).into());
    let policy = Policy { rim_root: root, ..offline() };
    let (device, rims) = (vectors.h100(), vectors.h100_rims());
    let collateral = Collateral { rims: &rims, ocsp: &[], crls: &[] };
    let appraisal =
        appraise_device(&device.evidence(), &collateral, &nonce(H100_NONCE), &policy, JUNE_2024);
    for kind in [RimKind::Driver, RimKind::Vbios] {
        let refusal = appraisal.outcome(CheckName::RimChain, Some(kind)).unwrap().refusal();
        let Some(Refusal::Rim {
            why: RimError::Chain(ChainError::UnknownRoot { subject, .. }),
            ..
        }) = refusal
        else {
            panic!("{refusal:?}")
        };
        assert_eq!(subject, "NVIDIA CoRIM signing Root CA");
    }
}

#[test]
fn refuses_a_blackwell_report_under_hoppers_extension() {
    let Some(vectors) = vectors() else { return };
    let device = Device { architecture: Architecture::Hopper, ..blackwell(&vectors) };
    let appraisal = device.appraise(&RimStore::new(), &device.own_nonce(), JUNE_2024);
    let refusal = appraisal.outcome(CheckName::Fwid, None).unwrap().refusal().unwrap();
    let Refusal::Fwid(FwidError::AbsentFromCertificate { oid }) = refusal else {
        panic!("{refusal}")
    };
    assert_eq!(oid, "2.23.133.5.4.1");
    // That the policy waives a FWID which the report lacks does not help.
    assert_eq!(offline().fwid, Demand::Waived);
    let (name, refusal) = appraisal.first_refusal().unwrap();
    let chip = "GB100".to_owned();
    assert_eq!(name, CheckName::Architecture);
    assert_eq!(*refusal, Refusal::Architecture { claimed: Architecture::Hopper, chip });
}

#[test]
fn refuses_a_hopper_report_under_blackwells_extension() {
    let Some(vectors) = vectors() else { return };
    for (device, _) in vectors.serialized("hopper_evidence.json") {
        let device = Device { architecture: Architecture::Blackwell, ..device };
        let appraisal = device.appraise(&RimStore::new(), &device.own_nonce(), JUNE_2024);
        let refusal = appraisal.outcome(CheckName::Fwid, None).unwrap().refusal().unwrap();
        let absent =
            Refusal::Fwid(FwidError::AbsentFromCertificate { oid: "2.23.133.5.4.1.1".into() });
        assert_eq!(*refusal, absent);
    }
}

/// FWID absent from the report is its own outcome; another firmware's is a mismatch that no policy
/// waives. The leaf of one GPU with a report of other firmware shows it.
#[test]
fn tells_an_absent_fwid_from_another_firmwares() {
    let Some(vectors) = vectors() else { return };
    let h100 = vectors.h100();
    let appraisal = h100.appraise(&vectors.h100_rims(), &h100.own_nonce(), JUNE_2024);
    let outcome = appraisal.outcome(CheckName::Fwid, None).unwrap();
    assert_eq!(*outcome, Outcome::Waived(FwidError::AbsentFromReport.to_string()));

    let newer = vectors.report(&at(SDK, "hopperAttestationReport.txt"));
    let chain = vectors.bytes(&at(TRUST, "hopperCertChain.txt"));
    let spliced = Device { report: newer, chain, ..h100 };
    let appraisal = spliced.appraise(&RimStore::new(), &spliced.own_nonce(), JUNE_2024);
    let refusal = appraisal.outcome(CheckName::Fwid, None).unwrap().refusal().unwrap();
    assert!(matches!(refusal, Refusal::Fwid(FwidError::Mismatch { .. })), "{refusal}");
    assert_eq!(appraisal.first_refusal().unwrap().0, CheckName::ReportSignature);
}

#[test]
fn refuses_a_switch_as_a_gpu_and_a_gpu_as_a_switch() {
    let Some(vectors) = vectors() else { return };
    let switch = Device { architecture: Architecture::Hopper, ..vectors.switch() };
    let (name, refusal) = refusal(&switch, &RimStore::new(), JUNE_2024);
    assert_eq!(name, CheckName::Architecture);
    assert!(refusal.to_string().contains("LS_10"), "{refusal}");
    let gpu = Device { architecture: Architecture::Ls10, ..vectors.h100() };
    let appraisal = gpu.appraise(&RimStore::new(), &gpu.own_nonce(), JUNE_2024);
    assert_eq!(appraisal.first_refusal().unwrap().0, CheckName::Architecture);
}

#[test]
fn refuses_a_chain_whose_root_has_the_right_name_and_another_key() {
    let Some(vectors) = vectors() else { return };
    let device = vectors.h100();
    let text = String::from_utf8(device.chain.clone()).unwrap();
    let root_begins = text.rfind("-----BEGIN").unwrap();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "NVIDIA Device Identity CA");
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "NVIDIA");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let forged = params.self_signed(&key).unwrap().pem();
    let chain = format!("{}{forged}", &text[..root_begins]).into_bytes();
    let device = Device { chain, ..device };
    let (name, refusal) = refusal(&device, &vectors.h100_rims(), JUNE_2024);
    assert_eq!(name, CheckName::DeviceChain);
    let Refusal::Chain(ChainError::UnknownRoot { subject, .. }) = refusal else {
        panic!("{refusal}")
    };
    assert_eq!(subject, "NVIDIA Device Identity CA");
}

#[test]
fn refuses_certificates_out_of_order() {
    let Some(vectors) = vectors() else { return };
    let device = vectors.h100();
    let text = String::from_utf8(device.chain.clone()).unwrap();
    let certificates: Vec<_> =
        text.split_inclusive("-----END CERTIFICATE-----").map(str::trim).collect();
    let orders: [&[usize]; 5] = [
        &[1, 0, 2, 3, 4],
        &[0, 2, 1, 3, 4],
        &[0, 1, 2, 4, 3],
        &[4, 3, 2, 1, 0],
        &[0, 1, 2, 3, 3, 4],
    ];
    for order in orders {
        let chain: Vec<_> = order.iter().map(|it| certificates[*it]).collect();
        let device = Device { chain: chain.join("\n").into_bytes(), ..device.clone() };
        let appraisal = device.appraise(&vectors.h100_rims(), &device.own_nonce(), JUNE_2024);
        let refusal = appraisal.outcome(CheckName::DeviceChain, None).unwrap().refusal().unwrap();
        assert!(matches!(refusal, Refusal::Chain(_)), "{order:?}: {refusal}");
        // A leaf that is not the device's key did not sign the report either.
        let signed = appraisal.outcome(CheckName::ReportSignature, None).unwrap().is_good();
        assert_eq!(signed, order[0] == 0, "{order:?}");
    }
}

#[test]
fn refuses_two_manifests_for_the_same_version() {
    let Some(vectors) = vectors() else { return };
    let rims = vectors.rims(&[DRIVER_545, VBIOS_5E_01, VBIOS_5E_01_PROD]);
    let (name, refusal) = refusal(&vectors.h100(), &rims, JUNE_2024);
    assert_eq!(name, CheckName::RimPresent);
    assert!(matches!(refusal, Refusal::RimAmbiguous { .. }), "{refusal}");
}

#[test]
fn refuses_a_set_without_its_vbios_manifest() {
    let Some(vectors) = vectors() else { return };
    let (name, refusal) = refusal(&vectors.h100(), &vectors.rims(&[DRIVER_545]), JUNE_2024);
    assert_eq!(name, CheckName::RimPresent);
    let Refusal::RimMissing { id, .. } = refusal else { panic!("{refusal}") };
    assert_eq!(id, "NV_GPU_VBIOS_1010_0200_882_96005E0001");
}
