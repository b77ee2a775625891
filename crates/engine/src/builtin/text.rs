//! From tokens' bytes to text that can be sent: whole characters, and no part of a stop string.

/// The text of one answer as it grows.
#[derive(Debug)]
pub(super) struct TextStream {
    stops: Vec<String>,
    /// The bytes of a character that is not complete yet; three at most.
    incomplete: Vec<u8>,
    /// Text that may be the beginning of a stop string.
    held: String,
}

/// What a token gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Text that can be sent; often empty.
    pub(super) text: String,
    /// A stop string was completed; the answer ends.
    pub(super) stopped: bool,
}

impl TextStream {
    pub(super) fn new(stops: Vec<String>) -> Self {
        TextStream { stops, incomplete: Vec::new(), held: String::new() }
    }

    /// Takes a token's bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Piece {
        self.incomplete.extend_from_slice(bytes);
        self.take_characters();
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = found {
            self.held.truncate(at);
            return Piece { text: std::mem::take(&mut self.held), stopped: true };
        }
        let keep = self.stop_prefix();
        let kept = self.held.split_off(self.held.len() - keep);
        Piece { text: std::mem::replace(&mut self.held, kept), stopped: false }
    }

    /// The rest of an answer that ended without a stop string. The bytes of a character that never
    /// became complete are left out.
    pub(super) fn finish(&mut self) -> String {
        self.incomplete.clear();
        std::mem::take(&mut self.held)
    }

    /// Moves whole characters to the held text. Bytes that no continuation can make a character are
    /// replaced, as they are in every decoder of UTF-8.
    fn take_characters(&mut self) {
        let mut rest = self.incomplete.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.held.push_str(text);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    self.held.push_str(&String::from_utf8_lossy(good));
                    let Some(length) = error.error_len() else {
                        rest = bad;
                        break;
                    };
                    self.held.push(char::REPLACEMENT_CHARACTER);
                    rest = &bad[length..];
                }
            }
        }
        self.incomplete = rest.to_vec();
    }

    /// Bytes at the end of the held text that begin a stop string.
    fn stop_prefix(&self) -> usize {
        let begun = |stop: &String| {
            let longest = self.held.len().min(stop.len() - 1);
            (1..=longest)
                .rev()
                .find(|&length| self.held.as_bytes().ends_with(&stop.as_bytes()[..length]))
                .filter(|&length| self.held.is_char_boundary(self.held.len() - length))
        };
        self.stops.iter().filter_map(begun).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(stops: &[&str]) -> TextStream {
        TextStream::new(stops.iter().map(ToString::to_string).collect())
    }

    fn text(text: &str) -> Piece {
        Piece { text: text.into(), stopped: false }
    }

    #[test]
    fn a_character_split_over_tokens_comes_whole() {
        let mut stream = stream(&[]);
        let [a, b, c, d] = *"🦀".as_bytes() else { unreachable!() };
        assert_eq!(stream.push(&[b'x', a]), text("x"));
        assert_eq!(stream.push(&[b, c]), text(""));
        assert_eq!(stream.push(&[d, b'y']), text("🦀y"));
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn a_character_that_never_becomes_complete_is_left_out() {
        let mut stream = stream(&[]);
        assert_eq!(stream.push(&[b'a', 0xe2, 0x82]), text("a"));
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn bytes_that_are_no_character_are_replaced_and_the_rest_survives() {
        let mut stream = stream(&[]);
        assert_eq!(stream.push(&[0xff, b'a', 0xe2]), text("\u{fffd}a"));
        assert_eq!(stream.push(b"bc"), text("\u{fffd}bc"));
    }

    #[test]
    fn a_stop_string_over_several_tokens_neither_leaks_nor_swallows() {
        let mut stream = stream(&["\nUser:"]);
        assert_eq!(stream.push(b"Hi\nUs"), text("Hi"));
        assert_eq!(stream.push(b"ed. \nUse"), text("\nUsed. "));
        assert_eq!(stream.push(b"r: no"), Piece { text: "".into(), stopped: true });
    }

    #[test]
    fn the_tail_that_only_looked_like_a_stop_string_comes_at_the_end() {
        let mut stream = stream(&["STOP", "OPEN"]);
        assert_eq!(stream.push(b"xSTO"), text("x"));
        assert_eq!(stream.finish(), "STO");
    }

    #[test]
    fn the_earliest_of_several_stop_strings_ends_the_text() {
        let mut stream = stream(&["later", "soon"]);
        let piece = stream.push(b"a soon b later");
        assert_eq!(piece, Piece { text: "a ".into(), stopped: true });
    }

    #[test]
    fn a_stop_string_of_wide_characters_is_held_by_whole_characters() {
        let mut stream = stream(&["é!"]);
        assert_eq!(stream.push("xé".as_bytes()), text("x"));
        assert_eq!(stream.push("é!".as_bytes()), Piece { text: "é".into(), stopped: true });
    }

    #[test]
    fn any_split_of_any_bytes_gives_the_same_text() {
        let bytes = "aé🦀\u{fffd}STOPb".as_bytes();
        for cut in 0..bytes.len() {
            let mut stream = stream(&["STOPX"]);
            let mut got = stream.push(&bytes[..cut]).text;
            got += &stream.push(&bytes[cut..]).text;
            got += &stream.finish();
            assert_eq!(got.as_bytes(), bytes);
        }
    }
}
