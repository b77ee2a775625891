//! The readers of what vendors' services answer, for the fuzz targets.

use subrosa_protocol::Timestamp;
use subrosa_verifier::{Device, IntelCollateral};

use super::fetch::Answer;
use super::nvidia::Link;
use super::{EndorseError, amd, intel, nvidia};

/// The body of a service's answer, and the header with its signer's certificates.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The body, as it came.
    pub body: Vec<u8>,
    /// The header.
    pub issuer_chain: Option<String>,
}

impl From<HttpAnswer> for Answer {
    fn from(answer: HttpAnswer) -> Answer {
        Answer::new(String::new(), answer.body, answer.issuer_chain, Timestamp(0))
    }
}

fn bare(body: &[u8]) -> Answer {
    HttpAnswer { body: body.into(), issuer_chain: None }.into()
}

/// Intel's four answers: the list of platforms' certificates, the levels, the quoting enclave's
/// identity, the root's list.
pub fn intel_collateral(answers: [HttpAnswer; 4]) -> Result<IntelCollateral, EndorseError> {
    let [pck_crl, tcb_info, identity, root_crl] = answers.map(Answer::from);
    intel::Answers { pck_crl, tcb_info, identity, root_crl }.collateral()
}

/// Until when an answer of Intel's counts, as a statement and as a list.
pub fn intel_ends(body: &[u8]) -> [Option<Timestamp>; 2] {
    let answer = bare(body);
    [intel::statement_ends(&answer).ok(), intel::list_ends(&answer).ok()]
}

/// The authority and the root of an answer of AMD's, DER.
pub fn amd_authorities(body: &[u8]) -> Result<(Vec<u8>, Vec<u8>), EndorseError> {
    amd::authorities(&bare(body))
}

/// Until when an answer of AMD's counts, as a certificate, as a chain and as a list.
pub fn amd_ends(body: &[u8]) -> [Option<Timestamp>; 3] {
    let answer = bare(body);
    [amd::certificate_ends(&answer), amd::chain_ends(&answer), amd::list_ends(&answer)]
        .map(Result::ok)
}

/// The reference measurements of an answer of NVIDIA's.
pub fn nvidia_rim(body: &[u8]) -> Result<Vec<u8>, EndorseError> {
    nvidia::rim(&bare(body))
}

/// The questions about revocation that a device and the signers of measurements give rise to; none
/// for a certificate that cannot be read.
pub fn nvidia_questions(device: &Device, rim: &[u8]) -> Vec<Option<Vec<u8>>> {
    let of_device = nvidia::device_links(device).unwrap_or_default();
    let links = of_device.into_iter().chain(nvidia::signer_links(rim));
    let question = |(certificate, issuer): Link| nvidia::ocsp_request(&certificate, &issuer).ok();
    links.map(question).collect()
}

/// The body of an answer that was kept in a file.
pub fn kept_answer(file: &[u8]) -> Option<Vec<u8>> {
    Answer::read(file).map(|answer| answer.body)
}
