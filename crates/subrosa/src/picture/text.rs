//! The picture in a terminal.

use super::{Link, Picture, State};
use crate::output::{Output, Tone};

/// How wide the longest title is.
const TITLE_CHARS: usize = 22;

/// The picture as lines.
pub(crate) fn text(picture: &Picture, output: &Output) -> Vec<String> {
    let mut lines = vec![];
    chain(&picture.processor, "  ", output, &mut lines);
    if !picture.devices.is_empty() {
        lines.push("  │".into());
        lines.push("  ├─────┐ beside the processor".into());
        lines.push("  │     ▼".into());
        chain(&picture.devices, "  │     ", output, &mut lines);
        lines.push("  │     │".into());
        lines.push(match picture.bound {
            State::Holds => "  ├◀────┘ bound by the same quote".into(),
            State::Unsaid | State::Waived => {
                "  ├◀╌╌╌╌┘ joined by the nonce alone, not by the quote".into()
            }
            State::Broken => "  ├  ✗  ┘ not bound by the quote".into(),
        });
    }
    if !picture.processor.is_empty() && !picture.answer.is_empty() {
        lines.extend(["  │".into(), "  ▼".into()]);
    }
    chain(&picture.answer, "  ", output, &mut lines);
    lines.push(String::new());
    let tone = match picture.accepted {
        true if picture.simulated => Tone::Warning,
        true => Tone::Good,
        false => Tone::Bad,
    };
    lines.push(output.paint(tone, &picture.sentence));
    lines
}

fn chain(links: &[Link], margin: &str, output: &Output, lines: &mut Vec<String>) {
    for (at, link) in links.iter().enumerate() {
        if at > 0 {
            lines.extend([format!("{margin}│"), format!("{margin}▼")]);
        }
        let sign = output.paint(tone(link.state), link.state.sign());
        let title = output.paint(Tone::Strong, format!("{:TITLE_CHARS$}", link.title));
        lines.push(format!("{margin}{sign} {title} {}", output.paint(Tone::Faint, link.about)));
        for seen in &link.seen {
            let sign = output.paint(tone(seen.state), seen.state.sign());
            let said = if seen.text.is_empty() { seen.state.word() } else { &seen.text };
            lines.push(format!("{margin}│   {sign} {:24} {said}", seen.check));
        }
    }
}

fn tone(state: State) -> Tone {
    match state {
        State::Holds => Tone::Good,
        State::Waived => Tone::Faint,
        State::Unsaid => Tone::Warning,
        State::Broken => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use subrosa_verifier::Outcome;

    use super::super::tests::checked;
    use super::*;

    fn drawn(outcome: Outcome) -> String {
        let picture = Picture::of(&checked(outcome, &[]));
        text(&picture, &Output::new(false)).join("\n")
    }

    #[test]
    fn the_chain_goes_from_the_root_to_the_receipt() {
        let drawn = drawn(Outcome::Passed);
        let order = ["the maker's root", "the machine", "the quote", "the image", "NVIDIA's root"];
        let rest = ["driver and firmware", "the key", "the workload", "the answer's receipt"];
        let places: Vec<_> = order.iter().chain(&rest).map(|title| drawn.find(title)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
    }

    #[test]
    fn devices_that_the_quote_does_not_bind_are_not_told_as_bound() {
        for (outcome, words) in [
            (Outcome::Passed, "bound by the same quote"),
            (Outcome::Absent, "joined by the nonce alone"),
            (Outcome::Failed, "not bound by the quote"),
        ] {
            let picture = Picture::of(&checked(Outcome::Passed, &[("cpu_gpu_chain", outcome)]));
            let drawn = text(&picture, &Output::new(false)).join("\n");
            assert!(drawn.contains(words), "{outcome:?}: {drawn}");
            let same = drawn.contains("bound by the same quote");
            assert_eq!(same, outcome == Outcome::Passed, "{outcome:?}");
        }
    }

    #[test]
    fn states_are_told_without_colour() {
        for (outcome, sign) in
            [(Outcome::Failed, "✗"), (Outcome::Absent, "○"), (Outcome::Passed, "✓")]
        {
            assert!(drawn(outcome).contains(sign), "{outcome:?}");
        }
    }
}
