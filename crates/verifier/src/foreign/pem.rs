//! PEM of others: certificates and revocation lists, wherever they stand in a file.

use super::json::from_base64;

/// Certificates and lists of one machine are a dozen.
const BLOCKS_MAX: usize = 64;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// RFC 7468 section 2.
const LINE_CHARS: usize = 64;

/// The DER bytes of every certificate and revocation list in a text, whatever else it holds.
///
/// Nothing where a block is broken, or where there are too many.
pub(super) fn blocks(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        let (label, after) = rest[start + BEGIN.len()..].split_once(DASHES)?;
        let (body, after) = after.split_once(END)?;
        let after = after.strip_prefix(label)?.strip_prefix(DASHES)?;
        let is_known = matches!(label, "CERTIFICATE" | "X509 CRL");
        if !is_known || blocks.len() == BLOCKS_MAX {
            return None;
        }
        blocks.push(from_base64(body)?);
        rest = after;
    }
    Some(blocks)
}

/// Certificates as PEM, in the spelling that evidence demands.
pub(super) fn certificates(ders: &[&[u8]]) -> String {
    let mut pem = String::new();
    for der in ders {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = subrosa_protocol::encoding::to_base64(der);
        for line in text.as_bytes().chunks(LINE_CHARS) {
            pem.push_str(str::from_utf8(line).expect("base64 is ASCII"));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_between_any_text_and_with_any_line_ends() {
        let ders: [&[u8]; 3] = [&[1; 48], &[2; 49], &[3; 500]];
        let pem = certificates(&ders);
        for text in [pem.clone(), format!("subject: x\n{pem}\nend"), pem.replace('\n', "\r\n")] {
            assert_eq!(blocks(&text).unwrap(), ders);
        }
        assert_eq!(blocks("no block"), Some(vec![]));
        let crl = pem.replace("CERTIFICATE", "X509 CRL");
        assert_eq!(blocks(&crl).unwrap(), ders);
    }

    #[test]
    fn refuses_broken_blocks_other_labels_and_too_many() {
        let pem = certificates(&[&[7; 100]]);
        let wrong = [
            pem.replace("BwcH", "B*cH"),
            pem.replace("-----END", "----END"),
            pem.replace("END CERTIFICATE", "END X509 CRL"),
            pem.replace("CERTIFICATE", "PRIVATE KEY"),
            pem.trim_end().trim_end_matches('-').to_owned(),
            pem.replace("BEGIN CERTIFICATE-----\n", "BEGIN CERTIFICATE"),
            pem.repeat(BLOCKS_MAX + 1),
        ];
        for text in wrong {
            assert_eq!(blocks(&text), None, "{text:?}");
        }
        assert!(blocks(&pem.repeat(BLOCKS_MAX)).is_some());
    }
}
