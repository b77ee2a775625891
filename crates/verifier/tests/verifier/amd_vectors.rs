//! Reports and certificates of real AMD chips, under AMD's own roots.
//!
//! They are not part of this project; where no variable SUBROSA_VECTORS names their folder the
//! tests say "skipped".

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subrosa_attester::snp::{SnpMachine, SnpReport};
use subrosa_protocol::{B256, Keyset, Timestamp};
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{
    AMD_ARK_GENOA_SHA256, AMD_ARK_MILAN_SHA256, AMD_ARK_TURIN_SHA256, AmdCollateral, AmdProduct,
    AmdTcb, Bit, CheckName, CpuEvidence, Demand, Evidence, Nonce, Outcome, Policy, Refusal,
    Releases, SnpEvidence, recheck, snp_measurement,
};

use crate::world::{assert_failed, assert_outcomes, compose};

/// Where the files lie, if they do.
#[allow(clippy::print_stderr, reason = "a test that did nothing has to say so")]
fn folder() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("SUBROSA_VECTORS").map_or(default, PathBuf::from);
    if folder.join("virtee-sev").is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no vectors at {}", folder.display());
    None
}

/// The certificates of PEM text, DER, whatever stands between them.
fn pem(text: &str) -> Vec<Vec<u8>> {
    let certificates = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    let read = |text: &str| {
        let body = text.split("-----END").next().unwrap();
        STANDARD.decode(body.split_whitespace().collect::<String>()).unwrap()
    };
    certificates.map(read).collect()
}

fn read_pem(path: PathBuf) -> Vec<Vec<u8>> {
    pem(&std::fs::read_to_string(path).unwrap())
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// A report of somebody else's chip, carried in a document of ours.
#[derive(Clone)]
struct Foreign {
    snp: SnpEvidence,
    at: Timestamp,
    policy: Policy,
}

impl Foreign {
    fn new(report: Vec<u8>, vcek: Vec<u8>, ask: Vec<u8>, ark: Vec<u8>, at: u64) -> Foreign {
        let collateral = AmdCollateral { vcek, ask, ark, crl: vec![] };
        let mut foreign = Foreign {
            snp: SnpEvidence { report, collateral },
            at: Timestamp(at),
            policy: Policy::strict(Releases::default()),
        };
        foreign.release();
        foreign
    }

    /// Takes what booted for a released image.
    fn release(&mut self) {
        let report = &self.snp.report;
        let measurement = report[0x90..0xc0].try_into().unwrap();
        let host_data = report[0xc0..0xe0].try_into().unwrap();
        self.policy.releases.measurements = vec![snp_measurement(&measurement, &host_data)];
    }

    /// A policy that names Milan, tolerates its old firmware, and waives the list that nobody
    /// kept.
    fn tolerated(mut self) -> Foreign {
        let amd = &mut self.policy.amd;
        amd.products.push(AmdProduct::Milan);
        amd.revocation = Demand::Waived;
        amd.report_version_min = 2;
        amd.tcb_min.milan = AmdTcb::default();
        amd.platform.alias_check_complete = Bit::Any;
        self
    }

    fn at(mut self, at: u64) -> Foreign {
        self.at = Timestamp(at);
        self
    }

    /// Never attested: whatever the report is worth, it was not made for our document.
    #[track_caller]
    fn refused(&self) -> Refusal {
        let keyset = Keyset { signer: [1; 20].into(), not_after: Timestamp(u64::MAX) };
        let nonce =
            Nonce { verifier: B256::ZERO, chain_id: 0, block_number: 0, block_hash: B256::ZERO };
        let cpu = CpuEvidence::Snp(self.snp.clone());
        let document = compose(nonce, &keyset.to_bytes(), b"", b"{}", cpu);
        let evidence = Evidence::parse(document.as_bytes()).unwrap();
        recheck(&evidence, &self.policy, self.at).unwrap_err()
    }
}

/// A Milan chip of 2023, report version 2.
fn virtee(folder: &Path) -> Foreign {
    let folder = folder.join("virtee-sev");
    let report = std::fs::read_to_string(folder.join("report_milan.hex")).unwrap();
    let vcek = std::fs::read(folder.join("vcek_milan.der")).unwrap();
    let [ask, ark] = read_pem(folder.join("cert_chain_milan")).try_into().unwrap();
    Foreign::new(hex(report.trim()), vcek, ask, ark, 1_700_000_000)
}

/// A Milan chip of 2026, report version 3, inside an envelope of dstack's.
fn dstack(folder: &Path) -> Foreign {
    let envelope = std::fs::read(folder.join("dstack/verifier/sev-snp-attestation.json")).unwrap();
    let envelope: serde_json::Value = serde_json::from_slice(&envelope).unwrap();
    let envelope = hex(envelope["attestation"].as_str().unwrap());
    let [ask, vcek] = pem(&String::from_utf8_lossy(&envelope)).try_into().unwrap();
    let ark = read_pem(folder.join("virtee-sev/builtin/milan-ark.pem")).remove(0);
    Foreign::new(envelope[4..][..1_184].to_vec(), vcek, ask, ark, 1_790_000_000)
}

/// A Milan chip of 2022 with a guest that its host can debug.
fn debugged(folder: &Path) -> Foreign {
    let folder = folder.join("go-sev-guest");
    let report = std::fs::read(folder.join("attestation.bin")).unwrap();
    let vcek = std::fs::read(folder.join("vcek.testcer")).unwrap();
    let [ask, ark] = read_pem(folder.join("milan.testcer")).try_into().unwrap();
    Foreign::new(report, vcek, ask, ark, 1_700_000_000)
}

/// The certificates of a Turin chip whose report nobody kept, beside one of the simulator's.
fn turin(folder: &Path) -> Foreign {
    let folder = folder.join("virtee-sev");
    let report = SnpReport::new(AmdProduct::Turin, [1; 48], [2; 64]).sign();
    let vcek = std::fs::read(folder.join("vcek_turin.der")).unwrap();
    let [ask, ark] = read_pem(folder.join("cert_chain_turin")).try_into().unwrap();
    Foreign::new(report, vcek, ask, ark, 1_760_000_000)
}

/// What genuine hardware passes, all but the binding to our parts.
const GENUINE: [CheckName; 8] = [
    TeeQuoteStructure,
    TeeCertChain,
    AmdKdsCollateral,
    TeeQuoteSignature,
    TeeTcbCurrent,
    TeeHardwareConfig,
    TeeBootConfig,
    TeeMeasurement,
];

#[test]
fn genuine_milan_reports_pass_where_policy_names_milan() {
    let Some(folder) = folder() else { return };
    for foreign in [virtee(&folder), dstack(&folder)] {
        let refusal = foreign.tolerated().refused();
        assert_failed(&refusal, TeeReportdataBinding);
        assert_outcomes(&refusal, Outcome::Passed, &GENUINE);
        assert_outcomes(&refusal, Outcome::Passed, &[TeeDebugDisabled]);
        assert_outcomes(&refusal, Outcome::Waived, &[TeeTcbNotRevoked]);
        assert!(!refusal.report().simulated);
    }
}

#[test]
fn genuine_milan_reports_are_refused_by_a_strict_policy() {
    let Some(folder) = folder() else { return };
    for foreign in [virtee(&folder), dstack(&folder), debugged(&folder)] {
        let refusal = foreign.refused();
        assert_failed(&refusal, AmdKdsCollateral);
        assert!(refusal.failed().seen.contains("no CRL"), "{refusal}");
        assert_outcomes(&refusal, Outcome::Passed, &[TeeCertChain, TeeQuoteSignature]);
        assert_outcomes(&refusal, Outcome::Failed, &[TeeTcbCurrent, TeeHardwareConfig]);
        let hardware = refusal.report().check(TeeHardwareConfig).unwrap();
        assert!(hardware.seen.contains("can be read out by software"), "{hardware:?}");
    }
}

#[test]
fn the_alias_check_of_version_three_is_seen() {
    let Some(folder) = folder() else { return };
    for (foreign, outcome) in
        [(dstack(&folder), Outcome::Passed), (virtee(&folder), Outcome::Failed)]
    {
        let mut foreign = foreign.tolerated();
        foreign.policy.amd.platform.alias_check_complete = Bit::Set;
        assert_eq!(foreign.refused().report().outcome(TeeHardwareConfig), outcome);
    }
}

#[test]
fn a_genuine_chip_is_held_to_the_tcb_that_it_reports() {
    let Some(folder) = folder() else { return };
    let mut foreign = dstack(&folder).tolerated();
    // It runs SNP 0x18 and signs for 0x17.
    foreign.policy.amd.tcb_min.milan.snp = 0x18;
    let refusal = foreign.refused();
    assert_failed(&refusal, TeeTcbCurrent);
    assert!(refusal.failed().seen.starts_with("reported TCB"), "{refusal}");
    foreign.policy.amd.tcb_min.milan.snp = 0x17;
    assert_failed(&foreign.refused(), TeeReportdataBinding);
}

#[test]
fn genuine_reports_count_while_their_certificate_does() {
    let Some(folder) = folder() else { return };
    for (foreign, from, until) in [
        (virtee(&folder), 1_680_549_823, 1_901_474_623), // 2023-04-03T19:23:43Z, seven years
        (dstack(&folder), 1_781_658_304, 2_002_583_104), // 2026-06-17T01:05:04Z
    ] {
        let foreign = foreign.tolerated();
        for at in [from, until] {
            let refusal = foreign.clone().at(at).refused();
            assert_failed(&refusal, TeeReportdataBinding);
        }
        for at in [0, from - 1, until + 1, u64::MAX] {
            let refusal = foreign.clone().at(at).refused();
            assert_failed(&refusal, TeeCertChain);
        }
    }
}

#[test]
fn a_genuine_report_of_a_debugged_guest_is_refused() {
    let Some(folder) = folder() else { return };
    let refusal = debugged(&folder).tolerated().refused();
    assert_failed(&refusal, TeeDebugDisabled);
    assert_outcomes(&refusal, Outcome::Passed, &GENUINE);
}

#[test]
fn a_genuine_turin_chain_is_good_from_its_first_second_to_its_last() {
    let Some(folder) = folder() else { return };
    let (from, until) = (1_730_927_640, 1_951_766_040); // 2024-11-06T21:14:00Z, seven years
    for at in [from, 1_760_000_000, until] {
        let refusal = turin(&folder).at(at).refused();
        assert_outcomes(&refusal, Outcome::Passed, &[TeeQuoteStructure, TeeCertChain]);
        assert_failed(&refusal, AmdKdsCollateral);
        assert!(refusal.failed().seen.contains("another chip"), "{refusal}");
        assert_outcomes(&refusal, Outcome::Failed, &[TeeQuoteSignature]);
    }
    for at in [from - 1, until + 1] {
        assert_failed(&turin(&folder).at(at).refused(), TeeCertChain);
    }
}

#[test]
fn amds_roots_and_authorities_are_recognised_for_their_own_generation_alone() {
    let Some(folder) = folder() else { return };
    let read = |name: String| read_pem(folder.join("virtee-sev/builtin").join(name)).remove(0);
    let products = ["genoa", "milan", "turin"];
    let pinned = [AMD_ARK_GENOA_SHA256, AMD_ARK_MILAN_SHA256, AMD_ARK_TURIN_SHA256];
    for (product, pinned) in products.into_iter().zip(pinned) {
        let ark = read(format!("{product}-ark.pem"));
        assert_eq!(B256::from(<[u8; 32]>::from(Sha256::digest(&ark))), pinned);
        for other in products {
            let ask = read(format!("{other}-ask.pem"));
            // A chip's certificate that AMD did not issue: everything above it must be good.
            let simulated = SnpMachine::new(AmdProduct::Genoa, Timestamp(0)).collateral().unwrap();
            let report = SnpReport::new(AmdProduct::Genoa, [1; 48], [2; 64]).sign();
            let foreign = Foreign::new(report, simulated.vcek, ask, ark.clone(), 1_760_000_000);
            let refusal = foreign.refused();
            assert_failed(&refusal, TeeCertChain);
            let expected = if other == product { "the VCEK names another issuer" } else { "root" };
            assert!(refusal.failed().seen.contains(expected), "{product}, {other}: {refusal}");
        }
    }
}

#[test]
fn authorities_for_providers_keys_are_refused() {
    let Some(folder) = folder() else { return };
    for name in ["ask_ark_milan_vlek.pem", "ask_ark_genoa_vlek.pem", "ask_ark_turin_vlek.pem"] {
        let mut foreign = virtee(&folder).tolerated();
        let trust = folder.join("go-sev-guest/trust").join(name);
        [foreign.snp.collateral.ask, foreign.snp.collateral.ark] =
            read_pem(trust).try_into().unwrap();
        let refusal = foreign.refused();
        assert_failed(&refusal, TeeCertChain);
        assert!(refusal.failed().seen.contains("VLEK"), "{refusal}");
    }
}

#[test]
fn a_genuine_report_with_another_chips_certificate_is_refused() {
    let Some(folder) = folder() else { return };
    let chips = [virtee(&folder), dstack(&folder), debugged(&folder)];
    for (at, chip) in chips.iter().enumerate() {
        for (other_at, other) in chips.iter().enumerate().filter(|(other_at, _)| *other_at != at) {
            let mut mixed = chip.clone().tolerated().at(1_790_000_000);
            mixed.snp.collateral.vcek.clone_from(&other.snp.collateral.vcek);
            let refusal = mixed.refused();
            assert_failed(&refusal, AmdKdsCollateral);
            assert_outcomes(&refusal, Outcome::Failed, &[TeeQuoteSignature]);
            assert_outcomes(&refusal, Outcome::Passed, &[TeeCertChain]);
            assert!(refusal.failed().seen.contains("another chip"), "{at}, {other_at}: {refusal}");
        }
    }
}

#[test]
fn a_genuine_report_or_certificate_with_a_changed_bit_is_refused() {
    let Some(folder) = folder() else { return };
    let honest = dstack(&folder).tolerated();
    let parts: [fn(&mut SnpEvidence) -> &mut Vec<u8>; 4] = [
        |snp| &mut snp.report,
        |snp| &mut snp.collateral.vcek,
        |snp| &mut snp.collateral.ask,
        |snp| &mut snp.collateral.ark,
    ];
    for (which, part) in parts.into_iter().enumerate() {
        let length = part(&mut honest.snp.clone()).len();
        for at in (0..length).step_by(3) {
            let mut changed = honest.clone();
            part(&mut changed.snp)[at] ^= 1 << (at % 8);
            let name = changed.refused().failed().name;
            assert!(name <= TeeQuoteSignature, "bit at {at} of part {which} is genuine: {name}");
        }
    }
}

#[test]
fn genuine_reports_are_worth_nothing_under_the_simulators_root() {
    let Some(folder) = folder() else { return };
    for foreign in [virtee(&folder), dstack(&folder), turin(&folder)] {
        let mut foreign = foreign.tolerated();
        foreign.policy.roots = Policy::simulated(Releases::default()).roots;
        foreign.policy.trust = subrosa_verifier::Trust::Simulated;
        assert_failed(&foreign.refused(), TeeCertChain);
    }
}
