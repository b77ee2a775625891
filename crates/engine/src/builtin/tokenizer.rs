//! The tokenizer out of a GGUF file: byte-level BPE, and control tokens that only the template can
//! produce.

use std::borrow::Cow;
use std::collections::HashSet;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::{SplitDelimiterBehavior, Tokenizer as Pipeline};

use super::fault::ModelFault;
use super::gguf::Gguf;
use super::shape::printable;
use crate::EngineError;

// Kinds of tokens, as in llama.cpp's `llama_token_type`.
const NORMAL: i64 = 1;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const BYTE: i64 = 6;

/// Control tokens that end a turn, whatever the file says about its end token.
const ENDS: [&str; 6] =
    ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|end|>", "</s>"];

/// How Llama 3 splits text before it merges.
const LLAMA_3_SPLIT: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// Text to tokens and back.
pub(super) struct Tokenizer {
    pipeline: Pipeline,
    /// The bytes of each token; none for control tokens.
    bytes: Vec<Vec<u8>>,
    /// Bytes that no token stands for.
    unreadable: Vec<u8>,
    /// Tokens that are found in a prompt as they are spelled, the longest first.
    whole: Vec<(String, u32)>,
    controls: Vec<String>,
    ends: Vec<u32>,
    begin: Option<(u32, String)>,
    adds_begin: bool,
    end_text: String,
}

impl Tokenizer {
    pub(super) fn read(gguf: &Gguf<'_>) -> Result<Self, ModelFault> {
        let model = gguf.string("tokenizer.ggml.model")?;
        if model != "gpt2" {
            let what = format!("the tokenizer {}", printable(model));
            return Err(ModelFault::Unsupported { what });
        }
        let tokens = gguf.strings("tokenizer.ggml.tokens")?;
        let kinds = gguf.integers("tokenizer.ggml.token_type")?;
        if kinds.len() != tokens.len() {
            return Err(ModelFault::tokenizer("it has not as many kinds as tokens"));
        }
        let of_kind = |kind: i64| {
            let pairs = tokens.iter().zip(&kinds).enumerate();
            pairs.filter(move |(_, (_, k))| **k == kind).map(|(id, (text, _))| (id as u32, *text))
        };
        let controls: Vec<String> =
            of_kind(CONTROL).map(|(_, text)| text.to_owned()).filter(|t| !t.is_empty()).collect();
        let mut whole: Vec<(String, u32)> = of_kind(CONTROL)
            .chain(of_kind(USER_DEFINED))
            .filter(|(_, text)| !text.is_empty())
            .map(|(id, text)| (text.to_owned(), id))
            .collect();
        whole.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        let last = tokens.len().saturating_sub(1) as u64;
        let special = |key: &str| match gguf.has(key) {
            true => gguf.number(key, 0, last).map(|id| Some(id as u32)),
            false => Ok(None),
        };
        let end = special("tokenizer.ggml.eos_token_id")?
            .ok_or_else(|| ModelFault::Missing { key: "tokenizer.ggml.eos_token_id".into() })?;
        let mut ends = vec![end];
        ends.extend(special("tokenizer.ggml.eot_token_id")?);
        ends.extend(of_kind(CONTROL).filter(|(_, text)| ENDS.contains(text)).map(|(id, _)| id));
        let begin = special("tokenizer.ggml.bos_token_id")?;
        Ok(Tokenizer {
            pipeline: pipeline(gguf, &tokens, &kinds)?,
            bytes: tokens.iter().zip(&kinds).map(|(text, kind)| bytes_of(text, *kind)).collect(),
            unreadable: unreadable(&tokens, &kinds),
            begin: begin.map(|id| (id, tokens[id as usize].to_owned())),
            adds_begin: gguf.boolean("tokenizer.ggml.add_bos_token", false)?,
            end_text: tokens[end as usize].to_owned(),
            whole,
            controls,
            ends,
        })
    }

    /// Words of the vocabulary.
    pub(super) fn vocabulary(&self) -> usize {
        self.bytes.len()
    }

    /// The spellings of begin and end, for templates.
    pub(super) fn begin_and_end(&self) -> (&str, &str) {
        (self.begin.as_ref().map_or("", |(_, text)| text), &self.end_text)
    }

    pub(super) fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// What a generated token says. Control tokens say nothing.
    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        &self.bytes[token as usize]
    }

    /// Breaks every spelling of a control token in a caller's text with `mark`, and the beginning of
    /// one at its end, which the template's next words might complete.
    ///
    /// # Security
    /// Without it a caller's text could end its own turn and speak for another role.
    pub(super) fn guard<'t>(&self, text: &'t str, mark: char) -> Cow<'t, str> {
        let begins = |rest: &str| {
            self.controls
                .iter()
                .any(|control| rest.starts_with(control.as_str()) || control.starts_with(rest))
        };
        let mut guarded = String::new();
        let mut copied = 0;
        for (at, first) in text.char_indices() {
            if begins(&text[at..]) {
                let next = at + first.len_utf8();
                guarded.push_str(&text[copied..next]);
                guarded.push(mark);
                copied = next;
            }
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        guarded.push_str(&text[copied..]);
        Cow::Owned(guarded)
    }

    /// The tokens of a rendered prompt. Marks that [`Self::guard`] set are taken out again, after the
    /// control tokens were found.
    ///
    /// # Errors
    /// [`EngineError::UnreadableText`]; the merger would drop what it has no token for.
    pub(super) fn encode(&self, prompt: &str, mark: char) -> Result<Vec<u32>, EngineError> {
        let mut tokens = Vec::new();
        if self.adds_begin
            && let Some((id, text)) = &self.begin
            && !prompt.starts_with(text.as_str())
        {
            tokens.push(*id);
        }
        let mut plain = 0;
        let mut at = 0;
        while at < prompt.len() {
            let rest = &prompt[at..];
            let found = self.whole.iter().find(|(text, _)| rest.starts_with(text.as_str()));
            match found {
                Some((text, id)) => {
                    self.encode_plain(&prompt[plain..at], mark, &mut tokens)?;
                    tokens.push(*id);
                    at += text.len();
                    plain = at;
                }
                None => at += rest.chars().next().map_or(1, char::len_utf8),
            }
        }
        self.encode_plain(&prompt[plain..], mark, &mut tokens)?;
        Ok(tokens)
    }

    fn encode_plain(&self, text: &str, mark: char, out: &mut Vec<u32>) -> Result<(), EngineError> {
        let text = match text.contains(mark) {
            true => Cow::Owned(text.replace(mark, "")),
            false => Cow::Borrowed(text),
        };
        if text.is_empty() {
            return Ok(());
        }
        if text.bytes().any(|byte| self.unreadable.contains(&byte)) {
            return Err(EngineError::UnreadableText);
        }
        let encoding = self
            .pipeline
            .encode_fast(text.as_ref(), false)
            .map_err(|_| EngineError::Backend("the tokenizer failed on the prompt".into()))?;
        out.extend_from_slice(encoding.get_ids());
        Ok(())
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer of {} tokens", self.bytes.len())
    }
}

fn pipeline(gguf: &Gguf<'_>, tokens: &[&str], kinds: &[i64]) -> Result<Pipeline, ModelFault> {
    // Control tokens are not part of the merges' vocabulary: no text may become one.
    let vocabulary: Vocab = tokens
        .iter()
        .zip(kinds)
        .enumerate()
        .filter(|(_, (_, kind))| **kind == NORMAL)
        .map(|(id, (text, _))| ((*text).to_owned(), id as u32))
        .collect();
    let merges = gguf
        .strings("tokenizer.ggml.merges")?
        .into_iter()
        .map(|merge| match merge.split_once(' ') {
            Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
            None => Err(ModelFault::tokenizer("a merge is not two words")),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (splits, whole_words) = pre_tokenizer(gguf.string("tokenizer.ggml.pre")?)?;
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .ignore_merges(whole_words)
        // A cache would keep words of one caller's prompt for the next.
        .cache_capacity(0)
        .build()
        .map_err(ModelFault::tokenizer)?;
    let mut pipeline = Pipeline::new(model);
    pipeline.with_pre_tokenizer(Some(splits));
    Ok(pipeline)
}

/// How text is split before it is merged, by the name that llama.cpp gives it; and whether words that
/// are tokens are taken whole.
fn pre_tokenizer(name: &str) -> Result<(PreTokenizerWrapper, bool), ModelFault> {
    let gpt2 = ByteLevel::new(false, false, true);
    match name {
        "gpt-2" => Ok((PreTokenizerWrapper::from(gpt2), false)),
        "llama-bpe" => {
            let pattern = SplitPattern::Regex(LLAMA_3_SPLIT.into());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                .expect("the pattern is ours and compiles");
            let bytes = ByteLevel::new(false, false, false);
            let sequence = Sequence::new(vec![split.into(), bytes.into()]);
            Ok((PreTokenizerWrapper::from(sequence), true))
        }
        "smollm" => {
            let sequence = Sequence::new(vec![Digits::new(true).into(), gpt2.into()]);
            Ok((PreTokenizerWrapper::from(sequence), false))
        }
        other => {
            let what = format!("the pre-tokenizer {}", printable(other));
            Err(ModelFault::Unsupported { what })
        }
    }
}

fn unreadable(tokens: &[&str], kinds: &[i64]) -> Vec<u8> {
    let normal: HashSet<&str> = tokens
        .iter()
        .zip(kinds)
        .filter(|(_, kind)| **kind == NORMAL)
        .map(|(text, _)| *text)
        .collect();
    (0..=255).filter(|&byte| !normal.contains(char_of(byte).to_string().as_str())).collect()
}

fn bytes_of(text: &str, kind: i64) -> Vec<u8> {
    match kind {
        NORMAL => match text.chars().map(byte_of).collect() {
            Some(bytes) => bytes,
            None => text.as_bytes().to_vec(),
        },
        USER_DEFINED => text.as_bytes().to_vec(),
        BYTE => {
            let hex = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
            hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// The character that stands for a byte in a byte-level vocabulary: printable Latin-1 stands for
/// itself, the rest follow each other from U+0100 on.
fn char_of(byte: u8) -> char {
    if is_printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&byte| !is_printable(byte)).count() as u32;
    char::from_u32(0x100 + before).expect("at most 68 characters follow U+0100")
}

fn byte_of(c: char) -> Option<u8> {
    match u8::try_from(u32::from(c)) {
        Ok(byte) => is_printable(byte).then_some(byte),
        Err(_) => {
            let nth = u32::from(c).checked_sub(0x100)? as usize;
            (0..=255u8).filter(|&byte| !is_printable(byte)).nth(nth)
        }
    }
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_their_characters_are_one_to_one() {
        for byte in 0..=255u8 {
            assert_eq!(byte_of(char_of(byte)), Some(byte));
        }
        assert_eq!(char_of(b' '), 'Ġ');
        assert_eq!(char_of(b'\n'), 'Ċ');
        assert_eq!(byte_of('\u{2603}'), None);
    }

    #[test]
    fn every_kind_of_token_says_its_own_bytes() {
        assert_eq!(bytes_of("Ġhi", NORMAL), b" hi");
        assert_eq!(bytes_of("<0x0A>", BYTE), b"\n");
        assert_eq!(bytes_of("<0xZZ>", BYTE), b"");
        assert_eq!(bytes_of("<think>", USER_DEFINED), b"<think>");
        assert_eq!(bytes_of("<|im_end|>", CONTROL), b"");
    }

    #[test]
    fn an_unknown_pre_tokenizer_is_refused_by_name() {
        let fault = pre_tokenizer("qwen9").unwrap_err();
        assert!(fault.to_string().contains("the pre-tokenizer qwen9"), "{fault}");
    }
}
