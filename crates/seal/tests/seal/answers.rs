//! Answers: what the client is told, when, and each refusal for its own reason.

use subrosa_seal::{
    FRAME_BYTES, Fields, OpenError, Pacing, RESPONSE_CLASS_MAX, RESPONSE_CONTENT_MAX,
    ResponseError, ResponseEvent, response_class,
};

use crate::pair::{
    Pod, RESPONSE_HEADER, answer, content, drain, join, receive, split_chunks, ticks,
};

/// An answer of a few dozen frames, and the opener that waits for it.
fn framed() -> (Vec<Vec<u8>>, subrosa_seal::ResponseOpener) {
    let (mut sealer, opener) = Pod::new().ask(ticks(20));
    (answer(&mut sealer, &[b'x'; 20_000]), opener)
}

#[test]
fn an_answer_is_opened_however_it_arrives() {
    for pacing in [ticks(20), Pacing::Off, Pacing::Plain] {
        for step in [1, 13, 1_042, 5_000, 1_000_000] {
            let (mut sealer, opener) = Pod::new().ask(pacing);
            let stream = answer(&mut sealer, &[b'x'; 5_000]).concat();
            let events = receive(opener, stream.chunks(step)).unwrap();
            assert_eq!(events[0], ResponseEvent::Head { status: 200, headers: vec![] });
            assert_eq!(content(&events), vec![b'x'; 5_000], "{pacing}, in pieces of {step}");
            let trailers = vec![("x-receipt".to_owned(), b"r".to_vec())];
            let last = [ResponseEvent::Trailers(trailers), ResponseEvent::End];
            assert_eq!(events[events.len() - 2..], last);
        }
    }
}

#[test]
fn an_answer_of_every_length_ends_at_the_boundary_of_its_class() {
    for frames in [1u64, 15, 16, 17, 24, 25, 40, 100, 300] {
        let (mut sealer, opener) = Pod::new().ask(Pacing::Off);
        // Leave room in the last frame for head, length and end.
        let sent = answer(&mut sealer, &vec![b'x'; frames as usize * 1_022 - 40]);
        assert_eq!(sent.len() as u64, response_class(frames));
        assert!(receive(opener, sent.iter().map(Vec::as_slice)).is_ok());
    }
}

#[test]
fn the_end_is_reported_at_the_inner_end_while_filler_still_drains() {
    let (mut sealer, mut opener) = Pod::new().ask(ticks(20));
    let frames = answer(&mut sealer, b"short");
    assert_eq!(frames.len(), 16);
    let events = opener.push(&frames[0]).unwrap();
    assert_eq!(events.last(), Some(&ResponseEvent::End));
    assert!(opener.ended());
    for filler in &frames[1..] {
        assert_eq!(opener.push(filler), Ok(vec![]));
    }
    assert_eq!(opener.finish(), Ok(()));
}

#[test]
fn with_ticks_off_a_frame_is_there_as_soon_as_there_is_content() {
    let (mut sealer, mut opener) = Pod::new().ask(Pacing::Off);
    assert_eq!((sealer.due_ms(), sealer.next_frame()), (None, None));
    sealer.head(200, &Fields::new()).unwrap();
    for token in ["Hel", "lo"] {
        sealer.body(token.as_bytes()).unwrap();
        assert_eq!(sealer.due_ms(), Some(0));
        let frames = drain(&mut sealer);
        assert_eq!((frames.len(), sealer.queued_bytes()), (1, 0));
        assert_eq!(content(&opener.push(&frames[0]).unwrap()), token);
    }
}

#[test]
fn with_ticks_a_frame_is_due_at_each_whether_there_is_content_or_not() {
    let (mut sealer, _) = Pod::new().ask(ticks(50));
    for number in 1..=20 {
        assert_eq!(sealer.due_ms(), Some(50 * number));
        assert!(sealer.next_frame().is_some());
    }
    sealer.head(200, &Fields::new()).unwrap();
    sealer.trailers_and_end(&Fields::new()).unwrap();
    assert_eq!(drain(&mut sealer).len(), 4, "up to the class of 24");
    assert_eq!((sealer.due_ms(), sealer.next_frame(), sealer.done()), (None, None, true));
}

#[test]
fn content_without_bytes_does_not_end_the_answer() {
    let (mut sealer, mut opener) = Pod::new().ask(Pacing::Off);
    sealer.head(200, &Fields::new()).unwrap();
    for part in ["", "more", ""] {
        sealer.body(part.as_bytes()).unwrap();
    }
    let events = opener.push(&drain(&mut sealer).concat()).unwrap();
    assert_eq!(content(&events), "more");
    assert!(!opener.ended() && !sealer.done());
}

#[test]
fn refuses_an_answer_that_is_cut_off_anywhere() {
    let (frames, _) = framed();
    let total: usize = frames.iter().map(Vec::len).sum();
    for cut in (0..total).rev().step_by(331).chain(total - 17..total).chain([0, 1, 15, 16]) {
        let (frames, opener) = framed();
        let stream = frames.concat();
        assert_eq!(receive(opener, [&stream[..cut]]), Err(OpenError::Truncated), "cut at {cut}");
    }
}

#[test]
fn refuses_an_answer_whose_chunks_were_moved_repeated_or_dropped() {
    let changes: [fn(&mut Vec<Vec<u8>>); 4] = [
        |chunks| chunks.swap(0, 1),
        |chunks| chunks.swap(3, 4),
        |chunks| drop(chunks.remove(2)),
        |chunks| chunks.insert(2, chunks[1].clone()),
    ];
    for change in changes {
        let (frames, opener) = framed();
        let (header, mut chunks) = split_chunks(&frames.concat(), RESPONSE_HEADER);
        change(&mut chunks);
        let stream = join(&header, &chunks);
        assert_eq!(receive(opener, [&stream[..]]), Err(OpenError::Tampered));
    }
}

#[test]
fn refuses_an_answer_with_any_bit_changed_and_reports_nothing_after() {
    for at in [0, 20, 5_000, 25_040] {
        let (frames, mut opener) = framed();
        let mut stream = frames.concat();
        assert_eq!(stream.len(), RESPONSE_HEADER + 24 * (FRAME_BYTES + 18) + 17);
        stream[at] ^= 1;
        let mut results = stream.chunks(1_000).map(|piece| opener.push(piece));
        let refused = results.by_ref().find(Result::is_err);
        if at < 25_040 {
            assert_eq!(refused, Some(Err(OpenError::Tampered)), "byte {at}");
            assert!(results.all(|result| result == Err(OpenError::Tampered)));
        }
        drop(results);
        // The final chunk is only known to be whole once the stream has ended.
        assert_eq!(opener.finish(), Err(OpenError::Tampered));
    }
}

#[test]
fn refuses_the_answer_to_another_request() {
    let pod = Pod::new();
    let (mut sealer, _) = pod.ask(Pacing::Off);
    let (_, opener) = pod.ask(Pacing::Off);
    let stream = answer(&mut sealer, b"not yours").concat();
    assert_eq!(receive(opener, [&stream[..]]), Err(OpenError::Tampered));
}

#[test]
fn refuses_bytes_after_the_final_chunk() {
    let (frames, opener) = framed();
    let stream = [frames.concat(), vec![0]].concat();
    assert_eq!(receive(opener, [&stream[..]]), Err(OpenError::Tampered));
}

#[test]
fn an_answer_beyond_its_bound_is_not_sealed() {
    let (mut sealer, _) = Pod::new().ask(Pacing::Off);
    sealer.head(200, &Fields::new()).unwrap();
    sealer.body(b"x").unwrap();
    let queued = sealer.queued_bytes();
    let refused = sealer.body(&vec![b'x'; RESPONSE_CONTENT_MAX as usize]);
    assert_eq!(refused, Err(ResponseError::TooLarge));
    assert_eq!(sealer.queued_bytes(), queued, "nothing of it is queued");
}

#[test]
fn an_answer_that_outlasts_the_largest_class_ends_there_and_is_truncated() {
    let (mut sealer, mut opener) = Pod::new().ask(ticks(5));
    sealer.head(200, &Fields::new()).unwrap();
    let mut frames = 0;
    while let Some(frame) = sealer.next_frame() {
        opener.push(&frame).unwrap();
        frames += 1;
    }
    assert_eq!((frames, sealer.done()), (RESPONSE_CLASS_MAX, true));
    assert_eq!(opener.finish(), Err(OpenError::Truncated));
}

#[test]
fn what_is_shown_of_both_ends_is_their_progress() {
    let (mut sealer, opener) = Pod::new().ask(Pacing::Off);
    sealer.head(200, &Fields::new()).unwrap();
    sealer.body(b"secret").unwrap();
    sealer.next_frame();
    let shown = format!("{sealer:?} {opener:?}");
    assert_eq!(
        shown,
        "ResponseSealer { pacing: Off, frames: 1, done: false, .. } \
         ResponseOpener { ended: false, failed: None, .. }"
    );
}
