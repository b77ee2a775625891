//! The layout of an Intel TDX quote, version 4 (spec/evidence.md section 5).
//!
//! This reads; whether to believe what is read is decided in `tdx`.

use sha2::{Digest, Sha256};
use subrosa_protocol::B256;

/// Separates TDX measurements from those of other vendors in the list of releases.
const MEASUREMENT_TAG: &[u8] = b"subrosa/measurement/tdx/v1";

const HEADER_BYTES: usize = 48;
const BODY_BYTES: usize = 584;

const VERSION: u16 = 4;
const KEY_TYPE_ECDSA_P256: u16 = 2;
const TEE_TYPE_TDX: u32 = 0x81;
const INTEL_QE_VENDOR_ID: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];

/// The quote's signature and the attestation key, before the quoting enclave's part.
const SIGNATURE_AND_KEY_BYTES: usize = 64 + 64;
/// The quoting enclave's report and its signature.
const QE_REPORT_AND_SIGNATURE_BYTES: usize = 384 + 64;
const CERTIFICATION_QE_REPORT: u16 = 6;
const CERTIFICATION_PCK_CHAIN: u16 = 5;

/// A TDX quote whose structure is sound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TdxQuote<'a> {
    body: &'a [u8; BODY_BYTES],
    pck_chain: &'a [u8],
}

impl<'a> TdxQuote<'a> {
    /// Reads a quote, from its first byte to its last.
    pub(crate) fn parse(quote: &'a [u8]) -> Result<TdxQuote<'a>, BadQuote> {
        let mut reader = Reader(quote);
        let header = reader.array::<HEADER_BYTES>()?;
        check_header(header)?;
        let body = reader.array::<BODY_BYTES>()?;
        let mut signature = Reader(reader.block_u32()?);
        if !reader.0.is_empty() {
            return Err(BadQuote::TrailingBytes { got: reader.0.len() });
        }
        signature.bytes(SIGNATURE_AND_KEY_BYTES)?;
        let mut enclave = Reader(signature.certification(CERTIFICATION_QE_REPORT)?);
        signature.end()?;
        enclave.bytes(QE_REPORT_AND_SIGNATURE_BYTES)?;
        let authentication_length = enclave.u16()?;
        enclave.bytes(authentication_length.into())?;
        let pck_chain = enclave.certification(CERTIFICATION_PCK_CHAIN)?;
        enclave.end()?;
        Ok(TdxQuote { body, pck_chain })
    }

    /// The PEM chain of the certificate that signed the quoting enclave.
    pub(crate) fn pck_chain(&self) -> &'a [u8] {
        self.pck_chain
    }

    /// The attributes of the trust domain, as a little-endian number.
    pub(crate) fn td_attributes(&self) -> u64 {
        u64::from_le_bytes(self.field(120))
    }

    /// The measurement of what was loaded at start.
    pub(crate) fn mrtd(&self) -> [u8; 48] {
        self.field(136)
    }

    /// The measurements of what ran since.
    pub(crate) fn rtmrs(&self) -> [[u8; 48]; 4] {
        [328, 376, 424, 472].map(|offset| self.field(offset))
    }

    /// The bytes that the guest had signed.
    pub(crate) fn report_data(&self) -> [u8; 64] {
        self.field(520)
    }

    fn field<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.body[offset..offset + N].try_into().expect("every field lies inside the body")
    }
}

/// The measurement of a TDX image, as releases list it: SHA-256 of a tag, MRTD and RTMR 0 to 3.
pub fn tdx_measurement(mrtd: &[u8; 48], rtmrs: &[[u8; 48]; 4]) -> B256 {
    let mut hash = Sha256::new().chain_update(MEASUREMENT_TAG).chain_update(mrtd);
    for rtmr in rtmrs {
        hash.update(rtmr);
    }
    B256::from(<[u8; 32]>::from(hash.finalize()))
}

fn check_header(header: &[u8; HEADER_BYTES]) -> Result<(), BadQuote> {
    let version = u16::from_le_bytes([header[0], header[1]]);
    if version != VERSION {
        return Err(BadQuote::Version { got: version });
    }
    let key_type = u16::from_le_bytes([header[2], header[3]]);
    if key_type != KEY_TYPE_ECDSA_P256 {
        return Err(BadQuote::KeyType { got: key_type });
    }
    let tee_type = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if tee_type != TEE_TYPE_TDX {
        return Err(BadQuote::TeeType { got: tee_type });
    }
    if header[12..28] != INTEL_QE_VENDOR_ID {
        return Err(BadQuote::Vendor);
    }
    Ok(())
}

/// Takes fields off the front of a quote.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], BadQuote> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(BadQuote::TooShort)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], BadQuote> {
        Ok(self.bytes(N)?.try_into().expect("exactly so many bytes were taken"))
    }

    fn u16(&mut self) -> Result<u16, BadQuote> {
        self.array().map(|bytes| u16::from_le_bytes(*bytes))
    }

    /// Bytes after their length.
    fn block_u32(&mut self) -> Result<&'a [u8], BadQuote> {
        let length = u32::from_le_bytes(*self.array()?);
        self.bytes(usize::try_from(length).map_err(|_| BadQuote::TooShort)?)
    }

    /// Certification data of one type.
    fn certification(&mut self, expected: u16) -> Result<&'a [u8], BadQuote> {
        match self.u16()? {
            kind if kind == expected => self.block_u32(),
            got => Err(BadQuote::Certification { got, expected }),
        }
    }

    fn end(&self) -> Result<(), BadQuote> {
        match self.0 {
            [] => Ok(()),
            left => Err(BadQuote::InnerBytes { got: left.len() }),
        }
    }
}

/// Why bytes are no TDX quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadQuote {
    /// The certification data is of another type.
    #[error("the quote's certification data has type {got}, expected {expected}")]
    Certification {
        /// The type.
        got: u16,
        /// The one that the layout demands.
        expected: u16,
    },
    /// Bytes inside the quote belong to no field.
    #[error("{got} bytes inside the quote belong to no field")]
    InnerBytes {
        /// How many.
        got: usize,
    },
    /// Another kind of attestation key.
    #[error("the quote's attestation key has type {got}, expected ECDSA P-256")]
    KeyType {
        /// The type.
        got: u16,
    },
    /// Another kind of enclave.
    #[error("the quote is of TEE type {got:#x}, expected TDX")]
    TeeType {
        /// The type.
        got: u32,
    },
    /// A field lies beyond the end.
    #[error("the quote ends inside a field")]
    TooShort,
    /// Something follows the declared end.
    #[error("{got} bytes follow the quote")]
    TrailingBytes {
        /// How many.
        got: usize,
    },
    /// A quoting enclave that is not Intel's.
    #[error("the quoting enclave is not Intel's")]
    Vendor,
    /// Another version.
    #[error("the quote has version {got}, this verifier reads version 4")]
    Version {
        /// The version.
        got: u16,
    },
}
