//! The appraisal, top to bottom: freshness, hardware, binding, and what the image says of itself.

use subrosa_protocol::{B256, Keyset, Timestamp};

use crate::attested::{Attested, Claims, Rechecked};
use crate::check::CheckName;
use crate::evidence::{CpuEvidence, Evidence};
use crate::kind::Kind;
use crate::nonce::{self, Freshness};
use crate::policy::Policy;
use crate::quoted::Quoted;
use crate::report::{Checks, Refusal, Report};
use crate::{nvidia, sgx, snp, tdx, workload};

/// Appraises fresh evidence.
///
/// # Errors
/// [`Refusal`], with the report of every check that was made.
///
/// # Security
/// `freshness` says what the caller itself knows: the nonce that it drew, the chain that it
/// follows. Never fill it from the document.
pub fn verify(
    evidence: &Evidence,
    policy: &Policy,
    freshness: &Freshness,
    now: Timestamp,
) -> Result<Attested, Refusal> {
    let mut checks = Checks::new(Kind::Evidence(evidence.cpu().cpu()));
    let fresh_until = nonce::check(evidence.nonce(), freshness, &policy.nonce, now, &mut checks);
    let (claims, hardware_until) = appraise(evidence, policy, now, checks)?;
    let fresh_until = fresh_until.expect("a block that is not recent was refused");
    let expires = hardware_until.min(fresh_until);
    Ok(Attested { claims, expires })
}

/// Appraises evidence that was kept, as of `at`: good for checking receipts, not for asking.
///
/// The two checks of freshness are waived. Where the document's digest is anchored nowhere, `at` is
/// the pod's own word.
///
/// # Errors
/// [`Refusal`], with the report of every check that was made.
pub fn recheck(evidence: &Evidence, policy: &Policy, at: Timestamp) -> Result<Rechecked, Refusal> {
    let mut checks = Checks::new(Kind::Evidence(evidence.cpu().cpu()));
    waive_freshness(evidence, &mut checks);
    let (claims, _) = appraise(evidence, policy, at, checks)?;
    Ok(Rechecked { claims })
}

/// Examines a document of ours for people to read: as [`recheck`], and against a nonce where there is
/// one.
pub(crate) fn reexamine(
    evidence: &Evidence,
    nonce: Option<B256>,
    policy: &Policy,
    at: Timestamp,
) -> Report {
    let mut checks = Checks::new(Kind::Evidence(evidence.cpu().cpu()));
    waive_freshness(evidence, &mut checks);
    if let Some(nonce) = nonce {
        checks.record(CheckName::NonceMatch, nonce::match_own(evidence.nonce(), nonce));
    }
    match appraise(evidence, policy, at, checks) {
        Ok((claims, _)) => claims.report,
        Err(refusal) => refusal.into_report(),
    }
}

fn waive_freshness(evidence: &Evidence, checks: &mut Checks) {
    let nonce = evidence.nonce();
    checks.waive(CheckName::NonceMatch, "not asked: kept evidence");
    let block = format!("block {} of chain {}", nonce.block_number, nonce.chain_id);
    checks.waive(CheckName::BlockRecent, format!("not looked up: {block}"));
}

/// Everything but freshness; with the time until which hardware and signer are good.
fn appraise(
    evidence: &Evidence,
    policy: &Policy,
    now: Timestamp,
    mut checks: Checks,
) -> Result<(Claims, Timestamp), Refusal> {
    let quoted = match policy.check() {
        Ok(()) => appraise_cpu(evidence.cpu(), policy, now, &mut checks),
        // A policy made by hand can contradict itself; it accepts nothing.
        Err(error) => {
            checks.fail(CheckName::TeeCertChain, error.to_string());
            None
        }
    };
    let bound = quoted.as_ref().is_some_and(|quoted| check_binding(evidence, quoted, &mut checks));
    let mut keyset = None;
    let mut stated = None;
    let mut devices_until = now;
    if bound {
        keyset = check_keyset(evidence.keyset(), now, &mut checks);
        devices_until = nvidia::check(evidence, policy, now, &mut checks);
    }
    // What an image says of itself counts only where the image is a released one.
    if bound && checks.has_passed(CheckName::TeeMeasurement) {
        stated = workload::check(evidence.workload(), policy, &mut checks);
    }
    let report = checks.finish(policy, now)?;

    let quoted = quoted.expect("without a good quote the evidence was refused");
    let keyset = keyset.expect("without a good keyset the evidence was refused");
    let hardware_until = quoted.expires.min(devices_until).min(keyset.not_after);
    let claims = Claims {
        keyset,
        workload: stated.expect("without a good workload the evidence was refused"),
        workload_digest: evidence.workload_digest(),
        measurement: quoted.measurement,
        nonce: *evidence.nonce(),
        evidence_digest: evidence.digest(),
        report,
    };
    Ok((claims, hardware_until))
}

/// What the processor's evidence says; nothing where its signature is not known to be good.
fn appraise_cpu(
    cpu: &CpuEvidence,
    policy: &Policy,
    now: Timestamp,
    checks: &mut Checks,
) -> Option<Quoted> {
    match cpu {
        CpuEvidence::Sgx(sgx) => sgx::appraise(sgx, policy, now, checks),
        CpuEvidence::Snp(snp) => snp::appraise(snp, policy, now, checks),
        CpuEvidence::Tdx(tdx) => tdx::appraise(tdx, policy, now, checks),
    }
}

/// Whether the quote was made for exactly these parts.
fn check_binding(evidence: &Evidence, quoted: &Quoted, checks: &mut Checks) -> bool {
    let expected = evidence.report_data();
    let result = match quoted.report_data == expected {
        true => Ok(format!("report data {}", hex::encode(&expected[..32]))),
        false => Err(format!(
            "report data is {}, these parts make {}",
            hex::encode(quoted.report_data),
            hex::encode(expected)
        )),
    };
    checks.record(CheckName::TeeReportdataBinding, result)
}

fn check_keyset(bytes: &[u8], now: Timestamp, checks: &mut Checks) -> Option<Keyset> {
    match Keyset::from_bytes(bytes) {
        Ok(keyset) if now <= keyset.not_after => {
            checks.pass(CheckName::SigningKeyPresent, format!("signer {}", keyset.signer));
            Some(keyset)
        }
        Ok(keyset) => {
            let seen = format!("signer {} ended at {}", keyset.signer, keyset.not_after);
            checks.fail(CheckName::SigningKeyPresent, seen);
            None
        }
        Err(error) => {
            checks.fail(CheckName::SigningKeyPresent, error.to_string());
            None
        }
    }
}
