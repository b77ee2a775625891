//! Quotes of SGX and TDX, event logs and what Intel states, of any bytes: refused without a panic.
//!
//! The policies accept no image, so even what a fuzzer leaves whole is refused.

#![no_main]

mod splice;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use subrosa_attester::{SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator};
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::{
    CpuEvidence, DeviceCollateral, EventLog, Evidence, IntelCollateral, Nonce, Parts, Policy,
    Releases, recheck,
};

use splice::splice;

const NOW: Timestamp = Timestamp(1_790_000_000);
const KINDS: [SimulatedCpu; 5] = [
    SimulatedCpu::Sgx,
    SimulatedCpu::Tdx,
    SimulatedCpu::TdxV5,
    SimulatedCpu::TdxCcel,
    SimulatedCpu::TdxDstack,
];

fn honest() -> &'static [CpuEvidence] {
    static HONEST: OnceLock<Vec<CpuEvidence>> = OnceLock::new();
    HONEST.get_or_init(|| {
        let said = |cpu| {
            let kind = SimulatedKind { cpu, gpus: SimulatedGpus::None };
            Simulator::of(kind, "image").cpu_evidence([7; 64], NOW).expect("the time is fixed")
        };
        KINDS.map(said).into()
    })
}

fuzz_target!(|input: (u8, u8, u16, u16, &[u8])| {
    let (kind, part, at, cut, bytes) = input;
    let mut cpu = honest()[usize::from(kind) % KINDS.len()].clone();
    let change = |part: &mut Vec<u8>| *part = splice(part, at, cut, bytes);
    match &mut cpu {
        CpuEvidence::Sgx(sgx) => change_part(part, &mut sgx.quote, &mut sgx.collateral, change),
        CpuEvidence::Snp(_) => unreachable!("the kinds are Intel's"),
        CpuEvidence::Tdx(tdx) => match (&mut tdx.event_log, part % 16) {
            (EventLog::Ccel { log } | EventLog::Dstack { log, .. }, 12) => change(log),
            (EventLog::Dstack { app_compose, .. }, 13) => change(app_compose),
            _ => change_part(part, &mut tdx.quote, &mut tdx.collateral, change),
        },
    }
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
        let refusal = recheck(&evidence, &policy, NOW).expect_err("no image is released");
        assert!(!refusal.to_string().is_empty());
    }
});

/// Changes the quote or something that Intel states.
fn change_part(
    part: u8,
    quote: &mut Vec<u8>,
    collateral: &mut IntelCollateral,
    change: impl Fn(&mut Vec<u8>),
) {
    let change_text = |text: &mut String| {
        let mut changed = std::mem::take(text).into_bytes();
        change(&mut changed);
        *text = String::from_utf8_lossy(&changed).into_owned();
    };
    match part % 16 {
        0 => change(&mut collateral.root_ca_crl),
        1 => change(&mut collateral.pck_crl),
        2 => change(&mut collateral.tcb_info_signature),
        3 => change(&mut collateral.qe_identity_signature),
        4 => change_text(&mut collateral.pck_crl_issuer_chain),
        5 => change_text(&mut collateral.tcb_info_issuer_chain),
        6 => change_text(&mut collateral.qe_identity_issuer_chain),
        7 => change_text(&mut collateral.tcb_info),
        8 => change_text(&mut collateral.qe_identity),
        _ => change(quote),
    }
}
