//! The evidence document: everything that a stranger needs to check one pod, offline
//! (spec/evidence.md section 1).

use serde_json::json;
use sha2::{Digest, Sha256};
use subrosa_protocol::encoding::to_base64;
use subrosa_protocol::{B256, workload_digest};

use crate::kind::Cpu;
use crate::nonce::{Nonce, report_data};
use crate::snp::SNP_REPORT_BYTES;
use crate::strict::Object;

/// The only version of the document.
const VERSION: u64 = 1;

/// A machine of eight GPUs with its switches answers in 0.75 MB.
pub const DOCUMENT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A keyset is an address and a time.
const KEYSET_BYTES_MAX: usize = 1_024;

/// Eight GPUs and four switches, each with its report and chain.
pub(crate) const DEVICES_BYTES_MAX: usize = 1024 * 1024;

/// Twice the workload that `subrosa_protocol` reads, so that it is the one to refuse.
const WORKLOAD_BYTES_MAX: usize = 512 * 1024;

/// The longest quote that a document carries: real ones have 4 to 5 kB.
pub const QUOTE_BYTES_MAX: usize = 16 * 1024;

/// The longest event log that a document carries: a firmware's log area, of which less is used.
pub const EVENT_LOG_BYTES_MAX: usize = 256 * 1024;

/// The longest compose file that a document carries, with its scripts.
pub const APP_COMPOSE_BYTES_MAX: usize = 256 * 1024;

/// One byte more than a report has is enough to refuse it.
const SNP_REPORT_BYTES_MAX: usize = SNP_REPORT_BYTES + 1;

/// The longest chain of a signer of Intel's statements: three certificates in PEM have 2 to 4 kB.
pub const ISSUER_CHAIN_BYTES_MAX: usize = 16 * 1024;

/// RSA-4096 certificates have 1 to 2 kB.
const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;

/// Reference measurements of one firmware have 20 to 26 kB.
pub(crate) const RIM_BYTES_MAX: usize = 128 * 1024;

/// The most reference measurements that a document carries: a driver's and a firmware's for each of
/// some kinds of device.
pub const RIMS_MAX: usize = 16;

/// A revocation answer with its responder's certificate has some 2 kB.
pub(crate) const OCSP_BYTES_MAX: usize = 16 * 1024;

/// The most revocation answers that a document carries: five certificates for each of sixteen devices.
pub const OCSP_MAX: usize = 80;

/// Lists of the few authorities above the devices.
const DEVICE_CRLS_MAX: usize = 16;

/// Revocation lists of Intel's platform authority grow with what is revoked.
pub(crate) const CRL_BYTES_MAX: usize = 256 * 1024;

/// ECDSA P-256, r and s.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// Evidence as it came: parsed, and nothing in it believed yet.
///
/// It keeps the document's exact bytes; nothing is ever hashed over a re-serialised form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    document: Vec<u8>,
    parts: Parts,
}

/// What a document is composed of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// What the evidence answers.
    pub nonce: Nonce,
    /// The exact bytes of the keyset.
    pub keyset: Vec<u8>,
    /// The exact bytes of the devices' evidence, as [`Devices`](crate::Devices) writes them; none
    /// where there is no device.
    pub devices: Vec<u8>,
    /// The exact bytes of the workload.
    pub workload: Vec<u8>,
    /// What the processor says of the four above.
    pub cpu: CpuEvidence,
    /// What it takes to check the devices' evidence; not covered by the quote, because each piece
    /// carries its maker's signature.
    pub device_collateral: DeviceCollateral,
}

/// What the processor says, one kind a vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CpuEvidence {
    /// An Intel SGX quote.
    Sgx(SgxEvidence),
    /// An AMD SEV-SNP report.
    Snp(SnpEvidence),
    /// An Intel TDX quote.
    Tdx(TdxEvidence),
}

/// An Intel SGX quote with what it takes to check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SgxEvidence {
    /// The quote, ending exactly where it declares to.
    pub quote: Vec<u8>,
    /// Intel's signed statements about the platform.
    pub collateral: IntelCollateral,
}

/// An AMD SEV-SNP report with what it takes to check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnpEvidence {
    /// The report, [`SNP_REPORT_BYTES`](crate::SNP_REPORT_BYTES) long.
    pub report: Vec<u8>,
    /// AMD's certificates and revocations for the chip.
    pub collateral: AmdCollateral,
}

/// An Intel TDX quote with what it takes to check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdxEvidence {
    /// The quote, ending exactly where it declares to.
    pub quote: Vec<u8>,
    /// Intel's signed statements about the platform.
    pub collateral: IntelCollateral,
    /// What was measured into the quote's registers, event by event.
    pub event_log: EventLog,
}

/// What was measured while a trust domain started: the events that its registers are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventLog {
    /// The firmware's log, as ACPI's CCEL table points to it, without the unused rest.
    Ccel {
        /// The log, in the TCG's crypto-agile format.
        log: Vec<u8>,
    },
    /// dstack's log, with the application that it names.
    Dstack {
        /// The log, the JSON text that the guest agent gave.
        log: Vec<u8>,
        /// The raw bytes of the application's compose file.
        app_compose: Vec<u8>,
    },
    /// None: the registers stand for themselves.
    None,
}

/// AMD's collateral: DER certificates from the chip's up to the root, and what was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmdCollateral {
    /// The chip's key for one TCB.
    pub vcek: Vec<u8>,
    /// The authority that signed it.
    pub ask: Vec<u8>,
    /// The root.
    pub ark: Vec<u8>,
    /// What the root revoked; empty where it is not there.
    pub crl: Vec<u8>,
}

/// What it takes to check devices offline; empty lists where there is no device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceCollateral {
    /// Reference measurements, XML as signed; each once, however many devices need it.
    pub rims: Vec<Vec<u8>>,
    /// Answers about single certificates, DER.
    pub ocsp: Vec<Vec<u8>>,
    /// Revocation lists, DER.
    pub crls: Vec<Vec<u8>>,
}

/// Intel's collateral, with the members of dcap-qvl's `QuoteCollateralV3`; the chain of the quote's
/// own certificates travels inside the quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntelCollateral {
    /// PEM: the authority that issued the platform's certificate, and the root.
    pub pck_crl_issuer_chain: String,
    /// DER: what the root revoked.
    pub root_ca_crl: Vec<u8>,
    /// DER: what the platform authority revoked.
    pub pck_crl: Vec<u8>,
    /// PEM: the signer of the TCB info, and the root.
    pub tcb_info_issuer_chain: String,
    /// The TCB info, the JSON text as signed.
    pub tcb_info: String,
    /// Its signature, r and s.
    pub tcb_info_signature: Vec<u8>,
    /// PEM: the signer of the quoting enclave's identity, and the root.
    pub qe_identity_issuer_chain: String,
    /// The quoting enclave's identity, the JSON text as signed.
    pub qe_identity: String,
    /// Its signature, r and s.
    pub qe_identity_signature: Vec<u8>,
}

impl Evidence {
    /// Writes a document of these parts: compact JSON, its members in the order of the
    /// specification.
    pub fn compose(parts: Parts) -> Evidence {
        let nonce = &parts.nonce;
        let document = json!({
            "version": VERSION,
            "nonce": {
                "verifier": hex::encode(nonce.verifier),
                "chain_id": nonce.chain_id,
                "block_number": nonce.block_number,
                "block_hash": hex::encode(nonce.block_hash),
            },
            "keyset": to_base64(&parts.keyset),
            "devices": to_base64(&parts.devices),
            "workload": to_base64(&parts.workload),
            "cpu": parts.cpu.to_json(),
            "device_collateral": parts.device_collateral.to_json(),
        });
        Evidence { document: document.to_string().into_bytes(), parts }
    }

    /// Reads a document; every byte of it has a meaning, or it is refused.
    ///
    /// # Errors
    /// [`Unreadable`], which says which member is wrong and how.
    pub fn parse(document: &[u8]) -> Result<Evidence, Unreadable> {
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(Unreadable::TooLong { got: document.len(), max: DOCUMENT_BYTES_MAX });
        }
        let mut object = Object::parse(document)?;
        let version = object.number("version")?;
        if version != VERSION {
            return Err(Unreadable::UnknownVersion { got: version });
        }
        let parts = Parts {
            nonce: Nonce::read(object.object("nonce")?)?,
            keyset: object.base64("keyset", KEYSET_BYTES_MAX)?,
            devices: object.base64("devices", DEVICES_BYTES_MAX)?,
            workload: object.base64("workload", WORKLOAD_BYTES_MAX)?,
            cpu: CpuEvidence::read(object.object("cpu")?)?,
            device_collateral: DeviceCollateral::read(object.object("device_collateral")?)?,
        };
        object.finish()?;
        Ok(Evidence { document: document.to_vec(), parts })
    }

    /// The document's exact bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.document
    }

    /// SHA-256 of the document's bytes: what a registration anchors.
    pub fn digest(&self) -> B256 {
        B256::from(<[u8; 32]>::from(Sha256::digest(&self.document)))
    }

    /// The parts of the nonce that the evidence says it answers.
    pub fn nonce(&self) -> &Nonce {
        &self.parts.nonce
    }

    /// The keyset's exact bytes.
    pub fn keyset(&self) -> &[u8] {
        &self.parts.keyset
    }

    /// The exact bytes of the devices' evidence; none where there is no device.
    pub fn devices(&self) -> &[u8] {
        &self.parts.devices
    }

    /// The workload's exact bytes.
    pub fn workload(&self) -> &[u8] {
        &self.parts.workload
    }

    /// What the processor says.
    pub fn cpu(&self) -> &CpuEvidence {
        &self.parts.cpu
    }

    /// What it takes to check the devices.
    pub fn device_collateral(&self) -> &DeviceCollateral {
        &self.parts.device_collateral
    }

    /// The 64 bytes that the quote must carry for these parts.
    pub fn report_data(&self) -> [u8; 64] {
        report_data(
            &self.parts.nonce,
            &self.parts.keyset,
            &self.parts.devices,
            &self.parts.workload,
        )
    }

    /// What the `workload` member of every signed message must be for these parts.
    pub fn workload_digest(&self) -> B256 {
        workload_digest(&self.parts.keyset, &self.parts.workload)
    }
}

impl Nonce {
    fn read(mut object: Object) -> Result<Nonce, Unreadable> {
        let nonce = Nonce {
            verifier: object.word("verifier")?,
            chain_id: object.number("chain_id")?,
            block_number: object.number("block_number")?,
            block_hash: object.word("block_hash")?,
        };
        object.finish()?;
        Ok(nonce)
    }
}

impl CpuEvidence {
    /// Which processor it is of.
    pub fn cpu(&self) -> Cpu {
        match self {
            CpuEvidence::Sgx(_) => Cpu::Sgx,
            CpuEvidence::Snp(_) => Cpu::Snp,
            CpuEvidence::Tdx(_) => Cpu::Tdx,
        }
    }

    fn read(mut object: Object) -> Result<CpuEvidence, Unreadable> {
        let kind = object.text("kind")?;
        let cpu = match kind.as_str() {
            "sgx" => CpuEvidence::Sgx(SgxEvidence {
                quote: object.base64("quote", QUOTE_BYTES_MAX)?,
                collateral: IntelCollateral::read(object.object("collateral")?)?,
            }),
            "snp" => CpuEvidence::Snp(SnpEvidence {
                report: object.base64("report", SNP_REPORT_BYTES_MAX)?,
                collateral: AmdCollateral::read(object.object("collateral")?)?,
            }),
            "tdx" => CpuEvidence::Tdx(TdxEvidence {
                quote: object.base64("quote", QUOTE_BYTES_MAX)?,
                collateral: IntelCollateral::read(object.object("collateral")?)?,
                event_log: EventLog::read(object.object("event_log")?)?,
            }),
            _ => return Err(Unreadable::UnknownCpu),
        };
        object.finish()?;
        Ok(cpu)
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            CpuEvidence::Sgx(sgx) => json!({
                "kind": "sgx",
                "quote": to_base64(&sgx.quote),
                "collateral": sgx.collateral.to_json(),
            }),
            CpuEvidence::Snp(snp) => json!({
                "kind": "snp",
                "report": to_base64(&snp.report),
                "collateral": snp.collateral.to_json(),
            }),
            CpuEvidence::Tdx(tdx) => json!({
                "kind": "tdx",
                "quote": to_base64(&tdx.quote),
                "collateral": tdx.collateral.to_json(),
                "event_log": tdx.event_log.to_json(),
            }),
        }
    }
}

impl EventLog {
    fn read(mut object: Object) -> Result<EventLog, Unreadable> {
        let kind = object.text("kind")?;
        let log = match kind.as_str() {
            "ccel" => EventLog::Ccel { log: object.base64("log", EVENT_LOG_BYTES_MAX)? },
            "dstack" => EventLog::Dstack {
                log: object.base64("log", EVENT_LOG_BYTES_MAX)?,
                app_compose: object.base64("app_compose", APP_COMPOSE_BYTES_MAX)?,
            },
            "none" => EventLog::None,
            _ => return Err(Unreadable::UnknownEventLog),
        };
        object.finish()?;
        Ok(log)
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            EventLog::Ccel { log } => json!({ "kind": "ccel", "log": to_base64(log) }),
            EventLog::Dstack { log, app_compose } => json!({
                "kind": "dstack",
                "log": to_base64(log),
                "app_compose": to_base64(app_compose),
            }),
            EventLog::None => json!({ "kind": "none" }),
        }
    }
}

impl AmdCollateral {
    fn read(mut object: Object) -> Result<AmdCollateral, Unreadable> {
        let collateral = AmdCollateral {
            vcek: object.base64("vcek", CERTIFICATE_BYTES_MAX)?,
            ask: object.base64("ask", CERTIFICATE_BYTES_MAX)?,
            ark: object.base64("ark", CERTIFICATE_BYTES_MAX)?,
            crl: object.base64("crl", CRL_BYTES_MAX)?,
        };
        object.finish()?;
        Ok(collateral)
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "vcek": to_base64(&self.vcek),
            "ask": to_base64(&self.ask),
            "ark": to_base64(&self.ark),
            "crl": to_base64(&self.crl),
        })
    }
}

impl DeviceCollateral {
    fn read(mut object: Object) -> Result<DeviceCollateral, Unreadable> {
        let collateral = DeviceCollateral {
            rims: object.base64_list("rims", RIMS_MAX, RIM_BYTES_MAX)?,
            ocsp: object.base64_list("ocsp", OCSP_MAX, OCSP_BYTES_MAX)?,
            crls: object.base64_list("crls", DEVICE_CRLS_MAX, CRL_BYTES_MAX)?,
        };
        object.finish()?;
        Ok(collateral)
    }

    fn to_json(&self) -> serde_json::Value {
        let list = |items: &[Vec<u8>]| items.iter().map(|item| to_base64(item)).collect::<Vec<_>>();
        json!({ "rims": list(&self.rims), "ocsp": list(&self.ocsp), "crls": list(&self.crls) })
    }
}

impl IntelCollateral {
    fn read(mut object: Object) -> Result<IntelCollateral, Unreadable> {
        let collateral = IntelCollateral {
            pck_crl_issuer_chain: object.text("pck_crl_issuer_chain")?,
            root_ca_crl: object.hex("root_ca_crl", CRL_BYTES_MAX)?,
            pck_crl: object.hex("pck_crl", CRL_BYTES_MAX)?,
            tcb_info_issuer_chain: object.text("tcb_info_issuer_chain")?,
            tcb_info: object.text("tcb_info")?,
            tcb_info_signature: object.hex("tcb_info_signature", SIGNATURE_BYTES)?,
            qe_identity_issuer_chain: object.text("qe_identity_issuer_chain")?,
            qe_identity: object.text("qe_identity")?,
            qe_identity_signature: object.hex("qe_identity_signature", SIGNATURE_BYTES)?,
        };
        object.finish()?;
        Ok(collateral)
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "pck_crl_issuer_chain": self.pck_crl_issuer_chain,
            "root_ca_crl": hex::encode(&self.root_ca_crl),
            "pck_crl": hex::encode(&self.pck_crl),
            "tcb_info_issuer_chain": self.tcb_info_issuer_chain,
            "tcb_info": self.tcb_info,
            "tcb_info_signature": hex::encode(&self.tcb_info_signature),
            "qe_identity_issuer_chain": self.qe_identity_issuer_chain,
            "qe_identity": self.qe_identity,
            "qe_identity_signature": hex::encode(&self.qe_identity_signature),
        })
    }
}

/// Why bytes are no evidence document. Members are named by their path, such as `cpu.quote`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Two files say different things about one piece of collateral, and only one can count.
    #[error("two files hold different collateral: a second, other {what}")]
    Contradiction {
        /// Which piece.
        what: &'static str,
    },
    /// A member stands twice, so two readers could take different ones.
    #[error("evidence has the member {member} twice")]
    DuplicateMember {
        /// The member.
        member: String,
    },
    /// A list holds more than anything honest would.
    #[error("evidence member {member} has {got} entries, at most {max}")]
    ListTooLong {
        /// The member.
        member: String,
        /// Its entries.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// A member holds more than anything honest would.
    #[error("evidence member {member} has {got} bytes, at most {max}")]
    MemberTooLong {
        /// The member.
        member: String,
        /// Its length in bytes, decoded.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// A member that every document has is not there.
    #[error("evidence lacks the member {member}")]
    MissingMember {
        /// The member.
        member: String,
    },
    /// A member is not base64 with padding, in its one spelling.
    #[error("evidence member {member} is not canonical base64")]
    NotBase64 {
        /// The member.
        member: String,
    },
    /// A member is not lower-case hex of its length, without a prefix.
    #[error("evidence member {member} is not lower-case hex of the right length")]
    NotHex {
        /// The member.
        member: String,
    },
    /// A member is not PEM.
    #[error("evidence member {member} is not PEM")]
    NotPem {
        /// The member.
        member: String,
    },
    /// The bytes are not JSON; in our own documents, not JSON made of objects, lists, text and whole
    /// numbers.
    #[error("evidence is not strict JSON at line {line}, column {column}")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// A member has another spelling than the one that its writer must use.
    #[error("evidence member {member} is not spelled canonically")]
    NotCanonical {
        /// The member.
        member: String,
    },
    /// The document is longer than any honest one.
    #[error("evidence has {got} bytes, at most {max}")]
    TooLong {
        /// The document's length.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// Something follows the document's closing brace.
    #[error("{got} bytes follow the evidence")]
    TrailingBytes {
        /// How many.
        got: usize,
    },
    /// The processor's evidence is of a kind that this verifier does not know.
    #[error("evidence is of a processor that this verifier does not know")]
    UnknownCpu,
    /// The file is nothing that this verifier appraises.
    #[error(
        "this is no evidence that this verifier knows: neither a document of ours, nor a quote of \
         SGX or TDX, a report of SEV-SNP, a document of AWS Nitro, nor the answer of a vllm-proxy or \
         of NVIDIA's attestation service, nor a list of NVIDIA's devices with their reports"
    )]
    UnknownDocument,
    /// The file is no collateral.
    #[error(
        "this is no collateral that this verifier knows: neither Intel's, AMD's nor NVIDIA's \
         certificates, revocation lists, statements or keys, nor a log of a start"
    )]
    UnknownEndorsement,
    /// A member that no document has.
    #[error("evidence has the unknown member {member}")]
    UnknownMember {
        /// The member.
        member: String,
    },
    /// A device is of a kind that this verifier does not know.
    #[error("evidence has a device that this verifier does not know")]
    UnknownDevice,
    /// The event log is of a kind that this verifier does not know.
    #[error("evidence has an event log that this verifier does not know")]
    UnknownEventLog,
    /// A version that this verifier does not know.
    #[error("evidence has version {got}, this verifier reads version {VERSION}")]
    UnknownVersion {
        /// The version.
        got: u64,
    },
    /// A member holds another type of value.
    #[error("evidence member {member} is not {expected}")]
    WrongType {
        /// The member.
        member: String,
        /// What it should be.
        expected: &'static str,
    },
}
