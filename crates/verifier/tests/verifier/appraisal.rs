//! Hardware and binding: what the simulator does wrong, by name.

use subrosa_attester::{Fault, Simulator};
use subrosa_protocol::{B256, Duration, Keyset, SecretKey, Timestamp};
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{
    Allowed, CheckName, CpuEvidence, Document, Endorsements, Gpu, IntelTcbStatus, Machines,
    Outcome, Policy, Root, Roots, Trust, Verdict, examine, recheck, tdx_measurement, verify,
};

use crate::world::*;

#[test]
fn honest_evidence_is_attested_with_every_check_passed_or_waived() {
    let world = World::new();
    let evidence = world.evidence();
    let attested = world.check(&evidence).unwrap();

    assert_eq!(attested.signer(), signer().address());
    assert_eq!(attested.keyset().to_bytes(), world.keyset);
    assert_eq!(attested.workload(), &workload());
    assert_eq!(attested.workload_digest(), evidence.workload_digest());
    assert_eq!(attested.measurement(), Simulator::measurement(IMAGE));
    assert_eq!(attested.evidence_digest(), evidence.digest());
    assert_eq!(attested.nonce(), &shared_nonce());
    assert!(attested.is_simulated());
    let report = attested.report();
    assert_eq!((report.verdict, report.at), (Verdict::Accepted, NOW));
    let waived = |name: CheckName| {
        let about = [CpuIdRegistry, EventLogIntegrity, ComposeBinding, CpuGpuChain];
        about.contains(&name) || name.as_str().starts_with("nv")
    };
    for check in &report.checks {
        let expected = if waived(check.name) { Outcome::Waived } else { Outcome::Passed };
        assert_eq!(check.outcome, expected, "{check:?}");
        assert!(!check.seen.is_empty(), "{check:?}");
    }
}

#[test]
fn an_attested_pod_expires_with_its_block_its_collateral_or_its_signer() {
    let mut world = World::new();
    let by_block = Timestamp(BLOCK.timestamp.0 + world.policy.nonce.age_max.0);
    assert_eq!(world.attested().expires(), by_block);

    let soon = Timestamp(NOW.0 + 5);
    world.keyset = Keyset { signer: signer().address(), not_after: soon }.to_bytes();
    assert_eq!(world.attested().expires(), soon);

    let mut world = World::new();
    world.policy.nonce.age_max = Duration(10_000_000_000);
    world.keyset = Keyset { signer: signer().address(), not_after: Timestamp(u64::MAX) }.to_bytes();
    let month = 30 * 24 * 3_600;
    let expires = world.attested().expires();
    assert!(expires > NOW && expires.0 < NOW.0 + month, "{expires}");
    // Good in its last second, refused in the next.
    let evidence = world.evidence();
    recheck(&evidence, &world.policy, expires).unwrap();
    let refusal = recheck(&evidence, &world.policy, Timestamp(expires.0 + 1)).unwrap_err();
    assert_failed(&refusal, IntelPcsCollateral);
}

#[test]
fn the_liars_image_fails_the_measurement_and_is_not_believed_about_itself() {
    let world = World::with(Simulator::new("an image that nobody released"));
    let refusal = world.refused();
    assert_failed(&refusal, TeeMeasurement);
    assert_outcomes(&refusal, Outcome::Passed, &[TeeQuoteSignature, TeeReportdataBinding]);
    assert_outcomes(
        &refusal,
        Outcome::Absent,
        &[WorkloadStructure, BackendInImage, PlaintextExits, MeasuredModelWeights],
    );
    assert!(refusal.to_string().contains("tee_measurement"), "{refusal}");
}

#[test]
fn a_revoked_release_is_refused_like_any_other_image() {
    let mut world = World::new();
    world.policy.releases.measurements.clear();
    assert_failed(&world.refused(), TeeMeasurement);
}

#[test]
fn every_fault_of_the_hardware_is_refused_by_its_name() {
    let cases = [
        (Fault::CollateralExpired, IntelPcsCollateral),
        (Fault::Debug, TeeDebugDisabled),
        (Fault::Migratable, TeeHardwareConfig),
        (Fault::OtherPlatform, IntelPcsCollateral),
        (Fault::OtherReportData, TeeReportdataBinding),
        (Fault::OtherRoot, TeeCertChain),
        (Fault::SeptVe, TeeHardwareConfig),
        (Fault::TcbOutOfDate, TeeTcbCurrent),
        (Fault::TcbRevoked, TeeTcbNotRevoked),
        (Fault::TcbUnknown, TeeTcbCurrent),
        (Fault::TrailingBytes, TeeQuoteStructure),
    ];
    for (fault, name) in cases {
        let refusal = World::faulty(fault).refused();
        assert_failed(&refusal, name);
    }
}

#[test]
fn after_a_broken_quote_everything_it_says_is_absent() {
    let refusal = World::faulty(Fault::TrailingBytes).refused();
    let later = [
        TeeCertChain,
        IntelPcsCollateral,
        TeeQuoteSignature,
        TeeTcbNotRevoked,
        TeeTcbCurrent,
        TeeTcbEvaluation,
        TeeDebugDisabled,
        TeeHardwareConfig,
        TeeMeasurement,
        CpuIdRegistry,
        TeeReportdataBinding,
        SigningKeyPresent,
        NvidiaPayloadPresent,
        WorkloadStructure,
        MeasuredModelWeights,
    ];
    assert_outcomes(&refusal, Outcome::Absent, &later);
}

#[test]
fn a_debugged_guest_still_shows_what_is_known_of_it() {
    let refusal = World::faulty(Fault::Debug).refused();
    let known = [TeeCertChain, TeeQuoteSignature, TeeMeasurement, TeeReportdataBinding];
    assert_outcomes(&refusal, Outcome::Passed, &known);
    assert_outcomes(&refusal, Outcome::Absent, &[TeeTcbCurrent, TeeHardwareConfig]);
}

#[test]
fn collateral_counts_from_its_issue_to_its_end() {
    let world = World::new();
    let evidence = world.evidence();
    for days in [3, 40] {
        let mut later = World::new();
        later.policy.nonce.age_max = Duration(u64::MAX);
        later.policy.nonce.view_age_max = Duration(u64::MAX);
        later.keyset = world.keyset.clone();
        later.now = Timestamp(NOW.0 + days * 24 * 3_600);
        let refusal = later.check(&evidence).unwrap_err();
        let expected = if days == 3 { SigningKeyPresent } else { IntelPcsCollateral };
        assert_failed(&refusal, expected);
    }
    let before = Timestamp(NOW.0 - 10 * 24 * 3_600);
    let refusal = verify(&evidence, &world.policy, &world.freshness, before).unwrap_err();
    assert_failed(&refusal, IntelPcsCollateral);
}

#[test]
fn a_key_beside_an_unrelated_quote_is_refused() {
    let world = World::new();
    let evidence = world.evidence();
    let thief = SecretKey::from_bytes(&[0x66; 32]).unwrap();
    let keyset = Keyset { signer: thief.address(), not_after: Timestamp(NOW.0 + 90_000) };
    let (nonce, cpu) = (*evidence.nonce(), evidence.cpu().clone());
    let spliced = compose(nonce, &keyset.to_bytes(), b"", &world.workload, cpu);
    let refusal = world.check(&spliced).unwrap_err();
    assert_failed(&refusal, TeeReportdataBinding);
    let unbound = [SigningKeyPresent, NvidiaPayloadPresent, WorkloadStructure];
    assert_outcomes(&refusal, Outcome::Absent, &unbound);
}

#[test]
fn a_workload_or_device_beside_an_unrelated_quote_is_refused() {
    let world = World::new();
    let evidence = world.evidence();
    let (nonce, cpu) = (*evidence.nonce(), evidence.cpu().clone());
    let mut other = workload();
    other.models.clear();
    let spliced = compose(nonce, &world.keyset, b"", &other.to_bytes(), cpu.clone());
    assert_failed(&world.check(&spliced).unwrap_err(), TeeReportdataBinding);

    let spliced = compose(nonce, &world.keyset, b"gpu", &world.workload, cpu);
    assert_failed(&world.check(&spliced).unwrap_err(), TeeReportdataBinding);
}

#[test]
fn a_quote_with_another_pods_collateral_is_refused() {
    let world = World::new();
    let evidence = world.evidence();
    let other = World::faulty(Fault::OtherRoot).evidence();
    let (mut ours, theirs) = (tdx(&evidence), tdx(&other));
    ours.collateral = theirs.collateral;
    let cpu = CpuEvidence::Tdx(ours);
    let spliced = compose(*evidence.nonce(), &world.keyset, b"", &world.workload, cpu);
    assert_failed(&world.check(&spliced).unwrap_err(), TeeCertChain);
}

#[test]
fn a_simulated_quote_without_collateral_is_told_so() {
    let world = World::new();
    let evidence = world.evidence();
    let CpuEvidence::Tdx(tdx) = evidence.cpu() else { panic!("a TDX machine") };
    let bare = Document::parse(&tdx.quote).unwrap();
    let report = examine(&bare, &Endorsements::default(), None, &world.policy, NOW);
    let failed = report.first_failure().expect("accepted");
    assert_eq!(failed.name, IntelPcsCollateral);
    assert!(failed.seen.contains("no collateral came along"), "{failed:?}");
}

#[test]
fn chains_must_be_whole_and_end_in_the_root() {
    let world = World::new();
    let evidence = world.evidence();
    let honest = tdx(&evidence);
    let first = |chain: &str| {
        let end = "-----END CERTIFICATE-----\n";
        chain.split_inclusive(end).next().unwrap().to_owned()
    };
    let collateral = honest.collateral.clone();
    let mut broken = vec![collateral.clone(); 6];
    broken[0].tcb_info_issuer_chain = first(&collateral.tcb_info_issuer_chain);
    broken[1].qe_identity_issuer_chain = first(&collateral.qe_identity_issuer_chain);
    broken[2].pck_crl_issuer_chain = first(&collateral.pck_crl_issuer_chain);
    broken[3].pck_crl_issuer_chain = collateral.tcb_info_issuer_chain.clone();
    broken[4].tcb_info_issuer_chain = collateral.pck_crl_issuer_chain.clone();
    broken[5].qe_identity_issuer_chain.push(' ');
    for (case, collateral) in broken.into_iter().enumerate() {
        let mut cpu = honest.clone();
        cpu.collateral = collateral;
        let nonce = *evidence.nonce();
        let cpu = CpuEvidence::Tdx(cpu);
        let document = compose(nonce, &world.keyset, b"", &world.workload, cpu);
        let refusal = world.check(&document).unwrap_err();
        let name = refusal.failed().name;
        assert!([TeeCertChain, IntelPcsCollateral].contains(&name), "case {case}: {refusal}");
    }
}

#[test]
fn the_simulators_root_is_worth_nothing_under_a_strict_policy() {
    let mut world = World::new();
    world.policy = Policy::strict(releases());
    let refusal = world.refused();
    assert_failed(&refusal, TeeCertChain);
    assert!(!refusal.report().simulated);
}

#[test]
fn a_hand_made_policy_cannot_trust_the_simulator_on_hardware() {
    let mut world = World::new();
    world.policy.trust = Trust::Hardware;
    assert_failed(&world.refused(), TeeCertChain);

    let other = B256::repeat_byte(7);
    world.policy.roots = Roots::all(Root::Sha256(other));
    assert_failed(&world.refused(), TeeCertChain);
}

#[test]
fn an_outdated_platform_is_tolerated_only_by_name_and_within_grace() {
    let mut world = World::faulty(Fault::TcbOutOfDate);
    // The simulated level is of 2025-01-01.
    let since_level = NOW.0 - 1_735_689_600;
    world.policy.intel.statuses.push(IntelTcbStatus::OutOfDate);
    world.policy.intel.grace = Duration(since_level - 1);
    assert_failed(&world.refused(), TeeTcbCurrent);
    world.policy.intel.grace = Duration(since_level);
    let attested = world.attested();
    assert_eq!(attested.report().outcome(TeeTcbCurrent), Outcome::Passed);
    assert_eq!(attested.expires(), NOW, "the grace ends with this second");
    let sentence = attested.report().sentence();
    assert!(sentence.contains("as current as the policy demands"), "{sentence}");

    world.policy.intel.statuses = vec![IntelTcbStatus::UpToDate];
    assert_failed(&world.refused(), TeeTcbCurrent);
}

#[test]
fn what_was_attested_ends_with_the_grace_where_that_is_first() {
    let mut world = World::faulty(Fault::TcbOutOfDate);
    let since_level = NOW.0 - 1_735_689_600;
    world.policy.intel.statuses.push(IntelTcbStatus::OutOfDate);
    world.policy.intel.grace = Duration(u64::MAX / 2);
    let without = world.attested().expires();
    for left in [0, 1, 59, 600] {
        world.policy.intel.grace = Duration(since_level + left);
        assert_eq!(world.attested().expires(), NOW.after(Duration(left)));
    }
    assert!(without > NOW.after(Duration(600)));
}

#[test]
fn a_policy_that_does_not_list_up_to_date_does_not_accept_it() {
    let mut world = World::new();
    world.policy.intel.statuses = vec![IntelTcbStatus::SWHardeningNeeded];
    assert_failed(&world.refused(), TeeTcbCurrent);
}

#[test]
fn an_old_evaluation_is_refused() {
    let mut world = World::new();
    world.policy.intel.evaluation_number_min = 18;
    assert_failed(&world.refused(), TeeTcbEvaluation);
}

#[test]
fn platform_flags_are_refused_where_policy_forbids_them() {
    let forbid: [fn(&mut Policy); 3] = [
        |policy| policy.intel.smt = Allowed::No,
        |policy| policy.intel.dynamic_platform = Allowed::No,
        |policy| policy.intel.cached_keys = Allowed::No,
    ];
    for forbid in forbid {
        let mut world = World::new();
        forbid(&mut world.policy);
        assert_failed(&world.refused(), TeeHardwareConfig);
    }
}

#[test]
fn only_listed_machines_are_accepted_where_there_is_a_list() {
    let mut world = World::new();
    let ppid: String = b"subrosa-sim-ppid".iter().map(|byte| format!("{byte:02x}")).collect();
    world.policy.machines = Machines::Listed(vec!["00".repeat(16), ppid]);
    assert_eq!(world.attested().report().outcome(CpuIdRegistry), Outcome::Passed);

    world.policy.machines = Machines::Listed(vec!["00".repeat(16)]);
    assert_failed(&world.refused(), CpuIdRegistry);
    world.policy.machines = Machines::Listed(vec![]);
    assert_failed(&world.refused(), CpuIdRegistry);
}

#[test]
fn devices_that_cannot_be_read_are_refused() {
    let mut world = World::new();
    world.devices = b"a GPU report".to_vec();
    assert_failed(&world.refused(), NvidiaPayloadPresent);
    world.policy.gpu = Gpu::Required;
    assert_failed(&world.refused(), NvidiaPayloadPresent);
    world.devices.clear();
    assert_failed(&world.refused(), NvidiaPayloadPresent);
}

#[test]
fn a_signer_past_its_end_is_refused() {
    let mut world = World::new();
    let ended = Timestamp(NOW.0 - 1);
    world.keyset = Keyset { signer: signer().address(), not_after: ended }.to_bytes();
    assert_failed(&world.refused(), SigningKeyPresent);
    world.keyset = Keyset { signer: signer().address(), not_after: NOW }.to_bytes();
    assert_eq!(world.attested().expires(), NOW);
}

#[test]
fn a_keyset_that_is_not_canonical_is_refused() {
    let mut world = World::new();
    world.keyset.push(b' ');
    assert_failed(&world.refused(), SigningKeyPresent);
    world.keyset = b"{}".to_vec();
    assert_failed(&world.refused(), SigningKeyPresent);
    world.keyset.clear();
    assert_failed(&world.refused(), SigningKeyPresent);
}

#[test]
fn kept_evidence_is_rechecked_without_freshness_and_at_its_time_alone() {
    let world = World::new();
    let evidence = world.evidence();
    let rechecked = recheck(&evidence, &world.policy, NOW).unwrap();
    assert_eq!(rechecked.signer(), signer().address());
    assert_eq!(rechecked.workload_digest(), evidence.workload_digest());
    assert_eq!(rechecked.report().outcome(NonceMatch), Outcome::Waived);
    assert_eq!(rechecked.report().outcome(BlockRecent), Outcome::Waived);

    let years_later = Timestamp(NOW.0 + 3 * 365 * 24 * 3_600);
    let refusal = recheck(&evidence, &world.policy, years_later).unwrap_err();
    assert_failed(&refusal, IntelPcsCollateral);
    let liar = World::with(Simulator::new("an image that nobody released"));
    let refusal = recheck(&liar.evidence(), &world.policy, NOW).unwrap_err();
    assert_failed(&refusal, TeeMeasurement);
}

#[test]
fn the_measurement_covers_every_register_in_its_place() {
    let plain = tdx_measurement(&[1; 48], &[[2; 48], [3; 48], [4; 48], [5; 48]]);
    assert_eq!(
        plain.to_string(),
        "0x71778e958b3d6ad6cd48446c4076bccb512d7a1f55d389e67edd8a6e5bf42826"
    );
    let swapped = tdx_measurement(&[1; 48], &[[3; 48], [2; 48], [4; 48], [5; 48]]);
    assert_ne!(plain, swapped);
}

#[test]
fn the_report_is_json_in_a_stable_order() {
    let report = World::new().attested().report().clone();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["verdict"], "accepted");
    assert_eq!(json["simulated"], true);
    assert_eq!(json["checks"][0]["name"], "nonce_match");
    assert_eq!(json["checks"][0]["outcome"], "passed");
    let names: Vec<&str> = report.checks.iter().map(|check| check.name.as_str()).collect();
    let listed: Vec<String> = json["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, listed);
    let applying = CheckName::ALL.into_iter().filter(|name| name.applies_to(report.kind));
    assert_eq!(applying.map(CheckName::as_str).collect::<Vec<_>>(), names);
    assert_eq!((&json["kind"], &json["policy"]), (&"tdx_evidence".into(), &"simulated".into()));
}
