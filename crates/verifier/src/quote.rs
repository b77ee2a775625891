//! The layout of Intel's quotes: SGX version 3, TDX versions 4 and 5 (spec/evidence.md section 5).
//!
//! This reads; whether to believe what is read is decided in `dcap`, `sgx` and `tdx`.

use sha2::{Digest, Sha256};
use subrosa_protocol::B256;

use crate::kind::Cpu;

/// Separates TDX measurements from those of other vendors in the list of releases.
const TDX_MEASUREMENT_TAG: &[u8] = b"subrosa/measurement/tdx/v1";
/// The same for SGX.
const SGX_MEASUREMENT_TAG: &[u8] = b"subrosa/measurement/sgx/v1";

const HEADER_BYTES: usize = 48;
const SGX_BODY_BYTES: usize = 384;
const TD_1_0_BODY_BYTES: usize = 584;
const TD_1_5_BODY_BYTES: usize = 648;

const VERSION_SGX: u16 = 3;
const VERSION_TDX: u16 = 4;
/// The version that names the kind of its body.
const VERSION_TYPED: u16 = 5;
const KEY_TYPE_ECDSA_P256: u16 = 2;
const TEE_TYPE_SGX: u32 = 0;
const TEE_TYPE_TDX: u32 = 0x81;
const BODY_TYPE_TD_1_0: u16 = 2;
const BODY_TYPE_TD_1_5: u16 = 3;
const INTEL_QE_VENDOR_ID: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];

/// The quote's signature and the attestation key, before the quoting enclave's part.
const SIGNATURE_AND_KEY_BYTES: usize = 64 + 64;
/// The quoting enclave's report and its signature.
const QE_REPORT_AND_SIGNATURE_BYTES: usize = 384 + 64;
const CERTIFICATION_QE_REPORT: u16 = 6;
const CERTIFICATION_PCK_CHAIN: u16 = 5;

/// A quote whose structure is sound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quote<'a> {
    /// 3, 4 or 5.
    pub(crate) version: u16,
    /// What the hardware says of the guest.
    pub(crate) body: Body<'a>,
    /// The PEM chain of the certificate that signed the quoting enclave.
    pub(crate) pck_chain: &'a [u8],
}

/// What the hardware says of a guest, by kind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body<'a> {
    Sgx(SgxBody<'a>),
    Tdx(TdxBody<'a>),
}

impl Body<'_> {
    /// The TEE that the guest runs in.
    pub(crate) fn tee(&self) -> &'static str {
        match self {
            Body::Sgx(_) => "SGX",
            Body::Tdx(_) => "TDX",
        }
    }
}

impl<'a> Quote<'a> {
    /// Which of the layouts it has, in words.
    pub(crate) fn layout(&self) -> String {
        let (tee, version) = (self.body.tee(), self.version);
        match self.body {
            Body::Sgx(_) => format!("{tee} version {version}"),
            Body::Tdx(body) => format!("{tee} version {version}, {}", body.kind()),
        }
    }

    /// Reads a quote, from its first byte to its last.
    pub(crate) fn parse(quote: &'a [u8]) -> Result<Quote<'a>, BadQuote> {
        let mut reader = Reader(quote);
        let (version, body, signature) = read_declared(&mut reader)?;
        if !reader.0.is_empty() {
            return Err(BadQuote::TrailingBytes { got: reader.0.len() });
        }
        let mut signature = Reader(signature);
        signature.bytes(SIGNATURE_AND_KEY_BYTES)?;
        let mut enclave = match version {
            // SGX quotes have the quoting enclave's part without anything around it.
            VERSION_SGX => Reader(std::mem::take(&mut signature.0)),
            _ => Reader(signature.certification(CERTIFICATION_QE_REPORT)?),
        };
        signature.end()?;
        enclave.bytes(QE_REPORT_AND_SIGNATURE_BYTES)?;
        let authentication_length = enclave.u16()?;
        enclave.bytes(authentication_length.into())?;
        let pck_chain = enclave.certification(CERTIFICATION_PCK_CHAIN)?;
        enclave.end()?;
        Ok(Quote { version, body, pck_chain })
    }
}

/// Header, body and the signature's block: as far as a quote declares to reach.
fn read_declared<'a>(reader: &mut Reader<'a>) -> Result<(u16, Body<'a>, &'a [u8]), BadQuote> {
    let (version, tee_type) = check_header(reader.array::<HEADER_BYTES>()?)?;
    let body = match (version, tee_type) {
        (VERSION_SGX, TEE_TYPE_SGX) => Body::Sgx(SgxBody(reader.array()?)),
        (VERSION_TDX, TEE_TYPE_TDX) => Body::Tdx(TdxBody::Td10(reader.array()?)),
        (VERSION_TYPED, TEE_TYPE_TDX) => Body::Tdx(read_typed_body(reader)?),
        _ => return Err(BadQuote::TeeType { got: tee_type, version }),
    };
    Ok((version, body, reader.block_u32()?))
}

fn read_typed_body<'a>(reader: &mut Reader<'a>) -> Result<TdxBody<'a>, BadQuote> {
    let kind = reader.u16()?;
    let block = reader.block_u32()?;
    let wrong_size = BadQuote::BodySize { kind, got: block.len() };
    match kind {
        BODY_TYPE_TD_1_0 => block.try_into().map(TdxBody::Td10).map_err(|_| wrong_size),
        BODY_TYPE_TD_1_5 => block.try_into().map(TdxBody::Td15).map_err(|_| wrong_size),
        got => Err(BadQuote::BodyType { got }),
    }
}

/// A quote as far as it declares to reach. Nothing in it is proven: its signature is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrimmedQuote<'a> {
    /// The processor that it is of: [`Cpu::Sgx`] or [`Cpu::Tdx`].
    pub cpu: Cpu,
    /// The quote without what follows it.
    pub quote: &'a [u8],
    /// The bytes that it says the guest had signed.
    pub report_data: [u8; 64],
    /// How many bytes of zero followed.
    pub zeros: usize,
}

/// Cuts a quote of Intel's where it declares to end; platforms append up to some thousand zeros.
///
/// # Errors
/// [`BadQuote`] where the bytes are no quote, or another byte than zero follows.
pub fn trim_quote(bytes: &[u8]) -> Result<TrimmedQuote<'_>, BadQuote> {
    let mut reader = Reader(bytes);
    let (_, body, _) = read_declared(&mut reader)?;
    let rest = reader.0;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(BadQuote::TrailingBytes { got: rest.len() });
    }
    let (cpu, report_data) = match body {
        Body::Sgx(body) => (Cpu::Sgx, body.report_data()),
        Body::Tdx(body) => (Cpu::Tdx, body.report_data()),
    };
    let quote = &bytes[..bytes.len() - rest.len()];
    Ok(TrimmedQuote { cpu, quote, report_data, zeros: rest.len() })
}

/// The report of an SGX enclave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SgxBody<'a>(pub(crate) &'a [u8; SGX_BODY_BYTES]);

impl SgxBody<'_> {
    /// Which extensions of the exception state the enclave has, as a little-endian number.
    pub(crate) fn misc_select(&self) -> u32 {
        u32::from_le_bytes(self.field(16))
    }

    /// The enclave's attributes, as a little-endian number.
    pub(crate) fn attributes(&self) -> u64 {
        u64::from_le_bytes(self.field(48))
    }

    /// The processor state that the enclave may use, as a little-endian number.
    pub(crate) fn xfrm(&self) -> u64 {
        u64::from_le_bytes(self.field(56))
    }

    /// The measurement of what was loaded.
    pub(crate) fn mrenclave(&self) -> [u8; 32] {
        self.field(64)
    }

    /// The hash of the key that signed the enclave.
    pub(crate) fn mrsigner(&self) -> [u8; 32] {
        self.field(128)
    }

    /// The signer's number for the product.
    pub(crate) fn isv_prod_id(&self) -> u16 {
        u16::from_le_bytes(self.field(256))
    }

    /// The signer's number for the security version.
    pub(crate) fn isv_svn(&self) -> u16 {
        u16::from_le_bytes(self.field(258))
    }

    /// What whoever started the enclave says of its configuration (CONFIGID, CONFIGSVN).
    pub(crate) fn config(&self) -> ([u8; 64], u16) {
        (self.field(192), u16::from_le_bytes(self.field(260)))
    }

    /// The bytes that the enclave had signed.
    pub(crate) fn report_data(&self) -> [u8; 64] {
        self.field(320)
    }

    fn field<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.0[offset..offset + N].try_into().expect("every field lies inside the body")
    }
}

/// The report of a trust domain.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TdxBody<'a> {
    Td10(&'a [u8; TD_1_0_BODY_BYTES]),
    Td15(&'a [u8; TD_1_5_BODY_BYTES]),
}

impl TdxBody<'_> {
    /// The name of its kind.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            TdxBody::Td10(_) => "TD 1.0",
            TdxBody::Td15(_) => "TD 1.5",
        }
    }

    /// The measurement of the TDX module.
    pub(crate) fn mrseam(&self) -> [u8; 48] {
        self.field(16)
    }

    /// The attributes of the trust domain, as a little-endian number.
    pub(crate) fn td_attributes(&self) -> u64 {
        u64::from_le_bytes(self.field(120))
    }

    /// The processor state that the guest may use, as a little-endian number.
    pub(crate) fn xfam(&self) -> u64 {
        u64::from_le_bytes(self.field(128))
    }

    /// The measurement of what was loaded at start.
    pub(crate) fn mrtd(&self) -> [u8; 48] {
        self.field(136)
    }

    /// What the host says of the guest's configuration.
    pub(crate) fn mrconfigid(&self) -> [u8; 48] {
        self.field(184)
    }

    /// What the host says of the guest's owner.
    pub(crate) fn mrowner(&self) -> [u8; 48] {
        self.field(232)
    }

    /// What the host says of the owner's configuration.
    pub(crate) fn mrownerconfig(&self) -> [u8; 48] {
        self.field(280)
    }

    /// The measurements of what ran since.
    pub(crate) fn rtmrs(&self) -> [[u8; 48]; 4] {
        [328, 376, 424, 472].map(|offset| self.field(offset))
    }

    /// The bytes that the guest had signed.
    pub(crate) fn report_data(&self) -> [u8; 64] {
        self.field(520)
    }

    /// The measurement of the service domains that are bound to the guest; TD 1.0 has none.
    pub(crate) fn mrservicetd(&self) -> Option<[u8; 48]> {
        match self {
            TdxBody::Td10(_) => None,
            TdxBody::Td15(_) => Some(self.field(600)),
        }
    }

    fn field<const N: usize>(&self, offset: usize) -> [u8; N] {
        let body: &[u8] = match self {
            TdxBody::Td10(body) => &body[..],
            TdxBody::Td15(body) => &body[..],
        };
        body[offset..offset + N].try_into().expect("every field lies inside its kind of body")
    }
}

/// The measurement of a TDX image, as releases list it: SHA-256 of a tag, MRTD and RTMR 0 to 3.
pub fn tdx_measurement(mrtd: &[u8; 48], rtmrs: &[[u8; 48]; 4]) -> B256 {
    let mut hash = Sha256::new().chain_update(TDX_MEASUREMENT_TAG).chain_update(mrtd);
    for rtmr in rtmrs {
        hash.update(rtmr);
    }
    B256::from(<[u8; 32]>::from(hash.finalize()))
}

/// The measurement of an SGX enclave, as releases list it: SHA-256 of a tag, MRENCLAVE, MRSIGNER,
/// ISVPRODID and ISVSVN, both big-endian.
pub fn sgx_measurement(
    mrenclave: &[u8; 32],
    mrsigner: &[u8; 32],
    isv_prod_id: u16,
    isv_svn: u16,
) -> B256 {
    let hash = Sha256::new()
        .chain_update(SGX_MEASUREMENT_TAG)
        .chain_update(mrenclave)
        .chain_update(mrsigner)
        .chain_update(isv_prod_id.to_be_bytes())
        .chain_update(isv_svn.to_be_bytes());
    B256::from(<[u8; 32]>::from(hash.finalize()))
}

/// The version and the kind of TEE, of a header that this verifier reads.
fn check_header(header: &[u8; HEADER_BYTES]) -> Result<(u16, u32), BadQuote> {
    let version = u16::from_le_bytes([header[0], header[1]]);
    if ![VERSION_SGX, VERSION_TDX, VERSION_TYPED].contains(&version) {
        return Err(BadQuote::Version { got: version });
    }
    let key_type = u16::from_le_bytes([header[2], header[3]]);
    if key_type != KEY_TYPE_ECDSA_P256 {
        return Err(BadQuote::KeyType { got: key_type });
    }
    if header[12..28] != INTEL_QE_VENDOR_ID {
        return Err(BadQuote::Vendor);
    }
    Ok((version, u32::from_le_bytes([header[4], header[5], header[6], header[7]])))
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

/// Why bytes are no quote of Intel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuote {
    /// The body has another length than its kind.
    #[error("the quote's body of type {kind} has {got} bytes")]
    BodySize {
        /// The kind.
        kind: u16,
        /// The length.
        got: usize,
    },
    /// The body is of another kind.
    #[error("the quote's body has type {got}, this verifier reads 2 (TD 1.0) and 3 (TD 1.5)")]
    BodyType {
        /// The kind.
        got: u16,
    },
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
    /// Another kind of TEE than quotes of this version are of.
    #[error("a quote of version {version} cannot be of TEE type {got:#x}")]
    TeeType {
        /// The type.
        got: u32,
        /// The quote's version.
        version: u16,
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
    #[error("the quote has version {got}, this verifier reads 3 (SGX), 4 and 5 (TDX)")]
    Version {
        /// The version.
        got: u16,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHAIN: &[u8] = b"a chain";

    fn header(version: u16, tee_type: u32) -> Vec<u8> {
        let mut header = [version.to_le_bytes(), 2_u16.to_le_bytes()].concat();
        header.extend(tee_type.to_le_bytes());
        header.extend([0; 4]);
        header.extend(INTEL_QE_VENDOR_ID);
        header.extend([0; 20]);
        header
    }

    fn block(kind: u16, bytes: &[u8]) -> Vec<u8> {
        [&kind.to_le_bytes()[..], &(bytes.len() as u32).to_le_bytes(), bytes].concat()
    }

    /// A quote of sound structure, signed by nobody.
    fn quote(version: u16, body: &[u8]) -> Vec<u8> {
        let tee_type = if version == VERSION_SGX { TEE_TYPE_SGX } else { TEE_TYPE_TDX };
        let mut enclave = vec![0; QE_REPORT_AND_SIGNATURE_BYTES];
        enclave.extend([2, 0, 7, 7]);
        enclave.extend(block(CERTIFICATION_PCK_CHAIN, CHAIN));
        let mut signature = vec![0; SIGNATURE_AND_KEY_BYTES];
        match version {
            VERSION_SGX => signature.extend(enclave),
            _ => signature.extend(block(CERTIFICATION_QE_REPORT, &enclave)),
        }
        let length = signature.len() as u32;
        [&header(version, tee_type)[..], body, &length.to_le_bytes(), &signature].concat()
    }

    /// One quote of each layout, with the bytes of its body counted up.
    fn quotes() -> [Vec<u8>; 4] {
        let body = |length: usize| (0..length).map(|at| at as u8).collect::<Vec<u8>>();
        [
            quote(VERSION_SGX, &body(SGX_BODY_BYTES)),
            quote(VERSION_TDX, &body(TD_1_0_BODY_BYTES)),
            quote(VERSION_TYPED, &block(BODY_TYPE_TD_1_0, &body(TD_1_0_BODY_BYTES))),
            quote(VERSION_TYPED, &block(BODY_TYPE_TD_1_5, &body(TD_1_5_BODY_BYTES))),
        ]
    }

    #[test]
    fn every_layout_is_read_to_the_same_fields() {
        for quote in quotes() {
            let read = Quote::parse(&quote).unwrap();
            assert_eq!(read.pck_chain, CHAIN);
            match read.body {
                Body::Sgx(body) => {
                    assert_eq!(body.misc_select(), 0x1312_1110);
                    assert_eq!(body.attributes(), 0x3736_3534_3332_3130);
                    assert_eq!((body.mrenclave()[0], body.mrsigner()[0]), (64, 128));
                    assert_eq!((body.isv_prod_id(), body.isv_svn()), (0x0100, 0x0302));
                    assert_eq!((body.config().0[0], body.config().1), (192, 0x0504));
                    assert_eq!(body.report_data()[0], 64);
                }
                Body::Tdx(body) => {
                    assert_eq!(body.mrseam()[0], 16);
                    assert_eq!(body.td_attributes() & 0xff, 120);
                    assert_eq!(body.xfam() & 0xff, 128);
                    assert_eq!(body.mrtd()[0], 136);
                    assert_eq!(body.mrconfigid()[0], 184);
                    assert_eq!((body.mrowner()[0], body.mrownerconfig()[0]), (232, 24));
                    assert_eq!(body.rtmrs().map(|rtmr| rtmr[0]), [72, 120, 168, 216]);
                    assert_eq!(body.report_data()[0], 8);
                    let service = matches!(body, TdxBody::Td15(_)).then_some(88);
                    assert_eq!(body.mrservicetd().map(|hash| hash[0]), service);
                }
            }
        }
    }

    #[test]
    fn a_quote_cut_anywhere_is_too_short() {
        for quote in quotes() {
            for length in 0..quote.len() {
                assert_eq!(Quote::parse(&quote[..length]).unwrap_err(), BadQuote::TooShort);
                assert_eq!(trim_quote(&quote[..length]), Err(BadQuote::TooShort));
            }
        }
    }

    #[test]
    fn zeros_behind_a_quote_are_trimmed_and_nothing_else_is() {
        for quote in quotes() {
            let whole = trim_quote(&quote).unwrap();
            let cpu = if quote[0] == 3 { Cpu::Sgx } else { Cpu::Tdx };
            assert_eq!((whole.cpu, whole.quote, whole.zeros), (cpu, &quote[..], 0));
            let report_data = match Quote::parse(&quote).unwrap().body {
                Body::Sgx(body) => body.report_data(),
                Body::Tdx(body) => body.report_data(),
            };
            assert_eq!(whole.report_data, report_data);
            for zeros in [1, 70, 8_000] {
                let mut padded = quote.clone();
                padded.resize(quote.len() + zeros, 0);
                assert_eq!(trim_quote(&padded), Ok(TrimmedQuote { zeros, ..whole }));
                let trailing = BadQuote::TrailingBytes { got: zeros };
                assert_eq!(Quote::parse(&padded).unwrap_err(), trailing);
                *padded.last_mut().unwrap() = b'\n';
                assert_eq!(trim_quote(&padded), Err(trailing));
            }
        }
    }

    #[test]
    fn bytes_that_belong_to_no_field_are_refused() {
        for quote in quotes() {
            // One more byte behind the chain, counted by every length around it or by some.
            let lengths: Vec<usize> = match quote[0] {
                3 => vec![HEADER_BYTES + SGX_BODY_BYTES],
                4 => vec![HEADER_BYTES + TD_1_0_BODY_BYTES],
                _ => vec![HEADER_BYTES + 6 + if quote[48] == 3 { 648 } else { 584 }],
            };
            let mut longer = quote.clone();
            longer.push(0);
            let outer = lengths[0];
            longer[outer] += 1;
            assert_eq!(Quote::parse(&longer).unwrap_err(), BadQuote::InnerBytes { got: 1 });
            if quote[0] != 3 {
                longer[outer + 4 + SIGNATURE_AND_KEY_BYTES + 2] += 1;
                assert_eq!(Quote::parse(&longer).unwrap_err(), BadQuote::InnerBytes { got: 1 });
            }
        }
    }

    #[test]
    fn other_headers_are_refused_by_name() {
        let changed = |at: usize, value: u8| {
            let mut quote = quotes()[1].clone();
            quote[at] = value;
            Quote::parse(&quote).unwrap_err()
        };
        for version in [0, 1, 2, 6] {
            assert_eq!(changed(0, version), BadQuote::Version { got: version.into() });
        }
        assert_eq!(changed(2, 3), BadQuote::KeyType { got: 3 });
        assert_eq!(changed(4, 0x82), BadQuote::TeeType { got: 0x82, version: 4 });
        // SGX has quotes of version 3 alone.
        assert_eq!(changed(4, 0), BadQuote::TeeType { got: 0, version: 4 });
        assert_eq!(changed(0, 3), BadQuote::TeeType { got: 0x81, version: 3 });
        for at in 12..28 {
            assert_eq!(changed(at, 0), BadQuote::Vendor);
        }
    }

    #[test]
    fn other_bodies_and_certification_data_are_refused_by_name() {
        for got in [0, 1, 4, 0xffff] {
            let quote = quote(VERSION_TYPED, &block(got, &[0; TD_1_0_BODY_BYTES]));
            assert_eq!(Quote::parse(&quote).unwrap_err(), BadQuote::BodyType { got });
        }
        for (kind, got) in [(2, 583), (2, 648), (3, 584), (3, 885), (2, 0)] {
            let quote = quote(VERSION_TYPED, &block(kind, &vec![0; got]));
            assert_eq!(Quote::parse(&quote).unwrap_err(), BadQuote::BodySize { kind, got });
        }
        let mut quote = quotes()[1].clone();
        let outer = HEADER_BYTES + TD_1_0_BODY_BYTES + 4 + SIGNATURE_AND_KEY_BYTES;
        quote[outer] = 5;
        let refused = BadQuote::Certification { got: 5, expected: 6 };
        assert_eq!(Quote::parse(&quote).unwrap_err(), refused);
        let mut quote = quotes()[0].clone();
        let inner = quote.len() - CHAIN.len() - 6;
        quote[inner] = 1;
        let refused = BadQuote::Certification { got: 1, expected: 5 };
        assert_eq!(Quote::parse(&quote).unwrap_err(), refused);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            start in 0..4_usize,
            at in 0..1_500_usize,
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut quote = quotes()[start].clone();
            let at = at.min(quote.len());
            quote.splice(at..(at + bytes.len()).min(quote.len()), bytes);
            if let Ok(trimmed) = trim_quote(&quote) {
                prop_assert_eq!(trimmed.quote.len() + trimmed.zeros, quote.len());
            }
            let _ = Quote::parse(&quote);
        }
    }
}
