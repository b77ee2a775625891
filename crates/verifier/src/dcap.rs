//! What Intel's quotes have in common: chains, signatures, TCB, machines (spec/evidence.md section 5).
//!
//! dcap-qvl verifies signatures, chains and TCB levels. What it leaves open is appraised here, in
//! `sgx` and in `tdx`: bytes that no signature covers, the root itself, TCB status and grace, the
//! evaluation number, attributes.

use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{
    PckCertFlag, PckIdentity, Policy as _, QuoteClaims, QuoteCollateralV3, QuotePolicy, TcbStatus,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subrosa_protocol::{B256, Timestamp};

use crate::chain::certificates;
use crate::check::CheckName;
use crate::evidence::IntelCollateral;
use crate::policy::{Allowed, IntelPolicy, IntelTcbStatus, Machines, Policy};
use crate::quote::{Body, Quote};
use crate::report::Checks;

/// Which of Intel's TEEs a quote is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tee {
    Sgx,
    Tdx,
}

impl Tee {
    fn name(self) -> &'static str {
        match self {
            Tee::Sgx => "SGX",
            Tee::Tdx => "TDX",
        }
    }

    /// What the identity of its quoting enclave is called.
    fn enclave(self) -> &'static str {
        match self {
            Tee::Sgx => "QE",
            Tee::Tdx => "TD_QE",
        }
    }
}

/// Reads a quote, which must be of one TEE; `body` picks what the hardware says of that TEE's guests.
pub(crate) fn read<'a, B>(
    tee: Tee,
    quote: &'a [u8],
    body: impl FnOnce(Body<'a>) -> Option<B>,
    checks: &mut Checks,
) -> Option<(Quote<'a>, B)> {
    let name = CheckName::TeeQuoteStructure;
    let read = match Quote::parse(quote) {
        Ok(read) => read,
        Err(error) => {
            checks.fail(name, error.to_string());
            return None;
        }
    };
    match body(read.body) {
        Some(body) => {
            checks.pass(name, format!("{}, {} bytes", read.layout(), quote.len()));
            Some((read, body))
        }
        None => {
            let seen = format!("the quote is of {}, expected {}", read.body.tee(), tee.name());
            checks.fail(name, seen);
            None
        }
    }
}

/// A quote with what it takes to check it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) tee: Tee,
    /// The quote's bytes, without anything behind them.
    pub(crate) bytes: &'a [u8],
    /// The same, read.
    pub(crate) quote: Quote<'a>,
    /// Intel's statements, where they came along.
    pub(crate) collateral: Option<&'a IntelCollateral>,
}

/// A quote whose signature is good.
#[derive(Debug)]
pub(crate) struct Authentic {
    /// All that dcap-qvl says, where it came to its end.
    claims: Option<QuoteClaims>,
    /// What it stopped at in the guest's attributes, which `sgx` and `tdx` say better.
    stopped: Option<(CheckName, String)>,
}

/// Whether the hardware signed the quote, and what Intel says of the platform. Nothing where the
/// signature is not known to be good.
pub(crate) fn authenticate(
    subject: &Subject<'_>,
    policy: &Policy,
    now: Timestamp,
    checks: &mut Checks,
) -> Option<Authentic> {
    let Some(collateral) = subject.collateral else {
        checks.fail(CheckName::IntelPcsCollateral, lacking(&subject.quote));
        return None;
    };
    if let Err(seen) = check_tee(subject.tee, collateral) {
        checks.fail(CheckName::IntelPcsCollateral, seen);
        return None;
    }
    let root = match pinned_root(&subject.quote, collateral, policy.roots.intel.intel_sha256()) {
        Ok(root) => root,
        Err(seen) => {
            checks.fail(CheckName::TeeCertChain, seen);
            return None;
        }
    };
    let authentic = run(subject, collateral, root, policy, now, checks);
    let claims = authentic.claims.as_ref();
    if let Some(claims) = claims
        && let Err(seen) = check_pce(&collateral.tcb_info, &claims.platform.pck.pce_id)
    {
        checks.fail(CheckName::IntelPcsCollateral, seen);
    }
    // dcap-qvl does not look at the beginning of revocation lists.
    if let Some(issued) = claims.map(|claims| claims.latest_issue_date).filter(|at| *at > now.0) {
        let seen = format!("a part of the collateral is of the future: {}", date(issued));
        checks.fail(CheckName::IntelPcsCollateral, seen);
    }
    checks.has_passed(CheckName::TeeQuoteSignature).then_some(authentic)
}

impl Authentic {
    /// Appraises the platform; `guest` are the faults of the guest's own attributes, `seen` is what
    /// was seen of them.
    pub(crate) fn appraise(
        self,
        seen: String,
        mut guest: Vec<String>,
        policy: &Policy,
        now: Timestamp,
        checks: &mut Checks,
    ) -> Timestamp {
        let name = CheckName::TeeHardwareConfig;
        if let Some(claims) = &self.claims {
            guest.extend(platform_faults(&claims.platform.pck, &policy.intel));
            check_tcb(claims, &policy.intel, now, checks);
            check_machine(&claims.platform.pck, &policy.machines, checks);
        }
        match (guest.as_slice(), &self.claims) {
            ([], Some(_)) => checks.pass(name, seen),
            ([], None) => checks.absent(name, seen),
            (faults, _) => checks.fail(name, format!("{seen}: {}", faults.join("; "))),
        }
        if let Some((name, message)) = self.stopped {
            checks.fail(name, shortened(&message));
        }
        self.claims.map_or(now, |claims| good_until(&claims, &policy.intel, now))
    }
}

/// What is missing, for whoever has to fetch it.
fn lacking(quote: &Quote<'_>) -> String {
    let leaf = certificates(quote.pck_chain).ok().and_then(|chain| chain.into_iter().next());
    let extension = leaf.and_then(|leaf| dcap_qvl::intel::parse_pck_extension(&leaf).ok());
    match extension {
        Some(extension) => {
            let fmspc = hex::encode(extension.fmspc);
            format!("no collateral came along; Intel has it for FMSPC {fmspc}")
        }
        None => "no collateral came along".into(),
    }
}

/// Refuses the collateral of the other TEE by name. It is not believed for this: what is forged
/// here fails later.
fn check_tee(tee: Tee, collateral: &IntelCollateral) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let other = |text: &str, expected: &str| {
        let named = serde_json::from_str::<Named>(text).ok();
        named.is_some_and(|named| named.id != expected)
    };
    if other(&collateral.qe_identity, tee.enclave()) {
        return Err(format!("QE identity of the other TEE, the quote is of {}", tee.name()));
    }
    if other(&collateral.tcb_info, tee.name()) {
        return Err(format!("TCB info of the other TEE, the quote is of {}", tee.name()));
    }
    Ok(())
}

/// Whether the TCB info, which is signed, is about the provisioning enclave that certified the
/// platform; dcap-qvl compares the rest of the platform alone.
fn check_pce(tcb_info: &str, pce_id: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct About {
        pce_id: String,
    }
    let about = serde_json::from_str::<About>(tcb_info).map(|about| about.pce_id);
    match about {
        Ok(about) if hex::decode(&about).is_ok_and(|about| about == pce_id) => Ok(()),
        _ => Err(format!("the TCB info is not about PCE {}", hex::encode(pce_id))),
    }
}

/// The root's DER bytes, once all four chains are seen to end in it.
///
/// dcap-qvl builds its paths from the root that it is given and skips certificates that it does not
/// need. A document in which such a one could be changed unseen is refused here.
fn pinned_root(
    quote: &Quote<'_>,
    collateral: &IntelCollateral,
    fingerprint: B256,
) -> Result<Vec<u8>, String> {
    let platform = read_chain("the quote", quote.pck_chain)?;
    let revoker = read_chain("the PCK CRL", collateral.pck_crl_issuer_chain.as_bytes())?;
    let tcb_info = read_chain("the TCB info", collateral.tcb_info_issuer_chain.as_bytes())?;
    let identity = read_chain("the QE identity", collateral.qe_identity_issuer_chain.as_bytes())?;

    let [_, authority, root] = platform.as_slice() else {
        return Err(format!("the quote's chain has {} certificates, expected 3", platform.len()));
    };
    let got = B256::from(<[u8; 32]>::from(Sha256::digest(root)));
    if got != fingerprint {
        let (got, pinned) = (hex::encode(got), hex::encode(fingerprint));
        return Err(format!("the chain ends in the root {got}, policy pins {pinned}"));
    }
    if revoker != [authority.clone(), root.clone()] {
        return Err("the PCK CRL is not of the authority that issued the PCK certificate".into());
    }
    for (whose, chain) in [("the TCB info", tcb_info), ("the QE identity", identity)] {
        if chain.len() != 2 || chain[1] != *root {
            return Err(format!("the signer of {whose} is not directly under the pinned root"));
        }
    }
    Ok(root.clone())
}

fn read_chain(whose: &str, pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    certificates(pem).map_err(|error| format!("{whose}: {error}"))
}

/// Runs dcap-qvl and records how far it came.
fn run(
    subject: &Subject<'_>,
    collateral: &IntelCollateral,
    root: Vec<u8>,
    policy: &Policy,
    now: Timestamp,
    checks: &mut Checks,
) -> Authentic {
    use CheckName::{IntelPcsCollateral, TeeCertChain, TeeQuoteSignature, TeeTcbNotRevoked};
    let root_seen = hex::encode(Sha256::digest(&root));
    let collateral = to_dcap(collateral);
    let verifier =
        QuoteVerifier::new(root).allow_service_td(policy.intel.tdx.service_td == Allowed::Yes);
    let all = QuotePolicy::claims_only(now.0);
    let result = verifier.verify_with_policy(subject.bytes, collateral, now.0, &all);
    let mut authentic = Authentic { claims: None, stopped: None };
    let passed: &[CheckName] = match result {
        Ok(claims) => {
            authentic.claims = Some(claims);
            &[TeeCertChain, IntelPcsCollateral, TeeQuoteSignature, TeeTcbNotRevoked]
        }
        Err(error) => {
            let message = format!("{error:#}");
            let step = Step::of(&message);
            match step {
                Step::Attributes | Step::Debug => authentic.stopped = Some((step.check(), message)),
                _ => checks.fail(step.check(), shortened(&in_words(&message))),
            }
            step.passed_before()
        }
    };
    for name in passed {
        checks.pass(
            *name,
            match (name, &authentic.claims) {
                (TeeCertChain, _) => format!("root {root_seen}"),
                (IntelPcsCollateral, Some(claims)) => format!(
                    "FMSPC {}, in date until {}",
                    hex::encode(claims.platform.pck.fmspc),
                    date(claims.earliest_expiration_date)
                ),
                (TeeTcbNotRevoked, Some(claims)) => format!("status {}", claims.tcb.status),
                _ => "good".into(),
            },
        );
    }
    authentic
}

/// What webpki says of dates, in words.
fn in_words(message: &str) -> String {
    let message = message.strip_prefix(OF_A_CHAIN).unwrap_or(message);
    let moment = |member: &str| {
        let after = message.split_once(&format!("{member}: UnixTime("))?.1;
        let seconds = after.split_once('s').map_or(after, |(seconds, _)| seconds);
        seconds.trim_end_matches([')', ' ', '}']).parse().ok().map(date)
    };
    let words = if message.starts_with("CertNotValidYet") {
        moment("not_before").map(|date| format!("a certificate is not valid before {date}"))
    } else if message.starts_with("CertExpired") {
        moment("not_after").map(|date| format!("a certificate was valid until {date}"))
    } else if message.starts_with("CrlExpired") {
        moment("next_update").map(|date| format!("CRL expired, its next update was due {date}"))
    } else if message.starts_with("CertRevoked") {
        Some("a certificate was revoked".to_owned())
    } else {
        None
    };
    words.unwrap_or_else(|| message.to_owned())
}

/// How much of a foreign library's message a report repeats.
const MESSAGE_CHARS_MAX: usize = 300;

/// As much of a message as a report repeats.
fn shortened(message: &str) -> String {
    message.chars().take(MESSAGE_CHARS_MAX).collect()
}

/// Seconds of Unix time as a date (RFC 3339). Days are counted in eras of 400 years from March, so
/// that the leap day comes last.
pub(crate) fn date(seconds: u64) -> String {
    const DAYS_TO_1970: u64 = 719_468;
    const DAYS_OF_ERA: u64 = 146_097;
    let (days, second) = (seconds / 86_400 + DAYS_TO_1970, seconds % 86_400);
    let (era, day) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, year) = match month {
        0..10 => (month + 3, era * 400 + year),
        _ => (month - 9, era * 400 + year + 1),
    };
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn to_dcap(collateral: &IntelCollateral) -> QuoteCollateralV3 {
    let collateral = collateral.clone();
    QuoteCollateralV3 {
        pck_crl_issuer_chain: collateral.pck_crl_issuer_chain,
        root_ca_crl: collateral.root_ca_crl,
        pck_crl: collateral.pck_crl,
        tcb_info_issuer_chain: collateral.tcb_info_issuer_chain,
        tcb_info: collateral.tcb_info,
        tcb_info_signature: collateral.tcb_info_signature,
        qe_identity_issuer_chain: collateral.qe_identity_issuer_chain,
        qe_identity: collateral.qe_identity,
        qe_identity_signature: collateral.qe_identity_signature,
        // The chain of the quote itself is the only one: two could differ.
        pck_certificate_chain: None,
    }
}

/// Where dcap-qvl stopped, in the order of its work. It says so in text alone, hence the table; a
/// text that is not in it counts as the earliest step, after which nothing is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Certificates,
    Collateral,
    Signature,
    Platform,
    TcbLevel,
    Module,
    Revocation,
    Debug,
    Attributes,
}

/// What stands before webpki's message where it is about a chain.
const OF_A_CHAIN: &str = "Failed to verify certificate chain: ";

/// The beginnings of dcap-qvl's messages; the first that fits decides.
const STEPS: [(&str, Step); 35] = [
    ("Failed to parse root CA CRL", Step::Collateral),
    ("Failed to parse PCK CRL", Step::Collateral),
    ("CrlExpired", Step::Collateral),
    ("InvalidCrl", Step::Collateral),
    ("UnknownRevocationStatus", Step::Collateral),
    ("Failed to decode TcbInfo", Step::Collateral),
    ("Failed to decode QeIdentity", Step::Collateral),
    ("Failed to parse TCB Info", Step::Collateral),
    ("Failed to parse QE Identity", Step::Collateral),
    ("TCBInfo ", Step::Collateral),
    ("QE Identity ", Step::Collateral),
    ("Unsupported QE Identity", Step::Collateral),
    ("Signature is invalid for tcb_info", Step::Collateral),
    ("Signature is invalid for qe_identity", Step::Collateral),
    // In the QE identity before the quote's signature is looked at, so nothing may count as passed.
    ("Unrecognized TCB status", Step::Collateral),
    ("No TCB levels found in QE Identity", Step::Collateral),
    ("Signature is invalid for qe_report", Step::Signature),
    ("Invalid QE auth data length", Step::Signature),
    ("QE ", Step::Signature),
    ("ISV enclave report signature", Step::Signature),
    ("Fmspc mismatch", Step::Platform),
    ("Failed to decode TCB FMSPC", Step::Platform),
    ("TDX quote with non-TDX", Step::Platform),
    ("SGX quote with non-SGX", Step::Platform),
    ("SGX component count", Step::Platform),
    ("TDX component count", Step::Platform),
    ("No matching TCB level", Step::TcbLevel),
    ("Failed to evaluate the current TDX TCB", Step::TcbLevel),
    ("TDX module TCB level", Step::TcbLevel),
    ("TDX module identity", Step::Module),
    ("TCB status is invalid: Revoked", Step::Revocation),
    ("Debug mode", Step::Debug),
    ("TD profiling", Step::Debug),
    ("SEPT_VE_DISABLE", Step::Attributes),
    ("Invalid MR service TD", Step::Attributes),
];

/// Messages of the last step that have no beginning in common.
const ATTRIBUTE_MESSAGES: [&str; 3] =
    ["Reserved bits in TD attributes", "TD migration is enabled", "SERVTD_EXT is enabled"];

impl Step {
    fn of(message: &str) -> Step {
        // Of a chain and of the root itself, webpki says the same.
        let message = message.strip_prefix(OF_A_CHAIN).unwrap_or(message);
        if ATTRIBUTE_MESSAGES.iter().any(|beginning| message.starts_with(beginning)) {
            return Step::Attributes;
        }
        let step = STEPS.iter().find(|(beginning, _)| message.starts_with(beginning));
        step.map_or(Step::Certificates, |(_, step)| *step)
    }

    fn check(self) -> CheckName {
        match self {
            Step::Certificates => CheckName::TeeCertChain,
            Step::Collateral | Step::Platform => CheckName::IntelPcsCollateral,
            Step::Signature => CheckName::TeeQuoteSignature,
            Step::TcbLevel => CheckName::TeeTcbCurrent,
            Step::Revocation => CheckName::TeeTcbNotRevoked,
            Step::Debug => CheckName::TeeDebugDisabled,
            Step::Module | Step::Attributes => CheckName::TeeHardwareConfig,
        }
    }

    /// What dcap-qvl is known to have found good before it stopped.
    fn passed_before(self) -> &'static [CheckName] {
        use CheckName::{IntelPcsCollateral, TeeCertChain, TeeQuoteSignature, TeeTcbNotRevoked};
        match self {
            Step::Certificates | Step::Collateral => &[],
            Step::Signature => &[TeeCertChain, IntelPcsCollateral],
            Step::Platform => &[TeeCertChain, TeeQuoteSignature],
            Step::TcbLevel | Step::Module | Step::Revocation => {
                &[TeeCertChain, IntelPcsCollateral, TeeQuoteSignature]
            }
            Step::Debug | Step::Attributes => {
                &[TeeCertChain, IntelPcsCollateral, TeeQuoteSignature, TeeTcbNotRevoked]
            }
        }
    }
}

/// What the platform's certificate says and policy forbids. Certificates of single processors say
/// nothing, which is not a no.
fn platform_faults(pck: &PckIdentity, policy: &IntelPolicy) -> Vec<String> {
    let flags = [
        (pck.smt_enabled, policy.smt, "two threads a core"),
        (pck.dynamic_platform, policy.dynamic_platform, "a platform to which memory can be added"),
        (pck.cached_keys, policy.cached_keys, "cached platform keys"),
    ];
    let forbidden = flags
        .into_iter()
        .filter(|(flag, allowed, _)| *allowed == Allowed::No && *flag != PckCertFlag::False);
    forbidden
        .map(|(flag, _, what)| match flag {
            PckCertFlag::Undefined => {
                format!("policy forbids {what}, and the platform's certificate does not say")
            }
            _ => format!("policy forbids {what}"),
        })
        .collect()
}

fn check_tcb(claims: &QuoteClaims, policy: &IntelPolicy, now: Timestamp, checks: &mut Checks) {
    let status = claims.tcb.status;
    let advisories = claims.tcb.advisory_ids.join(", ");
    let seen = match advisories.is_empty() {
        true => format!("status {status}"),
        false => format!("status {status} ({advisories})"),
    };
    let accepted = policy.statuses.iter().any(|accepted| to_dcap_status(*accepted) == status);
    let current = match accepted {
        false => Err(format!("{seen}, which policy does not accept")),
        true => match within_grace(policy, now).validate(claims) {
            Ok(()) => Ok(seen),
            Err(error) => Err(format!("{seen}: {error}")),
        },
    };
    checks.record(CheckName::TeeTcbCurrent, current);

    let (got, least) = (claims.tcb.eval_data_number, policy.evaluation_number_min);
    checks.record(
        CheckName::TeeTcbEvaluation,
        match got >= least {
            true => Ok(format!("evaluation {got}")),
            false => Err(format!("evaluation {got}, policy demands {least}")),
        },
    );
}

/// The last second, from `now` on, at which collateral and grace have not ended.
///
/// Grace runs from dates that dcap-qvl keeps as text, for platform and quoting enclave each; what it
/// tolerates ends but never begins again, so that the end is found by halving.
fn good_until(claims: &QuoteClaims, policy: &IntelPolicy, now: Timestamp) -> Timestamp {
    let tolerated = |at: u64| within_grace(policy, Timestamp(at)).validate(claims).is_ok();
    // A revocation list is refused in the very second of its next update.
    let mut ended = claims.earliest_expiration_date;
    let mut good = now.0;
    while ended.saturating_sub(good) > 1 {
        let middle = good + (ended - good) / 2;
        if tolerated(middle) {
            good = middle;
        } else {
            ended = middle;
        }
    }
    Timestamp(good)
}

/// dcap-qvl's policy for grace and advisories; the platform's flags have a check of their own.
fn within_grace(policy: &IntelPolicy, now: Timestamp) -> QuotePolicy {
    let grace = std::time::Duration::from_secs(policy.grace.0);
    let strict = QuotePolicy::strict(now.0)
        .platform_grace_period(grace)
        .qe_grace_period(grace)
        .reject_advisories(&policy.rejected_advisories)
        .allow_smt(true)
        .allow_dynamic_platform(true)
        .allow_cached_keys(true);
    let statuses = policy.statuses.iter().copied();
    statuses.fold(strict, |policy, status| policy.allow_status(to_dcap_status(status)))
}

fn to_dcap_status(status: IntelTcbStatus) -> TcbStatus {
    match status {
        IntelTcbStatus::ConfigurationAndSWHardeningNeeded => {
            TcbStatus::ConfigurationAndSWHardeningNeeded
        }
        IntelTcbStatus::ConfigurationNeeded => TcbStatus::ConfigurationNeeded,
        IntelTcbStatus::OutOfDate => TcbStatus::OutOfDate,
        IntelTcbStatus::OutOfDateConfigurationNeeded => TcbStatus::OutOfDateConfigurationNeeded,
        IntelTcbStatus::SWHardeningNeeded => TcbStatus::SWHardeningNeeded,
        IntelTcbStatus::TDRelaunchAdvised => TcbStatus::TDRelaunchAdvised,
        IntelTcbStatus::TDRelaunchAdvisedConfigurationNeeded => {
            TcbStatus::TDRelaunchAdvisedConfigurationNeeded
        }
        IntelTcbStatus::UpToDate => TcbStatus::UpToDate,
    }
}

fn check_machine(pck: &PckIdentity, machines: &Machines, checks: &mut Checks) {
    let ppid = hex::encode(&pck.ppid);
    match machines {
        Machines::Any => {
            checks.waive(CheckName::CpuIdRegistry, format!("any machine, PPID {ppid}"))
        }
        Machines::Listed(listed) if listed.contains(&ppid) => {
            checks.pass(CheckName::CpuIdRegistry, format!("PPID {ppid}"));
        }
        Machines::Listed(_) => {
            checks.fail(CheckName::CpuIdRegistry, format!("PPID {ppid} is not listed"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_790_000_000, "2026-09-21T14:13:20Z"),
            (2_524_607_999, "2049-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn what_a_library_says_is_repeated_only_so_far() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"é".repeat(1_000)).chars().count(), MESSAGE_CHARS_MAX);
    }

    #[test]
    fn tcb_info_about_another_provisioning_enclave_is_refused() {
        assert_eq!(check_pce(r#"{"pceId":"0100","x":1}"#, &[1, 0]), Ok(()));
        for text in [r#"{"pceId":"0001"}"#, r#"{"pceId":"01000"}"#, r#"{"pceId":""}"#, "{}", ""] {
            let seen = check_pce(text, &[1, 0]).unwrap_err();
            assert_eq!(seen, "the TCB info is not about PCE 0100");
        }
    }

    #[test]
    fn a_message_that_is_in_no_table_passes_nothing() {
        for message in ["", "something new", "TD", "Unrecognized TCB status Revoked in QE Identity"]
        {
            assert_eq!(Step::of(message).passed_before(), &[], "{message}");
        }
        let chain = "Failed to verify certificate chain: CrlExpired { time: UnixTime(1) }";
        assert_eq!(Step::of(chain), Step::Collateral);
    }

    #[test]
    fn messages_are_of_the_check_that_they_are_about() {
        use CheckName::*;
        for (message, name) in [
            ("CrlExpired { time: UnixTime(2) }", IntelPcsCollateral),
            ("CertRevoked", TeeCertChain),
            ("TCBInfo expired", IntelPcsCollateral),
            ("QE Identity expired", IntelPcsCollateral),
            ("QE MRSIGNER mismatch: expected A, got B", TeeQuoteSignature),
            ("QE report validation failed: Debug mode is enabled", TeeQuoteSignature),
            ("QE report hash mismatch", TeeQuoteSignature),
            ("ISV enclave report signature is invalid", TeeQuoteSignature),
            ("Fmspc mismatch", IntelPcsCollateral),
            ("Failed to evaluate the current TDX TCB (TEE_TCB_SVN2): x", TeeTcbCurrent),
            ("TDX module identity check: TDX module MRSIGNER mismatch", TeeHardwareConfig),
            ("TCB status is invalid: Revoked", TeeTcbNotRevoked),
            ("Debug mode is enabled", TeeDebugDisabled),
            ("Invalid MR service TD", TeeHardwareConfig),
        ] {
            assert_eq!(Step::of(message).check(), name, "{message}");
            let passed = Step::of(message).passed_before();
            assert!(!passed.contains(&name), "{message}");
            assert_eq!(
                passed.contains(&TeeQuoteSignature),
                name > TeeQuoteSignature || message == "Fmspc mismatch",
                "{message}"
            );
        }
    }

    #[test]
    fn signatures_count_only_from_the_steps_after_them() {
        for (beginning, step) in STEPS {
            assert_eq!(Step::of(beginning), step, "{beginning}");
            let passed = step.passed_before().contains(&CheckName::TeeQuoteSignature);
            let before = matches!(step, Step::Certificates | Step::Collateral | Step::Signature);
            assert_ne!(passed, before, "{beginning}");
        }
    }

    #[test]
    #[allow(clippy::print_stderr, reason = "a test that did nothing has to say so")]
    fn who_brings_no_collateral_is_told_what_to_fetch() {
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors");
        let folder = std::env::var("SUBROSA_VECTORS").unwrap_or(default.into());
        let Ok(bytes) = std::fs::read(format!("{folder}/dcap-qvl/sgx_quote")) else {
            return eprintln!("skipped: no vectors at {folder}");
        };
        let quote = Quote::parse(&bytes).unwrap();
        let subject = Subject { tee: Tee::Sgx, bytes: &bytes, quote, collateral: None };
        let policy = Policy::strict(crate::policy::Releases::default());
        let mut checks = Checks::new(crate::kind::Kind::Quote(crate::kind::Cpu::Sgx));
        assert!(authenticate(&subject, &policy, Timestamp(0), &mut checks).is_none());
        let refusal = checks.finish(&policy, Timestamp(0)).unwrap_err();
        assert_eq!(refusal.failed().name, CheckName::IntelPcsCollateral);
        assert!(refusal.failed().seen.ends_with("FMSPC 00a067110000"), "{refusal}");
    }
}
