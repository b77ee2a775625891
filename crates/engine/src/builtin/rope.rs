//! Rotary positions: pairs of neighbouring dimensions turn with the position.

use super::fault::ModelFault;
use super::gguf::Gguf;
use super::shape::Shape;

/// Divisors of the frequencies, which some models bring along to stretch their context.
pub(super) const FACTORS: &str = "rope_freqs.weight";

/// How fast each pair turns.
#[derive(Debug)]
pub(super) struct Rope {
    frequencies: Vec<f64>,
    head_dims: usize,
}

/// Sines and cosines of some rows' positions.
#[derive(Debug)]
pub(super) struct Rotations {
    /// Indexed by row, pair.
    turns: Vec<(f32, f32)>,
    pairs: usize,
    head_dims: usize,
}

impl Rope {
    pub(super) fn load(gguf: &Gguf<'_>, shape: &Shape) -> Result<Self, ModelFault> {
        let pairs = shape.rope_dims / 2;
        let factors = match gguf.tensor_names().any(|name| name == FACTORS) {
            true => gguf.floats(FACTORS, &[pairs])?,
            false => vec![1.0; pairs],
        };
        if !factors.iter().all(|factor| factor.is_finite() && *factor > 0.0) {
            return Err(ModelFault::tensor(FACTORS, "holds a factor that is not above zero"));
        }
        Ok(Rope::new(shape, &factors))
    }

    fn new(shape: &Shape, factors: &[f32]) -> Self {
        let base = f64::from(shape.rope_base);
        let frequency = |(pair, factor): (usize, &f32)| {
            base.powf(-2.0 * pair as f64 / shape.rope_dims as f64) / f64::from(*factor)
        };
        let frequencies = factors.iter().enumerate().map(frequency).collect();
        Rope { frequencies, head_dims: shape.head_dims }
    }

    /// The rotations of rows at these positions.
    pub(super) fn at(&self, positions: impl Iterator<Item = usize>) -> Rotations {
        let turns = positions
            .flat_map(|position| {
                self.frequencies.iter().map(move |frequency| {
                    let (sine, cosine) = (position as f64 * frequency).sin_cos();
                    (sine as f32, cosine as f32)
                })
            })
            .collect();
        Rotations { turns, pairs: self.frequencies.len(), head_dims: self.head_dims }
    }
}

impl Rotations {
    /// Turns the leading dimensions of each head of a row of queries or keys.
    pub(super) fn rotate(&self, row: usize, heads: &mut [f32]) {
        let turns = &self.turns[row * self.pairs..][..self.pairs];
        for head in heads.chunks_exact_mut(self.head_dims) {
            for ([a, b], (sine, cosine)) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                (*a, *b) = (*a * cosine - *b * sine, *a * sine + *b * cosine);
            }
        }
    }
}
