//! Keys and values of a sequence, and the attention over them.
//!
//! Both are kept in the panels that the dense product multiplies with, so attention is that product
//! twice: queries with keys give scores, weighted scores with values give the result.

use rayon::prelude::*;

use super::math;
use super::matrix::{HALF, TILE, dense};
use super::shape::Shape;

/// Positions from which on one row's heads are spread over threads; below, waking one costs more.
const SPREAD_FROM: usize = 512;

/// Keys and values of one sequence in one layer.
#[derive(Debug)]
pub(super) struct LayerCache {
    heads: Vec<HeadCache>,
    positions: usize,
}

#[derive(Debug, Clone)]
struct HeadCache {
    /// Indexed by panel of 16 positions, dimension, position in panel.
    keys: Vec<f32>,
    /// For each panel of 16 dimensions: indexed by position, dimension in panel.
    values: Vec<Vec<f32>>,
}

impl LayerCache {
    pub(super) fn new(shape: &Shape) -> Self {
        let head = HeadCache { keys: Vec::new(), values: vec![vec![]; shape.head_dims / HALF] };
        LayerCache { heads: vec![head; shape.kv_heads], positions: 0 }
    }

    /// Positions that are remembered.
    pub(super) fn positions(&self) -> usize {
        self.positions
    }

    /// Remembers one position: the rows of all its keys and all its values.
    pub(super) fn push(&mut self, keys: &[f32], values: &[f32]) {
        let dims = keys.len() / self.heads.len();
        let at = self.positions % HALF;
        let rows = keys.chunks_exact(dims).zip(values.chunks_exact(dims));
        for (head, (keys, values)) in self.heads.iter_mut().zip(rows) {
            if at == 0 {
                head.keys.resize(head.keys.len() + dims * HALF, 0.0);
            }
            let panel = head.keys.len() - dims * HALF;
            for (dim, key) in keys.iter().enumerate() {
                head.keys[panel + dim * HALF + at] = *key;
            }
            for (panel, values) in head.values.iter_mut().zip(values.chunks_exact(HALF)) {
                panel.extend_from_slice(values);
            }
        }
        self.positions += 1;
    }

    /// Attends from consecutive rows of queries, the last of which stands at the last position, to
    /// all positions up to their own. `out` is like `queries`.
    pub(super) fn attend(&self, queries: &[f32], out: &mut [f32], shape: &Shape) {
        let width = shape.query_dims();
        let first = self.positions - queries.len() / width;
        if queries.len() == width && self.positions < SPREAD_FROM {
            let group = shape.group() * shape.head_dims;
            let mut scratch = Scratch::default();
            let heads = queries.chunks_exact(group).zip(out.chunks_exact_mut(group));
            for (head, (queries, out)) in self.heads.iter().zip(heads) {
                head.attend(queries, self.positions, shape.head_dims, &mut scratch, out);
            }
        } else if queries.len() == width {
            let group = shape.group() * shape.head_dims;
            self.heads
                .par_iter()
                .zip(queries.par_chunks_exact(group).zip(out.par_chunks_exact_mut(group)))
                .for_each_init(Scratch::default, |scratch, (head, (queries, out))| {
                    head.attend(queries, self.positions, shape.head_dims, scratch, out);
                });
        } else {
            self.attend_rows(queries, first, out, shape);
        }
    }

    fn attend_rows(&self, queries: &[f32], first: usize, out: &mut [f32], shape: &Shape) {
        let width = shape.query_dims();
        let group = shape.group() * shape.head_dims;
        queries
            .par_chunks_exact(width)
            .zip(out.par_chunks_exact_mut(width))
            .enumerate()
            .for_each_init(Scratch::default, |scratch, (row, (queries, out))| {
                let heads = queries.chunks_exact(group).zip(out.chunks_exact_mut(group));
                for (head, (queries, out)) in self.heads.iter().zip(heads) {
                    head.attend(queries, first + row + 1, shape.head_dims, scratch, out);
                }
            });
    }
}

/// Scores of one tile of query rows; kept between calls to be allocated once.
#[derive(Debug, Default)]
struct Scratch {
    scores: Vec<f32>,
}

impl HeadCache {
    /// Attends from the query heads of one row to the first `visible` positions.
    fn attend(
        &self,
        queries: &[f32],
        visible: usize,
        dims: usize,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        let scale = 1.0 / (dims as f32).sqrt();
        let columns = visible.next_multiple_of(HALF);
        let tiles = queries.chunks(TILE * dims).zip(out.chunks_mut(TILE * dims));
        for (queries, out) in tiles {
            let rows = queries.len() / dims;
            scratch.scores.resize(rows * columns, 0.0);
            let scores = &mut scratch.scores[..rows * columns];
            for (panel, keys) in
                self.keys.chunks_exact(dims * HALF).take(columns / HALF).enumerate()
            {
                let mut sums = [[0.0; HALF]; TILE];
                dense(keys, queries, dims, &mut sums);
                for (scores, sums) in scores.chunks_exact_mut(columns).zip(&sums) {
                    for (score, sum) in scores[panel * HALF..][..HALF].iter_mut().zip(sums) {
                        *score = sum * scale;
                    }
                }
            }
            for scores in scores.chunks_exact_mut(columns) {
                math::softmax(scores, visible);
            }
            for (panel, values) in self.values.iter().enumerate() {
                let mut sums = [[0.0; HALF]; TILE];
                dense(&values[..visible * HALF], scores, columns, &mut sums);
                for (out, sums) in out.chunks_exact_mut(dims).zip(&sums) {
                    out[panel * HALF..][..HALF].copy_from_slice(sums);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            layers: 1,
            width: 64,
            feed_forward: 64,
            heads: 4,
            kv_heads: 2,
            head_dims: 16,
            rope_dims: 16,
            rope_base: 10_000.0,
            norm_epsilon: 1e-5,
            context_tokens: 64,
        }
    }

    fn row(seed: usize, length: usize) -> Vec<f32> {
        (0..length).map(|i| ((i * 7 + seed * 13) % 23) as f32 * 0.1 - 1.0).collect()
    }

    fn filled(shape: &Shape, positions: usize) -> LayerCache {
        let mut cache = LayerCache::new(shape);
        for position in 0..positions {
            let keys = row(position, shape.key_dims());
            cache.push(&keys, &row(position + 100, shape.key_dims()));
        }
        cache
    }

    /// The textbook's attention of one query head over the first positions.
    fn reference(query: &[f32], head: usize, visible: usize, shape: &Shape) -> Vec<f64> {
        let kv = head / shape.group() * 16;
        let scores: Vec<f64> = (0..visible)
            .map(|position| {
                let keys = row(position, shape.key_dims());
                let dot: f64 = query.iter().zip(&keys[kv..]).map(|(q, k)| f64::from(q * k)).sum();
                (dot / 4.0).exp()
            })
            .collect();
        let total: f64 = scores.iter().sum();
        (0..16)
            .map(|dim| {
                let value = |p: usize| f64::from(row(p + 100, shape.key_dims())[kv + dim]);
                scores.iter().enumerate().map(|(p, s)| s / total * value(p)).sum()
            })
            .collect()
    }

    #[test]
    fn agrees_with_the_textbook_at_every_position() {
        let shape = shape();
        let positions = 37;
        let cache = filled(&shape, positions);
        let queries: Vec<f32> = (0..positions).flat_map(|p| row(p + 7, 64)).collect();
        let mut out = vec![0.0; queries.len()];
        cache.attend(&queries, &mut out, &shape);
        for position in 0..positions {
            for head in 0..4 {
                let at = position * 64 + head * 16;
                let expected = reference(&queries[at..][..16], head, position + 1, &shape);
                for (got, expected) in out[at..][..16].iter().zip(expected) {
                    assert!((f64::from(*got) - expected).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        let shape = shape();
        let cache = filled(&shape, 40);
        let queries: Vec<f32> = (0..3).flat_map(|p| row(p, 64)).collect();
        let mut together = vec![0.0; queries.len()];
        cache.attend(&queries, &mut together, &shape);
        let mut alone = vec![0.0; 64];
        cache.attend(&queries[128..], &mut alone, &shape);
        assert_eq!(alone, together[128..]);
    }
}
