//! Quotes of real machines, under Intel's own root: genuine hardware, but not ours.
//!
//! Some lie in the sources of dcap-qvl, which cargo has fetched. The others are not part of this project;
//! where no variable SUBROSA_VECTORS names their folder the tests say "skipped".

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use sha2::{Digest, Sha256};
use subrosa_protocol::{B256, Duration, Keyset, Timestamp};
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{
    BadLog, CheckName, ConfigId, CpuEvidence, EventLog, Evidence, IntelCollateral, IntelTcbStatus,
    Modules, Nonce, Outcome, Policy, Refusal, Releases, SgxEvidence, TdxEvidence, ccel_used,
    dstack_measurement, recheck, sgx_measurement, tdx_measurement,
};

use crate::world::{assert_failed, assert_outcomes, compose};

/// The samples of dcap-qvl.
pub static SAMPLES: LazyLock<PathBuf> = LazyLock::new(|| {
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
pub fn folder() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("SUBROSA_VECTORS").map_or(default, PathBuf::from);
    if folder.join("dcap-qvl").is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no vectors at {}", folder.display());
    None
}

/// A quote of somebody else's machine, carried in a document of ours.
#[derive(Clone)]
struct Foreign {
    cpu: CpuEvidence,
    at: Timestamp,
    policy: Policy,
}

impl Foreign {
    /// A TDX quote, cut where it declares to end, as an attester does.
    fn tdx(quote: &[u8], collateral: IntelCollateral) -> Foreign {
        Foreign::untrimmed(declared(quote), collateral)
    }

    fn untrimmed(quote: &[u8], collateral: IntelCollateral) -> Foreign {
        let (mrtd, rtmrs) = registers(quote);
        let tdx = TdxEvidence { quote: quote.to_vec(), collateral, event_log: EventLog::None };
        Foreign::new(CpuEvidence::Tdx(tdx), tdx_measurement(&mrtd, &rtmrs))
    }

    fn sgx(quote: &[u8], collateral: IntelCollateral) -> Foreign {
        let word = |offset: usize| quote[48 + offset..][..32].try_into().unwrap();
        let number = |offset: usize| u16::from_le_bytes([quote[48 + offset], quote[49 + offset]]);
        let measurement = sgx_measurement(&word(64), &word(128), number(256), number(258));
        let sgx = SgxEvidence { quote: quote.to_vec(), collateral };
        Foreign::new(CpuEvidence::Sgx(sgx), measurement)
    }

    fn new(cpu: CpuEvidence, measurement: B256) -> Foreign {
        let releases = Releases { measurements: vec![measurement], models: vec![] };
        Foreign { cpu, at: Timestamp(0), policy: Policy::strict(releases) }
    }

    fn at(mut self, time: &str) -> Foreign {
        self.at = Timestamp(seconds(time));
        self
    }

    fn later(mut self, seconds: i64) -> Foreign {
        self.at = Timestamp(self.at.0.checked_add_signed(seconds).unwrap());
        self
    }

    /// With a log of dstack's, whose measurement is then the released one.
    fn with_dstack(mut self, log: &str, app_compose: &str) -> Foreign {
        let tdx = self.tdx_mut();
        let (mrtd, rtmrs) = registers(&tdx.quote);
        let (log, app_compose) = (log.as_bytes().to_vec(), app_compose.as_bytes().to_vec());
        let measurement = dstack_measurement(&mrtd, &rtmrs, &log).unwrap();
        tdx.event_log = EventLog::Dstack { log, app_compose };
        self.policy.releases.measurements = vec![measurement];
        self
    }

    fn with_ccel(mut self, log: &[u8]) -> Foreign {
        self.tdx_mut().event_log = EventLog::Ccel { log: log.to_vec() };
        self
    }

    fn tdx_mut(&mut self) -> &mut TdxEvidence {
        match &mut self.cpu {
            CpuEvidence::Tdx(tdx) => tdx,
            _ => panic!("the quote is of TDX"),
        }
    }

    fn quote_mut(&mut self) -> &mut Vec<u8> {
        match &mut self.cpu {
            CpuEvidence::Tdx(tdx) => &mut tdx.quote,
            CpuEvidence::Sgx(sgx) => &mut sgx.quote,
            CpuEvidence::Snp(_) => panic!("the quote is of Intel"),
        }
    }

    /// Never attested: whatever the quote is worth, it was not made for our document.
    fn refused(&self) -> Refusal {
        let keyset = Keyset { signer: [1; 20].into(), not_after: Timestamp(u64::MAX) };
        let nonce =
            Nonce { verifier: B256::ZERO, chain_id: 0, block_number: 0, block_hash: B256::ZERO };
        let document = compose(nonce, &keyset.to_bytes(), b"", b"{}", self.cpu.clone());
        let evidence = Evidence::parse(document.as_bytes()).unwrap();
        recheck(&evidence, &self.policy, self.at).unwrap_err()
    }

    /// Genuine and current: nothing fails but the binding to a document that it was not made for.
    #[track_caller]
    fn assert_genuine(&self) -> Refusal {
        let refusal = self.refused();
        assert_failed(&refusal, TeeReportdataBinding);
        assert_outcomes(&refusal, Outcome::Passed, &GENUINE);
        assert!(!refusal.report().simulated);
        refusal
    }

    /// Refused at a check, with words that tell why.
    #[track_caller]
    fn assert_refused(&self, name: CheckName, words: &str) -> Refusal {
        let refusal = self.refused();
        assert_failed(&refusal, name);
        assert!(refusal.failed().seen.contains(words), "{words:?} expected: {refusal}");
        refusal
    }
}

/// What genuine, current hardware passes, all but the binding to our parts.
const GENUINE: [CheckName; 11] = [
    TeeQuoteStructure,
    TeeCertChain,
    IntelPcsCollateral,
    TeeQuoteSignature,
    TeeTcbNotRevoked,
    TeeTcbCurrent,
    TeeTcbEvaluation,
    TeeDebugDisabled,
    TeeHardwareConfig,
    TeeBootConfig,
    TeeMeasurement,
];

/// The part of a quote that it declares to have, by its version.
fn declared(quote: &[u8]) -> &[u8] {
    let block = if quote[0] == 5 { 54 + 648 } else { 48 + 584 };
    let length = u32::from_le_bytes(quote[block..block + 4].try_into().unwrap());
    &quote[..block + 4 + length as usize]
}

fn registers(quote: &[u8]) -> ([u8; 48], [[u8; 48]; 4]) {
    let body = if quote[0] == 5 { 54 } else { 48 };
    let register = |offset: usize| quote[body + offset..][..48].try_into().unwrap();
    (register(136), [328, 376, 424, 472].map(register))
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(path: &Path) -> String {
    String::from_utf8(bytes(path)).unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&bytes(path)).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let text = text.trim().trim_start_matches("0x");
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// A date of RFC 3339, in UTC, as seconds.
pub fn seconds(time: &str) -> u64 {
    let number = |range: std::ops::Range<usize>| time[range].parse::<u64>().unwrap();
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let february = if is_leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let days = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum::<u64>()
        + months[..month as usize - 1].iter().sum::<u64>()
        + day
        - 1;
    ((days * 24 + number(11..13)) * 60 + number(14..16)) * 60 + number(17..19)
}

fn collateral(path: &Path) -> IntelCollateral {
    let json = json(path);
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

/// A member of an answer of Intel's service, exactly as signed, with its signature.
fn signed(answer: &Path, member: &str) -> (String, Vec<u8>) {
    let signature = hex(json(answer)["signature"].as_str().unwrap());
    let answer = text(answer);
    let start = answer.find(&format!("\"{member}\":")).unwrap() + member.len() + 3;
    let end = answer.rfind(",\"signature\"").unwrap();
    (answer[start..end].to_owned(), signature)
}

const TDX_FROM: &str = "2025-06-19T10:32:27Z";
const TDX_END: &str = "2025-07-19T10:00:35Z";
const SGX_FROM: &str = "2025-06-19T10:56:11Z";
const SGX_LAST: &str = "2025-07-19T10:01:18Z";
const NEAR_FROM: &str = "2025-09-02T07:41:59Z";
const NEAR_END: &str = "2025-10-02T07:03:51Z";
const V5_FROM: &str = "2026-02-18T10:58:51Z";
const V5_END: &str = "2026-03-20T10:41:15Z";
const COS_FROM: &str = "2025-02-13T03:50:41Z";
const COS_LAST: &str = "2025-03-15T03:39:00Z";

fn tdx_quote() -> Foreign {
    let quote = bytes(&SAMPLES.join("tdx_quote"));
    Foreign::tdx(&quote, collateral(&SAMPLES.join("tdx_quote_collateral.json")))
}

fn sgx_quote() -> Foreign {
    let quote = bytes(&SAMPLES.join("sgx_quote"));
    Foreign::sgx(&quote, collateral(&SAMPLES.join("sgx_quote_collateral.json")))
}

/// A machine of NEAR AI, in the name of whose compose file it was started.
fn near(folder: &Path) -> Foreign {
    let folder = folder.join("dcap-qvl/near");
    let quote = hex(&text(&folder.join("quote_hex.txt")));
    Foreign::tdx(&quote, collateral(&folder.join("quote_collateral.json")))
}

/// The same kind of machine, with all that dstack tells of it.
fn dstack(folder: &Path) -> Foreign {
    let sample = json(&folder.join("private-ml-sdk/sample_dstack_quote.json"));
    let info = json(&folder.join("private-ml-sdk/sample_dstack_info.json"));
    let collateral = collateral(&folder.join("dcap-qvl/near/quote_collateral.json"));
    Foreign::tdx(&hex(sample["quote"].as_str().unwrap()), collateral).with_dstack(
        sample["event_log"].as_str().unwrap(),
        info["tcb_info"]["app_compose"].as_str().unwrap(),
    )
}

/// A machine with a GPU, whose compose file is not shown.
fn gpu_machine(folder: &Path) -> Foreign {
    let sample = json(&folder.join("dstack/verifier/quote-report.json"));
    let quote = hex(sample["quote"].as_str().unwrap());
    Foreign::tdx(&quote, v5_collateral()).with_dstack(sample["event_log"].as_str().unwrap(), "")
}

fn v5_collateral() -> IntelCollateral {
    collateral(&SAMPLES.join("tdx_quote_outdated_collateral.json"))
}

fn v5_quote(folder: &Path) -> Foreign {
    Foreign::tdx(&bytes(&folder.join("go-tdx-guest/quote_v5_sample.dat")), v5_collateral())
}

/// Google's machine with its firmware's log.
fn cos(folder: &Path) -> Foreign {
    let ccel = folder.join("go-tdx-guest/ccel");
    let area = bytes(&ccel.join("ccel_data.dat"));
    let quote = bytes(&ccel.join("cos-113-tdx-quote.dat"));
    Foreign::tdx(&quote, early_2025(folder)).with_ccel(ccel_used(&area).unwrap())
}

/// Answers of Intel's service in early 2025, as they were sent.
fn early_2025(folder: &Path) -> IntelCollateral {
    let folder = folder.join("automata-dcap-rs");
    let text = |name: &str| text(&folder.join(name));
    let bytes = |name: &str| bytes(&folder.join(name));
    let chain = text("pck_certchain.pem");
    let authority = chain[1..].find("-----BEGIN CERTIFICATE-----").unwrap() + 1;
    let (tcb_info, tcb_info_signature) =
        signed(&folder.join("tcbinfov3_00806f050000.json"), "tcbInfo");
    let (qe_identity, qe_identity_signature) =
        signed(&folder.join("qeidentityv2_apiv4.json"), "enclaveIdentity");
    IntelCollateral {
        pck_crl_issuer_chain: chain[authority..].to_owned(),
        root_ca_crl: bytes("intel_root_ca_crl.der"),
        pck_crl: bytes("pck_platform_crl.der"),
        tcb_info_issuer_chain: text("tcb_signing_cert.pem"),
        tcb_info,
        tcb_info_signature,
        qe_identity_issuer_chain: text("tcb_signing_cert.pem"),
        qe_identity,
        qe_identity_signature,
    }
}

/// The same in June 2023, under the same authorities.
fn june_2023(folder: &Path) -> IntelCollateral {
    let chains = early_2025(folder);
    let folder = folder.join("go-tdx-guest");
    let (tcb_info, tcb_info_signature) = signed(&folder.join("sample_tcbInfo_response"), "tcbInfo");
    let (qe_identity, qe_identity_signature) =
        signed(&folder.join("sample_qeIdentity_response"), "enclaveIdentity");
    IntelCollateral {
        root_ca_crl: bytes(&folder.join("rootcrl.der")),
        pck_crl: bytes(&folder.join("pckcrl")),
        tcb_info,
        tcb_info_signature,
        qe_identity,
        qe_identity_signature,
        ..chains
    }
}

/// From the first to the last second of its collateral genuine; before and after refused by name.
#[track_caller]
fn assert_window(foreign: &Foreign, from: &str, last: &str, before: &str, after: &str) {
    let last = foreign.clone().at(last);
    let first = foreign.clone().at(from);
    first.assert_genuine();
    last.assert_genuine();
    for (outside, words) in [(first.later(-1), before), (last.later(1), after)] {
        let refusal = outside.assert_refused(IntelPcsCollateral, words);
        assert_outcomes(
            &refusal,
            Outcome::Absent,
            &[TeeCertChain, TeeQuoteSignature, TeeMeasurement],
        );
    }
}

const TCB_INFO_TO_COME: &str = "TCBInfo issue date is in the future";
const IDENTITY_TO_COME: &str = "QE Identity issue date is in the future";

#[test]
fn a_tdx_quote_is_genuine_to_the_second_of_its_collateral() {
    let last = "2025-07-19T10:00:34Z";
    let crl = format!("CRL expired, its next update was due {TDX_END}");
    assert_window(&tdx_quote(), TDX_FROM, last, IDENTITY_TO_COME, &crl);
    let refusal = tdx_quote().at(TDX_FROM).refused();
    let seen = |name| refusal.report().check(name).unwrap().seen.clone();
    assert_eq!(seen(TeeQuoteStructure), "TDX version 4, TD 1.0, 4936 bytes");
    assert_eq!(seen(IntelPcsCollateral), format!("FMSPC b0c06f000000, in date until {TDX_END}"));
    assert_eq!(seen(TeeTcbCurrent), "status UpToDate");
}

#[test]
fn nears_quote_is_genuine_to_the_second_of_its_collateral() {
    let Some(folder) = folder() else { return };
    let mut near = near(&folder);
    // It names a compose file, which is not here.
    near.clone().at(NEAR_FROM).assert_refused(TeeBootConfig, "MRCONFIGID 0x0112a20aed");
    near.policy.intel.tdx.config_id = ConfigId::Any;
    let crl = format!("CRL expired, its next update was due {NEAR_END}");
    assert_window(&near, NEAR_FROM, "2025-10-02T07:03:50Z", TCB_INFO_TO_COME, &crl);
}

#[test]
fn a_dstack_machine_is_genuine_with_its_log_and_its_compose_file() {
    let Some(folder) = folder() else { return };
    let dstack = dstack(&folder);
    let crl = format!("CRL expired, its next update was due {NEAR_END}");
    assert_window(&dstack, NEAR_FROM, "2025-10-02T07:03:50Z", TCB_INFO_TO_COME, &crl);
    let refusal = dstack.at(NEAR_FROM).assert_genuine();
    assert_outcomes(&refusal, Outcome::Passed, &[EventLogIntegrity, ComposeBinding]);
    let seen = |name| refusal.report().check(name).unwrap().seen.clone();
    let log = seen(EventLogIntegrity);
    assert!(log.starts_with("29 events give RTMR0 to RTMR3, app-id 0xab84a54b"), "{log}");
    assert!(log.contains("instance-id 0xeb6b019e"), "{log}");
    assert!(log.contains("os-image-hash 0x6809f73c"), "{log}");
    assert!(log.contains(r#"key-provider {"name":"kms""#), "{log}");
    assert!(seen(ComposeBinding).starts_with("compose file 0x62dd36d2"), "{refusal}");
    assert_eq!(seen(TeeBootConfig), "MRCONFIGID is the hash of the compose file");
    assert!(seen(TeeReportdataBinding).contains(&"01".repeat(64)), "{refusal}");
}

#[test]
fn a_machine_with_a_gpu_is_genuine_but_for_the_compose_file_that_is_not_shown() {
    let Some(folder) = folder() else { return };
    let machine = gpu_machine(&folder);
    let (mrtd, _) = registers(&machine.clone().tdx_mut().quote);
    assert_eq!(mrtd[..4], [0xb2, 0x4d, 0x3b, 0x24]);
    for time in [V5_FROM, "2026-03-20T10:41:14Z"] {
        let refusal = machine.clone().at(time).assert_refused(ComposeBinding, "0x3763bc34");
        assert_outcomes(&refusal, Outcome::Passed, &GENUINE);
        assert_outcomes(&refusal, Outcome::Passed, &[EventLogIntegrity]);
    }
    machine.clone().at(V5_FROM).later(-1).assert_refused(IntelPcsCollateral, TCB_INFO_TO_COME);
    machine.at(V5_END).assert_refused(IntelPcsCollateral, "CRL expired");
}

#[test]
fn a_quote_of_version_5_is_genuine_to_the_second_of_its_collateral() {
    let Some(folder) = folder() else { return };
    let quote = v5_quote(&folder);
    let crl = format!("CRL expired, its next update was due {V5_END}");
    assert_window(&quote, V5_FROM, "2026-03-20T10:41:14Z", TCB_INFO_TO_COME, &crl);
    let refusal = quote.at(V5_FROM).refused();
    let structure = refusal.report().check(TeeQuoteStructure).unwrap();
    assert_eq!(structure.seen, "TDX version 5, TD 1.5, 5006 bytes");
}

#[test]
fn googles_machine_is_genuine_and_its_firmwares_log_gives_its_registers() {
    let Some(folder) = folder() else { return };
    let cos = cos(&folder);
    assert_window(&cos, COS_FROM, COS_LAST, TCB_INFO_TO_COME, "QE Identity expired");
    let refusal = cos.at(COS_FROM).assert_genuine();
    assert_outcomes(&refusal, Outcome::Passed, &[EventLogIntegrity]);
    assert_outcomes(&refusal, Outcome::Waived, &[ComposeBinding]);
    let log = refusal.report().check(EventLogIntegrity).unwrap();
    assert_eq!(log.seen, "43 events give RTMR0 to RTMR3");
}

#[test]
fn an_sgx_quote_whose_platform_needs_care_is_refused_unless_policy_tolerates_it() {
    for time in [SGX_FROM, SGX_LAST] {
        let mut quote = sgx_quote().at(time);
        let refusal = quote.assert_refused(TeeTcbCurrent, "ConfigurationAndSWHardeningNeeded");
        for advisory in ["INTEL-SA-00289", "INTEL-SA-00615"] {
            assert!(refusal.failed().seen.contains(advisory), "{refusal}");
        }
        let status = IntelTcbStatus::ConfigurationAndSWHardeningNeeded;
        quote.policy.intel.statuses.push(status);
        quote.assert_genuine();

        quote.policy.intel.rejected_advisories = vec!["INTEL-SA-00289".into()];
        quote.assert_refused(TeeTcbCurrent, "INTEL-SA-00289 is rejected");
    }
    let early = sgx_quote().at(SGX_FROM).later(-1);
    early.assert_refused(IntelPcsCollateral, TCB_INFO_TO_COME);
    let late = sgx_quote().at(SGX_LAST).later(1);
    late.assert_refused(IntelPcsCollateral, "QE Identity expired");
}

#[test]
fn the_processors_authority_says_nothing_of_threads_which_is_not_a_no() {
    let mut quote = sgx_quote().at(SGX_FROM);
    quote.policy.intel.statuses.push(IntelTcbStatus::ConfigurationAndSWHardeningNeeded);
    quote.policy.intel.smt = subrosa_verifier::Allowed::No;
    quote.assert_refused(TeeHardwareConfig, "the platform's certificate does not say");
}

#[test]
fn a_genuine_quote_of_an_unreleased_image_fails_the_measurement_first() {
    let mut foreign = tdx_quote().at(TDX_FROM);
    foreign.policy.releases.measurements.clear();
    foreign.assert_refused(TeeMeasurement, "is not a released one");

    let mut sgx = sgx_quote().at(SGX_FROM);
    sgx.policy.intel.statuses.push(IntelTcbStatus::ConfigurationAndSWHardeningNeeded);
    sgx.policy.releases.measurements.clear();
    sgx.assert_refused(TeeMeasurement, "is not a released one");
}

#[test]
fn a_set_past_its_window_is_refused_today() {
    for foreign in [tdx_quote(), sgx_quote()] {
        let refusal =
            foreign.at("2026-11-28T00:00:00Z").assert_refused(IntelPcsCollateral, "expired");
        assert_outcomes(&refusal, Outcome::Absent, &[TeeCertChain, TeeQuoteSignature]);
    }
}

#[test]
fn zeros_behind_a_genuine_quote_are_refused_in_our_documents() {
    let quote = bytes(&SAMPLES.join("tdx_quote"));
    let collateral = collateral(&SAMPLES.join("tdx_quote_collateral.json"));
    let foreign = Foreign::untrimmed(&quote, collateral).at(TDX_FROM);
    foreign.assert_refused(TeeQuoteStructure, "70 bytes follow the quote");

    let mut sgx = sgx_quote().at(SGX_FROM);
    sgx.quote_mut().push(0);
    sgx.assert_refused(TeeQuoteStructure, "1 bytes follow the quote");
}

#[test]
fn a_genuine_quote_with_a_changed_bit_is_refused() {
    let mut sgx = sgx_quote().at(SGX_FROM);
    sgx.policy.intel.statuses.push(IntelTcbStatus::ConfigurationAndSWHardeningNeeded);
    let v5 = folder().map(|folder| v5_quote(&folder).at(V5_FROM));
    for honest in [tdx_quote().at(TDX_FROM), sgx].into_iter().chain(v5) {
        let length = honest.clone().quote_mut().len();
        for position in (0..length).step_by(97) {
            let mut changed = honest.clone();
            changed.quote_mut()[position] ^= 1;
            let name = changed.refused().failed().name;
            assert!(name < TeeReportdataBinding, "bit at {position} passed as genuine: {name}");
        }
    }
}

#[test]
fn a_platform_that_lacks_updates_is_refused_unless_policy_tolerates_it() {
    let Some(folder) = folder() else { return };
    let quote = bytes(&folder.join("automata-dcap-rs/quote_tdx_00806f050000.dat"));
    let mut foreign = Foreign::tdx(&quote, early_2025(&folder)).at(COS_FROM);
    let refusal = foreign.assert_refused(TeeTcbCurrent, "status OutOfDate");
    for advisory in ["INTEL-SA-00960", "INTEL-SA-00982", "INTEL-SA-00986"] {
        assert!(refusal.failed().seen.contains(advisory), "{refusal}");
    }

    foreign.policy.intel.statuses.push(IntelTcbStatus::OutOfDate);
    foreign.policy.intel.grace = Duration(10 * 365 * 86_400);
    foreign.assert_genuine();
    foreign.policy.intel.grace = Duration(86_400);
    foreign.assert_refused(TeeTcbCurrent, "too old");

    foreign.policy.intel.grace = Duration(10 * 365 * 86_400);
    foreign.policy.intel.rejected_advisories = vec!["INTEL-SA-00960".into()];
    foreign.assert_refused(TeeTcbCurrent, "INTEL-SA-00960 is rejected");
}

#[test]
fn platforms_older_than_any_judged_level_are_refused() {
    let outdated = bytes(&SAMPLES.join("tdx_quote_outdated"));
    let mut all = vec![Foreign::tdx(&outdated, v5_collateral()).at(V5_FROM)];
    if let Some(folder) = folder() {
        let collateral = || collateral(&SAMPLES.join("tdx_quote_collateral.json"));
        for name in ["dcap-qvl/tdx-quote.hex", "dcap-qvl/quote-from-tappd.hex"] {
            let quote = hex(&text(&folder.join(name)));
            all.push(Foreign::tdx(&quote, collateral()).at(TDX_FROM));
        }
        let quote = bytes(&folder.join("dstack/ra-tls_tdx_quote"));
        all.push(Foreign::tdx(&quote, collateral()).at(TDX_FROM));
    }
    for foreign in all {
        let refusal = foreign.assert_refused(TeeTcbCurrent, "No matching TCB level found");
        let known = [TeeCertChain, IntelPcsCollateral, TeeQuoteSignature, TeeDebugDisabled];
        assert_outcomes(&refusal, Outcome::Passed, &known);
        assert_outcomes(&refusal, Outcome::Absent, &[TeeTcbEvaluation, CpuIdRegistry]);
    }
}

#[test]
fn intels_own_sample_is_refused_for_all_that_is_wrong_with_it() {
    let Some(folder) = folder() else { return };
    let quote = bytes(&folder.join("go-tdx-guest/tdx_prod_quote_SPR_E4.dat"));
    let july = "2023-07-01T00:00:00Z";
    let untrimmed = Foreign::untrimmed(&quote, june_2023(&folder)).at(july);
    untrimmed.assert_refused(TeeQuoteStructure, "39 bytes follow the quote");

    let foreign = Foreign::tdx(&quote, june_2023(&folder)).at(july);
    let refusal = foreign.assert_refused(TeeTcbCurrent, "No matching TCB level found");
    let hardware = refusal.report().check(TeeHardwareConfig).unwrap();
    assert_eq!(hardware.outcome, Outcome::Failed);
    assert!(hardware.seen.contains("SEPT_VE_DISABLE is not set"), "{}", hardware.seen);
    assert!(hardware.seen.contains("policy forbids PKS"), "{}", hardware.seen);
}

#[test]
fn a_platform_certificate_of_the_future_is_refused_by_its_date() {
    let Some(folder) = folder() else { return };
    let sample = json(&folder.join("dstack/verifier/tdx-lite-getquote.json"));
    let quote = hex(sample["quote"].as_str().unwrap());
    let foreign = Foreign::tdx(&quote, v5_collateral()).at("2026-03-01T00:00:00Z");
    foreign.assert_refused(TeeCertChain, "a certificate is not valid before 2026-04-15T");
}

#[test]
fn the_log_without_digests_gives_the_registers_all_the_same() {
    let Some(folder) = folder() else { return };
    let sample = json(&folder.join("dstack/verifier/tdx-lite-getquote.json"));
    let (mrtd, rtmrs) = registers(&hex(sample["quote"].as_str().unwrap()));
    let log = sample["event_log"].as_str().unwrap();
    assert_eq!(log.matches(r#""digest":"""#).count(), 9);
    assert!(dstack_measurement(&mrtd, &rtmrs, log.as_bytes()).is_ok());

    // A wrong digest in the place of an empty one is refused, not used.
    let wrong = log.replacen(r#""digest":"""#, &format!(r#""digest":"{}""#, "ab".repeat(48)), 1);
    let error = dstack_measurement(&mrtd, &rtmrs, wrong.as_bytes());
    assert_eq!(error, Err(BadLog::DigestDiffers { event: 20 }));
}

#[test]
fn the_collateral_of_the_other_tee_is_refused_by_name() {
    let of_tdx = collateral(&SAMPLES.join("tdx_quote_collateral.json"));
    let of_sgx = collateral(&SAMPLES.join("sgx_quote_collateral.json"));
    let sgx = Foreign::sgx(&bytes(&SAMPLES.join("sgx_quote")), of_tdx.clone()).at(SGX_FROM);
    sgx.assert_refused(IntelPcsCollateral, "QE identity of the other TEE, the quote is of SGX");
    let tdx = Foreign::tdx(&bytes(&SAMPLES.join("tdx_quote")), of_sgx.clone()).at(SGX_FROM);
    tdx.assert_refused(IntelPcsCollateral, "QE identity of the other TEE, the quote is of TDX");

    let mut mixed = sgx_quote().at(SGX_FROM);
    let CpuEvidence::Sgx(sgx) = &mut mixed.cpu else { panic!("the quote is of SGX") };
    sgx.collateral.tcb_info = of_tdx.tcb_info;
    mixed.assert_refused(IntelPcsCollateral, "TCB info of the other TEE");
}

#[test]
fn a_revocation_list_of_the_future_is_refused() {
    let mut foreign = tdx_quote().at(TDX_FROM);
    foreign.tdx_mut().collateral.pck_crl = v5_collateral().pck_crl;
    foreign.assert_refused(IntelPcsCollateral, "is of the future: 2026-02-18T10:41:15Z");
}

#[test]
fn text_in_unsigned_collateral_cannot_write_on_a_terminal() {
    let mut foreign = tdx_quote().at(TDX_FROM);
    let tcb_info = &mut foreign.tdx_mut().collateral.tcb_info;
    *tcb_info = tcb_info.replacen("UpToDate", r"\u001b[2J", 1);
    let refusal = foreign.assert_refused(IntelPcsCollateral, "Failed to decode TcbInfo");
    assert!(!refusal.to_string().contains('\u{1b}'), "{refusal:?}");
}

#[test]
fn a_quote_of_the_other_tee_is_refused_by_name() {
    let (tdx, sgx) = (bytes(&SAMPLES.join("tdx_quote")), bytes(&SAMPLES.join("sgx_quote")));
    let mut wrong = tdx_quote().at(TDX_FROM);
    *wrong.quote_mut() = sgx;
    wrong.assert_refused(TeeQuoteStructure, "the quote is of SGX, expected TDX");
    let mut wrong = sgx_quote().at(SGX_FROM);
    *wrong.quote_mut() = declared(&tdx).to_vec();
    wrong.assert_refused(TeeQuoteStructure, "the quote is of TDX, expected SGX");
}

#[test]
fn a_genuine_quote_with_another_platforms_collateral_is_refused() {
    let Some(folder) = folder() else { return };
    let other = collateral(&folder.join("dcap-qvl/near/quote_collateral.json"));
    let quote = bytes(&SAMPLES.join("tdx_quote"));
    let refusal = Foreign::tdx(&quote, other)
        .at(NEAR_FROM)
        .assert_refused(IntelPcsCollateral, "Fmspc mismatch");
    assert_outcomes(&refusal, Outcome::Passed, &[TeeCertChain, TeeQuoteSignature]);
}

#[test]
fn a_genuine_quote_is_worth_nothing_under_another_root() {
    for foreign in [tdx_quote().at(TDX_FROM), sgx_quote().at(SGX_FROM)] {
        let policy = Policy::simulated(foreign.policy.releases.clone());
        let foreign = Foreign { policy, ..foreign };
        foreign.assert_refused(TeeCertChain, "policy pins");
    }
}

#[test]
fn only_listed_modules_are_accepted_where_there_is_a_list() {
    let mut foreign = tdx_quote().at(TDX_FROM);
    let module: String =
        foreign.quote_mut()[48 + 16..][..48].iter().map(|byte| format!("{byte:02x}")).collect();
    foreign.policy.intel.tdx.modules = Modules::Listed(vec![module.clone()]);
    foreign.assert_genuine();
    for listed in [vec![], vec!["00".repeat(48)], vec![module.to_uppercase()]] {
        foreign.policy.intel.tdx.modules = Modules::Listed(listed);
        foreign.assert_refused(TeeHardwareConfig, "the TDX module is not a listed one");
    }
}

#[test]
fn policy_can_forbid_what_tdx_permits() {
    let mut foreign = tdx_quote().at(TDX_FROM);
    foreign.policy.intel.tdx.xfam_allowed = 0xe7;
    foreign.assert_refused(TeeHardwareConfig, "policy forbids XFAM 0x60200");
}

#[test]
fn a_start_other_than_the_log_tells_is_refused() {
    let Some(folder) = folder() else { return };
    let honest = dstack(&folder).at(NEAR_FROM);
    let edit = |edit: &dyn Fn(&mut String, &mut Vec<u8>)| {
        let mut foreign = honest.clone();
        let EventLog::Dstack { log, app_compose } = &mut foreign.tdx_mut().event_log else {
            panic!("the log is dstack's");
        };
        let mut text = String::from_utf8(log.clone()).unwrap();
        edit(&mut text, app_compose);
        *log = text.into_bytes();
        foreign
    };
    let mr_kms = "c658b8d8b701b1ae17ddd64a6a9c2ac8d66cc41021629062c25d3be41b89afed";
    let changed = edit(&|log, _| *log = log.replace(mr_kms, &mr_kms.replace("c658", "c659")));
    changed.assert_refused(EventLogIntegrity, "another digest than its name and payload give");
    let dropped = edit(&|log, _| {
        let start = log.rfind(r#",{"imr":3"#).unwrap_or_else(|| log.rfind(",{").unwrap());
        log.replace_range(start..log.len() - 1, "");
    });
    dropped.assert_refused(EventLogIntegrity, "the events do not give the quote's RTMR3");
    edit(&|log, _| log.push(' ')).assert_genuine();
    edit(&|log, _| log.push('x')).assert_refused(EventLogIntegrity, "not a JSON list of events");

    let other = edit(&|_, compose| compose.push(b' '));
    let refusal = other.assert_refused(TeeBootConfig, "not the hash of a compose file");
    assert_outcomes(&refusal, Outcome::Failed, &[ComposeBinding]);
    let mut tolerant = other;
    tolerant.policy.intel.tdx.config_id = ConfigId::Any;
    tolerant.assert_refused(ComposeBinding, "is shown, 0x62dd36d2");
}

#[test]
fn a_log_of_the_firmware_other_than_the_registers_is_refused() {
    let Some(folder) = folder() else { return };
    let honest = cos(&folder).at(COS_FROM);
    let area = bytes(&folder.join("go-tdx-guest/ccel/ccel_data.dat"));
    let log = ccel_used(&area).unwrap();
    assert_eq!((area.len(), log.len()), (262_144, 18_101));
    honest.clone().with_ccel(&area).assert_refused(EventLogIntegrity, "bytes follow the event log");
    let mut changed = log.to_vec();
    // The digest of the first event after the header.
    changed[0x41 + 14] ^= 1;
    honest.clone().with_ccel(&changed).assert_refused(EventLogIntegrity, "the quote's RTMR0");
    honest
        .clone()
        .with_ccel(&log[..log.len() - 1])
        .assert_refused(EventLogIntegrity, "ends inside");
    honest.with_ccel(b"").assert_refused(EventLogIntegrity, "ends inside event 0");
}

#[test]
fn logs_of_dstacks_own_samples_can_be_read() {
    let Some(folder) = folder() else { return };
    let area = bytes(&folder.join("dstack/cc-eventlog/ccel.bin"));
    let used = ccel_used(&area).unwrap();
    assert!(used.len() < area.len());
    // A TPM's log has digests of several algorithms.
    let tpm = bytes(&folder.join("dstack/cc-eventlog/tpm_eventlog.bin"));
    assert_eq!(ccel_used(&tpm), Err(BadLog::Header));
    // The application's file is the one whose hash its README gives.
    let compose = bytes(&folder.join("dstack/simulator/app-compose.json"));
    let hash = B256::from(<[u8; 32]>::from(Sha256::digest(compose)));
    assert!(hash.to_string().starts_with("0x65b4e574"), "{hash}");
}
