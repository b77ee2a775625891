//! Configuration files in TOML, read without tolerance: what we do not understand is refused, and
//! the refusal suggests what was probably meant.

use serde::de::DeserializeOwned;

/// Below this similarity (0 to 1) a suggestion would only confuse.
const SIMILARITY_MIN: f64 = 0.7;

/// Reads a TOML document into a type that denies unknown fields.
///
/// # Errors
/// [`ConfigError`], with the line that is at fault. No value of the file is echoed, because
/// configuration may hold secrets.
pub fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        match unknown_key(error.message()) {
            Some((key, nearest)) => ConfigError::UnknownKey { key, nearest, line },
            None => ConfigError::Invalid { problem: first_line(error.message()), line },
        }
    })
}

/// The known word that `word` was probably meant to be.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}

/// Takes serde's words apart: "unknown field `x`, expected one of `a`, `b`". A test pins them.
fn unknown_key(message: &str) -> Option<(String, Option<String>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2);
    Some((key.to_owned(), nearest(key, known).map(str::to_owned)))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

/// Why a configuration file is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value is missing, of the wrong kind, or the text is no TOML.
    #[error("{problem}{}", at(line))]
    Invalid {
        /// What is wrong.
        problem: String,
        /// The line, from 1.
        line: Option<usize>,
    },
    /// A key that we do not know, so that its meaning would be lost.
    #[error("unknown key {key:?}{}{}", at(line), did_you_mean(nearest))]
    UnknownKey {
        /// The key.
        key: String,
        /// The known key that is most like it.
        nearest: Option<String>,
        /// The line, from 1.
        line: Option<usize>,
    },
}

fn at(line: &Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" in line {line}"))
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean {nearest:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its reading is tested")]
    struct Kitchen {
        chain_id: u64,
        rpc: Option<String>,
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let refusal = from_toml::<Kitchen>("rpc = \"x\"\nchian_id = 1\n").unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "unknown key \"chian_id\" in line 2; did you mean \"chain_id\"?"
        );
    }

    #[test]
    fn nothing_is_suggested_for_a_word_that_is_like_no_other() {
        let refusal = from_toml::<Kitchen>("chain_id = 1\nzzz = 1\n").unwrap_err();
        assert_eq!(refusal.to_string(), "unknown key \"zzz\" in line 2");
    }

    #[test]
    fn a_wrong_value_is_refused_by_its_line_and_not_echoed() {
        let refusal = from_toml::<Kitchen>("rpc = \"a\"\nchain_id = [\"s3cret\"]").unwrap_err();
        assert!(matches!(refusal, ConfigError::Invalid { line: Some(2), .. }), "{refusal:?}");
        assert!(!refusal.to_string().contains("s3cret"), "{refusal}");
    }

    #[test]
    fn garbage_is_refused_and_does_not_panic() {
        for garbage in ["\u{0}", "=", "[", "chain_id = ", "chain_id = 1\nchain_id = 2", "é = ["] {
            assert!(from_toml::<Kitchen>(garbage).is_err(), "{garbage:?}");
        }
    }
}
