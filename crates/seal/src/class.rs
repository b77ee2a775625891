//! Length classes: what a length is rounded up to before a network sees it (spec/seal.md 3 and 5).

/// The smallest class that holds `length`: `first` · {1, 1.5, 2, 3, 4, 6, 8, …}.
///
/// Two steps double, so a length costs at most half of itself again, and a fifth on average, while
/// an observer learns it only to within that step. `first` is even.
pub(crate) fn class_of(length: u64, first: u64) -> u64 {
    let mut whole = first;
    while whole < length {
        let half_more = whole + whole / 2;
        if half_more >= length {
            return half_more;
        }
        whole *= 2;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::class_of;

    #[test]
    fn a_class_is_the_smallest_step_that_holds_the_length() {
        let cases = [(0, 16), (1, 16), (16, 16), (17, 24), (24, 24), (25, 32), (33, 48), (49, 64)];
        for (length, class) in cases {
            assert_eq!(class_of(length, 16), class, "length {length}");
        }
    }

    #[test]
    fn a_class_never_costs_more_than_half_of_the_length_above_the_first() {
        for length in 16..100_000 {
            let class = class_of(length, 16);
            assert!(class >= length && 2 * class < 3 * length + 3, "{length} -> {class}");
            assert_eq!(class_of(class, 16), class, "a class is its own class");
        }
    }
}
