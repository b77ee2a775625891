//! JSON of others: members that nobody knows are let pass, doubled ones that are used are refused.
//!
//! Foreign documents grow members at their makers' will, and some makers put JSON into text where
//! others put it as it is. Nothing is ever hashed over what is read here.

use subrosa_protocol::encoding;

use crate::Unreadable;
use crate::json::{Value, have_doubled};

/// A foreign object; members are taken by name, and those that nobody takes do not matter.
#[derive(Clone, Debug, Default)]
pub(super) struct Foreign {
    path: String,
    members: Vec<(String, Value)>,
}

impl Foreign {
    /// Reads a document that is one object.
    pub(super) fn parse(document: &[u8]) -> Result<Foreign, Unreadable> {
        Foreign::new(String::new(), Value::parse(document)?)
    }

    fn new(path: String, value: Value) -> Result<Foreign, Unreadable> {
        match value {
            Value::Object(members) => Ok(Foreign { path, members }),
            _ => Err(Unreadable::WrongType { member: path, expected: "an object" }),
        }
    }

    /// Whether there is a member of that name, whatever it holds.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(known, _)| known == name)
    }

    /// Whether the object, or one inside it, has a member twice.
    pub(super) fn has_doubled(&self) -> bool {
        have_doubled(&self.members)
    }

    /// All members that nobody has taken; those that were taken are null.
    pub(super) fn members(&self) -> &[(String, Value)] {
        &self.members
    }

    /// Looks at a member of an object in which none stands twice.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The member's path, as errors name it. Only names of ours ever stand in it.
    pub(super) fn path(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    /// Takes a member; null says as much as nothing.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<Value>, Unreadable> {
        let mut found = None;
        for (known, value) in &mut self.members {
            if known == name {
                if found.is_some() {
                    return Err(Unreadable::DuplicateMember { member: self.path(name) });
                }
                found = Some(std::mem::replace(value, Value::Null));
            }
        }
        Ok(found.filter(|value| *value != Value::Null))
    }

    fn missing(&self, name: &str) -> Unreadable {
        Unreadable::MissingMember { member: self.path(name) }
    }

    fn wrong(&self, name: &str, expected: &'static str) -> Unreadable {
        Unreadable::WrongType { member: self.path(name), expected }
    }

    fn within(&self, name: &str, got: usize, max: usize) -> Result<(), Unreadable> {
        match got > max {
            true => Err(Unreadable::MemberTooLong { member: self.path(name), got, max }),
            false => Ok(()),
        }
    }

    /// Takes text, where there is any.
    pub(super) fn text_if_any(&mut self, name: &str) -> Result<Option<String>, Unreadable> {
        match self.take(name)? {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "text")),
        }
    }

    /// Takes text.
    pub(super) fn text(&mut self, name: &str) -> Result<String, Unreadable> {
        self.text_if_any(name)?.ok_or_else(|| self.missing(name))
    }

    /// Takes text of at most `bytes_max` bytes.
    pub(super) fn text_within(
        &mut self,
        name: &str,
        bytes_max: usize,
    ) -> Result<String, Unreadable> {
        let text = self.text(name)?;
        self.within(name, text.len(), bytes_max)?;
        Ok(text)
    }

    /// Takes hex of at most `bytes_max` bytes, in either case, with or without `0x`.
    pub(super) fn hex_if_any(
        &mut self,
        name: &str,
        bytes_max: usize,
    ) -> Result<Option<Vec<u8>>, Unreadable> {
        let Some(text) = self.text_if_any(name)? else { return Ok(None) };
        let bytes =
            from_hex(&text).ok_or_else(|| Unreadable::NotHex { member: self.path(name) })?;
        self.within(name, bytes.len(), bytes_max)?;
        Ok(Some(bytes))
    }

    /// Takes hex of at most `bytes_max` bytes.
    pub(super) fn hex(&mut self, name: &str, bytes_max: usize) -> Result<Vec<u8>, Unreadable> {
        self.hex_if_any(name, bytes_max)?.ok_or_else(|| self.missing(name))
    }

    /// Takes hex of exactly so many bytes.
    pub(super) fn word_if_any<const N: usize>(
        &mut self,
        name: &str,
    ) -> Result<Option<[u8; N]>, Unreadable> {
        let Some(bytes) = self.hex_if_any(name, N)? else { return Ok(None) };
        let word = <[u8; N]>::try_from(bytes);
        word.map(Some).map_err(|_| Unreadable::NotHex { member: self.path(name) })
    }

    /// Takes base64 of at most `bytes_max` bytes.
    pub(super) fn base64(&mut self, name: &str, bytes_max: usize) -> Result<Vec<u8>, Unreadable> {
        let text = self.text(name)?;
        let bytes = from_base64(&text);
        let bytes = bytes.ok_or_else(|| Unreadable::NotBase64 { member: self.path(name) })?;
        self.within(name, bytes.len(), bytes_max)?;
        Ok(bytes)
    }

    /// Takes an object or a list: as it is, or as text that holds it.
    fn json(&mut self, name: &str, bytes_max: usize) -> Result<Option<Value>, Unreadable> {
        match self.take(name)? {
            Some(Value::Text(text)) if text.is_empty() => Ok(None),
            Some(Value::Text(text)) => {
                self.within(name, text.len(), bytes_max)?;
                Value::parse(text.as_bytes())
                    .map(|value| Some(value).filter(|value| *value != Value::Null))
                    .map_err(|_| self.wrong(name, "JSON, or text that holds JSON"))
            }
            value => Ok(value),
        }
    }

    /// Takes an object, where there is any: as it is, or as text of at most `bytes_max` bytes.
    pub(super) fn object_if_any(
        &mut self,
        name: &str,
        bytes_max: usize,
    ) -> Result<Option<Foreign>, Unreadable> {
        let value = self.json(name, bytes_max)?;
        value.map(|value| Foreign::new(self.path(name), value)).transpose()
    }

    /// Takes a list, where there is any: as it is, or as text of at most `bytes_max` bytes.
    pub(super) fn list_if_any(
        &mut self,
        name: &str,
        bytes_max: usize,
    ) -> Result<Option<Value>, Unreadable> {
        match self.json(name, bytes_max)? {
            None => Ok(None),
            Some(list @ Value::List(_)) => Ok(Some(list)),
            Some(_) => Err(self.wrong(name, "a list")),
        }
    }

    /// Takes a list of objects; nothing is an empty list.
    pub(super) fn objects(
        &mut self,
        name: &str,
        entries_max: usize,
    ) -> Result<Vec<Foreign>, Unreadable> {
        let list = match self.take(name)? {
            None => return Ok(Vec::new()),
            Some(Value::List(list)) => list,
            Some(_) => return Err(self.wrong(name, "a list")),
        };
        Foreign::entries(&self.path(name), list, entries_max)
    }

    /// The entries of a list that stands at `path`, all objects.
    pub(super) fn entries(
        path: &str,
        list: Vec<Value>,
        entries_max: usize,
    ) -> Result<Vec<Foreign>, Unreadable> {
        if list.len() > entries_max {
            let (member, got) = (path.into(), list.len());
            return Err(Unreadable::ListTooLong { member, got, max: entries_max });
        }
        let entry = |(at, value)| Foreign::new(format!("{path}.{at}"), value);
        list.into_iter().enumerate().map(entry).collect()
    }
}

/// The bytes of hex in either case, with or without `0x`.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok()
}

/// The bytes of base64, in one line or in many.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_ascii_whitespace().collect();
    encoding::from_base64(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: &str) -> Foreign {
        Foreign::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn members_that_nobody_knows_do_not_matter_even_twice() {
        let mut object = object(r#"{"x":1.5,"x":[null,true,-3],"a":"text"}"#);
        assert_eq!(object.text("a"), Ok("text".into()));
    }

    #[test]
    fn a_member_that_is_used_must_not_stand_twice_however_it_is_escaped() {
        let mut object = object(r#"{"a":"one","\u0061":"two"}"#);
        assert_eq!(object.text("a"), Err(Unreadable::DuplicateMember { member: "a".into() }));
    }

    #[test]
    fn json_in_text_reads_as_json() {
        for json in [r#"{"a":{"b":"c"}}"#, r#"{"a":"{\"b\":\"c\"}"}"#] {
            let mut inner = object(json).object_if_any("a", 100).unwrap().unwrap();
            assert_eq!(inner.text("b"), Ok("c".into()));
        }
        for json in [r#"{"a":null}"#, r#"{"a":"null"}"#, r#"{"a":""}"#, "{}"] {
            assert!(object(json).object_if_any("a", 100).unwrap().is_none(), "{json}");
        }
    }

    #[test]
    fn refuses_members_of_another_type_or_size() {
        let wrong = |json: &str, expected| {
            let result = object(json).object_if_any("a", 100).map(|_| ());
            assert_eq!(result, Err(Unreadable::WrongType { member: "a".into(), expected }));
        };
        wrong(r#"{"a":3}"#, "an object");
        wrong(r#"{"a":"[]"}"#, "an object");
        wrong(r#"{"a":"{"}"#, "JSON, or text that holds JSON");
        let long = format!(r#"{{"a":"{}"}}"#, "ab".repeat(40));
        let too_long = Unreadable::MemberTooLong { member: "a".into(), got: 40, max: 32 };
        assert_eq!(object(&long).word_if_any::<32>("a"), Err(too_long));
        assert!(object(&long).hex("a", 39).is_err());
        assert!(object(&long).hex("a", 40).is_ok());
        let not_hex = Unreadable::NotHex { member: "a".into() };
        assert_eq!(object(&long).word_if_any::<64>("a"), Err(not_hex.clone()));
        assert_eq!(object(r#"{"a":"0x0"}"#).hex("a", 9), Err(not_hex));
        assert!(object(r#"{"a":[{},{}]}"#).objects("a", 1).is_err());
        assert!(object(r#"{"a":[{},3]}"#).objects("a", 2).is_err());
        assert!(object(r#"{"a":"AQ"}"#).base64("a", 9).is_err());
        assert!(object(r#"{"a":"AQID"}"#).base64("a", 2).is_err());
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for json in ["", "[]", "{", "{} {}", "nul", "{\"a\":1e999}", "\u{feff}{}"] {
            assert!(Foreign::parse(json.as_bytes()).is_err(), "{json:?}");
        }
        assert!(Foreign::parse(&b"[".repeat(100_000)).is_err());
    }
}
