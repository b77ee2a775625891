//! The same question through the real seal.

use subrosa_protocol::Outcome;
use subrosa_seal::{KeyRing, ReplayGuard, RequestSealer, ResponseEvent};
use subrosa_session::client::Ending;

use crate::pair::{Pair, Received};

#[test]
fn a_question_goes_through_the_seal_and_back() {
    let mut pair = Pair::new(1);
    let (ring, guard) = (KeyRing::new(pair.now), ReplayGuard::default());
    let mut asking = pair.ask(20);

    let sealer = RequestSealer::new(ring.config_list()).unwrap();
    let (sealed, mut opener) = sealer.seal(&pair.request(&asking)).unwrap();
    let (request, mut answer) = ring.open(&sealed, pair.now, &guard).unwrap();
    let Received::Running(running) = pair.pod.receive(&request, pair.now) else {
        panic!("a good order runs")
    };
    for event in pair.pod.answer(running, 5, Outcome::Complete, pair.now) {
        match event {
            ResponseEvent::Head { status, headers } => answer.head(status, &headers).unwrap(),
            ResponseEvent::Body(bytes) => answer.body(&bytes).unwrap(),
            ResponseEvent::Trailers(trailers) => answer.trailers_and_end(&trailers).unwrap(),
            ResponseEvent::End => {}
        }
    }
    while let Some(frame) = answer.next_frame() {
        for event in opener.push(&frame).unwrap() {
            asking.on_event(event);
        }
    }
    opener.finish().unwrap();
    assert!(matches!(pair.conclude(&mut asking), Ending::Answered { .. }));
}
