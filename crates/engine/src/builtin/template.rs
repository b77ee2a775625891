//! The chat template out of a GGUF file, within bounds.

use std::fmt::Write as _;
use std::io;

use minijinja::value::{Kwargs, Value, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, context};
use serde::Serialize;

use crate::TemplateFault;

/// Steps of one rendering: some hundreds a message for the most elaborate templates.
const STEPS_MAX: u64 = 2_000_000;
/// Bytes of a rendered prompt; more than the largest context can hold.
const OUTPUT_BYTES_MAX: usize = 16 << 20;
/// Bytes of a template.
const SOURCE_BYTES_MAX: usize = 256 << 10;
/// Bytes that a template may add to its own text by replacing, joining and the like.
const METHOD_BYTES_MAX: usize = 4 << 20;

const NAME: &str = "chat";
/// Marks the error of `raise_exception`, whose own text may quote a message.
const REFUSED: &str = "refused by the template";

/// One message as templates see it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Turn {
    pub(super) role: &'static str,
    pub(super) content: String,
}

/// A compiled chat template.
#[derive(Debug)]
pub(super) struct ChatTemplate {
    environment: Environment<'static>,
    begin: String,
    end: String,
}

impl ChatTemplate {
    /// Compiles a template; `begin` and `end` are the spellings of those tokens.
    pub(super) fn compile(source: &str, begin: &str, end: &str) -> Result<Self, TemplateFault> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(TemplateFault::TooLarge);
        }
        let mut environment = Environment::new();
        // As the library does with which models are published.
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(STEPS_MAX));
        environment.set_unknown_method_callback(|_, value, method, args| {
            python_method(value, method, args)
        });
        environment.add_function("raise_exception", |_: String, _: Kwargs| -> Result<(), Error> {
            Err(Error::new(ErrorKind::InvalidOperation, REFUSED))
        });
        environment.add_template_owned(NAME, source.to_owned()).map_err(|error| fault(&error))?;
        Ok(ChatTemplate { environment, begin: begin.into(), end: end.into() })
    }

    /// The prompt of a chat, ending where the model's answer begins.
    pub(super) fn render(&self, turns: &[Turn]) -> Result<String, TemplateFault> {
        let template = self.environment.get_template(NAME).expect("it was added when compiling");
        let context = context! {
            messages => turns,
            add_generation_prompt => true,
            bos_token => &self.begin,
            eos_token => &self.end,
        };
        let mut out = Bounded::default();
        match template.render_captured_to(context, &mut out) {
            Ok(_) => String::from_utf8(out.bytes).map_err(|_| TemplateFault::Faulty {
                line: 0,
                kind: "output that is no text".into(),
            }),
            Err(_) if out.full => Err(TemplateFault::TooLarge),
            Err(error) => Err(fault(&error)),
        }
    }
}

/// Output up to a bound.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > OUTPUT_BYTES_MAX {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error in words that quote neither the template nor a message.
fn fault(error: &Error) -> TemplateFault {
    match error.kind() {
        ErrorKind::OutOfFuel => TemplateFault::Endless,
        ErrorKind::InvalidOperation if error.detail() == Some(REFUSED) => TemplateFault::Refused,
        kind => {
            let mut words = String::new();
            let _ = write!(words, "{kind}");
            TemplateFault::Faulty { line: error.line().unwrap_or(0), kind: words }
        }
    }
}

/// Methods of Python's strings and dictionaries that chat templates use.
fn python_method(value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    if value.kind() == ValueKind::Map {
        return map_method(value, method, args);
    }
    let Some(text) = value.as_str() else {
        return Err(Error::from(ErrorKind::UnknownMethod));
    };
    let affix = || from_args::<(&str,)>(args).map(|(affix,)| affix);
    let strip = |side: fn(&str, &[char]) -> String| {
        let (set,): (Option<&str>,) = from_args(args)?;
        let set: Vec<char> = set.unwrap_or(" \t\r\n\u{b}\u{c}").chars().collect();
        Ok(Value::from(side(text, &set)))
    };
    match method {
        "endswith" => Ok(text.ends_with(affix()?).into()),
        "lower" => Ok(text.to_lowercase().into()),
        "lstrip" => strip(|text, set| text.trim_start_matches(set).into()),
        "replace" => {
            let (from, to): (&str, &str) = from_args(args)?;
            let times = if from.is_empty() { text.len() + 1 } else { text.matches(from).count() };
            if text.len() + times * to.len() > METHOD_BYTES_MAX {
                return Err(Error::new(ErrorKind::InvalidOperation, "a text becomes too large"));
            }
            Ok(text.replace(from, to).into())
        }
        "rstrip" => strip(|text, set| text.trim_end_matches(set).into()),
        "split" => {
            let (by,): (Option<&str>,) = from_args(args)?;
            Ok(match by {
                Some(by) => text.split(by).map(Value::from).collect(),
                None => text.split_whitespace().map(Value::from).collect(),
            })
        }
        "startswith" => Ok(text.starts_with(affix()?).into()),
        "strip" => strip(|text, set| text.trim_matches(set).into()),
        "upper" => Ok(text.to_uppercase().into()),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn map_method(value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match method {
        "get" => {
            let (key, default): (Value, Option<Value>) = from_args(args)?;
            let found = value.get_item(&key)?;
            Ok(if found.is_undefined() { default.unwrap_or(Value::from(())) } else { found })
        }
        "items" => {
            let pair = |key: Value| Ok(Value::from(vec![key.clone(), value.get_item(&key)?]));
            value.try_iter()?.map(pair).collect::<Result<Vec<_>, Error>>().map(Value::from)
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(role: &'static str, content: &str) -> Turn {
        Turn { role, content: content.into() }
    }

    fn render(source: &str, turns: &[Turn]) -> Result<String, TemplateFault> {
        ChatTemplate::compile(source, "<s>", "</s>")?.render(turns)
    }

    #[test]
    fn renders_turns_and_the_beginning_of_the_answer() {
        let source = "{{ bos_token }}{% for m in messages %}\n[{{ m.role }}]{{ m['content'] }}\n{% \
                      endfor %}\n{% if add_generation_prompt %}[assistant]{% endif %}";
        let text = render(source, &[turn("user", "a"), turn("assistant", "b")]).unwrap();
        assert_eq!(text, "<s>[user]a\n[assistant]b\n[assistant]");
    }

    #[test]
    fn python_methods_of_published_templates_work() {
        let cases = [
            ("{{ ' a '.strip() }}", "a"),
            ("{{ 'xxay'.lstrip('x').rstrip('y') }}", "a"),
            ("{{ 'a</think>b'.split('</think>')[-1] }}", "b"),
            ("{{ 'Ab'.upper() ~ 'Ab'.lower() ~ 'aa'.replace('a', 'b') }}", "ABabbb"),
            ("{{ 'ab'.startswith('a') and 'ab'.endswith('b') }}", "True"),
            ("{{ messages[0].get('name', 'none') }}", "none"),
            ("{% for k, v in messages[0].items() %}{{ k }};{% endfor %}", "role;content;"),
        ];
        for (source, expected) in cases {
            assert_eq!(render(source, &[turn("user", "x")]).unwrap(), expected, "{source}");
        }
    }

    #[test]
    fn a_template_that_loops_is_ended() {
        let source =
            "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}";
        assert_eq!(render(source, &[]), Err(TemplateFault::Endless));
    }

    #[test]
    fn a_template_that_talks_too_much_is_ended() {
        let source = "{% for a in range(9000) %}{{ 'x' * 100000 }}{% endfor %}";
        assert_eq!(render(source, &[]), Err(TemplateFault::TooLarge));
    }

    #[test]
    fn a_refusal_of_the_template_is_told_apart_and_not_quoted() {
        let source = "{{ raise_exception('no: ' ~ messages[0].content) }}";
        let refused = render(source, &[turn("user", "secret")]).unwrap_err();
        assert_eq!(refused, TemplateFault::Refused);
    }

    #[test]
    fn a_faulty_template_is_named_with_its_line_and_without_its_text() {
        let fault = render("\n{% generation %}", &[]).unwrap_err();
        assert_eq!(fault, TemplateFault::Faulty { line: 2, kind: "syntax error".into() });
        for source in ["{{ strftime_now('%d') }}", "{{ messages|nofilter }}", "{{ messages.a.b }}"]
        {
            let fault = render(source, &[turn("user", "secret")]).unwrap_err();
            assert!(matches!(fault, TemplateFault::Faulty { .. }), "{source}");
            assert!(!fault.to_string().contains("secret"));
        }
    }
}
