//! Quotes of real machines, under Intel's own root: genuine hardware, but not ours.
//!
//! Some lie in the sources of dcap-qvl, which cargo has fetched. The others are not part of this project;
//! where no variable SUBROSA_VECTORS names their folder the tests say "skipped".

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use subrosa_protocol::{B256, Duration, Keyset, Timestamp};
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{
    CheckName, ConfigId, CpuEvidence, EventLog, Evidence, IntelCollateral, IntelTcbStatus, Nonce,
    Outcome, Policy, Refusal, Releases, TdxEvidence, recheck, tdx_measurement,
};

use crate::world::{assert_failed, assert_outcomes, compose};

/// The samples of dcap-qvl.
static SAMPLES: LazyLock<PathBuf> = LazyLock::new(|| {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["metadata", "--format-version", "1", "--offline", "--locked"]);
    // Parts of other platforms were never fetched.
    cargo.args(["--filter-platform", &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)]);
    let metadata = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap().stdout;
    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    let mut packages = metadata["packages"].as_array().unwrap().iter();
    let package = packages.find(|package| package["name"] == "dcap-qvl").unwrap();
    Path::new(package["manifest_path"].as_str().unwrap()).with_file_name("sample")
});

/// Where the files lie that do not come with our dependencies, if they do.
#[allow(clippy::print_stderr, reason = "a test that did nothing has to say so")]
fn folder() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("SUBROSA_VECTORS").map_or(default, PathBuf::from);
    if folder.join("dcap-qvl").is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no vectors at {}", folder.display());
    None
}

/// A quote of somebody else's machine, carried in a document of ours.
struct Foreign {
    tdx: TdxEvidence,
    at: Timestamp,
    policy: Policy,
}

impl Foreign {
    fn new(quote: Vec<u8>, collateral: IntelCollateral, at: u64) -> Foreign {
        let releases = Releases { measurements: vec![measurement(&quote)], models: vec![] };
        Foreign {
            tdx: TdxEvidence { quote, collateral, event_log: EventLog::None },
            at: Timestamp(at),
            policy: Policy::strict(releases),
        }
    }

    fn read(quote: &Path, collateral: &Path, at: u64) -> Foreign {
        let mut bytes = std::fs::read(quote).unwrap();
        if quote.extension().is_some_and(|extension| extension == "txt") {
            bytes = hex(std::str::from_utf8(&bytes).unwrap().trim());
        }
        let json = std::fs::read(collateral).unwrap();
        let collateral = read_collateral(&serde_json::from_slice(&json).unwrap());
        Foreign::new(bytes, collateral, at)
    }

    /// Cuts the quote where it declares to end, as an attester does.
    fn trimmed(mut self) -> Foreign {
        let length = u32::from_le_bytes(self.tdx.quote[632..636].try_into().unwrap());
        self.tdx.quote.truncate(636 + length as usize);
        self
    }

    /// Never attested: whatever the quote is worth, it was not made for our document.
    fn refused(&self) -> Refusal {
        let keyset = Keyset { signer: [1; 20].into(), not_after: Timestamp(u64::MAX) };
        let nonce =
            Nonce { verifier: B256::ZERO, chain_id: 0, block_number: 0, block_hash: B256::ZERO };
        let cpu = CpuEvidence::Tdx(self.tdx.clone());
        let document = compose(nonce, &keyset.to_bytes(), b"", b"{}", cpu);
        let evidence = Evidence::parse(document.as_bytes()).unwrap();
        recheck(&evidence, &self.policy, self.at).unwrap_err()
    }
}

fn measurement(quote: &[u8]) -> B256 {
    let register = |offset: usize| quote[48 + offset..][..48].try_into().unwrap();
    tdx_measurement(&register(136), &[328, 376, 424, 472].map(register))
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn read_collateral(json: &Value) -> IntelCollateral {
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    IntelCollateral {
        pck_crl_issuer_chain: text("pck_crl_issuer_chain"),
        root_ca_crl: hex(&text("root_ca_crl")),
        pck_crl: hex(&text("pck_crl")),
        tcb_info_issuer_chain: text("tcb_info_issuer_chain"),
        tcb_info: text("tcb_info"),
        tcb_info_signature: hex(&text("tcb_info_signature")),
        qe_identity_issuer_chain: text("qe_identity_issuer_chain"),
        qe_identity: text("qe_identity"),
        qe_identity_signature: hex(&text("qe_identity_signature")),
    }
}

/// What genuine, current hardware passes, all but the binding to our parts.
const GENUINE: [CheckName; 10] = [
    TeeQuoteStructure,
    TeeCertChain,
    IntelPcsCollateral,
    TeeQuoteSignature,
    TeeTcbNotRevoked,
    TeeTcbCurrent,
    TeeTcbEvaluation,
    TeeDebugDisabled,
    TeeHardwareConfig,
    TeeMeasurement,
];

const WITHIN_TDX: u64 = 1_750_377_600; // 2025-06-20
const WITHIN_NEAR: u64 = 1_757_376_000; // 2025-09-09

fn tdx_quote(at: u64) -> Foreign {
    sample("tdx_quote", "tdx_quote_collateral.json", at).trimmed()
}

fn sample(quote: &str, collateral: &str, at: u64) -> Foreign {
    Foreign::read(&SAMPLES.join(quote), &SAMPLES.join(collateral), at)
}

#[test]
fn a_genuine_quote_passes_everything_but_the_binding() {
    let near = folder().map(|folder| {
        let folder = folder.join("dcap-qvl/near");
        let collateral = folder.join("quote_collateral.json");
        Foreign::read(&folder.join("quote_hex.txt"), &collateral, WITHIN_NEAR).trimmed()
    });
    for mut foreign in std::iter::once(tdx_quote(WITHIN_TDX)).chain(near) {
        // NEAR's quote names a compose file, which is not here.
        foreign.policy.intel.tdx.config_id = ConfigId::Any;
        let refusal = foreign.refused();
        assert_failed(&refusal, TeeReportdataBinding);
        assert_outcomes(&refusal, Outcome::Passed, &GENUINE);
        assert!(!refusal.report().simulated);
    }
}

#[test]
fn a_genuine_quote_of_an_unreleased_image_fails_the_measurement_first() {
    let mut foreign = tdx_quote(WITHIN_TDX);
    foreign.policy.releases.measurements.clear();
    assert_failed(&foreign.refused(), TeeMeasurement);
}

#[test]
fn a_genuine_quote_is_good_only_while_its_collateral_is() {
    for at in [1_750_377_600 - 30 * 86_400, 1_752_919_235, 1_795_000_000] {
        let refusal = tdx_quote(at).refused();
        assert_failed(&refusal, IntelPcsCollateral);
        assert_outcomes(&refusal, Outcome::Absent, &[TeeCertChain, TeeQuoteSignature]);
    }
}

#[test]
fn zeros_behind_a_genuine_quote_are_refused_in_our_documents() {
    let refusal = sample("tdx_quote", "tdx_quote_collateral.json", WITHIN_TDX).refused();
    assert_failed(&refusal, TeeQuoteStructure);
    assert!(refusal.failed().seen.starts_with("70 bytes"), "{refusal}");
}

#[test]
fn a_genuine_quote_with_a_changed_bit_is_refused() {
    let honest = tdx_quote(WITHIN_TDX);
    let quote = honest.tdx.quote.clone();
    for position in (0..quote.len()).step_by(97) {
        let mut foreign = tdx_quote(WITHIN_TDX);
        foreign.tdx.quote[position] ^= 1;
        let name = foreign.refused().failed().name;
        assert!(name < TeeReportdataBinding, "bit at {position} passed as genuine: {name}");
    }
}

#[test]
fn a_platform_that_lacks_updates_is_refused_unless_policy_tolerates_it() {
    let Some(folder) = folder() else { return };
    let mut foreign = outdated(&folder);
    let refusal = foreign.refused();
    assert_failed(&refusal, TeeTcbCurrent);
    assert!(refusal.failed().seen.contains("INTEL-SA-00960"), "{refusal}");

    foreign.policy.intel.statuses.push(IntelTcbStatus::OutOfDate);
    foreign.policy.intel.grace = Duration(10 * 365 * 86_400);
    let refusal = foreign.refused();
    assert_eq!(refusal.report().outcome(TeeTcbCurrent), Outcome::Passed, "{refusal}");

    foreign.policy.intel.rejected_advisories = vec!["INTEL-SA-00960".into()];
    assert_eq!(foreign.refused().report().outcome(TeeTcbCurrent), Outcome::Failed);
}

/// A machine of early 2025 with answers of Intel's service as they were sent.
fn outdated(folder: &Path) -> Foreign {
    let folder = folder.join("automata-dcap-rs");
    let bytes = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let text = |name: &str| String::from_utf8(bytes(name)).unwrap();
    let signed = |name: &str, member: &str| {
        let answer = text(name);
        let json: Value = serde_json::from_str(&answer).unwrap();
        // The signature covers the member's bytes as they stand in the answer.
        let start = answer.find(&format!("\"{member}\":")).unwrap() + member.len() + 3;
        let end = answer.rfind(",\"signature\"").unwrap();
        (answer[start..end].to_owned(), hex(json["signature"].as_str().unwrap()))
    };
    let quote = bytes("quote_tdx_00806f050000.dat");
    let chain = text("pck_certchain.pem");
    let begin = "-----BEGIN CERTIFICATE-----";
    let authority = chain[1..].find(begin).unwrap() + 1;
    let (tcb_info, tcb_info_signature) = signed("tcbinfov3_00806f050000.json", "tcbInfo");
    let (qe_identity, qe_identity_signature) = signed("qeidentityv2_apiv4.json", "enclaveIdentity");
    let collateral = IntelCollateral {
        pck_crl_issuer_chain: chain[authority..].to_owned(),
        root_ca_crl: bytes("intel_root_ca_crl.der"),
        pck_crl: bytes("pck_platform_crl.der"),
        tcb_info_issuer_chain: text("tcb_signing_cert.pem"),
        tcb_info,
        tcb_info_signature,
        qe_identity_issuer_chain: text("tcb_signing_cert.pem"),
        qe_identity,
        qe_identity_signature,
    };
    Foreign::new(quote, collateral, 1_739_600_000).trimmed() // 2025-02-15
}

#[test]
fn a_quote_of_version_5_older_than_any_judged_level_is_refused() {
    let foreign = sample("tdx_quote_outdated", "tdx_quote_outdated_collateral.json", 1_771_500_000);
    let refusal = foreign.refused();
    assert_failed(&refusal, TeeTcbCurrent);
    assert!(refusal.failed().seen.contains("No matching TCB level found"), "{refusal}");
}

#[test]
fn a_genuine_quote_with_another_platforms_collateral_is_refused() {
    let Some(folder) = folder() else { return };
    let collateral = folder.join("dcap-qvl/near/quote_collateral.json");
    let mixed = Foreign::read(&SAMPLES.join("tdx_quote"), &collateral, WITHIN_NEAR);
    assert_failed(&mixed.trimmed().refused(), IntelPcsCollateral);
}

#[test]
fn a_genuine_quote_is_worth_nothing_under_another_root() {
    let mut foreign = tdx_quote(WITHIN_TDX);
    foreign.policy = Policy::simulated(foreign.policy.releases.clone());
    assert_failed(&foreign.refused(), TeeCertChain);
}
