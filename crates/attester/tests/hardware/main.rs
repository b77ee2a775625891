//! Sources of evidence against stand-ins of the same shape, made from recorded answers where this
//! machine has them and from the simulator's elsewhere.

mod dstack;
mod gramine;
mod machine;
mod nscq;
mod nvml;
mod probe;
#[path = "../endorsements/vendors.rs"]
mod vendors;

use std::path::PathBuf;

use subrosa_attester::{SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator};
use subrosa_protocol::Timestamp;
use subrosa_verifier::{CpuEvidence, EventLog};

const NOW: Timestamp = Timestamp(1_790_000_000);

const ASKED: [u8; 64] = [7; 64];

const NONCE: [u8; 32] = [3; 32];

/// What a simulated processor says over these bytes.
fn simulated(cpu: SimulatedCpu, report_data: [u8; 64]) -> CpuEvidence {
    let kind = SimulatedKind { cpu, gpus: SimulatedGpus::None };
    Simulator::of(kind, "image").cpu_evidence(report_data, NOW).unwrap()
}

/// The same, the quote or report alone.
fn simulated_bytes(cpu: SimulatedCpu, report_data: [u8; 64]) -> Vec<u8> {
    match simulated(cpu, report_data) {
        CpuEvidence::Sgx(sgx) => sgx.quote,
        CpuEvidence::Snp(snp) => snp.report,
        CpuEvidence::Tdx(tdx) => tdx.quote,
    }
}

/// A quote of a trust domain of dstack, with its log and compose file.
fn simulated_dstack(report_data: [u8; 64]) -> (Vec<u8>, String, String) {
    let CpuEvidence::Tdx(tdx) = simulated(SimulatedCpu::TdxDstack, report_data) else {
        panic!("the kind is TDX")
    };
    let EventLog::Dstack { log, app_compose } = tdx.event_log else { panic!("it is dstack's") };
    (tdx.quote, String::from_utf8(log).unwrap(), String::from_utf8(app_compose).unwrap())
}

/// The shortest report of a device: SPDM request and response without measurements, and a signature
/// that nobody checks here.
fn device_report(nonce: [u8; 32]) -> Vec<u8> {
    let mut report = vec![0x11, 0xE0, 1, 0xFF];
    report.extend_from_slice(&nonce);
    report.push(0);
    report.extend_from_slice(&[0x11, 0x60, 0, 0, 0, 0, 0, 0]);
    report.extend_from_slice(&[0xBB; 32]);
    report.extend_from_slice(&[0, 0]);
    report.extend_from_slice(&[0xDD; 96]);
    report
}

const CHAIN: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

/// Recorded evidence, where this machine has it.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn vector(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("SUBROSA_VECTORS").map(PathBuf::from);
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = folder.unwrap_or_else(|| workspace.join("../shared/vectors"));
    let file = std::fs::read(folder.join(name)).ok();
    if file.is_none() {
        eprintln!("skipped: no {name}");
    }
    file
}
