//! Revocation answers and lists of any bytes: what can be read vouches for no device.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use subrosa_nvidia_evidence::simulator::{DEVICE_ROOT_SHA256, Node, SimulatedDevice};
use subrosa_nvidia_evidence::{
    CheckName, Collateral, Demand, DeviceEvidence, Fingerprint, Policy, RimStore, appraise_device,
    fuzzing,
};

const NONCE: [u8; 32] = [7; 32];
const NOW: u64 = 1_790_000_000;

fn device() -> &'static SimulatedDevice {
    static DEVICE: OnceLock<SimulatedDevice> = OnceLock::new();
    DEVICE.get_or_init(|| Node::hopper(1).evidence(&NONCE).remove(0))
}

fuzz_target!(|bytes: &[u8]| {
    let (answer, list) = (fuzzing::reads_as_answer(bytes), fuzzing::reads_as_list(bytes));
    assert!(!(answer && list));
    if !answer && !list {
        return;
    }
    let one = [bytes];
    let (ocsp, crls): (&[&[u8]], &[&[u8]]) = if answer { (&one, &[]) } else { (&[], &one) };
    let rims = RimStore::new();
    let collateral = Collateral { rims: &rims, ocsp, crls };
    let evidence = DeviceEvidence {
        architecture: device().architecture,
        report: &device().report,
        chain_pem: device().chain_pem.as_bytes(),
    };
    let policy = Policy {
        device_root: Fingerprint(DEVICE_ROOT_SHA256),
        rims: Demand::Waived,
        ..Policy::strict()
    };
    let appraisal = appraise_device(&evidence, &collateral, &NONCE, &policy, NOW);
    let outcome = appraisal.outcome(CheckName::DeviceRevocation, None);
    assert!(!outcome.expect("the check is always listed").is_good(), "one answer is never enough");
});
