//! Bytes that nobody sealed, or that were changed since: refused, and never a panic.

use proptest::{collection::vec, prelude::*, sample::Index};
use subrosa_seal::{
    Envelope, Fields, InnerRequest, OpenError, OpenRefusal, Pacing, RequestSealer, Tick,
};

use crate::pair::{NOW, Pod, answer, content, question, receive, ticks};

fn any_pacing() -> impl Strategy<Value = Pacing> {
    let tick = (5u16..=1_000).prop_map(|ms| Pacing::Ticks(Tick::from_ms(ms).unwrap()));
    prop_oneof![Just(Pacing::Plain), Just(Pacing::Off), tick]
}

fn any_fields() -> impl Strategy<Value = Fields> {
    let value = "([!-~]([ -~]{0,20}[!-~])?)?".prop_map(String::into_bytes);
    vec(("[a-r][a-z0-9-]{0,10}", value), 0..5)
}

prop_compose! {
    fn any_envelope()(
        channel_config in any::<Option<u8>>(),
        order in proptest::option::of(vec(any::<u8>(), 1..400)),
        voucher in proptest::option::of(vec(any::<u8>(), 1..200)),
        salt in any::<[u8; 32]>(),
    ) -> Envelope {
        let channel_config = channel_config.map(|byte| vec![byte]);
        Envelope { channel_config, order, voucher, last_receipt: None, time: NOW, salt }
    }
}

prop_compose! {
    fn any_request()(
        method in "[A-Z]{1,10}",
        path in "/[!-~]{0,40}",
        headers in any_fields(),
        body in vec(any::<u8>(), 0..20_000),
        envelope in any_envelope(),
        pacing in any_pacing(),
    ) -> InnerRequest {
        InnerRequest { method, path, headers, body, envelope, pacing }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_request_that_can_be_sealed_is_opened_as_it_was(request in any_request()) {
        let pod = Pod::new();
        let (sealed, _) = pod.seal(&request);
        prop_assert_eq!(pod.open(&sealed).unwrap().0, request);
    }

    #[test]
    fn every_answer_arrives_however_it_is_cut(
        pacing in any_pacing(),
        parts in vec(vec(any::<u8>(), 0..3_000), 0..8),
        step in 1usize..4_000,
    ) {
        let (mut sealer, opener) = Pod::new().ask(pacing);
        let stream = answer(&mut sealer, &parts.concat()).concat();
        let events = receive(opener, stream.chunks(step)).unwrap();
        prop_assert_eq!(content(&events), parts.concat());
    }

    #[test]
    fn a_request_with_a_changed_byte_is_refused(at in any::<Index>(), change in 1u8..) {
        let pod = Pod::new();
        let (mut sealed, _) = pod.seal(&question(Pacing::Off));
        let at = at.index(sealed.len());
        sealed[at] ^= change;
        prop_assert!(pod.open(&sealed).is_err());
    }

    #[test]
    fn an_answer_with_a_changed_byte_is_refused(at in any::<Index>(), change in 1u8..) {
        let (mut sealer, opener) = Pod::new().ask(ticks(20));
        let mut stream = answer(&mut sealer, b"text").concat();
        let at = at.index(stream.len());
        stream[at] ^= change;
        prop_assert!(receive(opener, stream.chunks(1_042)).is_err());
    }

    #[test]
    fn garbage_is_no_request(garbage in vec(any::<u8>(), 0..3_000)) {
        prop_assert!(Pod::new().open(&garbage).is_err());
    }

    #[test]
    fn garbage_behind_a_good_header_is_no_request(garbage in vec(any::<u8>(), 1_120..5_000)) {
        let pod = Pod::new();
        let header = [pod.ring.current().id(), 0x64, 0x7a, 0, 1, 0, 1];
        let refusal = pod.refuse(&[&header[..], &garbage].concat());
        let expected = [OpenRefusal::WrongKey, OpenRefusal::Truncated, OpenRefusal::Malformed];
        prop_assert!(expected.contains(&refusal), "{:?}", refusal);
    }

    #[test]
    fn garbage_is_no_answer(garbage in vec(any::<u8>(), 0..3_000), step in 1usize..500) {
        let (_, opener) = Pod::new().ask(Pacing::Off);
        let refusal = receive(opener, garbage.chunks(step)).unwrap_err();
        prop_assert!(refusal != OpenError::TooLarge);
    }

    #[test]
    fn garbage_is_no_key_list(garbage in vec(any::<u8>(), 0..3_000)) {
        prop_assert!(RequestSealer::new(&garbage).is_err());
    }

    #[test]
    fn a_key_of_garbage_seals_nothing_that_a_pod_opens(key in vec(any::<u8>(), 1_216)) {
        let list = [&[0x04, 0xc9, 1, 0x64, 0x7a][..], &key, &[0, 4, 0, 1, 0, 1]].concat();
        if let Ok(sealer) = RequestSealer::new(&list) {
            let (sealed, _) = sealer.seal(&question(Pacing::Off)).unwrap();
            prop_assert!(Pod::new().open(&sealed).is_err());
        }
    }
}
