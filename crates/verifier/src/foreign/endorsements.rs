//! What vendors say about hardware, collected from files: told apart by what is in them.
//!
//! Nothing is believed here. Each piece carries its vendor's signature, which the appraisal checks;
//! a wrong piece makes a refusal, never an acceptance. The one exception is a set of keys for tokens,
//! which nobody signed: what passes under it is said to.

use super::der::{Der, classify};
use super::json::Foreign;
use super::nvidia_token::{ServiceKey, read_keys};
use super::pem;
use crate::event_log::ccel_used;
use crate::evidence::{
    AmdCollateral, CRL_BYTES_MAX, CpuEvidence, DeviceCollateral, EVENT_LOG_BYTES_MAX, EventLog,
    Evidence, ISSUER_CHAIN_BYTES_MAX, IntelCollateral, OCSP_BYTES_MAX, RIM_BYTES_MAX,
    SIGNATURE_BYTES, Unreadable,
};

/// The largest is a document of ours; a file of anything else is far smaller.
const FILE_BYTES_MAX: usize = crate::evidence::DOCUMENT_BYTES_MAX;

/// Statements of Intel about one platform have 3 to 10 kB.
const STATEMENT_BYTES_MAX: usize = 128 * 1024;

/// A guest agent's description of one application holds its compose file and its log.
const INFO_BYTES_MAX: usize = 512 * 1024;

/// How the first event of a firmware's log names its format (TCG PC Client, Spec ID event).
const CCEL_MARK: &[u8] = b"Spec ID Event03\0";
/// Where that name stands: after register, type, SHA-1 digest and size.
const CCEL_MARK_AT: usize = 32;

/// Collateral for foreign evidence, collected from the files that a user has.
///
/// ```
/// use subrosa_verifier::{Endorsements, Unreadable};
///
/// let mut endorsements = Endorsements::default();
/// assert_eq!(endorsements.add(b"a shopping list"), Err(Unreadable::UnknownEndorsement));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endorsements {
    intel: IntelPieces,
    amd: AmdPieces,
    devices: DeviceCollateral,
    event_log: Option<EventLog>,
    service_keys: Vec<ServiceKey>,
}

/// Intel's collateral, piece by piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct IntelPieces {
    root: Option<Vec<u8>>,
    authority: Option<Vec<u8>>,
    tcb_signer: Option<Vec<u8>>,
    root_crl: Option<Vec<u8>>,
    authority_crl: Option<Vec<u8>>,
    tcb_info: Option<Statement>,
    qe_identity: Option<Statement>,
    whole: Option<IntelCollateral>,
}

/// A text of Intel's with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    text: String,
    signature: Vec<u8>,
}

/// AMD's collateral, piece by piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct AmdPieces {
    vcek: Option<Vec<u8>>,
    ask: Option<Vec<u8>>,
    ark: Option<Vec<u8>>,
    crl: Option<Vec<u8>>,
}

impl Endorsements {
    /// Adds what one file holds.
    ///
    /// It may be: collateral of Intel's as dcap-qvl writes it, or an answer of Intel's service with
    /// its signature; certificates and revocation lists of Intel, AMD or NVIDIA, in PEM or DER; a
    /// reference measurement (XML) or a revocation answer (OCSP) of NVIDIA's; a document of ours,
    /// whose collateral is taken; the log of a firmware (CCEL); a dstack guest agent's description of
    /// its application; the key set of NVIDIA's attestation service.
    ///
    /// # Security
    /// A key set is signed by nobody: a token that passes under it is the word of whoever holds its
    /// keys.
    ///
    /// # Errors
    /// [`Unreadable`], also where another file already said something else about the same.
    pub fn add(&mut self, file: &[u8]) -> Result<(), Unreadable> {
        if file.len() > FILE_BYTES_MAX {
            return Err(Unreadable::TooLong { got: file.len(), max: FILE_BYTES_MAX });
        }
        if let Some(der) = classify(file) {
            return self.add_der(der, file);
        }
        if file.get(CCEL_MARK_AT..).is_some_and(|rest| rest.starts_with(CCEL_MARK)) {
            return self.add_firmware_log(file);
        }
        let text = str::from_utf8(file).map_err(|_| Unreadable::UnknownEndorsement)?;
        match text.trim_start_matches('\u{feff}').trim_start() {
            json if json.starts_with('{') => self.add_json(json),
            xml if xml.starts_with('<') && xml.contains("SoftwareIdentity") => {
                within("rim", file.len(), RIM_BYTES_MAX)?;
                push(&mut self.devices.rims, file);
                Ok(())
            }
            other => self.add_pem(other),
        }
    }

    /// Intel's collateral, where any was given.
    ///
    /// # Errors
    /// What is missing from it.
    pub(super) fn intel(&self) -> Result<Option<IntelCollateral>, String> {
        let pieces = &self.intel;
        if pieces.whole.is_some() || *pieces == IntelPieces::default() {
            return Ok(pieces.whole.clone());
        }
        let need = |piece: &Option<Vec<u8>>, name: &str| {
            piece.clone().ok_or_else(|| format!("the collateral lacks {name}"))
        };
        let statement = |piece: &Option<Statement>, name: &str| {
            piece.clone().ok_or_else(|| format!("the collateral lacks {name}"))
        };
        let root = need(&pieces.root, "Intel's root certificate")?;
        let authority = need(&pieces.authority, "the certificate of the PCK authority")?;
        let signer = need(&pieces.tcb_signer, "the certificate of the TCB signer")?;
        let tcb_info = statement(&pieces.tcb_info, "the TCB info")?;
        let qe_identity = statement(&pieces.qe_identity, "the QE identity")?;
        let signed_by_root = pem::certificates(&[&signer, &root]);
        Ok(Some(IntelCollateral {
            pck_crl_issuer_chain: pem::certificates(&[&authority, &root]),
            root_ca_crl: need(&pieces.root_crl, "the CRL of Intel's root")?,
            pck_crl: need(&pieces.authority_crl, "the CRL of the PCK authority")?,
            tcb_info_issuer_chain: signed_by_root.clone(),
            tcb_info: tcb_info.text,
            tcb_info_signature: tcb_info.signature,
            qe_identity_issuer_chain: signed_by_root,
            qe_identity: qe_identity.text,
            qe_identity_signature: qe_identity.signature,
        }))
    }

    /// These, and what a document carries for itself besides.
    ///
    /// # Errors
    /// What it carries that nobody knows, or that contradicts these.
    pub(super) fn with(&self, carried: &[Vec<u8>]) -> Result<Endorsements, String> {
        let mut all = self.clone();
        for der in carried {
            let kind = classify(der).ok_or(Unreadable::UnknownEndorsement);
            let added = kind.and_then(|kind| all.add_der(kind, der));
            added.map_err(|error| format!("what the document carries: {error}"))?;
        }
        Ok(all)
    }

    /// AMD's collateral; without a revocation list it is left empty, for policy to judge.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn amd(&self) -> Result<AmdCollateral, String> {
        let need = |piece: &Option<Vec<u8>>, name: &str| {
            piece.clone().ok_or_else(|| format!("no certificate of {name} was given"))
        };
        Ok(AmdCollateral {
            vcek: need(&self.amd.vcek, "the chip (VCEK)")?,
            ask: need(&self.amd.ask, "AMD's signing authority (ASK)")?,
            ark: need(&self.amd.ark, "AMD's root (ARK)")?,
            crl: self.amd.crl.clone().unwrap_or_default(),
        })
    }

    /// What it takes to check devices.
    pub(super) fn devices(&self) -> &DeviceCollateral {
        &self.devices
    }

    /// The keys that were given as those of NVIDIA's attestation service.
    pub(super) fn service_keys(&self) -> &[ServiceKey] {
        &self.service_keys
    }

    /// The log of a start, where a file held one.
    pub(super) fn event_log(&self) -> Option<&EventLog> {
        self.event_log.as_ref()
    }

    fn add_der(&mut self, kind: Der, der: &[u8]) -> Result<(), Unreadable> {
        let unknown = Err(Unreadable::UnknownEndorsement);
        match kind {
            // The quote carries its own.
            Der::Certificate { subject } if subject == "Intel SGX PCK Certificate" => Ok(()),
            Der::Certificate { subject } => match self.certificate_of(&subject) {
                Some(piece) => set(piece, der.to_vec(), "certificate"),
                None => unknown,
            },
            Der::Crl { issuer } => {
                within("crl", der.len(), CRL_BYTES_MAX)?;
                match self.crl_of(&issuer) {
                    Some(piece) => set(piece, der.to_vec(), "revocation list"),
                    None => {
                        push(&mut self.devices.crls, der);
                        Ok(())
                    }
                }
            }
            Der::Ocsp => {
                within("ocsp", der.len(), OCSP_BYTES_MAX)?;
                push(&mut self.devices.ocsp, der);
                Ok(())
            }
        }
    }

    /// Whose certificate it is, by the names that Intel and AMD give their authorities.
    fn certificate_of(&mut self, subject: &str) -> Option<&mut Option<Vec<u8>>> {
        match subject {
            "Intel SGX Root CA" => Some(&mut self.intel.root),
            "Intel SGX TCB Signing" => Some(&mut self.intel.tcb_signer),
            "Intel SGX PCK Platform CA" | "Intel SGX PCK Processor CA" => {
                Some(&mut self.intel.authority)
            }
            "SEV-VCEK" | "SEV-VLEK" => Some(&mut self.amd.vcek),
            name if name.starts_with("ARK-") => Some(&mut self.amd.ark),
            name if name.starts_with("SEV-") => Some(&mut self.amd.ask),
            _ => None,
        }
    }

    fn crl_of(&mut self, issuer: &str) -> Option<&mut Option<Vec<u8>>> {
        match issuer {
            "Intel SGX Root CA" => Some(&mut self.intel.root_crl),
            "Intel SGX PCK Platform CA" | "Intel SGX PCK Processor CA" => {
                Some(&mut self.intel.authority_crl)
            }
            name if name.starts_with("ARK-") || name.starts_with("SEV-") => Some(&mut self.amd.crl),
            _ => None,
        }
    }

    fn add_pem(&mut self, text: &str) -> Result<(), Unreadable> {
        let blocks = pem::blocks(text).filter(|blocks| !blocks.is_empty());
        for der in blocks.ok_or(Unreadable::UnknownEndorsement)? {
            let kind = classify(&der).ok_or(Unreadable::UnknownEndorsement)?;
            self.add_der(kind, &der)?;
        }
        Ok(())
    }

    fn add_firmware_log(&mut self, log: &[u8]) -> Result<(), Unreadable> {
        within("log", log.len(), EVENT_LOG_BYTES_MAX)?;
        // A log that cannot be read is kept as it is, for the appraisal to say why.
        let log = ccel_used(log).unwrap_or(log).to_vec();
        set(&mut self.event_log, EventLog::Ccel { log }, "event log")
    }

    fn add_json(&mut self, json: &str) -> Result<(), Unreadable> {
        let mut object = Foreign::parse(json.as_bytes())?;
        if object.has("device_collateral") {
            return self.add_evidence(&Evidence::parse(json.as_bytes())?);
        }
        if object.has("tcb_info_issuer_chain") {
            let collateral = read_collateral(&mut object)?;
            return set(&mut self.intel.whole, collateral, "collateral");
        }
        if object.has("tcbInfo") {
            let statement = read_statement(json, "tcbInfo", object)?;
            return set(&mut self.intel.tcb_info, statement, "TCB info");
        }
        if object.has("enclaveIdentity") {
            let statement = read_statement(json, "enclaveIdentity", object)?;
            return set(&mut self.intel.qe_identity, statement, "QE identity");
        }
        if object.has("tcb_info") {
            let log = read_application(&mut object)?;
            return set(&mut self.event_log, log, "event log");
        }
        if object.has("keys") {
            return self.add_service_keys(read_keys(&mut object)?);
        }
        if object.has("attestation") {
            return self.add_envelope(&object.hex("attestation", FILE_BYTES_MAX)?);
        }
        Err(Unreadable::UnknownEndorsement)
    }

    fn add_service_keys(&mut self, keys: Vec<ServiceKey>) -> Result<(), Unreadable> {
        for key in keys {
            match self.service_keys.iter().find(|known| known.id == key.id) {
                Some(known) if *known != key => {
                    return Err(Unreadable::Contradiction { what: "key of one name" });
                }
                Some(_) => {}
                None => self.service_keys.push(key),
            }
        }
        Ok(())
    }

    fn add_evidence(&mut self, evidence: &Evidence) -> Result<(), Unreadable> {
        match evidence.cpu() {
            CpuEvidence::Sgx(sgx) => {
                set(&mut self.intel.whole, sgx.collateral.clone(), "collateral")?;
            }
            CpuEvidence::Tdx(tdx) => {
                set(&mut self.intel.whole, tdx.collateral.clone(), "collateral")?;
            }
            CpuEvidence::Snp(snp) => {
                let AmdCollateral { vcek, ask, ark, crl } = snp.collateral.clone();
                set(&mut self.amd.vcek, vcek, "certificate")?;
                set(&mut self.amd.ask, ask, "certificate")?;
                set(&mut self.amd.ark, ark, "certificate")?;
                if !crl.is_empty() {
                    set(&mut self.amd.crl, crl, "revocation list")?;
                }
            }
        }
        let DeviceCollateral { rims, ocsp, crls } = evidence.device_collateral();
        rims.iter().for_each(|rim| push(&mut self.devices.rims, rim));
        ocsp.iter().for_each(|answer| push(&mut self.devices.ocsp, answer));
        crls.iter().for_each(|crl| push(&mut self.devices.crls, crl));
        Ok(())
    }

    /// An envelope of dstack's carries certificates in PEM, somewhere inside.
    fn add_envelope(&mut self, envelope: &[u8]) -> Result<(), Unreadable> {
        self.add_pem(&String::from_utf8_lossy(envelope))
    }
}

/// Sets a piece; two different ones for one place leave open which counts.
fn set<T: PartialEq>(
    piece: &mut Option<T>,
    value: T,
    what: &'static str,
) -> Result<(), Unreadable> {
    match piece {
        Some(known) if *known != value => Err(Unreadable::Contradiction { what }),
        _ => {
            *piece = Some(value);
            Ok(())
        }
    }
}

/// Adds to a list what is not in it yet.
fn push(list: &mut Vec<Vec<u8>>, item: &[u8]) {
    if !list.iter().any(|known| known == item) {
        list.push(item.to_vec());
    }
}

fn within(member: &str, got: usize, max: usize) -> Result<(), Unreadable> {
    match got > max {
        true => Err(Unreadable::MemberTooLong { member: member.into(), got, max }),
        false => Ok(()),
    }
}

/// The JSON of dcap-qvl's `QuoteCollateralV3`.
///
/// Its `pck_certificate_chain` is let pass and used for nothing: the quote carries that chain, and
/// with nothing to be judged by a second one the two cannot contradict each other.
fn read_collateral(object: &mut Foreign) -> Result<IntelCollateral, Unreadable> {
    Ok(IntelCollateral {
        pck_crl_issuer_chain: read_chain(object, "pck_crl_issuer_chain")?,
        root_ca_crl: object.hex("root_ca_crl", CRL_BYTES_MAX)?,
        pck_crl: object.hex("pck_crl", CRL_BYTES_MAX)?,
        tcb_info_issuer_chain: read_chain(object, "tcb_info_issuer_chain")?,
        tcb_info: object.text_within("tcb_info", STATEMENT_BYTES_MAX)?,
        tcb_info_signature: object.hex("tcb_info_signature", SIGNATURE_BYTES)?,
        qe_identity_issuer_chain: read_chain(object, "qe_identity_issuer_chain")?,
        qe_identity: object.text_within("qe_identity", STATEMENT_BYTES_MAX)?,
        qe_identity_signature: object.hex("qe_identity_signature", SIGNATURE_BYTES)?,
    })
}

/// A chain, spelled as evidence spells it: line ends differ between those who write such files.
fn read_chain(object: &mut Foreign, name: &str) -> Result<String, Unreadable> {
    let text = object.text_within(name, ISSUER_CHAIN_BYTES_MAX)?;
    let ders = pem::blocks(&text);
    let ders = ders.ok_or_else(|| Unreadable::NotPem { member: object.path(name) })?;
    let ders: Vec<&[u8]> = ders.iter().map(Vec::as_slice).collect();
    Ok(pem::certificates(&ders))
}

/// An answer of Intel's service: the signed text is the member as it stands in the answer.
fn read_statement(json: &str, name: &str, mut object: Foreign) -> Result<Statement, Unreadable> {
    let wrong = || Unreadable::WrongType { member: name.into(), expected: "a signed statement" };
    let signature = object.hex("signature", SIGNATURE_BYTES)?;
    let text = json.trim_end().strip_prefix("{").and_then(|rest| {
        let rest = rest.trim_start().strip_prefix(&format!("\"{name}\""))?;
        let text = rest.trim_start().strip_prefix(':')?.trim_start();
        let end = text.rfind("\"signature\"")?;
        text[..end].trim_end().strip_suffix(',').map(str::trim_end)
    });
    let text =
        text.filter(|text| text.starts_with('{') && text.ends_with('}')).ok_or_else(wrong)?;
    within(name, text.len(), STATEMENT_BYTES_MAX)?;
    Ok(Statement { text: text.to_owned(), signature })
}

/// A dstack guest agent's answer to `Info`: the application's compose file, and what was measured.
fn read_application(object: &mut Foreign) -> Result<EventLog, Unreadable> {
    let info = object.object_if_any("tcb_info", INFO_BYTES_MAX)?;
    let mut info = info.ok_or(Unreadable::UnknownEndorsement)?;
    super::read_dstack_log(&mut info, None)
}
