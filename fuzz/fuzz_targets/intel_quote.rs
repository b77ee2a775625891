//! Quotes of any bytes, in documents of ours: refused without a panic, since nobody signed them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::{
    CpuEvidence, DeviceCollateral, EventLog, Evidence, IntelCollateral, Nonce, Parts, Policy,
    Releases, SgxEvidence, TdxEvidence, recheck,
};

const NOW: Timestamp = Timestamp(1_790_000_000);

fuzz_target!(|input: (bool, Vec<u8>, Vec<u8>, [String; 5])| {
    let (is_sgx, quote, crl, [chain, tcb_info_chain, identity_chain, tcb_info, identity]) = input;
    let collateral = IntelCollateral {
        pck_crl_issuer_chain: chain,
        root_ca_crl: crl.clone(),
        pck_crl: crl,
        tcb_info_issuer_chain: tcb_info_chain,
        tcb_info,
        tcb_info_signature: vec![0; 64],
        qe_identity_issuer_chain: identity_chain,
        qe_identity: identity,
        qe_identity_signature: vec![0; 64],
    };
    let cpu = match is_sgx {
        true => CpuEvidence::Sgx(SgxEvidence { quote, collateral }),
        false => CpuEvidence::Tdx(TdxEvidence { quote, collateral, event_log: EventLog::None }),
    };
    let nonce =
        Nonce { verifier: B256::ZERO, chain_id: 0, block_number: 0, block_hash: B256::ZERO };
    let evidence = Evidence::compose(Parts {
        nonce,
        keyset: vec![],
        devices: vec![],
        workload: vec![],
        cpu,
        device_collateral: DeviceCollateral::default(),
    });
    for policy in [Policy::strict(Releases::default()), Policy::simulated(Releases::default())] {
        let refusal = recheck(&evidence, &policy, NOW).expect_err("nobody signed it");
        assert!(!refusal.to_string().is_empty());
    }
});
