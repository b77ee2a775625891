//! The picture as SVG 1.1: one file, no script, no outside font, readable without colour.

use std::fmt::Write as _;

use super::{Link, Picture, State};

const MARGIN: usize = 24;
const BOX_WIDTH: usize = 560;
const GAP: usize = 40;
const TITLE_HEIGHT: usize = 52;
const LINE_HEIGHT: usize = 16;
const HEAD_HEIGHT: usize = 64;
const FOOT_HEIGHT: usize = 44;
/// What fits a box at 11 px.
const SEEN_CHARS: usize = 52;
/// For what does not hold for sure.
const BROKEN_LINE: &str = " stroke-dasharray=\"5 4\"";
/// The column in which what was seen begins.
const SEEN_AT: usize = 198;
/// What fits the head at 15 px, for each box beside another.
const SENTENCE_CHARS: usize = 68;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1b1f24}\
.t{font-weight:600;font-size:15px}.a{fill:#57606a}.s{font:11px ui-monospace,monospace}\
.n{font:11px ui-monospace,monospace;fill:#57606a}\
.b{fill:#fff;stroke-width:1.5}.e{stroke:#57606a;stroke-width:1.5;fill:none;marker-end:url(#m)}";

/// The picture as a document.
pub(crate) fn svg(picture: &Picture) -> String {
    let columns = if picture.devices.is_empty() { 1 } else { 2 };
    let width = 2 * MARGIN + columns * BOX_WIDTH + (columns - 1) * GAP;
    let mut canvas = Canvas { out: String::new() };
    let sentence = wrapped(&picture.sentence, SENTENCE_CHARS * columns);
    let mut top = HEAD_HEIGHT + LINE_HEIGHT * sentence.len();

    let processor = canvas.chain(&picture.processor, MARGIN, top);
    let devices = canvas.chain(&picture.devices, MARGIN + BOX_WIDTH + GAP, top);
    top = processor.max(devices);
    if !picture.answer.is_empty() {
        let left = (width - BOX_WIDTH) / 2;
        let to = (left + BOX_WIDTH / 2, top + GAP);
        if !picture.processor.is_empty() {
            canvas.arrow((MARGIN + BOX_WIDTH / 2, processor), to);
        }
        if !picture.devices.is_empty() {
            let from = (MARGIN + BOX_WIDTH + GAP + BOX_WIDTH / 2, devices);
            canvas.line(from, to, if picture.bound == State::Holds { "" } else { BROKEN_LINE });
        }
        top = canvas.chain(&picture.answer, left, top + GAP);
    }
    let height = top + FOOT_HEIGHT;
    canvas.legend(top + FOOT_HEIGHT - 16);

    let mut document = String::new();
    let _ = write!(
        document,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\"><title>{}</title><style>{STYLE}</style>\
         <defs><marker id=\"m\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" \
         markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#57606a\"/></marker>\
         </defs><rect width=\"100%\" height=\"100%\" fill=\"#f6f8fa\"/>",
        escaped(&picture.sentence)
    );
    let heading = match picture.simulated {
        true => "From silicon root to answer (SIMULATED: this proves nothing about hardware)",
        false => "From silicon root to answer",
    };
    let _ = write!(document, "<text class=\"t\" x=\"{MARGIN}\" y=\"32\">{heading}</text>");
    for (at, line) in sentence.iter().enumerate() {
        let y = 56 + at * LINE_HEIGHT;
        let colour = match picture.accepted {
            true if picture.simulated => "#9a6700",
            true => "#1a7f37",
            false => "#cf222e",
        };
        let text = escaped(line);
        let _ = write!(
            document,
            "<text x=\"{MARGIN}\" y=\"{y}\" style=\"fill:{colour}\">{text}</text>"
        );
    }
    document.push_str(&canvas.out);
    document.push_str("</svg>\n");
    document
}

struct Canvas {
    out: String,
}

impl Canvas {
    /// Draws links one under the other; returns where the last one ends.
    fn chain(&mut self, links: &[Link], left: usize, top: usize) -> usize {
        let mut y = top;
        for (at, link) in links.iter().enumerate() {
            if at > 0 {
                let middle = left + BOX_WIDTH / 2;
                self.arrow((middle, y), (middle, y + GAP));
                y += GAP;
            }
            y = self.link(link, left, y);
        }
        y
    }

    fn link(&mut self, link: &Link, left: usize, top: usize) -> usize {
        let mut lines = Vec::new();
        for seen in &link.seen {
            let said = if seen.text.is_empty() { seen.state.word() } else { &seen.text };
            for (at, line) in wrapped(said, SEEN_CHARS).into_iter().enumerate() {
                let name = (at == 0).then_some((seen.state, seen.check.as_str()));
                lines.push((name, line));
            }
        }
        let height = TITLE_HEIGHT + lines.len() * LINE_HEIGHT + 8;
        let colour = colour(link.state);
        let dash = match link.state {
            State::Holds | State::Broken => "",
            State::Waived | State::Unsaid => BROKEN_LINE,
        };
        let _ = write!(
            self.out,
            "<rect class=\"b\" x=\"{left}\" y=\"{top}\" width=\"{BOX_WIDTH}\" height=\"{height}\" \
             rx=\"8\" stroke=\"{colour}\"{dash}/>"
        );
        let (x, y) = (left + 14, top + 22);
        let state = link.state;
        self.text("t", x, y, &format!("{} {}", state.sign(), link.title));
        let end = left + BOX_WIDTH - 14;
        let _ = write!(
            self.out,
            "<text x=\"{end}\" y=\"{y}\" text-anchor=\"end\" style=\"fill:{colour}\">{}</text>",
            state.word()
        );
        self.text("a", x, top + 40, link.about);
        for (at, (name, line)) in lines.iter().enumerate() {
            let y = top + TITLE_HEIGHT + 10 + at * LINE_HEIGHT;
            if let Some((state, name)) = name {
                self.text("n", x, y, &format!("{} {name}", state.sign()));
            }
            self.text("s", left + SEEN_AT, y, line);
        }
        top + height
    }

    fn arrow(&mut self, from: (usize, usize), to: (usize, usize)) {
        self.line(from, to, "");
    }

    fn line(&mut self, from: (usize, usize), to: (usize, usize), dash: &str) {
        let middle = (from.1 + to.1) / 2;
        let _ = write!(
            self.out,
            "<path class=\"e\" d=\"M{} {}V{middle}H{}V{}\"{dash}/>",
            from.0, from.1, to.0, to.1
        );
    }

    fn legend(&mut self, y: usize) {
        let states = [State::Holds, State::Waived, State::Unsaid, State::Broken];
        let words = states.map(|state| format!("{} {}", state.sign(), state.word()));
        self.text("a", MARGIN, y, &words.join("  ·  "));
    }

    fn text(&mut self, class: &str, x: usize, y: usize, text: &str) {
        let text = escaped(text);
        let _ = write!(self.out, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>");
    }
}

fn colour(state: State) -> &'static str {
    match state {
        State::Holds => "#1a7f37",
        State::Waived => "#57606a",
        State::Unsaid => "#9a6700",
        State::Broken => "#cf222e",
    }
}

/// What a document may hold: no markup of others, and no control character.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

/// Lines of at most so many characters, broken at blanks where there are any.
fn wrapped(text: &str, chars_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let line = lines.last_mut().expect("there is always a last line");
            let used = line.chars().count();
            let room = chars_max.saturating_sub(used + usize::from(used > 0));
            if word.len() <= room {
                if used > 0 {
                    line.push(' ');
                }
                line.extend(word);
                break;
            }
            if used > 0 {
                lines.push(String::new());
                continue;
            }
            let rest = word.split_off(chars_max);
            line.extend(word);
            lines.push(String::new());
            word = rest;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use subrosa_verifier::Outcome;

    use super::super::tests::checked;
    use super::*;

    #[test]
    fn what_was_seen_cannot_become_markup() {
        let mut checked = checked(Outcome::Passed, &[]);
        checked.checks[0].seen = "<script>alert(\"&\")</script>\u{1b}[31m".into();
        let drawn = svg(&Picture::of(&checked));
        assert!(!drawn.contains("<script"), "{drawn}");
        assert!(!drawn.contains('\u{1b}'));
        assert!(drawn.contains("&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;"));
    }

    #[test]
    fn devices_stand_in_a_column_of_their_own() {
        let with = svg(&Picture::of(&checked(Outcome::Passed, &[])));
        let without = svg(&Picture::of(&checked(Outcome::Waived, &[])));
        assert!(with.contains("width=\"1208\""), "{}", &with[..120]);
        assert!(without.contains("width=\"608\""), "{}", &without[..120]);
    }

    #[test]
    fn the_arrow_from_devices_that_are_not_bound_is_broken() {
        let broken = |outcome| {
            let drawn = svg(&Picture::of(&checked(Outcome::Passed, &[("cpu_gpu_chain", outcome)])));
            let paths = drawn.split("<path class=\"e\"").skip(1);
            paths
                .filter(|path| path.split_once("/>").is_some_and(|it| it.0.contains("dash")))
                .count()
        };
        assert_eq!(broken(Outcome::Passed), 0);
        assert_eq!(broken(Outcome::Absent), 1);
        assert_eq!(broken(Outcome::Failed), 1);
    }

    #[test]
    fn every_link_is_drawn_once() {
        let drawn = svg(&Picture::of(&checked(Outcome::Passed, &[])));
        assert_eq!(drawn.matches("class=\"b\"").count(), 11);
        assert_eq!(drawn.matches("<path class=\"e\"").count(), 3 + 2 + 2 + 3);
    }

    #[test]
    fn lines_break_at_blanks_and_inside_words_that_are_too_long() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("0123456789", 4), ["0123", "4567", "89"]);
        assert_eq!(wrapped("a 0123456789", 4), ["a", "0123", "4567", "89"]);
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(wrapped("añb ñññññ", 3), ["añb", "ñññ", "ññ"]);
    }
}
