//! Model files that are wrong, one fault each: every one is refused by name and none panics.

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use subrosa_engine::{Builtin, BuiltinConfig, ModelFault};
use subrosa_testkit::gguf::{TinyLlama, file_of};

fn open(bytes: &[u8]) -> Result<Builtin, ModelFault> {
    let file = file_of(bytes);
    let config = BuiltinConfig::new("tiny", file.path());
    Builtin::open(BuiltinConfig { threads: 1, output_tokens_max: 64, ..config })
}

fn fault_of(model: TinyLlama) -> String {
    open(&model.bytes()).expect_err("the file is wrong").to_string()
}

fn good() -> TinyLlama {
    TinyLlama::new(1)
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

/// The file with eight bytes replaced, `after` bytes behind the first place of `key`.
fn patched(key: &str, after: usize, number: u64) -> Vec<u8> {
    let mut bytes = good().bytes();
    let at = bytes.windows(key.len()).position(|window| window == key.as_bytes()).unwrap();
    let at = at + key.len() + after;
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    bytes
}

#[test]
fn a_good_file_is_loaded() {
    open(&good().bytes()).unwrap();
}

#[test]
fn numbers_outside_their_bounds_are_named() {
    let cases = [
        ("llama.block_count", Value::U32(0)),
        ("llama.block_count", Value::U32(u32::MAX)),
        ("llama.context_length", Value::U32(1)),
        ("llama.context_length", Value::U32(u32::MAX)),
        ("llama.embedding_length", Value::U32(1 << 31)),
        ("llama.feed_forward_length", Value::U32(0)),
        ("llama.attention.head_count", Value::U32(0)),
        ("llama.attention.head_count", Value::I32(-4)),
        ("llama.attention.head_count_kv", Value::U32(0)),
        ("llama.rope.dimension_count", Value::U32(0)),
        ("llama.rope.freq_base", Value::F32(f32::NAN)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(f32::INFINITY)),
        ("tokenizer.ggml.eos_token_id", Value::U32(359)),
        ("general.alignment", Value::U32(0)),
        ("general.alignment", Value::U32(24)),
        ("general.alignment", Value::U64(32)),
    ];
    for (key, value) in cases {
        let fault = fault_of(good().set(key, value));
        assert!(fault.contains(key), "{key}: {fault}");
    }
}

#[test]
fn dimensions_that_do_not_fit_together_are_refused() {
    for (key, number) in [
        ("llama.attention.head_count", 3),
        ("llama.attention.head_count_kv", 3),
        ("llama.embedding_length", 63),
        ("llama.attention.key_length", 24),
        ("llama.attention.value_length", 32),
        ("llama.rope.dimension_count", 15),
        ("llama.rope.dimension_count", 32),
        ("llama.feed_forward_length", 160),
    ] {
        fault_of(good().set(key, Value::U32(number)));
    }
}

#[test]
fn missing_keys_are_named() {
    for key in [
        "general.architecture",
        "llama.block_count",
        "llama.context_length",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.token_type",
        "tokenizer.ggml.merges",
        "tokenizer.ggml.pre",
        "tokenizer.ggml.eos_token_id",
        "tokenizer.chat_template",
    ] {
        let fault = fault_of(good().without(key));
        assert!(fault.contains(key), "{key}: {fault}");
    }
}

#[test]
fn what_the_engine_does_not_have_is_named() {
    let cases = [
        ("general.architecture", text("mamba"), "the architecture mamba"),
        ("tokenizer.ggml.model", text("llama"), "the tokenizer llama"),
        ("tokenizer.ggml.pre", text("qwen9"), "the pre-tokenizer qwen9"),
        ("llama.expert_count", Value::U32(8), "a mixture of experts"),
        ("llama.rope.scaling.type", text("yarn"), "scaled rotary positions"),
        ("llama.attention.sliding_window", Value::U32(8), "llama.attention.sliding_window"),
    ];
    for (key, value, name) in cases {
        let fault = open(&good().set(key, value).bytes()).unwrap_err();
        assert!(matches!(fault, ModelFault::Unsupported { .. }), "{fault}");
        assert!(fault.to_string().contains(name), "{fault}");
    }
    let bias = good().set_tensor("blk.0.attn_q.bias", &[64], GgmlDType::F32);
    assert!(fault_of(bias).contains("blk.0.attn_q.bias"));
    let beyond = good().set_tensor("blk.7.attn_norm.weight", &[64], GgmlDType::F32);
    assert!(fault_of(beyond).contains("blk.7.attn_norm.weight"));
}

#[test]
fn tensors_that_are_missing_or_of_another_shape_are_named() {
    let name = "blk.1.ffn_up.weight";
    assert!(fault_of(good().without_tensor(name)).contains("ffn_up.weight is missing"));
    let transposed = good().set_tensor(name, &[64, 128], GgmlDType::Q8_0);
    let fault = fault_of(transposed);
    assert!(fault.contains("has the shape [64, 128], expected [128, 64]"), "{fault}");
}

#[test]
fn tokenizer_tables_that_do_not_fit_are_refused() {
    let one = |value: Value| Value::Array(vec![value]);
    for (key, value) in [
        ("tokenizer.ggml.token_type", one(Value::I32(1))),
        ("tokenizer.ggml.token_type", one(text("x"))),
        ("tokenizer.ggml.tokens", one(text("x"))),
        ("tokenizer.ggml.merges", one(text("oneword"))),
        ("tokenizer.ggml.merges", one(text("no such"))),
        ("tokenizer.ggml.merges", Value::U32(1)),
    ] {
        fault_of(good().set(key, value));
    }
}

#[test]
fn templates_that_do_not_work_are_refused_when_loading() {
    for template in [
        "{% for message in messages %}",
        "{{ nothing.at.all }}",
        "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}",
        "{{ raise_exception('never') }}",
        "{% for message in messages %}{{ '<|im_start|>' * 40 }}{% endfor %}",
    ] {
        fault_of(good().set("tokenizer.chat_template", text(template)));
    }
}

#[test]
fn counts_and_lengths_are_not_used_as_allocations() {
    let huge = 1u64 << 60;
    let mut header = good().bytes();
    header[8..16].copy_from_slice(&huge.to_le_bytes());
    let fault = open(&header).unwrap_err().to_string();
    assert!(fault.contains("the count of tensors"), "{fault}");
    let mut header = good().bytes();
    header[16..24].copy_from_slice(&huge.to_le_bytes());
    let fault = open(&header).unwrap_err().to_string();
    assert!(fault.contains("the count of keys"), "{fault}");
    // Behind a key stand the kind and, for a string, its length.
    let fault = open(&patched("general.architecture", 4, huge)).unwrap_err().to_string();
    assert!(fault.contains("the length of a string"), "{fault}");
    // For a list the kind of its elements and their count.
    let fault = open(&patched("tokenizer.ggml.token_type", 8, huge)).unwrap_err().to_string();
    assert!(fault.contains("the count of elements"), "{fault}");
}

#[test]
fn tensors_beyond_the_file_and_overflowing_dimensions_are_refused() {
    let name = "blk.1.ffn_up.weight";
    // Behind the name stand the count of dimensions, two dimensions, the kind and the offset.
    for (after, number) in [(4, u64::MAX), (4, 1 << 62), (12, 1 << 62), (4, 0), (24, 1 << 40)] {
        let fault = open(&patched(name, after, number)).unwrap_err().to_string();
        assert!(fault.contains(name), "{fault}");
    }
    fault_of(good().set_tensor(name, &[128, 64], GgmlDType::F32).without_tensor(name));
    assert!(open(&patched(name, 24, u64::MAX)).is_err());
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = good().bytes();
    let header = 12_000;
    for length in (0..header).step_by(97).chain((header..bytes.len()).step_by(29_989)) {
        assert!(open(&bytes[..length]).is_err(), "{length}");
    }
}

#[test]
fn no_flipped_byte_of_the_header_panics() {
    let bytes = good().bytes();
    for at in (0..4_000).step_by(53) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0xff;
        let _ = open(&bytes);
    }
}

#[test]
fn another_file_than_the_named_one_is_refused() {
    let file = good().file();
    let sha256 = Some("11".repeat(32).parse().unwrap());
    let config = BuiltinConfig { sha256, ..BuiltinConfig::new("tiny", file.path()) };
    let fault = Builtin::open(config).unwrap_err();
    assert!(matches!(fault, ModelFault::Digest { .. }), "{fault}");
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    let mut bytes = good().bytes();
    // The scale of the last block of the last tensor, in half precision, made infinite.
    let at = bytes.len() - 20;
    bytes[at..at + 2].copy_from_slice(&0x7c00u16.to_le_bytes());
    let fault = open(&bytes).unwrap_err().to_string();
    assert!(fault.contains("not finite"), "{fault}");
}
