//! Quotes and reports as sources give them: cut where they end, and never over what was not asked.

#![no_main]

mod splice;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use subrosa_attester::fuzzing::{device_chain, device_report, quote, snp_report};
use subrosa_attester::{SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator};
use subrosa_nvidia_evidence::simulator::Node;
use subrosa_protocol::Timestamp;
use subrosa_verifier::{
    Architecture, Cpu, CpuEvidence, Device, Devices, QUOTE_BYTES_MAX, SnpReport, trim_quote,
};

use splice::splice;

const NOW: Timestamp = Timestamp(1_790_000_000);
const ASKED: [u8; 64] = [7; 64];
const NONCE: [u8; 32] = [7; 32];

/// Quotes of SGX and of TDX, a report of SEV-SNP and one of a GPU, and the GPU's certificates.
fn honest() -> &'static [Vec<u8>; 5] {
    static HONEST: OnceLock<[Vec<u8>; 5]> = OnceLock::new();
    HONEST.get_or_init(|| {
        let said = |cpu| {
            let kind = SimulatedKind { cpu, gpus: SimulatedGpus::None };
            match Simulator::of(kind, "image").cpu_evidence(ASKED, NOW).expect("the time is fixed")
            {
                CpuEvidence::Sgx(sgx) => sgx.quote,
                CpuEvidence::Snp(snp) => snp.report,
                CpuEvidence::Tdx(tdx) => tdx.quote,
            }
        };
        let gpu = Node::hopper(1).evidence(&NONCE).remove(0);
        let [sgx, tdx, snp] = [SimulatedCpu::Sgx, SimulatedCpu::Tdx, SimulatedCpu::Snp].map(said);
        [sgx, tdx, snp, gpu.report, gpu.chain_pem.into_bytes()]
    })
}

fuzz_target!(|input: (u8, u16, u16, &[u8])| {
    let (kind, at, cut, bytes) = input;
    let kind = usize::from(kind) % honest().len();
    let sent = splice(&honest()[kind], at, cut, bytes);
    match kind {
        0 => check_quote(&sent, Cpu::Sgx),
        1 => check_quote(&sent, Cpu::Tdx),
        2 => check_snp_report(&sent),
        3 => check_device_report(&sent),
        _ => check_device_chain(&sent),
    }
});

fn check_quote(sent: &[u8], cpu: Cpu) {
    let said = trim_quote(sent).map_or(ASKED, |quote| quote.report_data);
    let Ok(exact) = quote(sent, cpu, &said) else { return };
    assert!(sent.starts_with(&exact) && sent[exact.len()..].iter().all(|byte| *byte == 0));
    assert!(exact.len() <= QUOTE_BYTES_MAX, "a document has room for it");
    assert_eq!(quote(&exact, cpu, &said).expect("it was cut before"), exact);
    assert!(quote(sent, cpu, &said.map(|byte| !byte)).is_err());
}

fn check_snp_report(sent: &[u8]) {
    let said = SnpReport::parse(sent).map_or(ASKED, |report| report.report_data());
    let Ok(exact) = snp_report(sent, &said) else { return };
    assert_eq!(exact, sent);
    assert!(snp_report(sent, &said.map(|byte| !byte)).is_err());
}

fn check_device_report(sent: &[u8]) {
    let said = sent.get(4..36).map_or(NONCE, |nonce| nonce.try_into().expect("32 bytes"));
    let Ok(exact) = device_report(sent, &said) else { return };
    assert!(sent.starts_with(&exact) && sent.len() - exact.len() <= 1);
    assert!(device_report(sent, &said.map(|byte| !byte)).is_err());
    let device = Device { architecture: Architecture::Hopper, report: exact, chain: "x".into() };
    survives_a_document(Devices(vec![device]));
}

fn check_device_chain(sent: &[u8]) {
    let Ok(chain) = device_chain(sent) else { return };
    assert!(sent.starts_with(chain.as_bytes()));
    let device = Device { architecture: Architecture::Hopper, report: vec![0], chain };
    survives_a_document(Devices(vec![device]));
}

fn survives_a_document(devices: Devices) {
    assert_eq!(Devices::from_bytes(&devices.to_bytes()), Ok(devices));
}
