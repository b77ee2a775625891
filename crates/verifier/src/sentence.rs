//! The verdict in one sentence: what was shown, and what was not.

use crate::check::CheckName;
use crate::kind::Kind;
use crate::report::{Check, Outcome, Report, Verdict};

impl Report {
    /// The verdict in one sentence, which never says more than the checks did.
    ///
    /// It starts with `accepted` or `refused`; under a policy for simulated evidence with
    /// `SIMULATED`.
    pub fn sentence(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Accepted => format!("accepted: {}", self.shown()),
            Verdict::Refused => self.refused(),
        };
        match self.simulated {
            true => format!("SIMULATED, which proves nothing about hardware: {verdict}"),
            false => verdict,
        }
    }

    fn refused(&self) -> String {
        match self.first_failure() {
            Some(Check { name, protects, seen, .. }) => {
                format!("refused at {name}: {seen} (guards against: {protects})")
            }
            None => "refused".into(),
        }
    }

    fn shown(&self) -> String {
        let passed = |name| self.outcome(name) == Outcome::Passed;
        let cpu = self.kind.cpu();
        let tcb = self.check(CheckName::TeeTcbCurrent).map_or("", |check| &check.seen);
        // A policy of one's own may accept what its maker no longer calls current.
        let hardware = match self.policy != "custom" || tcb.contains("status UpToDate") {
            true => format!("genuine, current {cpu} hardware"),
            false => format!("genuine {cpu} hardware, as current as the policy demands,"),
        };
        let devices = match passed(CheckName::NvidiaMeasurements) {
            true => " with attested NVIDIA devices",
            false => "",
        };
        let fresh = passed(CheckName::NonceMatch);
        match self.kind {
            Kind::Evidence(_) => {
                let fresh = match fresh {
                    true => "it answers the nonce",
                    false => "how fresh it is was not asked",
                };
                format!(
                    "a released image on {hardware}{devices} holds the signer's key and serves the \
                     released models; {fresh}"
                )
            }
            Kind::Quote(_) => {
                let fresh = if fresh { ", answering the nonce" } else { "" };
                let software = match passed(CheckName::TeeMeasurement) {
                    true => "running a released image; says nothing about keys or models",
                    false => "says nothing about keys, software or models",
                };
                let joint = if passed(CheckName::TeeMeasurement) { ", " } else { "; " };
                format!("{hardware}{fresh}{joint}{software}")
            }
            Kind::VllmProxy => {
                let beside = match passed(CheckName::NvidiaMeasurements) {
                    true => {
                        "; genuine NVIDIA devices answered the same nonce, on this machine or \
                             on another"
                    }
                    false => "",
                };
                let fresh = if fresh { ", answering the nonce" } else { "" };
                let software = match passed(CheckName::TeeMeasurement) {
                    true => "a released image,",
                    false => "whose software is unknown,",
                };
                format!(
                    "{hardware}{fresh}: its guest, {software} names the signing key{beside}; says \
                     nothing about models"
                )
            }
        }
    }
}
