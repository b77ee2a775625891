//! The SPDM 1.1 measurement report of a GPU or a switch (DSP0274, section GET_MEASUREMENTS), with
//! NVIDIA's opaque data.
//!
//! ```text
//! request[37]  0x11, 0xE0, p1, p2, nonce[32], slot
//! response     0x11, 0x60, p1, p2, blocks u8, record length u24le, record, nonce[32],
//!              opaque length u16le, opaque, signature[96]
//! block        index u8, 0x01, size u16le = 51, DMTF type u8, size u16le = 48, value[48]
//! opaque entry type u16le, length u16le, value
//! ```
//!
//! All before the signature is signed, the request included.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::architecture::Architecture;
use crate::crypto::FIXED_SIGNATURE_LEN;
use crate::hexes::Sha384;

/// Reports are 2 KiB (switch) to 4.3 KiB (GPU); the record's length field alone could say 16 MiB.
pub const REPORT_BYTES_MAX: usize = 64 * 1024;

const SPDM_1_1: u8 = 0x11;
const GET_MEASUREMENTS: u8 = 0xE0;
const MEASUREMENTS: u8 = 0x60;
const WITH_SIGNATURE: u8 = 0x01;
const ALL_BLOCKS: u8 = 0xFF;
const MEASUREMENT_LEN: usize = 48;
const DMTF_SPECIFICATION: u8 = 1;
/// DMTF types 0 to 4 are digests; bit 7 would mean raw bytes instead (DSP0274, table of types).
const DMTF_DIGEST_TYPE_MAX: u8 = 4;
const NVDEC_ON: u8 = 0xAA;
const NVDEC_OFF: u8 = 0x55;
const PROTECTED_ON: u8 = 0xAA;
const PROTECTED_OFF: u8 = 0x55;

mod opaque {
    pub(super) const DRIVER_VERSION: u16 = 3;
    pub(super) const VBIOS_VERSION: u16 = 6;
    pub(super) const NVDEC0_STATUS: u16 = 11;
    pub(super) const CHIP_SKU: u16 = 15;
    pub(super) const PROJECT: u16 = 17;
    pub(super) const PROJECT_SKU: u16 = 18;
    pub(super) const FWID: u16 = 20;
    pub(super) const PROTECTED_PCIE_STATUS: u16 = 21;
    /// Of a GPU, the switch behind each of its links; of a switch, its own number.
    pub(super) const SWITCH_NUMBERS: u16 = 22;
    pub(super) const CHIP_INFO: u16 = 35;
}

/// What may stand after a report's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailing {
    /// Nothing: for documents of one's own.
    Refuse,
    /// One byte: some collectors in the field append one.
    TolerateOne,
}

/// One measurement of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// From 1; reference measurements count from 0.
    pub index: u8,
    /// The measured digest.
    pub value: Sha384,
}

/// A parsed report. Nothing in it is proven before its signature and chain are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    signed: Vec<u8>,
    signature: [u8; FIXED_SIGNATURE_LEN],
    trailing: bool,
    request_nonce: [u8; 32],
    device_nonce: [u8; 32],
    blocks: Vec<Block>,
    fields: Fields,
}

/// What NVIDIA's opaque data says, as far as an appraisal needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fields {
    driver_version: Option<String>,
    vbios: Option<Vec<u8>>,
    project: Option<String>,
    project_sku: Option<String>,
    chip_sku: Option<String>,
    chip: Option<String>,
    fwid: Option<Sha384>,
    nvdec_on: Option<bool>,
    protected_pcie: Option<bool>,
    switch_numbers: Vec<[u8; 8]>,
}

/// Why bytes are no report.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the fields are named by the messages
pub enum ReportError {
    /// Longer than any device makes it.
    #[error("the report has {got} bytes, more than {REPORT_BYTES_MAX}")]
    TooLong { got: usize },
    /// Cut off.
    #[error("the report ends inside its {part}")]
    Truncated { part: &'static str },
    /// A fixed byte is another one.
    #[error("the report's {field} is {got:#04x}, not {expected:#04x}")]
    Unexpected { field: &'static str, got: u8, expected: u8 },
    /// The block count and the record disagree.
    #[error("the report says {said} measurement blocks and holds {held}")]
    BlockCount { said: u8, held: usize },
    /// A block index is 0: they count from 1.
    #[error("the report has a measurement block of index 0")]
    BlockIndexZero,
    /// The same index twice: which one counts would be anybody's choice.
    #[error("the report has measurement block {index} twice")]
    BlockTwice { index: u8 },
    /// A block is not a DMTF digest of 48 bytes.
    #[error(
        "measurement block {index} has specification {specification}, size {size}, \
         type {dmtf_type:#04x}, value size {value_size}: not a SHA-384 digest"
    )]
    BlockForm { index: u8, specification: u8, size: u16, dmtf_type: u8, value_size: u16 },
    /// The same opaque entry twice.
    #[error("the report has opaque entry {kind} twice")]
    FieldTwice { kind: u16 },
    /// An opaque entry has another form than NVIDIA's.
    #[error("the report's opaque entry {kind} has an unknown form")]
    FieldForm { kind: u16 },
    /// Bytes after the signature.
    #[error("{got} bytes follow the report's signature")]
    Trailing { got: usize },
}

impl Report {
    /// Reads a report: request, response and signature.
    ///
    /// # Errors
    /// Names the first byte, block or entry that is not as the format demands.
    pub fn parse(bytes: &[u8], trailing: Trailing) -> Result<Self, ReportError> {
        if bytes.len() > REPORT_BYTES_MAX {
            return Err(ReportError::TooLong { got: bytes.len() });
        }
        let mut reader = Reader { rest: bytes };
        let request_nonce = request(&mut reader)?;
        expect("response version", reader.u8("response")?, SPDM_1_1)?;
        expect("response code", reader.u8("response")?, MEASUREMENTS)?;
        reader.take(2, "response")?;
        let count = reader.u8("response")?;
        let record_len = reader.u24("response")?;
        let blocks = blocks(reader.take(record_len, "measurement record")?, count)?;
        let device_nonce = reader.array("device nonce")?;
        let opaque_len = usize::from(reader.u16("opaque data")?);
        let fields = Fields::parse(reader.take(opaque_len, "opaque data")?)?;
        let signed = bytes[..bytes.len() - reader.rest.len()].to_vec();
        let signature = reader.array("signature")?;
        let left = reader.rest.len();
        if left > usize::from(trailing == Trailing::TolerateOne) {
            return Err(ReportError::Trailing { got: left });
        }
        let trailing = left == 1;
        Ok(Self { signed, signature, trailing, request_nonce, device_nonce, blocks, fields })
    }

    /// The verifier's nonce, which the report answers.
    pub fn request_nonce(&self) -> &[u8; 32] {
        &self.request_nonce
    }

    /// The device's own random; proves nothing to a verifier.
    pub fn device_nonce(&self) -> &[u8; 32] {
        &self.device_nonce
    }

    /// The measurements, in the report's order; every index occurs once.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The bytes that the signature covers.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// The signature, r ‖ s.
    pub fn signature(&self) -> &[u8; 96] {
        &self.signature
    }

    /// Whether one byte followed the signature (only where [`Trailing::TolerateOne`] let it).
    pub fn has_trailing_byte(&self) -> bool {
        self.trailing
    }

    /// The driver's version, `570.172.08`; none on a switch.
    pub fn driver_version(&self) -> Option<&str> {
        self.fields.driver_version.as_deref()
    }

    /// The firmware's version in upper case, `96.00.5E.00.01`, as reference measurements spell it.
    pub fn vbios_version(&self, architecture: Architecture) -> Option<String> {
        let bytes = self.fields.vbios.as_deref()?;
        if !architecture.is_gpu() {
            return text(bytes).map(|version| version.to_ascii_uppercase());
        }
        let [b0, b1, b2, b3, b4, 0, 0, 0] = *bytes else { return None };
        Some(format!("{b3:02X}.{b2:02X}.{b1:02X}.{b0:02X}.{b4:02X}"))
    }

    /// The board's project, `G520`.
    pub fn project(&self) -> Option<&str> {
        self.fields.project.as_deref()
    }

    /// The board's project SKU, `0280`.
    pub fn project_sku(&self) -> Option<&str> {
        self.fields.project_sku.as_deref()
    }

    /// The chip's SKU, `895`.
    pub fn chip_sku(&self) -> Option<&str> {
        self.fields.chip_sku.as_deref()
    }

    /// The chip, `GB100`, where the report says it (newer Blackwell firmware).
    pub fn chip(&self) -> Option<&str> {
        self.fields.chip.as_deref()
    }

    /// The identity of the firmware that signs; absent from old firmware and from switches.
    pub fn fwid(&self) -> Option<Sha384> {
        self.fields.fwid
    }

    /// Whether the video decoder is off; then measurement 35 has no meaning.
    pub fn nvdec_off(&self) -> bool {
        self.fields.nvdec_on == Some(false)
    }

    /// Whether the links between GPUs and switches are protected by leaving them to one guest
    /// (PPCIE mode); `None` where firmware does not say.
    pub fn protected_pcie(&self) -> Option<bool> {
        self.fields.protected_pcie
    }

    /// The switches that a GPU is linked to, or a switch's own number; empty where firmware does not
    /// say. A GPU writes the numbers with their bytes reversed, and zeros for a link that is off.
    pub fn switch_numbers(&self, architecture: Architecture) -> BTreeSet<[u8; 8]> {
        let mut numbers = self.fields.switch_numbers.clone();
        if architecture.is_gpu() {
            numbers.retain(|number| *number != [0; 8]);
            numbers.iter_mut().for_each(|number| number.reverse());
        }
        numbers.into_iter().collect()
    }

    /// The name under which NVIDIA serves the driver's reference measurements; none on a switch.
    pub fn driver_rim_id(&self, architecture: Architecture) -> Option<String> {
        let version = self.driver_version()?;
        match architecture {
            Architecture::Hopper => Some(format!("NV_GPU_DRIVER_GH100_{version}")),
            Architecture::Blackwell => {
                Some(format!("NV_GPU_CC_DRIVER_{}_{version}", self.chip().unwrap_or("GB100")))
            }
            Architecture::Ls10 => None,
        }
    }

    /// The name under which NVIDIA serves the firmware's reference measurements.
    pub fn vbios_rim_id(&self, architecture: Architecture) -> Option<String> {
        let version = self.vbios_version(architecture)?.replace('.', "");
        if !architecture.is_gpu() {
            return Some(format!("NV_SWITCH_BIOS_5612_0002_890_{version}"));
        }
        let (project, sku, chip) = (self.project()?, self.project_sku()?, self.chip_sku()?);
        let id = format!("NV_GPU_VBIOS_{project}_{sku}_{chip}_{version}");
        Some(id.to_ascii_uppercase())
    }
}

fn request(reader: &mut Reader<'_>) -> Result<[u8; 32], ReportError> {
    expect("request version", reader.u8("request")?, SPDM_1_1)?;
    expect("request code", reader.u8("request")?, GET_MEASUREMENTS)?;
    expect("request attributes", reader.u8("request")?, WITH_SIGNATURE)?;
    expect("request operation", reader.u8("request")?, ALL_BLOCKS)?;
    let nonce = reader.array("request")?;
    expect("request slot", reader.u8("request")?, 0)?;
    Ok(nonce)
}

fn blocks(record: &[u8], said: u8) -> Result<Vec<Block>, ReportError> {
    let mut reader = Reader { rest: record };
    let mut seen = [false; 256];
    let mut blocks = Vec::with_capacity(usize::from(said));
    while !reader.rest.is_empty() {
        let block = block(&mut reader)?;
        let seen = &mut seen[usize::from(block.index)];
        if *seen {
            return Err(ReportError::BlockTwice { index: block.index });
        }
        *seen = true;
        blocks.push(block);
    }
    if blocks.len() != usize::from(said) {
        return Err(ReportError::BlockCount { said, held: blocks.len() });
    }
    Ok(blocks)
}

fn block(reader: &mut Reader<'_>) -> Result<Block, ReportError> {
    const PART: &str = "measurement block";
    let index = reader.u8(PART)?;
    let specification = reader.u8(PART)?;
    let size = reader.u16(PART)?;
    let dmtf_type = reader.u8(PART)?;
    let value_size = reader.u16(PART)?;
    let of_form = specification == DMTF_SPECIFICATION
        && usize::from(size) == MEASUREMENT_LEN + 3
        && dmtf_type <= DMTF_DIGEST_TYPE_MAX
        && usize::from(value_size) == MEASUREMENT_LEN;
    if !of_form {
        return Err(ReportError::BlockForm { index, specification, size, dmtf_type, value_size });
    }
    if index == 0 {
        return Err(ReportError::BlockIndexZero);
    }
    Ok(Block { index, value: Sha384(reader.array(PART)?) })
}

impl Fields {
    fn parse(opaque: &[u8]) -> Result<Self, ReportError> {
        let mut fields = Self::default();
        let mut seen = BTreeSet::new();
        let mut reader = Reader { rest: opaque };
        while !reader.rest.is_empty() {
            let kind = reader.u16("opaque entry")?;
            let len = usize::from(reader.u16("opaque entry")?);
            let value = reader.take(len, "opaque entry")?;
            if !seen.insert(kind) {
                return Err(ReportError::FieldTwice { kind });
            }
            fields.set(kind, value).ok_or(ReportError::FieldForm { kind })?;
        }
        Ok(fields)
    }

    /// Keeps what an appraisal needs of an entry; `None` where its form is unknown.
    fn set(&mut self, kind: u16, value: &[u8]) -> Option<()> {
        match kind {
            opaque::DRIVER_VERSION => self.driver_version = Some(text(value)?),
            opaque::VBIOS_VERSION => self.vbios = Some(value.to_vec()),
            opaque::PROJECT => self.project = Some(text(value)?),
            opaque::PROJECT_SKU => self.project_sku = Some(text(value)?),
            opaque::CHIP_SKU => self.chip_sku = Some(text(value)?),
            opaque::CHIP_INFO => self.chip = Some(text(value)?),
            opaque::FWID => self.fwid = Some(Sha384(value.try_into().ok()?)),
            opaque::NVDEC0_STATUS => self.nvdec_on = Some(switch(value, NVDEC_ON, NVDEC_OFF)?),
            opaque::PROTECTED_PCIE_STATUS => {
                self.protected_pcie = Some(switch(value, PROTECTED_ON, PROTECTED_OFF)?);
            }
            opaque::SWITCH_NUMBERS => {
                let (numbers, []) = value.as_chunks() else { return None };
                self.switch_numbers = numbers.to_vec();
            }
            _ => {}
        }
        Some(())
    }
}

fn switch(value: &[u8], on: u8, off: u8) -> Option<bool> {
    match value {
        [byte] if *byte == on => Some(true),
        [byte] if *byte == off => Some(false),
        _ => None,
    }
}

/// Text that NULs may follow. The characters are those that a file name or an address may hold as
/// they are, because ids are made of it.
fn text(value: &[u8]) -> Option<String> {
    let end = value.iter().rposition(|byte| *byte != 0)? + 1;
    let text = std::str::from_utf8(&value[..end]).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.chars().all(plain).then(|| text.to_owned())
}

fn expect(field: &'static str, got: u8, expected: u8) -> Result<(), ReportError> {
    if got == expected { Ok(()) } else { Err(ReportError::Unexpected { field, got, expected }) }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize, part: &'static str) -> Result<&'a [u8], ReportError> {
        let (taken, rest) =
            self.rest.split_at_checked(len).ok_or(ReportError::Truncated { part })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], ReportError> {
        let taken = self.take(N, part)?;
        Ok(taken.try_into().expect("take returns as many bytes as asked"))
    }

    fn u8(&mut self, part: &'static str) -> Result<u8, ReportError> {
        Ok(self.take(1, part)?[0])
    }

    fn u16(&mut self, part: &'static str) -> Result<u16, ReportError> {
        Ok(u16::from_le_bytes(self.array(part)?))
    }

    fn u24(&mut self, part: &'static str) -> Result<usize, ReportError> {
        let [a, b, c] = self.array(part)?;
        Ok(usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16)
    }
}

#[cfg(test)]
mod tests;
