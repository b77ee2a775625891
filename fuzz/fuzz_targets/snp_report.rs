//! SEV-SNP reports and certificates of any bytes, in documents of ours: refused without a panic.
//!
//! The policies accept no image, so even what a fuzzer leaves whole is refused.

#![no_main]

mod splice;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use subrosa_attester::snp;
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::{
    AmdProduct, CpuEvidence, Demand, DeviceCollateral, Evidence, Nonce, Parts, Policy, Releases,
    SnpEvidence, recheck,
};

use splice::splice;

const NOW: Timestamp = Timestamp(1_790_000_000);

/// A chip of each generation.
fn honest() -> &'static [SnpEvidence] {
    static HONEST: OnceLock<Vec<SnpEvidence>> = OnceLock::new();
    HONEST.get_or_init(|| {
        let said = |product| SnpEvidence {
            report: snp::SnpReport::new(product, [1; 48], [7; 64]).sign(),
            collateral: snp::SnpMachine::new(product, NOW).collateral().expect("the time is fixed"),
        };
        AmdProduct::ALL.map(said).into()
    })
}

fuzz_target!(|input: (u8, u8, u16, u16, &[u8])| {
    let (product, part, at, cut, bytes) = input;
    let mut snp = honest()[usize::from(product) % honest().len()].clone();
    let changed = match part % 8 {
        0 => &mut snp.collateral.vcek,
        1 => &mut snp.collateral.ask,
        2 => &mut snp.collateral.ark,
        3 => &mut snp.collateral.crl,
        _ => &mut snp.report,
    };
    *changed = splice(changed, at, cut, bytes);
    let nonce =
        Nonce { verifier: B256::ZERO, chain_id: 0, block_number: 0, block_hash: B256::ZERO };
    let evidence = Evidence::compose(Parts {
        nonce,
        keyset: vec![],
        devices: vec![],
        workload: vec![],
        cpu: CpuEvidence::Snp(snp),
        device_collateral: DeviceCollateral::default(),
    });
    let mut lax = Policy::simulated(Releases::default());
    lax.amd.products = AmdProduct::ALL.into();
    lax.amd.revocation = Demand::Waived;
    lax.amd.report_version_min = 0;
    for policy in [Policy::strict(Releases::default()), lax] {
        let refusal = recheck(&evidence, &policy, NOW).expect_err("no image is released");
        assert!(!refusal.to_string().is_empty());
    }
});
