//! Header and trailer fields, and the integers and strings that binary HTTP is made of
//! (RFC 9292, section 3; RFC 9000, section 16).

/// Header or trailer fields in their order: lower-case names, values as bytes.
pub type Fields = Vec<(String, Vec<u8>)>;

/// How many fields one section may have. The envelope needs 7 and an API request a dozen.
pub const FIELDS_MAX: usize = 128;
/// How many bytes, lengths included, one section of fields may take on the wire.
pub const FIELDS_BYTES_MAX: usize = 64 * 1024;

/// The value of the first field of that (lower-case) name.
pub fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_slice())
}

/// Whether `name` is a field name as binary HTTP carries it: a lower-case token (RFC 9110, 5.6.2).
pub(crate) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| is_token_byte(*byte) && !byte.is_ascii_uppercase())
}

/// Whether `bytes` is a token (RFC 9110, section 5.6.2), as methods are.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether `value` can stand in a field: no control character but the tab, so that no value can
/// grow a second field once it is written as HTTP/1.1, and no white space around it.
pub(crate) fn is_value(value: &[u8]) -> bool {
    let white = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    value.iter().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f))
        && !white(value.first())
        && !white(value.last())
}

/// Appends a variable-length integer (RFC 9000, section 16), in its shortest form.
pub(crate) fn put_integer(out: &mut Vec<u8>, value: usize) {
    let value = value as u64;
    match value {
        0..0x40 => out.push(value as u8),
        0x40..0x4000 => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        0x4000..0x4000_0000 => out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
        _ => out.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

/// Appends a string: its length, then its bytes.
pub(crate) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_integer(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends field lines one after the other, without a terminator or a length.
pub(crate) fn put_lines(out: &mut Vec<u8>, fields: &Fields) -> Result<(), BadField> {
    let start = out.len();
    for (name, value) in fields {
        let name = name.to_ascii_lowercase();
        if !is_name(name.as_bytes()) || !is_value(value) {
            return Err(BadField::Unwritable { name });
        }
        put_string(out, name.as_bytes());
        put_string(out, value);
    }
    if fields.len() > FIELDS_MAX || out.len() - start > FIELDS_BYTES_MAX {
        return Err(BadField::TooLarge);
    }
    Ok(())
}

/// Why fields cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadField {
    /// A name that is no token, or a value with control characters or white space around it.
    #[error("the field {name:?} has a name or a value that HTTP cannot carry")]
    Unwritable {
        /// The name of the field; its value may be private.
        name: String,
    },
    /// More than [`FIELDS_MAX`] fields or [`FIELDS_BYTES_MAX`] bytes.
    #[error("a section of fields is larger than {FIELDS_MAX} fields or {FIELDS_BYTES_MAX} bytes")]
    TooLarge,
}

/// Reads integers and strings from a slice that may end too early.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Why a [`Reader`] has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The slice ends before the item does.
    Short,
    /// The item breaks a rule or a bound.
    Wrong,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// At most `max` bytes of what is there.
    pub(crate) fn up_to(&mut self, max: usize) -> &'a [u8] {
        let bytes = &self.rest()[..max.min(self.rest().len())];
        self.at += bytes.len();
        bytes
    }

    pub(crate) fn integer(&mut self) -> Result<u64, Unread> {
        let first = *self.rest().first().ok_or(Unread::Short)?;
        let length = 1 << (first >> 6);
        let bytes = self.rest().get(..length).ok_or(Unread::Short)?;
        let head = u64::from(first & 0x3f);
        let value = bytes[1..].iter().fold(head, |value, byte| value << 8 | u64::from(*byte));
        self.at += length;
        Ok(value)
    }

    /// A string of at most `max` bytes. Too long a one is wrong before its bytes have arrived.
    pub(crate) fn string(&mut self, max: usize) -> Result<&'a [u8], Unread> {
        let start = self.at;
        let length = self.integer()?;
        let length = usize::try_from(length).ok().filter(|length| *length <= max);
        let length = length.ok_or(Unread::Wrong)?;
        match self.rest().get(..length) {
            Some(bytes) => {
                self.at += length;
                Ok(bytes)
            }
            None => {
                self.at = start;
                Err(Unread::Short)
            }
        }
    }

    /// One field line, or `None` for the empty name that ends a section.
    pub(crate) fn line(&mut self) -> Result<Option<(String, Vec<u8>)>, Unread> {
        let start = self.at;
        let name = self.string(FIELDS_BYTES_MAX)?;
        if name.is_empty() {
            return Ok(None);
        }
        let value = match self.string(FIELDS_BYTES_MAX) {
            Ok(value) => value,
            Err(unread) => {
                self.at = start;
                return Err(unread);
            }
        };
        if !is_name(name) || !is_value(value) {
            return Err(Unread::Wrong);
        }
        let name = String::from_utf8(name.to_vec()).expect("a token is ASCII");
        Ok(Some((name, value.to_vec())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_the_bytes_of_rfc_9000_appendix_a() {
        let cases: [(usize, &[u8]); 4] = [
            (37, &[0x25]),
            (15_293, &[0x7b, 0xbd]),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (151_288_809_941_952_652, &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]),
        ];
        for (value, bytes) in cases {
            let mut out = Vec::new();
            put_integer(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(Reader::new(bytes).integer(), Ok(value as u64));
            for cut in 0..bytes.len() {
                assert_eq!(Reader::new(&bytes[..cut]).integer(), Err(Unread::Short));
            }
        }
    }

    #[test]
    fn a_value_cannot_grow_a_second_field() {
        for value in ["a\r\nx: b", "a\0", "a\n", " a", "a\t", "\x7f"] {
            assert!(!is_value(value.as_bytes()), "{value:?}");
        }
        assert!(is_value(b"") && is_value(b"a\tb c") && is_value("é".as_bytes()));
    }

    #[test]
    fn an_incomplete_line_leaves_the_reader_where_it_was() {
        let mut out = Vec::new();
        put_lines(&mut out, &vec![("Name".into(), b"value".to_vec())]).unwrap();
        assert_eq!(out, b"\x04name\x05value");
        for cut in 0..out.len() {
            let mut reader = Reader::new(&out[..cut]);
            assert_eq!(reader.line(), Err(Unread::Short));
            assert_eq!(reader.position(), 0);
        }
    }

    #[test]
    fn a_length_beyond_its_bound_is_wrong_before_the_bytes_arrive() {
        let mut reader = Reader::new(&[0xff; 8]);
        assert_eq!(reader.string(10), Err(Unread::Wrong));
    }
}
