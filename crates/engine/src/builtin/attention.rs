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
/// Rows that one task attends from.
const ROWS_A_TASK: usize = 4;

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
        let rows = queries.len() / width;
        if rows > 1 {
            return self.attend_rows(queries, self.positions - rows + 1, out, shape);
        }
        let group = shape.group() * shape.head_dims;
        let task = |scratch: &mut Scratch, head: &HeadCache, queries: &[f32], out: &mut [f32]| {
            head.attend(queries, self.positions, shape, scratch, out);
        };
        if self.positions < SPREAD_FROM {
            let mut scratch = Scratch::default();
            let heads = queries.chunks_exact(group).zip(out.chunks_exact_mut(group));
            for (head, (queries, out)) in self.heads.iter().zip(heads) {
                task(&mut scratch, head, queries, out);
            }
        } else {
            let heads = queries.par_chunks_exact(group).zip(out.par_chunks_exact_mut(group));
            self.heads
                .par_iter()
                .zip(heads)
                .for_each_init(Scratch::default, |scratch, (head, (queries, out))| {
                    task(scratch, head, queries, out)
                });
        }
    }

    /// Many rows, of which the first sees `first_visible` positions. A few rows at a time are
    /// gathered for each head, so that they fill the tiles of the product.
    fn attend_rows(&self, queries: &[f32], first_visible: usize, out: &mut [f32], shape: &Shape) {
        let width = shape.query_dims();
        let group = shape.group() * shape.head_dims;
        queries
            .par_chunks(ROWS_A_TASK * width)
            .zip(out.par_chunks_mut(ROWS_A_TASK * width))
            .enumerate()
            .for_each_init(Buffers::default, |buffers, (task, (queries, out))| {
                let visible = first_visible + task * ROWS_A_TASK;
                let Buffers { queries: gathered, out: attended, scratch } = buffers;
                for (index, head) in self.heads.iter().enumerate() {
                    let columns = index * group..(index + 1) * group;
                    gathered.clear();
                    for row in queries.chunks_exact(width) {
                        gathered.extend_from_slice(&row[columns.clone()]);
                    }
                    attended.resize(gathered.len(), 0.0);
                    head.attend(gathered, visible, shape, scratch, attended);
                    let rows = out.chunks_exact_mut(width).zip(attended.chunks_exact(group));
                    for (out, attended) in rows {
                        out[columns.clone()].copy_from_slice(attended);
                    }
                }
            });
    }
}

/// Scores of one tile of query rows; kept between calls to be allocated once.
#[derive(Debug, Default)]
struct Scratch {
    scores: Vec<f32>,
}

/// What a task over many rows needs.
#[derive(Debug, Default)]
struct Buffers {
    queries: Vec<f32>,
    out: Vec<f32>,
    scratch: Scratch,
}

impl HeadCache {
    /// Attends from the query heads that share this head: those of a first row to the first
    /// `visible` positions, those of the next row to one more, and so on.
    fn attend(
        &self,
        queries: &[f32],
        visible: usize,
        shape: &Shape,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        let dims = shape.head_dims;
        let scale = 1.0 / (dims as f32).sqrt();
        let tiles = queries.chunks(TILE * dims).zip(out.chunks_mut(TILE * dims));
        for (tile, (queries, out)) in tiles.enumerate() {
            let rows = queries.len() / dims;
            let visible_to = |row: usize| visible + (tile * TILE + row) / shape.group();
            let most = visible_to(rows - 1);
            let columns = most.next_multiple_of(HALF);
            scratch.scores.resize(rows * columns, 0.0);
            let scores = &mut scratch.scores[..];
            let panels = self.keys.chunks_exact(dims * HALF).take(columns / HALF);
            for (panel, keys) in panels.enumerate() {
                let mut sums = [[0.0; HALF]; TILE];
                dense(keys, queries, dims, &mut sums);
                for (scores, sums) in scores.chunks_exact_mut(columns).zip(&sums) {
                    for (score, sum) in scores[panel * HALF..][..HALF].iter_mut().zip(sums) {
                        *score = sum * scale;
                    }
                }
            }
            for (row, scores) in scores.chunks_exact_mut(columns).enumerate() {
                math::softmax(scores, visible_to(row));
            }
            for (panel, values) in self.values.iter().enumerate() {
                let mut sums = [[0.0; HALF]; TILE];
                dense(&values[..most * HALF], scores, columns, &mut sums);
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
