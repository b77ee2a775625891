//! The bytes of a Nitro attestation document, read strictly: one spelling outside, no unknown or
//! doubled member inside, every length within AWS's bounds.

use std::collections::BTreeMap;

use ciborium::Value;
use ciborium::de::from_reader_with_recursion_limit;
use coset::iana::Algorithm;
use coset::{AsCborValue, CborSerializable, CoseSign1, HeaderBuilder};

/// A payload is a map of maps and lists.
const DEPTH_MAX: usize = 8;

/// ES384: r and s, 48 bytes each.
const SIGNATURE_BYTES: usize = 96;

/// AWS signs with four authorities: its root, a region's, a zone's, a machine's.
const AUTHORITIES_MAX: usize = 8;

/// The bounds of AWS's specification.
const CERTIFICATE_BYTES_MAX: usize = 1024;
const PUBLIC_KEY_BYTES_MAX: usize = 1024;
const USER_DATA_BYTES_MAX: usize = 512;
const NONCE_BYTES_MAX: usize = 512;
const PCRS_MAX: u64 = 32;

/// Its only digest, and the length of its registers.
const DIGEST: &str = "SHA384";
pub(super) const PCR_BYTES: usize = 48;

/// An instance's and an enclave's number have 40 bytes together.
const MODULE_ID_BYTES_MAX: usize = 128;

/// The registers of the enclave's image, of its kernel, and of its application.
pub(super) const IMAGE_PCRS: [u64; 3] = [0, 1, 2];

/// What the payload says.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) module_id: String,
    /// When it was made, in milliseconds after 1970.
    pub(super) timestamp_ms: u64,
    /// With those of the image, always.
    pub(super) pcrs: BTreeMap<u64, [u8; PCR_BYTES]>,
    /// DER, of the key that signed.
    pub(super) certificate: Vec<u8>,
    /// DER, the root first; never empty.
    pub(super) authorities: Vec<Vec<u8>>,
    pub(super) public_key: Option<Vec<u8>>,
    pub(super) user_data: Option<Vec<u8>>,
    pub(super) nonce: Option<Vec<u8>>,
}

/// A document that is not believed yet.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) payload: Payload,
    /// What was signed (RFC 9052 section 4.4).
    pub(super) message: Vec<u8>,
    pub(super) signature: Vec<u8>,
    /// Where it ends.
    pub(super) length: usize,
}

/// Reads the document at the front of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Result<Read, BadDocument> {
    let mut rest = bytes;
    let value: Value = from_reader_with_recursion_limit(&mut rest, DEPTH_MAX)
        .map_err(|_| BadDocument::NotCbor { part: "the document" })?;
    let length = bytes.len() - rest.len();
    let signed = CoseSign1::from_cbor_value(value).map_err(|_| BadDocument::NotCose)?;
    let expected = HeaderBuilder::new().algorithm(Algorithm::ES384).build();
    if signed.protected.header.alg != expected.alg {
        return Err(BadDocument::Algorithm);
    }
    if signed.protected.header != expected || !signed.unprotected.is_empty() {
        return Err(BadDocument::Header);
    }
    if signed.signature.len() != SIGNATURE_BYTES {
        let (part, got) = ("signature", signed.signature.len());
        return Err(BadDocument::Length { part, got });
    }
    let payload = read_payload(signed.payload.as_deref().ok_or(BadDocument::Detached)?)?;
    let (message, signature) = (signed.tbs_data(&[]), signed.signature.clone());
    // The signature covers the two parts that it signs, not how they are put together.
    match signed.to_vec() {
        Ok(spelled) if spelled == bytes[..length] => {
            Ok(Read { payload, message, signature, length })
        }
        _ => Err(BadDocument::NotCanonical),
    }
}

fn read_payload(bytes: &[u8]) -> Result<Payload, BadDocument> {
    let mut rest = bytes;
    let value: Value = from_reader_with_recursion_limit(&mut rest, DEPTH_MAX)
        .map_err(|_| BadDocument::NotCbor { part: "the payload" })?;
    if !rest.is_empty() {
        return Err(BadDocument::Trailing { got: rest.len() });
    }
    let mut map = Map::new(value)?;
    if map.text("digest")? != DIGEST {
        return Err(BadDocument::Digest);
    }
    let payload = Payload {
        module_id: map.text("module_id")?,
        timestamp_ms: map.number("timestamp")?,
        pcrs: read_pcrs(map.take("pcrs")?)?,
        certificate: within("certificate", map.take("certificate")?, CERTIFICATE_BYTES_MAX)?,
        authorities: read_authorities(map.take("cabundle")?)?,
        public_key: map.bytes_if_any("public_key", PUBLIC_KEY_BYTES_MAX)?,
        user_data: map.bytes_if_any("user_data", USER_DATA_BYTES_MAX)?,
        nonce: map.bytes_if_any("nonce", NONCE_BYTES_MAX)?,
    };
    map.finish()?;
    let (part, got) = ("module_id", payload.module_id.len());
    if !(1..=MODULE_ID_BYTES_MAX).contains(&got) {
        return Err(BadDocument::Length { part, got });
    }
    // It is shown before it is known to be signed.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    match payload.module_id.bytes().all(plain) {
        true => Ok(payload),
        false => Err(BadDocument::Type { part }),
    }
}

fn read_pcrs(value: Value) -> Result<BTreeMap<u64, [u8; PCR_BYTES]>, BadDocument> {
    let wrong = || BadDocument::Type { part: "pcrs" };
    let Value::Map(entries) = value else { return Err(wrong()) };
    let mut pcrs = BTreeMap::new();
    for (index, value) in entries {
        let index = index.as_integer().and_then(|index| u64::try_from(index).ok());
        let index = index.filter(|index| *index < PCRS_MAX).ok_or_else(wrong)?;
        let Value::Bytes(bytes) = value else { return Err(wrong()) };
        let got = bytes.len();
        let bytes = bytes.try_into().map_err(|_| BadDocument::Length { part: "pcrs", got })?;
        if pcrs.insert(index, bytes).is_some() {
            return Err(BadDocument::Twice { part: "pcrs" });
        }
    }
    match IMAGE_PCRS.iter().all(|index| pcrs.contains_key(index)) {
        true => Ok(pcrs),
        false => Err(BadDocument::Missing { part: "pcrs" }),
    }
}

fn read_authorities(value: Value) -> Result<Vec<Vec<u8>>, BadDocument> {
    let Value::Array(list) = value else { return Err(BadDocument::Type { part: "cabundle" }) };
    let got = list.len();
    if !(1..=AUTHORITIES_MAX).contains(&got) {
        return Err(BadDocument::Length { part: "cabundle", got });
    }
    list.into_iter().map(|value| within("cabundle", value, CERTIFICATE_BYTES_MAX)).collect()
}

/// Bytes, from one to so many.
fn within(part: &'static str, value: Value, bytes_max: usize) -> Result<Vec<u8>, BadDocument> {
    let Value::Bytes(bytes) = value else { return Err(BadDocument::Type { part }) };
    match bytes.len() {
        got if got == 0 || got > bytes_max => Err(BadDocument::Length { part, got }),
        _ => Ok(bytes),
    }
}

/// A map whose members are taken by name until nothing is left over.
struct Map(BTreeMap<String, Value>);

impl Map {
    fn new(value: Value) -> Result<Map, BadDocument> {
        let Value::Map(entries) = value else { return Err(BadDocument::Type { part: "payload" }) };
        let mut members = BTreeMap::new();
        for (name, value) in entries {
            let Value::Text(name) = name else {
                return Err(BadDocument::Type { part: "a member's name" });
            };
            if members.insert(name, value).is_some() {
                return Err(BadDocument::Twice { part: "payload" });
            }
        }
        Ok(Map(members))
    }

    fn take(&mut self, part: &'static str) -> Result<Value, BadDocument> {
        self.0.remove(part).ok_or(BadDocument::Missing { part })
    }

    fn text(&mut self, part: &'static str) -> Result<String, BadDocument> {
        self.take(part)?.into_text().map_err(|_| BadDocument::Type { part })
    }

    fn number(&mut self, part: &'static str) -> Result<u64, BadDocument> {
        let number = self.take(part)?.as_integer().and_then(|number| u64::try_from(number).ok());
        number.ok_or(BadDocument::Type { part })
    }

    /// Bytes, where there are any; null says as much as nothing.
    fn bytes_if_any(
        &mut self,
        part: &'static str,
        bytes_max: usize,
    ) -> Result<Option<Vec<u8>>, BadDocument> {
        match self.0.remove(part) {
            None | Some(Value::Null) => Ok(None),
            // AWS lets an enclave ask for nothing, which is not the same as not asking.
            Some(Value::Bytes(bytes)) if bytes.is_empty() => Ok(Some(bytes)),
            Some(value) => within(part, value, bytes_max).map(Some),
        }
    }

    fn finish(self) -> Result<(), BadDocument> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(BadDocument::Unknown),
        }
    }
}

/// Why bytes are no Nitro attestation document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadDocument {
    /// Another algorithm, or none.
    #[error("the protected header names another algorithm than ES384")]
    Algorithm,
    /// Nothing inside.
    #[error("the COSE_Sign1 has no payload")]
    Detached,
    /// Another digest.
    #[error("the registers are of another digest than SHA384")]
    Digest,
    /// Something besides the algorithm.
    #[error("a header says more than the algorithm")]
    Header,
    /// Too short or too long.
    #[error("{part} is {got} long")]
    Length {
        /// Which part.
        part: &'static str,
        /// Its length, in bytes or entries.
        got: usize,
    },
    /// A part that every document has is not there.
    #[error("{part} is missing, or a register of the image in it")]
    Missing {
        /// Which part.
        part: &'static str,
    },
    /// Spelled in another way than the shortest.
    #[error("the COSE_Sign1 is not spelled canonically")]
    NotCanonical,
    /// Broken.
    #[error("{part} is not CBOR")]
    NotCbor {
        /// Which part.
        part: &'static str,
    },
    /// CBOR of something else.
    #[error("it is no COSE_Sign1")]
    NotCose,
    /// Something behind the payload's map.
    #[error("{got} bytes follow in the payload")]
    Trailing {
        /// How many.
        got: usize,
    },
    /// A member or register twice.
    #[error("{part} has a member twice")]
    Twice {
        /// Which map.
        part: &'static str,
    },
    /// A value of another type, or a register beyond the last.
    #[error("{part} has a value of another type")]
    Type {
        /// Which part.
        part: &'static str,
    },
    /// A member that no document has.
    #[error("the payload has an unknown member")]
    Unknown,
}
