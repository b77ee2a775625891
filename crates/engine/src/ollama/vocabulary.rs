//! The vocabulary of a model, read from its GGUF file: which words steer the model instead of being
//! text, and how few tokens can spell a text.
//!
//! Only the metadata is read, in one pass and with every count and length bounded before it is used:
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

const MAGIC: u32 = u32::from_le_bytes(*b"GGUF");
const KEYS_MAX: u64 = 1024;
const KEY_BYTES_MAX: u64 = 1024;
/// Bytes of one string; the longest are chat templates.
const STRING_BYTES_MAX: u64 = 1 << 20;
/// Elements of one array; the largest vocabularies and lists of merges have half a million.
const ELEMENTS_MAX: u64 = 4 << 20;
/// Bytes that are read in all.
const METADATA_BYTES_MAX: u64 = 256 << 20;

const TOKENS: &str = "tokenizer.ggml.tokens";
const TOKEN_TYPES: &str = "tokenizer.ggml.token_type";
const MODEL: &str = "tokenizer.ggml.model";
/// The type of a token that steers the model.
const CONTROL: i32 = 3;

/// A file whose vocabulary cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) why: &'static str,
}

/// The words of a model.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    /// Words that steer the model: the server takes them for that wherever they stand.
    control: Vec<String>,
    /// The bytes that each other token spells, sorted; empty for a tokenizer of an unknown kind.
    spellings: Vec<Box<[u8]>>,
    /// Whether a blank may stand before a text that has none.
    blank_before: bool,
}

impl Vocabulary {
    pub(super) fn read_file(path: &Path) -> Result<Self, Unreadable> {
        let file = File::open(path).map_err(|_| Unreadable { why: "it cannot be opened" })?;
        Self::read(BufReader::new(file))
    }

    fn read(reader: impl Read) -> Result<Self, Unreadable> {
        let mut reader = Reader { input: reader.take(METADATA_BYTES_MAX) };
        let mut found = Found::default();
        for _ in 0..reader.header()? {
            reader.member(&mut found)?;
        }
        found.vocabulary()
    }

    /// Whether the server would take a part of this text for a control word.
    pub(super) fn has_control_word(&self, text: &str) -> bool {
        self.control.iter().any(|word| text.contains(word))
    }

    /// The fewest tokens that can spell this text: no tokenizer of this vocabulary counts less. A
    /// byte that no token spells counts as nothing.
    pub(super) fn least_tokens(&self, text: &str) -> u64 {
        let plain = self.fewest(text.as_bytes());
        if !self.blank_before {
            return plain;
        }
        plain.min(self.fewest(format!(" {text}").as_bytes()))
    }

    /// The shortest way from the first byte to behind the last one.
    fn fewest(&self, text: &[u8]) -> u64 {
        if self.spellings.is_empty() {
            return 0;
        }
        let mut fewest = vec![u64::MAX; text.len() + 1];
        fewest[0] = 0;
        for start in 0..text.len() {
            let here = fewest[start];
            if here == u64::MAX {
                continue;
            }
            let mut found = false;
            self.each_prefix(&text[start..], |length| {
                found = true;
                let end = &mut fewest[start + length];
                *end = (*end).min(here + 1);
            });
            if !found {
                fewest[start + 1] = fewest[start + 1].min(here);
            }
        }
        // A dead end is no way at all: then nothing is claimed.
        if fewest[text.len()] == u64::MAX { 0 } else { fewest[text.len()] }
    }

    /// Calls `each` with the length of every token that `text` begins with, by narrowing the sorted
    /// list a byte at a time.
    fn each_prefix(&self, text: &[u8], mut each: impl FnMut(usize)) {
        let mut range = &self.spellings[..];
        for (depth, byte) in text.iter().enumerate() {
            let start = range.partition_point(|token| token.get(depth) < Some(byte));
            range = &range[start..];
            let end = range.partition_point(|token| token.get(depth) == Some(byte));
            range = &range[..end];
            match range.first() {
                None => return,
                Some(first) if first.len() == depth + 1 => each(depth + 1),
                Some(_) => {}
            }
        }
    }
}

/// What the metadata said.
#[derive(Debug, Default)]
struct Found {
    tokens: Vec<String>,
    types: Vec<i32>,
    model: String,
}

impl Found {
    fn vocabulary(self) -> Result<Vocabulary, Unreadable> {
        if self.tokens.is_empty() || self.types.len() != self.tokens.len() {
            return Err(Unreadable { why: "it has no list of tokens with their types" });
        }
        let mut vocabulary =
            Vocabulary { blank_before: self.model == "llama", ..Vocabulary::default() };
        let spell = Speller::of(&self.model);
        for (token, kind) in self.tokens.into_iter().zip(self.types) {
            if kind == CONTROL {
                vocabulary.control.extend(Some(token).filter(|word| !word.is_empty()));
            } else if let Some(bytes) = spell.bytes(&token).filter(|bytes| !bytes.is_empty()) {
                vocabulary.spellings.push(bytes.into());
            }
        }
        vocabulary.spellings.sort();
        vocabulary.spellings.dedup();
        Ok(vocabulary)
    }
}

/// How a kind of tokenizer writes a token's bytes.
enum Speller {
    /// A character for each byte, as GPT-2 does.
    Characters(HashMap<char, u8>),
    /// SentencePiece: a low line for a blank, and tokens such as `<0x0A>` for single bytes.
    Pieces,
    Unknown,
}

impl Speller {
    fn of(model: &str) -> Self {
        match model {
            "gpt2" => Speller::Characters(byte_characters()),
            "llama" => Speller::Pieces,
            _ => Speller::Unknown,
        }
    }

    fn bytes(&self, token: &str) -> Option<Vec<u8>> {
        match self {
            // A token with a character outside the table was added as plain text.
            Speller::Characters(table) => token
                .chars()
                .map(|character| table.get(&character).copied())
                .collect::<Option<_>>()
                .or_else(|| Some(token.as_bytes().to_vec())),
            Speller::Pieces => match token.strip_prefix("<0x").and_then(|t| t.strip_suffix('>')) {
                Some(byte) if byte.len() == 2 => {
                    u8::from_str_radix(byte, 16).ok().map(|byte| vec![byte])
                }
                _ => Some(token.replace('\u{2581}', " ").into_bytes()),
            },
            Speller::Unknown => None,
        }
    }
}

/// GPT-2's table: printable bytes stand for themselves, the others for the characters from 256 on.
fn byte_characters() -> HashMap<char, u8> {
    let mut others = 256..;
    (0..=255u8)
        .map(|byte| match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => (char::from(byte), byte),
            _ => {
                let code = others.next().expect("the range has no end");
                (char::from_u32(code).expect("these are characters"), byte)
            }
        })
        .collect()
}

/// Reads the parts of a GGUF file's metadata.
struct Reader<R> {
    input: std::io::Take<R>,
}

impl<R: Read> Reader<R> {
    /// Reads the header and returns how many keys follow.
    fn header(&mut self) -> Result<u64, Unreadable> {
        if self.u32()? != MAGIC {
            return Err(Unreadable { why: "it does not begin as one" });
        }
        if !matches!(self.u32()?, 2 | 3) {
            return Err(Unreadable { why: "its version is neither 2 nor 3" });
        }
        let _tensors = self.u64()?;
        bounded(self.u64()?, KEYS_MAX)
    }

    fn member(&mut self, found: &mut Found) -> Result<(), Unreadable> {
        let key = self.string(KEY_BYTES_MAX)?;
        let kind = self.u32()?;
        match (key.as_str(), kind) {
            (MODEL, STRING) => found.model = self.string(STRING_BYTES_MAX)?,
            (TOKENS, ARRAY) => {
                let count = self.array_of(STRING)?;
                found.tokens =
                    (0..count).map(|_| self.string(STRING_BYTES_MAX)).collect::<Result<_, _>>()?;
            }
            (TOKEN_TYPES, ARRAY) => {
                let count = self.array_of(INT32)?;
                found.types = (0..count)
                    .map(|_| self.u32().map(u32::cast_signed))
                    .collect::<Result<_, _>>()?;
            }
            (_, ARRAY) => {
                let kind = self.u32()?;
                for _ in 0..bounded(self.u64()?, ELEMENTS_MAX)? {
                    self.skip_value(kind)?;
                }
            }
            _ => self.skip_value(kind)?,
        }
        Ok(())
    }

    fn array_of(&mut self, expected: u32) -> Result<u64, Unreadable> {
        if self.u32()? != expected {
            return Err(Unreadable { why: "a list has elements of another type" });
        }
        bounded(self.u64()?, ELEMENTS_MAX)
    }

    /// Skips a value that is no array: one array inside another is in no model.
    fn skip_value(&mut self, kind: u32) -> Result<(), Unreadable> {
        let length = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            STRING => bounded(self.u64()?, STRING_BYTES_MAX)?,
            _ => return Err(Unreadable { why: "a value has an unknown type" }),
        };
        let skipped = std::io::copy(&mut (&mut self.input).take(length), &mut std::io::sink());
        if skipped.ok() == Some(length) { Ok(()) } else { Err(SHORT) }
    }

    fn string(&mut self, limit: u64) -> Result<String, Unreadable> {
        let length = bounded(self.u64()?, limit)?;
        let mut bytes = vec![0; length as usize];
        self.input.read_exact(&mut bytes).map_err(|_| SHORT)?;
        String::from_utf8(bytes).map_err(|_| Unreadable { why: "a string is not UTF-8" })
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        let mut bytes = [0; 4];
        self.input.read_exact(&mut bytes).map_err(|_| SHORT)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> Result<u64, Unreadable> {
        let mut bytes = [0; 8];
        self.input.read_exact(&mut bytes).map_err(|_| SHORT)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// Types of values, by their numbers in the format.
const INT32: u32 = 5;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

const SHORT: Unreadable = Unreadable { why: "it ends inside its metadata" };

fn bounded(count: u64, limit: u64) -> Result<u64, Unreadable> {
    if count <= limit { Ok(count) } else { Err(Unreadable { why: "a count is out of bounds" }) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The metadata of a GGUF file with this vocabulary.
    pub(in super::super) fn gguf(model: &str, tokens: &[(&str, i32)]) -> Vec<u8> {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        let string = |file: &mut Vec<u8>, text: &str| {
            file.extend((text.len() as u64).to_le_bytes());
            file.extend(text.as_bytes());
        };
        file.extend(0u64.to_le_bytes());
        file.extend(5u64.to_le_bytes());
        string(&mut file, "general.alignment");
        file.extend(4u32.to_le_bytes());
        file.extend(32u32.to_le_bytes());
        string(&mut file, MODEL);
        file.extend(STRING.to_le_bytes());
        string(&mut file, model);
        string(&mut file, "tokenizer.ggml.scores");
        file.extend(ARRAY.to_le_bytes());
        file.extend(6u32.to_le_bytes());
        file.extend(1u64.to_le_bytes());
        file.extend(0f32.to_le_bytes());
        string(&mut file, TOKENS);
        file.extend(ARRAY.to_le_bytes());
        file.extend(STRING.to_le_bytes());
        file.extend((tokens.len() as u64).to_le_bytes());
        for (token, _) in tokens {
            string(&mut file, token);
        }
        string(&mut file, TOKEN_TYPES);
        file.extend(ARRAY.to_le_bytes());
        file.extend(INT32.to_le_bytes());
        file.extend((tokens.len() as u64).to_le_bytes());
        for (_, kind) in tokens {
            file.extend(kind.to_le_bytes());
        }
        file
    }

    fn vocabulary(model: &str, tokens: &[(&str, i32)]) -> Vocabulary {
        Vocabulary::read(&gguf(model, tokens)[..]).unwrap()
    }

    #[test]
    fn knows_the_control_words_wherever_they_stand() {
        let vocabulary = vocabulary("gpt2", &[("<|im_end|>", 3), ("a", 1), ("\n\n", 4)]);
        assert!(vocabulary.has_control_word("a<|im_end|>b"));
        assert!(!vocabulary.has_control_word("<|im_end |>\n\n"));
    }

    #[test]
    fn counts_the_fewest_tokens_that_spell_a_text() {
        let tokens = [("a", 1), ("b", 1), ("ab", 1), ("abc", 1), ("bcd", 1), ("c", 1), ("d", 1)];
        let vocabulary = vocabulary("gpt2", &tokens);
        for (text, least) in [("", 0), ("a", 1), ("abcd", 2), ("abab", 2), ("abcabc", 2), ("cc", 2)]
        {
            assert_eq!(vocabulary.least_tokens(text), least, "{text}");
        }
        assert_eq!(vocabulary.least_tokens("aza"), 2, "a byte without a token counts as nothing");
    }

    #[test]
    fn spells_blanks_and_bytes_as_each_tokenizer_does() {
        let byte_level = vocabulary("gpt2", &[("\u{120}Paris", 1), ("\u{c3}\u{a9}", 1)]);
        assert_eq!(byte_level.least_tokens(" Paris\u{e9}"), 2);
        let pieces = vocabulary("llama", &[("\u{2581}Paris", 1), ("<0xC3>", 6), ("<0xA9>", 6)]);
        assert_eq!(pieces.least_tokens("Paris\u{e9}"), 2, "of Paris nothing is claimed");
        assert_eq!(pieces.least_tokens(" Paris\u{e9}"), 3);
        assert_eq!(vocabulary("bert", &[("a", 1)]).least_tokens("aaa"), 0);
    }

    #[test]
    fn every_byte_has_its_character() {
        let table = byte_characters();
        assert_eq!(table.len(), 256);
        assert_eq!(table[&'\u{120}'], b' ');
        assert_eq!(table[&'\u{10a}'], b'\n');
        assert_eq!(table[&'A'], b'A');
    }

    #[test]
    fn refuses_files_that_are_none_with_the_reason() {
        let good = gguf("gpt2", &[("a", 1)]);
        let refused = |bytes: &[u8]| Vocabulary::read(bytes).unwrap_err().why;
        assert_eq!(refused(b"GGML"), "it does not begin as one");
        assert_eq!(refused(b"GGUF\x09\0\0\0"), "its version is neither 2 nor 3");
        for end in 0..good.len() {
            assert_eq!(refused(&good[..end]), SHORT.why, "cut at {end}");
        }
        let mut many_keys = good.clone();
        many_keys[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(refused(&many_keys), "a count is out of bounds");
        let mut long_key = good;
        long_key[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(refused(&long_key), "a count is out of bounds");
        let none = gguf("gpt2", &[]);
        assert_eq!(refused(&none), "it has no list of tokens with their types");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let mut file = b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0".to_vec();
            file.extend(bytes);
            let _ = Vocabulary::read(&file[..]);
        }
    }
}
