//! The main job, end to end, with the real binary, a real chain and a real model.

use std::process::Command;

use serde_json::Value;

#[test]
fn the_demo_does_the_main_job_and_says_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_subrosa"))
        .args(["demo", "--once", "--json", "--question", "What is two plus two?", "--folder"])
        .arg(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}");
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();

    assert_eq!(report["simulated"], true);
    judged(&report["pods"]);
    assert_eq!(report["question"], "What is two plus two?");
    answered(&report["answer"]);
    let charged = receipted(&report["receipt"]);
    failed_over(&report["failover"]);
    settled(&report["settlement"], charged);
    assert_eq!(report["offline_verify"]["verdict"], "accepted");
    assert!(report["offline_verify"]["releases_from"].as_str().unwrap().contains("block"));
    assert!(report["seconds"].as_f64().unwrap() < 60.0, "{}", report["seconds"]);

    // The files stay where they were asked for, and the receipt is one that anyone can check again.
    let verified = |network: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_subrosa"))
            .arg("verify")
            .arg("receipt.json")
            .args(network)
            .env_remove("SUBROSA_NETWORK")
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let accepted = verified(&["--network", "network.toml"]);
    assert_eq!(accepted.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&accepted.stdout).contains("SIMULATED"));
    // Whoever names no network trusts hardware only, and a simulator is none.
    assert_eq!(verified(&[]).status.code(), Some(1));
    for name in ["cheap", "dear", "liar"] {
        assert!(folder.path().join("pods").join(name).join("pod.toml").is_file());
    }
}

#[test]
fn a_demo_that_cannot_go_on_names_the_step_and_fails() {
    let run = Command::new(env!("CARGO_BIN_EXE_subrosa"))
        .args(["demo", "--once", "--json"])
        .env("SUBROSA_ANVIL", "/there/is/no/anvil")
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&run.stdout).unwrap();
    let error = told["error"].as_str().unwrap();
    assert!(error.starts_with("step 1 (the chain)") && error.contains("no/anvil"), "{error}");
}

fn judged(pods: &Value) {
    let judged: Vec<_> = pods
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| (pod["name"].as_str().unwrap(), &pod["accepted"], pod["failed_check"].as_str()))
        .collect();
    let (yes, no) = (&Value::Bool(true), &Value::Bool(false));
    let expected =
        [("cheap", yes, None), ("dear", yes, None), ("liar", no, Some("tee_measurement"))];
    assert_eq!(judged, expected);
    let hardware: Vec<_> = pods.as_array().unwrap().iter().map(|pod| &pod["hardware"]).collect();
    assert_eq!(hardware, ["TDX, 8 Hopper GPUs, 4 switches", "SEV-SNP", "TDX"]);
}

fn answered(answer: &Value) {
    assert!(!answer["text"].as_str().unwrap().trim().is_empty());
    assert_eq!(answer["model"], "smollm2");
    assert_eq!(answer["pod"], "cheap");
    let catalogue = subrosa_engine::catalogue::Catalogue::compiled_in();
    let digest = catalogue.find("smollm2").unwrap().digest();
    assert_eq!(answer["model_digest"], digest.to_string());
}

fn receipted(receipt: &Value) -> u128 {
    assert_eq!(receipt["verified"], true);
    let checks = receipt["checks"].as_array().unwrap();
    let outcome = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("no check {name}"))["outcome"].as_str().unwrap()
    };
    for name in [
        "tee_quote_signature",
        "tee_measurement",
        "tee_reportdata_binding",
        "measured_model_weights",
        "receipt_signature",
        "order_signature",
        "charge",
    ] {
        assert_eq!(outcome(name), "passed", "{name}");
    }
    assert!(checks.iter().all(|check| check["outcome"] != "failed"));
    let charged = units(&receipt["charged"]);
    assert!(charged > 0);
    charged
}

fn failed_over(failover: &Value) {
    assert_eq!((&failover["from"], &failover["to"]), (&"cheap".into(), &"dear".into()));
    assert_eq!(failover["charged_once"], true);
    assert!(failover["told"].as_str().unwrap().starts_with("answer_broken_off"));
}

fn settled(settlement: &Value, charged: u128) {
    let [cheap, dear] = settlement.as_array().unwrap().as_slice() else {
        panic!("two pods earned: {settlement}");
    };
    assert_eq!((&cheap["pod"], &dear["pod"]), (&"cheap".into(), &"dear".into()));
    let earned = |row: &Value| units(&row["after"]) - units(&row["before"]);
    // The cheap pod may have charged the broken answer too, if it died a moment after it.
    assert!(earned(cheap) >= charged && earned(dear) > 0);
    assert!([cheap, dear].iter().all(|row| row["gas"].as_u64().unwrap() > 21_000));
}

fn units(amount: &Value) -> u128 {
    amount.as_str().unwrap().parse().unwrap()
}
