//! Switches beside GPUs in protected PCIe mode, by a stand-in of NVIDIA's switch library.

use subrosa_attester::hardware::{SourceError, Switches};
use subrosa_verifier::Architecture;

use super::nvml::StandIn;
use super::{CHAIN, NONCE, device_report, vector};

/// What comes of a switch library that misbehaves like this.
async fn refusal(definitions: &[&str]) -> SourceError {
    let stand_in = StandIn::with_switches(definitions);
    stand_in.devices().await.expect_err("the library misbehaves")
}

#[tokio::test]
async fn reads_a_report_of_each_switch_after_those_of_the_gpus() {
    let raw = StandIn::with_switches(&["COUNT=8"]).devices().await.unwrap();
    assert_eq!(raw.switches, Switches::Given(4));
    let (gpus, switches) = raw.devices.0.split_at(8);
    assert!(gpus.iter().all(|gpu| gpu.architecture == Architecture::Hopper));
    assert_eq!(switches.len(), 4);
    for switch in switches {
        assert_eq!(switch.architecture, Architecture::Ls10);
        assert_eq!(switch.report, device_report(NONCE));
        assert_eq!(switch.chain, CHAIN);
    }
}

#[tokio::test]
async fn nobody_asks_for_switches_unless_gpus_talk_through_them() {
    // There is no library of switches on these machines.
    for definitions in [&["COUNT=8"][..], &["MULTI_GPU=2"], &["NO_SETTINGS"]] {
        let raw = StandIn::with(definitions).devices().await.unwrap();
        assert!(matches!(raw.switches, Switches::Absent { .. }), "{definitions:?}");
    }
}

#[tokio::test]
async fn gpus_in_protected_pcie_mode_say_nothing_without_their_switches() {
    let alone = StandIn::with(&["MULTI_GPU=1"]);
    let error = alone.devices().await.unwrap_err();
    let absent = matches!(&error, SourceError::Absent { source_name: "NSCQ", at }
        if *at == alone.of_switches());
    assert!(absent, "{error}");
    let error = refusal(&["SWITCHES=0"]).await;
    assert!(error.to_string().contains("there is no switch"), "{error}");
}

#[tokio::test]
async fn refuses_more_devices_than_a_node_has() {
    for definitions in [&["SWITCHES=25"][..], &["COUNT=20", "SWITCHES=5"]] {
        let error = refusal(definitions).await;
        assert!(matches!(error, SourceError::BadAnswer { .. }), "{definitions:?}: {error}");
    }
    let raw = StandIn::with_switches(&["COUNT=20", "SWITCHES=4"]).devices().await.unwrap();
    assert_eq!(raw.devices.0.len(), 24);
}

#[tokio::test]
async fn refuses_switches_that_documents_cannot_carry() {
    let error = refusal(&["ARCH=1"]).await;
    assert!(matches!(error, SourceError::UnknownKind { .. }), "{error}");
}

#[tokio::test]
async fn refuses_a_report_over_another_nonce() {
    let error = refusal(&["SWITCH_WRONG_NONCE"]).await;
    assert!(matches!(error, SourceError::AnotherNonce { source_name: "NSCQ" }), "{error}");
}

#[tokio::test]
async fn refuses_lengths_that_cannot_be() {
    for definition in ["SWITCH_REPORT_SIZE=0x2001", "SWITCH_CHAIN_SIZE=0x1401"] {
        let error = refusal(&[definition]).await;
        assert!(matches!(error, SourceError::TooLong { .. }), "{definition}: {error}");
    }
    for definition in ["SWITCH_REPORT_SIZE=0", "SWITCH_REPORT_SIZE=100"] {
        let error = refusal(&[definition]).await;
        assert!(matches!(error, SourceError::BadDeviceReport { .. }), "{definition}: {error}");
    }
    let error = refusal(&["SWITCH_CHAIN_SIZE=0"]).await;
    assert!(matches!(error, SourceError::BadAnswer { .. }), "{error}");
}

#[tokio::test]
async fn refuses_switches_whose_names_are_none() {
    for definition in ["NO_UUID", "SWITCH_LABEL=\"../%02X\"", "SWITCH_LABEL=\"%.0d\""] {
        let error = refusal(&[definition]).await;
        assert!(matches!(error, SourceError::BadAnswer { .. }), "{definition}: {error}");
    }
}

#[tokio::test]
async fn a_switch_answers_each_question_exactly_once() {
    for path in ["id/arch", "config/certificate", "config/attestation_report"] {
        for calls in [0, 2, 100] {
            let (at, calls) = (format!("AT=\"{path}\""), format!("CALLS={calls}"));
            let error = refusal(&[&at, &calls]).await;
            assert!(matches!(error, SourceError::BadAnswer { .. }), "{path}, {calls}: {error}");
        }
    }
}

#[tokio::test]
async fn says_what_the_library_refused() {
    let report = "AT=\"attestation_report\"";
    let cases: [(&[&str], &str); 7] = [
        (&["SESSION_CODE=-6"], "a session: error -6, library and driver are of different versions"),
        (&["SESSION_CODE=1"], "a session: error 1, it could not start its recorder"),
        (&["LABEL_CODE=-2"], "the switches: error -2, there is no such switch"),
        (&["INPUT_CODE=-5"], "a report: error -5, it did not understand the question"),
        (&[report, "OBSERVE_CODE=-8"], "a report: error -8, the driver did not answer in time"),
        (&[report, "CALLBACK_CODE=-7"], "a report: error -7, the driver failed"),
        (&["AT=\"uuid\"", "CALLBACK_CODE=-100"], "the switches: error -100, unknown to us"),
    ];
    for (definitions, words) in cases {
        assert_eq!(refusal(definitions).await.to_string(), format!("NSCQ refused {words}"));
    }
    let error = refusal(&["NO_SESSION"]).await;
    assert!(matches!(error, SourceError::BadAnswer { .. }), "{error}");
    let error = refusal(&["NO_INPUT"]).await.to_string();
    assert!(error.contains("nscq_session_set_input"), "{error}");
}

#[tokio::test]
async fn every_session_ends() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let definition = format!("SWITCH_JOURNAL=\"{}\"", journal.display());
    let stand_in = StandIn::with_switches(&[&definition, "SWITCHES=3"]);
    let nvml = stand_in.nvml();
    nvml.devices(NONCE).await.unwrap();
    nvml.devices([4; 32]).await.unwrap();
    assert_eq!(nvml.switches().await.unwrap(), ["SWX-00", "SWX-01", "SWX-02"]);
    assert_eq!(std::fs::read_to_string(journal).unwrap(), "ococ".to_owned() + "oc");
}

#[tokio::test]
async fn a_recorded_report_is_read() {
    let folder = "nvidia-attestation-sdk/unit-tests";
    let report = vector(&format!("{folder}/switchAttestationReport.txt"));
    let chain = vector(&format!("{folder}/switchCertChain.txt"));
    let (Some(report), Some(chain)) = (report, chain) else { return };
    let text: String = String::from_utf8(report).unwrap().split_whitespace().collect();
    let report = hex::decode(text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("report-0"), &report).unwrap();
    std::fs::write(folder.path().join("chain-0"), &chain).unwrap();
    let files = format!("SWITCH_FILES=\"{}\"", folder.path().display());
    let nonce: [u8; 32] = report[4..36].try_into().unwrap();
    let stand_in = StandIn::with_switches(&["COUNT=0", "SWITCHES=1", &files]);
    let raw = stand_in.nvml().devices(nonce).await.unwrap();
    let read = (&raw.devices.0[0].report, raw.devices.0[0].chain.as_bytes());
    assert_eq!(read, (&report, chain.as_slice()));
    let error = stand_in.devices().await.unwrap_err();
    assert!(matches!(error, SourceError::AnotherNonce { .. }), "{error}");
}
