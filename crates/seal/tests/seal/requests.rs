//! Requests: what is opened, how long it looks, and each refusal for its own reason.

use subrosa_protocol::{Duration, Timestamp};
use subrosa_seal::{
    BadEnvelope, KEY_LIFE, KeyListError, OpenRefusal, Pacing, REQUEST_CLASS_FIRST,
    REQUEST_CLASS_MAX, ReplayGuard, RequestSealer, SEALED_REQUEST_BYTES_MAX, SealError, TIME_SKEW,
    request_class, sealed_request_bytes,
};

use crate::pair::{NOW, Pod, REQUEST_HEADER, join, question, split_chunks};

#[test]
fn a_request_of_every_size_class_is_opened_and_looks_like_its_class() {
    let pod = Pod::new();
    let mut class = request_class(0).unwrap();
    let (mut below, mut classes) = (REQUEST_CLASS_FIRST / 2, 0);
    loop {
        // The longest body of this class, and one byte more than the class below holds.
        for length in [below + 1, class] {
            let mut request = question(Pacing::default());
            request.body = vec![b'x'; length - overhead_of(length)];
            let (sealed, _) = pod.seal(&request);
            assert_eq!(sealed.len(), sealed_request_bytes(class), "class {class}");
            assert_eq!(pod.open(&sealed).unwrap().0, request, "class {class}");
        }
        classes += 1;
        match request_class(class + 1) {
            Some(next) => (below, class) = (class, next),
            None => break,
        }
    }
    assert_eq!((class, classes), (REQUEST_CLASS_MAX, 21));
}

/// What a message of [`question`] of that length takes beside its body.
fn overhead_of(length: usize) -> usize {
    let length_bytes = if length > 0x4200 { 4 } else { 2 };
    // Target, header lines with their length, the body's length, no trailers.
    34 + 2 + (12 + 11 + 1) + (13 + 45) + (14 + 390) + (15 + 9) + (13 + 17) + length_bytes + 1
}

#[test]
fn a_body_above_the_largest_class_is_not_sealed() {
    let pod = Pod::new();
    let mut request = question(Pacing::default());
    request.body = vec![b'x'; REQUEST_CLASS_MAX];
    let sealer = RequestSealer::new(pod.ring.config_list()).unwrap();
    assert!(matches!(sealer.seal(&request), Err(SealError::TooLarge { .. })));
}

#[test]
fn refuses_bytes_beyond_the_largest_class_unread() {
    let (sealed, _) = Pod::new().seal(&question(Pacing::Off));
    let mut long = sealed;
    long.resize(SEALED_REQUEST_BYTES_MAX + 1, 0);
    assert_eq!(Pod::new().refuse(&long), OpenRefusal::TooLarge);
}

#[test]
fn refuses_a_request_that_is_cut_off_anywhere() {
    let pod = Pod::new();
    let (sealed, _) = pod.seal(&question(Pacing::Off));
    let id = pod.ring.current().id();
    for cut in (0..sealed.len()).rev().step_by(97).chain([1, 6, 7, 1_126, 1_127, 1_128]) {
        assert_eq!(pod.refuse(&sealed[..cut]), OpenRefusal::Truncated, "cut at {cut}");
    }
    for cut in sealed.len() - 17..sealed.len() {
        assert_eq!(pod.refuse(&sealed[..cut]), OpenRefusal::Truncated, "in the final chunk");
    }
    assert_eq!(sealed[0], id);
    assert!(pod.open(&sealed).is_ok(), "a refused prefix does not use the request up");
}

#[test]
fn refuses_a_request_whose_chunks_were_moved_repeated_or_dropped() {
    let pod = Pod::new();
    let mut request = question(Pacing::Off);
    request.body = vec![b'x'; 60_000];
    let (sealed, _) = pod.seal(&request);
    let (header, chunks) = split_chunks(&sealed, REQUEST_HEADER);
    assert_eq!(chunks.len(), 5, "four of 16 KiB and the final one");

    let reordered = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut chunks = chunks.clone();
        change(&mut chunks);
        pod.refuse(&join(&header, &chunks))
    };
    assert_eq!(reordered(&|chunks| chunks.swap(1, 2)), OpenRefusal::Tampered);
    assert_eq!(reordered(&|chunks| drop(chunks.remove(3))), OpenRefusal::Tampered);
    assert_eq!(reordered(&|chunks| chunks.insert(1, chunks[0].clone())), OpenRefusal::Tampered);
    // When even the first chunk is not in its place, nothing shows that the key was right.
    assert_eq!(reordered(&|chunks| chunks.swap(0, 1)), OpenRefusal::WrongKey);
    assert!(pod.open(&sealed).is_ok());
}

#[test]
fn refuses_a_request_with_any_bit_changed() {
    let pod = Pod::new();
    let (sealed, _) = pod.seal(&question(Pacing::Off));
    for at in [7, 500, 1_126, 1_130, 3_000, sealed.len() - 1] {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        let refusal = pod.refuse(&altered);
        let expected =
            if at == sealed.len() - 1 { OpenRefusal::Tampered } else { OpenRefusal::WrongKey };
        assert_eq!(refusal, expected, "byte {at}");
    }
    assert!(pod.open(&sealed).is_ok());
}

#[test]
fn refuses_bytes_after_the_final_chunk() {
    let pod = Pod::new();
    let (mut sealed, _) = pod.seal(&question(Pacing::Off));
    sealed.push(0);
    assert_eq!(pod.refuse(&sealed), OpenRefusal::Tampered);
}

#[test]
fn refuses_a_request_of_other_algorithms() {
    let pod = Pod::new();
    let (sealed, _) = pod.seal(&question(Pacing::Off));
    for at in 1..7 {
        let mut other = sealed.clone();
        other[at] ^= 1;
        assert_eq!(pod.refuse(&other), OpenRefusal::Malformed);
    }
}

#[test]
fn refuses_the_same_sealed_bytes_a_second_time() {
    let pod = Pod::new();
    let request = question(Pacing::Off);
    let (sealed, _) = pod.seal(&request);
    assert!(pod.open(&sealed).is_ok());
    assert_eq!(pod.refuse(&sealed), OpenRefusal::Replayed);
    let mut altered = sealed.clone();
    *altered.last_mut().unwrap() ^= 1;
    assert_eq!(pod.refuse(&altered), OpenRefusal::Replayed);
    // The same request sealed anew is a retry, which is for `channel` to judge.
    assert!(pod.open(&pod.seal(&request).0).is_ok());
}

#[test]
fn refuses_new_requests_while_the_guard_is_full() {
    let mut pod = Pod::new();
    pod.guard = ReplayGuard::new(1);
    assert!(pod.open(&pod.seal(&question(Pacing::Off)).0).is_ok());
    let (sealed, _) = pod.seal(&question(Pacing::Off));
    assert_eq!(pod.refuse(&sealed), OpenRefusal::GuardFull);

    let later = NOW.after(Duration(TIME_SKEW.0 + 1));
    let mut request = question(Pacing::Off);
    request.envelope.time = later;
    let (sealed, _) = pod.seal(&request);
    assert!(pod.ring.open(&sealed, later, &pod.guard).is_ok());
}

#[test]
fn refuses_a_request_whose_time_is_not_the_pods() {
    let pod = Pod::new();
    let skew = TIME_SKEW.0;
    for (sent, accepted) in [
        (NOW.0 - skew - 1, false),
        (NOW.0 - skew, true),
        (NOW.0 + skew, true),
        (NOW.0 + skew + 1, false),
        (0, false),
        (u64::MAX, false),
    ] {
        let mut request = question(Pacing::Off);
        request.envelope.time = Timestamp(sent);
        let opened = pod.open(&pod.seal(&request).0).map(|(request, _)| request);
        let stale = OpenRefusal::StaleTime { sent: Timestamp(sent), now: NOW };
        assert_eq!(opened, if accepted { Ok(request) } else { Err(stale) }, "sent at {sent}");
    }
}

#[test]
fn refuses_a_request_to_a_key_that_the_pod_no_longer_has() {
    let mut pod = Pod::new();
    let (sealed, _) = pod.seal(&question(Pacing::Off));
    pod.ring.rotate(NOW);
    assert!(pod.open(&sealed).is_ok(), "the previous key overlaps");

    let mut pod = Pod::new();
    let (sealed, _) = pod.seal(&question(Pacing::Off));
    pod.ring.rotate(NOW);
    pod.ring.rotate(NOW);
    let refusal = pod.refuse(&sealed);
    assert_eq!(refusal, OpenRefusal::UnknownKey);
    assert!(refusal.asks_for_new_key());
    assert!(pod.open(&pod.seal(&question(Pacing::Off)).0).is_ok(), "sealed anew to the new key");
}

#[test]
fn refuses_a_request_to_a_key_that_has_expired() {
    let pod = Pod::new();
    let after = NOW.after(Duration(KEY_LIFE.0 + 1));
    let mut request = question(Pacing::Off);
    request.envelope.time = after;
    let (sealed, _) = pod.seal(&request);
    let refusal = pod.ring.open(&sealed, after, &pod.guard).map(|(request, _)| request);
    assert_eq!(refusal, Err(OpenRefusal::UnknownKey));
}

#[test]
fn refuses_a_request_to_another_pods_key_of_the_same_id() {
    let (pod, mut other) = (Pod::new(), Pod::new());
    while other.ring.current().id() != pod.ring.current().id() {
        other.ring.rotate(NOW);
    }
    let (sealed, _) = other.seal(&question(Pacing::Off));
    let refusal = pod.refuse(&sealed);
    assert_eq!(refusal, OpenRefusal::WrongKey);
    assert!(refusal.asks_for_new_key());
}

#[test]
fn a_refusal_names_the_envelope_header_that_is_wrong() {
    let refusal = OpenRefusal::BadEnvelope(BadEnvelope::Missing("subrosa-salt"));
    let told = "the sealed request has a bad envelope: the header subrosa-salt is missing";
    assert_eq!(refusal.to_string(), told);
    assert!(!refusal.asks_for_new_key());
}

#[test]
fn a_list_without_a_usable_key_makes_no_sealer() {
    let pod = Pod::new();
    let list = pod.ring.config_list();
    let error = |list: &[u8]| RequestSealer::new(list).map(drop).unwrap_err();
    assert_eq!(error(&list[..100]), KeyListError::Malformed);
    assert_eq!(error(b"\x00\x03\x01\x00\x20"), KeyListError::Unsupported);
}
