//! What a network observer sees of an answer: when something passes and how long it is, recorded on
//! a virtual clock.

use subrosa_protocol::Timestamp;
use subrosa_seal::{Fields, Pacing, ResponseEvent, ResponseSealer, TICK_MS_DEFAULT};

use crate::pair::{Pod, content, ticks};

/// One part of an answer, as the engine comes by it.
enum Part {
    Head(u16),
    Text(String),
    End,
}

/// When the engine has which part, in milliseconds after receipt of the request.
type Script = Vec<(u64, Part)>;

/// A record of the network: (milliseconds after receipt, bytes).
type Seen = Vec<(u64, usize)>;

/// What the client is told, and when.
type Told = Vec<(u64, ResponseEvent)>;

/// Runs the pod and the client over a network without delay, and watches it.
fn watch(pacing: Pacing, script: Script) -> (Seen, Told) {
    let (mut sealer, mut opener) = Pod::new().ask(pacing);
    let (mut seen, mut told) = (Seen::new(), Told::new());
    let mut script = script.into_iter().peekable();
    let mut now = 0;
    while !sealer.done() {
        let engine = script.peek().map(|(at, _)| *at);
        // Whatever happens next: the engine has a part, or a frame is due.
        now = [engine, sealer.due_ms()].into_iter().flatten().min().unwrap().max(now);
        while let Some((_, part)) = script.next_if(|(at, _)| *at <= now) {
            queue(&mut sealer, part);
        }
        while sealer.due_ms().is_some_and(|due| due <= now) {
            let frame = sealer.next_frame().expect("it is due");
            seen.push((now, frame.len()));
            told.extend(opener.push(&frame).unwrap().into_iter().map(|event| (now, event)));
        }
    }
    opener.finish().unwrap();
    (seen, told)
}

fn queue(sealer: &mut ResponseSealer, part: Part) {
    match part {
        Part::Head(status) => sealer.head(status, &Fields::new()).unwrap(),
        Part::Text(text) => sealer.body(text.as_bytes()).unwrap(),
        Part::End => {
            let receipt = vec![("x-receipt".to_owned(), vec![b'r'; 700])];
            sealer.trailers_and_end(&receipt).unwrap();
        }
    }
}

/// A streamed answer: tokens of these lengths, from `first` on every `gap` milliseconds, each in the
/// 180 bytes of JSON that a chunk of OpenAI's stream has around it.
fn stream(first: u64, gap: u64, lengths: &[usize]) -> Script {
    let mut script = vec![(first, Part::Head(200))];
    let mut at = first;
    for length in lengths {
        script.push((at, Part::Text("t".repeat(180 + length))));
        at += gap;
    }
    script.push((at, Part::End));
    script
}

fn told_text(told: &Told) -> usize {
    content(&told.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>()).len()
}

#[test]
fn lengths_and_times_tell_no_token_lengths() {
    let short_tokens = stream(100, 20, &[1; 40]);
    let long_tokens = stream(100, 20, &[70; 40]);
    let mixed_tokens = stream(100, 20, &[1, 70, 3, 15, 40, 2, 9, 33].repeat(5));
    let (seen, _) = watch(ticks(20), short_tokens);
    assert_eq!(watch(ticks(20), long_tokens).0, seen);
    assert_eq!(watch(ticks(20), mixed_tokens).0, seen);
}

#[test]
fn within_a_class_lengths_and_times_tell_nothing_of_the_answers_length_or_speed() {
    // Between 33 and 48 frames of 20 ms: anything that is over after 641 to 960 ms.
    let (seen, told) = watch(ticks(20), stream(30, 20, &[5; 32]));
    assert_eq!(seen.len(), 48);
    for other in [
        stream(600, 5, &[12; 10]),            // thinks long, says little
        stream(10, 3, &[64; 150]),            // a fast engine with much to say
        stream(40, 150, &[3, 90, 1, 7, 200]), // a slow one
    ] {
        let (other_seen, other_told) = watch(ticks(20), other);
        assert_eq!(other_seen, seen);
        assert_ne!(told_text(&other_told), told_text(&told), "the answers do differ");
    }
}

#[test]
fn a_refusal_looks_like_the_shortest_answers() {
    let refusal = vec![
        (1, Part::Head(402)),
        (1, Part::Text("{\"x402Version\":2}".repeat(60))),
        (1, Part::End),
    ];
    let not_found = vec![(0, Part::Head(404)), (0, Part::End)];
    let (seen, _) = watch(ticks(20), stream(50, 20, &[4; 10]));
    assert_eq!(seen.len(), 16);
    assert_eq!(watch(ticks(20), refusal).0, seen);
    assert_eq!(watch(ticks(20), not_found).0, seen);
}

#[test]
fn every_tick_has_one_frame_and_every_frame_one_length() {
    for ms in [5, 20, 200] {
        let (seen, _) = watch(ticks(ms), stream(7, 11, &[1, 60, 2, 80].repeat(10)));
        for (number, (at, length)) in seen.iter().enumerate() {
            assert_eq!(*at, (number as u64 + 1) * u64::from(ms));
            // The first carries the nonce of the stream, the last the final chunk as well.
            let extra = match number {
                0 => 16,
                last if last + 1 == seen.len() => 17,
                _ => 0,
            };
            assert_eq!(*length, 2 + 1_024 + 16 + extra, "frame {number}");
        }
    }
}

#[test]
fn at_the_default_tick_a_stream_of_fifty_tokens_a_second_arrives_with_the_next_frame() {
    let tick = u64::from(TICK_MS_DEFAULT);
    let (_, told) = watch(Pacing::default(), stream(100, 20, &[20; 200]));
    let bodies = told.iter().filter(|(_, event)| matches!(event, ResponseEvent::Body(_)));
    let mut generated = (0..200u64).map(|number| 100 + 20 * number);
    let mut count = 0;
    for (arrived, _) in bodies {
        let made = generated.next().unwrap();
        assert!(*arrived >= made && *arrived <= made + tick, "made {made}, arrived {arrived}");
        count += 1;
    }
    assert_eq!(count, 200);
}

#[test]
fn a_burst_drains_at_a_frame_a_tick() {
    let (seen, told) = watch(
        ticks(20),
        vec![(0, Part::Head(200)), (0, Part::Text("x".repeat(20_000))), (0, Part::End)],
    );
    let end = told.iter().find(|(_, event)| *event == ResponseEvent::End).map(|(at, _)| *at);
    assert_eq!(end, Some(21 * 20), "20,000 bytes and a receipt in 21 frames");
    assert_eq!(seen.len(), 24);
}

#[test]
fn with_ticks_off_times_show_but_lengths_are_still_whole_frames_up_to_a_class() {
    let (seen, _) = watch(Pacing::Off, stream(10, 30, &[1, 60, 2, 80]));
    let times: Vec<u64> = seen.iter().map(|(at, _)| *at).collect();
    assert_eq!(times[..4], [10, 40, 70, 100]);
    assert_eq!(times[4..], [130; 12], "receipt, end and filler go out at once");
    assert!(seen[1..15].iter().all(|(_, length)| *length == 1_042));
}

#[test]
fn requests_of_one_class_have_one_length() {
    let pod = Pod::new();
    let lengths = [1, 500, 2_000].map(|length| {
        let mut request = crate::pair::question(Pacing::default());
        request.body = vec![b'x'; length];
        request.envelope.time = Timestamp(length as u64);
        pod.seal(&request).0.len()
    });
    assert_eq!(lengths, [5_258; 3]);
}
