//! The real binary, without a network: what it teaches, what it refuses, and how it ends.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn subrosa(state: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_subrosa"))
        .args(args)
        .env_remove("SUBROSA_NETWORK")
        .env_remove("SUBROSA_WALLET")
        .env_remove("RUST_LOG")
        .env("SUBROSA_STATE_DIR", state)
        .env("SUBROSA_PASSPHRASE", "a passphrase for a test")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn every_command_has_a_help_with_an_example() {
    let state = tempfile::tempdir().unwrap();
    let commands: [&[&str]; 28] = [
        &[],
        &["demo"],
        &["pod"],
        &["pod", "run"],
        &["pod", "claim"],
        &["pod", "doctor"],
        &["pod", "retire"],
        &["gateway"],
        &["ask"],
        &["pods"],
        &["models"],
        &["models", "list"],
        &["models", "pull"],
        &["wallet"],
        &["wallet", "new"],
        &["wallet", "show"],
        &["wallet", "deposit"],
        &["wallet", "withdraw"],
        &["receipts"],
        &["receipts", "list"],
        &["receipts", "show"],
        &["receipts", "export"],
        &["verify"],
        &["explain"],
        &["network", "show"],
        &["config", "check"],
        &["config", "example"],
        &["completions"],
    ];
    for command in commands {
        let output = subrosa(state.path(), &[command, &["--help"]].concat());
        assert!(output.status.success(), "{command:?}");
        let help = stdout(&output);
        assert!(help.contains("Example:") || help.contains("Examples:"), "{command:?}: {help}");
        assert!(help.contains("subrosa"), "{command:?}");
    }
}

#[test]
fn an_unknown_configuration_key_is_refused_with_the_nearest_one() {
    let state = tempfile::tempdir().unwrap();
    let example = stdout(&subrosa(state.path(), &["config", "example", "pod"]));
    let path = state.path().join("pod.toml");
    std::fs::write(&path, example.replace("offer_weeks", "ofer_weeks")).unwrap();
    let path = path.to_str().unwrap();
    for command in [&["config", "check", path][..], &["pod", "--config", path]] {
        let output = subrosa(state.path(), command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let told = stderr(&output);
        assert!(told.contains("unknown key \"ofer_weeks\""), "{told}");
        assert!(told.contains("did you mean \"offer_weeks\"?"), "{told}");
    }
}

#[test]
fn an_unknown_key_of_a_network_or_a_policy_is_refused_with_the_nearest_one() {
    let state = tempfile::tempdir().unwrap();
    for (kind, key, wrong) in [
        ("network", "deployed_block", "deploy_block"),
        ("private-network", "chain_id", "chian_id"),
        ("policy", "machines", "machine"),
    ] {
        let example = stdout(&subrosa(state.path(), &["config", "example", kind]));
        let path = state.path().join("file.toml");
        std::fs::write(&path, example.replace(key, wrong)).unwrap();
        let checked = ["config", "check", path.to_str().unwrap()];
        let output = subrosa(state.path(), &checked);
        assert_eq!(output.status.code(), Some(1), "{kind}");
        let advice = format!("did you mean {key:?}?");
        assert!(stderr(&output).contains(&advice), "{}", stderr(&output));
        let told = json(&subrosa(state.path(), &[&checked[..], &["--json"]].concat()));
        assert!(told["error"].as_str().unwrap().contains(&advice), "{told}");
    }
}

#[test]
fn every_example_passes_the_check_and_its_kind_is_seen() {
    let state = tempfile::tempdir().unwrap();
    for (kind, seen) in [
        ("pod", "pod"),
        ("network", "network"),
        ("private-network", "network"),
        ("policy", "policy"),
    ] {
        let path = state.path().join(format!("{kind}.toml"));
        let example = stdout(&subrosa(state.path(), &["config", "example", kind]));
        std::fs::write(&path, &example).unwrap();
        let output = subrosa(state.path(), &["config", "check", path.to_str().unwrap(), "--json"]);
        assert!(output.status.success(), "{kind}: {}", stderr(&output));
        assert_eq!(json(&output)["kind"], seen);
        let output = subrosa(state.path(), &["config", "example", kind, "--json"]);
        assert_eq!(json(&output)["text"], example);
    }
}

#[test]
fn a_file_that_cannot_be_read_as_a_receipt_is_unreadable() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("receipt.json");
    for garbage in ["", "{}", "[]", "\u{0}\u{1}", "{\"kind\":\"subrosa-receipt/v1\"}"] {
        std::fs::write(&path, garbage).unwrap();
        let output = subrosa(state.path(), &["verify", path.to_str().unwrap(), "--json"]);
        assert_eq!(output.status.code(), Some(2), "{garbage:?}");
        assert_eq!(json(&output)["verdict"], "unreadable");
    }
    let missing = state.path().join("missing.json");
    let output = subrosa(state.path(), &["verify", missing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("missing.json"), "{}", stderr(&output));
}

#[test]
fn the_doctor_names_what_is_missing_and_the_next_step() {
    let state = tempfile::tempdir().unwrap();
    let config = state.path().join("pod.toml");
    let example = stdout(&subrosa(state.path(), &["config", "example", "pod"]));
    std::fs::write(&config, example).unwrap();
    let output =
        subrosa(state.path(), &["pod", "doctor", "--json", "--config", config.to_str().unwrap()]);
    let told = json(&output);
    assert_eq!(output.status.success(), told["ready"].as_bool().unwrap());
    let findings = told["findings"].as_array().unwrap();
    let ready = told["ready"].as_bool().unwrap();
    let any_step = findings.iter().any(|finding| finding["next_step"].is_string());
    assert!(ready || any_step, "{told}");
    for name in ["processor by configfs-tsm", "NVIDIA GPUs", "ledger on encrypted storage"] {
        let finding = findings.iter().find(|finding| finding["name"] == name).unwrap();
        let found = finding["found"].as_bool().unwrap();
        assert!(!found || finding["next_step"].is_null(), "{finding}");
        assert!(!finding["detail"].as_str().unwrap().is_empty(), "{finding}");
    }
    let page = stdout(&subrosa(state.path(), &["pod", "doctor"]));
    assert!(page.contains("prove"), "{page}");
}

#[test]
fn completions_for_bash_know_the_commands() {
    let state = tempfile::tempdir().unwrap();
    let output = subrosa(state.path(), &["completions", "bash"]);
    assert!(output.status.success());
    let script = stdout(&output);
    assert!(script.contains("complete -F _subrosa"), "{script}");
    assert!(script.contains("receipts") && script.contains("--passphrase-file"));
}

#[test]
fn the_catalogue_is_listed_for_programs_and_for_people() {
    let state = tempfile::tempdir().unwrap();
    let models = json(&subrosa(state.path(), &["models", "list", "--json"]));
    let smollm2 = models.as_array().unwrap().iter().find(|model| model["name"] == "smollm2");
    let smollm2 = smollm2.expect("the catalogue has smollm2");
    assert_eq!(smollm2["licence"], "Apache-2.0");
    let digest = smollm2["digest"].as_str().unwrap();
    assert!(digest.starts_with("0x") && digest.len() == 66, "{digest}");
    let told = stdout(&subrosa(state.path(), &["models", "list"]));
    assert!(told.contains("smollm2") && told.contains(digest), "{told}");
    assert!(!told.contains('\u{1b}'), "colour is for terminals only");
}

#[test]
fn an_unknown_model_is_refused_with_the_nearest_one() {
    let state = tempfile::tempdir().unwrap();
    let output = subrosa(state.path(), &["models", "pull", "smolm2"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("did you mean \"smollm2\"?"), "{}", stderr(&output));
}

#[test]
fn a_new_wallet_shows_the_address_it_was_made_with_and_is_never_overwritten() {
    let state = tempfile::tempdir().unwrap();
    let made = json(&subrosa(state.path(), &["wallet", "new", "--json"]));
    let shown = json(&subrosa(state.path(), &["wallet", "show", "--json"]));
    assert_eq!(made["address"], shown["address"]);
    assert!(made["address"].as_str().unwrap().starts_with("0x"));
    let again = subrosa(state.path(), &["wallet", "new"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("never overwritten"), "{}", stderr(&again));
}

#[test]
fn what_is_missing_is_named_with_what_to_do_about_it() {
    let state = tempfile::tempdir().unwrap();
    for (command, advice) in [
        (&["pods"][..], "--network FILE"),
        (&["ask", "What is a rose?"], "--network FILE"),
        (&["receipts", "list"], "--network FILE"),
        (&["network", "show"], "--network FILE"),
        (&["wallet", "show"], "wallet.json"),
    ] {
        let output = subrosa(state.path(), command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(stderr(&output).contains(advice), "{command:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("rose"), "a question is never echoed");
    }
}

#[test]
fn a_network_file_is_told_and_its_trust_is_plain() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("network.toml");
    let example = stdout(&subrosa(state.path(), &["config", "example", "network"]));
    std::fs::write(&path, example.replace("\"hardware\"", "\"simulated\"")).unwrap();
    let told = stdout(&subrosa(state.path(), &["network", "show"]));
    assert!(told.contains("SIMULATED"), "{told}");
    let shown = json(&subrosa(state.path(), &["network", "show", "--json"]));
    assert_eq!(shown["chain_id"], 8453);
    assert_eq!(shown["trust"], "simulated");
}
