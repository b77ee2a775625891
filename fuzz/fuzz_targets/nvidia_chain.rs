//! Chains of any bytes, and a genuine chain with any certificate in the place of one of its own: none
//! proves another device than the genuine one.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use subrosa_nvidia_evidence::simulator::{DEVICE_ROOT_SHA256, Node, SimulatedDevice};
use subrosa_nvidia_evidence::{
    Appraisal, CheckName, Collateral, DeviceEvidence, Fingerprint, Policy, RimStore,
    appraise_device, fuzzing,
};
use subrosa_protocol::encoding::to_base64;

const NONCE: [u8; 32] = [7; 32];
const NOW: u64 = 1_790_000_000;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----\n";

fn device() -> &'static SimulatedDevice {
    static DEVICE: OnceLock<SimulatedDevice> = OnceLock::new();
    DEVICE.get_or_init(|| Node::hopper(1).evidence(&NONCE).remove(0))
}

fn appraise(chain_pem: &[u8]) -> Appraisal {
    let rims = RimStore::new();
    let collateral = Collateral { rims: &rims, ocsp: &[], crls: &[] };
    let SimulatedDevice { architecture, report, .. } = device();
    let evidence = DeviceEvidence { architecture: *architecture, report, chain_pem };
    let policy = Policy { device_root: Fingerprint(DEVICE_ROOT_SHA256), ..Policy::strict() };
    appraise_device(&evidence, &collateral, &NONCE, &policy, NOW)
}

fn genuine_leaf() -> Fingerprint {
    static LEAF: OnceLock<Fingerprint> = OnceLock::new();
    *LEAF.get_or_init(|| {
        let appraisal = appraise(device().chain_pem.as_bytes());
        appraisal.unverified_claims().expect("it can be read").leaf
    })
}

/// A chain that is proven is the genuine device's, whose key alone signed the report.
fn judge(chain_pem: &[u8]) {
    let appraisal = appraise(chain_pem);
    let good = |name| appraisal.outcome(name, None).is_some_and(|outcome| outcome.is_good());
    if good(CheckName::DeviceChain) || good(CheckName::ReportSignature) {
        let claims = appraisal.unverified_claims().expect("what was proven was read");
        assert_eq!(claims.leaf, genuine_leaf());
    }
}

fuzz_target!(|bytes: &[u8]| {
    judge(bytes);
    let Some((place, der)) = bytes.split_first() else { return };
    if !fuzzing::reads_as_certificate(der) {
        return;
    }
    assert!(!fuzzing::reads_as_answer(der) && !fuzzing::reads_as_list(der));
    let mut chain: Vec<String> =
        device().chain_pem.split_inclusive("-----END CERTIFICATE-----\n").map(Into::into).collect();
    let place = usize::from(*place) % chain.len();
    chain[place] = format!("{BEGIN}{}\n-----END CERTIFICATE-----\n", to_base64(der));
    judge(chain.concat().as_bytes());
});
