use std::path::Path;

use serde_json::json;
use subrosa_attester::hardware::{Finding, Places, probe};

use super::dstack::Agent;
use super::nvml::StandIn;

/// A machine without anything.
fn bare(root: &Path) -> Places {
    Places {
        configfs: root.join("report"),
        ccel: root.join("CCEL"),
        dstack: root.join("dstack.sock"),
        gramine: root.join("attestation"),
        nscq: root.join("libnvidia-nscq.so.2"),
        nvml: root.join("libnvidia-ml.so.1"),
        pci: root.join("pci"),
    }
}

/// Puts a device on the machine's PCI bus.
fn plug(pci: &Path, slot: &str, vendor: &str, class: &str) {
    let device = pci.join(slot);
    std::fs::create_dir_all(&device).unwrap();
    std::fs::write(device.join("vendor"), format!("{vendor}\n")).unwrap();
    std::fs::write(device.join("class"), format!("{class}\n")).unwrap();
}

async fn finding(places: &Places, name: &str) -> Finding {
    let findings = probe(places).await.0;
    findings.into_iter().find(|finding| finding.name == name).expect("it is looked for")
}

#[tokio::test]
async fn a_bare_machine_has_nothing_and_each_thing_has_a_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let findings = probe(&bare(folder.path())).await.0;
    assert_eq!(findings.len(), 6);
    for finding in findings {
        assert!(!finding.found, "{}", finding.name);
        assert!(!finding.detail.is_empty(), "{}", finding.name);
        // Without a processor there is no log to miss.
        assert_eq!(finding.next_step.is_some(), finding.name != "firmware's log");
    }
}

#[tokio::test]
async fn finds_gpus_and_their_mode() {
    let folder = tempfile::tempdir().unwrap();
    for (definitions, found, words) in [
        (&["COUNT=2"][..], true, "2 with driver \"570.172.08\", confidential"),
        (&["CC_FEATURE=0"], false, "not confidential"),
        (&["DEV_TOOLS=1"], false, "open to debuggers"),
        (&["COUNT=0"], false, "0 with driver"),
        (&["INIT_CODE=9"], false, "the driver is not loaded"),
    ] {
        let stand_in = StandIn::with(definitions);
        let places = Places { nvml: stand_in.library(), ..bare(folder.path()) };
        let finding = finding(&places, "NVIDIA GPUs").await;
        assert_eq!(finding.found, found, "{definitions:?}");
        assert!(finding.detail.contains(words), "{}", finding.detail);
        assert_eq!(finding.next_step.is_none(), found);
    }
}

#[tokio::test]
async fn counts_gpus_without_a_driver_and_switches() {
    let folder = tempfile::tempdir().unwrap();
    let places = bare(folder.path());
    plug(&places.pci, "0000:01:00.0", "0x10de", "0x030200");
    plug(&places.pci, "0000:02:00.0", "0x10de", "0x030000");
    plug(&places.pci, "0000:03:00.0", "0x10de", "0x068000");
    plug(&places.pci, "0000:04:00.0", "0x10de", "0x040300");
    plug(&places.pci, "0000:05:00.0", "0x8086", "0x030000");
    let gpus = finding(&places, "NVIDIA GPUs").await;
    assert!(!gpus.found && gpus.detail.starts_with("2 on the PCI bus"), "{}", gpus.detail);
    let switches = finding(&places, "NVSwitches").await;
    assert!(!switches.found && switches.detail.starts_with("1 on the PCI bus"));
    assert!(switches.next_step.unwrap().contains("libnvidia-nscq"));
}

#[tokio::test]
async fn finds_switches_that_answer() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = StandIn::with_switches(&["SWITCHES=2"]);
    let places = Places { nscq: stand_in.of_switches(), ..bare(folder.path()) };
    for (slot, found) in [("1", false), ("2", true), ("3", false)] {
        plug(&places.pci, &format!("0000:0{slot}:00.0"), "0x10de", "0x068000");
        let finding = finding(&places, "NVSwitches").await;
        assert_eq!(finding.found, found, "{}", finding.detail);
        assert!(finding.detail.contains("2 answer"), "{}", finding.detail);
        assert_eq!(finding.next_step.is_none(), found);
    }
}

#[tokio::test]
async fn finds_dstacks_agent_and_says_whose_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let info = json!({ "app_id": "ab84\u{1b}[2J", "tcb_info": { "app_compose": "{}" } });
    let agent = Agent::answering(vec![("/Info", 200, info.to_string().into_bytes())]);
    let places = Places { dstack: agent.socket(), ..bare(folder.path()) };
    let finding = finding(&places, "dstack's guest agent").await;
    assert!(finding.found);
    // A terminal obeys nothing that an agent says.
    assert_eq!(finding.detail, "application \"ab84\\u{1b}[2J\"");
}

#[tokio::test]
async fn says_that_an_agent_does_not_work() {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::answering(vec![("/Info", 500, Vec::new())]);
    let places = Places { dstack: agent.socket(), ..bare(folder.path()) };
    let finding = finding(&places, "dstack's guest agent").await;
    assert!(!finding.found && finding.detail.contains("HTTP 500"), "{}", finding.detail);
    assert!(finding.next_step.is_some());
}

#[tokio::test]
async fn finds_an_enclave_that_can_quote() {
    let folder = tempfile::tempdir().unwrap();
    let places = bare(folder.path());
    std::fs::create_dir(&places.gramine).unwrap();
    for (kind, found) in [("dcap", true), ("none", false)] {
        std::fs::write(places.gramine.join("attestation_type"), kind).unwrap();
        let finding = finding(&places, "Gramine enclave").await;
        assert_eq!((finding.found, finding.next_step.is_none()), (found, found), "{kind}");
    }
}

#[tokio::test]
async fn finds_the_firmwares_log() {
    let folder = tempfile::tempdir().unwrap();
    let places = bare(folder.path());
    std::fs::write(&places.ccel, b"log").unwrap();
    assert!(finding(&places, "firmware's log").await.found);
}

#[tokio::test]
async fn a_folder_that_is_not_the_kernels_is_no_processor() {
    let folder = tempfile::tempdir().unwrap();
    let places = bare(folder.path());
    std::fs::create_dir(&places.configfs).unwrap();
    let finding = finding(&places, "processor by configfs-tsm").await;
    assert!(!finding.found && finding.next_step.is_some(), "{}", finding.detail);
}
