//! What the check of a file found, whatever kind of file it was.

use serde::Serialize;
use subrosa_client::export::{BundleCheck, BundleReport};
use subrosa_protocol::Timestamp;
use subrosa_verifier::{Outcome, Report, Verdict};

/// The verdict on a file, with every check behind it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Checked {
    pub(crate) verdict: Verdict,
    /// The verdict in one sentence.
    pub(crate) sentence: String,
    /// What kind of file it is, such as `receipt` or `tdx_quote`.
    pub(crate) kind: String,
    /// The policy's name.
    pub(crate) policy: String,
    /// Whether a root other than the vendors' was trusted, so that nothing is proved about hardware.
    pub(crate) simulated: bool,
    pub(crate) at: Timestamp,
    pub(crate) checks: Vec<BundleCheck>,
    /// Where the released digests come from, where the file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) releases_from: Option<String>,
    /// What it all says in plain words, where it was accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) told: Vec<String>,
}

impl From<Report> for Checked {
    fn from(report: Report) -> Checked {
        let check = |check: &subrosa_verifier::Check| BundleCheck {
            name: check.name.as_str().into(),
            outcome: check.outcome,
            protects: check.protects.into(),
            seen: check.seen.clone(),
        };
        Checked {
            verdict: report.verdict,
            sentence: report.sentence(),
            kind: report.kind.as_str().into(),
            policy: report.policy.into(),
            simulated: report.simulated,
            at: report.at,
            checks: report.checks.iter().map(check).collect(),
            releases_from: None,
            told: Vec::new(),
        }
    }
}

impl From<BundleReport> for Checked {
    fn from(report: BundleReport) -> Checked {
        let failed = report.checks.iter().find(|check| check.outcome == Outcome::Failed);
        let missing = report.checks.iter().find(|check| check.outcome == Outcome::Absent);
        let sentence = match (report.verdict, failed.or(missing)) {
            (Verdict::Accepted, _) if report.checks.iter().any(rests_on_a_word) => {
                "accepted: the receipt is of an attested pod; the block that its releases are \
                 proven from is the exporter's word"
                    .to_owned()
            }
            (Verdict::Accepted, _) => {
                let checked = "everything that it stands on was checked";
                format!("accepted: the receipt is of an attested pod, and {checked}")
            }
            (Verdict::Refused, Some(check)) => format!(
                "refused at {}: {} (guards against: {})",
                check.name, check.seen, check.protects
            ),
            (Verdict::Refused, None) => "refused".to_owned(),
        };
        let sentence = match report.simulated {
            true => format!("SIMULATED, which proves nothing about hardware: {sentence}"),
            false => sentence,
        };
        Checked {
            verdict: report.verdict,
            sentence,
            kind: "receipt".into(),
            policy: report.policy.into(),
            simulated: report.simulated,
            at: report.at,
            checks: report.checks,
            releases_from: Some(report.releases_from),
            told: report.told,
        }
    }
}

/// Whether the releases stand on a block that nobody but the exporter knows.
fn rests_on_a_word(check: &BundleCheck) -> bool {
    check.name == "releases_block"
        && check.outcome == Outcome::Waived
        && check.seen.contains("exporter's word")
}
