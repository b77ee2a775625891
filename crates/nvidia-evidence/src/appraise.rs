//! The appraisal of one device.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::architecture::Architecture;
use crate::chain::{Chain, ChainError};
use crate::check::{Check, CheckName, Outcome, Refusal};
use crate::crypto;
use crate::fwid::{self, FwidError};
use crate::hexes::{Fingerprint, Sha384};
use crate::measurements::{self, Comparison};
use crate::policy::{Demand, Policy};
use crate::report::{Report, ReportError};
use crate::revocation::{AnswerError, RevocationError, Revocations};
use crate::rim::{Edition, Found, Rim, RimIdentity, RimKind, RimStore};

/// FMC leaf, boot ROM, provisioner, family, root.
const DEVICE_CHAIN_LEN: usize = 5;

/// The leaf's issuer is the device's own boot ROM, which answers no questions: the first
/// certificate that can be revoked is the boot ROM's.
const FIRST_REVOCABLE: usize = 1;

/// What one device shows.
#[derive(Clone, Copy, Debug)]
pub struct DeviceEvidence<'a> {
    /// What it claims to be.
    pub architecture: Architecture,
    /// Request, response and signature.
    pub report: &'a [u8],
    /// Five certificates in PEM, leaf first.
    pub chain_pem: &'a [u8],
}

/// What came along with the evidence, or was fetched for it.
#[derive(Clone, Copy, Debug)]
pub struct Collateral<'a> {
    /// Reference measurements.
    pub rims: &'a RimStore,
    /// OCSP answers, DER.
    pub ocsp: &'a [&'a [u8]],
    /// Certificate revocation lists, DER.
    pub crls: &'a [&'a [u8]],
}

/// Who a device is and what it runs. Proven only as far as the appraisal it comes from accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceClaims {
    /// GPU or switch, and which family.
    pub architecture: Architecture,
    /// Maker, chip and serial number as the leaf states them, `NVIDIA:GH100:48B02DB73E52137E`.
    pub device_info: Option<String>,
    /// The leaf's serial number, hex.
    pub leaf_serial: String,
    /// SHA-256 of the leaf certificate.
    pub leaf: Fingerprint,
    /// SHA-256 of the leaf's key (uncompressed point).
    pub key: Fingerprint,
    /// The serial number in the subject of the device's boot ROM, hex.
    pub boot_rom_serial: Option<String>,
    /// The driver's version.
    pub driver_version: Option<String>,
    /// The firmware's version.
    pub vbios_version: Option<String>,
    /// The signing firmware.
    pub fwid: Option<Sha384>,
    /// PPCIE mode.
    pub protected_pcie: Option<bool>,
    /// The switches that a GPU is linked to, or a switch's own number.
    pub switch_numbers: BTreeSet<[u8; 8]>,
}

/// What came along with evidence and proves nothing about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the fields are named by the messages
pub enum Surplus {
    /// About no certificate that was shown. Lists count on after answers.
    #[error("revocation answer {index} is about no certificate shown")]
    Answer { index: usize },
    /// About one, beside a good answer, and not its authority's.
    #[error("revocation answer {index}: {why}")]
    AnswerUnproven { index: usize, why: AnswerError },
    /// A manifest that no device needs.
    #[error("the reference measurements for {identity} belong to no device shown")]
    Rim { identity: RimIdentity },
}

/// The outcome of every check of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appraisal {
    checks: Vec<Check>,
    claims: Option<DeviceClaims>,
    comparisons: Vec<Comparison>,
}

impl Appraisal {
    /// Every check, in order.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Whether every single check passed or was waived.
    pub fn is_accepted(&self) -> bool {
        self.checks.iter().all(|check| check.outcome.is_good())
    }

    /// Who the device is, where it was accepted.
    pub fn accepted(&self) -> Option<&DeviceClaims> {
        self.claims.as_ref().filter(|_| self.is_accepted())
    }

    /// What the device says, proven or not: to show to people, never to act on.
    pub fn unverified_claims(&self) -> Option<&DeviceClaims> {
        self.claims.as_ref()
    }

    /// The first refusal in the order of the checks.
    pub fn first_refusal(&self) -> Option<(CheckName, &Refusal)> {
        self.checks.iter().find_map(|check| Some((check.name, check.outcome.refusal()?)))
    }

    /// The outcome of one check; for the checks that are made of each manifest, say of which.
    pub fn outcome(&self, name: CheckName, rim: Option<RimKind>) -> Option<&Outcome> {
        let found = self.checks.iter().find(|check| check.name == name && check.rim == rim)?;
        Some(&found.outcome)
    }

    /// The comparisons that were made: of a signed report with manifests proven to be NVIDIA's and for this device.
    pub fn comparisons(&self) -> &[Comparison] {
        &self.comparisons
    }
}

/// Appraises one device at `at` (Unix seconds).
pub fn appraise_device(
    evidence: &DeviceEvidence<'_>,
    collateral: &Collateral<'_>,
    nonce: &[u8; 32],
    policy: &Policy,
    at: u64,
) -> Appraisal {
    Appraiser::new(collateral, policy, at).device(evidence, nonce)
}

/// Appraises devices with the same collateral, policy and time; what they share is verified once.
#[derive(Debug)]
pub struct Appraiser<'a> {
    rims: &'a RimStore,
    policy: &'a Policy,
    revocations: Revocations,
    at: u64,
    /// When the first of the chains that were relied on ends.
    until: u64,
    /// The manifests that devices were compared with, by their files' fingerprints.
    used: BTreeSet<Fingerprint>,
}

impl<'a> Appraiser<'a> {
    /// Reads the collateral for appraisals at `at` (Unix seconds).
    pub fn new(collateral: &Collateral<'a>, policy: &'a Policy, at: u64) -> Self {
        Self {
            rims: collateral.rims,
            policy,
            revocations: Revocations::new(collateral.ocsp, collateral.crls),
            at,
            until: u64::MAX,
            used: BTreeSet::new(),
        }
    }

    /// The last second (Unix) at which everything still counts that was relied on so far: chains,
    /// and answers about revocation. What was accepted has to be asked anew after it.
    pub fn good_until(&self) -> u64 {
        self.revocations.until().map_or(self.until, |until| until.min(self.until))
    }

    /// What came along and proved nothing about the devices that were appraised so far. Harmless by
    /// itself; but no check looks at its bytes, so in a document that is to have one spelling it must
    /// not be. Ask when all devices were accepted: before, it may only not have been reached.
    pub fn surplus(&self) -> Option<Surplus> {
        let answer = self.revocations.surplus().map(|(index, why)| match why {
            None => Surplus::Answer { index },
            Some(why) => Surplus::AnswerUnproven { index, why },
        });
        let mut rims = self.rims.all().filter(|rim| !self.used.contains(&rim.file()));
        answer.or_else(|| Some(Surplus::Rim { identity: rims.next()?.identity().clone() }))
    }

    /// Makes every check of one device; `nonce` is the one that it was asked with.
    pub fn device(&mut self, evidence: &DeviceEvidence<'_>, nonce: &[u8; 32]) -> Appraisal {
        let mut made = Made::default();
        let report = Report::parse(evidence.report, self.policy.trailing);
        let chain = Chain::from_pem(evidence.chain_pem);
        self.check_report(&mut made, &report, &chain, nonce);
        let chain = self.check_chain(&mut made, chain);
        self.check_device(&mut made, report.as_ref().ok(), chain.as_ref(), evidence.architecture);
        if let Ok(report) = &report {
            self.check_rims(&mut made, report, evidence.architecture);
        } else {
            made.no_rims(evidence.architecture);
        }
        let claims = report.as_ref().ok().zip(chain.as_ref());
        let claims = claims.map(|(report, chain)| claims_of(report, chain, evidence.architecture));
        made.finish(claims)
    }

    fn check_report(
        &self,
        made: &mut Made,
        report: &Result<Report, ReportError>,
        chain: &Result<Chain, ChainError>,
        nonce: &[u8; 32],
    ) {
        let report = match report {
            Ok(report) => report,
            Err(error) => {
                made.refused(CheckName::ReportStructure, error.clone());
                made.absent(CheckName::NonceMatch, CheckName::ReportStructure);
                made.absent(CheckName::ReportSignature, CheckName::ReportStructure);
                return;
            }
        };
        let count = report.blocks().len();
        let trailing =
            if report.has_trailing_byte() { ", one byte after the signature" } else { "" };
        made.passed(CheckName::ReportStructure, format!("{count} measurements{trailing}"));
        let signature = signature(report, chain);
        if report.request_nonce() != nonce {
            let refusal = Refusal::Nonce { got: *report.request_nonce(), expected: *nonce };
            made.refused(CheckName::NonceMatch, refusal);
        } else if signature.is_good() {
            made.passed(CheckName::NonceMatch, hex::encode(nonce));
        } else {
            made.absent(CheckName::NonceMatch, CheckName::ReportSignature);
        }
        made.push(CheckName::ReportSignature, None, signature);
    }

    fn check_chain(&mut self, made: &mut Made, chain: Result<Chain, ChainError>) -> Option<Chain> {
        let checked = chain.as_ref().map_err(Clone::clone).and_then(|chain| {
            chain.check_root(self.policy.device_root)?;
            chain.check_links(DEVICE_CHAIN_LEN, &self.rims.signatures)?;
            chain.check_dates(self.at)
        });
        if let (Ok(()), Ok(chain)) = (&checked, &chain) {
            self.until = self.until.min(chain.until());
        }
        let seen = || chain.as_ref().map(|it| it.leaf().title()).unwrap_or_default();
        made.result(CheckName::DeviceChain, checked.map(|()| seen()));
        chain.ok()
    }

    /// The checks that join report and chain. Only a proven chain is asked about revocation, so
    /// that strangers cannot make a verifier work for them.
    fn check_device(
        &mut self,
        made: &mut Made,
        report: Option<&Report>,
        chain: Option<&Chain>,
        claimed: Architecture,
    ) {
        let Some(chain) = chain else {
            for name in [CheckName::Architecture, CheckName::Fwid, CheckName::DeviceRevocation] {
                made.absent(name, CheckName::DeviceChain);
            }
            return;
        };
        made.result(CheckName::Architecture, architecture(chain, claimed));
        match report {
            None => made.absent(CheckName::Fwid, CheckName::ReportStructure),
            Some(report) => match fwid::check(report, chain.leaf(), claimed) {
                Ok(_) | Err(FwidError::AbsentFromReport)
                    if !made.is_good(CheckName::ReportSignature, None) =>
                {
                    made.absent(CheckName::Fwid, CheckName::ReportSignature);
                }
                Err(FwidError::AbsentFromReport) if self.waives_fwid(claimed) => {
                    made.waived(CheckName::Fwid, FwidError::AbsentFromReport);
                }
                checked => made.result(CheckName::Fwid, checked.map(|fwid| fwid.to_string())),
            },
        }
        if made.is_good(CheckName::DeviceChain, None) {
            let outcome = self.revocation(chain, FIRST_REVOCABLE, self.policy.device_revocation);
            made.push(CheckName::DeviceRevocation, None, outcome);
        } else {
            made.absent(CheckName::DeviceRevocation, CheckName::DeviceChain);
        }
    }

    fn waives_fwid(&self, architecture: Architecture) -> bool {
        self.policy.fwid == Demand::Waived || !architecture.is_gpu()
    }

    fn revocation(&mut self, chain: &Chain, first: usize, demand: Demand) -> Outcome {
        match self.revocations.check(chain, first, &self.rims.signatures, self.at) {
            Ok(count) => Outcome::Passed(format!("{count} certificates good")),
            Err(error @ RevocationError::Absent { .. }) if demand == Demand::Waived => {
                Outcome::Waived(error.to_string())
            }
            Err(error) => Outcome::Refused(Box::new(error.into())),
        }
    }

    fn check_rims(&mut self, made: &mut Made, report: &Report, architecture: Architecture) {
        let found: Vec<_> = kinds(architecture)
            .iter()
            .map(|kind| (*kind, self.find(report, architecture, *kind)))
            .collect();
        for (kind, result) in &found {
            let outcome = match result {
                Ok((_, rim)) => Outcome::Passed(rim.identity().to_string()),
                Err(refusal @ Refusal::RimMissing { .. }) if self.policy.rims == Demand::Waived => {
                    Outcome::Waived(refusal.to_string())
                }
                Err(refusal) => Outcome::Refused(Box::new(refusal.clone())),
            };
            made.push(CheckName::RimPresent, Some(*kind), outcome);
        }
        let rims: Vec<_> = found
            .iter()
            .map(|(kind, result)| (*kind, result.as_ref().ok().map(|(wanted, rim)| (wanted, *rim))))
            .collect();
        self.check_each_rim(made, &rims);
        for (kind, rim) in &rims {
            made.compare(report, *kind, rim.map(|(_, rim)| rim));
        }
        if let [(_, driver), (_, vbios)] = rims[..] {
            made.check_disjoint(driver.map(|(_, rim)| rim), vbios.map(|(_, rim)| rim));
        }
    }

    fn check_each_rim(
        &mut self,
        made: &mut Made,
        rims: &[(RimKind, Option<(&RimIdentity, &Rim)>)],
    ) {
        let (root, signatures, at) = (self.policy.rim_root, &self.rims.signatures, self.at);
        let signer = |rim: &Rim| rim.chain().leaf().title();
        made.each(CheckName::RimChain, rims, |kind, _, rim| {
            let why = |why| Refusal::Rim { kind, why };
            rim.check_chain(root, signatures, at).map(|()| signer(rim)).map_err(why)
        });
        for (_, rim) in
            rims.iter().filter(|(kind, _)| made.is_good(CheckName::RimChain, Some(*kind)))
        {
            self.until = rim.map_or(self.until, |(_, rim)| self.until.min(rim.chain().until()));
        }
        made.each(CheckName::RimDigest, rims, |kind, _, rim| {
            let why = |why| Refusal::Rim { kind, why };
            rim.check_digest().map(|()| String::new()).map_err(why)
        });
        made.each(CheckName::RimSignature, rims, |kind, _, rim| {
            let why = |why| Refusal::Rim { kind, why };
            rim.check_signature(signatures).map(|()| signer(rim)).map_err(why)
        });
        for (kind, rim) in rims {
            let outcome = match rim {
                None => made.without_rim(*kind),
                Some(_) if !made.is_good(CheckName::RimChain, Some(*kind)) => {
                    Outcome::Absent(CheckName::RimChain)
                }
                Some((_, rim)) => self.revocation(rim.chain(), 0, self.policy.rim_revocation),
            };
            made.push(CheckName::RimRevocation, Some(*kind), outcome);
        }
        made.each(CheckName::RimIdentity, rims, |_, wanted, rim| {
            let got = rim.identity();
            if got == wanted {
                Ok(got.to_string())
            } else {
                Err(Refusal::RimIdentity { wanted: wanted.clone(), got: got.clone() })
            }
        });
    }

    /// The manifest that the report asks for, with what it must be for.
    fn find(
        &mut self,
        report: &Report,
        architecture: Architecture,
        kind: RimKind,
    ) -> Result<(RimIdentity, &'a Rim), Refusal> {
        let (wanted, id) =
            wanted(report, architecture, kind).ok_or(Refusal::VersionUnknown { kind })?;
        match self.rims.find(&wanted) {
            Found::One(rim) => {
                self.used.insert(rim.file());
                Ok((wanted, rim))
            }
            Found::None => Err(Refusal::RimMissing { wanted, id }),
            Found::Ambiguous => Err(Refusal::RimAmbiguous { wanted }),
        }
    }
}

fn kinds(architecture: Architecture) -> &'static [RimKind] {
    if architecture.is_gpu() { &[RimKind::Driver, RimKind::Vbios] } else { &[RimKind::Vbios] }
}

/// What a manifest must be for, and the name NVIDIA serves it under.
fn wanted(
    report: &Report,
    architecture: Architecture,
    kind: RimKind,
) -> Option<(RimIdentity, String)> {
    let (version, id) = match kind {
        RimKind::Driver => {
            (report.driver_version()?.to_owned(), report.driver_rim_id(architecture)?)
        }
        RimKind::Vbios => (report.vbios_version(architecture)?, report.vbios_rim_id(architecture)?),
    };
    let (edition, product) = match architecture {
        Architecture::Hopper => (Edition::Gpu, "GH100"),
        Architecture::Blackwell => (Edition::Gpu, report.chip().unwrap_or("GB100")),
        Architecture::Ls10 => (Edition::Switch, "LS10"),
    };
    Some((RimIdentity { edition, product: product.to_owned(), version }, id))
}

fn signature(report: &Report, chain: &Result<Chain, ChainError>) -> Outcome {
    let Ok(chain) = chain else { return Outcome::Absent(CheckName::DeviceChain) };
    let leaf = chain.leaf();
    if crypto::verify_fixed(leaf.point(), report.signed_bytes(), report.signature()) {
        Outcome::Passed(leaf.title())
    } else {
        Outcome::Refused(Box::new(Refusal::ReportSignature { signer: leaf.title() }))
    }
}

fn architecture(chain: &Chain, claimed: Architecture) -> Result<String, Refusal> {
    let info = chain.leaf().device_info().ok_or(Refusal::DeviceUnknown)?;
    let ["NVIDIA", chip, _] = info.split(':').collect::<Vec<_>>()[..] else {
        return Err(Refusal::DeviceUnknown);
    };
    if Architecture::of_chip(chip) == Some(claimed) {
        Ok(info)
    } else {
        Err(Refusal::Architecture { claimed, chip: chip.to_owned() })
    }
}

fn claims_of(report: &Report, chain: &Chain, architecture: Architecture) -> DeviceClaims {
    let leaf = chain.leaf();
    DeviceClaims {
        architecture,
        device_info: leaf.device_info(),
        leaf_serial: hex::encode(leaf.serial()),
        leaf: leaf.fingerprint(),
        key: Fingerprint(crypto::sha256(leaf.point())),
        boot_rom_serial: chain.certificates().get(1).and_then(|it| it.subject_serial()),
        driver_version: report.driver_version().map(str::to_owned),
        vbios_version: report.vbios_version(architecture),
        fwid: report.fwid(),
        protected_pcie: report.protected_pcie(),
        switch_numbers: report.switch_numbers(architecture),
    }
}

/// The checks made so far.
#[derive(Default)]
struct Made {
    checks: Vec<Check>,
    comparisons: Vec<Comparison>,
}

impl Made {
    fn push(&mut self, name: CheckName, rim: Option<RimKind>, outcome: Outcome) {
        self.checks.push(Check { name, rim, outcome });
    }

    fn passed(&mut self, name: CheckName, seen: String) {
        self.push(name, None, Outcome::Passed(seen));
    }

    fn waived(&mut self, name: CheckName, why: impl ToString) {
        self.push(name, None, Outcome::Waived(why.to_string()));
    }

    fn absent(&mut self, name: CheckName, because: CheckName) {
        self.push(name, None, Outcome::Absent(because));
    }

    fn refused(&mut self, name: CheckName, refusal: impl Into<Refusal>) {
        self.push(name, None, Outcome::Refused(Box::new(refusal.into())));
    }

    fn result(&mut self, name: CheckName, result: Result<String, impl Into<Refusal>>) {
        match result {
            Ok(seen) => self.passed(name, seen),
            Err(refusal) => self.refused(name, refusal),
        }
    }

    fn is_good(&self, name: CheckName, rim: Option<RimKind>) -> bool {
        let mut checks = self.checks.iter();
        checks.any(|check| check.name == name && check.rim == rim && check.outcome.is_good())
    }

    /// Makes one check of each manifest.
    fn each(
        &mut self,
        name: CheckName,
        rims: &[(RimKind, Option<(&RimIdentity, &Rim)>)],
        check: impl Fn(RimKind, &RimIdentity, &Rim) -> Result<String, Refusal>,
    ) {
        for (kind, rim) in rims {
            let outcome = match rim {
                None => self.without_rim(*kind),
                Some((wanted, rim)) => match check(*kind, wanted, rim) {
                    Ok(seen) => Outcome::Passed(seen),
                    Err(refusal) => Outcome::Refused(Box::new(refusal)),
                },
            };
            self.push(name, Some(*kind), outcome);
        }
    }

    /// What follows for the checks of a manifest that there is none.
    fn without_rim(&self, kind: RimKind) -> Outcome {
        if self.is_good(CheckName::RimPresent, Some(kind)) {
            Outcome::Waived("no reference measurements".to_owned())
        } else {
            Outcome::Absent(CheckName::RimPresent)
        }
    }

    /// Compares a signed report with a manifest that is proven to be NVIDIA's and for this device.
    fn compare(&mut self, report: &Report, kind: RimKind, rim: Option<&Rim>) {
        const FIRST: [CheckName; 4] = [
            CheckName::RimChain,
            CheckName::RimDigest,
            CheckName::RimSignature,
            CheckName::RimIdentity,
        ];
        let unsigned = !self.is_good(CheckName::ReportSignature, None);
        let missing = FIRST.into_iter().find(|name| !self.is_good(*name, Some(kind)));
        let missing = missing.or(unsigned.then_some(CheckName::ReportSignature));
        let outcome = match (rim, missing) {
            (None, _) => self.without_rim(kind),
            (Some(_), Some(name)) => Outcome::Absent(name),
            (Some(rim), None) => {
                let comparison = Comparison::of(report, rim, kind);
                let outcome = compared(&comparison);
                self.comparisons.push(comparison);
                outcome
            }
        };
        self.push(CheckName::Measurements, Some(kind), outcome);
    }

    fn check_disjoint(&mut self, driver: Option<&Rim>, vbios: Option<&Rim>) {
        let name = CheckName::MeasurementsDisjoint;
        let (Some(driver), Some(vbios)) = (driver, vbios) else {
            let kinds = [RimKind::Driver, RimKind::Vbios];
            let waived = kinds.iter().all(|kind| self.is_good(CheckName::RimPresent, Some(*kind)));
            let outcome = if waived {
                Outcome::Waived("no two manifests".to_owned())
            } else {
                Outcome::Absent(CheckName::RimPresent)
            };
            return self.push(name, None, outcome);
        };
        let indexes = measurements::overlap(driver, vbios);
        if indexes.is_empty() {
            self.passed(name, String::new());
        } else {
            self.refused(name, Refusal::MeasurementsOverlap { indexes });
        }
    }

    /// The checks of manifests where the report does not say which are wanted.
    fn no_rims(&mut self, architecture: Architecture) {
        let named = CheckName::ALL.into_iter().filter(|name| {
            *name >= CheckName::RimPresent && *name < CheckName::MeasurementsDisjoint
        });
        for name in named {
            for kind in kinds(architecture) {
                self.push(name, Some(*kind), Outcome::Absent(CheckName::ReportStructure));
            }
        }
        if architecture.is_gpu() {
            self.absent(CheckName::MeasurementsDisjoint, CheckName::ReportStructure);
        }
    }

    fn finish(self, claims: Option<DeviceClaims>) -> Appraisal {
        Appraisal { checks: self.checks, claims, comparisons: self.comparisons }
    }
}

fn compared(comparison: &Comparison) -> Outcome {
    let (equal, compared) = (comparison.equal, comparison.compared());
    if comparison.is_good() {
        let skipped = comparison.skipped.len();
        let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
        return Outcome::Passed(format!("{equal} of {compared} equal{skipped}"));
    }
    Outcome::Refused(Box::new(Refusal::Measurements {
        kind: comparison.kind,
        equal,
        different: comparison.different.clone(),
        absent: comparison.absent.clone(),
    }))
}

#[cfg(test)]
mod tests;
