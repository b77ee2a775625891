//! JSON as a hostile caller writes it: bounded in depth, and with one meaning only.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// Arrays and objects inside one another. It stays below the bound of 128 at which `serde_json`
/// itself refuses, so that too deep a body has its own name, and far below what a stack holds.
pub(crate) const DEPTH_MAX: usize = 64;

// The visitor's refusals travel through serde's error type, which carries only text.
const DUPLICATE: &str = "duplicate member";
const TOO_DEEP: &str = "too deep";

/// Why bytes are not acceptable JSON. Carries positions, never contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum JsonError {
    #[error("names the same member twice at line {line}, column {column}")]
    Duplicate { line: usize, column: usize },
    #[error("is not JSON at line {line}, column {column}")]
    Syntax { line: usize, column: usize },
    #[error("nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// Reads one JSON value and nothing after it. An object that names a member twice is refused at any
/// depth: two readers of such a body could see two requests.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value =
        Strict { depth: 0 }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        if text.starts_with(TOO_DEEP) {
            JsonError::TooDeep
        } else if text.starts_with(DUPLICATE) {
            JsonError::Duplicate { line, column }
        } else {
            JsonError::Syntax { line, column }
        }
    })
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(TOO_DEEP));
        }
        Ok(Strict { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(seed)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(DUPLICATE));
            }
            members.insert(name, map.next_value_seed(seed)?);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_kind_of_value_as_serde_json_does() {
        let text = br#"{"b":[null,true,-1,18446744073709551615,1.5,"x\u00e9"],"a":{}}"#;
        assert_eq!(parse(text).unwrap(), serde_json::from_slice::<Value>(text).unwrap());
    }

    #[test]
    fn keeps_the_order_of_members() {
        let text = r#"{"z":1,"a":2,"m":3}"#;
        assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
    }

    #[test]
    fn refuses_a_member_named_twice_at_any_depth() {
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"b":[{"a":1,"\u0061":2}]}"#, r#"[{"c":{"a":1,"b":2,"a":3}}]"#]
        {
            assert!(matches!(parse(text.as_bytes()), Err(JsonError::Duplicate { .. })), "{text}");
        }
    }

    #[test]
    fn refuses_what_nests_too_deep_and_accepts_the_bound() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        for depth in [DEPTH_MAX + 1, 200, 1_000_000] {
            assert_eq!(parse(nested(depth).as_bytes()), Err(JsonError::TooDeep));
        }
    }

    #[test]
    fn refuses_garbage_with_its_place() {
        for text in
            [&b""[..], b"{", b"{} {}", b"nul", b"{\"a\":1e999}", b"\"\xff\"", b"\"\\ud800\""]
        {
            assert!(matches!(parse(text), Err(JsonError::Syntax { .. })), "{text:?}");
        }
    }

    #[test]
    fn says_nothing_of_the_text_that_it_refuses() {
        let error = parse(br#"{"secret":1,"secret":2}"#).unwrap_err();
        assert_eq!(error.to_string(), "names the same member twice at line 1, column 20");
        let error = parse(b"{\"a\": secret}").unwrap_err();
        assert_eq!(error.to_string(), "is not JSON at line 1, column 7");
    }
}
