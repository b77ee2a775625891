//! What is counted; whole comparisons are in the tests of the simulator and of the vectors.

use super::*;

fn comparison(equal: usize, different: &[u8], absent: &[u8]) -> Comparison {
    let (different, absent) = (different.to_vec(), absent.to_vec());
    Comparison { kind: RimKind::Driver, equal, skipped: vec![35], different, absent }
}

#[test]
fn every_measurement_but_the_skipped_is_compared() {
    assert_eq!(comparison(4, &[], &[]).compared(), 4);
    assert_eq!(comparison(4, &[1, 2], &[]).compared(), 6);
    assert_eq!(comparison(4, &[], &[7]).compared(), 5);
    assert_eq!(comparison(4, &[1, 2], &[7]).compared(), 7);
    assert_eq!(comparison(0, &[], &[]).compared(), 0);
}

#[test]
fn one_difference_or_one_absence_is_not_good() {
    assert!(comparison(4, &[], &[]).is_good());
    for bad in [comparison(4, &[1], &[]), comparison(4, &[], &[1]), comparison(0, &[], &[])] {
        assert!(!bad.is_good(), "{bad:?}");
    }
}
