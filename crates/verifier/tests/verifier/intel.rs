//! Intel's TEEs by the simulator: every form of quote and log, and everything wrong with them.

use proptest::prelude::*;
use subrosa_attester::{Fault, SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator};
use subrosa_protocol::{Duration, Timestamp};
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{
    Allowed, CheckName, ConfigId, CpuEvidence, Document, Endorsements, EventLog, Evidence,
    IntelCollateral, Outcome, Policy, Releases, Stated, Verdict, examine, recheck, sgx_measurement,
    verify,
};

use crate::world::*;

fn kind(cpu: SimulatedCpu) -> SimulatedKind {
    SimulatedKind { cpu, gpus: SimulatedGpus::None }
}

/// Every form of Intel's evidence.
const FORMS: [SimulatedCpu; 5] = [
    SimulatedCpu::Sgx,
    SimulatedCpu::Tdx,
    SimulatedCpu::TdxCcel,
    SimulatedCpu::TdxDstack,
    SimulatedCpu::TdxV5,
];

fn faulty(cpu: SimulatedCpu, fault: Fault) -> World {
    World::with(Simulator::faulty_of(kind(cpu), IMAGE, fault))
}

/// Refused at a check, with words that tell why.
#[track_caller]
fn assert_refused(world: &World, name: CheckName, words: &str) {
    let refusal = world.refused();
    assert_failed(&refusal, name);
    assert!(refusal.failed().seen.contains(words), "{words:?} expected: {refusal}");
}

/// The quote of evidence of Intel's.
fn quote_mut(cpu: &mut CpuEvidence) -> &mut Vec<u8> {
    match cpu {
        CpuEvidence::Sgx(sgx) => &mut sgx.quote,
        CpuEvidence::Tdx(tdx) => &mut tdx.quote,
        CpuEvidence::Snp(_) => panic!("the evidence is Intel's"),
    }
}

/// Its collateral.
fn collateral_mut(cpu: &mut CpuEvidence) -> &mut IntelCollateral {
    match cpu {
        CpuEvidence::Sgx(sgx) => &mut sgx.collateral,
        CpuEvidence::Tdx(tdx) => &mut tdx.collateral,
        CpuEvidence::Snp(_) => panic!("the evidence is Intel's"),
    }
}

/// The same document with other evidence of the processor.
fn with_cpu(world: &World, evidence: &Evidence, cpu: CpuEvidence) -> Evidence {
    compose(*evidence.nonce(), &world.keyset, b"", &world.workload, cpu)
}

#[test]
fn every_form_of_honest_evidence_is_attested() {
    for cpu in FORMS {
        let world = World::of(kind(cpu));
        let attested = world.attested();
        let measurement = Simulator::measurement_of(kind(cpu), IMAGE);
        assert_eq!(attested.measurement(), measurement, "{cpu:?}");
        let report = attested.report();
        let logged = matches!(cpu, SimulatedCpu::TdxCcel | SimulatedCpu::TdxDstack);
        let expected = if logged { Outcome::Passed } else { Outcome::Waived };
        let expected = if cpu == SimulatedCpu::Sgx { Outcome::Absent } else { expected };
        assert_eq!(report.outcome(EventLogIntegrity), expected, "{cpu:?}");
    }
}

#[test]
fn every_form_has_a_measurement_of_its_own() {
    let measurements = FORMS.map(|cpu| Simulator::measurement_of(kind(cpu), IMAGE));
    // The form of a quote is no part of what booted; a log's registers are.
    assert_eq!(measurements[1], measurements[4]);
    for (at, one) in measurements[..4].iter().enumerate() {
        assert!(!measurements[at + 1..4].contains(one), "{at}");
    }
}

#[test]
fn faults_of_every_quote_are_refused_by_name_and_reason() {
    for cpu in FORMS {
        for (fault, name, words) in [
            (Fault::CollateralExpired, IntelPcsCollateral, "expired"),
            (Fault::Debug, TeeDebugDisabled, "the host can debug the"),
            (Fault::OtherPlatform, IntelPcsCollateral, "Fmspc mismatch"),
            (Fault::OtherReportData, TeeReportdataBinding, "these parts make"),
            (Fault::OtherRoot, TeeCertChain, "policy pins"),
            (Fault::OtherTeeIdentity, IntelPcsCollateral, "QE identity of the other TEE"),
            (Fault::OtherTeeTcbInfo, IntelPcsCollateral, "TCB info of the other TEE"),
            (Fault::TcbOutOfDate, TeeTcbCurrent, "status OutOfDate"),
            (Fault::TcbRevoked, TeeTcbNotRevoked, "Revoked"),
            (Fault::TcbUnknown, TeeTcbCurrent, "No matching TCB level found"),
            (Fault::TrailingBytes, TeeQuoteStructure, "bytes follow the quote"),
        ] {
            assert_refused(&faulty(cpu, fault), name, words);
        }
    }
}

#[test]
fn a_revoked_certificate_is_refused_under_every_policy() {
    for cpu in FORMS {
        for fault in [Fault::AuthorityRevoked, Fault::PlatformRevoked, Fault::TcbSignerRevoked] {
            let mut world = faulty(cpu, fault);
            assert_refused(&world, TeeCertChain, "revoked");
            world.policy = tolerant(&world.policy);
            assert_refused(&world, TeeCertChain, "revoked");
        }
    }
}

/// The same roots and releases, and everything tolerated that a policy can tolerate of Intel's.
fn tolerant(policy: &Policy) -> Policy {
    use subrosa_verifier::IntelTcbStatus::*;
    let mut policy = policy.clone();
    policy.intel.statuses = vec![
        ConfigurationAndSWHardeningNeeded,
        ConfigurationNeeded,
        OutOfDate,
        OutOfDateConfigurationNeeded,
        SWHardeningNeeded,
        TDRelaunchAdvised,
        TDRelaunchAdvisedConfigurationNeeded,
        UpToDate,
    ];
    policy.intel.grace = Duration(u64::MAX);
    policy.intel.evaluation_number_min = 0;
    policy.intel.sgx.misc_select_allowed = u32::MAX;
    policy.intel.sgx.config = Stated::Any;
    policy.intel.tdx.pks = Allowed::Yes;
    policy.intel.tdx.perfmon = Allowed::Yes;
    policy.intel.tdx.service_td = Allowed::Yes;
    policy.intel.tdx.config_id = ConfigId::Any;
    policy.intel.tdx.owner = Stated::Any;
    policy
}

#[test]
fn what_no_policy_tolerates_is_refused_under_the_most_tolerant() {
    for cpu in FORMS {
        let tolerated = |fault| {
            let mut world = faulty(cpu, fault);
            world.policy = tolerant(&world.policy);
            world
        };
        tolerated(Fault::TcbOutOfDate).attested();
        for (fault, name) in [
            (Fault::CollateralExpired, IntelPcsCollateral),
            (Fault::Debug, TeeDebugDisabled),
            (Fault::OtherPlatform, IntelPcsCollateral),
            (Fault::OtherReportData, TeeReportdataBinding),
            (Fault::OtherRoot, TeeCertChain),
            (Fault::OtherTeeIdentity, IntelPcsCollateral),
            (Fault::OtherTeeTcbInfo, IntelPcsCollateral),
            (Fault::TcbRevoked, TeeTcbNotRevoked),
            (Fault::TcbUnknown, TeeTcbCurrent),
            (Fault::TrailingBytes, TeeQuoteStructure),
        ] {
            assert_failed(&tolerated(fault).refused(), name);
        }
    }
}

/// Something done to the collateral of Intel's.
type Spoil = fn(&mut IntelCollateral);

#[test]
fn collateral_that_its_signer_did_not_sign_is_refused() {
    let cases: [(&str, Spoil); 8] = [
        ("TCB info", |collateral| collateral.tcb_info.push(' ')),
        ("TCB info of another number", |collateral| {
            collateral.tcb_info = collateral.tcb_info.replacen(":17", ":18", 1);
        }),
        ("its signature", |collateral| collateral.tcb_info_signature[5] ^= 1),
        ("QE identity", |collateral| collateral.qe_identity.push(' ')),
        ("its signature", |collateral| collateral.qe_identity_signature[60] ^= 1),
        ("each other's signature", |collateral| {
            std::mem::swap(
                &mut collateral.tcb_info_signature,
                &mut collateral.qe_identity_signature,
            );
        }),
        ("list of the root", |collateral| *collateral.root_ca_crl.last_mut().unwrap() ^= 1),
        ("list of the authority", |collateral| *collateral.pck_crl.last_mut().unwrap() ^= 1),
    ];
    for cpu in [SimulatedCpu::Sgx, SimulatedCpu::Tdx] {
        let world = World::of(kind(cpu));
        let evidence = world.evidence();
        for (what, spoil) in cases {
            let mut spoiled = evidence.cpu().clone();
            let collateral = collateral_mut(&mut spoiled);
            let honest = collateral.clone();
            spoil(collateral);
            assert_ne!(*collateral, honest, "{what}");
            let refusal = world.check(&with_cpu(&world, &evidence, spoiled)).unwrap_err();
            let name = refusal.failed().name;
            assert!([TeeCertChain, IntelPcsCollateral].contains(&name), "{what}: {refusal}");
            assert_outcomes(&refusal, Outcome::Absent, &[TeeQuoteSignature, TeeMeasurement]);
        }
    }
}

#[test]
fn statements_without_the_certificates_of_their_signers_are_no_collateral() {
    for cpu in FORMS {
        let world = World::of(kind(cpu));
        let mut evidence = world.evidence().cpu().clone();
        let collateral = collateral_mut(&mut evidence).clone();
        let signed = |name: &str, text: &str, signature: &[u8]| {
            let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
            format!(r#"{{"{name}":{text},"signature":"{signature}"}}"#)
        };
        let tcb_info = signed("tcbInfo", &collateral.tcb_info, &collateral.tcb_info_signature);
        let identity =
            signed("enclaveIdentity", &collateral.qe_identity, &collateral.qe_identity_signature);
        let quote = Document::parse(quote_mut(&mut evidence)).unwrap();
        for files in [&[&tcb_info][..], &[&identity], &[&tcb_info, &identity]] {
            let mut endorsements = Endorsements::default();
            for file in files {
                endorsements.add(file.as_bytes()).unwrap();
            }
            let report = examine(&quote, &endorsements, None, &world.policy, NOW);
            let failed = report.first_failure().expect("accepted");
            assert_eq!(failed.name, IntelPcsCollateral);
            assert!(failed.seen.contains("lacks Intel's root certificate"), "{failed:?}");
        }
    }
}

#[test]
fn a_simulated_quote_lacks_only_what_policy_lets_be_absent() {
    for cpu in [SimulatedCpu::Sgx, SimulatedCpu::Tdx, SimulatedCpu::TdxV5] {
        let world = World::of(kind(cpu));
        let evidence = world.evidence();
        let mut endorsements = Endorsements::default();
        endorsements.add(evidence.as_bytes()).unwrap();
        let quote = Document::parse(quote_mut(&mut evidence.cpu().clone())).unwrap();
        for name in [
            NonceMatch,
            BlockRecent,
            TeeMeasurement,
            TeeReportdataBinding,
            SigningKeyPresent,
            CpuGpuChain,
            WorkloadStructure,
            BackendInImage,
            PlaintextExits,
            MeasuredModelWeights,
        ] {
            let mut policy = Policy::simulated(Releases::default());
            let report = examine(&quote, &endorsements, None, &policy, NOW);
            assert_eq!(report.verdict, Verdict::Accepted, "{}", report.sentence());
            for kind in [&mut policy.absent.sgx_quote, &mut policy.absent.tdx_quote] {
                kind.retain(|known| *known != name);
            }
            let report = examine(&quote, &endorsements, None, &policy, NOW);
            let failed =
                report.first_failure().unwrap_or_else(|| panic!("accepted without {name}"));
            assert_eq!(failed.name, name, "{cpu:?}");
        }
    }
}

#[test]
fn faults_of_a_trust_domain_are_refused_by_name_and_reason() {
    for cpu in FORMS.into_iter().filter(|cpu| *cpu != SimulatedCpu::Sgx) {
        assert_refused(
            &faulty(cpu, Fault::Migratable),
            TeeHardwareConfig,
            "the guest can be migrated",
        );
        assert_refused(
            &faulty(cpu, Fault::SeptVe),
            TeeHardwareConfig,
            "SEPT_VE_DISABLE is not set",
        );
    }
}

#[test]
fn a_service_domain_is_refused_unless_policy_allows_it() {
    let mut world = faulty(SimulatedCpu::TdxV5, Fault::ServiceTd);
    assert_refused(&world, TeeHardwareConfig, "a service domain is bound to the guest");
    world.policy.intel.tdx.service_td = Allowed::Yes;
    assert_eq!(world.attested().report().outcome(TeeHardwareConfig), Outcome::Passed);
}

#[test]
fn logs_that_do_not_give_the_registers_are_refused() {
    for cpu in [SimulatedCpu::TdxCcel, SimulatedCpu::TdxDstack] {
        for fault in [Fault::EventDigest, Fault::EventDropped, Fault::EventsSwapped] {
            let world = faulty(cpu, fault);
            let refusal = world.refused();
            assert_failed(&refusal, EventLogIntegrity);
            // What such a log tells is not believed, nor is an image that cannot be told.
            let absent = [ComposeBinding, TeeMeasurement, WorkloadStructure];
            assert_outcomes(&refusal, Outcome::Absent, &absent);
        }
    }
    assert_refused(
        &faulty(SimulatedCpu::TdxDstack, Fault::EventPayload),
        EventLogIntegrity,
        "the events do not give the quote's RTMR3",
    );
}

#[test]
fn another_compose_file_than_the_measured_one_is_refused() {
    // The host's own word, MRCONFIGID, is of the file that is shown.
    let world = faulty(SimulatedCpu::TdxDstack, Fault::ComposeSwapped);
    assert_refused(&world, ComposeBinding, "was measured");
    assert_outcomes(&world.refused(), Outcome::Passed, &[TeeBootConfig, EventLogIntegrity]);
}

#[test]
fn a_host_that_configured_another_compose_file_is_refused() {
    let mut world = faulty(SimulatedCpu::TdxDstack, Fault::OtherConfigId);
    assert_refused(&world, TeeBootConfig, "is not the hash of a compose file that came along");
    // However tolerant the policy, one that names a compose file must name the shown one.
    world.policy.intel.tdx.config_id = ConfigId::Any;
    assert_refused(&world, ComposeBinding, "is not that of MRCONFIGID");
}

#[test]
fn a_configuration_by_the_host_is_refused_where_policy_demands_none() {
    let mut world = World::of(kind(SimulatedCpu::TdxDstack));
    let seen = world.attested().report().check(TeeBootConfig).unwrap().seen.clone();
    assert_eq!(seen, "MRCONFIGID is the hash of the compose file");
    world.policy.intel.tdx.config_id = ConfigId::Zero;
    assert_refused(&world, TeeBootConfig, "policy demands zero");

    let mut world = World::new();
    world.policy.intel.tdx.config_id = ConfigId::Zero;
    world.policy.intel.tdx.owner = Stated::Any;
    assert_eq!(world.attested().report().outcome(TeeBootConfig), Outcome::Passed);
}

#[test]
fn a_log_beside_the_quote_of_another_start_is_refused() {
    let (plain, logged) = (World::new(), World::of(kind(SimulatedCpu::TdxDstack)));
    let evidence = plain.evidence();
    let (mut tdx, theirs) = (tdx(&evidence), tdx(&logged.evidence()));
    tdx.event_log = theirs.event_log;
    let spliced = with_cpu(&plain, &evidence, CpuEvidence::Tdx(tdx));
    let refusal = plain.check(&spliced).unwrap_err();
    assert_failed(&refusal, EventLogIntegrity);
    assert!(refusal.failed().seen.contains("RTMR3"), "{refusal}");
}

#[test]
fn a_log_that_is_held_back_is_missed_by_the_measurement() {
    for cpu in [SimulatedCpu::TdxCcel, SimulatedCpu::TdxDstack] {
        let world = World::of(kind(cpu));
        let evidence = world.evidence();
        let mut tdx = tdx(&evidence);
        tdx.event_log = EventLog::None;
        let silent = with_cpu(&world, &evidence, CpuEvidence::Tdx(tdx));
        match cpu {
            // The firmware's log says no more than the registers do.
            SimulatedCpu::TdxCcel => assert!(world.check(&silent).is_ok()),
            _ => {
                let refusal = world.check(&silent).unwrap_err();
                assert_failed(&refusal, TeeBootConfig);
                assert_outcomes(&refusal, Outcome::Failed, &[TeeMeasurement]);
            }
        }
    }
}

#[test]
fn one_changed_byte_of_any_quote_is_refused() {
    for cpu in [SimulatedCpu::Sgx, SimulatedCpu::TdxV5] {
        let world = World::of(kind(cpu));
        let evidence = world.evidence();
        let length = quote_mut(&mut evidence.cpu().clone()).len();
        for position in (0..length).step_by(31) {
            let mut cpu = evidence.cpu().clone();
            quote_mut(&mut cpu)[position] ^= 1 << (position % 8);
            let changed = with_cpu(&world, &evidence, cpu);
            assert!(world.check(&changed).is_err(), "at {position}");
        }
        for cut in (0..length).step_by(211) {
            let mut cpu = evidence.cpu().clone();
            quote_mut(&mut cpu).truncate(cut);
            let refusal = world.check(&with_cpu(&world, &evidence, cpu)).unwrap_err();
            assert_failed(&refusal, TeeQuoteStructure);
        }
    }
}

#[test]
fn one_changed_byte_of_what_dstack_measured_is_refused() {
    let world = World::of(kind(SimulatedCpu::TdxDstack));
    let evidence = world.evidence();
    let honest = tdx(&evidence);
    let EventLog::Dstack { log, app_compose } = honest.event_log.clone() else {
        panic!("the log is dstack's")
    };
    let text = String::from_utf8(log.clone()).unwrap();
    let runtime = text.find("system-preparing").unwrap();
    for position in (0..log.len()).step_by(7) {
        // Of a firmware's event the digest alone is covered, and nothing else of it is read.
        let covered = position >= runtime || text[..position].ends_with("\"digest\":\"");
        let mut changed = log.clone();
        changed[position] ^= 1;
        let mut tdx = honest.clone();
        tdx.event_log = EventLog::Dstack { log: changed, app_compose: app_compose.clone() };
        let result = world.check(&with_cpu(&world, &evidence, CpuEvidence::Tdx(tdx)));
        assert!(!covered || result.is_err(), "at {position}: {}", &text[position..][..20]);
    }
    for position in 0..app_compose.len() {
        let mut changed = app_compose.clone();
        changed[position] ^= 1;
        let mut tdx = honest.clone();
        tdx.event_log = EventLog::Dstack { log: log.clone(), app_compose: changed };
        let refusal = world.check(&with_cpu(&world, &evidence, CpuEvidence::Tdx(tdx))).unwrap_err();
        assert_outcomes(&refusal, Outcome::Failed, &[ComposeBinding]);
    }
}

#[test]
fn collateral_of_the_future_is_refused() {
    for cpu in FORMS {
        let world = World::of(kind(cpu));
        let evidence = world.evidence();
        let before = Timestamp(NOW.0 - 10 * 86_400);
        let refusal = recheck(&evidence, &world.policy, before).unwrap_err();
        assert_failed(&refusal, IntelPcsCollateral);
        assert!(refusal.failed().seen.contains("in the future"), "{refusal}");
    }
}

#[test]
fn an_enclave_is_not_accepted_as_a_trust_domain_nor_the_other_way() {
    let (sgx, tdx) = (World::of(kind(SimulatedCpu::Sgx)), World::of(kind(SimulatedCpu::Tdx)));
    let (mut enclave, mut domain) = (sgx.evidence().cpu().clone(), tdx.evidence().cpu().clone());
    std::mem::swap(quote_mut(&mut enclave), quote_mut(&mut domain));
    let refusal = sgx.check(&with_cpu(&sgx, &sgx.evidence(), enclave)).unwrap_err();
    assert_failed(&refusal, TeeQuoteStructure);
    assert!(refusal.failed().seen.contains("the quote is of TDX"), "{refusal}");
    let refusal = tdx.check(&with_cpu(&tdx, &tdx.evidence(), domain)).unwrap_err();
    assert_failed(&refusal, TeeQuoteStructure);
    assert!(refusal.failed().seen.contains("the quote is of SGX"), "{refusal}");
}

#[test]
fn a_signers_chain_that_ends_in_another_certificate_is_refused() {
    let world = World::new();
    let evidence = world.evidence();
    let honest = tdx(&evidence);
    let end = "-----END CERTIFICATE-----\n";
    let first = |chain: &str| chain.split_inclusive(end).next().unwrap().to_owned();
    // No signature covers the last certificate, and a reader that builds its own path skips it.
    let authority = first(&honest.collateral.pck_crl_issuer_chain);
    for of_tcb_info in [true, false] {
        let mut tdx = honest.clone();
        let chain = match of_tcb_info {
            true => &mut tdx.collateral.tcb_info_issuer_chain,
            false => &mut tdx.collateral.qe_identity_issuer_chain,
        };
        *chain = format!("{}{authority}", first(chain));
        let changed = with_cpu(&world, &evidence, CpuEvidence::Tdx(tdx));
        let refusal = world.check(&changed).unwrap_err();
        assert_failed(&refusal, TeeCertChain);
        assert!(refusal.failed().seen.contains("not directly under the pinned root"), "{refusal}");
    }
}

#[test]
fn an_unreleased_enclave_is_refused() {
    let mut world = World::of(kind(SimulatedCpu::Sgx));
    world.policy.releases.measurements = vec![Simulator::measurement(IMAGE)];
    assert_refused(&world, TeeMeasurement, "is not a released one");
}

#[test]
fn the_measurement_of_an_enclave_covers_each_part_in_its_place() {
    // Computed by another program from the formula of spec/evidence.md section 5.
    let plain = sgx_measurement(&[1; 32], &[2; 32], 0x0304, 0x0506);
    assert_eq!(plain.to_string(), SGX_MEASUREMENT);
    let others = [
        sgx_measurement(&[2; 32], &[1; 32], 0x0304, 0x0506),
        sgx_measurement(&[1; 32], &[2; 32], 0x0506, 0x0304),
        sgx_measurement(&[1; 32], &[2; 32], 0x0403, 0x0506),
        sgx_measurement(&[1; 32], &[2; 32], 0x0304, 0x0507),
    ];
    assert!(!others.contains(&plain));
}

const SGX_MEASUREMENT: &str = "0xb54746471c0ff33047f20b07645e935355f3cb63b4cb82bf79d3dbaceb0390f2";

#[test]
fn nothing_simulated_passes_a_strict_policy() {
    for cpu in FORMS {
        let mut world = World::of(kind(cpu));
        world.policy = Policy::strict(world.policy.releases.clone());
        assert_refused(&world, TeeCertChain, "policy pins");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Bytes in the place of a quote, or of a part of one, are refused without a panic.
    #[test]
    fn any_bytes_in_the_place_of_a_quote_are_refused(
        form in 0..FORMS.len(),
        at in 0_usize..5_000,
        bytes in proptest::collection::vec(any::<u8>(), 1..80),
    ) {
        let world = World::of(kind(FORMS[form]));
        let evidence = world.evidence();
        let mut cpu = evidence.cpu().clone();
        let quote = quote_mut(&mut cpu);
        let at = at % quote.len();
        let end = quote.len().min(at + bytes.len());
        quote[at..end].copy_from_slice(&bytes[..end - at]);
        let changed = with_cpu(&world, &evidence, cpu);
        let refused = verify(&changed, &world.policy, &world.freshness, world.now).is_err();
        prop_assert!(refused || changed == evidence);
    }

    /// The same for logs.
    #[test]
    fn any_bytes_in_the_place_of_a_log_are_refused(
        log in proptest::collection::vec(any::<u8>(), 0..200),
        dstack in any::<bool>(),
    ) {
        let cpu = if dstack { SimulatedCpu::TdxDstack } else { SimulatedCpu::TdxCcel };
        let world = World::of(kind(cpu));
        let evidence = world.evidence();
        let mut tdx = tdx(&evidence);
        tdx.event_log = match dstack {
            true => EventLog::Dstack { log, app_compose: vec![] },
            false => EventLog::Ccel { log },
        };
        let changed = with_cpu(&world, &evidence, CpuEvidence::Tdx(tdx));
        let refusal = world.check(&changed).unwrap_err();
        prop_assert_eq!(refusal.report().outcome(EventLogIntegrity), Outcome::Failed);
    }
}
