//! What AMD's service answers, of any bytes: a certificate vouches for a report only with the key
//! that signed it.

#![no_main]

mod splice;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use subrosa_attester::fuzzing::{amd_authorities, amd_ends};
use subrosa_attester::snp;
use subrosa_protocol::Timestamp;
use subrosa_protocol::encoding::to_base64;
use subrosa_verifier::{AmdProduct, SnpReport};

use splice::splice;

const NOW: Timestamp = Timestamp(1_790_000_000);

/// A report, the certificate of its chip, the chain above it and the revocation list.
fn honest() -> &'static [Vec<u8>; 4] {
    static HONEST: OnceLock<[Vec<u8>; 4]> = OnceLock::new();
    HONEST.get_or_init(|| {
        let report = snp::SnpReport::new(AmdProduct::Genoa, [1; 48], [7; 64]).sign();
        let machine = snp::SnpMachine::new(AmdProduct::Genoa, NOW).collateral();
        let collateral = machine.expect("the time is fixed");
        let chain = pem(&collateral.ask) + &pem(&collateral.ark);
        [report, collateral.vcek, chain.into_bytes(), collateral.crl]
    })
}

fn pem(der: &[u8]) -> String {
    let text = to_base64(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fuzz_target!(|input: (u8, u16, u16, &[u8])| {
    let (kind, at, cut, bytes) = input;
    let kind = usize::from(kind) % honest().len();
    let [report, vcek, ..] = honest();
    let sent = splice(&honest()[kind], at, cut, bytes);
    if kind == 0 {
        if let Ok(parsed) = SnpReport::parse(&sent) {
            // Whatever the signature does not cover has one spelling.
            assert!(!parsed.is_signed_by(vcek) || sent == *report, "nobody else has the key");
        }
        return;
    }
    let [certificate, chain, list] = amd_ends(&sent);
    assert!([certificate, chain, list].iter().flatten().count() <= 1, "no answer is two things");
    assert!(chain.is_none() || amd_authorities(&sent).is_ok(), "a chain that ends is one");
    let parsed = SnpReport::parse(report).expect("it is honest");
    if parsed.is_signed_by(&sent) {
        assert!(certificate.is_some(), "what verifies can be kept until it ends");
    }
});
