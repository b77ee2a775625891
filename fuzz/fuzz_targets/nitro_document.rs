//! Nitro documents of which a piece of the whole, of the payload, of a member or of a header is
//! replaced, and which are then put together well again: examined without a panic, never accepted.
//!
//! Nobody signed them and their root is not pinned, or is, by the policy that was made for them: then
//! the chain is read too, and refused.

#![no_main]

mod splice;

use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::{Document, Endorsements, Policy, Releases, Root, Verdict, examine};

use splice::splice;

const NOW: Timestamp = Timestamp(1_790_000_000);

/// ES384, as every document names it.
const PROTECTED: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];

/// The pieces of a document that are spliced one at a time.
struct Pieces {
    protected: Vec<u8>,
    signature: Vec<u8>,
    /// Names of members and their CBOR.
    members: Vec<(&'static str, Vec<u8>)>,
}

/// CBOR's head of a major type and a length (RFC 8949 section 3).
fn head(major: u8, length: usize) -> Vec<u8> {
    let length = u16::try_from(length).expect("no piece is longer than what was put in");
    let major = major << 5;
    match length {
        0..24 => vec![major | length as u8],
        24..256 => vec![major | 24, length as u8],
        _ => [&[major | 25], &length.to_be_bytes()[..]].concat(),
    }
}

fn bytes(content: &[u8]) -> Vec<u8> {
    [head(2, content.len()), content.to_vec()].concat()
}

fn text(content: &str) -> Vec<u8> {
    [head(3, content.len()), content.as_bytes().to_vec()].concat()
}

fn registers() -> Vec<u8> {
    let register = |index: u8| [head(0, usize::from(index)), bytes(&[index + 1; 48])].concat();
    [head(5, 16), (0..16).flat_map(register).collect()].concat()
}

impl Pieces {
    fn honest(certificate: &[u8]) -> Pieces {
        let timestamp = [vec![0x1b], (NOW.0 * 1_000).to_be_bytes().to_vec()].concat();
        Pieces {
            protected: PROTECTED.to_vec(),
            signature: vec![7; 96],
            members: vec![
                ("module_id", text("i-1234-enc5678")),
                ("digest", text("SHA384")),
                ("timestamp", timestamp),
                ("pcrs", registers()),
                ("certificate", bytes(certificate)),
                ("cabundle", [head(4, 2), bytes(certificate), bytes(certificate)].concat()),
                ("public_key", vec![0xf6]),
                ("user_data", bytes(&[7; 64])),
                ("nonce", bytes(&[7; 32])),
            ],
        }
    }

    fn payload(&self) -> Vec<u8> {
        let member = |(name, value): &(&str, Vec<u8>)| [text(name), value.clone()].concat();
        let members: Vec<u8> = self.members.iter().flat_map(member).collect();
        [head(5, self.members.len()), members].concat()
    }

    fn document(&self, payload: &[u8]) -> Vec<u8> {
        let (protected, signature) = (bytes(&self.protected), bytes(&self.signature));
        [vec![0x84], protected, vec![0xa0], bytes(payload), signature].concat()
    }
}

fuzz_target!(|input: (u8, u16, u16, &[u8])| {
    let (part, at, cut, new) = input;
    // Longer ones have no length in CBOR's two bytes, and no reader takes them.
    let new = &new[..new.len().min(8 * 1024)];
    let certificate: &[u8] =
        if part & 0x80 == 0 { b"\x30\x03\x02\x01\x00" } else { &new[..new.len().min(1024)] };
    let mut pieces = Pieces::honest(certificate);
    let change = |piece: &mut Vec<u8>| *piece = splice(piece, at, cut, new);
    let part = usize::from(part & 0x7f) % 13;
    match part {
        0 => change(&mut pieces.protected),
        1 => change(&mut pieces.signature),
        2..11 => change(&mut pieces.members[part - 2].1),
        _ => {}
    }
    let mut payload = pieces.payload();
    if part == 11 {
        change(&mut payload);
    }
    let mut document = pieces.document(&payload);
    if part == 12 {
        change(&mut document);
    }
    let Ok(document) = Document::parse(&document) else { return };
    let mut pinned = Policy::simulated(Releases::default());
    pinned.roots.nitro = Root::Sha256(B256::from(<[u8; 32]>::from(Sha256::digest(certificate))));
    for policy in [Policy::strict(Releases::default()), pinned] {
        for nonce in [None, Some(B256::repeat_byte(7))] {
            let report = examine(&document, &Endorsements::default(), nonce, &policy, NOW);
            assert_eq!(report.verdict, Verdict::Refused);
            assert!(report.first_failure().is_some() && !report.sentence().is_empty());
        }
    }
});
