//! Answers and lists of any fault.

use proptest::prelude::*;
use rcgen::RevocationReason;

use super::*;
use crate::testing::*;

/// A chain of three, with a responder that the root appointed and one that the middle did.
struct World {
    root: Issued,
    middle: Issued,
    leaf: Issued,
    root_responder: Issued,
    middle_responder: Issued,
}

fn world() -> World {
    let root = Issued::root(authority("root"));
    let middle = root.issue(authority("middle"));
    let leaf = middle.issue(signer("leaf"));
    let root_responder = root.issue(responder("responder of the root", true, true));
    let middle_responder = middle.issue(responder("responder of the middle", true, true));
    World { root, middle, leaf, root_responder, middle_responder }
}

impl World {
    fn about_leaf(&self) -> Answer<'_> {
        Answer::new(&self.leaf, &self.middle, &self.middle_responder)
    }

    fn about_middle(&self) -> Answer<'_> {
        Answer::new(&self.middle, &self.root, &self.root_responder)
    }

    fn chain(&self) -> Chain {
        chain(&[&self.leaf, &self.middle, &self.root])
    }

    fn check(&self, ocsp: &[Vec<u8>], crls: &[Vec<u8>]) -> Result<usize, RevocationError> {
        self.check_at(ocsp, crls, NOW)
    }

    fn check_at(
        &self,
        ocsp: &[Vec<u8>],
        crls: &[Vec<u8>],
        at: u64,
    ) -> Result<usize, RevocationError> {
        let ocsp: Vec<_> = ocsp.iter().map(Vec::as_slice).collect();
        let crls: Vec<_> = crls.iter().map(Vec::as_slice).collect();
        let mut revocations = Revocations::new(&ocsp, &crls);
        let signatures = Signatures::default();
        let first = revocations.check(&self.chain(), 0, &signatures, at);
        assert_eq!(revocations.check(&self.chain(), 0, &signatures, at), first);
        first
    }

    /// What comes of an answer about the leaf beside a good one about the middle.
    fn with(&self, answer: &Answer<'_>) -> Result<usize, RevocationError> {
        self.check(&[answer.der(), self.about_middle().der()], &[])
    }

    fn refused_for(&self, answer: &Answer<'_>) -> AnswerError {
        match self.with(answer) {
            Err(RevocationError::Answer { index: 0, why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn accepts_good_answers_about_every_certificate() {
    let world = world();
    assert_eq!(world.with(&world.about_leaf()), Ok(2));
}

/// A leaf whose serial number is `serial`, as DER writes it: with a byte for the sign where its top
/// bit is set.
fn world_with_serial(serial: &[u8]) -> World {
    let mut world = world();
    let mut params = signer("leaf");
    params.serial_number = Some(rcgen::SerialNumber::from_slice(serial));
    world.leaf = world.middle.issue(params);
    world
}

#[test]
fn finds_answers_and_list_entries_for_serial_numbers_with_their_top_bit_set() {
    for serial in [&[0xC6, 0xFB, 1][..], &[0x80], &[0xFF; 19], &[0x7F, 0xFF], &[0]] {
        let world = world_with_serial(serial);
        assert_eq!(world.leaf.certificate().serial(), serial);
        assert_eq!(world.with(&world.about_leaf()), Ok(2));
        let status = Status::Revoked;
        let expected =
            Err(RevocationError::NotGood { index: 0, subject: "leaf".to_owned(), status });
        let answer = Answer { status: revoked(Some(1)), ..world.about_leaf() };
        assert_eq!(world.with(&answer), expected);
        let list = world.middle.list(&[(&world.leaf, RevocationReason::KeyCompromise)]);
        assert_eq!(world.check(&[world.about_middle().der()], &[list]), expected);
    }
}

#[test]
fn refuses_serial_numbers_below_zero() {
    let world = world_with_serial(&[0x41, 0x52, 0x63, 0x74]);
    let below_zero = |mut der: Vec<u8>| {
        let at = der.windows(4).position(|it| it == [0x41, 0x52, 0x63, 0x74]).unwrap();
        der[at] |= 0x80;
        der
    };
    let error = Certificate::from_der(&below_zero(world.leaf.der.clone())).unwrap_err();
    assert_eq!(error, CertificateError::Serial);
    let list = world.middle.list(&[(&world.leaf, RevocationReason::KeyCompromise)]);
    let error = RevocationList::parse(&below_zero(list)).unwrap_err();
    assert_eq!(error, AnswerError::Certificate(CertificateError::Serial));
}

#[test]
fn an_answer_that_the_authority_did_not_have_signed_outweighs_a_good_one() {
    let world = world();
    let (good, middle) = (world.about_leaf().der(), world.about_middle().der());
    let stranger = Issued::root(responder("stranger", true, true));
    let forged = Answer { responder: &stranger, ..world.about_leaf() }.der();
    let unsigned = |ocsp: &[Vec<u8>], crls: &[Vec<u8>]| {
        let outcome = world.check(ocsp, crls);
        assert!(
            matches!(
                outcome,
                Err(RevocationError::Answer {
                    index: 0,
                    why: AnswerError::ResponderNotAppointed { .. },
                    ..
                })
            ),
            "{outcome:?}"
        );
    };
    unsigned(&[good.clone(), forged.clone(), middle.clone()], &[]);
    unsigned(&[forged.clone(), good, middle.clone()], &[]);
    unsigned(&[forged.clone(), middle.clone()], &[world.middle.list(&[])]);
    let revoked = world.middle.list(&[(&world.leaf, RevocationReason::KeyCompromise)]);
    let outcome = world.check(&[forged, middle], &[revoked]);
    assert!(matches!(outcome, Err(RevocationError::NotGood { .. })), "{outcome:?}");
}

#[test]
fn accepts_an_issuer_that_answers_itself() {
    let world = world();
    for (by_key, carries_responder) in [(false, false), (true, false), (true, true)] {
        let answer =
            Answer { responder: &world.middle, by_key, carries_responder, ..world.about_leaf() };
        assert_eq!(world.with(&answer), Ok(2));
    }
}

#[test]
fn accepts_any_hash_in_a_certificates_name_and_a_responder_named_by_key() {
    let world = world();
    for hash in [&aws_lc_rs::digest::SHA256, &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY] {
        let answer = Answer { hash, by_key: true, ..world.about_leaf() };
        assert_eq!(world.with(&answer), Ok(2));
    }
}

#[test]
fn accepts_a_responder_whose_certificate_names_its_purpose_alone() {
    let world = world();
    let mut params = responder("a", true, true);
    params.key_usages = Vec::new();
    let responder = &world.middle.issue(params);
    assert_eq!(world.with(&Answer { responder, ..world.about_leaf() }), Ok(2));
}

#[test]
fn accepts_good_lists_for_every_certificate() {
    let world = world();
    let lists = [world.middle.list(&[]), world.root.list(&[])];
    assert_eq!(world.check(&[], &lists), Ok(2));
    assert_eq!(world.check(&[world.about_leaf().der()], &lists[1..]), Ok(2));
}

#[test]
fn misses_each_certificate_that_nothing_is_about() {
    let world = world();
    let absent =
        |index, subject: &str| Err(RevocationError::Absent { index, subject: subject.to_owned() });
    assert_eq!(world.check(&[], &[]), absent(0, "leaf"));
    assert_eq!(world.check(&[world.about_leaf().der()], &[]), absent(1, "middle"));
    assert_eq!(world.check(&[world.about_middle().der()], &[]), absent(0, "leaf"));
    assert_eq!(world.check(&[], &[world.root.list(&[])]), absent(0, "leaf"));
    let sibling = world.middle.issue(signer("sibling"));
    let about_sibling = Answer { about: &sibling, ..world.about_leaf() };
    assert_eq!(world.with(&about_sibling), absent(0, "leaf"));
    // The same serial number under another issuer is another certificate.
    let other = self::world();
    let about_other = Answer { issuer: &other.middle, ..world.about_leaf() };
    assert_eq!(world.with(&about_other), absent(0, "leaf"));
}

#[test]
fn refuses_what_answers_call_revoked_held_or_unknown() {
    let world = world();
    for (der, status) in [
        (revoked(Some(6)), Status::Hold),
        (revoked(Some(1)), Status::Revoked),
        (revoked(None), Status::Revoked),
        (UNKNOWN.to_vec(), Status::Unknown),
    ] {
        let answer = Answer { status: der, ..world.about_leaf() };
        let subject = "leaf".to_owned();
        let expected = Err(RevocationError::NotGood { index: 0, subject, status });
        assert_eq!(world.with(&answer), expected);
        // A good answer beside it does not help, in whichever order.
        let (good, bad) = (world.about_leaf().der(), answer.der());
        let middle = world.about_middle().der();
        assert_eq!(world.check(&[good.clone(), bad.clone(), middle.clone()], &[]), expected);
        assert_eq!(world.check(&[bad, good, middle], &[]), expected);
    }
}

#[test]
fn refuses_what_lists_name() {
    let world = world();
    let root = world.root.list(&[]);
    for (reason, status) in [
        (RevocationReason::CertificateHold, Status::Hold),
        (RevocationReason::KeyCompromise, Status::Revoked),
        (RevocationReason::RemoveFromCrl, Status::Revoked),
    ] {
        let list = world.middle.list(&[(&world.leaf, reason)]);
        let subject = "leaf".to_owned();
        let expected = Err(RevocationError::NotGood { index: 0, subject, status });
        assert_eq!(world.check(&[], &[list.clone(), root.clone()]), expected);
        let good = world.about_leaf().der();
        assert_eq!(world.check(&[good], &[list, root.clone()]), expected);
    }
    let sibling = world.middle.issue(signer("sibling"));
    let list = world.middle.list(&[(&sibling, RevocationReason::KeyCompromise)]);
    assert_eq!(world.check(&[], &[list, root]), Ok(2));
}

#[test]
fn an_answer_counts_from_its_first_second_to_its_last() {
    let world = world();
    let lists = [world.root.list(&[])];
    let (from, until) = (NOW - 10, NOW + 10);
    let answer = Answer {
        this_update: from,
        produced_at: from,
        next_update: Some(until),
        ..world.about_leaf()
    };
    let check = |at| world.check_at(&[answer.der()], &lists, at);
    assert_eq!((check(from), check(until)), (Ok(2), Ok(2)));
    for at in [from - 1, until + 1] {
        assert!(matches!(check(at), Err(RevocationError::Answer { index: 0, .. })), "at {at}");
    }
}

#[test]
fn a_list_counts_from_its_first_second_to_its_last() {
    let world = world();
    let (from, until) = (NOW - 10, NOW + 10);
    let lists = [world.middle.list_of(&[], (from, until), false), world.root.list(&[])];
    let check = |at| world.check_at(&[], &lists, at);
    assert_eq!((check(from), check(until)), (Ok(2), Ok(2)));
    let why = |at| match check(at) {
        Err(RevocationError::Answer { index: 0, why, .. }) => why,
        other => panic!("{other:?}"),
    };
    assert!(matches!(why(from - 1), AnswerError::NotYetValid { .. }));
    assert!(matches!(why(until + 1), AnswerError::Stale { .. }));
}

#[test]
fn tells_when_an_answer_is_followed_by_the_next() {
    use crate::ocsp::ocsp_next_update;
    let world = world();
    let until = |next_update| Answer { next_update, ..world.about_leaf() }.der();
    assert_eq!(ocsp_next_update(&until(Some(NOW + 7))), Some(NOW + 7));
    assert_eq!(ocsp_next_update(&until(Some(NOW - DAY))), Some(NOW - DAY));
    assert_eq!(ocsp_next_update(&until(None)), None);
    let der = until(Some(NOW + 7));
    for other in [&der[..der.len() - 1], &[], &world.root.list(&[]), &world.root.der] {
        assert_eq!(ocsp_next_update(other), None);
    }
}

#[test]
fn refuses_an_answer_without_an_end_or_made_later() {
    let world = world();
    let endless = Answer { next_update: None, ..world.about_leaf() };
    assert_eq!(world.refused_for(&endless), AnswerError::Endless);
    let later = Answer { produced_at: NOW + 1, ..world.about_leaf() };
    assert!(matches!(world.refused_for(&later), AnswerError::NotYetValid { .. }));
}

#[test]
fn refuses_a_responder_that_the_issuer_did_not_appoint() {
    let world = world();
    let no_usage = world.middle.issue(responder("a", false, true));
    let no_mark = world.middle.issue(responder("a", true, false));
    let of_root = world.root.issue(responder("a", true, true));
    let stranger = Issued::root(responder("a", true, true));
    let mut params = responder("a", true, true);
    params.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign];
    let may_not_sign = world.middle.issue(params);
    // Signed by the issuer's key under another name.
    let mut params = world.middle.params.clone();
    params.distinguished_name.push(rcgen::DnType::CommonName, "another name");
    let key = rcgen::KeyPair::from_pem(&world.middle.key.serialize_pem()).unwrap();
    let renamed = Issued { params, key, der: Vec::new() };
    let of_another_name = renamed.issue(responder("a", true, true));
    for responder in [&no_usage, &no_mark, &of_root, &stranger, &may_not_sign, &of_another_name] {
        let why = world.refused_for(&Answer { responder, ..world.about_leaf() });
        assert!(matches!(why, AnswerError::ResponderNotAppointed { .. }), "{why}");
    }
    // Of the right names, signed by another key.
    let other = self::world();
    let forged = Answer { responder: &other.middle_responder, ..world.about_leaf() };
    let why = world.refused_for(&forged);
    assert!(matches!(why, AnswerError::ResponderNotAppointed { .. }), "{why}");
}

#[test]
fn refuses_a_responder_that_is_not_there_or_out_of_date() {
    let world = world();
    let absent = Answer { carries_responder: false, ..world.about_leaf() };
    assert_eq!(world.refused_for(&absent), AnswerError::ResponderUnknown);
    for (from, until) in [(2020, 2021), (2025, 2026)] {
        let mut params = responder("a", true, true);
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let responder = &world.middle.issue(params);
        let why = world.refused_for(&Answer { responder, ..world.about_leaf() });
        assert!(matches!(why, AnswerError::ResponderNotValid { .. }), "{why}");
    }
}

#[test]
fn accepts_the_authorities_certificates_in_an_answer() {
    let world = world();
    let above = [&world.middle, &world.root].map(|it| it.der.clone());
    for carries in [&above[..], &above[..1], &above[1..]] {
        let answer = Answer { carries: carries.to_vec(), ..world.about_leaf() };
        assert_eq!(world.with(&answer), Ok(2));
    }
}

#[test]
fn refuses_a_certificate_in_an_answer_that_nobody_there_signed() {
    let (world, other) = (world(), self::world());
    let mut flipped = world.root.der.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let stray = other.middle.issue(responder("stray", true, true)).der;
    for carries in [flipped, stray, other.middle.der.clone(), other.middle_responder.der.clone()] {
        let why = world.refused_for(&Answer { carries: vec![carries], ..world.about_leaf() });
        assert!(matches!(why, AnswerError::CertificateUnsigned { .. }), "{why}");
    }
}

#[test]
fn bounds_the_certificates_in_an_answer() {
    let world = world();
    let many =
        |count| Answer { carries: vec![world.root.der.clone(); count], ..world.about_leaf() };
    assert_eq!(world.with(&many(3)), Ok(2));
    let why = unreadable(&many(4).der(), &[]);
    assert_eq!(why, AnswerError::Form { part: "number of certificates" });
}

#[test]
fn refuses_an_answer_that_its_responder_did_not_sign() {
    let world = world();
    let answer = world.about_leaf().der();
    // The status is the one empty value of tag [0] in the answer: good becomes unknown.
    let at = answer.windows(4).position(|it| it == [0x80, 0, 0x18, 15]).unwrap();
    let mut changed = answer;
    changed[at] = 0x82;
    let result = world.check(&[changed, world.about_middle().der()], &[]);
    let Err(RevocationError::Answer { why: AnswerError::Signature { .. }, .. }) = result else {
        panic!("{result:?}")
    };
    let other = self::world();
    let by_name =
        Answer { responder: &other.middle, carries_responder: false, ..world.about_leaf() };
    assert!(matches!(world.refused_for(&by_name), AnswerError::Signature { .. }));
}

#[test]
fn refuses_a_list_that_the_issuer_did_not_sign() {
    let (world, other) = (world(), world());
    let lists = [other.middle.list(&[]), world.root.list(&[])];
    let result = world.check(&[], &lists);
    let Err(RevocationError::Answer { index: 0, why: AnswerError::Signature { .. }, .. }) = result
    else {
        panic!("{result:?}")
    };
}

#[test]
fn refuses_a_list_of_an_authority_that_may_not_sign_lists() {
    let root = Issued::root(authority("root"));
    let mut params = authority("middle");
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let middle = root.issue(params);
    let leaf = middle.issue(signer("leaf"));
    let chain = chain(&[&leaf, &middle, &root]);
    let mut params = middle.params.clone();
    params.key_usages.push(rcgen::KeyUsagePurpose::CrlSign);
    let key = rcgen::KeyPair::from_pem(&middle.key.serialize_pem()).unwrap();
    let list = Issued { params, key, der: Vec::new() }.list(&[]);
    let root_list = root.list(&[]);
    let mut revocations = Revocations::new(&[], &[&list, &root_list]);
    let error = revocations.check(&chain, 0, &Signatures::default(), NOW).unwrap_err();
    assert!(
        matches!(&error, RevocationError::Answer { why: AnswerError::Signature { .. }, .. }),
        "{error}"
    );
}

fn unreadable(ocsp: &[u8], crl: &[u8]) -> AnswerError {
    let world = world();
    let pick = |it: &[u8]| if it.is_empty() { vec![] } else { vec![it.to_vec()] };
    match world.check(&pick(ocsp), &pick(crl)) {
        Err(RevocationError::Unreadable { index: 0, why }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn refuses_extensions_that_must_be_understood() {
    let world = world();
    for critical in [false, true] {
        let of_answer = Answer { answer_extensions: extensions(critical), ..world.about_leaf() };
        let of_statement =
            Answer { statement_extensions: extensions(critical), ..world.about_leaf() };
        for answer in [of_answer, of_statement] {
            if critical {
                let why = unreadable(&answer.der(), &[]);
                let oid = "1.2.3.4".to_owned();
                assert_eq!(
                    why,
                    AnswerError::Certificate(CertificateError::CriticalExtension { oid })
                );
            } else {
                assert_eq!(world.with(&answer), Ok(2));
            }
        }
    }
}

#[test]
fn refuses_a_list_of_a_part_of_the_certificates() {
    let world = world();
    let why = unreadable(&[], &world.middle.list_of(&[], (NOW, NOW + DAY), true));
    let oid = "2.5.29.28".to_owned();
    assert_eq!(why, AnswerError::Certificate(CertificateError::CriticalExtension { oid }));
}

#[test]
fn refuses_declined_answers_by_their_status() {
    for status in [1, 2, 3, 5, 6] {
        let declined = tlv(0x30, &[&[0x0A, 1, status]]);
        assert_eq!(unreadable(&declined, &[]), AnswerError::NotSuccessful { status });
    }
    let empty = tlv(0x30, &[&[0x0A, 1, 0]]);
    assert_eq!(unreadable(&empty, &[]), AnswerError::Form { part: "response" });
}

#[test]
fn refuses_answers_with_no_or_several_statements() {
    let world = world();
    for statements in [0, 2] {
        let answer = Answer { statements, ..world.about_leaf() };
        let why = unreadable(&answer.der(), &[]);
        assert_eq!(why, AnswerError::Form { part: "number of statements" });
    }
}

#[test]
fn one_unreadable_answer_refuses_all() {
    let world = world();
    let good = [world.about_leaf().der(), world.about_middle().der(), vec![0x30]];
    let result = world.check(&good, &[]);
    assert!(matches!(result, Err(RevocationError::Unreadable { index: 2, .. })), "{result:?}");
    let result = world.check(&good[..2], &[vec![0x30, 0]]);
    assert!(matches!(result, Err(RevocationError::Unreadable { index: 2, .. })), "{result:?}");
    assert!(matches!(unreadable(&vec![0x30; 40_000], &[]), AnswerError::TooLong { .. }));
    assert!(matches!(unreadable(&[], &vec![0x30; 300_000]), AnswerError::TooLong { .. }));
}

#[test]
fn refuses_more_answers_than_any_evidence_needs() {
    let world = world();
    let answers = vec![world.about_leaf().der(); ANSWERS_MAX + 1];
    let got = ANSWERS_MAX + 1;
    assert_eq!(world.check(&answers, &[]), Err(RevocationError::TooMany { got }));
}

#[test]
fn a_stale_answer_does_not_spoil_a_good_one() {
    let world = world();
    let stale = Answer {
        this_update: NOW - 9,
        produced_at: NOW - 9,
        next_update: Some(NOW - 1),
        ..world.about_leaf()
    };
    let middle = world.about_middle().der();
    let answers = [stale.der(), world.about_leaf().der(), middle.clone()];
    assert_eq!(world.check(&answers, &[]), Ok(2));
    let result = world.check(&[stale.der(), middle], &[]);
    let Err(RevocationError::Answer { why: AnswerError::Stale { .. }, .. }) = result else {
        panic!("{result:?}")
    };
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        let _ = Revocations::new(&[&bytes], &[]);
        let _ = Revocations::new(&[], &[&bytes]);
    }
}
