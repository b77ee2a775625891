//! Strict JSON: objects whose members are each taken once, by name, until nothing is left over.
//!
//! Evidence is read by many programs; a document that two of them could read differently is
//! refused. Only text, whole numbers, lists and objects can be taken.

use std::collections::BTreeMap;

use subrosa_protocol::{B256, encoding};

use crate::Unreadable;
use crate::json::Value;

/// How much of a foreign member's name an error repeats.
const NAME_CHARS_MAX: usize = 64;

/// An object, with the members that nobody has taken yet.
#[derive(Debug)]
pub(crate) struct Object {
    path: String,
    members: BTreeMap<String, Value>,
}

impl Object {
    /// Reads a document that is one object, from its first byte to its last.
    pub(crate) fn parse(document: &[u8]) -> Result<Object, Unreadable> {
        let mut values = serde_json::Deserializer::from_slice(document).into_iter::<Value>();
        let value = match values.next() {
            Some(Ok(value)) if document.starts_with(b"{") => value,
            Some(Err(error)) => {
                return Err(Unreadable::NotJson { line: error.line(), column: error.column() });
            }
            _ => return Err(Unreadable::NotJson { line: 1, column: 1 }),
        };
        let trailing = document.len() - values.byte_offset();
        if trailing > 0 {
            return Err(Unreadable::TrailingBytes { got: trailing });
        }
        Object::new(String::new(), value)
    }

    fn new(path: String, value: Value) -> Result<Object, Unreadable> {
        let Value::Object(entries) = value else {
            return Err(Unreadable::WrongType { member: path, expected: "an object" });
        };
        let mut members = BTreeMap::new();
        for (name, value) in entries {
            if members.contains_key(&name) {
                return Err(Unreadable::DuplicateMember { member: join(&path, &name) });
            }
            members.insert(name, value);
        }
        Ok(Object { path, members })
    }

    fn take(&mut self, name: &str) -> Result<(String, Value), Unreadable> {
        let member = join(&self.path, name);
        match self.members.remove(name) {
            Some(value) => Ok((member, value)),
            None => Err(Unreadable::MissingMember { member }),
        }
    }

    /// Takes a member that is an object.
    pub(crate) fn object(&mut self, name: &str) -> Result<Object, Unreadable> {
        let (member, value) = self.take(name)?;
        Object::new(member, value)
    }

    /// Takes a member that is a whole number.
    pub(crate) fn number(&mut self, name: &str) -> Result<u64, Unreadable> {
        let (member, value) = self.take(name)?;
        let number = match value {
            Value::Number(number) => number.as_u64(),
            _ => None,
        };
        number.ok_or(Unreadable::WrongType { member, expected: "a whole number" })
    }

    /// Takes a member that is text.
    pub(crate) fn text(&mut self, name: &str) -> Result<String, Unreadable> {
        match self.take(name)? {
            (_, Value::Text(text)) => Ok(text),
            (member, _) => Err(Unreadable::WrongType { member, expected: "text" }),
        }
    }

    /// Takes a member that is text of at most `bytes_max` bytes.
    pub(crate) fn text_within(
        &mut self,
        name: &str,
        bytes_max: usize,
    ) -> Result<String, Unreadable> {
        let text = self.text(name)?;
        match text.len() > bytes_max {
            true => {
                let (member, got) = (join(&self.path, name), text.len());
                Err(Unreadable::MemberTooLong { member, got, max: bytes_max })
            }
            false => Ok(text),
        }
    }

    /// Takes a member that is canonical base64 of at most `bytes_max` bytes.
    pub(crate) fn base64(&mut self, name: &str, bytes_max: usize) -> Result<Vec<u8>, Unreadable> {
        let text = self.text(name)?;
        from_base64(join(&self.path, name), &text, bytes_max)
    }

    /// Takes a member that is a list.
    fn list(&mut self, name: &str, entries_max: usize) -> Result<Vec<(String, Value)>, Unreadable> {
        let (member, list) = match self.take(name)? {
            (member, Value::List(list)) => (member, list),
            (member, _) => return Err(Unreadable::WrongType { member, expected: "a list" }),
        };
        if list.len() > entries_max {
            return Err(Unreadable::ListTooLong { member, got: list.len(), max: entries_max });
        }
        let named = |(at, value): (usize, Value)| (join(&member, &at.to_string()), value);
        Ok(list.into_iter().enumerate().map(named).collect())
    }

    /// Takes a member that is a list of objects.
    pub(crate) fn objects(
        &mut self,
        name: &str,
        entries_max: usize,
    ) -> Result<Vec<Object>, Unreadable> {
        let list = self.list(name, entries_max)?;
        list.into_iter().map(|(member, value)| Object::new(member, value)).collect()
    }

    /// Takes a member that is a list of canonical base64, each of at most `bytes_max` bytes.
    pub(crate) fn base64_list(
        &mut self,
        name: &str,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, Unreadable> {
        let list = self.list(name, entries_max)?;
        list.into_iter()
            .map(|(member, value)| match value {
                Value::Text(text) => from_base64(member, &text, bytes_max),
                _ => Err(Unreadable::WrongType { member, expected: "text" }),
            })
            .collect()
    }

    /// Takes a member that is lower-case hex of at most `bytes_max` bytes.
    pub(crate) fn hex(&mut self, name: &str, bytes_max: usize) -> Result<Vec<u8>, Unreadable> {
        let text = self.text(name)?;
        let member = join(&self.path, name);
        let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match hex::decode(text) {
            Ok(bytes) if lower => within(member, bytes, bytes_max),
            _ => Err(Unreadable::NotHex { member }),
        }
    }

    /// Takes a member that is lower-case hex of exactly 32 bytes.
    pub(crate) fn word(&mut self, name: &str) -> Result<B256, Unreadable> {
        let bytes = self.hex(name, 32)?;
        B256::try_from(bytes.as_slice())
            .map_err(|_| Unreadable::NotHex { member: join(&self.path, name) })
    }

    /// Refuses whatever has not been taken.
    pub(crate) fn finish(self) -> Result<(), Unreadable> {
        match self.members.into_keys().next() {
            Some(name) => Err(Unreadable::UnknownMember { member: join(&self.path, &name) }),
            None => Ok(()),
        }
    }
}

fn from_base64(member: String, text: &str, bytes_max: usize) -> Result<Vec<u8>, Unreadable> {
    match encoding::from_base64(text) {
        Ok(bytes) => within(member, bytes, bytes_max),
        Err(_) => Err(Unreadable::NotBase64 { member }),
    }
}

fn within(member: String, bytes: Vec<u8>, bytes_max: usize) -> Result<Vec<u8>, Unreadable> {
    if bytes.len() > bytes_max {
        return Err(Unreadable::MemberTooLong { member, got: bytes.len(), max: bytes_max });
    }
    Ok(bytes)
}

/// The member's path, as errors name it.
fn join(path: &str, name: &str) -> String {
    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
    if path.is_empty() { name } else { format!("{path}.{name}") }
}
