//! One changed byte, anywhere: never attested.

use subrosa_verifier::{CpuEvidence, Evidence, verify};

use crate::world::*;

/// Positions of the document that are tried; the step is prime, so that no structure hides between.
const STEP: usize = 41;

#[test]
fn one_changed_byte_anywhere_in_the_document_is_refused() {
    let world = World::new();
    let document = world.evidence().as_bytes().to_vec();
    for position in (0..document.len()).step_by(STEP) {
        for flip in [0x01, 0x20] {
            let mut changed = document.clone();
            changed[position] ^= flip;
            assert_refused(&world, &changed, &format!("{flip:#x} at {position}"));
        }
    }
}

/// Every byte of the text around certificates, which no signature covers.
#[test]
fn a_changed_byte_around_the_certificates_is_refused() {
    let world = World::new();
    let evidence = world.evidence();
    let tdx = tdx(&evidence);
    let chain = tdx.collateral.pck_crl_issuer_chain.clone();
    let frame = chain.match_indices("-----").map(|(start, _)| start);
    let lines = chain.match_indices('\n').map(|(start, _)| start);
    for position in frame.chain(lines) {
        let mut tdx = tdx.clone();
        tdx.collateral.pck_crl_issuer_chain.replace_range(position..=position, " ");
        let cpu = CpuEvidence::Tdx(tdx);
        let changed = compose(*evidence.nonce(), &world.keyset, b"", &world.workload, cpu);
        assert!(world.check(&changed).is_err(), "at {position}");
    }
}

/// Every part of the quote, byte by byte in steps, including those that only a chain check covers.
#[test]
fn one_changed_bit_anywhere_in_the_quote_is_refused() {
    let world = World::new();
    let evidence = world.evidence();
    let honest = tdx(&evidence);
    for position in (0..honest.quote.len()).step_by(23) {
        let mut tdx = honest.clone();
        tdx.quote[position] ^= 1 << (position % 8);
        let cpu = CpuEvidence::Tdx(tdx);
        let changed = compose(*evidence.nonce(), &world.keyset, b"", &world.workload, cpu);
        assert!(world.check(&changed).is_err(), "at {position}");
    }
}

#[test]
fn a_quote_cut_anywhere_is_refused() {
    let world = World::new();
    let evidence = world.evidence();
    let honest = tdx(&evidence);
    for length in (0..honest.quote.len()).step_by(101) {
        let mut tdx = honest.clone();
        tdx.quote.truncate(length);
        let cpu = CpuEvidence::Tdx(tdx);
        let changed = compose(*evidence.nonce(), &world.keyset, b"", &world.workload, cpu);
        let refusal = world.check(&changed).unwrap_err();
        assert_failed(&refusal, subrosa_verifier::CheckName::TeeQuoteStructure);
    }
}

#[track_caller]
fn assert_refused(world: &World, document: &[u8], case: &str) {
    let Ok(evidence) = Evidence::parse(document) else { return };
    let result = verify(&evidence, &world.policy, &world.freshness, world.now);
    assert!(result.is_err(), "attested in spite of {case}");
}
