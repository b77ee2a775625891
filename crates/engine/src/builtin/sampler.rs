//! Choosing the next token.

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sampling {
    /// Zero takes the most likely token.
    pub(super) temperature: f32,
    /// Only the most likely tokens that have this probability together are drawn from.
    pub(super) top_p: f32,
    /// Seed of the draws.
    pub(super) seed: u64,
}

/// Chooses the tokens of one sequence. The same seed over the same logits chooses the same tokens.
#[derive(Debug)]
pub(super) struct Sampler {
    sampling: Sampling,
    random: SplitMix64,
}

impl Sampler {
    pub(super) fn new(sampling: Sampling) -> Self {
        Sampler { sampling, random: SplitMix64(sampling.seed) }
    }

    /// A token by its logits, or `None` if not one of them is a number.
    pub(super) fn choose(&mut self, logits: &[f32]) -> Option<u32> {
        let top = most_likely(logits)?;
        if self.sampling.temperature <= 0.0 || self.sampling.top_p <= 0.0 {
            return Some(top as u32);
        }
        let factor = 1.0 / f64::from(self.sampling.temperature);
        let top = f64::from(logits[top]);
        let mut candidates: Vec<(u32, f64)> = logits
            .iter()
            .enumerate()
            .filter(|(_, logit)| logit.is_finite())
            .map(|(token, logit)| (token as u32, ((f64::from(*logit) - top) * factor).exp()))
            .collect();
        if self.sampling.top_p < 1.0 {
            keep_nucleus(&mut candidates, f64::from(self.sampling.top_p));
        }
        Some(self.draw(&candidates))
    }

    fn draw(&mut self, candidates: &[(u32, f64)]) -> u32 {
        let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut point = self.random.unit() * total;
        for (token, weight) in candidates {
            point -= weight;
            if point < 0.0 {
                return *token;
            }
        }
        // Rounding can leave a crumb; it belongs to the first, which is never impossible.
        candidates[0].0
    }
}

fn most_likely(logits: &[f32]) -> Option<usize> {
    let numbers = logits.iter().enumerate().filter(|(_, logit)| logit.is_finite());
    numbers.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(token, _)| token)
}

/// Keeps the fewest tokens that have the share `top_p` of all weight, the likeliest first. Ties go
/// to the lower token.
fn keep_nucleus(candidates: &mut Vec<(u32, f64)>, top_p: f64) {
    let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    // What all tokens below this weight have together is less than what the nucleus leaves out, so
    // none of them belongs to it; this spares sorting a whole vocabulary for each token.
    let least = total * (1.0 - top_p) / candidates.len() as f64;
    candidates.retain(|(_, weight)| *weight >= least);
    candidates.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut sum = 0.0;
    let nucleus = candidates.iter().position(|(_, weight)| {
        sum += weight;
        sum >= total * top_p
    });
    candidates.truncate(nucleus.map_or(candidates.len(), |last| last + 1));
}

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014). Small, and the same on
/// every machine and in every version.
#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    /// A number from 0 to below 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(temperature: f32, top_p: f32, seed: u64) -> Sampler {
        Sampler::new(Sampling { temperature, top_p, seed })
    }

    #[test]
    fn no_temperature_takes_the_most_likely_and_the_first_of_equals() {
        assert_eq!(sampler(0.0, 1.0, 1).choose(&[0.1, 3.0, -1.0, 3.0]), Some(1));
    }

    #[test]
    fn the_same_seed_draws_the_same_tokens() {
        let logits: Vec<f32> = (0..50).map(|i| (i % 7) as f32).collect();
        let draw = |seed| {
            let mut sampler = sampler(1.0, 0.9, seed);
            (0..40).map(|_| sampler.choose(&logits).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let mut sampler = sampler(1.0, 1.0, 3);
        let logits = [0.0, 3f32.ln()];
        let ones = (0..10_000).filter(|_| sampler.choose(&logits) == Some(1)).count();
        assert!((7_300..7_700).contains(&ones), "{ones}");
    }

    #[test]
    fn the_nucleus_leaves_out_the_unlikely() {
        let mut sampler = sampler(1.0, 0.7, 3);
        let logits = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        assert!((0..1_000).all(|_| sampler.choose(&logits) != Some(2)));
    }

    #[test]
    fn logits_that_are_no_numbers_are_never_chosen() {
        let mut sampler = sampler(1.0, 1.0, 3);
        assert!((0..100).all(|_| sampler.choose(&[f32::NAN, 1.0]) == Some(1)));
        assert_eq!(sampler.choose(&[f32::NAN, f32::NAN]), None);
    }
}
