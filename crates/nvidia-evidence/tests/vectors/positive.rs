//! Genuine evidence that must be accepted, and exactly when.

use subrosa_nvidia_evidence::{
    Architecture, CheckName, Collateral, Demand, Outcome, Policy, Report, Rim, RimKind, RimStore,
    Trailing, appraise_device,
};

use crate::files::*;

#[test]
fn accepts_the_complete_set_of_an_h100() {
    let Some(vectors) = vectors() else { return };
    let rims = vectors.h100_rims();
    let appraisal = vectors.h100().appraise(&rims, &nonce(H100_NONCE), JUNE_2024);
    let claims = appraisal.accepted().expect("the set is complete");
    assert_eq!(claims.device_info.as_deref(), Some("NVIDIA:GH100:48B02DB73E52137E"));
    assert_eq!(claims.boot_rom_serial.as_deref(), Some("41FFEEB20009E0BE49"));
    assert_eq!(claims.driver_version.as_deref(), Some("545.00"));
    assert_eq!(claims.vbios_version.as_deref(), Some("96.00.5E.00.01"));

    let [driver, vbios] = appraisal.comparisons() else { panic!("{:?}", appraisal.comparisons()) };
    assert_eq!((driver.equal, driver.compared(), &driver.skipped[..]), (20, 20, &[35][..]));
    assert_eq!((vbios.equal, vbios.compared(), vbios.skipped.len()), (12, 12, 0));
}

#[test]
fn the_skipped_measurement_of_the_h100_is_equal_too() {
    let Some(vectors) = vectors() else { return };
    let report = Report::parse(&vectors.h100().report, Trailing::Refuse).unwrap();
    let rim = Rim::parse(&vectors.bytes(DRIVER_545)).unwrap();
    let measurement = rim.active().find(|it| it.index == 35).expect("it counts");
    let block = report.blocks().iter().find(|it| it.index == 36).expect("it is measured");
    assert!(measurement.alternatives.contains(&block.value));
}

#[test]
fn the_set_of_the_h100_counts_in_its_window_alone() {
    let Some(vectors) = vectors() else { return };
    let (device, rims) = (vectors.h100(), vectors.h100_rims());
    let first = utc("2023-06-27T06:10:12Z");
    let last = utc("2025-06-22T09:38:54Z");
    for (at, accepted) in [(first - 1, false), (first, true), (last, true), (last + 1, false)] {
        let appraisal = device.appraise(&rims, &nonce(H100_NONCE), at);
        assert_eq!(appraisal.is_accepted(), accepted, "at {at}");
    }
}

#[test]
fn accepts_the_complete_set_of_a_switch_in_its_window_alone() {
    let Some(vectors) = vectors() else { return };
    let (device, rims) = (vectors.switch(), vectors.rims(&[SWITCH_RIM]));
    let first = utc("2026-05-20T22:02:51Z");
    let last = utc("2027-11-02T23:59:59Z");
    for (at, accepted) in [(first - 1, false), (first, true), (last, true), (last + 1, false)] {
        let appraisal = device.appraise(&rims, &nonce(KNOWN_NONCE), at);
        assert_eq!(appraisal.is_accepted(), accepted, "at {at}: {:?}", appraisal.first_refusal());
    }
    let appraisal = device.appraise(&rims, &nonce(KNOWN_NONCE), first);
    let [vbios] = appraisal.comparisons() else { panic!("{:?}", appraisal.comparisons()) };
    assert_eq!((vbios.equal, vbios.compared()), (31, 31));
    assert_eq!(appraisal.accepted().unwrap().vbios_version.as_deref(), Some("96.10.55.00.01"));
}

#[test]
fn a_half_set_proves_the_vbios_and_not_the_driver() {
    let Some(vectors) = vectors() else { return };
    let rims = vectors.rims(&[VBIOS_5E_01_PROD]);
    let device = vectors.device(
        Architecture::Hopper,
        &at(SAMPLE, "gpu/hopperAttestationReport.txt"),
        &at(SAMPLE, "gpu/hopperCertChain.txt"),
    );
    let first = utc("2023-06-23T09:30:33Z");
    let last = utc("2025-06-22T09:30:33Z");
    for (at, proven) in [(first - 1, false), (first, true), (last, true), (last + 1, false)] {
        let appraisal = device.appraise(&rims, &device.own_nonce(), at);
        let outcome = appraisal.outcome(CheckName::Measurements, Some(RimKind::Vbios)).unwrap();
        assert_eq!(outcome.is_good(), proven, "at {at}");
    }
    let appraisal = device.appraise(&rims, &device.own_nonce(), first);
    assert_eq!(passed(&appraisal, CheckName::Measurements, Some(RimKind::Vbios)), "12 of 12 equal");
    let (name, refusal) = appraisal.first_refusal().expect("there is no driver RIM");
    assert_eq!(name, CheckName::RimPresent);
    assert!(refusal.to_string().contains("NV_GPU_DRIVER_GH100_535.86.09"), "{refusal}");
    assert!(!appraisal.is_accepted());
}

/// Reports without published reference measurements: signature, chain and firmware are good.
#[test]
fn proves_devices_whose_measurements_nobody_published() {
    let Some(vectors) = vectors() else { return };
    let hopper = Architecture::Hopper;
    let mut devices = vec![
        vectors.device(
            hopper,
            &at(TRUST, "hopperAttestationReport.txt"),
            &at(TRUST, "hopperCertChain.txt"),
        ),
        vectors.device(
            hopper,
            &at(SAMPLE, "gpu/hopperAttestationReportExpired.txt"),
            &at(SAMPLE, "gpu/hopperCertChainExpired.txt"),
        ),
        vectors.device(
            hopper,
            &at(SDK, "hopperAttestationReport.txt"),
            &at(SDK, "hopperCertChain.txt"),
        ),
        blackwell(&vectors),
    ];
    for file in ["hopper_evidence.json", "hopper_evidence_cert_hold.json", "multi_gpu_hopper.json"]
    {
        devices.extend(vectors.serialized(file).into_iter().map(|(device, _)| device));
    }
    assert_eq!(devices.len(), 10);
    for device in devices {
        let first = match device.architecture {
            Architecture::Blackwell => utc("2023-06-20T00:00:00Z"),
            _ => utc("2022-03-01T00:00:00Z"),
        };
        let (rims, policy) = (RimStore::new(), without_rims());
        let policy = Policy { fwid: Demand::Required, ..policy };
        let collateral = Collateral { rims: &rims, ocsp: &[], crls: &[] };
        let appraise = |at| {
            let nonce = device.own_nonce();
            appraise_device(&device.evidence(), &collateral, &nonce, &policy, at)
        };
        let appraisal = appraise(first);
        let claims =
            appraisal.accepted().unwrap_or_else(|| panic!("{:?}", appraisal.first_refusal()));
        assert_eq!(passed(&appraisal, CheckName::Fwid, None), claims.fwid.unwrap().to_string());
        let outcome = appraisal.outcome(CheckName::Measurements, Some(RimKind::Driver)).unwrap();
        assert!(matches!(outcome, Outcome::Waived(_)), "{outcome:?}");

        assert_eq!(appraise(first - 1).first_refusal().unwrap().0, CheckName::DeviceChain);
        let year_9999 = utc("9999-12-31T23:59:59Z");
        assert!(appraise(year_9999).is_accepted());
        assert!(!appraise(year_9999 + 1).is_accepted());
    }
}

pub(crate) fn blackwell(vectors: &Vectors) -> Device {
    vectors.device(
        Architecture::Blackwell,
        &at(SAMPLE, "gpu/blackwellAttestationReport.txt"),
        &at(SAMPLE, "gpu/blackwellCertChain.txt"),
    )
}

#[test]
fn the_strict_policy_refuses_what_samples_lack_by_name() {
    let Some(vectors) = vectors() else { return };
    let rims = vectors.h100_rims();
    let collateral = Collateral { rims: &rims, ocsp: &[], crls: &[] };
    let (device, nonce) = (vectors.h100(), nonce(H100_NONCE));
    let appraisal =
        appraise_device(&device.evidence(), &collateral, &nonce, &Policy::strict(), JUNE_2024);
    let refused = appraisal.checks().iter().filter(|check| !check.outcome.is_good());
    let refused: Vec<_> = refused.map(|check| (check.name, check.rim)).collect();
    let (driver, vbios) = (Some(RimKind::Driver), Some(RimKind::Vbios));
    assert_eq!(
        refused,
        [
            (CheckName::Fwid, None),
            (CheckName::DeviceRevocation, None),
            (CheckName::RimRevocation, driver),
            (CheckName::RimRevocation, vbios),
        ]
    );
}

#[test]
fn every_good_rim_verifies() {
    let Some(vectors) = vectors() else { return };
    let root = subrosa_nvidia_evidence::NVIDIA_RIM_ROOT;
    let folder = |path: &str| {
        let path = std::path::PathBuf::from(path);
        let names = std::fs::read_dir(path).expect("a folder").map(|it| it.unwrap().path());
        names.collect::<Vec<_>>()
    };
    let rims = folder(&vectors.path(&at(TRUST, "rims")));
    assert_eq!(rims.len(), 26);
    for path in rims {
        let rim = subrosa_nvidia_evidence::Rim::parse(&std::fs::read(&path).unwrap()).unwrap();
        // All 26 signers are valid on 2024-06-01.
        assert_eq!(rim.verify(root, JUNE_2024), Ok(()), "{}", path.display());
    }
    let rim = vectors.bytes(&at(SDK, "NV_GPU_DRIVER_GH100_550.144.03.xml"));
    let rim = subrosa_nvidia_evidence::Rim::parse(&rim).unwrap();
    assert_eq!(rim.verify(root, utc("2024-12-30T16:56:50Z")), Ok(()));
    assert_eq!(rim.verify(root, utc("2026-12-30T16:56:50Z")), Ok(()));
    assert!(rim.verify(root, utc("2024-12-30T16:56:49Z")).is_err());
    assert!(rim.verify(root, utc("2026-12-30T16:56:51Z")).is_err());
}
