use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use subrosa_attester::hardware::{GpuMode, Nvml, NvmlState, RawDevices, SourceError, Switches};
use subrosa_verifier::Architecture;
use tempfile::TempDir;

use super::{CHAIN, NONCE, device_report, vector};

/// NVIDIA's libraries as stand-ins play them.
pub(crate) struct StandIn {
    folder: TempDir,
}

const GPUS: (&str, &str) = ("libnvidia-ml.so.1", "nvml_stand_in.c");
const SWITCHES: (&str, &str) = ("libnvidia-nscq.so.2", "nscq_stand_in.c");

impl StandIn {
    /// Compiles the stand-in of GPUs with these definitions; there is no library of switches.
    pub(crate) fn with(definitions: &[&str]) -> StandIn {
        let stand_in = StandIn { folder: tempfile::tempdir().unwrap() };
        stand_in.compile(GPUS, definitions);
        stand_in
    }

    /// Both stand-ins, on a machine whose GPUs are in protected PCIe mode.
    pub(crate) fn with_switches(definitions: &[&str]) -> StandIn {
        let stand_in = StandIn::with(&[definitions, &["CC_FEATURE=0", "MULTI_GPU=1"]].concat());
        stand_in.compile(SWITCHES, definitions);
        stand_in
    }

    /// A machine whose library keeps a journal of its starts and stops.
    fn with_journal(definitions: &[&str]) -> StandIn {
        let stand_in = StandIn { folder: tempfile::tempdir().unwrap() };
        let journal = format!("JOURNAL=\"{}\"", stand_in.journal().display());
        stand_in.compile(GPUS, &[definitions, &[&journal]].concat());
        stand_in
    }

    fn compile(&self, (library, source): (&str, &str), definitions: &[&str]) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hardware");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let compiled = Command::new(compiler)
            .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Wno-unused", "-Werror"])
            .args(definitions.iter().map(|definition| format!("-D{definition}")))
            .arg("-o")
            .arg(self.folder.path().join(library))
            .arg(format!("{folder}/{source}"))
            .output()
            .expect("building Subrosa takes a C compiler");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    }

    /// Where the library of GPUs is.
    pub(crate) fn library(&self) -> PathBuf {
        self.folder.path().join(GPUS.0)
    }

    /// Where the library of switches is, or would be.
    pub(crate) fn of_switches(&self) -> PathBuf {
        self.folder.path().join(SWITCHES.0)
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    pub(crate) fn nvml(&self) -> Nvml {
        Nvml::at(self.library(), self.of_switches())
    }

    pub(crate) async fn devices(&self) -> Result<RawDevices, SourceError> {
        self.nvml().devices(NONCE).await
    }
}

async fn refusal(definitions: &[&str]) -> SourceError {
    StandIn::with(definitions).devices().await.expect_err("the library misbehaves")
}

#[tokio::test]
async fn reads_a_report_of_each_gpu() {
    for (number, architecture) in [(9, Architecture::Hopper), (10, Architecture::Blackwell)] {
        let stand_in = StandIn::with(&["COUNT=8", &format!("ARCHITECTURE={number}")]);
        let raw = stand_in.devices().await.unwrap();
        assert_eq!(raw.devices.0.len(), 8);
        for device in &raw.devices.0 {
            assert_eq!(device.architecture, architecture);
            assert_eq!(device.report, device_report(NONCE));
            assert_eq!(device.chain, CHAIN);
        }
        assert!(matches!(raw.switches, Switches::Absent { .. }));
    }
}

#[tokio::test]
async fn a_machine_without_gpus_has_no_devices() {
    let raw = StandIn::with(&["COUNT=0"]).devices().await.unwrap();
    assert!(raw.devices.0.is_empty());
}

#[tokio::test]
async fn says_what_the_driver_runs() {
    let state = StandIn::with(&[]).nvml().state().await.unwrap();
    let gpus = vec!["GPU-0".into(), "GPU-1".into()];
    assert_eq!(state, NvmlState { driver: "570.172.08".into(), mode: GpuMode::Confidential, gpus });
}

#[tokio::test]
async fn tells_the_modes_apart() {
    let modes: [(&[&str], GpuMode); 9] = [
        (&[], GpuMode::Confidential),
        (&["CC_FEATURE=0"], GpuMode::Off),
        (&["DEV_TOOLS=1"], GpuMode::DevTools),
        (&["CC_FEATURE=0", "MULTI_GPU=1"], GpuMode::Confidential),
        (&["CC_FEATURE=0", "MULTI_GPU=2"], GpuMode::Confidential),
        (&["CC_FEATURE=0", "MULTI_GPU=1", "DEV_TOOLS=1"], GpuMode::DevTools),
        (&["NO_SETTINGS"], GpuMode::Confidential),
        (&["SETTINGS_CODE=3", "CC_FEATURE=0"], GpuMode::Off),
        (&["SETTINGS_CODE=3", "STATE_CODE=3"], GpuMode::Off),
    ];
    for (definitions, mode) in modes {
        let state = StandIn::with(definitions).nvml().state().await.unwrap();
        assert_eq!(state.mode, mode, "{definitions:?}");
    }
}

#[tokio::test]
async fn refuses_gpus_that_are_not_confidential() {
    for definition in ["CC_FEATURE=0", "DEV_TOOLS=1"] {
        let error = refusal(&[definition]).await;
        assert!(matches!(error, SourceError::NotConfidential { .. }), "{error}");
    }
}

#[tokio::test]
async fn refuses_gpus_that_documents_cannot_carry() {
    let error = refusal(&["ARCHITECTURE=8"]).await;
    assert!(matches!(error, SourceError::UnknownKind { .. }), "{error}");
}

#[tokio::test]
async fn refuses_more_gpus_than_a_node_has() {
    let error = refusal(&["COUNT=25"]).await;
    assert!(matches!(error, SourceError::BadAnswer { .. }), "{error}");
}

#[tokio::test]
async fn cuts_one_byte_behind_a_report_and_refuses_two() {
    let raw = StandIn::with(&["EXTRA_BYTES=1"]).devices().await.unwrap();
    assert_eq!(raw.devices.0[0].report, device_report(NONCE));
    let error = refusal(&["EXTRA_BYTES=2"]).await;
    assert!(error.to_string().contains("2 bytes follow"), "{error}");
}

#[tokio::test]
async fn refuses_a_report_over_another_nonce() {
    let error = refusal(&["WRONG_NONCE"]).await;
    assert!(matches!(error, SourceError::AnotherNonce { .. }), "{error}");
}

#[tokio::test]
async fn refuses_lengths_that_cannot_be() {
    for definition in ["REPORT_SIZE=0x2001", "REPORT_SIZE=0xFFFFFFFF", "CHAIN_SIZE=0x1401"] {
        let error = refusal(&[definition]).await;
        assert!(matches!(error, SourceError::TooLong { .. }), "{definition}: {error}");
    }
    for definition in ["REPORT_SIZE=0", "REPORT_SIZE=100"] {
        let error = refusal(&[definition]).await;
        assert!(matches!(error, SourceError::BadDeviceReport { .. }), "{definition}: {error}");
    }
    let error = refusal(&["CHAIN_SIZE=0"]).await;
    assert!(matches!(error, SourceError::BadAnswer { .. }), "{error}");
}

#[tokio::test]
async fn refuses_a_text_without_an_end() {
    let error = StandIn::with(&["ENDLESS_TEXT"]).nvml().state().await.unwrap_err();
    assert!(matches!(error, SourceError::BadAnswer { .. }), "{error}");
}

#[tokio::test]
async fn says_what_the_library_refused() {
    let cases: [(&[&str], &str); 5] = [
        (&["INIT_CODE=9"], "NVML refused to start: error 9, the driver is not loaded"),
        (&["REPORT_CODE=3"], "NVML refused a report: error 3, the GPU cannot do this"),
        (&["CERTIFICATE_CODE=15"], "NVML refused certificates: error 15, the GPU is lost"),
        (
            &["SETTINGS_CODE=4"],
            "NVML refused the confidential mode: error 4, this user may not ask",
        ),
        (&["REPORT_CODE=999"], "NVML refused a report: error 999, unknown to us"),
    ];
    for (definitions, words) in cases {
        assert_eq!(refusal(definitions).await.to_string(), words);
    }
}

#[tokio::test]
async fn names_the_function_that_an_old_library_lacks() {
    let error = refusal(&["NO_REPORT"]).await.to_string();
    assert!(error.contains("nvmlDeviceGetConfComputeGpuAttestationReport"), "{error}");
}

#[tokio::test]
async fn a_machine_without_the_library_has_no_source() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libnvidia-ml.so.1");
    let error = Nvml::at(&library, "none").devices(NONCE).await.unwrap_err();
    assert!(matches!(&error, SourceError::Absent { at, .. } if *at == library), "{error}");
    let error = Nvml::at("libsubrosa-none.so.1", "none").devices(NONCE).await.unwrap_err();
    assert!(matches!(error, SourceError::Absent { .. }), "{error}");
}

#[tokio::test]
async fn says_why_a_library_cannot_be_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libnvidia-ml.so.1");
    std::fs::write(&library, b"no library").unwrap();
    let error = Nvml::at(&library, "none").devices(NONCE).await.unwrap_err();
    assert!(matches!(error, SourceError::Unusable { .. }), "{error}");
}

#[tokio::test]
async fn gives_up_on_a_library_that_hangs() {
    let stand_in = StandIn::with(&["HANG"]);
    let nvml = stand_in.nvml().with_patience(Duration::from_millis(20));
    let error = nvml.devices(NONCE).await.unwrap_err();
    assert_eq!(error.to_string(), "NVML did not answer within 20 ms");
    // Later callers wait no longer, and once the queue is full not at all.
    for _ in 0..100 {
        match nvml.state().await.unwrap_err() {
            SourceError::TimedOut { .. } => {}
            SourceError::Busy { .. } => return,
            error => panic!("{error}"),
        }
    }
    panic!("the queue has no end");
}

#[tokio::test]
async fn the_library_is_started_once_for_many_questions() {
    let stand_in = StandIn::with_journal(&[]);
    let nvml = stand_in.nvml();
    for _ in 0..3 {
        nvml.clone().devices(NONCE).await.unwrap();
        nvml.state().await.unwrap();
    }
    assert_eq!(std::fs::read_to_string(stand_in.journal()).unwrap(), "i");
}

#[tokio::test]
async fn the_library_is_started_anew_after_it_failed() {
    let stand_in = StandIn::with_journal(&["LOST_ONCE"]);
    let nvml = stand_in.nvml();
    let error = nvml.devices(NONCE).await.unwrap_err();
    assert!(error.to_string().contains("the GPU is lost"), "{error}");
    nvml.devices(NONCE).await.unwrap();
    assert_eq!(std::fs::read_to_string(stand_in.journal()).unwrap(), "isi");
}

#[tokio::test]
async fn a_recorded_report_is_read() {
    let report = vector("go-nvtrust/attestationReport.txt");
    let chain = vector("go-nvtrust/gpuAkCertChain.txt");
    let (Some(report), Some(chain)) = (report, chain) else { return };
    let text: String = String::from_utf8(report).unwrap().split_whitespace().collect();
    let report = hex::decode(text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let report_file = format!("REPORT_FILE=\"{}\"", file("report", &report));
    let chain_file = format!("CHAIN_FILE=\"{}\"", file("chain", &chain));
    let stand_in = StandIn::with(&["COUNT=1", &report_file, &chain_file]);
    let nonce: [u8; 32] = report[4..36].try_into().unwrap();
    let raw = stand_in.nvml().devices(nonce).await.unwrap();
    assert_eq!(raw.devices.0[0].report, report);
    assert_eq!(raw.devices.0[0].chain.as_bytes(), chain);
    let error = stand_in.devices().await.unwrap_err();
    assert!(matches!(error, SourceError::AnotherNonce { .. }), "{error}");
}
