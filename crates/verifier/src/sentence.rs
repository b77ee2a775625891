//! The verdict in one sentence: what was shown, and what was not.

use crate::check::CheckName;
use crate::kind::{Cpu, Kind};
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
        match self.kind {
            Kind::Evidence(cpu) => self.shown_by_evidence(cpu),
            Kind::NitroDocument => self.shown_by_aws(),
            Kind::NvidiaDevices => self.shown_by_devices(),
            Kind::NvidiaToken => self.shown_by_tokens(),
            Kind::Quote(cpu) => self.shown_by_quote(cpu),
            Kind::VllmProxy => self.shown_by_proxy(),
        }
    }

    fn passed(&self, name: CheckName) -> bool {
        self.outcome(name) == Outcome::Passed
    }

    /// Words for a nonce that was answered; nothing where none was asked for.
    fn if_fresh(&self, words: &'static str) -> &'static str {
        if self.passed(CheckName::NonceMatch) { words } else { "" }
    }

    fn hardware(&self, cpu: Cpu) -> String {
        let tcb = self.check(CheckName::TeeTcbCurrent).map_or("", |check| &check.seen);
        // A policy of one's own may accept what its maker no longer calls current.
        match self.policy != "custom" || tcb.contains("status UpToDate") {
            true => format!("genuine, current {cpu} hardware"),
            false => format!("genuine {cpu} hardware, as current as the policy demands,"),
        }
    }

    fn shown_by_evidence(&self, cpu: Cpu) -> String {
        let hardware = self.hardware(cpu);
        let devices = match self.passed(CheckName::NvidiaMeasurements) {
            true => " with attested NVIDIA devices",
            false => "",
        };
        let fresh = match self.passed(CheckName::NonceMatch) {
            true => "it answers the nonce",
            false => "how fresh it is was not asked",
        };
        format!(
            "a released image on {hardware}{devices} holds the signer's key and serves the \
             released models; {fresh}"
        )
    }

    fn shown_by_aws(&self) -> String {
        let fresh = self.if_fresh(", answering the nonce");
        format!(
            "a genuine document of AWS Nitro{fresh}: AWS vouches for the enclave image in \
             tee_measurement, and nobody else does; AWS owns the machine, its hypervisor and the key, \
             so nothing is kept from AWS; says nothing about keys or models"
        )
    }

    fn shown_by_devices(&self) -> String {
        let fresh = self.if_fresh(", answering the nonce");
        let software = match self.passed(CheckName::NvidiaMeasurements) {
            true => "which run published drivers and firmware",
            false => "whose drivers and firmware were not all held against what NVIDIA publishes",
        };
        let revoked = match self.passed(CheckName::NvidiaRevocation) {
            true => "",
            false => ", if NVIDIA has not revoked them",
        };
        format!(
            "genuine NVIDIA devices{fresh}, {software}{revoked}; says nothing about the machine that \
             they are in, keys or models"
        )
    }

    fn shown_by_tokens(&self) -> String {
        let fresh = self.if_fresh(", which answered the nonce");
        format!(
            "NVIDIA's attestation service, if the given keys are its own, says that it found nothing \
             wrong with these GPUs{fresh}; nothing was compared here, and nothing is said about the \
             machine around them, software or models"
        )
    }

    fn shown_by_quote(&self, cpu: Cpu) -> String {
        let hardware = self.hardware(cpu);
        let fresh = self.if_fresh(", answering the nonce");
        let software = match self.passed(CheckName::TeeMeasurement) {
            true => ", running a released image; says nothing about keys or models",
            false => "; says nothing about keys, software or models",
        };
        format!("{hardware}{fresh}{software}")
    }

    fn shown_by_proxy(&self) -> String {
        let hardware = self.hardware(Cpu::Tdx);
        let beside = match self.passed(CheckName::NvidiaMeasurements) {
            true => {
                "; genuine NVIDIA devices answered the same nonce, on this machine or on another"
            }
            false => "",
        };
        let fresh = self.if_fresh(", answering the nonce");
        let software = match self.passed(CheckName::TeeMeasurement) {
            true => "a released image,",
            false => "whose software is unknown,",
        };
        format!(
            "{hardware}{fresh}: its guest, {software} names the signing key{beside}; says nothing \
             about models"
        )
    }
}
