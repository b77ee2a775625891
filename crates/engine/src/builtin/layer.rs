//! One decoder layer: attention and feed-forward over the residual stream.
//!
//! A layer is addressable by itself: it takes rows of the residual stream and the caches of the
//! sequences they belong to, and knows nothing of embeddings, heads or other layers, so that a range
//! of layers can run elsewhere.

use rayon::prelude::*;

use super::attention::LayerCache;
use super::fault::ModelFault;
use super::gguf::{Gguf, dequantised, is_q8_0};
use super::math;
use super::matrix::{BLOCK, LANES, Matrix, Panels, Product, Row};
use super::rope::Rotations;
use super::shape::Shape;

/// Tensors of a layer, without their prefix.
pub(super) const TENSORS: [&str; 9] = [
    "attn_norm.weight",
    "attn_q.weight",
    "attn_k.weight",
    "attn_v.weight",
    "attn_output.weight",
    "ffn_norm.weight",
    "ffn_gate.weight",
    "ffn_up.weight",
    "ffn_down.weight",
];

/// Rows from which on the small functions are spread over threads.
const SPREAD_FROM: usize = 16;

/// The weights of one layer.
#[derive(Debug)]
pub(super) struct Layer {
    attention_norm: Vec<f32>,
    /// Queries, keys and values, one below the other.
    qkv: Matrix,
    output: Matrix,
    feed_norm: Vec<f32>,
    /// Gate and up, one below the other.
    gate_up: Matrix,
    down: Matrix,
}

/// Consecutive rows that belong to one sequence, and what it remembers in this layer.
pub(super) struct Span<'a> {
    pub(super) cache: &'a mut LayerCache,
    pub(super) rows: usize,
}

/// Buffers of a forward pass, kept to be allocated once.
#[derive(Debug, Default)]
pub(super) struct Work {
    normed: Vec<f32>,
    queries: Vec<f32>,
    attended: Vec<f32>,
    hidden: Vec<f32>,
    products: Panels,
}

impl Layer {
    pub(super) fn load(gguf: &Gguf<'_>, index: usize, shape: &Shape) -> Result<Self, ModelFault> {
        let name = |tensor: &str| format!("blk.{index}.{tensor}");
        let (width, wide) = (shape.width, shape.feed_forward);
        let (queries, keys) = (shape.query_dims(), shape.key_dims());
        Ok(Layer {
            attention_norm: gguf.floats(&name("attn_norm.weight"), &[width])?,
            qkv: load_stacked(
                gguf,
                &[
                    (&name("attn_q.weight"), queries),
                    (&name("attn_k.weight"), keys),
                    (&name("attn_v.weight"), keys),
                ],
                width,
            )?,
            output: load_stacked(gguf, &[(&name("attn_output.weight"), width)], queries)?,
            feed_norm: gguf.floats(&name("ffn_norm.weight"), &[width])?,
            gate_up: load_stacked(
                gguf,
                &[(&name("ffn_gate.weight"), wide), (&name("ffn_up.weight"), wide)],
                width,
            )?,
            down: load_stacked(gguf, &[(&name("ffn_down.weight"), width)], wide)?,
        })
    }

    /// Adds this layer's attention and feed-forward to the residual stream `x`, whose rows belong to
    /// the spans in order, and remembers the rows' keys and values there.
    pub(super) fn forward(
        &self,
        x: &mut [f32],
        spans: &mut [Span<'_>],
        rotations: &Rotations,
        product: Product,
        shape: &Shape,
        work: &mut Work,
    ) {
        self.attend(x, spans, rotations, product, shape, work);
        self.feed_forward(x, product, shape, work);
    }

    fn attend(
        &self,
        x: &mut [f32],
        spans: &mut [Span<'_>],
        rotations: &Rotations,
        product: Product,
        shape: &Shape,
        work: &mut Work,
    ) {
        norm_rows(x, &self.attention_norm, shape, &mut work.normed);
        self.qkv.multiply(&work.normed, product, &mut work.products);
        let (width, keys) = (shape.query_dims(), shape.key_dims());
        let rows = x.len() / shape.width;
        work.queries.resize(rows * width, 0.0);
        work.attended.resize(rows * width, 0.0);
        let products = &work.products;
        each_row(&mut work.queries, width, |row, queries| {
            products.copy_row(row, 0, queries);
            rotations.rotate(row, queries);
        });
        let mut key_row = vec![0.0; keys];
        let mut value_row = vec![0.0; keys];
        let mut first = 0;
        for span in spans.iter_mut() {
            let rows = first..first + span.rows;
            for row in rows.clone() {
                products.copy_row(row, width, &mut key_row);
                products.copy_row(row, width + keys, &mut value_row);
                rotations.rotate(row, &mut key_row);
                span.cache.push(&key_row, &value_row);
            }
            let columns = rows.start * width..rows.end * width;
            let attended = &mut work.attended[columns.clone()];
            span.cache.attend(&work.queries[columns], attended, shape);
            first = rows.end;
        }
        self.output.multiply(&work.attended, product, &mut work.products);
        each_row(x, shape.width, |row, x| work.products.add_row(row, x));
    }

    fn feed_forward(&self, x: &mut [f32], product: Product, shape: &Shape, work: &mut Work) {
        norm_rows(x, &self.feed_norm, shape, &mut work.normed);
        self.gate_up.multiply(&work.normed, product, &mut work.products);
        let wide = shape.feed_forward;
        let products = &work.products;
        work.hidden.resize(x.len() / shape.width * wide, 0.0);
        each_row(&mut work.hidden, wide, |row, hidden| {
            for (panel, hidden) in hidden.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let gate = products.lanes(panel, row);
                let up = products.lanes(panel + wide / LANES, row);
                for lane in 0..LANES {
                    hidden[lane] = math::silu(gate[lane]) * up[lane];
                }
            }
        });
        self.down.multiply(&work.hidden, product, &mut work.products);
        each_row(x, shape.width, |row, x| work.products.add_row(row, x));
    }
}

/// Calls `work` with each row and its number, on all threads where there are many.
fn each_row(values: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    if values.len() / width < SPREAD_FROM {
        values.chunks_exact_mut(width).enumerate().for_each(|(row, values)| work(row, values));
    } else {
        let rows = values.par_chunks_exact_mut(width).with_min_len(SPREAD_FROM / 2);
        rows.enumerate().for_each(|(row, values)| work(row, values));
    }
}

fn norm_rows(x: &[f32], weights: &[f32], shape: &Shape, out: &mut Vec<f32>) {
    let width = shape.width;
    out.resize(x.len(), 0.0);
    each_row(out, width, |row, out| {
        math::rms_norm(&x[row * width..][..width], weights, shape.norm_epsilon, out);
    });
}

/// Loads tensors of the same width as one matrix, the first on top.
pub(super) fn load_stacked(
    gguf: &Gguf<'_>,
    parts: &[(&str, usize)],
    columns: usize,
) -> Result<Matrix, ModelFault> {
    let loaded = parts
        .iter()
        .map(|(name, rows)| Part::load(gguf, name, *rows, columns))
        .collect::<Result<Vec<_>, ModelFault>>()?;
    let rows = parts.iter().map(|(_, rows)| rows).sum();
    Matrix::build(rows, columns, |mut row, out| {
        for (part, (_, rows)) in loaded.iter().zip(parts) {
            if row < *rows {
                return part.fill(row, columns, out);
            }
            row -= rows;
        }
        unreachable!("a stack has as many rows as its parts together")
    })
}

/// A tensor on its way from the file into a matrix.
enum Part {
    /// Blocks of GGUF's Q8_0: a half-precision scale and 32 weights. They are kept as they are.
    Quantised { name: String, bytes: Vec<u8> },
    /// Everything else is expanded and quantised to 8 bits: candle's kernels for the other types are
    /// slower than reading twice the bytes, and the error added is a tenth of a 4-bit type's own.
    Expanded { name: String, values: Vec<f32> },
}

/// Bytes of a block of Q8_0.
const Q8_0_BYTES: usize = 2 + BLOCK;

impl Part {
    fn load(gguf: &Gguf<'_>, name: &str, rows: usize, columns: usize) -> Result<Self, ModelFault> {
        let tensor = gguf.tensor(name, &[rows, columns])?;
        let unreadable =
            |error: candle_core::Error| ModelFault::tensor(name, format!("is unreadable: {error}"));
        let name = name.to_owned();
        Ok(if is_q8_0(&tensor) {
            Part::Quantised { bytes: tensor.data().map_err(unreadable)?.into_owned(), name }
        } else {
            Part::Expanded { values: dequantised(&tensor).map_err(unreadable)?, name }
        })
    }

    fn fill(&self, row: usize, columns: usize, out: Row<'_>) -> Result<(), ModelFault> {
        let name = match self {
            Part::Quantised { name, bytes } => {
                let size = columns / BLOCK * Q8_0_BYTES;
                let blocks = bytes[row * size..][..size].as_chunks::<Q8_0_BYTES>().0;
                let quants = out.quants.as_chunks_mut::<BLOCK>().0.iter_mut();
                for ((block, quants), scale) in blocks.iter().zip(quants).zip(&mut *out.scales) {
                    *scale = half_to_f32(u16::from_le_bytes([block[0], block[1]]));
                    for (quant, byte) in quants.iter_mut().zip(&block[2..]) {
                        *quant = byte.cast_signed();
                    }
                }
                name
            }
            Part::Expanded { name, values } => {
                let values = values[row * columns..][..columns].as_chunks::<BLOCK>().0;
                let quants = out.quants.as_chunks_mut::<BLOCK>().0.iter_mut();
                for ((values, quants), scale) in values.iter().zip(quants).zip(&mut *out.scales) {
                    *scale = quantise(values, quants);
                }
                name
            }
        };
        if out.scales.iter().all(|scale| scale.is_finite()) {
            Ok(())
        } else {
            Err(ModelFault::tensor(name, "holds weights that are not finite"))
        }
    }
}

/// Quantises a block to 8 bits and returns its scale, which is not finite where the values are not.
fn quantise(values: &[f32; BLOCK], quants: &mut [i8; BLOCK]) -> f32 {
    let finite = values.iter().all(|value| value.is_finite());
    let top = values.iter().fold(0.0f32, |top, value| top.max(value.abs()));
    let scale = top / f32::from(i8::MAX);
    let factor = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    for (quant, value) in quants.iter_mut().zip(values) {
        *quant = (value * factor).round() as i8;
    }
    if finite { scale } else { f32::NAN }
}

/// The value of a half-precision number.
fn half_to_f32(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let mantissa = f32::from(bits & 0x3ff);
    match exponent {
        0 => sign * mantissa * 2f32.powi(-24),
        31 if mantissa == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + mantissa) * 2f32.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_read_exactly() {
        let cases = [
            (0x0000, 0.0),
            (0x8001, -(2f32.powi(-24))),
            (0x0400, 2f32.powi(-14)),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
        ];
        for (bits, value) in cases {
            assert_eq!(half_to_f32(bits), value, "{bits:#x}");
        }
        assert!(half_to_f32(0x7e00).is_nan());
    }

    #[test]
    fn quantising_keeps_a_block_within_half_a_step() {
        let values: [f32; BLOCK] = std::array::from_fn(|i| (i as f32 - 11.0) * 0.37);
        let mut quants = [0; BLOCK];
        let scale = quantise(&values, &mut quants);
        for (quant, value) in quants.iter().zip(values) {
            assert!((f32::from(*quant) * scale - value).abs() <= scale * 0.5001);
        }
        assert_eq!(quantise(&[0.0; BLOCK], &mut quants), 0.0);
        assert_eq!(quants, [0; BLOCK]);
        let mut values = values;
        values[5] = f32::NAN;
        assert!(quantise(&values, &mut quants).is_nan());
    }
}
