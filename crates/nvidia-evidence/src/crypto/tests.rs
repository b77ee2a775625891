//! The forms of keys and signatures: one of each is taken, whatever else the library would read.

use super::*;
use crate::testing::tlv;

/// RFC 6979, appendix A.2.6: the key, and its signature over "sample" with SHA-384.
const X: &str = "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64\
                 def8f0ea9055866064a254515480bc13";
const Y: &str = "8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1\
                 288b231c3ae0d4fe7344fd2533264720";
const R: &str = "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c\
                 81a648152e44acf96e36dd1e80fabe46";
const S: &str = "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94f\
                 a329c145786e679e7b82c71a38628ac8";
/// The order of the group.
const N: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf\
                 581a0db248b0a77aecec196accc52973";

fn bytes(hexes: &[&str]) -> Vec<u8> {
    hex::decode(hexes.concat()).unwrap()
}

fn point() -> Vec<u8> {
    bytes(&["04", X, Y])
}

/// An INTEGER of these bytes, as they are.
fn integer(hexes: &[&str]) -> Vec<u8> {
    tlv(0x02, &[&bytes(hexes)])
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

fn signature() -> Vec<u8> {
    sequence(&[&integer(&["00", R]), &integer(&["00", S])])
}

#[test]
fn verifies_what_a_standard_gives_as_an_example() {
    assert!(verify_der(&point(), b"sample", &signature()));
    assert!(verify_fixed(&point(), b"sample", &bytes(&[R, S])));
    for message in [&b"samplf"[..], b"", b"sample\0"] {
        assert!(!verify_der(&point(), message, &signature()));
        assert!(!verify_fixed(&point(), message, &bytes(&[R, S])));
    }
}

#[test]
fn takes_a_key_as_an_uncompressed_point_alone() {
    // SubjectPublicKeyInfo of the very same key.
    let algorithm =
        sequence(&[&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], &[6, 5, 0x2b, 0x81, 4, 0, 0x22]]);
    let info = sequence(&[&algorithm, &tlv(0x03, &[&[0], &point()])]);
    let mut off_the_curve = point();
    off_the_curve[96] ^= 1;
    let cases = [
        bytes(&["02", X]), // y is even
        bytes(&["03", X]),
        bytes(&["06", X, Y]), // hybrid
        bytes(&["07", X, Y]),
        bytes(&["02", X, Y]),
        bytes(&["00", X, Y]),
        bytes(&[X, Y]),
        bytes(&["04", X]),
        bytes(&["04", X, Y, "00"]),
        bytes(&["0004", X, Y]),
        [&[4][..], &[0; 96]].concat(),
        vec![0],
        vec![],
        info,
        off_the_curve,
        bytes(&["04", Y, X]),
    ];
    for point in cases {
        assert!(!verify_der(&point, b"sample", &signature()), "{}", hex::encode(&point));
        assert!(!verify_fixed(&point, b"sample", &bytes(&[R, S])), "{}", hex::encode(&point));
    }
}

#[test]
fn takes_a_der_signature_in_its_one_spelling() {
    let (r, s) = (integer(&["00", R]), integer(&["00", S]));
    let whole = signature();
    let body = &whole[2..];
    let cases = [
        sequence(&[&integer(&["0000", R]), &s]), // not the shortest
        sequence(&[&r, &integer(&["0000", S])]),
        sequence(&[&integer(&[R]), &s]), // below zero
        sequence(&[&r, &integer(&[S])]),
        sequence(&[&integer(&["00", N]), &s]),
        sequence(&[&r, &integer(&["00", N])]),
        sequence(&[&integer(&["00"]), &s]),
        sequence(&[&r, &integer(&["00"])]),
        sequence(&[&integer(&["00"]), &integer(&["00"])]),
        sequence(&[&s, &r]),
        sequence(&[&r]),
        sequence(&[&r, &s, &s]),
        [&whole[..], &[0]].concat(),
        [&[0x30, 0x81, body.len() as u8], body].concat(), // a length in the long form
        [&[0x30, 0x80], body, &[0, 0]].concat(),          // of no stated length
        [&[0x31, body.len() as u8], body].concat(),
        whole[..whole.len() - 1].to_vec(),
        bytes(&[R, S]),
        vec![],
    ];
    for signature in cases {
        let text = hex::encode(&signature);
        assert!(!verify_der(&point(), b"sample", &signature), "{text}");
    }
}

#[test]
fn takes_a_raw_signature_of_two_numbers_of_48_bytes() {
    let zero = "00".repeat(48);
    let cases = [
        bytes(&[R, S, "00"]),
        bytes(&["00", R, S]),
        bytes(&["00", R, "00", S]),
        bytes(&[R, S])[..95].to_vec(),
        bytes(&[R, S])[1..].to_vec(),
        bytes(&[S, R]),
        bytes(&[R, R]),
        bytes(&[&zero, S]),
        bytes(&[R, &zero]),
        bytes(&[&zero, &zero]),
        bytes(&[N, S]),
        bytes(&[R, N]),
        vec![0xff; 96],
        signature(),
        vec![],
    ];
    for signature in cases {
        let text = hex::encode(&signature);
        assert!(!verify_fixed(&point(), b"sample", &signature), "{text}");
    }
}

#[test]
fn hashes_as_the_standard_does() {
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(hex::encode(sha256(b"abc")), digest);
    assert!(hex::encode(sha384(b"abc")).starts_with("cb00753f45a35e8b"));
    let sha1 = hash(&SHA1_FOR_LEGACY_USE_ONLY, b"abc");
    assert_eq!(hex::encode(sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

#[test]
fn knows_four_hashes_by_their_names_and_no_other() {
    let begins = |oid| {
        let algorithm = hash_named(ObjectIdentifier::new_unwrap(oid))?;
        Some(hex::encode(&hash(algorithm, b"abc")[..4]))
    };
    assert_eq!(begins("1.3.14.3.2.26").as_deref(), Some("a9993e36"));
    assert_eq!(begins("2.16.840.1.101.3.4.2.1").as_deref(), Some("ba7816bf"));
    assert_eq!(begins("2.16.840.1.101.3.4.2.2").as_deref(), Some("cb00753f"));
    assert_eq!(begins("2.16.840.1.101.3.4.2.3").as_deref(), Some("ddaf35a1"));
    // MD5, SHA-224, SHA3-384, ECDSA with SHA-384.
    for other in [
        "1.2.840.113549.2.5",
        "2.16.840.1.101.3.4.2.4",
        "2.16.840.1.101.3.4.2.9",
        "1.2.840.10045.4.3.3",
    ] {
        assert_eq!(begins(other), None, "{other}");
    }
}
