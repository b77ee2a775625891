//! Whether certificates still count: OCSP answers and revocation lists that came with the evidence.

use std::collections::HashMap;

use thiserror::Error;

use crate::chain::Chain;
use crate::crl::RevocationList;
use crate::hexes::Fingerprint;
use crate::ocsp::OcspAnswer;
use crate::time::Utc;
use crate::x509::{Certificate, CertificateError, Signatures};

/// A node of eight GPUs and four switches needs about 20 answers, its manifests six more. More would
/// only cost time: every answer about a certificate is verified.
pub const ANSWERS_MAX: usize = 128;

/// What an authority says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It counts.
    Good,
    /// It is on hold (certificateHold): it does not count for now.
    Hold,
    /// It is revoked.
    Revoked,
    /// The responder does not know it.
    Unknown,
}

/// Why an answer or a list does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the fields are named by the messages
pub enum AnswerError {
    /// Longer than any.
    #[error("it has {got} bytes, too many")]
    TooLong { got: usize },
    /// Not DER, or of an algorithm or with an extension that is not understood.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// DER, but not of the known form.
    #[error("its {part} is not of the known form")]
    Form { part: &'static str },
    /// The responder declined to answer.
    #[error("the responder declined with status {status}")]
    NotSuccessful { status: u8 },
    /// Neither the issuer nor a certificate inside the answer is the responder that it names.
    #[error("its responder is unknown")]
    ResponderUnknown,
    /// The issuer did not appoint the responder to answer for it.
    #[error("\"{issuer}\" did not appoint the responder \"{responder}\"")]
    ResponderNotAppointed { responder: String, issuer: String },
    /// The responder's certificate is not valid at the time.
    #[error("the responder \"{responder}\" is not valid at the time")]
    ResponderNotValid { responder: String },
    /// Somebody else signed.
    #[error("it is not signed by \"{signer}\"")]
    Signature { signer: String },
    /// It carries a certificate that is neither its responder's nor signed by anybody it carries.
    #[error("nobody signed the certificate \"{subject}\" that it carries")]
    CertificateUnsigned { subject: String },
    /// Of a later time.
    #[error("it counts from {this_update}, not at {at}")]
    NotYetValid { this_update: Utc, at: Utc },
    /// Of an earlier time.
    #[error("it counted until {next_update}, not at {at}")]
    Stale { next_update: Utc, at: Utc },
    /// It does not say until when it counts, so it could be of any time.
    #[error("it does not say until when it counts")]
    Endless,
}

impl AnswerError {
    /// Whether the answer is genuine, and of another time.
    fn is_of_time(&self) -> bool {
        matches!(self, Self::NotYetValid { .. } | Self::Stale { .. } | Self::Endless)
    }
}

impl From<der::Error> for AnswerError {
    fn from(error: der::Error) -> Self {
        Self::Certificate(error.into())
    }
}

/// Why a chain's certificates are not known to count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the fields are named by the messages
pub enum RevocationError {
    /// More answers and lists than any evidence needs.
    #[error("{got} revocation answers came along, more than {ANSWERS_MAX}")]
    TooMany { got: usize },
    /// An answer or list that came along cannot be read.
    #[error("revocation answer {index} cannot be read: {why}")]
    Unreadable { index: usize, why: AnswerError },
    /// Nothing that came along is about this certificate.
    #[error("no revocation answer is about certificate {index} \"{subject}\"")]
    Absent { index: usize, subject: String },
    /// Its authority says that it does not count.
    #[error("certificate {index} \"{subject}\" is {}", status_text(*status))]
    NotGood { index: usize, subject: String, status: Status },
    /// What is about it does not count.
    #[error("the revocation answer for certificate {index} \"{subject}\": {why}")]
    Answer { index: usize, subject: String, why: AnswerError },
}

fn status_text(status: Status) -> &'static str {
    match status {
        Status::Good => "good",
        Status::Hold => "on hold (certificateHold)",
        Status::Revoked => "revoked",
        Status::Unknown => "unknown to its authority's responder",
    }
}

/// The period of an answer, both ends included; returns the last.
pub(crate) fn window(this: u64, next: Option<u64>, at: u64) -> Result<u64, AnswerError> {
    let next = next.ok_or(AnswerError::Endless)?;
    if at < this {
        return Err(AnswerError::NotYetValid { this_update: Utc(this), at: Utc(at) });
    }
    if at > next {
        return Err(AnswerError::Stale { next_update: Utc(next), at: Utc(at) });
    }
    Ok(next)
}

/// The answers and lists that came along, parsed; what they prove is remembered by certificate.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    unusable: Option<RevocationError>,
    answers: Vec<OcspAnswer>,
    /// Serial number → answers.
    by_serial: HashMap<Vec<u8>, Vec<usize>>,
    lists: Vec<RevocationList>,
    /// Certificate, issuer → what was found: the authorities of eight devices are the same.
    known: HashMap<(Fingerprint, Fingerprint), Verdict>,
    /// What became of each answer, then of each list, in the order in which they came.
    standings: Vec<Standing>,
    /// List, issuer → whether it counts.
    known_lists: HashMap<(usize, Fingerprint), Result<u64, AnswerError>>,
    /// When the first of the answers that were relied on ends.
    until: Option<u64>,
}

#[derive(Clone, Debug)]
enum Verdict {
    /// And until when.
    Good(u64),
    NotGood(Status),
    Unusable(AnswerError),
    Absent,
}

/// What became of an answer or a list.
#[derive(Clone, Debug)]
enum Standing {
    /// No certificate was asked about that it is about.
    Unasked,
    /// Its authority did not have it signed.
    Unproven(AnswerError),
    /// It is its authority's, of whatever time.
    Proven,
}

impl Revocations {
    pub(crate) fn new(ocsp: &[&[u8]], crls: &[&[u8]]) -> Self {
        let mut this = Self::default();
        let got = ocsp.len() + crls.len();
        if got > ANSWERS_MAX {
            this.unusable = Some(RevocationError::TooMany { got });
            return this;
        }
        this.standings = vec![Standing::Unasked; got];
        for (index, der) in ocsp.iter().enumerate() {
            match OcspAnswer::parse(der) {
                Ok(answer) => this.add(answer),
                Err(why) => this.unreadable(index, why),
            }
        }
        for (index, der) in crls.iter().enumerate() {
            match RevocationList::parse(der) {
                Ok(list) => this.lists.push(list),
                Err(why) => this.unreadable(ocsp.len() + index, why),
            }
        }
        this
    }

    fn add(&mut self, answer: OcspAnswer) {
        let entry = self.by_serial.entry(answer.statement.serial.clone()).or_default();
        entry.push(self.answers.len());
        self.answers.push(answer);
    }

    fn unreadable(&mut self, index: usize, why: AnswerError) {
        self.unusable.get_or_insert(RevocationError::Unreadable { index, why });
    }

    /// Demands a good answer for every certificate of `chain` from number `first` up to below the
    /// root; returns how many.
    pub(crate) fn check(
        &mut self,
        chain: &Chain,
        first: usize,
        signatures: &Signatures,
        at: u64,
    ) -> Result<usize, RevocationError> {
        if let Some(error) = &self.unusable {
            return Err(error.clone());
        }
        let mut absent = None;
        let mut count = 0;
        for (n, (certificate, issuer)) in chain.issued(first).enumerate() {
            let (index, subject) = (first + n, certificate.title());
            count += 1;
            match self.verdict(certificate, issuer, signatures, at) {
                Verdict::Good(until) => {
                    self.until = Some(self.until.map_or(until, |known| known.min(until)));
                }
                Verdict::NotGood(status) => {
                    return Err(RevocationError::NotGood { index, subject, status });
                }
                Verdict::Unusable(why) => {
                    return Err(RevocationError::Answer { index, subject, why });
                }
                Verdict::Absent => {
                    absent.get_or_insert(RevocationError::Absent { index, subject });
                }
            }
        }
        absent.map_or(Ok(count), Err)
    }

    /// The last second at which every answer that was relied on counts; nothing where none was.
    pub(crate) fn until(&self) -> Option<u64> {
        self.until
    }

    /// The first answer or list that proved nothing in what was asked so far, with its number (lists
    /// count on after answers) and why, where it was looked at.
    pub(crate) fn surplus(&self) -> Option<(usize, Option<AnswerError>)> {
        self.standings.iter().enumerate().find_map(|(index, standing)| match standing {
            Standing::Proven => None,
            Standing::Unasked => Some((index, None)),
            Standing::Unproven(why) => Some((index, Some(why.clone()))),
        })
    }

    fn verdict(
        &mut self,
        certificate: &Certificate,
        issuer: &Certificate,
        signatures: &Signatures,
        at: u64,
    ) -> Verdict {
        let key = (certificate.fingerprint(), issuer.fingerprint());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let verdict = self.ask(certificate, issuer, signatures, at);
        self.known.insert(key, verdict.clone());
        verdict
    }

    /// Asks every answer and list about a certificate. One that counts and is bad outweighs all; so
    /// does, but for such a one, an OCSP answer about this key's certificate that the authority did
    /// not have signed. One of another time, or a list that another key of the same name signed,
    /// outweighs none at all, but not a good one.
    fn ask(
        &mut self,
        certificate: &Certificate,
        issuer: &Certificate,
        signatures: &Signatures,
        at: u64,
    ) -> Verdict {
        let mut verdict = Verdict::Absent;
        let mut forged = None;
        let serial = certificate.serial();
        let (answers, lists) = self.standings.split_at_mut(self.answers.len());
        for index in self.by_serial.get(serial).into_iter().flatten() {
            let answer = &self.answers[*index];
            if answer.statement.is_about(certificate, issuer) {
                let checked = answer.check(issuer, signatures, at);
                answers[*index].learn(&checked);
                if let Err(why) = &checked
                    && !why.is_of_time()
                {
                    forged.get_or_insert(Verdict::Unusable(why.clone()));
                }
                verdict = verdict.and(checked, answer.statement.status);
            }
        }
        for (index, list) in self.lists.iter().enumerate().filter(|(_, it)| it.is_of(issuer)) {
            let key = (index, issuer.fingerprint());
            let checked =
                self.known_lists.entry(key).or_insert_with(|| list.check(issuer, signatures, at));
            lists[index].learn(checked);
            verdict = verdict.and(checked.clone(), list.status(serial));
        }
        match (verdict, forged) {
            (verdict @ Verdict::NotGood(_), _) | (verdict, None) => verdict,
            (_, Some(forged)) => forged,
        }
    }
}

impl Standing {
    /// What is proven under one key of a name stays so, whatever another key of that name did not sign.
    fn learn(&mut self, checked: &Result<u64, AnswerError>) {
        match (&self, checked) {
            (_, Ok(_)) => *self = Self::Proven,
            (_, Err(why)) if why.is_of_time() => *self = Self::Proven,
            (Self::Unasked, Err(why)) => *self = Self::Unproven(why.clone()),
            (Self::Unproven(_) | Self::Proven, Err(_)) => {}
        }
    }
}

impl Verdict {
    fn and(self, checked: Result<u64, AnswerError>, status: Status) -> Self {
        match (self, checked) {
            (Self::NotGood(status), _) => Self::NotGood(status),
            (_, Ok(_)) if status != Status::Good => Self::NotGood(status),
            // It is good for as long as one of those counts that say so.
            (Self::Good(one), Ok(other)) => Self::Good(one.max(other)),
            (_, Ok(until)) | (Self::Good(until), Err(_)) => Self::Good(until),
            (Self::Unusable(first), Err(_)) => Self::Unusable(first),
            (Self::Absent, Err(why)) => Self::Unusable(why),
        }
    }
}

#[cfg(test)]
mod tests;
