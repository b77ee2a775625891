//! How an error is told: every cause once, from the outermost in.

/// The causes of an error in one line. Many errors of ours repeat their cause in their own words;
/// what was said already is not said again.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_was_told_already_is_not_told_again() {
        let cause = std::io::Error::other("the disk is full");
        let error = anyhow::Error::new(cause).context("cannot write x: the disk is full");
        assert_eq!(told(&error), "cannot write x: the disk is full");
    }

    #[test]
    fn causes_stand_in_their_order() {
        let error = anyhow::anyhow!("no route").context("no node").context("no chain");
        assert_eq!(told(&error), "no chain: no node: no route");
    }
}
