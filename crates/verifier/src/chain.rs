//! Certificate chains as PEM text, in one spelling only.
//!
//! No signature covers the PEM around a certificate, nor the root at a chain's end. Lenient readers
//! skip what they do not know; here every byte counts, so that no byte of evidence can be changed
//! unseen.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----\n";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// RFC 7468 section 2: lines of exactly 64 characters, but for the last.
const LINE_CHARS: usize = 64;

/// A leaf, an authority and a root; nobody sends more.
const CERTIFICATES_MAX: usize = 3;

/// Reads a chain: the DER bytes of its certificates, leaf first.
///
/// What follows the last certificate is nothing, a line feed, or a line feed and the NUL with which
/// Intel's quoting enclave ends the chain in a quote.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, BadChain> {
    let mut certificates = Vec::new();
    let mut rest = pem;
    loop {
        let (certificate, after) = certificate(rest)?;
        certificates.push(certificate);
        match after {
            b"" | b"\n" | b"\n\0" => return Ok(certificates),
            [b'\n', next @ ..] if certificates.len() < CERTIFICATES_MAX => rest = next,
            _ => return Err(BadChain),
        }
    }
}

fn certificate(pem: &[u8]) -> Result<(Vec<u8>, &[u8]), BadChain> {
    let mut rest = pem.strip_prefix(BEGIN).ok_or(BadChain)?;
    let mut text = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(BadChain)?;
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        text.extend_from_slice(line);
        if let Some(after) = after.strip_prefix(END) {
            let length_is_right = (1..=LINE_CHARS).contains(&line.len());
            let der = STANDARD.decode(&text).ok().filter(|_| length_is_right).ok_or(BadChain)?;
            return Ok((der, after));
        }
        if line.len() != LINE_CHARS {
            return Err(BadChain);
        }
        rest = after;
    }
}

/// A certificate chain that is not PEM in its one spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate chain is not PEM with lines of 64 characters and nothing else")]
pub(crate) struct BadChain;

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(length: usize) -> String {
        let text = STANDARD.encode(vec![7; length]);
        let lines: Vec<&str> =
            text.as_bytes().chunks(LINE_CHARS).map(|line| str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    #[test]
    fn reads_chains_whatever_the_last_line_holds() {
        for length in [1, 47, 48, 49, 96, 500] {
            let chain = format!("{}{}", pem(length), pem(length + 1));
            let read = certificates(chain.as_bytes()).unwrap();
            assert_eq!(read, [vec![7; length], vec![7; length + 1]]);
            assert_eq!(certificates(chain.trim_end().as_bytes()), Ok(read.clone()));
            assert_eq!(certificates(format!("{chain}\0").as_bytes()), Ok(read));
        }
    }

    #[test]
    fn refuses_every_other_spelling() {
        let good = pem(100);
        let wrong = [
            String::new(),
            "\n".into(),
            format!(" {good}"),
            format!("{good}\n"),
            format!("{good}\0\0"),
            format!("{good} "),
            format!("{}\0", good.trim_end()),
            good.replace('\n', "\r\n"),
            good.replace("CERTIFICATE", "X509 CERTIFICATE"),
            good.replacen("CERTIFICATE", "certificate", 1),
            good.replacen("BwcH", "Bw cH", 1),
            good.replacen("BwcH", "BwcH\n", 1),
            good.replacen("\n-----END", "\n\n-----END", 1),
            good.repeat(CERTIFICATES_MAX + 1),
            format!("comment\n{good}"),
        ];
        for pem in wrong {
            assert_eq!(certificates(pem.as_bytes()), Err(BadChain), "{pem:?}");
        }
    }

    #[test]
    fn refuses_a_change_of_any_byte_to_white_space() {
        let good = format!("{}{}\0", pem(100), pem(30));
        for position in 0..good.len() {
            for byte in [b' ', b'\n', b'\r', b'\t', 0] {
                let mut bytes = good.clone().into_bytes();
                if bytes[position] != byte {
                    bytes[position] = byte;
                    assert!(certificates(&bytes).is_err(), "byte {byte} at {position}");
                }
            }
        }
    }
}
