//! AMD SEV-SNP: simulated chips of each generation, and everything that can be wrong with them.

use proptest::prelude::*;
use subrosa_attester::snp::{
    SnpExtension, SnpMachine, SnpReport, SnpRoot, chip_extensions, chip_id, current_tcb, tcb_bytes,
};
use subrosa_protocol::{B256, Duration, Keyset, Timestamp};
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{
    AmdCollateral, AmdProduct, AmdTcb, Bit, CheckName, CpuEvidence, Demand, Document, Endorsements,
    Evidence, HostData, IdBlock, KeyDigest, Machines, Nonce, Outcome, Policy, Rechecked, Refusal,
    Releases, Report, Root, SnpEvidence, Verdict, examine, recheck, report_data, snp_measurement,
    verify,
};

use crate::world::{
    assert_failed, assert_outcomes, compose, manifest, shared, shared_nonce, signer, workload,
};

const NOW: Timestamp = Timestamp(1_790_000_000);
const DAY: u64 = 86_400;
const IMAGE: [u8; 48] = [0x1a; 48];

/// Something done to a world.
type Change = fn(&mut Amd);

/// One of a report's TCBs.
type TcbOf = fn(&mut SnpReport) -> &mut [u8; 8];

/// One of the certificates, or the list.
type PartOf = fn(&mut AmdCollateral) -> &mut Vec<u8>;

/// A chip with a guest, and what a verifier makes of them.
struct Amd {
    machine: SnpMachine,
    report: SnpReport,
    policy: Policy,
    now: Timestamp,
}

impl Amd {
    /// Accepted by the simulated preset, but for Milan, which has to be named.
    fn new(product: AmdProduct) -> Amd {
        let mut policy = Policy::simulated(Releases::default());
        policy.amd.products = AmdProduct::ALL.into();
        Amd {
            machine: SnpMachine::new(product, Timestamp(NOW.0 - DAY)),
            report: SnpReport::new(product, IMAGE, bound()),
            policy,
            now: NOW,
        }
    }

    fn genoa() -> Amd {
        Amd::new(AmdProduct::Genoa)
    }

    /// A Genoa with something changed.
    fn with(change: impl FnOnce(&mut Amd)) -> Amd {
        let mut amd = Amd::genoa();
        change(&mut amd);
        amd
    }

    fn evidence(&self) -> SnpEvidence {
        let collateral = self.machine.collateral().unwrap();
        SnpEvidence { report: self.report.sign(), collateral }
    }

    fn verdict(&self) -> Result<Rechecked, Refusal> {
        self.check(self.evidence())
    }

    /// What comes of evidence where just this image is released.
    fn check(&self, evidence: SnpEvidence) -> Result<Rechecked, Refusal> {
        let mut policy = self.policy.clone();
        let SnpReport { measurement, host_data, .. } = &self.report;
        policy.releases = Releases {
            measurements: vec![snp_measurement(measurement, host_data)],
            models: vec![manifest().digest()],
        };
        let document = document(evidence);
        recheck(&Evidence::parse(document.as_bytes()).unwrap(), &policy, self.now)
    }

    #[track_caller]
    fn accepted(&self) -> Rechecked {
        self.verdict().unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    #[track_caller]
    fn fails(&self, name: CheckName) -> Refusal {
        let refusal = self.verdict().expect_err("accepted");
        assert_failed(&refusal, name);
        refusal
    }

    /// Fails, and says this of it.
    #[track_caller]
    fn says(&self, name: CheckName, words: &str) {
        let refusal = self.fails(name);
        assert!(refusal.failed().seen.contains(words), "{refusal}");
    }
}

fn nonce() -> Nonce {
    Nonce { verifier: B256::ZERO, chain_id: 1, block_number: 2, block_hash: B256::ZERO }
}

fn keyset() -> Vec<u8> {
    Keyset { signer: signer().address(), not_after: Timestamp(u64::MAX) }.to_bytes()
}

/// What a report must carry for the parts of [`document`].
fn bound() -> [u8; 64] {
    report_data(&nonce(), &keyset(), b"", &workload().to_bytes())
}

fn document(evidence: SnpEvidence) -> Evidence {
    compose(nonce(), &keyset(), b"", &workload().to_bytes(), CpuEvidence::Snp(evidence))
}

#[test]
fn an_honest_chip_of_each_generation_is_accepted() {
    for product in AmdProduct::ALL {
        let report = Amd::new(product).accepted().report().clone();
        let passed = [
            TeeQuoteStructure,
            TeeCertChain,
            AmdKdsCollateral,
            TeeQuoteSignature,
            TeeTcbNotRevoked,
            TeeTcbCurrent,
            TeeDebugDisabled,
            TeeHardwareConfig,
            TeeBootConfig,
            TeeMeasurement,
            TeeReportdataBinding,
        ];
        for name in passed {
            assert_eq!(report.outcome(name), Outcome::Passed, "{product}: {name}");
        }
        assert!(report.check(IntelPcsCollateral).is_none());
        assert!(report.simulated);
    }
}

#[test]
fn versions_two_to_five_are_read_and_no_other() {
    for version in 2..=5 {
        let mut amd = Amd::with(|amd| amd.report.version = version);
        amd.policy.amd.report_version_min = 2;
        assert_eq!(amd.accepted().report().outcome(TeeQuoteStructure), Outcome::Passed);
    }
    for version in [0, 1, 6, 0x0200, u32::MAX] {
        Amd::with(|amd| amd.report.version = version).says(TeeQuoteStructure, "version");
    }
}

#[test]
fn a_report_of_any_other_length_is_refused() {
    let amd = Amd::genoa();
    for length in [0, 1, 4, 0x2a0, 1_183, 1_185] {
        let mut evidence = amd.evidence();
        evidence.report.resize(length, 0);
        let refusal = amd.check(evidence).unwrap_err();
        assert_failed(&refusal, TeeQuoteStructure);
        let later = [TeeCertChain, AmdKdsCollateral, TeeQuoteSignature, TeeMeasurement];
        assert_outcomes(&refusal, Outcome::Absent, &later);
    }
}

#[test]
fn another_signature_algorithm_is_refused() {
    for algorithm in [0, 2, 0x0100_0000] {
        Amd::with(|amd| amd.report.signature_algo = algorithm).says(TeeQuoteStructure, "algorithm");
    }
}

/// Offsets of bytes that belong to no field of a report of this version and generation.
fn reserved(product: AmdProduct, version: u32) -> Vec<usize> {
    let ranges = [
        0x04c..0x050,
        0x18b..0x1a0,
        0x1eb..0x1ec,
        0x1ef..0x1f0,
        0x208..0x2a0,
        0x2d0..0x2e8,
        0x318..0x4a0,
    ];
    let mut offsets: Vec<usize> = ranges.into_iter().flatten().collect();
    if version < 5 {
        offsets.extend(0x1f8..0x208);
    }
    if version < 3 {
        offsets.extend(0x188..0x18b);
    }
    for tcb in [0x038, 0x180, 0x1e0, 0x1f0] {
        let unused = if product == AmdProduct::Turin { 4..7 } else { 2..6 };
        offsets.extend(unused.map(|at| tcb + at));
    }
    offsets
}

#[test]
fn anything_in_a_reserved_byte_is_refused() {
    for (product, version) in [
        (AmdProduct::Milan, 2),
        (AmdProduct::Genoa, 3),
        (AmdProduct::Genoa, 5),
        (AmdProduct::Turin, 4),
    ] {
        let mut amd = Amd::new(product);
        amd.report.version = version;
        let honest = amd.evidence();
        for offset in reserved(product, version) {
            let mut evidence = honest.clone();
            evidence.report[offset] = 0x80;
            let refusal = amd.check(evidence).unwrap_err();
            assert_failed(&refusal, TeeQuoteStructure);
            assert!(refusal.failed().seen.contains(&format!("{offset:#x}")), "{refusal}");
        }
    }
}

#[test]
fn fields_of_later_versions_are_read_where_they_belong() {
    let amd = Amd::new(AmdProduct::Turin);
    let mut bytes = amd.report.to_bytes();
    bytes[0x1f8..0x208].fill(0x77); // vectors of mitigations, of version 5
    let collateral = amd.machine.collateral().unwrap();
    let evidence = SnpEvidence { report: SnpReport::sign_bytes(bytes), collateral };
    assert!(amd.check(evidence).is_ok());
}

/// Where AMD's table places each field that is appraised, something that is wrong there, and what
/// must find it.
const WRONG_FIELDS: [(usize, u8, CheckName, &str); 22] = [
    (0x000, 9, TeeQuoteStructure, "version"),
    (0x004, 1, TeeBootConfig, "ID block"),
    (0x00a, 0x04, TeeHardwareConfig, "unknown"),
    (0x00b, 0x04, TeeHardwareConfig, "unknown"),
    (0x010, 1, TeeBootConfig, "ID block"),
    (0x020, 1, TeeBootConfig, "ID block"),
    (0x030, 1, TeeHardwareConfig, "VMPL 0"),
    (0x034, 2, TeeQuoteStructure, "algorithm"),
    (0x038, 0, TeeTcbCurrent, "current TCB"),
    (0x041, 1, TeeHardwareConfig, "unknown"),
    (0x048, 2, TeeHardwareConfig, "masked"),
    (0x050, 0xff, TeeReportdataBinding, ""),
    (0x08f, 0xff, TeeReportdataBinding, ""),
    (0x090, 0xff, TeeMeasurement, ""),
    (0x0c0, 0xff, TeeMeasurement, ""),
    (0x0e0, 1, TeeBootConfig, "ID block"),
    (0x110, 1, TeeHardwareConfig, "author"),
    (0x180, 0, AmdKdsCollateral, "the report names"),
    (0x188, 0x18, TeeQuoteStructure, "processor family"),
    (0x1a0, 0xff, AmdKdsCollateral, "another chip"),
    (0x1e0, 0, TeeTcbCurrent, "committed TCB"),
    (0x1f0, 0, TeeTcbCurrent, "launch TCB"),
];

#[test]
fn what_is_wrong_at_the_place_of_a_field_is_found_by_the_check_of_that_field() {
    let mut amd = Amd::genoa();
    amd.policy.amd.tcb_min.genoa = current_tcb(AmdProduct::Genoa);
    amd.accepted();
    for (offset, wrong, name, words) in WRONG_FIELDS {
        let mut bytes = amd.report.to_bytes();
        assert_ne!(bytes[offset], wrong, "{offset:#x}");
        bytes[offset] = wrong;
        let collateral = amd.machine.collateral().unwrap();
        let evidence = SnpEvidence { report: SnpReport::sign_bytes(bytes), collateral };
        let refusal = amd.check(evidence).expect_err("accepted");
        assert_eq!(refusal.failed().name, name, "{offset:#x}: {refusal}");
        assert!(refusal.failed().seen.contains(words), "{offset:#x}: {refusal}");
    }
}

#[test]
fn an_unknown_processor_is_refused() {
    for cpuid in [[0x17, 0x31, 0], [0x19, 0x20, 0], [0x19, 0x9f, 0], [0x1a, 0x12, 0], [0, 0, 0]] {
        Amd::with(|amd| amd.report.cpuid = cpuid).says(TeeQuoteStructure, "processor family");
    }
}

#[test]
fn every_chip_of_a_generation_is_known_by_family_and_model() {
    for (product, models) in [
        (AmdProduct::Milan, vec![[0x19, 0x00], [0x19, 0x0f]]),
        (AmdProduct::Genoa, vec![[0x19, 0x10], [0x19, 0x1f], [0x19, 0xa0], [0x19, 0xaf]]),
        (AmdProduct::Turin, vec![[0x1a, 0x00], [0x1a, 0x11]]),
    ] {
        for [family, model] in models {
            let mut amd = Amd::new(product);
            amd.report.cpuid = [family, model, 0];
            amd.accepted();
        }
    }
}

#[test]
fn a_root_that_policy_does_not_pin_is_refused() {
    Amd::with(|amd| amd.machine.root = SnpRoot::Other).says(TeeCertChain, "does not pin");
    Amd::with(|amd| amd.policy.roots.amd = Root::Sha256(B256::repeat_byte(7)))
        .says(TeeCertChain, "does not pin");
    Amd::with(|amd| amd.policy.roots.amd = Root::Vendor).says(TeeCertChain, "does not pin");

    // A policy of a simulated network may name a root of its own.
    let root = SnpRoot::Other.certificate();
    let fingerprint = B256::from(sha256(&root));
    let amd = Amd::with(|amd| {
        amd.machine.root = SnpRoot::Other;
        amd.policy.roots.amd = Root::Sha256(fingerprint);
    });
    amd.accepted();
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

#[test]
fn the_simulators_chips_are_worth_nothing_under_a_strict_policy() {
    for product in AmdProduct::ALL {
        let mut amd = Amd::new(product);
        amd.policy = Policy::strict(Releases::default());
        let refusal = amd.fails(TeeCertChain);
        assert!(!refusal.report().simulated);
        let unknown = [AmdKdsCollateral, TeeQuoteSignature, TeeTcbCurrent, TeeMeasurement];
        assert_outcomes(&refusal, Outcome::Absent, &unknown);
    }
}

#[test]
fn only_an_authority_for_chips_keys_may_issue_them() {
    let names = ["SEV-VLEK-Genoa", "SEV-Naples", "SEV-", "ARK-Genoa", "sev-genoa", ""];
    for name in names {
        Amd::with(|amd| amd.machine.authority = name.into()).says(TeeCertChain, "the ASK");
    }
    Amd::with(|amd| amd.machine.authority_extensions.clear()).says(TeeCertChain, "authority");
    // One of the two that make an authority is not enough.
    for missing in 0..2 {
        Amd::with(|amd| drop(amd.machine.authority_extensions.remove(missing)))
            .says(TeeCertChain, "authority");
    }
    Amd::with(|amd| amd.machine.authority_extensions.push(unknown_extension(true)))
        .says(TeeCertChain, "authority");
    Amd::with(|amd| amd.machine.authority_extensions.push(unknown_extension(false))).accepted();
}

fn unknown_extension(critical: bool) -> SnpExtension {
    SnpExtension { oid: vec![1, 2, 3, 4], critical, value: vec![5, 0] }
}

#[test]
fn a_provider_key_in_place_of_a_chips_is_refused() {
    for name in ["SEV-VLEK", "SEV-VCEK-", ""] {
        Amd::with(|amd| amd.machine.certificate = name.into()).says(TeeCertChain, "SEV-VCEK");
    }
}

#[test]
fn a_chips_certificate_that_demands_to_be_understood_is_refused() {
    Amd::with(|amd| amd.machine.extensions.push(unknown_extension(true)))
        .says(TeeCertChain, "critical");
    Amd::with(|amd| amd.machine.extensions[0].critical = true).says(TeeCertChain, "critical");
    Amd::with(|amd| amd.machine.extensions.push(unknown_extension(false))).accepted();
}

#[test]
fn an_extension_that_stands_twice_is_refused() {
    for at in 0..10 {
        let amd = Amd::with(|amd| {
            let again = amd.machine.extensions[at].clone();
            amd.machine.extensions.push(again);
        });
        amd.says(TeeCertChain, "twice");
    }
}

#[test]
fn certificates_are_signed_by_the_next() {
    let known = Amd::genoa();
    let other = Amd::with(|amd| amd.machine.root = SnpRoot::Other).evidence().collateral;
    let turin = Amd::new(AmdProduct::Turin).evidence().collateral;
    let swaps: [fn(&mut AmdCollateral, &AmdCollateral); 3] = [
        |collateral, other| collateral.ask.clone_from(&other.ask),
        |collateral, other| collateral.ark.clone_from(&other.ark),
        |collateral, other| collateral.vcek.clone_from(&other.ark),
    ];
    for swap in swaps {
        let mut evidence = known.evidence();
        swap(&mut evidence.collateral, &other);
        assert_failed(&known.check(evidence).unwrap_err(), TeeCertChain);
    }
    let mut evidence = known.evidence();
    evidence.collateral.vcek = turin.vcek;
    let refusal = known.check(evidence).unwrap_err();
    assert_failed(&refusal, TeeCertChain);
    assert!(refusal.failed().seen.contains("another issuer"), "{refusal}");
}

/// Replaces bytes wherever they stand; how often they did.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) -> usize {
    let starts: Vec<usize> =
        (0..=bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    starts.iter().for_each(|at| bytes[*at..at + new.len()].copy_from_slice(new));
    starts.len()
}

#[test]
fn a_certificate_signed_in_any_other_way_is_refused() {
    const SALT: [u8; 5] = [0xa2, 3, 2, 1, 48];
    const TRAILER: [u8; 5] = [0xa3, 3, 2, 1, 1];
    const PSS: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
    const SHA384: [u8; 9] = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
    let amd = Amd::genoa();
    for (old, last, count) in
        [(&SALT[..], 32, 2), (&TRAILER, 2, 2), (&PSS, 11, 2), (&PSS, 12, 2), (&SHA384, 1, 4)]
    {
        let new = [&old[..old.len() - 1], &[last]].concat();
        let mut evidence = amd.evidence();
        // Inside and outside of what is signed alike.
        assert_eq!(replace(&mut evidence.collateral.vcek, old, &new), count);
        let refusal = amd.check(evidence).unwrap_err();
        assert_failed(&refusal, TeeCertChain);
        assert!(refusal.failed().seen.contains("RSASSA-PSS"), "{refusal}");
        // Outside alone, which no signature covers.
        let mut evidence = amd.evidence();
        let vcek = &mut evidence.collateral.vcek;
        let outside = vcek.len() / 2;
        assert_eq!(replace(&mut vcek[outside..], old, &new), count / 2);
        assert_failed(&amd.check(evidence).unwrap_err(), TeeCertChain);
    }
}

#[test]
fn certificates_that_are_not_there_are_named() {
    let amd = Amd::genoa();
    for (name, clear) in [
        ("VCEK", (|collateral| collateral.vcek.clear()) as fn(&mut AmdCollateral)),
        ("ASK", |collateral| collateral.ask.clear()),
        ("ARK", |collateral| collateral.ark.clear()),
    ] {
        let mut evidence = amd.evidence();
        clear(&mut evidence.collateral);
        let refusal = amd.check(evidence).unwrap_err();
        assert_failed(&refusal, TeeCertChain);
        assert_eq!(refusal.failed().seen, format!("the collateral lacks the {name}"));
    }
}

#[test]
fn nothing_stands_behind_a_certificate_or_list() {
    let amd = Amd::genoa();
    for (check, extend) in [
        (TeeCertChain, (|collateral| collateral.vcek.push(0)) as fn(&mut AmdCollateral)),
        (TeeCertChain, |collateral| collateral.ask.push(0)),
        (TeeCertChain, |collateral| collateral.ark.push(0)),
        (AmdKdsCollateral, |collateral| collateral.crl.push(0)),
    ] {
        let mut evidence = amd.evidence();
        extend(&mut evidence.collateral);
        let refusal = amd.check(evidence).unwrap_err();
        assert_failed(&refusal, check);
        assert!(refusal.failed().seen.contains("DER"), "{refusal}");
    }
}

#[test]
fn a_chips_certificate_counts_from_its_first_second_to_its_last() {
    let (from, until) = (Timestamp(NOW.0 - 10), Timestamp(NOW.0 + 10));
    let at = |now: u64| {
        Amd::with(|amd| {
            amd.machine.life = (from, until);
            amd.now = Timestamp(now);
        })
    };
    at(from.0).accepted();
    at(until.0).accepted();
    at(from.0 - 1).says(TeeCertChain, "the VCEK counts from");
    at(until.0 + 1).says(TeeCertChain, "the VCEK counts from");
    at(0).fails(TeeCertChain);
}

#[test]
fn a_list_counts_from_its_update_to_the_second_before_the_next() {
    let (from, until) = (Timestamp(NOW.0 - 10), Timestamp(NOW.0 + 10));
    let at = |now: u64| {
        Amd::with(|amd| {
            amd.machine.crl_life = (from, until);
            amd.now = Timestamp(now);
        })
    };
    at(from.0).accepted();
    at(until.0 - 1).accepted();
    at(from.0 - 1).says(AmdKdsCollateral, "the CRL counts from");
    at(until.0).says(AmdKdsCollateral, "the CRL counts from");
    at(until.0 + 1).says(AmdKdsCollateral, "the CRL counts from");
    let refusal = at(until.0).fails(AmdKdsCollateral);
    assert_outcomes(&refusal, Outcome::Absent, &[TeeTcbNotRevoked]);
    assert_outcomes(&refusal, Outcome::Passed, &[TeeCertChain, TeeQuoteSignature]);
}

#[test]
fn a_list_is_demanded_unless_policy_waives_it() {
    let mut amd = Amd::genoa();
    let without = || {
        let mut evidence = Amd::genoa().evidence();
        evidence.collateral.crl.clear();
        evidence
    };
    let refusal = amd.check(without()).unwrap_err();
    assert_failed(&refusal, AmdKdsCollateral);
    assert_outcomes(&refusal, Outcome::Absent, &[TeeTcbNotRevoked]);

    amd.policy.amd.revocation = Demand::Waived;
    let report = amd.check(without()).unwrap().report().clone();
    assert_eq!(report.outcome(AmdKdsCollateral), Outcome::Passed);
    assert_eq!(report.outcome(TeeTcbNotRevoked), Outcome::Waived);
}

#[test]
fn a_list_that_is_there_is_checked_even_where_none_is_demanded() {
    let waived = |change: Change| {
        Amd::with(|amd| {
            amd.policy.amd.revocation = Demand::Waived;
            change(amd);
        })
    };
    waived(|amd| amd.machine.revoked.push(0x01_0001)).fails(TeeTcbNotRevoked);
    waived(|amd| amd.machine.crl_life.1 = Timestamp(NOW.0)).fails(AmdKdsCollateral);
    let amd = waived(|_| {});
    let mut evidence = amd.evidence();
    evidence.collateral.crl.truncate(100);
    assert_failed(&amd.check(evidence).unwrap_err(), AmdKdsCollateral);
}

#[test]
fn a_list_of_somebody_else_is_refused() {
    let amd = Amd::genoa();
    let mut evidence = amd.evidence();
    evidence.collateral.crl =
        Amd::with(|amd| amd.machine.root = SnpRoot::Other).evidence().collateral.crl;
    let refusal = amd.check(evidence).unwrap_err();
    assert_failed(&refusal, AmdKdsCollateral);
    assert!(refusal.failed().seen.contains("another issuer"), "{refusal}");

    let mut evidence = amd.evidence();
    evidence.collateral.crl.clone_from(&evidence.collateral.ask);
    assert_failed(&amd.check(evidence).unwrap_err(), AmdKdsCollateral);
}

#[test]
fn a_list_that_covers_a_part_alone_is_refused() {
    let distribution_point =
        SnpExtension { oid: vec![2, 5, 29, 28], critical: true, value: vec![0x30, 0] };
    let delta = SnpExtension { oid: vec![2, 5, 29, 27], critical: true, value: vec![0x02, 1, 1] };
    for extension in [distribution_point, delta, unknown_extension(true)] {
        Amd::with(|amd| amd.machine.crl_extensions.push(extension))
            .says(AmdKdsCollateral, "critical");
    }
    Amd::with(|amd| amd.machine.crl_extensions.push(unknown_extension(false))).accepted();
}

#[test]
fn a_revoked_authority_or_root_is_refused() {
    for (serial, which) in [(0x01_0001, "ASK"), (0x01_0000, "ARK")] {
        let amd = Amd::with(|amd| amd.machine.revoked = vec![3, serial, 0x01_0002]);
        amd.says(TeeTcbNotRevoked, which);
    }
    Amd::with(|amd| amd.machine.revoked = vec![0, 1, 0x01_0002, 0x0101_0001]).accepted();
}

#[test]
fn the_certificate_of_another_chip_is_refused() {
    for at in [0, 31, 63] {
        Amd::with(|amd| amd.report.chip_id[at] ^= 1).says(AmdKdsCollateral, "another chip");
    }
    let mut turin = Amd::new(AmdProduct::Turin);
    turin.report.chip_id[7] ^= 1;
    turin.says(AmdKdsCollateral, "another chip");
    // Behind a Turin chip's short number nothing may stand.
    for at in [8, 40, 63] {
        let mut turin = Amd::new(AmdProduct::Turin);
        turin.report.chip_id[at] = 1;
        turin.says(AmdKdsCollateral, "another chip");
    }
}

#[test]
fn a_masked_chip_number_is_refused() {
    for product in AmdProduct::ALL {
        let mut amd = Amd::new(product);
        amd.report.chip_id = [0; 64];
        amd.says(AmdKdsCollateral, "masks");
    }
}

/// The value of a chip's number in its certificate.
fn certified_chip_id(amd: &mut Amd) -> &mut Vec<u8> {
    let id = |extension: &&mut SnpExtension| extension.oid.ends_with(&[3704, 1, 4]);
    &mut amd.machine.extensions.iter_mut().find(id).unwrap().value
}

#[test]
fn a_chip_number_that_looks_like_der_is_taken_as_it_is() {
    let mut number = chip_id(AmdProduct::Genoa);
    number[..2].copy_from_slice(&[0x04, 62]);
    let amd = Amd::with(|amd| {
        amd.report.chip_id = number.clone().try_into().unwrap();
        certified_chip_id(amd).clone_from(&number);
    });
    amd.accepted();

    let mut turin = Amd::new(AmdProduct::Turin);
    let number = [0x04, 6, 1, 2, 3, 4, 5, 6];
    turin.report.chip_id[..8].copy_from_slice(&number);
    *certified_chip_id(&mut turin) = number.into();
    turin.accepted();
}

#[test]
fn a_chip_number_in_an_octet_string_is_unwrapped() {
    for product in AmdProduct::ALL {
        let mut amd = Amd::new(product);
        let number = chip_id(product);
        let head = [0x04, u8::try_from(number.len()).unwrap()];
        *certified_chip_id(&mut amd) = [&head, number.as_slice()].concat();
        amd.accepted();
        for head in [[0x04, head[1] - 1], [0x03, head[1]]] {
            *certified_chip_id(&mut amd) = [&head, number.as_slice()].concat();
            amd.says(AmdKdsCollateral, "chip id");
        }
    }
}

#[test]
fn a_chip_number_of_another_length_is_refused() {
    for length in [0, 7, 8, 63, 65, 67, 128] {
        Amd::with(|amd| certified_chip_id(amd).resize(length, 7)).says(AmdKdsCollateral, "chip id");
    }
}

/// Every way to have one part of a TCB one lower.
fn one_lower(product: AmdProduct) -> Vec<AmdTcb> {
    let parts: [fn(&mut AmdTcb) -> &mut u8; 5] = [
        |tcb| &mut tcb.fmc,
        |tcb| &mut tcb.boot_loader,
        |tcb| &mut tcb.tee,
        |tcb| &mut tcb.snp,
        |tcb| &mut tcb.microcode,
    ];
    let lower = |part: fn(&mut AmdTcb) -> &mut u8| {
        let mut tcb = current_tcb(product);
        let number = part(&mut tcb);
        *number = number.checked_sub(1)?;
        Some(tcb)
    };
    parts.into_iter().filter_map(lower).collect()
}

#[test]
fn the_certificate_of_another_tcb_is_refused() {
    for product in AmdProduct::ALL {
        for tcb in one_lower(product) {
            let mut amd = Amd::new(product);
            amd.machine.extensions = chip_extensions(product, tcb, chip_id(product));
            amd.says(AmdKdsCollateral, "the report names");
        }
    }
}

#[test]
fn a_certificate_for_an_older_tcb_counts_for_a_report_that_names_it() {
    for product in AmdProduct::ALL {
        for tcb in one_lower(product) {
            let mut amd = Amd::new(product);
            amd.machine.extensions = chip_extensions(product, tcb, chip_id(product));
            amd.report.reported_tcb = tcb_bytes(product, tcb);
            amd.policy.amd.tcb_min = lowest();
            amd.accepted();
        }
    }
}

fn lowest() -> subrosa_verifier::AmdTcbFloors {
    let zero = AmdTcb::default();
    subrosa_verifier::AmdTcbFloors { genoa: zero, milan: zero, turin: zero }
}

#[test]
fn an_extension_of_amds_that_is_missing_or_garbled_is_refused() {
    for product in AmdProduct::ALL {
        let needed = |extension: &SnpExtension| {
            let last = &extension.oid[7..];
            let numbers: &[&[u64]] =
                &[&[1, 2], &[1, 4], &[1, 3, 1], &[1, 3, 2], &[1, 3, 3], &[1, 3, 8]];
            numbers.contains(&last) || (last == [1, 3, 9] && product == AmdProduct::Turin)
        };
        let count = Amd::new(product).machine.extensions.len();
        let mut refused = 0;
        for at in 0..count {
            if !needed(&Amd::new(product).machine.extensions[at]) {
                continue;
            }
            let mut amd = Amd::new(product);
            amd.machine.extensions.remove(at);
            amd.says(AmdKdsCollateral, "lacks");
            let mut amd = Amd::new(product);
            amd.machine.extensions[at].value.push(0);
            amd.fails(AmdKdsCollateral);
            refused += 1;
        }
        assert_eq!(refused, if product == AmdProduct::Turin { 7 } else { 6 });
    }
}

#[test]
fn version_numbers_that_no_report_has_must_be_zero() {
    for arc in [4, 5, 6, 7, 9, 10] {
        let number = |value: u8| SnpExtension {
            oid: vec![1, 3, 6, 1, 4, 1, 3704, 1, 3, arc],
            critical: false,
            value: vec![0x02, 1, value],
        };
        let with = |value: u8| {
            Amd::with(|amd| {
                amd.machine.extensions.retain(|extension| extension.oid != number(0).oid);
                amd.machine.extensions.push(number(value));
            })
        };
        with(0).accepted();
        with(1).says(AmdKdsCollateral, "cannot compare");
    }
}

#[test]
fn a_number_above_127_has_its_leading_zero() {
    // Milan's microcode is such a number; without the zero it would be a negative one.
    let mut amd = Amd::new(AmdProduct::Milan);
    let microcode = |extension: &&mut SnpExtension| extension.oid.ends_with(&[1, 3, 8]);
    let value = &mut amd.machine.extensions.iter_mut().find(microcode).unwrap().value;
    assert_eq!(value, &[0x02, 2, 0, 222]);
    *value = vec![0x02, 1, 222];
    amd.fails(AmdKdsCollateral);
}

#[test]
fn certificate_authority_and_report_must_be_of_one_generation() {
    for product in AmdProduct::ALL {
        for other in AmdProduct::ALL.into_iter().filter(|other| *other != product) {
            let mut amd = Amd::new(product);
            amd.machine.extensions = SnpMachine::new(other, NOW).extensions;
            amd.says(AmdKdsCollateral, "its authority signs for");

            let mut amd = Amd::new(product);
            amd.report.cpuid = SnpReport::new(other, IMAGE, bound()).cpuid;
            let name = amd.verdict().unwrap_err().failed().name;
            assert!([TeeQuoteStructure, AmdKdsCollateral].contains(&name), "{product}, {other}");
        }
    }
}

#[test]
fn turin_has_no_reports_of_version_two() {
    let mut amd = Amd::new(AmdProduct::Turin);
    amd.report.version = 2;
    amd.policy.amd.report_version_min = 2;
    amd.policy.amd.tcb_min = lowest();
    // Read as an older chip's, its TCB has something where nothing may be.
    amd.fails(TeeQuoteStructure);
    // Where all of it fits the older layout the certificate tells.
    let zero = AmdTcb::default();
    amd.machine.extensions = chip_extensions(AmdProduct::Turin, zero, chip_id(AmdProduct::Turin));
    for tcb in [
        &mut amd.report.current_tcb,
        &mut amd.report.reported_tcb,
        &mut amd.report.committed_tcb,
        &mut amd.report.launch_tcb,
    ] {
        *tcb = [0; 8];
    }
    amd.says(AmdKdsCollateral, "an older chip");
}

#[test]
fn a_product_that_nobody_knows_is_refused() {
    for name in ["Naples", "genoa", "", "GenoaB1", "-B1"] {
        let amd = Amd::with(|amd| {
            let product = |extension: &&mut SnpExtension| extension.oid.ends_with(&[3704, 1, 2]);
            let value = &mut amd.machine.extensions.iter_mut().find(product).unwrap().value;
            *value = [&[0x16, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
        });
        amd.says(AmdKdsCollateral, "product");
    }
}

#[test]
fn a_report_that_the_chip_did_not_sign_is_refused() {
    let amd = Amd::genoa();
    let mut evidence = amd.evidence();
    evidence.report[0x2a0..0x2d0].fill(0);
    assert_failed(&amd.check(evidence).unwrap_err(), TeeQuoteSignature);
    // Another report's signature.
    let mut evidence = amd.evidence();
    let other = Amd::with(|amd| amd.report.report_data[0] ^= 1).evidence().report;
    evidence.report[0x2a0..].copy_from_slice(&other[0x2a0..]);
    let refusal = amd.check(evidence).unwrap_err();
    assert_failed(&refusal, TeeQuoteSignature);
    let unknown = [TeeTcbCurrent, TeeDebugDisabled, TeeHardwareConfig, TeeBootConfig];
    assert_outcomes(&refusal, Outcome::Absent, &unknown);
    assert_outcomes(&refusal, Outcome::Absent, &[TeeMeasurement, TeeReportdataBinding]);
    // r and s in each other's place.
    let mut evidence = amd.evidence();
    let (r, s) = evidence.report[0x2a0..0x330].split_at_mut(72);
    r.swap_with_slice(s);
    assert_failed(&amd.check(evidence).unwrap_err(), TeeQuoteSignature);
}

#[test]
fn a_report_tells_the_certificate_whose_key_signed_it_from_others() {
    for product in AmdProduct::ALL {
        let amd = Amd::new(product);
        let SnpEvidence { report, collateral } = amd.evidence();
        let AmdCollateral { vcek, ask, ark, crl } = collateral;
        let read =
            |report: &[u8]| subrosa_verifier::SnpReport::parse(report).unwrap().is_signed_by(&vcek);
        assert!(read(&report), "{product}");
        let parsed = subrosa_verifier::SnpReport::parse(&report).unwrap();
        for other in [&ask[..], &ark, &crl, &vcek[1..], &[vcek.clone(), vec![0]].concat(), &[]] {
            assert!(!parsed.is_signed_by(other));
        }
        for at in [0x50, 0x1a0, 0x2a0, 0x2e8] {
            let mut changed = report.clone();
            changed[at] ^= 1;
            assert!(!read(&changed), "{product} {at:#x}");
        }
    }
}

#[test]
fn each_of_the_four_tcbs_must_reach_the_floor_in_each_part() {
    let fields: [(&str, TcbOf); 3] = [
        ("current", |report| &mut report.current_tcb),
        ("committed", |report| &mut report.committed_tcb),
        ("launch", |report| &mut report.launch_tcb),
    ];
    for product in AmdProduct::ALL {
        for tcb in one_lower(product) {
            let floor = current_tcb(product);
            let set_floor = |amd: &mut Amd| match product {
                AmdProduct::Genoa => amd.policy.amd.tcb_min.genoa = floor,
                AmdProduct::Milan => amd.policy.amd.tcb_min.milan = floor,
                AmdProduct::Turin => amd.policy.amd.tcb_min.turin = floor,
            };
            for (name, field) in fields {
                let mut amd = Amd::new(product);
                set_floor(&mut amd);
                amd.accepted();
                *field(&mut amd.report) = tcb_bytes(product, tcb);
                amd.says(TeeTcbCurrent, &format!("{name} TCB"));
            }
            let mut amd = Amd::new(product);
            set_floor(&mut amd);
            amd.report.reported_tcb = tcb_bytes(product, tcb);
            amd.machine.extensions = chip_extensions(product, tcb, chip_id(product));
            amd.says(TeeTcbCurrent, "reported TCB");
        }
    }
}

#[test]
fn strict_floors_are_what_amds_bulletins_demand() {
    for (product, snp, microcode) in
        [(AmdProduct::Genoa, 27, 86), (AmdProduct::Milan, 27, 219), (AmdProduct::Turin, 4, 81)]
    {
        let floor = Policy::strict(Releases::default()).amd.tcb_min.of(product);
        assert_eq!((floor.snp, floor.microcode), (snp, microcode), "{product}");
        for old in [
            AmdTcb { snp: snp - 1, ..current_tcb(product) },
            AmdTcb { microcode: microcode - 1, ..current_tcb(product) },
        ] {
            let mut amd = Amd::new(product);
            amd.report.launch_tcb = tcb_bytes(product, old);
            amd.says(TeeTcbCurrent, "launch TCB");
        }
    }
}

#[test]
fn firmware_that_can_be_rolled_back_is_refused_unless_policy_waives_it() {
    let mut amd = Amd::genoa();
    amd.report.current_tcb[0] += 1;
    amd.says(TeeTcbCurrent, "roll");
    amd.policy.amd.firmware_committed = Demand::Waived;
    amd.accepted();
}

#[test]
fn a_guest_that_can_be_debugged_is_refused() {
    for product in AmdProduct::ALL {
        let mut amd = Amd::new(product);
        amd.report.policy |= 1 << 19;
        let refusal = amd.fails(TeeDebugDisabled);
        assert_outcomes(&refusal, Outcome::Passed, &[TeeQuoteSignature, TeeHardwareConfig]);
    }
}

#[test]
fn milan_is_refused_by_default_and_told_why() {
    let mut amd = Amd::new(AmdProduct::Milan);
    amd.policy = Policy::simulated(Releases::default());
    amd.says(TeeHardwareConfig, "can be read out by software");
    amd.policy.amd.products.push(AmdProduct::Milan);
    amd.accepted();
}

#[test]
fn a_generation_that_policy_does_not_name_is_refused() {
    for product in AmdProduct::ALL {
        let mut amd = Amd::new(product);
        amd.policy.amd.products.retain(|named| *named != product);
        amd.says(TeeHardwareConfig, "policy does not accept");
        amd.policy.amd.products.clear();
        amd.fails(TeeHardwareConfig);
    }
}

#[test]
fn reports_of_an_older_version_than_policy_demands_are_refused() {
    for (version, least) in [(2, 3), (3, 4), (4, 5), (5, 6)] {
        let mut amd = Amd::with(|amd| amd.report.version = version);
        amd.policy.amd.report_version_min = least;
        amd.says(TeeHardwareConfig, "report version");
        amd.policy.amd.report_version_min = version;
        amd.accepted();
    }
}

#[test]
fn reports_of_other_keys_than_a_chips_own_are_refused() {
    for (info, words) in [
        (1, "author"),
        (1 << 1, "masked"),
        (1 << 2, "VLEK"),
        (2 << 2, "no chip's key"),
        (7 << 2, "no chip's key"),
        (1 << 5, "unknown"),
        (1 << 31, "unknown"),
    ] {
        Amd::with(|amd| amd.report.key_info = info).says(TeeHardwareConfig, words);
    }
    Amd::with(|amd| amd.report.author_key_digest[47] = 1).says(TeeHardwareConfig, "author");
}

#[test]
fn a_report_of_another_privilege_level_is_refused() {
    for vmpl in [1, 2, 3, u32::MAX] {
        Amd::with(|amd| amd.report.vmpl = vmpl).says(TeeHardwareConfig, "VMPL 0");
    }
    let mut amd = Amd::with(|amd| amd.report.vmpl = 2);
    amd.policy.amd.vmpl = 2;
    amd.accepted();
    amd.report.vmpl = 0;
    amd.says(TeeHardwareConfig, "VMPL 2");
}

/// A bit, and the rule for it.
type Rule = (u32, fn(&mut Policy) -> &mut Bit);

const GUEST_RULES: [Rule; 8] = [
    (16, |policy| &mut policy.amd.guest_policy.smt),
    (18, |policy| &mut policy.amd.guest_policy.migration_agent),
    (20, |policy| &mut policy.amd.guest_policy.single_socket),
    (21, |policy| &mut policy.amd.guest_policy.cxl),
    (22, |policy| &mut policy.amd.guest_policy.mem_aes_256_xts),
    (23, |policy| &mut policy.amd.guest_policy.rapl_disabled),
    (24, |policy| &mut policy.amd.guest_policy.ciphertext_hiding),
    (25, |policy| &mut policy.amd.guest_policy.page_swap_disabled),
];

const PLATFORM_RULES: [Rule; 8] = [
    (0, |policy| &mut policy.amd.platform.smt),
    (1, |policy| &mut policy.amd.platform.tsme),
    (2, |policy| &mut policy.amd.platform.ecc),
    (3, |policy| &mut policy.amd.platform.rapl_disabled),
    (4, |policy| &mut policy.amd.platform.ciphertext_hiding),
    (5, |policy| &mut policy.amd.platform.alias_check_complete),
    (6, |policy| &mut policy.amd.platform.iommu_write_safe),
    (7, |policy| &mut policy.amd.platform.tio),
];

/// Every bit, set and clear, under every rule.
fn try_rules(rules: &[Rule], field: fn(&mut SnpReport) -> &mut u64) {
    for (bit, rule) in rules {
        for set in [false, true] {
            let mut amd = Amd::genoa();
            let value = field(&mut amd.report);
            *value = if set { *value | 1 << bit } else { *value & !(1 << bit) };
            for (demanded, good) in [(Bit::Any, true), (Bit::Set, set), (Bit::Clear, !set)] {
                *rule(&mut amd.policy) = demanded;
                match good {
                    true => drop(amd.accepted()),
                    false => drop(amd.fails(TeeHardwareConfig)),
                }
            }
        }
    }
}

#[test]
fn every_bit_of_the_guest_policy_is_as_policy_demands() {
    try_rules(&GUEST_RULES, |report| &mut report.policy);
}

#[test]
fn every_bit_of_the_platform_is_as_policy_demands() {
    try_rules(&PLATFORM_RULES, |report| &mut report.platform_info);
}

#[test]
fn strict_refuses_migration_shared_memory_and_unchecked_aliases() {
    Amd::with(|amd| amd.report.policy |= 1 << 18).says(TeeHardwareConfig, "migration_agent");
    Amd::with(|amd| amd.report.policy |= 1 << 21).says(TeeHardwareConfig, "cxl");
    Amd::with(|amd| amd.report.platform_info &= !(1 << 5))
        .says(TeeHardwareConfig, "alias_check_complete");
}

#[test]
fn bits_that_nobody_has_given_a_meaning_are_refused() {
    Amd::with(|amd| amd.report.policy &= !(1 << 17)).says(TeeHardwareConfig, "unknown");
    for bit in 26..64 {
        Amd::with(|amd| amd.report.policy |= 1 << bit).says(TeeHardwareConfig, "unknown");
    }
    for bit in 8..64 {
        Amd::with(|amd| amd.report.platform_info |= 1 << bit).says(TeeHardwareConfig, "unknown");
    }
}

#[test]
fn host_data_is_part_of_the_measurement_or_zero() {
    let mut amd = Amd::with(|amd| amd.report.host_data[31] = 1);
    amd.accepted();
    amd.policy.amd.host_data = HostData::Zero;
    amd.says(TeeBootConfig, "host data");
    amd.report.host_data = [0; 32];
    amd.accepted();
}

#[test]
fn an_id_block_is_refused_unless_policy_accepts_it() {
    let parts: [Change; 4] = [
        |amd| amd.report.id_key_digest[0] = 1,
        |amd| amd.report.family_id[15] = 1,
        |amd| amd.report.image_id[0] = 1,
        |amd| amd.report.guest_svn = 1,
    ];
    for part in parts {
        let mut amd = Amd::with(part);
        amd.says(TeeBootConfig, "ID block");
        amd.policy.amd.id_block = IdBlock::Any;
        amd.accepted();
    }
}

#[test]
fn an_id_block_of_a_listed_key_is_accepted_and_of_no_other() {
    let key = [0x4b; 48];
    let mut amd = Amd::with(|amd| {
        amd.report.id_key_digest = key;
        amd.report.guest_svn = 3;
        amd.policy.amd.id_block = IdBlock::Signed(vec![KeyDigest([1; 48]), KeyDigest(key)]);
    });
    amd.accepted();
    amd.report.id_key_digest[47] ^= 1;
    amd.says(TeeBootConfig, "does not list");
    amd.report.id_key_digest = [0; 48];
    amd.says(TeeBootConfig, "does not list");
    amd.policy.amd.id_block = IdBlock::Signed(vec![]);
    amd.says(TeeBootConfig, "does not list");
}

#[test]
fn the_measurement_covers_image_and_host_data() {
    let plain = snp_measurement(&[1; 48], &[2; 32]);
    let hashed = sha256(&[b"subrosa/measurement/snp/v1".as_slice(), &[1; 48], &[2; 32]].concat());
    assert_eq!(plain, B256::from(hashed));
    assert_ne!(plain, snp_measurement(&[3; 48], &[2; 32]));
    assert_ne!(plain, snp_measurement(&[1; 48], &[3; 32]));
}

#[test]
fn an_image_that_nobody_released_is_refused() {
    let released = Amd::genoa();
    for change in [
        (|amd| amd.report.measurement[0] ^= 1) as Change,
        |amd| amd.report.measurement[47] ^= 1,
        |amd| amd.report.host_data[0] ^= 1,
    ] {
        let evidence = Amd::with(change).evidence();
        assert_failed(&released.check(evidence).unwrap_err(), TeeMeasurement);
    }
}

#[test]
fn only_listed_chips_are_accepted_where_there_is_a_list() {
    for product in AmdProduct::ALL {
        let mut amd = Amd::new(product);
        let listed = |number: &[u8]| {
            let hex = number.iter().map(|byte| format!("{byte:02x}")).collect();
            Machines::Listed(vec!["00".into(), hex])
        };
        amd.policy.machines = listed(&chip_id(product));
        assert_eq!(amd.accepted().report().outcome(CpuIdRegistry), Outcome::Passed);
        let mut other = chip_id(product);
        other[0] ^= 1;
        amd.policy.machines = listed(&other);
        amd.fails(CpuIdRegistry);
        amd.policy.machines = Machines::Listed(vec![]);
        amd.fails(CpuIdRegistry);
        amd.policy.machines = Machines::Any;
        assert_eq!(amd.accepted().report().outcome(CpuIdRegistry), Outcome::Waived);
    }
}

#[test]
fn a_report_that_was_made_for_something_else_is_refused() {
    for at in [0, 31, 32, 63] {
        Amd::with(|amd| amd.report.report_data[at] ^= 1).fails(TeeReportdataBinding);
    }
}

#[test]
fn an_attested_chip_expires_with_its_list_or_its_certificate() {
    let expires = |certificate: u64, list: u64| {
        let nonce = shared_nonce();
        let workload = workload().to_bytes();
        let bound = report_data(&nonce, &keyset(), b"", &workload);
        let mut amd = Amd::with(|amd| amd.report.report_data = bound);
        amd.machine.life.1 = Timestamp(certificate);
        amd.machine.crl_life.1 = Timestamp(list);
        let mut policy = amd.policy.clone();
        policy.nonce.age_max = Duration(u64::MAX / 2);
        policy.releases.measurements = vec![snp_measurement(&IMAGE, &[0; 32])];
        policy.releases.models = vec![manifest().digest()];
        let cpu = CpuEvidence::Snp(amd.evidence());
        let evidence = compose(nonce, &keyset(), b"", &workload, cpu);
        verify(&evidence, &policy, &shared(), NOW).unwrap().expires()
    };
    assert_eq!(expires(NOW.0 + 50, NOW.0 + 100), Timestamp(NOW.0 + 50));
    assert_eq!(expires(NOW.0 + 100, NOW.0 + 51), Timestamp(NOW.0 + 50));
    assert_eq!(expires(NOW.0, NOW.0 + 1), NOW);
}

#[test]
fn an_attested_chip_is_refused_from_the_second_after_its_end() {
    for (certificate, list, end, name) in [
        (50, 100, 50, TeeCertChain),
        (100, 51, 50, AmdKdsCollateral),
        (50, 51, 50, TeeCertChain),
        (0, 100, 0, TeeCertChain),
        (100, 1, 0, AmdKdsCollateral),
    ] {
        let mut amd = Amd::with(|amd| {
            amd.machine.life.1 = Timestamp(NOW.0 + certificate);
            amd.machine.crl_life.1 = Timestamp(NOW.0 + list);
            amd.now = Timestamp(NOW.0 + end);
        });
        amd.accepted();
        amd.now = Timestamp(NOW.0 + end + 1);
        amd.says(name, "counts from");
    }
}

#[test]
fn a_bare_report_shows_genuine_hardware_and_no_more() {
    let amd = Amd::genoa();
    let SnpEvidence { report, collateral } = amd.evidence();
    let mut endorsements = Endorsements::default();
    for file in [&collateral.vcek, &collateral.ask, &collateral.ark, &collateral.crl] {
        endorsements.add(file).unwrap();
    }
    let bare = Document::parse(&report).unwrap();
    let examined = examine(&bare, &endorsements, None, &amd.policy, NOW);
    assert_eq!((examined.kind.as_str(), examined.verdict), ("snp_report", Verdict::Accepted));
    let measured = examined.check(TeeMeasurement).unwrap();
    assert_eq!(measured.outcome, Outcome::Absent);
    let image = snp_measurement(&amd.report.measurement, &amd.report.host_data).to_string();
    assert!(measured.seen.contains(&image), "{measured:?}");
    for name in [TeeReportdataBinding, NonceMatch, CpuGpuChain] {
        assert_eq!(examined.outcome(name), Outcome::Absent, "{name}");
    }

    let refused = |endorsements: &Endorsements, policy: &Policy| {
        examine(&bare, endorsements, None, policy, NOW).first_failure().unwrap().name
    };
    assert_eq!(refused(&Endorsements::default(), &amd.policy), AmdKdsCollateral);
    assert_eq!(refused(&endorsements, &Policy::strict(Releases::default())), TeeCertChain);
    let mut partial = Endorsements::default();
    for file in [&collateral.vcek, &collateral.ask, &collateral.ark] {
        partial.add(file).unwrap();
    }
    assert_eq!(refused(&partial, &amd.policy), AmdKdsCollateral);
}

#[test]
fn a_simulated_report_with_a_part_of_its_collateral_says_what_is_missing() {
    for product in AmdProduct::ALL {
        let amd = Amd::new(product);
        let SnpEvidence { report, collateral } = amd.evidence();
        let files = [&collateral.vcek, &collateral.ask, &collateral.ark, &collateral.crl];
        for (left_out, words) in ["(VCEK)", "(ASK)", "(ARK)", "no CRL"].into_iter().enumerate() {
            let mut endorsements = Endorsements::default();
            for file in files.iter().enumerate().filter(|(at, _)| *at != left_out) {
                endorsements.add(file.1).unwrap();
            }
            let bare = Document::parse(&report).unwrap();
            let examined = examine(&bare, &endorsements, None, &amd.policy, NOW);
            let failed = examined.first_failure().expect("accepted");
            assert_eq!(failed.name, AmdKdsCollateral, "{product}");
            assert!(failed.seen.contains(words), "{product}: {failed:?}");
        }
    }
}

#[test]
fn a_bare_report_without_certificates_still_shows_its_structure() {
    let amd = Amd::genoa();
    let report = amd.report.sign();
    let examined = |report: &[u8]| {
        let bare = Document::parse(report).unwrap();
        examine(&bare, &Endorsements::default(), None, &amd.policy, NOW)
    };
    let whole = examined(&report);
    assert_eq!(whole.outcome(TeeQuoteStructure), Outcome::Passed);
    assert_eq!(whole.first_failure().unwrap().name, AmdKdsCollateral);
    for name in [TeeCertChain, TeeQuoteSignature, TeeDebugDisabled] {
        assert_eq!(whole.outcome(name), Outcome::Absent, "{name}");
    }
    let mut reserved = report;
    reserved[0x4c] = 1;
    assert_eq!(examined(&reserved).first_failure().unwrap().name, TeeQuoteStructure);
}

/// A report of these report data, examined with all of its collateral.
fn examined(amd: &Amd, bytes: &[u8], nonce: Option<B256>, policy: &Policy) -> Report {
    let AmdCollateral { vcek, ask, ark, crl } = amd.machine.collateral().unwrap();
    let mut endorsements = Endorsements::default();
    for file in [vcek, ask, ark, crl] {
        endorsements.add(&file).unwrap();
    }
    examine(&Document::parse(bytes).unwrap(), &endorsements, nonce, policy, NOW)
}

#[test]
fn a_simulated_report_answers_a_nonce_in_either_half_and_no_other() {
    let mut amd = Amd::genoa();
    let (ours, other) = (B256::repeat_byte(0x6e), B256::repeat_byte(0x6f));
    for (first, second) in [(ours, B256::ZERO), (B256::ZERO, ours), (ours, other), (other, ours)] {
        amd.report.report_data = [first.0, second.0].concat().try_into().unwrap();
        let bytes = amd.report.sign();
        let outcome = |nonce| examined(&amd, &bytes, Some(nonce), &amd.policy).outcome(NonceMatch);
        assert_eq!(outcome(ours), Outcome::Passed);
        assert_eq!(outcome(B256::repeat_byte(0x70)), Outcome::Failed);
        assert_eq!(outcome(B256::ZERO), Outcome::Failed);
    }
}

#[test]
fn only_zeros_may_follow_a_simulated_report() {
    let amd = Amd::genoa();
    let report = amd.report.sign();
    let padded = examined(&amd, &[report.as_slice(), &[0; 16]].concat(), None, &amd.policy);
    assert_eq!(padded.verdict, Verdict::Accepted);
    assert_eq!(padded.check(TeeQuotePadding).unwrap().seen, "16 zeros follow");
    for beside in [[1].as_slice(), &[0, 0, 1], &[0xff; 16]] {
        let refused = examined(&amd, &[report.as_slice(), beside].concat(), None, &amd.policy);
        assert_eq!(refused.first_failure().unwrap().name, TeeQuotePadding);
    }
}

#[test]
fn a_simulated_report_lacks_only_what_policy_lets_be_absent() {
    let amd = Amd::genoa();
    let report = amd.report.sign();
    for name in [NonceMatch, TeeMeasurement, TeeReportdataBinding, MeasuredModelWeights] {
        let mut policy = amd.policy.clone();
        policy.absent.snp_report.retain(|known| *known != name);
        let refused = examined(&amd, &report, None, &policy);
        assert_eq!(refused.first_failure().unwrap().name, name);
    }
}

/// dstack's envelope: a report, and behind it what else there is.
fn envelope(report: &[u8], beside: &str) -> Vec<u8> {
    let length = (u16::try_from(report.len()).unwrap() << 2) | 1;
    let [low, high] = length.to_le_bytes();
    [&[0, 3, low, high], report, &[0xff, 0, 7], beside.as_bytes()].concat()
}

fn pem_of(der: &[u8]) -> String {
    let text = subrosa_protocol::encoding::to_base64(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[test]
fn the_certificates_in_an_envelope_are_used() {
    let amd = Amd::genoa();
    let SnpEvidence { report, collateral } = amd.evidence();
    let beside = pem_of(&collateral.ask) + &pem_of(&collateral.vcek);
    let binary = envelope(&report, &beside);
    let json = format!(r#"{{"attestation":"{}"}}"#, hex::encode(&binary)).into_bytes();
    let mut endorsements = Endorsements::default();
    for file in [&collateral.ark, &collateral.crl] {
        endorsements.add(file).unwrap();
    }
    for bytes in [binary, json] {
        let document = Document::parse(&bytes).unwrap();
        let verdict = |given: &Endorsements| examine(&document, given, None, &amd.policy, NOW);
        assert_eq!(verdict(&endorsements).verdict, Verdict::Accepted);
        let alone = verdict(&Endorsements::default());
        let missing = alone.first_failure().unwrap();
        assert_eq!(missing.name, AmdKdsCollateral);
        assert!(missing.seen.contains("(ARK)"), "{missing:?}");
        // The same once more contradicts nothing.
        let mut all = endorsements.clone();
        all.add(&collateral.vcek).unwrap();
        assert_eq!(verdict(&all).verdict, Verdict::Accepted);
    }
}

#[test]
fn certificates_in_an_envelope_that_are_of_something_else_are_refused() {
    let amd = Amd::genoa();
    let SnpEvidence { report, collateral } = amd.evidence();
    let turin = Amd::new(AmdProduct::Turin).machine.collateral().unwrap();
    let mut given = Endorsements::default();
    for file in [&collateral.vcek, &collateral.ask, &collateral.ark, &collateral.crl] {
        given.add(file).unwrap();
    }
    let mut roots = Endorsements::default();
    for file in [&collateral.ark, &collateral.crl] {
        roots.add(file).unwrap();
    }
    let refused = |beside: String, endorsements: &Endorsements, words: &str| -> CheckName {
        let document = Document::parse(&envelope(&report, &beside)).unwrap();
        let report = examine(&document, endorsements, None, &amd.policy, NOW);
        let failed = report.first_failure().expect("accepted");
        assert!(failed.seen.contains(words), "{failed:?}");
        failed.name
    };
    let honest = pem_of(&collateral.ask) + &pem_of(&collateral.vcek);
    let twice = honest.clone() + &pem_of(&turin.vcek);
    let unknown = honest.clone() + &pem_of(b"no certificate");
    let cases = [
        (pem_of(&turin.vcek), &given, "what the document carries"),
        (twice, &roots, "what the document carries"),
        (unknown, &roots, "what the document carries"),
        (pem_of(&collateral.vcek), &roots, "(ASK)"),
        (pem_of(&collateral.ask), &roots, "(VCEK)"),
    ];
    for (beside, endorsements, words) in cases {
        assert_eq!(refused(beside, endorsements, words), AmdKdsCollateral, "{words}");
    }
    let mixed = pem_of(&collateral.ask) + &pem_of(&turin.vcek);
    assert_eq!(refused(mixed, &roots, "the VCEK"), TeeCertChain);
    let broken = honest.replacen("-----END", "----END", 1);
    let unreadable = Document::parse(&envelope(&report, &broken)).unwrap_err();
    assert!(unreadable.to_string().contains("attestation is not PEM"), "{unreadable}");
}

/// Positions that are tried of certificates; the step is prime, so that no structure hides between.
const STEP: usize = 7;

#[test]
fn one_changed_bit_anywhere_of_a_report_or_its_certificates_is_refused() {
    let amd = Amd::new(AmdProduct::Turin);
    let honest = amd.evidence();
    let refused = |evidence: SnpEvidence, part: &str, at: usize| {
        assert!(amd.check(evidence).is_err(), "a changed bit of the {part} at {at} is accepted");
    };
    for at in 0..honest.report.len() {
        let mut evidence = honest.clone();
        evidence.report[at] ^= 1 << (at % 8);
        refused(evidence, "report", at);
    }
    let parts: [(&str, PartOf); 4] = [
        ("VCEK", |collateral| &mut collateral.vcek),
        ("ASK", |collateral| &mut collateral.ask),
        ("ARK", |collateral| &mut collateral.ark),
        ("CRL", |collateral| &mut collateral.crl),
    ];
    for (name, part) in parts {
        let length = part(&mut honest.collateral.clone()).len();
        for at in (0..length).step_by(STEP) {
            let mut evidence = honest.clone();
            part(&mut evidence.collateral)[at] ^= 1 << (at % 8);
            refused(evidence, name, at);
        }
    }
}

#[test]
fn what_is_cut_anywhere_is_refused() {
    let amd = Amd::genoa();
    let honest = amd.evidence();
    for length in (0..1_184).step_by(31) {
        let mut evidence = honest.clone();
        evidence.report.truncate(length);
        assert_failed(&amd.check(evidence).unwrap_err(), TeeQuoteStructure);
    }
    for length in (0..honest.collateral.vcek.len()).step_by(31) {
        let mut evidence = honest.clone();
        evidence.collateral.vcek.truncate(length);
        assert_failed(&amd.check(evidence).unwrap_err(), TeeCertChain);
    }
    for length in (0..honest.collateral.crl.len()).step_by(31) {
        let mut evidence = honest.clone();
        evidence.collateral.crl.truncate(length);
        assert_failed(&amd.check(evidence).unwrap_err(), AmdKdsCollateral);
    }
}

/// Bytes as a stranger would send them: anything, or an honest file with holes.
fn garbage(honest: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = honest.len();
    let anything = proptest::collection::vec(any::<u8>(), 0..1_300);
    let holes = proptest::collection::vec((0..length, any::<u8>()), 1..8).prop_map(move |holes| {
        let mut bytes = honest.clone();
        holes.into_iter().for_each(|(at, byte)| bytes[at] = byte.wrapping_add(bytes[at]).max(1));
        bytes
    });
    prop_oneof![anything, holes]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_is_refused_without_a_panic(
        report in garbage(Amd::genoa().report.sign()),
        vcek in garbage(Amd::genoa().evidence().collateral.vcek),
        ask in garbage(Amd::genoa().evidence().collateral.ask),
        crl in garbage(Amd::genoa().evidence().collateral.crl),
    ) {
        let amd = Amd::genoa();
        let honest = amd.evidence();
        let mut documents = vec![honest.clone(); 4];
        if report.len() <= 1_185 {
            documents[0].report = report;
        } else {
            documents[0].report.clear();
        }
        documents[1].collateral.vcek = vcek;
        documents[2].collateral.ask = ask;
        documents[3].collateral.crl = crl;
        for evidence in documents.into_iter().filter(|evidence| *evidence != honest) {
            prop_assert!(amd.check(evidence).is_err());
        }
    }
}
