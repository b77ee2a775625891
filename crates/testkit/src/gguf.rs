//! Tiny Llama models of random weights, as GGUF files.

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

const LAYERS: usize = 2;
const WIDTH: usize = 64;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const FEED_FORWARD: usize = 128;
const CONTEXT: u32 = 512;
/// `<|endoftext|>`, `<|im_start|>`, `<|im_end|>`.
const CONTROLS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
/// Pairs of these letters are merged: a hundred tokens beside the 256 bytes and the controls.
const MERGED: &str = "abcdefghij";

const TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + \
                        message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if \
                        add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// A model of two layers and a vocabulary of 359, which can be spoilt before it is written.
#[derive(Debug)]
pub struct TinyLlama {
    metadata: Vec<(String, Value)>,
    tensors: Vec<(String, QTensor)>,
}

impl TinyLlama {
    /// A good model; the same seed gives the same file.
    pub fn new(seed: u64) -> Self {
        TinyLlama { metadata: metadata(), tensors: tensors(seed) }
    }

    /// Adds a key, or replaces its value.
    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.metadata.retain(|(name, _)| name != key);
        self.metadata.push((key.into(), value));
        self
    }

    /// Leaves out a key.
    pub fn without(mut self, key: &str) -> Self {
        self.metadata.retain(|(name, _)| name != key);
        self
    }

    /// Adds a tensor of zeros, or replaces one.
    pub fn set_tensor(mut self, name: &str, shape: &[usize], kind: GgmlDType) -> Self {
        let zeros = Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu);
        let tensor = zeros.and_then(|zeros| QTensor::quantize(&zeros, kind));
        self.tensors.retain(|(known, _)| known != name);
        self.tensors.push((name.into(), tensor.expect("zeros of a good shape can be quantised")));
        self
    }

    /// Leaves out a tensor.
    pub fn without_tensor(mut self, name: &str) -> Self {
        self.tensors.retain(|(known, _)| known != name);
        self
    }

    /// A model that ends its turn at once: with a head of zeros all logits are equal, and the first
    /// of equals is `<|endoftext|>`.
    pub fn always_ending(self) -> Self {
        let vocabulary = vocabulary().len();
        self.set_tensor("output.weight", &[vocabulary, WIDTH], GgmlDType::Q8_0)
    }

    /// The file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = std::io::Cursor::new(Vec::new());
        let metadata: Vec<(&str, &Value)> =
            self.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> =
            self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        gguf_file::write(&mut file, &metadata, &tensors).expect("writing to memory does not fail");
        file.into_inner()
    }

    /// A file with these bytes, which is removed with the value.
    pub fn file(&self) -> tempfile::NamedTempFile {
        file_of(&self.bytes())
    }
}

/// A file with these bytes, which is removed with the value.
pub fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".gguf").tempfile();
    let file = file.expect("the temporary folder can be written");
    std::fs::write(file.path(), bytes).expect("the temporary folder can be written");
    file
}

fn metadata() -> Vec<(String, Value)> {
    let tokens = vocabulary();
    let kinds = (0..tokens.len()).map(|id| Value::I32(if id < CONTROLS.len() { 3 } else { 1 }));
    let merges = pairs().map(|(a, b)| Value::String(format!("{a} {b}")));
    let text = |text: &str| Value::String(text.into());
    let entries = [
        ("general.architecture", text("llama")),
        ("llama.block_count", Value::U32(LAYERS as u32)),
        ("llama.context_length", Value::U32(CONTEXT)),
        ("llama.embedding_length", Value::U32(WIDTH as u32)),
        ("llama.feed_forward_length", Value::U32(FEED_FORWARD as u32)),
        ("llama.attention.head_count", Value::U32(HEADS as u32)),
        ("llama.attention.head_count_kv", Value::U32(KV_HEADS as u32)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("llama.rope.freq_base", Value::F32(10_000.0)),
        ("llama.rope.dimension_count", Value::U32((WIDTH / HEADS) as u32)),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("smollm")),
        ("tokenizer.ggml.token_type", Value::Array(kinds.collect())),
        ("tokenizer.ggml.merges", Value::Array(merges.collect())),
        ("tokenizer.ggml.tokens", Value::Array(tokens.into_iter().map(Value::String).collect())),
        ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ("tokenizer.chat_template", text(TEMPLATE)),
    ];
    entries.map(|(key, value)| (key.to_owned(), value)).into()
}

fn vocabulary() -> Vec<String> {
    let controls = CONTROLS.map(str::to_owned).into_iter();
    let bytes = (0..=255).map(|byte| char_of(byte).to_string());
    controls.chain(bytes).chain(pairs().map(|(a, b)| format!("{a}{b}"))).collect()
}

fn pairs() -> impl Iterator<Item = (char, char)> {
    MERGED.chars().flat_map(|a| MERGED.chars().map(move |b| (a, b)))
}

/// GPT-2's character for a byte.
fn char_of(byte: u8) -> char {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if is_printable(byte) {
        return char::from(byte);
    }
    let nth = (0..byte).filter(|&before| !is_printable(before)).count() as u32;
    char::from_u32(0x100 + nth).expect("68 characters follow U+0100")
}

fn tensors(seed: u64) -> Vec<(String, QTensor)> {
    let mut random = Random(seed);
    let vocabulary = vocabulary().len();
    let kv = WIDTH / HEADS * KV_HEADS;
    let mut tensors = vec![
        ("token_embd.weight".to_owned(), random.matrix(vocabulary, WIDTH, GgmlDType::F32)),
        ("output.weight".to_owned(), random.matrix(vocabulary, WIDTH, GgmlDType::Q8_0)),
        ("output_norm.weight".to_owned(), ones()),
    ];
    for layer in 0..LAYERS {
        let mut add = |name: &str, tensor| tensors.push((format!("blk.{layer}.{name}"), tensor));
        add("attn_norm.weight", ones());
        add("ffn_norm.weight", ones());
        for (name, rows, columns) in [
            ("attn_q.weight", WIDTH, WIDTH),
            ("attn_k.weight", kv, WIDTH),
            ("attn_v.weight", kv, WIDTH),
            ("attn_output.weight", WIDTH, WIDTH),
            ("ffn_gate.weight", FEED_FORWARD, WIDTH),
            ("ffn_up.weight", FEED_FORWARD, WIDTH),
            ("ffn_down.weight", WIDTH, FEED_FORWARD),
        ] {
            let kind = if layer == 0 { GgmlDType::Q8_0 } else { GgmlDType::Q4_1 };
            add(name, random.matrix(rows, columns, kind));
        }
    }
    tensors
}

fn ones() -> QTensor {
    quantised(vec![1.0; WIDTH], &[WIDTH], GgmlDType::F32)
}

fn quantised(values: Vec<f32>, shape: &[usize], kind: GgmlDType) -> QTensor {
    let tensor = Tensor::from_vec(values, shape, &Device::Cpu);
    tensor
        .and_then(|tensor| QTensor::quantize(&tensor, kind))
        .expect("all shapes here are whole blocks")
}

/// SplitMix64.
struct Random(u64);

impl Random {
    /// Weights that keep the scale of what passes through them.
    fn matrix(&mut self, rows: usize, columns: usize, kind: GgmlDType) -> QTensor {
        let scale = 2.0 / (columns as f32).sqrt();
        let values = (0..rows * columns).map(|_| self.between_minus_one_and_one() * scale);
        quantised(values.collect(), &[rows, columns], kind)
    }

    fn between_minus_one_and_one(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}
