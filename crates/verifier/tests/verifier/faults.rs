//! Reports of foreign documents that were made and then spoiled: each fault, and the check that must
//! name it.

use subrosa_verifier::{CheckName, Policy, Releases, Report, Verdict};

/// A document that is honest until it is changed.
pub trait Honest {
    /// Without any fault.
    fn honest() -> Self;

    /// What comes of it.
    fn report(&self) -> Report;
}

/// A change, the check that refuses it, and the words.
pub type Fault<T> = (fn(&mut T), CheckName, &'static str);

#[track_caller]
pub fn assert_faults<T: Honest>(faults: &[Fault<T>]) {
    for (change, name, words) in faults {
        let mut changed = T::honest();
        change(&mut changed);
        assert_refused(&changed.report(), *name, words);
    }
}

#[track_caller]
pub fn assert_refused(report: &Report, name: CheckName, words: &str) {
    assert_eq!(report.verdict, Verdict::Refused, "{words:?} expected");
    let failed = report.first_failure().unwrap();
    assert_eq!(failed.name, name, "{words:?} expected: {}", report.sentence());
    assert!(failed.seen.contains(words), "{words:?} expected: {}", report.sentence());
}

pub fn strict() -> Policy {
    Policy::strict(Releases::default())
}
