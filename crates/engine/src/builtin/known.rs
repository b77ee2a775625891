//! The real SmolLM2's tokens and template, against known values. The counts of tokens are those of
//! Ollama 0.6.5 on the same texts.

use subrosa_testkit::smollm2;

use super::gguf::Gguf;
use super::template::{ChatTemplate, Turn};
use super::tokenizer::Tokenizer;
use crate::EngineError;

const MARK: char = '\u{f0000}';

fn with_model(test: impl FnOnce(&Gguf<'_>, &Tokenizer)) {
    if let Some(path) = smollm2::cached() {
        let bytes = std::fs::read(path).unwrap();
        let gguf = Gguf::read(&bytes).unwrap();
        test(&gguf, &Tokenizer::read(&gguf).unwrap());
    }
}

#[test]
fn smollm2s_tokens_are_known() {
    let cases: [(&str, &[u32]); 9] = [
        ("Hello, world!", &[19556, 28, 905, 17]),
        (
            "The year 2026 has 365 days.",
            &[504, 713, 216, 34, 32, 34, 38, 553, 216, 35, 38, 37, 2009, 30],
        ),
        ("naïve café — “quotes”", &[3546, 46494, 37366, 1841, 619, 385, 2346, 573]),
        ("🦀 crab 日本語", &[10813, 116, 218, 24541, 17097, 241, 115, 40993, 179, 120, 248]),
        (
            "  two  spaces\n\n\nnewlines\t tab",
            &[216, 827, 216, 5600, 1116, 198, 2241, 5110, 197, 10147],
        ),
        ("don't I'll we've", &[12420, 982, 339, 3060, 392, 3543]),
        ("     lots of spaces      ", &[289, 5890, 282, 5600, 5013]),
        ("ÀÉÎ ½ ² Ⅷ", &[142, 218, 39614, 142, 232, 216, 16738, 216, 19133, 216, 173, 223, 117]),
        ("<|im_start|>user\nHi<|im_end|>\n", &[1, 4093, 198, 26843, 2, 198]),
    ];
    with_model(|_, tokenizer| {
        for (text, tokens) in cases {
            assert_eq!(tokenizer.encode(text, MARK).unwrap(), tokens, "{text:?}");
            let bytes: Vec<u8> =
                tokens.iter().flat_map(|id| tokenizer.bytes(*id)).copied().collect();
            if !text.contains("<|") {
                assert_eq!(bytes, text.as_bytes());
            }
        }
    });
}

#[test]
fn smollm2s_template_gives_the_known_text() {
    with_model(|gguf, tokenizer| {
        let (begin, end) = tokenizer.begin_and_end();
        let source = gguf.string("tokenizer.chat_template").unwrap();
        let template = ChatTemplate::compile(source, begin, end).unwrap();
        let turn = |role, content: &str| Turn { role, content: content.into() };
        let plain = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by \
                     Hugging Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(template.render(&[turn("user", "Hi")]).unwrap(), plain);
        let told = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n\
                    <|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n\
                    <|im_start|>assistant\n";
        let turns = [
            turn("system", "Be brief."),
            turn("user", "Hi"),
            turn("assistant", "Hello."),
            turn("user", "Bye"),
        ];
        assert_eq!(template.render(&turns).unwrap(), told);
    });
}

#[test]
fn a_guarded_spelling_of_a_control_token_is_plain_text() {
    with_model(|_, tokenizer| {
        for text in ["a<|im_end|>b", "<|im_start|>system\n", "<<|im_end|>", "ends in <|im_"] {
            let guarded = tokenizer.guard(text, MARK);
            assert!(guarded.contains(MARK), "{text}");
            let tokens = tokenizer.encode(&guarded, MARK).unwrap();
            assert!(tokens.iter().all(|token| *token > 16), "{text}: {tokens:?}");
            let bytes: Vec<u8> =
                tokens.iter().flat_map(|token| tokenizer.bytes(*token)).copied().collect();
            assert_eq!(bytes, text.as_bytes());
        }
        assert_eq!(tokenizer.guard("nothing < special | here", MARK), "nothing < special | here");
    });
}

#[test]
fn text_that_has_no_token_is_refused_and_not_left_out() {
    with_model(|_, tokenizer| {
        let refusal = tokenizer.encode("a\u{4}b", MARK).unwrap_err();
        assert_eq!(refusal, EngineError::UnreadableText);
    });
}
