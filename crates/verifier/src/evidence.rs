//! The evidence document: everything that a stranger needs to check one pod, offline
//! (spec/evidence.md section 1).

use serde_json::json;
use sha2::{Digest, Sha256};
use subrosa_protocol::encoding::to_base64;
use subrosa_protocol::{B256, workload_digest};

use crate::nonce::{Nonce, report_data};
use crate::strict::Object;

/// The only version of the document.
const VERSION: u64 = 1;

/// A node of eight GPUs with its switches answers in 0.75 MB.
pub const DOCUMENT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A keyset is an address and a time.
const KEYSET_BYTES_MAX: usize = 1_024;

/// Eight GPUs and four switches, each with its report and chain.
const DEVICES_BYTES_MAX: usize = 1024 * 1024;

/// Twice the workload that `subrosa_protocol` reads, so that it is the one to refuse.
const WORKLOAD_BYTES_MAX: usize = 512 * 1024;

/// Real quotes have 4 to 5 kB.
const QUOTE_BYTES_MAX: usize = 16 * 1024;

/// Revocation lists of Intel's platform authority grow with what is revoked.
const CRL_BYTES_MAX: usize = 256 * 1024;

/// ECDSA P-256, r and s.
const SIGNATURE_BYTES: usize = 64;

/// Evidence as it came: parsed, and nothing in it believed yet.
///
/// It keeps the document's exact bytes; nothing is ever hashed over a re-serialised form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    document: Vec<u8>,
    nonce: Nonce,
    keyset: Vec<u8>,
    devices: Vec<u8>,
    workload: Vec<u8>,
    cpu: CpuEvidence,
}

/// What the processor says, one kind a vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CpuEvidence {
    /// An Intel TDX quote.
    Tdx(TdxEvidence),
}

/// An Intel TDX quote with what it takes to check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdxEvidence {
    /// The quote, ending exactly where it declares to.
    pub quote: Vec<u8>,
    /// Intel's signed statements about the platform.
    pub collateral: IntelCollateral,
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
    pub fn compose(
        nonce: Nonce,
        keyset: &[u8],
        devices: &[u8],
        workload: &[u8],
        cpu: CpuEvidence,
    ) -> Evidence {
        let document = json!({
            "version": VERSION,
            "nonce": {
                "verifier": hex::encode(nonce.verifier),
                "chain_id": nonce.chain_id,
                "block_number": nonce.block_number,
                "block_hash": hex::encode(nonce.block_hash),
            },
            "keyset": to_base64(keyset),
            "devices": to_base64(devices),
            "workload": to_base64(workload),
            "cpu": cpu.to_json(),
        });
        Evidence {
            document: document.to_string().into_bytes(),
            nonce,
            keyset: keyset.to_vec(),
            devices: devices.to_vec(),
            workload: workload.to_vec(),
            cpu,
        }
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
        let evidence = Evidence {
            document: document.to_vec(),
            nonce: Nonce::read(object.object("nonce")?)?,
            keyset: object.base64("keyset", KEYSET_BYTES_MAX)?,
            devices: object.base64("devices", DEVICES_BYTES_MAX)?,
            workload: object.base64("workload", WORKLOAD_BYTES_MAX)?,
            cpu: CpuEvidence::read(object.object("cpu")?)?,
        };
        object.finish()?;
        Ok(evidence)
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
        &self.nonce
    }

    /// The keyset's exact bytes.
    pub fn keyset(&self) -> &[u8] {
        &self.keyset
    }

    /// The exact bytes of the devices' evidence; none where there is no device.
    pub fn devices(&self) -> &[u8] {
        &self.devices
    }

    /// The workload's exact bytes.
    pub fn workload(&self) -> &[u8] {
        &self.workload
    }

    /// What the processor says.
    pub fn cpu(&self) -> &CpuEvidence {
        &self.cpu
    }

    /// The 64 bytes that the quote must carry for these parts.
    pub fn report_data(&self) -> [u8; 64] {
        report_data(&self.nonce, &self.keyset, &self.devices, &self.workload)
    }

    /// What the `workload` member of every signed message must be for these parts.
    pub fn workload_digest(&self) -> B256 {
        workload_digest(&self.keyset, &self.workload)
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
    fn read(mut object: Object) -> Result<CpuEvidence, Unreadable> {
        let kind = object.text("kind")?;
        let cpu = match kind.as_str() {
            "tdx" => CpuEvidence::Tdx(TdxEvidence {
                quote: object.base64("quote", QUOTE_BYTES_MAX)?,
                collateral: IntelCollateral::read(object.object("collateral")?)?,
            }),
            _ => return Err(Unreadable::UnknownCpu),
        };
        object.finish()?;
        Ok(cpu)
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            CpuEvidence::Tdx(tdx) => json!({
                "kind": "tdx",
                "quote": to_base64(&tdx.quote),
                "collateral": tdx.collateral.to_json(),
            }),
        }
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
    /// A member stands twice, so two readers could take different ones.
    #[error("evidence has the member {member} twice")]
    DuplicateMember {
        /// The member.
        member: String,
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
    /// The bytes are not JSON made of objects, text and whole numbers.
    #[error("evidence is not strict JSON at line {line}, column {column}")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
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
    /// A member that no document has.
    #[error("evidence has the unknown member {member}")]
    UnknownMember {
        /// The member.
        member: String,
    },
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
