//! Reading a GGUF file as what it is: foreign bytes full of counts, lengths and offsets.
//!
//! A first walk over the header checks the bounds below without allocating; only then does candle's
//! reader build its tables, and each tensor's place is checked before any is read.

use std::io::Cursor;

use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::{GgmlDType, QTensor};

use super::fault::ModelFault;

/// Tensors of a file: nine a layer for some hundreds of layers, and a few.
const TENSORS_MAX: u64 = 4096;
/// Keys of the metadata.
const KEYS_MAX: u64 = 1024;
/// Elements of all arrays together: the tables of a tokenizer have some 600,000 at most. Each takes
/// 32 bytes of memory once read.
const ELEMENTS_MAX: u64 = 4 << 20;
/// Bytes of one string; the longest are chat templates.
const STRING_BYTES_MAX: u64 = 1 << 20;
/// Alignment of the tensors; 32 where the file does not say.
const ALIGNMENT_MAX: u32 = 1 << 16;

/// A file whose header was checked.
#[derive(Debug)]
pub(super) struct Gguf<'a> {
    bytes: &'a [u8],
    content: Content,
}

impl<'a> Gguf<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ModelFault> {
        let header = Walk { rest: bytes }.header()?;
        let content = Content::read(&mut Cursor::new(bytes)).map_err(ModelFault::not_gguf)?;
        if content.metadata.len() as u64 != header.keys {
            return Err(ModelFault::not_gguf("a key stands twice"));
        }
        if content.tensor_infos.len() as u64 != header.tensors {
            return Err(ModelFault::not_gguf("a tensor's name stands twice"));
        }
        let gguf = Gguf { bytes, content };
        for name in gguf.content.tensor_infos.keys() {
            gguf.check_place(name)?;
        }
        Ok(gguf)
    }

    /// Checks that a tensor lies inside the file, without overflow on the way.
    fn check_place(&self, name: &str) -> Result<(), ModelFault> {
        let info = &self.content.tensor_infos[name];
        let too_large = || ModelFault::tensor(name, "has more elements than can be counted");
        let elements = info
            .shape
            .dims()
            .iter()
            .try_fold(1usize, |product, &dim| product.checked_mul(dim))
            .ok_or_else(too_large)?;
        let block = info.ggml_dtype.block_size();
        if elements == 0 || !elements.is_multiple_of(block) {
            return Err(ModelFault::tensor(name, "is empty or ends inside a block"));
        }
        let size =
            (elements / block).checked_mul(info.ggml_dtype.type_size()).ok_or_else(too_large)?;
        let end = self
            .content
            .tensor_data_offset
            .checked_add(info.offset)
            .and_then(|start| start.checked_add(size as u64))
            .ok_or_else(too_large)?;
        if end > self.bytes.len() as u64 {
            return Err(ModelFault::tensor(name, "lies beyond the end of the file"));
        }
        Ok(())
    }

    pub(super) fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.content.tensor_infos.keys().map(String::as_str)
    }

    /// A tensor of exactly these dimensions, outermost first.
    pub(super) fn tensor(&self, name: &str, dims: &[usize]) -> Result<QTensor, ModelFault> {
        let info = self
            .content
            .tensor_infos
            .get(name)
            .ok_or_else(|| ModelFault::tensor(name, "is missing"))?;
        if info.shape.dims() != dims {
            let problem = format!("has the shape {:?}, expected {dims:?}", info.shape.dims());
            return Err(ModelFault::tensor(name, problem));
        }
        self.content
            .tensor(&mut Cursor::new(self.bytes), name, &Device::Cpu)
            .map_err(|error| ModelFault::tensor(name, format!("cannot be read: {error}")))
    }

    /// A small tensor as f32.
    pub(super) fn floats(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, ModelFault> {
        dequantised(&self.tensor(name, dims)?)
            .map_err(|error| ModelFault::tensor(name, format!("cannot be read: {error}")))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.content.metadata.contains_key(key)
    }

    fn get(&self, key: &str) -> Result<&Value, ModelFault> {
        self.content.metadata.get(key).ok_or_else(|| ModelFault::Missing { key: key.into() })
    }

    pub(super) fn string(&self, key: &str) -> Result<&str, ModelFault> {
        match self.get(key)? {
            Value::String(text) => Ok(text),
            _ => Err(wrong_type(key, "a string")),
        }
    }

    pub(super) fn strings(&self, key: &str) -> Result<Vec<&str>, ModelFault> {
        self.array(key)?
            .iter()
            .map(|value| match value {
                Value::String(text) => Ok(text.as_str()),
                _ => Err(wrong_type(key, "a list of strings")),
            })
            .collect()
    }

    pub(super) fn integers(&self, key: &str) -> Result<Vec<i64>, ModelFault> {
        let bad = |_| wrong_type(key, "a list of integers");
        self.array(key)?
            .iter()
            .map(|value| match value {
                Value::I32(number) => Ok(i64::from(*number)),
                other => other.to_u64().map(|number| number as i64).map_err(bad),
            })
            .collect()
    }

    fn array(&self, key: &str) -> Result<&[Value], ModelFault> {
        match self.get(key)? {
            Value::Array(values) => Ok(values),
            _ => Err(wrong_type(key, "a list")),
        }
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, key: &str, low: u64, high: u64) -> Result<usize, ModelFault> {
        let value = self.get(key)?;
        let number = match value {
            Value::I32(number) => u64::try_from(*number).ok(),
            other => other.to_u64().ok(),
        }
        .ok_or_else(|| wrong_type(key, "a whole number"))?;
        if !(low..=high).contains(&number) {
            let must = format!("from {low} to {high}");
            return Err(ModelFault::OutOfBounds { what: key.into(), got: number, must });
        }
        Ok(number as usize)
    }

    pub(super) fn float(&self, key: &str) -> Result<f32, ModelFault> {
        match self.get(key)? {
            Value::F32(number) if number.is_finite() => Ok(*number),
            _ => Err(wrong_type(key, "a finite number")),
        }
    }

    pub(super) fn boolean(&self, key: &str, default: bool) -> Result<bool, ModelFault> {
        match self.content.metadata.get(key) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(wrong_type(key, "true or false")),
        }
    }
}

/// All elements of a tensor as f32, by candle's kernels.
pub(super) fn dequantised(tensor: &QTensor) -> candle_core::Result<Vec<f32>> {
    tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()
}

/// Whether the weights stand in the file as the decoder multiplies them.
pub(super) fn is_q8_0(tensor: &QTensor) -> bool {
    tensor.dtype() == GgmlDType::Q8_0
}

fn wrong_type(key: &str, must: &str) -> ModelFault {
    ModelFault::not_gguf(format_args!("{key} must be {must}"))
}

/// What the first walk learns.
struct Header {
    tensors: u64,
    keys: u64,
}

/// A walk over the header that allocates nothing.
struct Walk<'a> {
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    fn header(&mut self) -> Result<Header, ModelFault> {
        if self.take(4)? != b"GGUF" {
            return Err(ModelFault::not_gguf("it does not begin with GGUF"));
        }
        let version = self.u32()?;
        if !matches!(version, 2 | 3) {
            return Err(ModelFault::Unsupported { what: format!("GGUF version {version}") });
        }
        let tensors = bounded("the count of tensors", self.u64()?, TENSORS_MAX)?;
        let keys = bounded("the count of keys", self.u64()?, KEYS_MAX)?;
        let mut elements = 0;
        for _ in 0..keys {
            let key = self.string()?;
            let kind = self.u32()?;
            if key == b"general.alignment" {
                self.alignment(kind)?;
            } else {
                self.value(kind, &mut elements)?;
            }
        }
        Ok(Header { tensors, keys })
    }

    fn alignment(&mut self, kind: u32) -> Result<(), ModelFault> {
        const U32: u32 = 4;
        if kind != U32 {
            return Err(wrong_type("general.alignment", "a u32"));
        }
        let alignment = self.u32()?;
        if !alignment.is_power_of_two() || alignment > ALIGNMENT_MAX {
            return Err(ModelFault::OutOfBounds {
                what: "general.alignment".into(),
                got: alignment.into(),
                must: format!("a power of two up to {ALIGNMENT_MAX}"),
            });
        }
        Ok(())
    }

    /// Skips a value. Arrays hold no arrays: no key that is known here needs that.
    fn value(&mut self, kind: u32, elements: &mut u64) -> Result<(), ModelFault> {
        const STRING: u32 = 8;
        const ARRAY: u32 = 9;
        match kind {
            STRING => self.string().map(drop),
            ARRAY => {
                let kind = self.u32()?;
                let count = self.u64()?;
                *elements = elements.saturating_add(count);
                bounded("the count of elements of all arrays", *elements, ELEMENTS_MAX)?;
                match kind {
                    STRING => (0..count).try_for_each(|_| self.string().map(drop)),
                    ARRAY => Err(ModelFault::Unsupported { what: "arrays of arrays".into() }),
                    _ => self.take(count * scalar_size(kind)?).map(drop),
                }
            }
            _ => self.take(scalar_size(kind)?).map(drop),
        }
    }

    fn string(&mut self) -> Result<&'a [u8], ModelFault> {
        let length = bounded("the length of a string", self.u64()?, STRING_BYTES_MAX)?;
        self.take(length)
    }

    fn u32(&mut self) -> Result<u32, ModelFault> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes were taken")))
    }

    fn u64(&mut self) -> Result<u64, ModelFault> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], ModelFault> {
        let at = usize::try_from(count).ok().filter(|&count| count <= self.rest.len());
        let at = at.ok_or_else(|| ModelFault::not_gguf("it ends inside its header"))?;
        let (taken, rest) = self.rest.split_at(at);
        self.rest = rest;
        Ok(taken)
    }
}

fn scalar_size(kind: u32) -> Result<u64, ModelFault> {
    match kind {
        0 | 1 | 7 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        _ => Err(ModelFault::not_gguf(format_args!("there is no kind {kind} of value"))),
    }
}

fn bounded(what: &str, got: u64, limit: u64) -> Result<u64, ModelFault> {
    if got > limit {
        let must = format!("at most {limit}");
        return Err(ModelFault::OutOfBounds { what: what.into(), got, must });
    }
    Ok(got)
}
