use bhttp::{Message as Foreign, Mode};

use super::*;

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

/// An answer with everything that one can have.
fn answer() -> Vec<u8> {
    let mut encoder = ResponseEncoder::default();
    let mut out = encoder.head(200, &fields(&[("Content-Type", "text/plain")])).unwrap();
    out.extend(encoder.body(b"Hello").unwrap());
    out.extend(encoder.body(b"").unwrap());
    out.extend(encoder.body(&[b'x'; 100]).unwrap());
    out.extend(encoder.end(&fields(&[("x-receipt", "r")])).unwrap());
    assert!(encoder.ended());
    out
}

fn decode(bytes: &[u8], step: usize) -> Result<Vec<ResponseEvent>, BadResponse> {
    let (mut decoder, mut events) = (ResponseDecoder::default(), Vec::new());
    for piece in bytes.chunks(step) {
        decoder.push(piece, &mut events)?;
    }
    Ok(events)
}

fn content(events: &[ResponseEvent]) -> Vec<u8> {
    let bodies = events.iter().filter_map(|event| match event {
        ResponseEvent::Body(bytes) => Some(bytes.to_vec()),
        _ => None,
    });
    bodies.collect::<Vec<_>>().concat()
}

#[test]
fn an_inner_answer_has_exactly_these_bytes() {
    let mut expected = b"\x03\x40\xc8\x0ccontent-type\x0atext/plain\x00".to_vec();
    expected.extend_from_slice(b"\x05Hello\x40\x64");
    expected.extend_from_slice(&[b'x'; 100]);
    expected.extend_from_slice(b"\x00\x09x-receipt\x01r\x00");
    assert_eq!(answer(), expected);
}

#[test]
fn another_implementation_reads_the_inner_answer() {
    let message = Foreign::read_bhttp(&mut std::io::Cursor::new(answer())).unwrap();
    assert_eq!(message.control().status().map(|status| status.code()), Some(200));
    assert_eq!(message.header().get(b"content-type"), Some(&b"text/plain"[..]));
    assert_eq!(message.content(), [b"Hello".as_slice(), &[b'x'; 100]].concat());
    assert_eq!(message.trailer().get(b"x-receipt"), Some(&b"r"[..]));
}

#[test]
fn an_answer_of_another_implementation_is_read() {
    let mut message = Foreign::response(bhttp::StatusCode::OK);
    message.put_header("a", "b");
    message.write_content(b"text");
    let mut bytes = Vec::new();
    message.write_bhttp(Mode::IndeterminateLength, &mut bytes).unwrap();
    let expected = vec![
        ResponseEvent::Head { status: 200, headers: fields(&[("a", "b")]) },
        ResponseEvent::Body(Bytes::from_static(b"text")),
        ResponseEvent::Trailers(Fields::new()),
        ResponseEvent::End,
    ];
    assert_eq!(decode(&bytes, 1_000), Ok(expected));
}

#[test]
fn an_answer_reads_the_same_however_it_is_cut() {
    let answer = answer();
    let whole = decode(&answer, answer.len()).unwrap();
    assert_eq!(content(&whole), [b"Hello".as_slice(), &[b'x'; 100]].concat());
    for step in 1..answer.len() {
        let events = decode(&answer, step).unwrap();
        assert_eq!(content(&events), content(&whole), "in pieces of {step}");
        assert_eq!(events.first(), whole.first());
        assert_eq!(events[events.len() - 2..], whole[whole.len() - 2..]);
    }
}

#[test]
fn an_answer_that_is_cut_off_has_no_end() {
    let answer = answer();
    for cut in 0..answer.len() {
        let events = decode(&answer[..cut], 1_000).unwrap();
        assert!(!events.contains(&ResponseEvent::End), "cut at {cut}");
    }
}

#[test]
fn refuses_what_is_no_final_answer() {
    let cases: [(&str, &[u8]); 9] = [
        ("a request", b"\x00\x03GET"),
        ("the form of known length", b"\x01\x40\xc8"),
        ("an informational status", b"\x03\x40\x64\x00"),
        ("no status", b"\x03\x00"),
        ("a status beyond 599", b"\x03\x42\x58"),
        ("a name in upper case", b"\x03\x40\xc8\x01A\x01b\x00"),
        ("a line break in a value", b"\x03\x40\xc8\x01a\x02\r\n\x00"),
        ("a field beyond its bound", b"\x03\x40\xc8\x01a\xbf\xff\xff\xff"),
        ("bytes after the end", b"\x03\x40\xc8\x00\x00\x00\x00"),
    ];
    for (case, bytes) in cases {
        for step in [1, 100] {
            assert_eq!(decode(bytes, step), Err(BadResponse::Malformed), "{case}");
        }
    }
}

#[test]
fn refuses_more_fields_or_content_than_an_answer_may_have() {
    let mut many = b"\x03\x40\xc8".to_vec();
    many.extend(b"\x01a\x01b".repeat(FIELDS_MAX + 1));
    assert_eq!(decode(&many, 1_000), Err(BadResponse::TooLarge));

    let mut long = b"\x03\x40\xc8".to_vec();
    for _ in 0..2 {
        put_string(&mut long, b"a");
        put_string(&mut long, &vec![b'b'; FIELDS_BYTES_MAX / 2]);
    }
    assert_eq!(decode(&long, 1_000), Err(BadResponse::TooLarge));

    let mut content = b"\x03\x40\xc8\x00".to_vec();
    put_integer(&mut content, RESPONSE_CONTENT_MAX as usize + 1);
    assert_eq!(decode(&content, 1_000), Err(BadResponse::TooLarge));
    assert_eq!(
        decode(b"\x03\x40\xc8\x00\xff\xff\xff\xff\xff\xff\xff\xff", 1),
        Err(BadResponse::TooLarge)
    );
}

#[test]
fn the_parts_of_an_answer_come_in_their_order() {
    let mut encoder = ResponseEncoder::default();
    assert_eq!(encoder.body(b"x"), Err(ResponseError::OutOfOrder));
    assert_eq!(encoder.end(&Fields::new()), Err(ResponseError::OutOfOrder));
    encoder.head(402, &Fields::new()).unwrap();
    assert_eq!(encoder.head(200, &Fields::new()), Err(ResponseError::OutOfOrder));
    encoder.end(&Fields::new()).unwrap();
    assert_eq!(encoder.body(b"x"), Err(ResponseError::OutOfOrder));
    assert_eq!(encoder.end(&Fields::new()), Err(ResponseError::OutOfOrder));
}

#[test]
fn a_part_that_cannot_be_written_leaves_the_answer_as_it_was() {
    let mut encoder = ResponseEncoder::default();
    assert_eq!(encoder.head(100, &Fields::new()), Err(ResponseError::Status { status: 100 }));
    let unwritable = ResponseError::Field(BadField::Unwritable { name: "a".into() });
    assert_eq!(encoder.head(200, &fields(&[("a", "b\n")])), Err(unwritable.clone()));
    encoder.head(200, &Fields::new()).unwrap();
    assert_eq!(encoder.end(&fields(&[("a", "b\0")])), Err(unwritable));
    let too_much = vec![0; RESPONSE_CONTENT_MAX as usize + 1];
    assert_eq!(encoder.body(&too_much), Err(ResponseError::TooLarge));
    assert_eq!(encoder.body(b"x"), Ok(b"\x01x".to_vec()));
    assert_eq!(encoder.end(&Fields::new()), Ok(b"\0\0".to_vec()));
}
