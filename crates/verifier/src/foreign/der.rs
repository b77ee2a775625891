//! Just enough DER to tell certificates, revocation lists and revocation answers apart.
//!
//! Nothing is believed here: whoever uses what was told apart verifies it.

/// Common names are a few words; a longer one is none of those that are looked for.
const NAME_BYTES_MAX: usize = 128;

const INTEGER: u8 = 0x02;
const ENUMERATED: u8 = 0x0a;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALISED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;

/// 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// What a DER structure is, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Der {
    /// A certificate, with the common name of its subject.
    Certificate { subject: String },
    /// A revocation list, with the common name of its issuer.
    Crl { issuer: String },
    /// A revocation answer about single certificates.
    Ocsp,
}

/// Tells what bytes are; nothing where they are none of these, or something follows them.
pub(super) fn classify(der: &[u8]) -> Option<Der> {
    let mut outside = Reader(der);
    let mut whole = Reader(outside.expect(SEQUENCE)?);
    if !outside.0.is_empty() {
        return None;
    }
    let (tag, first) = whole.next()?;
    match tag {
        ENUMERATED => Some(Der::Ocsp),
        SEQUENCE => classify_signed(Reader(first)),
        _ => None,
    }
}

/// RFC 5280 sections 4.1 and 5.1: after the algorithm and the issuer's name, a certificate has a
/// validity, a list has a time.
fn classify_signed(mut fields: Reader<'_>) -> Option<Der> {
    let (mut tag, mut field) = fields.next()?;
    if tag == CONTEXT_0 {
        (tag, field) = fields.next()?;
    }
    if tag == INTEGER {
        (tag, field) = fields.next()?;
    }
    let (SEQUENCE, _algorithm) = (tag, field) else { return None };
    let issuer = fields.expect(SEQUENCE)?;
    match fields.next()? {
        (UTC_TIME | GENERALISED_TIME, _) => Some(Der::Crl { issuer: common_name(issuer) }),
        (SEQUENCE, _validity) => {
            let subject = common_name(fields.expect(SEQUENCE)?);
            Some(Der::Certificate { subject })
        }
        _ => None,
    }
}

/// The common name; empty where there is none that can be read.
fn common_name(name: &[u8]) -> String {
    find_common_name(Reader(name)).unwrap_or_default()
}

fn find_common_name(mut name: Reader<'_>) -> Option<String> {
    loop {
        let mut set = Reader(name.expect(SET)?);
        let mut attribute = Reader(set.expect(SEQUENCE)?);
        if attribute.expect(OID)? == COMMON_NAME {
            let (_, text) = attribute.next()?;
            let text = str::from_utf8(text).ok().filter(|text| text.len() <= NAME_BYTES_MAX)?;
            return Some(text.to_owned());
        }
    }
}

/// Takes tagged values off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // Longer than 4 bytes of length is longer than any file that is read.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes.iter().fold(0u32, |length, byte| length << 8 | u32::from(*byte));
                (usize::try_from(length).ok()?, rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    fn expect(&mut self, expected: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == expected).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], length.as_slice(), value].concat()
    }

    fn name(text: &str) -> Vec<u8> {
        let country =
            tlv(SET, &tlv(SEQUENCE, &[tlv(OID, &[0x55, 4, 6]), tlv(0x13, b"US")].concat()));
        let attribute = [tlv(OID, COMMON_NAME), tlv(0x0c, text.as_bytes())].concat();
        tlv(SEQUENCE, &[country, tlv(SET, &tlv(SEQUENCE, &attribute))].concat())
    }

    fn signed(fields: &[Vec<u8>]) -> Vec<u8> {
        tlv(SEQUENCE, &[tlv(SEQUENCE, &fields.concat()), tlv(SEQUENCE, b"")].concat())
    }

    fn certificate() -> Vec<u8> {
        let version = tlv(CONTEXT_0, &tlv(INTEGER, &[2]));
        let (serial, algorithm) = (tlv(INTEGER, &[0]), tlv(SEQUENCE, b""));
        signed(&[version, serial, algorithm, name("issuer"), tlv(SEQUENCE, b""), name("subject")])
    }

    fn crl() -> Vec<u8> {
        let version = tlv(INTEGER, &[1]);
        signed(&[version, tlv(SEQUENCE, b""), name("issuer"), tlv(UTC_TIME, b"2601010000Z")])
    }

    #[test]
    fn tells_certificates_lists_and_answers_apart() {
        let subject = "subject".to_owned();
        assert_eq!(classify(&certificate()), Some(Der::Certificate { subject }));
        assert_eq!(classify(&crl()), Some(Der::Crl { issuer: "issuer".into() }));
        let answer = tlv(SEQUENCE, &tlv(ENUMERATED, &[0]));
        assert_eq!(classify(&answer), Some(Der::Ocsp));
    }

    #[test]
    fn a_name_without_a_readable_common_name_is_empty() {
        let long = "n".repeat(NAME_BYTES_MAX + 1);
        for name in [tlv(SEQUENCE, b""), name(&long), tlv(SEQUENCE, b"\x31\x05")] {
            let list = signed(&[tlv(SEQUENCE, b""), name, tlv(GENERALISED_TIME, b"")]);
            assert_eq!(classify(&list), Some(Der::Crl { issuer: String::new() }));
        }
    }

    #[test]
    fn refuses_what_is_cut_or_followed_by_something() {
        for good in [certificate(), crl()] {
            for length in 0..good.len() {
                assert_eq!(classify(&good[..length]), None, "cut at {length}");
            }
            assert_eq!(classify(&[good.as_slice(), b"\0"].concat()), None);
        }
    }

    #[test]
    fn refuses_everything_else() {
        let empty = tlv(SEQUENCE, b"");
        let wrong = [
            vec![],
            empty.clone(),
            tlv(SET, &empty),
            tlv(SEQUENCE, &empty),
            tlv(SEQUENCE, &tlv(INTEGER, &[0])),
            signed(&[tlv(INTEGER, &[1]), empty.clone(), name("issuer")]),
            signed(&[tlv(INTEGER, &[1]), empty.clone(), name("issuer"), tlv(INTEGER, &[1])]),
            signed(&[empty.clone(), name("issuer"), empty.clone(), tlv(SET, b"")]),
            vec![SEQUENCE, 0x80, 0, 0],
            vec![SEQUENCE, 0x85, 0, 0, 0, 0, 1, 0],
            vec![SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff, 0],
        ];
        for der in wrong {
            assert_eq!(classify(&der), None, "{der:02x?}");
        }
    }
}
