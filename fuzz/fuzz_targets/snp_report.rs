//! SEV-SNP reports and certificates of any bytes, in documents of ours: refused without a panic.
//!
//! The policies accept no image, so even a report that a fuzzer took from a real chip is refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::{
    AmdCollateral, CpuEvidence, Demand, DeviceCollateral, Evidence, Nonce, Parts, Policy, Releases,
    SnpEvidence, recheck,
};

const NOW: Timestamp = Timestamp(1_790_000_000);

fuzz_target!(|input: (Vec<u8>, [Vec<u8>; 4])| {
    let (report, [vcek, ask, ark, crl]) = input;
    let collateral = AmdCollateral { vcek, ask, ark, crl };
    let nonce =
        Nonce { verifier: B256::ZERO, chain_id: 0, block_number: 0, block_hash: B256::ZERO };
    let evidence = Evidence::compose(Parts {
        nonce,
        keyset: vec![],
        devices: vec![],
        workload: vec![],
        cpu: CpuEvidence::Snp(SnpEvidence { report, collateral }),
        device_collateral: DeviceCollateral::default(),
    });
    let mut lax = Policy::simulated(Releases::default());
    lax.amd.revocation = Demand::Waived;
    lax.amd.report_version_min = 0;
    for policy in [Policy::strict(Releases::default()), lax] {
        let refusal = recheck(&evidence, &policy, NOW).expect_err("no image is released");
        assert!(!refusal.to_string().is_empty());
    }
});
