//! The small functions between the products, written so that the compiler makes vector code of them.

/// Elements that are summed side by side.
const LANES: usize = 16;

/// e^x within two units in the last place, without a branch. Below -87 it gives the smallest normal
/// numbers, above 88 the largest.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding this rounds to a whole number, which then stands in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, so that their products with whole numbers are exact (Cephes, expf.c).
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let power = shifted - ROUND;
    let x = power.mul_add(-LN2_LOW, power.mul_add(-LN2_HIGH, x));
    let mut sum = 1.987_569_1e-4f32;
    for factor in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
        sum = sum.mul_add(x, factor);
    }
    let sum = sum.mul_add(x * x, x) + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    sum * scale
}

/// Turns the first `visible` scores into weights that sum to one, and the rest into zeros.
pub(super) fn softmax(scores: &mut [f32], visible: usize) {
    scores[visible..].fill(f32::MIN);
    let top = lanes(scores, f32::MIN, f32::max).into_iter().fold(f32::MIN, f32::max);
    for score in scores.iter_mut() {
        *score = exp(*score - top);
    }
    scores[visible..].fill(0.0);
    let total: f32 = lanes(scores, 0.0, |sum, score| sum + score).iter().sum();
    let factor = 1.0 / total;
    for score in scores.iter_mut() {
        *score *= factor;
    }
}

/// Root-mean-square norm of a row, times the weights.
pub(super) fn rms_norm(row: &[f32], weights: &[f32], epsilon: f32, out: &mut [f32]) {
    let squares: f32 = lanes(row, 0.0, |sum, x| x.mul_add(x, sum)).iter().sum();
    let factor = 1.0 / (squares / row.len() as f32 + epsilon).sqrt();
    for ((out, x), weight) in out.iter_mut().zip(row).zip(weights) {
        *out = x * factor * weight;
    }
}

/// x · sigmoid(x).
#[inline(always)]
pub(super) fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// Folds a row in 16 lanes; element i goes to lane i mod 16.
#[inline(always)]
fn lanes(row: &[f32], start: f32, fold: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut folded = [start; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            folded[lane] = fold(folded[lane], chunk[lane]);
        }
    }
    for (folded, x) in folded.iter_mut().zip(rest) {
        *folded = fold(*folded, *x);
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_a_few_parts_in_ten_million() {
        for step in -8700..8800 {
            let x = step as f32 * 0.01;
            let (got, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((got / expected - 1.0).abs() < 4e-7, "{x}: {got} {expected}");
        }
        assert!(exp(-1e9) < 1e-37);
        assert!(exp(1e9).is_finite());
    }

    #[test]
    fn softmax_sums_to_one_and_hides_the_rest() {
        let mut scores: Vec<f32> = (0..48).map(|i| (i % 11) as f32).collect();
        softmax(&mut scores, 37);
        assert!((scores[..37].iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(scores[37..].iter().all(|&score| score == 0.0));
    }

    #[test]
    fn a_normed_row_has_a_mean_square_of_one() {
        let row: Vec<f32> = (0..40).map(|i| i as f32 - 20.0).collect();
        let mut out = vec![0.0; 40];
        rms_norm(&row, &[1.0; 40], 1e-6, &mut out);
        let mean: f32 = out.iter().map(|x| x * x).sum::<f32>() / 40.0;
        assert!((mean - 1.0).abs() < 1e-5);
    }
}
