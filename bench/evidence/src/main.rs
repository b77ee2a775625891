//! Measures what it takes to check evidence: time on one core and size, for every kind of hardware.
//!
//! ```text
//! subrosa-bench-evidence RESULTS.json
//! ```

use std::io::{self, Write};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use subrosa_attester::{SimulatedKind, Simulator};
use subrosa_nvidia_evidence::simulator::{
    DEVICE_ROOT_SHA256, Node, RIM_ROOT_SHA256, SimulatedCollateral, SimulatedDevice,
};
use subrosa_nvidia_evidence::{
    Appraiser, Collateral, DeviceEvidence, Fingerprint, Policy, RimStore,
};
use subrosa_protocol::workload::{Backend, BackendKind};
use subrosa_protocol::{B256, Keyset, Timestamp, Workload};
use subrosa_verifier::{Evidence, Nonce, Releases, recheck};

/// How often each thing is measured; the median counts.
const ROUNDS: usize = 41;

/// The time of the simulated machines.
const NOW: Timestamp = Timestamp(1_790_000_000);

/// The kinds of machines that are measured.
const KINDS: [&str; 8] = [
    "simulated-sgx",
    "simulated-snp",
    "simulated-tdx",
    "simulated-tdx-v5",
    "simulated-tdx-dstack",
    "simulated-tdx-gpu",
    "simulated-tdx-8gpu",
    "simulated-tdx-8gpu-blackwell",
];

fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).context("name the file for the results")?;
    let mut documents = Vec::new();
    for name in KINDS {
        documents.push(document(name)?);
    }
    let nodes = [1, 2, 4, 8].into_iter().map(node).collect::<anyhow::Result<Vec<_>>>()?;
    let results = json!({
        "build": if cfg!(debug_assertions) { "dev" } else { "release" },
        "rounds": ROUNDS,
        "documents": documents,
        "gpus": nodes,
    });
    std::fs::write(&file, serde_json::to_string_pretty(&results)?)?;
    print(&results).context("cannot print")
}

/// Reading and checking whole documents of one machine, each with a nonce of its own: the first with
/// nothing known, the others by a verifier that has met the machine's makers before.
fn document(name: &str) -> anyhow::Result<Value> {
    let kind: SimulatedKind = name.parse()?;
    let keyset = Keyset { signer: [1; 20].into(), not_after: Timestamp(u64::MAX) }.to_bytes();
    let backend = Backend { kind: BackendKind::Builtin, in_image: true, pulls: false };
    let workload = Workload { image: "bench".into(), backend, exits: vec![], models: vec![] };
    let workload = workload.to_bytes();
    let simulator = Simulator::of(kind, "bench");
    let releases =
        Releases { measurements: vec![Simulator::measurement_of(kind, "bench")], models: vec![] };
    let policy = subrosa_verifier::Policy::simulated(releases);
    let (mut bytes, mut rounds) = (0, Vec::new());
    for round in 0..ROUNDS {
        let verifier = B256::left_padding_from(&(round as u64 + 1).to_be_bytes());
        let nonce = Nonce { verifier, chain_id: 1, block_number: 2, block_hash: B256::ZERO };
        let made = simulator.evidence(&nonce, &keyset, &workload, NOW)?;
        bytes = made.as_bytes().len();
        let begun = Instant::now();
        let evidence = Evidence::parse(made.as_bytes())?;
        let checked = recheck(&evidence, &policy, NOW);
        rounds.push(milliseconds(begun));
        if let Err(refusal) = checked {
            anyhow::bail!("{name}: {refusal}");
        }
    }
    let first = rounds.remove(0);
    Ok(json!({ "kind": name, "bytes": bytes, "first_ms": rounded(first), "ms": median(rounds) }))
}

/// GPUs alone: all of a machine's at once with nothing known, and then one of them with another
/// nonce, when reference measurements and authorities were verified.
fn node(gpus: usize) -> anyhow::Result<Value> {
    let (nonce, other) = ([7; 32], [8; 32]);
    let node = Node::hopper(gpus);
    let (devices, fresh) = (node.evidence(&nonce), node.evidence(&other));
    let SimulatedCollateral { rims, ocsp, crls } = node.collateral(NOW.0);
    let ocsp: Vec<&[u8]> = ocsp.iter().map(Vec::as_slice).collect();
    let crls: Vec<&[u8]> = crls.iter().map(Vec::as_slice).collect();
    let policy = Policy {
        device_root: Fingerprint(DEVICE_ROOT_SHA256),
        rim_root: Fingerprint(RIM_ROOT_SHA256),
        ..Policy::strict()
    };
    let evidence: Vec<DeviceEvidence<'_>> = devices.iter().map(device).collect();
    let (mut whole, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let mut store = RimStore::new();
        for rim in &rims {
            store.add(&rim.xml)?;
        }
        let collateral = Collateral { rims: &store, ocsp: &ocsp, crls: &crls };
        let mut appraiser = Appraiser::new(&collateral, &policy, NOW.0);
        let appraised = appraiser.node(&evidence, &nonce);
        whole.push(milliseconds(begun));
        ensure!(appraised.is_accepted(), "{gpus} GPUs are refused");
        let begun = Instant::now();
        let again = appraiser.device(&device(&fresh[0]), &other);
        warm.push(milliseconds(begun));
        ensure!(again.is_accepted(), "a GPU is refused");
    }
    Ok(
        json!({ "gpus": gpus, "devices": devices.len(), "ms": median(whole), "warm_ms": median(warm) }),
    )
}

fn device(simulated: &SimulatedDevice) -> DeviceEvidence<'_> {
    DeviceEvidence {
        architecture: simulated.architecture,
        report: &simulated.report,
        chain_pem: simulated.chain_pem.as_bytes(),
    }
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounded(rounds[rounds.len() / 2])
}

fn rounded(milliseconds: f64) -> f64 {
    (milliseconds * 1e3).round() / 1e3
}

fn print(results: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{:<30} {:>10} {:>9} {:>9}", "document", "bytes", "first ms", "ms")?;
    for row in results["documents"].as_array().into_iter().flatten() {
        let kind = row["kind"].as_str().unwrap_or("");
        let (first, ms) = (number(&row["first_ms"]), number(&row["ms"]));
        writeln!(out, "{kind:<30} {:>10} {first:>9.3} {ms:>9.3}", row["bytes"])?;
    }
    writeln!(out, "\n{:<30} {:>10} {:>9} {:>9}", "GPUs and switches", "devices", "ms", "warm ms")?;
    for row in results["gpus"].as_array().into_iter().flatten() {
        let (ms, warm) = (number(&row["ms"]), number(&row["warm_ms"]));
        writeln!(out, "{:<30} {:>10} {ms:>9.3} {warm:>9.3}", row["gpus"], row["devices"])?;
    }
    Ok(())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}
