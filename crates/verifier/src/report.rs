//! What was checked, for people to read: every check by name, its outcome, and what was seen.

use std::fmt;

use serde::{Deserialize, Serialize};
use subrosa_protocol::Timestamp;

use crate::check::CheckName;
use crate::kind::Kind;
use crate::policy::Policy;

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It could not be made: an earlier one failed, or this kind of document cannot carry it.
    Absent,
    /// What it looks for is wrong.
    Failed,
    /// What it looks for is right.
    Passed,
    /// Policy does not demand it.
    Waived,
}

/// Whether evidence passed its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every check passed, was waived, or may be absent for this kind of document.
    Accepted,
    /// At least one check failed, or could not be made and may not be absent.
    Refused,
}

/// One check of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: CheckName,
    /// What came of it.
    pub outcome: Outcome,
    /// The attack that it answers.
    pub protects: &'static str,
    /// What was seen: hashes, times and states, never a secret. Often empty where the check is absent.
    pub seen: String,
}

/// Every check that applies to one kind of document, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether the evidence passed.
    pub verdict: Verdict,
    /// What kind of document it is.
    pub kind: Kind,
    /// The policy's name: `strict`, `simulated` or `custom`.
    pub policy: &'static str,
    /// Whether the policy was one for simulated evidence, which proves nothing about hardware.
    pub simulated: bool,
    /// The time at which it was checked.
    pub at: Timestamp,
    /// The checks.
    pub checks: Vec<Check>,
}

impl Report {
    /// The first check that failed; every refusal has one.
    pub fn first_failure(&self) -> Option<&Check> {
        self.checks.iter().find(|check| check.outcome == Outcome::Failed)
    }

    /// What came of a check; absent where it does not apply.
    pub fn outcome(&self, name: CheckName) -> Outcome {
        self.check(name).map_or(Outcome::Absent, |check| check.outcome)
    }

    /// A check by its name, where it applies.
    pub fn check(&self, name: CheckName) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }
}

/// Evidence that did not pass its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    report: Report,
}

impl Refusal {
    /// Every check that was made.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Every check that was made, where whoever reads it need not know that it is a refusal.
    pub fn into_report(self) -> Report {
        self.report
    }

    /// The first check that failed.
    pub fn failed(&self) -> &Check {
        self.report.first_failure().expect("a refusal is made from a report with a failure")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Check { name, protects, seen, .. } = self.failed();
        write!(formatter, "evidence refused at {name}: {seen} (guards against: {protects})")
    }
}

impl std::error::Error for Refusal {}

/// A report in the making: all checks absent until one is recorded.
#[derive(Debug)]
pub(crate) struct Checks {
    kind: Kind,
    list: Vec<Check>,
}

impl Checks {
    pub(crate) fn new(kind: Kind) -> Checks {
        let absent = |name: CheckName| Check {
            name,
            outcome: Outcome::Absent,
            protects: name.protects(),
            seen: String::new(),
        };
        let applying = CheckName::ALL.into_iter().filter(|name| name.applies_to(kind));
        Checks { kind, list: applying.map(absent).collect() }
    }

    /// What kind of document the report is about.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn pass(&mut self, name: CheckName, seen: impl Into<String>) {
        self.set(name, Outcome::Passed, seen.into());
    }

    pub(crate) fn fail(&mut self, name: CheckName, seen: impl Into<String>) {
        self.set(name, Outcome::Failed, seen.into());
    }

    pub(crate) fn waive(&mut self, name: CheckName, seen: impl Into<String>) {
        self.set(name, Outcome::Waived, seen.into());
    }

    /// Says why a check cannot be made; it stays absent.
    pub(crate) fn absent(&mut self, name: CheckName, seen: impl Into<String>) {
        self.set(name, Outcome::Absent, seen.into());
    }

    /// Passes or fails by the result; true where it passed.
    pub(crate) fn record(&mut self, name: CheckName, result: Result<String, String>) -> bool {
        match result {
            Ok(seen) => self.pass(name, seen),
            Err(seen) => self.fail(name, seen),
        }
        self.has_passed(name)
    }

    pub(crate) fn has_passed(&self, name: CheckName) -> bool {
        self.list.iter().any(|check| check.name == name && check.outcome == Outcome::Passed)
    }

    /// Joins the checks of several parts of one document: of each check, the worst that came of it.
    pub(crate) fn join(kind: Kind, parts: Vec<(String, Checks)>) -> Checks {
        let mut joined = Checks::new(kind);
        for (at, check) in joined.list.iter_mut().enumerate() {
            let worst = parts.iter().max_by_key(|(_, part)| severity(part.list[at].outcome));
            if let Some((label, part)) = worst {
                check.outcome = part.list[at].outcome;
                check.seen = format!("{label}: {}", part.list[at].seen);
            }
        }
        joined
    }

    fn set(&mut self, name: CheckName, outcome: Outcome, seen: String) {
        let check = self.list.iter_mut().find(|check| check.name == name);
        let check = check.expect("only checks that apply to the kind are made");
        // What failed once stays failed, whatever is found later.
        if check.outcome != Outcome::Failed {
            (check.outcome, check.seen) = (outcome, printable(&seen));
        }
    }

    /// The finished report: accepted only where every single check passed, was waived, or may be
    /// absent for this kind of document.
    pub(crate) fn finish(mut self, policy: &Policy, at: Timestamp) -> Result<Report, Refusal> {
        let kind = self.kind;
        let missing = |check: &Check| {
            check.outcome == Outcome::Absent && !policy.absent.allows(kind, check.name)
        };
        let failed = self.list.iter().any(|check| check.outcome == Outcome::Failed);
        let absent = self.list.iter_mut().find(|check| missing(check));
        if let (false, Some(check)) = (failed, absent) {
            // Nothing failed before it, so nothing excuses it.
            check.outcome = Outcome::Failed;
            if check.seen.is_empty() {
                check.seen = "the check could not be made".into();
            }
        }
        let bad = |check: &Check| check.outcome == Outcome::Failed || missing(check);
        let verdict = match self.list.iter().any(bad) {
            false => Verdict::Accepted,
            true => Verdict::Refused,
        };
        let simulated = policy.is_simulated();
        let policy = policy.name();
        let report = Report { verdict, kind, policy, simulated, at, checks: self.list };
        match verdict {
            Verdict::Accepted => Ok(report),
            Verdict::Refused => Err(Refusal { report }),
        }
    }
}

/// What was seen repeats names out of certificates and the like: text of others, which must not move
/// a terminal's cursor, nor stand for lines that nobody wrote.
fn printable(seen: &str) -> String {
    let safe = |char: char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char };
    seen.chars().map(safe).collect()
}

/// How little an outcome says for evidence.
fn severity(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Passed => 0,
        Outcome::Waived => 1,
        Outcome::Absent => 2,
        Outcome::Failed => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_move_a_cursor() {
        let clean = "unknown variant `\u{fffd}[2J\u{fffd}`";
        assert_eq!(printable("unknown variant `\x1b[2J\u{9b}`"), clean);
        assert_eq!(printable("é \n\r\t"), "é \u{fffd}\u{fffd}\u{fffd}");
    }
}
