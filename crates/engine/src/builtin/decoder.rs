//! The decoder: embedding, layers, and the head that gives the next token's logits.

use rayon::prelude::*;

use super::attention::LayerCache;
use super::fault::ModelFault;
use super::gguf::Gguf;
use super::layer::{self, Layer, Span, Work, load_stacked};
use super::math;
use super::matrix::{Matrix, Panels, Product};
use super::rope::{self, Rope};
use super::shape::Shape;

/// Words of a vocabulary.
const VOCABULARY_MAX: usize = 1 << 20;

/// A loaded model.
#[derive(Debug)]
pub(super) struct Decoder {
    shape: Shape,
    vocabulary: usize,
    embedding: Matrix,
    layers: Vec<Layer>,
    rope: Rope,
    norm: Vec<f32>,
    /// `None` where the embedding serves as head too.
    head: Option<Matrix>,
}

/// What one sequence remembers: keys and values of every layer.
#[derive(Debug)]
pub(super) struct KeyValues {
    layers: Vec<LayerCache>,
}

impl KeyValues {
    /// Positions that are remembered.
    pub(super) fn positions(&self) -> usize {
        self.layers[0].positions()
    }
}

/// Consecutive tokens of one sequence, to be read after what it remembers.
pub(super) struct Piece<'a> {
    pub(super) memory: &'a mut KeyValues,
    pub(super) tokens: &'a [u32],
}

impl Decoder {
    pub(super) fn load(gguf: &Gguf<'_>, vocabulary: usize) -> Result<Self, ModelFault> {
        let shape = Shape::read(gguf)?;
        if vocabulary == 0 || vocabulary > VOCABULARY_MAX {
            return Err(ModelFault::OutOfBounds {
                what: "the count of words".into(),
                got: vocabulary as u64,
                must: format!("from 1 to {VOCABULARY_MAX}"),
            });
        }
        refuse_other_tensors(gguf, &shape)?;
        let layers = (0..shape.layers)
            .into_par_iter()
            .map(|index| Layer::load(gguf, index, &shape))
            .collect::<Result<_, _>>()?;
        let matrix = |name: &str| load_stacked(gguf, &[(name, vocabulary)], shape.width);
        let tied = !gguf.tensor_names().any(|name| name == "output.weight");
        Ok(Decoder {
            embedding: matrix("token_embd.weight")?,
            head: if tied { None } else { Some(matrix("output.weight")?) },
            norm: gguf.floats("output_norm.weight", &[shape.width])?,
            rope: Rope::load(gguf, &shape)?,
            layers,
            vocabulary,
            shape,
        })
    }

    pub(super) fn context_tokens(&self) -> usize {
        self.shape.context_tokens
    }

    /// An empty memory for a new sequence.
    pub(super) fn memory(&self) -> KeyValues {
        KeyValues { layers: self.layers.iter().map(|_| LayerCache::new(&self.shape)).collect() }
    }

    /// Reads the pieces' tokens and remembers them. Returns the logits after each piece's last
    /// token, or nothing where `logits` is false, as in the middle of a prompt.
    pub(super) fn read(
        &self,
        pieces: &mut [Piece<'_>],
        product: Product,
        logits: bool,
        work: &mut Work,
    ) -> Vec<Vec<f32>> {
        let width = self.shape.width;
        let rows: usize = pieces.iter().map(|piece| piece.tokens.len()).sum();
        let mut x = vec![0.0; rows * width];
        let tokens = pieces.iter().flat_map(|piece| piece.tokens);
        for (token, x) in tokens.zip(x.chunks_exact_mut(width)) {
            self.embedding.row(*token as usize, x);
        }
        let rotations = self.rope.at(pieces.iter().flat_map(|piece| {
            let first = piece.memory.positions();
            first..first + piece.tokens.len()
        }));
        for (index, layer) in self.layers.iter().enumerate() {
            let mut spans: Vec<Span<'_>> = pieces
                .iter_mut()
                .map(|piece| Span {
                    cache: &mut piece.memory.layers[index],
                    rows: piece.tokens.len(),
                })
                .collect();
            layer.forward(&mut x, &mut spans, &rotations, product, &self.shape, work);
        }
        if logits { self.logits(&x, pieces) } else { Vec::new() }
    }

    fn logits(&self, x: &[f32], pieces: &[Piece<'_>]) -> Vec<Vec<f32>> {
        let width = self.shape.width;
        let mut normed = vec![0.0; pieces.len() * width];
        let mut end = 0;
        for (piece, normed) in pieces.iter().zip(normed.chunks_exact_mut(width)) {
            end += piece.tokens.len();
            let last = &x[(end - 1) * width..end * width];
            math::rms_norm(last, &self.norm, self.shape.norm_epsilon, normed);
        }
        let mut products = Panels::default();
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        head.multiply(&normed, Product::Quantised, &mut products);
        (0..pieces.len())
            .map(|row| {
                let mut logits = vec![0.0; self.vocabulary];
                products.copy_row(row, 0, &mut logits);
                logits
            })
            .collect()
    }
}

/// A tensor that nothing here reads, such as a bias, would change the answers if it were read.
fn refuse_other_tensors(gguf: &Gguf<'_>, shape: &Shape) -> Result<(), ModelFault> {
    let whole = ["token_embd.weight", "output_norm.weight", "output.weight", rope::FACTORS];
    for name in gguf.tensor_names() {
        let of_layer = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
        let known = match of_layer {
            Some((index, tensor)) => {
                index.parse::<usize>().is_ok_and(|index| index < shape.layers)
                    && layer::TENSORS.contains(&tensor)
            }
            None => whole.contains(&name),
        };
        if !known {
            let what = format!("the tensor {}", super::shape::printable(name));
            return Err(ModelFault::Unsupported { what });
        }
    }
    Ok(())
}
