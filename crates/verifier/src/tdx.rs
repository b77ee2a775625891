//! Intel TDX: from the pinned root down to what the guest had signed (spec/evidence.md section 5).
//!
//! dcap-qvl verifies signatures, chains and TCB levels. What it leaves open is appraised here:
//! bytes that no signature covers, the root itself, TCB status and grace, the evaluation number,
//! attributes.

use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{
    PckCertFlag, PckIdentity, Policy as _, QuoteClaims, QuoteCollateralV3, QuotePolicy, TcbStatus,
};
use sha2::{Digest, Sha256};
use subrosa_protocol::{B256, Timestamp};

use crate::chain::certificates;
use crate::check::CheckName;
use crate::evidence::{EventLog, IntelCollateral, TdxEvidence};
use crate::policy::{Allowed, IntelPolicy, IntelTcbStatus, Machines, Policy};
use crate::quote::{TdxQuote, tdx_measurement};
use crate::quoted::Quoted;
use crate::report::Checks;

/// Bits 0 to 7: any of them puts the guest under a debugger or profiler.
const ATTRIBUTES_UNDER_DEBUG: u64 = 0xff;
/// Bit 28: the host cannot make the guest handle faults of its own pages.
const ATTRIBUTE_SEPT_VE_DISABLE: u64 = 1 << 28;
/// Bit 29: the guest may be moved to another platform.
const ATTRIBUTE_MIGRATABLE: u64 = 1 << 29;

/// Appraises a quote; nothing where its signature is not known to be good.
pub(crate) fn appraise(
    evidence: &TdxEvidence,
    policy: &Policy,
    now: Timestamp,
    checks: &mut Checks,
) -> Option<Quoted> {
    let quote = match TdxQuote::parse(&evidence.quote) {
        Ok(quote) => quote,
        Err(error) => {
            checks.fail(CheckName::TeeQuoteStructure, error.to_string());
            return None;
        }
    };
    checks.pass(
        CheckName::TeeQuoteStructure,
        format!("TDX version 4, {} bytes", evidence.quote.len()),
    );

    let root = match pinned_root(&quote, &evidence.collateral, policy.roots.intel.intel_sha256()) {
        Ok(root) => root,
        Err(seen) => {
            checks.fail(CheckName::TeeCertChain, seen);
            return None;
        }
    };
    let claims = authenticate(evidence, root, now, checks);
    if !checks.has_passed(CheckName::TeeQuoteSignature) {
        return None;
    }

    check_attributes(&quote, claims.as_ref(), &policy.intel, checks);
    if let Some(claims) = &claims {
        check_tcb(claims, &policy.intel, now, checks);
        check_machine(&claims.platform.pck, &policy.machines, checks);
    }
    check_boot(&evidence.event_log, checks);
    let measurement = tdx_measurement(&quote.mrtd(), &quote.rtmrs());
    let released = policy.releases.measurements.contains(&measurement);
    checks.record(
        CheckName::TeeMeasurement,
        match released {
            true => Ok(format!("image {measurement}")),
            false => Err(format!("image {measurement} is not a released one")),
        },
    );
    let expires = claims.map_or(now, |claims| Timestamp(claims.earliest_expiration_date));
    Some(Quoted { report_data: quote.report_data(), measurement, expires })
}

/// The root's DER bytes, once all four chains are seen to end in it.
///
/// dcap-qvl builds its paths from the root that it is given and skips certificates that it does not
/// need. A document in which such a one could be changed unseen is refused here.
fn pinned_root(
    quote: &TdxQuote<'_>,
    collateral: &IntelCollateral,
    fingerprint: B256,
) -> Result<Vec<u8>, String> {
    let platform = read_chain("the quote", quote.pck_chain())?;
    let revoker = read_chain("the PCK CRL", collateral.pck_crl_issuer_chain.as_bytes())?;
    let tcb_info = read_chain("the TCB info", collateral.tcb_info_issuer_chain.as_bytes())?;
    let identity = read_chain("the QE identity", collateral.qe_identity_issuer_chain.as_bytes())?;

    let [_, authority, root] = platform.as_slice() else {
        return Err(format!("the quote's chain has {} certificates, expected 3", platform.len()));
    };
    let got = B256::from(<[u8; 32]>::from(Sha256::digest(root)));
    if got != fingerprint {
        return Err(format!("the chain ends in the root {got}, policy pins {fingerprint}"));
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

/// Runs dcap-qvl and records how far it came. Claims where it came to its end.
fn authenticate(
    evidence: &TdxEvidence,
    root: Vec<u8>,
    now: Timestamp,
    checks: &mut Checks,
) -> Option<QuoteClaims> {
    use CheckName::{IntelPcsCollateral, TeeCertChain, TeeQuoteSignature, TeeTcbNotRevoked};
    let root_seen = hex::encode(Sha256::digest(&root));
    let collateral = to_dcap(&evidence.collateral);
    let verifier = QuoteVerifier::new(root);
    let result = verifier.verify_with_policy(
        &evidence.quote,
        collateral,
        now.0,
        &QuotePolicy::claims_only(now.0),
    );
    let (claims, passed): (_, &[CheckName]) = match result {
        Ok(claims) => {
            let all = &[TeeCertChain, IntelPcsCollateral, TeeQuoteSignature, TeeTcbNotRevoked];
            (Some(claims), all)
        }
        Err(error) => {
            let message = format!("{error:#}");
            let step = Step::of(&message);
            checks.fail(step.check(), message);
            (None, step.passed_before())
        }
    };
    for name in passed {
        checks.pass(
            *name,
            match (name, &claims) {
                (TeeCertChain, _) => format!("root {root_seen}"),
                (IntelPcsCollateral, Some(claims)) => {
                    format!("in date until {}", claims.earliest_expiration_date)
                }
                (TeeTcbNotRevoked, Some(claims)) => format!("status {}", claims.tcb.status),
                _ => "good".into(),
            },
        );
    }
    claims
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

/// The beginnings of dcap-qvl's messages; the first that fits decides.
const STEPS: [(&str, Step); 27] = [
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
    ("Signature is invalid for qe_report", Step::Signature),
    ("Invalid QE auth data length", Step::Signature),
    ("QE ", Step::Signature),
    ("ISV enclave report signature", Step::Signature),
    ("Fmspc mismatch", Step::Platform),
    ("TDX quote with non-TDX", Step::Platform),
    ("No matching TCB level", Step::TcbLevel),
    ("TDX module TCB level", Step::TcbLevel),
    ("TDX module identity", Step::Module),
    ("TCB status is invalid: Revoked", Step::Revocation),
    ("Debug mode", Step::Debug),
    ("TD profiling", Step::Debug),
    ("SEPT_VE_DISABLE", Step::Attributes),
];

/// Messages of the last step that have no beginning in common.
const ATTRIBUTE_MESSAGES: [&str; 3] =
    ["Reserved bits in TD attributes", "TD migration is enabled", "SERVTD_EXT is enabled"];

impl Step {
    fn of(message: &str) -> Step {
        // Of a chain and of the root itself, webpki says the same.
        let message =
            message.strip_prefix("Failed to verify certificate chain: ").unwrap_or(message);
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

/// Our own look at the attributes, whatever dcap-qvl made of them.
fn check_attributes(
    quote: &TdxQuote<'_>,
    claims: Option<&QuoteClaims>,
    policy: &IntelPolicy,
    checks: &mut Checks,
) {
    let attributes = quote.td_attributes();
    let seen = format!("TD attributes {attributes:#018x}");
    let debug = match attributes & ATTRIBUTES_UNDER_DEBUG {
        0 => Ok(seen.clone()),
        _ => Err(format!("{seen}: the host can debug the guest")),
    };
    checks.record(CheckName::TeeDebugDisabled, debug);

    let Some(claims) = claims else { return };
    let pck = &claims.platform.pck;
    let forbidden =
        |flag: PckCertFlag, allowed: Allowed| flag == PckCertFlag::True && allowed == Allowed::No;
    let fault = if attributes & ATTRIBUTE_SEPT_VE_DISABLE == 0 {
        Some("SEPT_VE_DISABLE is not set")
    } else if attributes & ATTRIBUTE_MIGRATABLE != 0 {
        Some("the guest can be migrated")
    } else if forbidden(pck.smt_enabled, policy.smt) {
        Some("policy forbids two threads a core")
    } else if forbidden(pck.dynamic_platform, policy.dynamic_platform) {
        Some("policy forbids a platform to which memory can be added")
    } else if forbidden(pck.cached_keys, policy.cached_keys) {
        Some("policy forbids cached platform keys")
    } else {
        None
    };
    checks.record(
        CheckName::TeeHardwareConfig,
        match fault {
            None => Ok(seen),
            Some(fault) => Err(format!("{seen}: {fault}")),
        },
    );
}

fn check_boot(event_log: &EventLog, checks: &mut Checks) {
    match event_log {
        EventLog::None => {
            checks.waive(CheckName::EventLogIntegrity, "no event log: the registers stand alone");
            checks.waive(CheckName::ComposeBinding, "no compose file");
        }
        EventLog::Ccel { .. } | EventLog::Dstack { .. } => {
            checks.fail(CheckName::EventLogIntegrity, "event logs are not read");
        }
    }
    checks.waive(CheckName::TeeBootConfig, "not demanded");
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
