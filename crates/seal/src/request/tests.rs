use bhttp::{Message as Foreign, Mode};
use subrosa_protocol::Timestamp;

use super::*;
use crate::pacing::Tick;

fn request() -> InnerRequest {
    InnerRequest {
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        headers: vec![("content-type".into(), b"application/json".to_vec())],
        body: b"{\"model\":\"m\"}".to_vec(),
        envelope: Envelope {
            channel_config: Some(vec![1, 2, 3]),
            order: Some(vec![4, 5]),
            voucher: Some(vec![6]),
            last_receipt: Some(vec![7, 8, 9]),
            time: Timestamp(1_800_000_000),
            salt: [0xab; 32],
        },
        pacing: Pacing::Ticks(Tick::from_ms(20).unwrap()),
    }
}

/// A message as another implementation writes it, with the demanded part of the envelope.
fn foreign() -> Foreign {
    let mut message =
        Foreign::request(b"GET".into(), b"https".into(), b"pod".into(), b"/v1/models".into());
    message.put_header("subrosa-time", "1800000000");
    message.put_header("subrosa-salt", "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=");
    message
}

fn decode_foreign(message: &Foreign) -> Result<InnerRequest, BadRequest> {
    let mut bytes = Vec::new();
    message.write_bhttp(Mode::KnownLength, &mut bytes).unwrap();
    decode(&bytes)
}

/// The foreign message with one header more.
fn with_header(name: &str, value: &str) -> Result<InnerRequest, BadRequest> {
    let mut message = foreign();
    message.put_header(name, value);
    decode_foreign(&message)
}

/// A message of known length with these raw sections.
fn raw(kind: usize, target: [&[u8]; 4], lines: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_integer(&mut out, kind);
    for part in target {
        put_string(&mut out, part);
    }
    put_string(&mut out, lines);
    put_string(&mut out, body);
    out
}

/// The field lines of the demanded part of the envelope.
fn envelope_lines() -> Vec<u8> {
    let envelope = Envelope { time: Timestamp(1), ..Envelope::default() };
    let mut lines = Vec::new();
    put_lines(&mut lines, &envelope::to_fields(&envelope, Pacing::Plain).unwrap()).unwrap();
    lines
}

const TARGET: [&[u8]; 4] = [b"GET", b"https", b"", b"/v1/models"];

#[test]
fn an_inner_request_has_exactly_these_bytes() {
    let mut expected = b"\x00\x04POST\x05https\x00\x14/v1/chat/completions\x40\xdf".to_vec();
    expected.extend_from_slice(b"\x0csubrosa-time\x0a1800000000");
    expected.extend_from_slice(b"\x0csubrosa-salt\x2cq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=");
    expected.extend_from_slice(b"\x0fsubrosa-channel\x04AQID");
    expected.extend_from_slice(b"\x0dsubrosa-order\x04BAU=");
    expected.extend_from_slice(b"\x0fsubrosa-voucher\x04Bg==");
    expected.extend_from_slice(b"\x14subrosa-last-receipt\x04BwgJ");
    expected.extend_from_slice(b"\x0esubrosa-pacing\x08ticks=20");
    expected.extend_from_slice(b"\x0ccontent-type\x10application/json");
    expected.extend_from_slice(b"\x0d{\"model\":\"m\"}\x00");
    assert_eq!(expected.len(), 274);
    expected.resize(REQUEST_CLASS_FIRST, 0);
    assert_eq!(encode(&request()).unwrap(), expected);
}

#[test]
fn an_inner_request_is_read_back() {
    let mut request = request();
    assert_eq!(decode(&encode(&request).unwrap()), Ok(request.clone()));
    request.envelope = Envelope { time: Timestamp(0), ..Envelope::default() };
    request.pacing = Pacing::Plain;
    assert_eq!(decode(&encode(&request).unwrap()), Ok(request));
}

#[test]
fn another_implementation_reads_the_inner_request() {
    let bytes = encode(&request()).unwrap();
    let message = Foreign::read_bhttp(&mut std::io::Cursor::new(bytes)).unwrap();
    assert_eq!(message.control().method(), Some(&b"POST"[..]));
    assert_eq!(message.control().path(), Some(&b"/v1/chat/completions"[..]));
    assert_eq!(message.header().get(b"subrosa-order"), Some(&b"BAU="[..]));
    assert_eq!(message.content(), b"{\"model\":\"m\"}");
}

#[test]
fn both_forms_of_another_implementation_are_read() {
    let mut message = foreign();
    message.write_content(vec![b'x'; 70_000]);
    for mode in [Mode::KnownLength, Mode::IndeterminateLength] {
        let mut bytes = Vec::new();
        message.write_bhttp(mode, &mut bytes).unwrap();
        let request = decode(&bytes).unwrap();
        assert_eq!(request.method, "GET");
        assert_eq!(request.body, vec![b'x'; 70_000]);
        assert_eq!(request.pacing, Pacing::Plain);
        assert_eq!(request.envelope.salt, [0xab; 32]);
        assert!(request.headers.is_empty());
    }
}

#[test]
fn sections_that_are_left_out_at_the_end_are_empty() {
    let whole = raw(0, TARGET, &envelope_lines(), b"");
    for cut in [whole.len(), whole.len() - 1] {
        assert_eq!(decode(&whole[..cut]).unwrap().body, b"");
    }
}

#[test]
fn refuses_a_message_that_is_cut_anywhere_else() {
    let whole = raw(0, TARGET, &envelope_lines(), b"body");
    for cut in 0..whole.len() {
        let refusal = decode(&whole[..cut]);
        // Before the headers a message may end, and then has none; before the body, too.
        if cut == 23 {
            let missing = BadEnvelope::Missing("subrosa-time");
            assert_eq!(refusal, Err(BadRequest::Envelope(missing)));
        } else if cut != whole.len() - 5 {
            assert_eq!(refusal, Err(BadRequest::Malformed), "cut at {cut}");
        }
    }
}

#[test]
fn refuses_what_is_no_plain_request() {
    let lines = envelope_lines();
    let with = |extra: &[u8]| [&lines[..], extra].concat();
    let long_path = [b"/".as_slice(), &vec![b'a'; PATH_BYTES_MAX]].concat();
    let cases: [(&str, Vec<u8>); 15] = [
        ("a response", raw(1, TARGET, &lines, b"")),
        ("an unknown form", raw(4, TARGET, &lines, b"")),
        ("no method", raw(0, [b"", b"https", b"", b"/"], &lines, b"")),
        ("a method that is no token", raw(0, [b"GE T", b"https", b"", b"/"], &lines, b"")),
        ("a long method", raw(0, [&[b'A'; 33], b"https", b"", b"/"], &lines, b"")),
        ("another scheme", raw(0, [b"GET", b"http", b"", b"/"], &lines, b"")),
        ("no path", raw(0, [b"GET", b"https", b"", b""], &lines, b"")),
        ("a whole URL", raw(0, [b"GET", b"https", b"", b"https://a/"], &lines, b"")),
        ("a line break in the path", raw(0, [b"GET", b"https", b"", b"/\n"], &lines, b"")),
        ("a long path", raw(0, [b"GET", b"https", b"", &long_path], &lines, b"")),
        ("a name in upper case", raw(0, TARGET, &with(b"\x01A\x01b"), b"")),
        ("a pseudo-header", raw(0, TARGET, &with(b"\x05:path\x01/"), b"")),
        ("a nameless field", raw(0, TARGET, &with(b"\x00\x01b"), b"")),
        ("a line break in a value", raw(0, TARGET, &with(b"\x01a\x03b\r\n"), b"")),
        ("a value beyond its section", raw(0, TARGET, &with(b"\x01a\x09b"), b"")),
    ];
    for (case, bytes) in cases {
        assert_eq!(decode(&bytes), Err(BadRequest::Malformed), "{case}");
    }
}

#[test]
fn refuses_trailers_and_padding_that_is_not_zero() {
    let mut message = foreign();
    message.put_trailer("a", "b");
    assert_eq!(decode_foreign(&message), Err(BadRequest::Malformed));

    let mut bytes = encode(&request()).unwrap();
    *bytes.last_mut().unwrap() = 1;
    assert_eq!(decode(&bytes), Err(BadRequest::Malformed));
}

#[test]
fn refuses_more_fields_than_a_section_may_have() {
    let mut message = foreign();
    for _ in 0..FIELDS_MAX - 2 {
        message.put_header("a", "b");
    }
    assert!(decode_foreign(&message).is_ok());
    message.put_header("a", "b");
    assert_eq!(decode_foreign(&message), Err(BadRequest::Malformed));

    let mut message = foreign();
    message.put_header("a", vec![b'b'; FIELDS_BYTES_MAX]);
    for mode in [Mode::KnownLength, Mode::IndeterminateLength] {
        let mut bytes = Vec::new();
        message.write_bhttp(mode, &mut bytes).unwrap();
        assert_eq!(decode(&bytes), Err(BadRequest::Malformed));
    }
}

#[test]
fn refuses_an_envelope_without_time_or_salt() {
    let bare = Foreign::request(b"GET".into(), b"https".into(), b"".into(), b"/".into());
    let missing = |name| Err(BadRequest::Envelope(BadEnvelope::Missing(name)));
    assert_eq!(decode_foreign(&bare), missing("subrosa-time"));
    let mut timed = bare;
    timed.put_header("subrosa-time", "1");
    assert_eq!(decode_foreign(&timed), missing("subrosa-salt"));
}

#[test]
fn refuses_an_envelope_header_that_is_repeated_or_unknown() {
    let repeated = Err(BadRequest::Envelope(BadEnvelope::Repeated("subrosa-time")));
    assert_eq!(with_header("subrosa-time", "1800000000"), repeated);
    let unknown = Err(BadRequest::Envelope(BadEnvelope::Unknown));
    assert_eq!(with_header("subrosa-tick", "20"), unknown);
}

#[test]
fn refuses_an_envelope_value_in_any_other_spelling() {
    let cases = [
        ("subrosa-order", ""),
        ("subrosa-order", "BAU"),
        ("subrosa-order", "BAV="),
        ("subrosa-order", "BAU=="),
        ("subrosa-order", "BA U="),
        ("subrosa-order", "-_-_"),
        ("subrosa-pacing", "ticks=1"),
        ("subrosa-pacing", "fast"),
    ];
    for (name, value) in cases {
        let unreadable = Err(BadRequest::Envelope(BadEnvelope::Unreadable(name)));
        assert_eq!(with_header(name, value), unreadable, "{name}: {value}");
    }
}

#[test]
fn refuses_a_time_or_a_salt_in_any_other_spelling() {
    let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let cases = [
        ("subrosa-time", "", zeros),
        ("subrosa-time", "01", zeros),
        ("subrosa-time", "+1", zeros),
        ("subrosa-time", "1.0", zeros),
        ("subrosa-time", "18446744073709551616", zeros),
        ("subrosa-salt", "1", "AAAA"),
        ("subrosa-salt", "1", &format!("AAAA{zeros}")),
    ];
    for (name, time, salt) in cases {
        let mut message = Foreign::request(b"GET".into(), b"https".into(), b"".into(), b"/".into());
        message.put_header("subrosa-time", time);
        message.put_header("subrosa-salt", salt);
        let unreadable = Err(BadRequest::Envelope(BadEnvelope::Unreadable(name)));
        assert_eq!(decode_foreign(&message), unreadable, "{name}: {time} {salt}");
    }
}

#[test]
fn a_request_that_cannot_be_written_says_why() {
    let sealed = |change: &dyn Fn(&mut InnerRequest)| {
        let mut changed = request();
        change(&mut changed);
        encode(&changed).unwrap_err()
    };
    assert_eq!(sealed(&|r| r.method = "GE T".into()), SealError::Target);
    assert_eq!(sealed(&|r| r.path = "v1".into()), SealError::Target);
    assert_eq!(sealed(&|r| r.path = "/a b".into()), SealError::Target);
    assert_eq!(
        sealed(&|r| r.envelope.order = Some(vec![])),
        SealError::EmptyMember("subrosa-order")
    );
    assert_eq!(
        sealed(&|r| r.headers.push(("Subrosa-Time".into(), b"1".to_vec()))),
        SealError::Reserved { name: "subrosa-time".into() }
    );
    assert_eq!(
        sealed(&|r| r.headers.push(("a".into(), b"b\r\nc: d".to_vec()))),
        SealError::Field(BadField::Unwritable { name: "a".into() })
    );
    assert_eq!(
        sealed(&|r| r.headers.push(("a".into(), vec![b'b'; FIELDS_BYTES_MAX]))),
        SealError::Field(BadField::TooLarge)
    );
    assert!(matches!(
        sealed(&|r| r.body = vec![0; REQUEST_CLASS_MAX]),
        SealError::TooLarge { bytes } if bytes > REQUEST_CLASS_MAX
    ));
}

#[test]
fn what_is_shown_of_a_request_is_not_private() {
    let shown = format!("{:?} {:?}", request(), request().envelope);
    assert!(!shown.contains("model") && !shown.contains("171") && !shown.contains("chat"));
}
