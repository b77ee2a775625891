//! The numbers that describe a Llama, out of the metadata and within bounds.

use super::fault::ModelFault;
use super::gguf::Gguf;
use super::matrix::{BLOCK, HALF, LANES};

/// Layers of a model; the largest Llama has 126.
const LAYERS_MAX: u64 = 256;
/// Width of the residual stream and of the feed-forward.
const WIDTH_MAX: u64 = 1 << 16;
/// Attention heads.
const HEADS_MAX: u64 = 512;
/// Dimensions of one head.
const HEAD_DIMS_MAX: u64 = 512;
/// Tokens of the context.
const CONTEXT_MAX: u64 = 1 << 20;

/// The shape of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) layers: usize,
    pub(super) width: usize,
    pub(super) feed_forward: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dims: usize,
    /// Leading dimensions of a head that are rotated.
    pub(super) rope_dims: usize,
    pub(super) rope_base: f32,
    pub(super) norm_epsilon: f32,
    pub(super) context_tokens: usize,
}

impl Shape {
    pub(super) fn read(gguf: &Gguf<'_>) -> Result<Self, ModelFault> {
        let architecture = gguf.string("general.architecture")?;
        if architecture != "llama" {
            let what = format!("the architecture {}", printable(architecture));
            return Err(ModelFault::Unsupported { what });
        }
        refuse_variants(gguf)?;
        let layers = gguf.number("llama.block_count", 1, LAYERS_MAX)?;
        let width = gguf.number("llama.embedding_length", 1, WIDTH_MAX)?;
        let heads = gguf.number("llama.attention.head_count", 1, HEADS_MAX)?;
        let kv_heads = optional(gguf, "llama.attention.head_count_kv", HEADS_MAX, heads)?;
        let head_dims = optional(gguf, "llama.attention.key_length", HEAD_DIMS_MAX, width / heads)?;
        let shape = Shape {
            layers,
            width,
            feed_forward: gguf.number("llama.feed_forward_length", 1, WIDTH_MAX)?,
            heads,
            kv_heads,
            head_dims,
            rope_dims: optional(gguf, "llama.rope.dimension_count", HEAD_DIMS_MAX, head_dims)?,
            rope_base: match gguf.has("llama.rope.freq_base") {
                true => gguf.float("llama.rope.freq_base")?,
                false => 10_000.0,
            },
            norm_epsilon: gguf.float("llama.attention.layer_norm_rms_epsilon")?,
            context_tokens: gguf.number("llama.context_length", 2, CONTEXT_MAX)?,
        };
        let value_dims = optional(gguf, "llama.attention.value_length", HEAD_DIMS_MAX, head_dims)?;
        shape.check(value_dims)?;
        Ok(shape)
    }

    /// What must fit together, and what the kernels need.
    fn check(&self, value_dims: usize) -> Result<(), ModelFault> {
        let fits = [
            ("the width", self.width, BLOCK),
            ("the feed-forward's width", self.feed_forward, LANES),
            ("the dimensions of a head", self.head_dims, HALF),
            ("the dimensions of all queries", self.query_dims(), LANES),
            ("the dimensions of all keys", self.key_dims(), LANES),
            ("the rotated dimensions", self.rope_dims, 2),
            ("the count of heads", self.heads, self.kv_heads),
        ];
        for (what, got, of) in fits {
            if got == 0 || !got.is_multiple_of(of) {
                let must = format!("a multiple of {of}");
                return Err(ModelFault::OutOfBounds { what: what.into(), got: got as u64, must });
            }
        }
        if self.rope_dims > self.head_dims || value_dims != self.head_dims {
            let what = "rotated or value dimensions that differ from those of a head".into();
            return Err(ModelFault::Unsupported { what });
        }
        if !(self.rope_base > 0.0 && self.norm_epsilon > 0.0) {
            return Err(ModelFault::not_gguf("a base or an epsilon is not above zero"));
        }
        Ok(())
    }

    /// Columns of all query heads together.
    pub(super) fn query_dims(&self) -> usize {
        self.heads * self.head_dims
    }

    /// Columns of all key heads together; values have as many.
    pub(super) fn key_dims(&self) -> usize {
        self.kv_heads * self.head_dims
    }

    /// Query heads that share a key head.
    pub(super) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// Relatives of Llama that use the same architecture name with other arithmetic.
fn refuse_variants(gguf: &Gguf<'_>) -> Result<(), ModelFault> {
    let unsupported = |what: &str| Err(ModelFault::Unsupported { what: what.into() });
    if gguf.has("llama.expert_count") && gguf.number("llama.expert_count", 0, u64::MAX)? > 0 {
        return unsupported("a mixture of experts");
    }
    if gguf.has("llama.rope.scaling.type") && gguf.string("llama.rope.scaling.type")? != "none" {
        return unsupported("scaled rotary positions");
    }
    for key in ["llama.rope.scale_linear", "llama.attention.sliding_window", "llama.logit_scale"] {
        if gguf.has(key) {
            return unsupported(key);
        }
    }
    Ok(())
}

fn optional(gguf: &Gguf<'_>, key: &str, high: u64, default: usize) -> Result<usize, ModelFault> {
    if gguf.has(key) { gguf.number(key, 1, high) } else { Ok(default) }
}

/// A short piece of foreign text for a message: no control characters, no more than a name.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}
