//! Weights in the form in which they are multiplied, and the two products.
//!
//! Both products are plain loops over fixed-size arrays, which the compiler turns into vector code
//! (x86-64-v3, see `.cargo/config.toml`). Each output element is summed in the order of the columns,
//! whatever other rows are computed beside it: a sequence's numbers, and hence its text, do not
//! depend on which sequences share a batch with it.

use rayon::prelude::*;

/// Columns that share a scale, as in GGUF's 32-element blocks.
pub(super) const BLOCK: usize = 32;
/// Weight rows (outputs) that one panel holds side by side.
pub(super) const LANES: usize = 32;
/// Outputs of one pass of the dense product: 6 rows by 16 lanes fill the vector registers.
pub(super) const HALF: usize = 16;
/// Rows of one pass of the dense product.
pub(super) const TILE: usize = 6;
/// Rows of one pass of the quantised product.
const GROUP: usize = 3;
/// Bytes of a block of a panel.
const PANEL_BLOCK: usize = BLOCK * LANES;
/// Tasks a thread of the dense product, so that a thread that was interrupted is helped out.
const DENSE_TASKS: usize = 4;

/// Which product to use. They differ in rounding, so the choice depends on the phase of a sequence
/// and never on how many rows happen to come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    /// For prompts: each panel of weights is expanded to f32 once and multiplied with all rows.
    Dense,
    /// For the few rows of decoding, where reading the weights is what takes the time: they are read
    /// once, as they are.
    Quantised,
}

/// A weight matrix: 8-bit weights with a scale for each block of 32 columns of a row.
///
/// 32 rows are interleaved: for each block of columns, the panel holds for each column the weights of
/// the 32 rows side by side.
#[derive(Debug)]
pub(super) struct Matrix {
    rows: usize,
    columns: usize,
    /// Indexed by panel, block, column in block, lane.
    quants: Vec<i8>,
    /// Indexed by panel, block, lane.
    scales: Vec<f32>,
}

/// One row of a weight matrix as it is being loaded.
pub(super) struct Row<'a> {
    /// The weights.
    pub(super) quants: &'a mut [i8],
    /// A scale for each block.
    pub(super) scales: &'a mut [f32],
}

impl Matrix {
    /// Builds a matrix row by row; `fill` gets the number of each row. Rows beyond the last, which
    /// fill up the last panel, stay zero.
    pub(super) fn build<E: Send>(
        rows: usize,
        columns: usize,
        fill: impl Fn(usize, Row<'_>) -> Result<(), E> + Sync,
    ) -> Result<Self, E> {
        assert!(columns.is_multiple_of(BLOCK), "dimensions were checked when the file was read");
        let panels = rows.div_ceil(LANES);
        let mut quants = vec![0; panels * LANES * columns];
        let mut scales = vec![0.0; panels * LANES * columns / BLOCK];
        quants
            .par_chunks_exact_mut(LANES * columns)
            .zip(scales.par_chunks_exact_mut(LANES * columns / BLOCK))
            .enumerate()
            .try_for_each(|(panel, (quants, scales))| {
                let mut row_quants = vec![0; columns];
                let mut row_scales = vec![0.0; columns / BLOCK];
                for lane in 0..LANES.min(rows - panel * LANES) {
                    let row = Row { quants: &mut row_quants, scales: &mut row_scales };
                    fill(panel * LANES + lane, row)?;
                    for (column, &quant) in row_quants.iter().enumerate() {
                        quants[column * LANES + lane] = quant;
                    }
                    for (block, &scale) in row_scales.iter().enumerate() {
                        scales[block * LANES + lane] = scale;
                    }
                }
                Ok(())
            })?;
        Ok(Matrix { rows, columns, quants, scales })
    }

    /// Copies one row, as for the embedding of a token.
    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        let (panel, lane) = (row / LANES, row % LANES);
        let (quants, scales) = self.panel(panel);
        for (column, out) in out.iter_mut().enumerate() {
            let scale = scales[column / BLOCK * LANES + lane];
            *out = f32::from(quants[column * LANES + lane]) * scale;
        }
    }

    /// Multiplies rows of `x`, each [`Self::columns`] long, with every weight row.
    pub(super) fn multiply(&self, x: &[f32], product: Product, out: &mut Panels) {
        let rows = x.len() / self.columns;
        assert_eq!(rows * self.columns, x.len(), "rows are as long as the matrix is wide");
        let panels = self.rows.div_ceil(LANES);
        out.reset(rows, panels);
        let tasks =
            rayon::current_num_threads() * if product == Product::Dense { DENSE_TASKS } else { 1 };
        let panels_a_task = panels.div_ceil(tasks);
        out.values.par_chunks_mut(panels_a_task * rows * LANES).enumerate().for_each(
            |(task, out)| {
                let first = task * panels_a_task;
                match product {
                    Product::Dense => self.multiply_dense(x, rows, first, out),
                    Product::Quantised => self.multiply_quantised(x, rows, first, out),
                }
            },
        );
    }

    fn panel(&self, panel: usize) -> (&[i8], &[f32]) {
        let weights = LANES * self.columns;
        let scales = weights / BLOCK;
        (&self.quants[panel * weights..][..weights], &self.scales[panel * scales..][..scales])
    }

    fn multiply_quantised(&self, x: &[f32], rows: usize, first: usize, out: &mut [f32]) {
        for (panel, out) in (first..).zip(out.chunks_exact_mut(rows * LANES)) {
            let (quants, scales) = self.panel(panel);
            let groups = x.chunks(GROUP * self.columns).zip(out.chunks_mut(GROUP * LANES));
            for (x, out) in groups {
                match out.len() / LANES {
                    1 => quantised::<1>(quants, scales, x, out),
                    2 => quantised::<2>(quants, scales, x, out),
                    _ => quantised::<GROUP>(quants, scales, x, out),
                }
            }
        }
    }

    fn multiply_dense(&self, x: &[f32], rows: usize, first: usize, out: &mut [f32]) {
        let mut halves = [vec![0.0; HALF * self.columns], vec![0.0; HALF * self.columns]];
        for (panel, out) in (first..).zip(out.chunks_exact_mut(rows * LANES)) {
            self.expand(panel, &mut halves);
            for (half, weights) in halves.iter().enumerate() {
                let tiles = x.chunks(TILE * self.columns).zip(out.chunks_mut(TILE * LANES));
                for (x, out) in tiles {
                    let mut sums = [[0.0; HALF]; TILE];
                    dense(weights, x, self.columns, &mut sums);
                    for (out, sum) in out.chunks_exact_mut(LANES).zip(&sums) {
                        out[half * HALF..][..HALF].copy_from_slice(sum);
                    }
                }
            }
        }
    }

    /// Expands a panel to f32, as two halves that are indexed by column, lane.
    fn expand(&self, panel: usize, halves: &mut [Vec<f32>; 2]) {
        let (quants, scales) = self.panel(panel);
        let blocks = quants.as_chunks::<PANEL_BLOCK>().0.iter().zip(scales.as_chunks::<LANES>().0);
        for (b, (block, scales)) in blocks.enumerate() {
            for (k, quants) in block.as_chunks::<LANES>().0.iter().enumerate() {
                for (half, out) in halves.iter_mut().enumerate() {
                    let out = out[(b * BLOCK + k) * HALF..][..HALF].iter_mut();
                    let lanes = half * HALF..(half + 1) * HALF;
                    let weights = quants[lanes.clone()].iter().zip(&scales[lanes]);
                    for (out, (quant, scale)) in out.zip(weights) {
                        *out = f32::from(*quant) * scale;
                    }
                }
            }
        }
    }
}

/// Products of some rows with a matrix, by panel: indexed by panel, row, lane.
#[derive(Debug, Default)]
pub(super) struct Panels {
    values: Vec<f32>,
    rows: usize,
}

impl Panels {
    fn reset(&mut self, rows: usize, panels: usize) {
        self.rows = rows;
        self.values.resize(rows * panels * LANES, 0.0);
    }

    /// One row's products with the 32 weight rows of a panel.
    pub(super) fn lanes(&self, panel: usize, row: usize) -> &[f32; LANES] {
        &self.values.as_chunks::<LANES>().0[panel * self.rows + row]
    }

    /// Copies a row's products with the weight rows from `first` on; `first` begins a panel.
    pub(super) fn copy_row(&self, row: usize, first: usize, out: &mut [f32]) {
        for (panel, out) in (first / LANES..).zip(out.chunks_mut(LANES)) {
            out.copy_from_slice(&self.lanes(panel, row)[..out.len()]);
        }
    }

    /// Adds a row's products to `out`.
    pub(super) fn add_row(&self, row: usize, out: &mut [f32]) {
        for (panel, out) in out.chunks_mut(LANES).enumerate() {
            for (out, value) in out.iter_mut().zip(self.lanes(panel, row)) {
                *out += value;
            }
        }
    }
}

/// Multiplies `R` rows with one panel of weights as they are stored.
fn quantised<const R: usize>(quants: &[i8], scales: &[f32], x: &[f32], out: &mut [f32]) {
    let columns = x.len() / R;
    let x: [&[[f32; BLOCK]]; R] =
        std::array::from_fn(|row| x[row * columns..][..columns].as_chunks().0);
    let mut totals = [[0.0f32; LANES]; R];
    let blocks = quants.as_chunks::<PANEL_BLOCK>().0.iter().zip(scales.as_chunks::<LANES>().0);
    for (b, (block, scales)) in blocks.enumerate() {
        let x: [&[f32; BLOCK]; R] = std::array::from_fn(|row| &x[row][b]);
        let mut sums = [[0.0f32; LANES]; R];
        for (k, quants) in block.as_chunks::<LANES>().0.iter().enumerate() {
            let weights: [f32; LANES] = std::array::from_fn(|lane| f32::from(quants[lane]));
            for row in 0..R {
                let x = x[row][k];
                for lane in 0..LANES {
                    sums[row][lane] = weights[lane].mul_add(x, sums[row][lane]);
                }
            }
        }
        for row in 0..R {
            for lane in 0..LANES {
                totals[row][lane] = sums[row][lane].mul_add(scales[lane], totals[row][lane]);
            }
        }
    }
    out.copy_from_slice(totals.as_flattened());
}

/// Adds to `sums` the product of up to [`TILE`] rows of `x`, `columns` apart, with weights that are
/// indexed by column, lane. Only as many columns are read as there are weights.
pub(super) fn dense(weights: &[f32], x: &[f32], columns: usize, sums: &mut [[f32; HALF]; TILE]) {
    match x.len() / columns {
        0 => {}
        1 => dense_rows::<1>(weights, x, columns, sums),
        2 => dense_rows::<2>(weights, x, columns, sums),
        3 => dense_rows::<3>(weights, x, columns, sums),
        4 => dense_rows::<4>(weights, x, columns, sums),
        5 => dense_rows::<5>(weights, x, columns, sums),
        _ => dense_rows::<TILE>(weights, x, columns, sums),
    }
}

fn dense_rows<const R: usize>(
    weights: &[f32],
    x: &[f32],
    columns: usize,
    out: &mut [[f32; HALF]; TILE],
) {
    let weights = weights.as_chunks::<HALF>().0;
    let x: [&[f32]; R] = std::array::from_fn(|row| &x[row * columns..][..weights.len()]);
    let mut sums = [[0.0f32; HALF]; R];
    for (k, weights) in weights.iter().enumerate() {
        for row in 0..R {
            let x = x[row][k];
            for lane in 0..HALF {
                sums[row][lane] = weights[lane].mul_add(x, sums[row][lane]);
            }
        }
    }
    for row in 0..R {
        for lane in 0..HALF {
            out[row][lane] += sums[row][lane];
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn matrix(rows: usize, columns: usize) -> Matrix {
        Matrix::build(rows, columns, |row, out| {
            for (column, quant) in out.quants.iter_mut().enumerate() {
                *quant = ((row * 31 + column * 17) % 255) as u8 as i8;
            }
            for (block, scale) in out.scales.iter_mut().enumerate() {
                *scale = ((row + block) % 7) as f32 * 0.01;
            }
            Ok::<_, Infallible>(())
        })
        .unwrap()
    }

    fn inputs(rows: usize, columns: usize) -> Vec<f32> {
        (0..rows * columns).map(|i| ((i * 13) % 29) as f32 * 0.1 - 1.4).collect()
    }

    #[test]
    fn both_products_agree_with_plain_arithmetic_for_every_number_of_rows() {
        let (outputs, columns) = (70, 96);
        let matrix = matrix(outputs, columns);
        for rows in 1..=13 {
            let x = inputs(rows, columns);
            for product in [Product::Dense, Product::Quantised] {
                let mut out = Panels::default();
                matrix.multiply(&x, product, &mut out);
                for row in 0..rows {
                    let mut got = vec![0.0; outputs];
                    out.copy_row(row, 0, &mut got);
                    for (output, got) in got.iter().enumerate() {
                        let mut weights = vec![0.0; columns];
                        matrix.row(output, &mut weights);
                        let x = &x[row * columns..][..columns];
                        let sum: f64 = weights.iter().zip(x).map(|(w, x)| f64::from(w * x)).sum();
                        assert!((f64::from(*got) - sum).abs() < 1e-3, "{product:?} {row} {output}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_in_company() {
        let (outputs, columns) = (64, 64);
        let matrix = matrix(outputs, columns);
        let x = inputs(8, columns);
        for product in [Product::Dense, Product::Quantised] {
            let mut together = Panels::default();
            matrix.multiply(&x, product, &mut together);
            for row in 0..8 {
                let mut alone = Panels::default();
                matrix.multiply(&x[row * columns..][..columns], product, &mut alone);
                for panel in 0..2 {
                    assert_eq!(alone.lanes(panel, 0), together.lanes(panel, row));
                }
            }
        }
    }

    #[test]
    fn rows_can_be_copied_from_a_panel_on_and_added() {
        let matrix = matrix(64, 32);
        let x = inputs(2, 32);
        let mut out = Panels::default();
        matrix.multiply(&x, Product::Dense, &mut out);
        let mut whole = vec![0.0; 64];
        out.copy_row(1, 0, &mut whole);
        let mut second = vec![0.0; 32];
        out.copy_row(1, 32, &mut second);
        assert_eq!(second, whole[32..]);
        let mut sum = vec![1.0; 64];
        out.add_row(1, &mut sum);
        assert_eq!(sum[40], 1.0 + whole[40]);
    }
}
