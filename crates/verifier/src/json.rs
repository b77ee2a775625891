//! JSON as it stands in a document: doubled members stay doubled, for readers to refuse.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::Unreadable;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    List(Vec<Value>),
    Null,
    Number(Number),
    Object(Vec<(String, Value)>),
    Text(String),
}

impl Value {
    /// Reads one value, from the first byte to the last but for white space.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Unreadable> {
        serde_json::from_slice(bytes)
            .map_err(|error| Unreadable::NotJson { line: error.line(), column: error.column() })
    }

    /// Whether an object at whatever depth has a member twice.
    fn has_doubled(&self) -> bool {
        match self {
            Value::List(list) => list.iter().any(Value::has_doubled),
            Value::Object(members) => have_doubled(members),
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::Text(_) => false,
        }
    }

    /// The value as JSON; doubled members stay doubled, for the next reader to refuse.
    pub(crate) fn to_json(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        match self {
            Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Value::List(list) => {
                text.push('[');
                for (at, value) in list.iter().enumerate() {
                    if at > 0 {
                        text.push(',');
                    }
                    value.write(text);
                }
                text.push(']');
            }
            Value::Null => text.push_str("null"),
            Value::Number(number) => text.push_str(&number.to_string()),
            Value::Object(members) => {
                text.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        text.push(',');
                    }
                    write_text(name, text);
                    text.push(':');
                    value.write(text);
                }
                text.push('}');
            }
            Value::Text(value) => write_text(value, text),
        }
    }
}

/// Whether one of an object's members, or one inside them, stands twice.
pub(crate) fn have_doubled(members: &[(String, Value)]) -> bool {
    let mut names = BTreeSet::new();
    members.iter().any(|(name, value)| !names.insert(name) || value.has_doubled())
}

fn write_text(value: &str, text: &mut String) {
    text.push_str(&serde_json::Value::from(value).to_string());
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        Number::from_f64(number).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        // Doubled names are kept, so that readers can refuse them by name.
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_as_it_was_read() {
        let json = r#"[{"a":1,"a":"\"\n"},[true,null,-2,1.5],false]"#;
        assert_eq!(Value::parse(json.as_bytes()).unwrap().to_json(), json);
    }
}
