//! `subrosa verify` and `subrosa explain`, as a person uses them: files in, a page and an exit code out.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use subrosa_attester::{SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator};
use subrosa_protocol::workload::{Backend, BackendKind};
use subrosa_protocol::{B256, Keyset, Timestamp, Workload};
use subrosa_verifier::{CpuEvidence, Demand, Evidence, Nonce, Policy, Releases};
use tempfile::TempDir;

/// The time of the simulated machines.
const NOW: &str = "1790000000";

const NONCE: B256 = B256::repeat_byte(0x4c);

fn subrosa(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_subrosa"))
        .env_remove("SUBROSA_NETWORK")
        .args(arguments)
        .output()
        .unwrap()
}

/// The exit code and what `--json` prints.
#[track_caller]
fn verify(arguments: &[&str]) -> (i32, Value) {
    let output = subrosa(&[&["verify", "--json"], arguments].concat());
    let told = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
    (output.status.code().unwrap(), report)
}

fn failed(report: &Value) -> &str {
    let checks = report["checks"].as_array().unwrap();
    let failed = checks.iter().find(|check| check["outcome"] == "failed");
    failed.map_or("", |check| check["name"].as_str().unwrap())
}

fn outcome<'a>(report: &'a Value, name: &str) -> &'a str {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name);
    check.unwrap()["outcome"].as_str().unwrap()
}

/// What one simulated machine gives away, as files.
struct Machine {
    folder: TempDir,
    evidence: Evidence,
}

impl Machine {
    fn new() -> Machine {
        let keyset = Keyset { signer: [1; 20].into(), not_after: Timestamp(u64::MAX) }.to_bytes();
        let backend = Backend { kind: BackendKind::Builtin, in_image: true, pulls: false };
        let workload =
            Workload { image: "image".into(), backend, exits: vec![], models: vec![] }.to_bytes();
        let nonce = Nonce { verifier: NONCE, chain_id: 0, block_number: 0, block_hash: B256::ZERO };
        let now = Timestamp(NOW.parse().unwrap());
        let evidence = Simulator::new("image").evidence(&nonce, &keyset, &workload, now).unwrap();
        Machine { folder: tempfile::tempdir().unwrap(), evidence }
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn document(&self) -> String {
        self.file("evidence.json", self.evidence.as_bytes())
    }

    fn quote(&self) -> Vec<u8> {
        match self.evidence.cpu() {
            CpuEvidence::Tdx(tdx) => tdx.quote.clone(),
            other => panic!("not TDX: {:?}", other.cpu()),
        }
    }

    fn root(&self) -> String {
        let text = STANDARD.encode(Simulator::root_der());
        let lines: Vec<_> =
            text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        let text = lines.join("\n");
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        self.file("root.pem", pem)
    }

    fn policy(&self) -> String {
        let measurements = vec![Simulator::measurement("image")];
        let policy = Policy::simulated(Releases { measurements, models: vec![] });
        self.file("policy.toml", policy.to_toml())
    }
}

#[test]
fn our_own_evidence_passes_under_a_policy_that_knows_the_image() {
    let machine = Machine::new();
    let (document, policy) = (machine.document(), machine.policy());
    let nonce = hex::encode(NONCE);
    let arguments = [&document, "--policy", &policy, "--at", NOW, "--nonce", &nonce];
    let (code, report) = verify(&arguments);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["kind"], "tdx_evidence");
    assert_eq!((&report["verdict"], &report["simulated"]), (&"accepted".into(), &true.into()));
    assert_eq!(report["at"], NOW.parse::<u64>().unwrap());
    for member in ["name", "outcome", "protects", "seen"] {
        assert!(report["checks"][0][member].is_string(), "{member}");
    }
}

#[test]
fn our_own_evidence_is_refused_by_name_where_something_is_wrong() {
    let machine = Machine::new();
    let (document, policy) = (machine.document(), machine.policy());
    let later = "1893456000";
    let other = "5d".repeat(32);
    for (arguments, check) in [
        (&["--at", NOW][..], "tee_cert_chain"),
        (&["--policy", &policy, "--at", later], "intel_pcs_collateral"),
        (&["--policy", &policy, "--at", NOW, "--nonce", &other], "nonce_match"),
    ] {
        let (code, report) = verify(&[&[document.as_str()], arguments].concat());
        assert_eq!((code, failed(&report)), (1, check), "{arguments:?}: {report}");
        let sentence = report["sentence"].as_str().unwrap();
        assert!(sentence.contains(&format!("refused at {check}: ")), "{sentence}");
    }
}

#[test]
fn a_bare_quote_says_that_its_hardware_is_genuine_and_no_more() {
    let machine = Machine::new();
    let (collateral, root) = (machine.document(), machine.root());
    let quote = machine.quote();
    for (name, bytes) in [
        ("quote.bin", quote.clone()),
        ("quote.hex", hex::encode(&quote).into_bytes()),
        ("quote.b64", STANDARD.encode(&quote).into_bytes()),
    ] {
        let file = machine.file(name, bytes);
        let arguments = [&file, "--collateral", &collateral, "--root", &root, "--at", NOW];
        let (code, report) = verify(&arguments);
        assert_eq!(code, 0, "{name}: {report}");
        assert_eq!((&report["kind"], &report["simulated"]), (&"tdx_quote".into(), &true.into()));
        for absent in ["nonce_match", "tee_measurement", "signing_key_present", "cpu_gpu_chain"] {
            assert_eq!(outcome(&report, absent), "absent", "{name}");
        }
        assert_eq!(outcome(&report, "tee_quote_signature"), "passed");
    }
}

#[test]
fn a_bare_quote_without_what_it_takes_is_refused_with_the_next_step() {
    let machine = Machine::new();
    let quote = machine.file("quote.bin", machine.quote());
    let collateral = machine.document();
    let (code, report) = verify(&[&quote, "--at", NOW]);
    assert_eq!((code, failed(&report)), (1, "intel_pcs_collateral"));
    let told = subrosa(&["verify", &quote, "--at", NOW]);
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("--collateral FILE"), "{told}");

    let arguments = [&quote, "--at", NOW, "--collateral", &collateral];
    let (code, report) = verify(&arguments);
    assert_eq!((code, failed(&report)), (1, "tee_cert_chain"));
    let told = subrosa(&[&["verify"], &arguments[..]].concat());
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("simulated") && told.contains("--network FILE"), "{told}");
}

#[test]
fn a_damaged_quote_is_refused() {
    let machine = Machine::new();
    let (collateral, root) = (machine.document(), machine.root());
    let mut quote = machine.quote();
    quote[700] ^= 1;
    let file = machine.file("damaged.bin", &quote);
    let (code, report) =
        verify(&[&file, "--collateral", &collateral, "--root", &root, "--at", NOW]);
    assert_eq!((code, failed(&report)), (1, "tee_quote_signature"), "{report}");
}

#[test]
fn what_cannot_be_read_is_unreadable_and_named() {
    let machine = Machine::new();
    let (document, root) = (machine.document(), machine.root());
    let garbage = machine.file("garbage", b"\x00\x01garbage");
    let missing = machine.folder.path().join("missing").to_str().unwrap().to_owned();
    let other = format!("arm={root}");
    for (arguments, told) in [
        (vec![garbage.as_str()], "no evidence"),
        (vec![&missing], "missing"),
        (vec![&document, "--collateral", &garbage], "garbage"),
        (vec![&document, "--root", &garbage], "no certificate in PEM"),
        (vec![&document, "--root", &other], "unknown vendor"),
        (vec![&document, "--policy", &garbage], "garbage"),
    ] {
        let (code, report) = verify(&arguments);
        assert_eq!((code, &report["verdict"]), (2, &"unreadable".into()), "{arguments:?}");
        let reason = report["reason"].as_str().unwrap();
        assert!(reason.contains(told), "{arguments:?}: {reason}");
    }
}

#[test]
fn a_time_is_read_as_programs_and_as_people_write_it() {
    let machine = Machine::new();
    let (document, policy) = (machine.document(), machine.policy());
    let (_, one) = verify(&[&document, "--policy", &policy, "--at", NOW]);
    let (_, other) = verify(&[&document, "--policy", &policy, "--at", "2026-09-21T14:13:20Z"]);
    assert_eq!(one, other);
    let wrong = subrosa(&["verify", &document, "--nonce", "11"]);
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("64 hex digits"));
    let wrong = subrosa(&["verify", &document, "--at", "yesterday"]);
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("2026-11-28T00:00:00Z"));
}

#[test]
fn the_page_names_each_check_with_what_it_guards_against_and_what_was_seen() {
    let machine = Machine::new();
    let output =
        subrosa(&["verify", &machine.document(), "--policy", &machine.policy(), "--at", NOW]);
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(
        page.starts_with("SIMULATED, which proves nothing about hardware: accepted: "),
        "{page}"
    );
    assert!(page.contains("as of 2026-09-21T14:13:20Z"), "{page}");
    assert!(page.contains("passed  tee_quote_signature      guards against "), "{page}");
}

#[test]
fn explain_draws_the_chain_in_the_terminal_and_in_a_file() {
    let machine = Machine::new();
    let picture = machine.folder.path().join("chain.svg");
    let arguments: [&str; 8] = [
        "explain",
        &machine.document(),
        "--policy",
        &machine.policy(),
        "--at",
        NOW,
        "--svg",
        picture.to_str().unwrap(),
    ];
    let output = subrosa(&arguments);
    assert_eq!(output.status.code(), Some(0));
    let drawn = String::from_utf8(output.stdout).unwrap();
    let links = ["the maker's root", "the machine", "the quote", "the image", "the key"];
    let places: Vec<_> = links.iter().map(|link| drawn.find(link)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{drawn}");
    let svg = std::fs::read_to_string(&picture).unwrap();
    assert!(svg.starts_with("<svg ") && svg.contains("SIMULATED"), "{svg}");
    assert_eq!(subrosa(&["explain", "/nonexistent"]).status.code(), Some(2));
    let nowhere = [&arguments[..7], &["/nonexistent/chain.svg"]].concat();
    assert_eq!(subrosa(&nowhere).status.code(), Some(2));
}

#[test]
fn a_list_of_devices_passes_with_what_nvidia_says_of_them_and_starts_at_its_root() {
    let machine = Machine::new();
    let kind = SimulatedKind { cpu: SimulatedCpu::Tdx, gpus: SimulatedGpus::Hopper };
    let now = Timestamp(NOW.parse().unwrap());
    let simulator = Simulator::of(kind, "image");
    let answer = simulator.second_quote([0; 64], Some(NONCE.0), now).unwrap();
    let device = &answer.devices.0[0];
    let list = json!([{
        "arch": device.architecture.name(),
        "certificate": STANDARD.encode(&device.chain),
        "evidence": STANDARD.encode(&device.report),
        "nonce": hex::encode(NONCE),
    }]);
    let (list, policy) = (machine.file("devices.json", list.to_string()), machine.policy());
    let collateral = answer.device_collateral;
    let files = collateral.rims.iter().chain(&collateral.ocsp).chain(&collateral.crls);
    let files: Vec<String> = files
        .enumerate()
        .map(|(at, file)| machine.file(&format!("collateral{at}"), file))
        .collect();
    let nonce = hex::encode(NONCE);
    let asked = [list.as_str(), "--policy", &policy, "--at", NOW, "--nonce", &nonce];
    let mut arguments = asked.to_vec();
    files.iter().for_each(|file| arguments.extend(["--collateral", file]));
    let (code, report) = verify(&arguments);
    assert_eq!((code, &report["kind"]), (0, &"nvidia_devices".into()), "{report}");
    assert_eq!(outcome(&report, "nonce_match"), "passed");

    let drawn = subrosa(&[&["explain"], &arguments[..]].concat());
    assert_eq!(drawn.status.code(), Some(0));
    let drawn = String::from_utf8(drawn.stdout).unwrap();
    let links = ["NVIDIA's root", "the devices", "driver and firmware"];
    let places: Vec<_> = links.iter().map(|link| drawn.find(link)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{drawn}");
    assert!(!drawn.contains("the maker's root") && !drawn.contains("the key"), "{drawn}");

    let (code, report) = verify(&asked);
    assert_eq!((code, failed(&report)), (1, "nvidia_revocation"), "{report}");
    let told = subrosa(&[&["verify"], &asked[..]].concat());
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("OCSP") && told.contains("--collateral FILE"), "{told}");
}

#[test]
fn genuine_devices_come_out_as_they_must_where_policy_waives_what_is_not_public() {
    let Some(folder) = vectors() else { return };
    let machine = Machine::new();
    let mut policy = Policy::strict(Releases::default());
    policy.nvidia.revocation = Demand::Waived;
    policy.nvidia.reference_measurements = Demand::Waived;
    let policy = machine.file("waives.toml", policy.to_toml());
    for (file, expected) in [
        ("hopper_evidence", ""),
        ("hopper_evidence_cert_hold", ""),
        ("multi_gpu_hopper", "nvswitch_binding"),
        ("multi_switch_ls10", "nvidia_distinct_devices"),
        ("switch_evidence_ls10", "nvswitch_binding"),
    ] {
        let path = format!("nvidia-attestation-sdk/serialized_test_evidence/{file}.json");
        let path = folder.join(path).to_str().unwrap().to_owned();
        let arguments = [&path, "--policy", &policy, "--at", "2026-06-01T00:00:00Z"];
        let (code, report) = verify(&arguments);
        let refused = i32::from(!expected.is_empty());
        assert_eq!((code, failed(&report)), (refused, expected), "{file}: {report}");
    }
}

/// Where the evidence of real machines lies, if it does.
#[allow(clippy::print_stderr, reason = "a test that did nothing has to say so")]
fn vectors() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("SUBROSA_VECTORS").map_or(default, PathBuf::from);
    if folder.join("dcap-qvl").is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no vectors at {}", folder.display());
    None
}

/// A file of a real machine, as one would check it, and what comes of it.
struct Row {
    file: &'static str,
    collateral: &'static [&'static str],
    at: &'static str,
    kind: &'static str,
    /// The check that fails; none where it is accepted.
    failed: &'static str,
}

const ROWS: [Row; 17] = [
    Row {
        file: "dcap-qvl/tdx_quote",
        collateral: &["dcap-qvl/tdx_quote_collateral.json"],
        at: "2025-06-20T00:00:00Z",
        kind: "tdx_quote",
        failed: "",
    },
    Row {
        file: "dcap-qvl/near/quote_hex.txt",
        collateral: &["dcap-qvl/near/quote_collateral.json"],
        at: "2025-09-09T00:00:00Z",
        kind: "tdx_quote",
        failed: "",
    },
    Row {
        file: "go-tdx-guest/quote_v5_sample.dat",
        collateral: &["dcap-qvl/tdx_quote_outdated_collateral.json"],
        at: "2026-02-20T00:00:00Z",
        kind: "tdx_quote",
        failed: "",
    },
    Row {
        file: "dcap-qvl/sgx_quote",
        collateral: &["dcap-qvl/sgx_quote_collateral.json"],
        at: "2025-06-20T00:00:00Z",
        kind: "sgx_quote",
        failed: "tee_tcb_current",
    },
    Row {
        file: "dcap-qvl/sgx_quote",
        collateral: &["dcap-qvl/tdx_quote_collateral.json"],
        at: "2025-06-20T00:00:00Z",
        kind: "sgx_quote",
        failed: "intel_pcs_collateral",
    },
    Row {
        file: "virtee-sev/report_milan.hex",
        collateral: &["virtee-sev/vcek_milan.der", "virtee-sev/cert_chain_milan"],
        at: "2026-01-01T00:00:00Z",
        kind: "snp_report",
        failed: "amd_kds_collateral",
    },
    Row {
        file: "dstack/nitro/nitro_attestation.bin",
        collateral: &[],
        at: "2025-12-25T13:15:34Z",
        kind: "nitro_document",
        failed: "",
    },
    Row {
        file: "dstack/nitro/nitro_attestation.bin",
        collateral: &[],
        at: "2025-12-25T16:15:38Z",
        kind: "nitro_document",
        failed: "tee_cert_chain",
    },
    Row {
        file: "dstack/dstack-attest/nitro_attestation.bin",
        collateral: &[],
        at: "2025-12-25T18:00:00Z",
        kind: "nitro_document",
        failed: "",
    },
    Row {
        file: "dstack/dstack-attest/nitro_attestation_dbg.bin",
        collateral: &[],
        at: "2025-12-25T09:00:00Z",
        kind: "nitro_document",
        failed: "tee_debug_disabled",
    },
    Row {
        file: "private-ml-sdk/nras_sample_response.json",
        collateral: &[],
        at: "2026-11-28T00:00:00Z",
        kind: "nvidia_token",
        failed: "nvidia_token_validity",
    },
    Row {
        file: "private-ml-sdk/nras_sample_response.json",
        collateral: &[],
        at: "2025-10-06T18:30:00Z",
        kind: "nvidia_token",
        failed: "nvidia_nras_verified",
    },
    Row {
        file: "private-ml-sdk/nras_sample_ppcie_response.json",
        collateral: &[],
        at: "2026-11-28T00:00:00Z",
        kind: "nvidia_token",
        failed: "nvidia_token_validity",
    },
    Row {
        file: "dstack/gpu_attestation_h100.json",
        collateral: &[],
        at: "2026-11-28T00:00:00Z",
        kind: "nvidia_token",
        failed: "nvidia_token_algorithm",
    },
    Row {
        file: "nvidia-attestation-sdk/serialized_test_evidence/hopper_evidence.json",
        collateral: &[],
        at: "2026-06-01T00:00:00Z",
        kind: "nvidia_devices",
        failed: "nvidia_revocation",
    },
    Row {
        file: "nvidia-attestation-sdk/serialized_test_evidence/hopper_evidence_cert_hold.json",
        collateral: &[],
        at: "2026-06-01T00:00:00Z",
        kind: "nvidia_devices",
        failed: "nvidia_revocation",
    },
    Row {
        file: "nvidia-attestation-sdk/serialized_test_evidence/multi_switch_ls10.json",
        collateral: &[],
        at: "2026-06-01T00:00:00Z",
        kind: "nvidia_devices",
        failed: "nvidia_revocation",
    },
];

#[test]
fn files_of_real_machines_come_out_as_they_must() {
    let Some(folder) = vectors() else { return };
    let path = |file: &str| folder.join(file).to_str().unwrap().to_owned();
    for row in ROWS {
        let mut arguments = vec![path(row.file), "--at".into(), row.at.into()];
        for file in row.collateral {
            arguments.extend(["--collateral".into(), path(file)]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (code, report) = verify(&arguments);
        let expected = i32::from(!row.failed.is_empty());
        assert_eq!((code, failed(&report)), (expected, row.failed), "{}: {report}", row.file);
        assert_eq!((&report["kind"], &report["policy"]), (&row.kind.into(), &"strict".into()));
    }
}
