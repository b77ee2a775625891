//! Evidence of real GPUs and switches, in the answers of simulated machines: no processor's quote of
//! the same machine is public. The processor's root is the simulator's, NVIDIA's are its own.

use std::path::Path;

use serde_json::{Value, json};
use subrosa_attester::{SimulatedCpu, SimulatedGpus};
use subrosa_protocol::Timestamp;
use subrosa_protocol::encoding::to_base64;
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{
    CheckName, Demand, Document, Endorsements, Outcome, Report, Root, Verdict, examine,
};

use crate::foreign_vllm::{Proxy, address, bound, hex};
use crate::vectors::{folder, seconds};

pub const NVTRUST: [&str; 2] = [
    "nvidia-nvtrust/rims/Driver_RIM_test_no_gpu.swidtag",
    "nvidia-nvtrust/rims/1010_0200_882_96005E0001_test_no_gpu.swidtag",
];
pub const REPORT: &str = "go-nvtrust/attestationReport.txt";
pub const CHAIN: &str = "go-nvtrust/gpuAkCertChain.txt";
pub const SDK: &str = "nvidia-attestation-sdk/unit-tests";
const SAMPLES: &str = "nvidia-attestation-sdk/unit-tests/sample_attestation_data/gpu";
const RIMS: &str = "nvidia-attestation-sdk/unit-tests/sample_rims";

pub fn read(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// One device, as its report and its chain lie in files of hex and PEM.
pub fn device(folder: &Path, architecture: &str, report: &str, chain: &str) -> Value {
    let report = String::from_utf8(read(folder, report)).unwrap();
    let digits: String = report.split_whitespace().collect();
    let digits = digits.trim_start_matches("0x");
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let report: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    json!({
        "arch": architecture,
        "evidence": to_base64(&report),
        "certificate": to_base64(&read(folder, chain)),
    })
}

/// An answer with these devices, and what comes of it.
struct Gpus<'a> {
    folder: &'a Path,
    list: Vec<Value>,
    rims: Vec<String>,
    proxy: Proxy,
}

impl<'a> Gpus<'a> {
    /// The nonce is the one that the first device answers: it is the device that is tested here.
    fn new(folder: &'a Path, list: Vec<Value>, at: &str) -> Gpus<'a> {
        let report = list[0]["evidence"].as_str().unwrap();
        let report = subrosa_protocol::encoding::from_base64(report).unwrap();
        let nonce: [u8; 32] = report[4..36].try_into().unwrap();
        let mut proxy = Proxy::of(SimulatedCpu::TdxDstack, SimulatedGpus::None);
        proxy.report_data = bound(&address(), &nonce);
        proxy.nonce = Some(nonce.into());
        proxy.gpu_nonce = nonce;
        proxy.at = Timestamp(seconds(at));
        proxy.policy.roots.nvidia_device = Root::Vendor;
        proxy.policy.roots.nvidia_rim = Root::Vendor;
        // No answer about revocation is public, and old firmware has no identity.
        proxy.policy.nvidia.revocation = Demand::Waived;
        proxy.policy.nvidia.firmware_id = Demand::Waived;
        Gpus { folder, list, rims: vec![], proxy }
    }

    fn with(mut self, rims: &[&str]) -> Gpus<'a> {
        self.rims.extend(rims.iter().map(|rim| (*rim).to_owned()));
        self
    }

    fn report(&self) -> Report {
        let mut answer = self.proxy.answer();
        let nonce = hex(&self.proxy.gpu_nonce);
        answer["nvidia_payload"] = json!({ "nonce": nonce, "evidence_list": self.list });
        let mut endorsements: Endorsements = self.proxy.endorsements();
        for rim in &self.rims {
            endorsements.add(&read(self.folder, rim)).unwrap();
        }
        let document = Document::parse(answer.to_string().as_bytes()).unwrap();
        let Proxy { nonce, policy, at, .. } = &self.proxy;
        examine(&document, &endorsements, *nonce, policy, *at)
    }

    #[track_caller]
    fn accepted(&self) -> Report {
        let report = self.report();
        assert_eq!(report.verdict, Verdict::Accepted, "{}", report.sentence());
        report
    }

    #[track_caller]
    fn refused(&self, name: CheckName, words: &str) -> Report {
        let report = self.report();
        let failed = report.first_failure().unwrap_or_else(|| panic!("accepted, not {name}"));
        assert_eq!(failed.name, name, "{}", report.sentence());
        assert!(failed.seen.contains(words), "{words:?} expected: {}", report.sentence());
        report
    }
}

/// The one complete set of a GPU.
fn complete<'a>(folder: &'a Path, at: &str) -> Gpus<'a> {
    Gpus::new(folder, vec![device(folder, "HOPPER", REPORT, CHAIN)], at).with(&NVTRUST)
}

#[test]
fn the_complete_set_of_a_gpu_passes_between_its_signers_dates() {
    let Some(folder) = folder() else { return };
    for at in ["2023-06-27T06:10:12Z", "2024-06-01T00:00:00Z", "2025-06-22T09:38:54Z"] {
        let report = complete(&folder, at).accepted();
        let seen = &report.check(NvidiaMeasurements).unwrap().seen;
        assert!(seen.contains("20 of 20 equal") && seen.contains("12 of 12 equal"), "{seen}");
        for name in [NvidiaNonce, NvidiaSignature, NvidiaCertChain, NvidiaRimChain] {
            assert_eq!(report.outcome(name), Outcome::Passed, "{name}");
        }
        for name in [NvidiaFirmwareId, NvidiaRevocation] {
            assert_eq!(report.outcome(name), Outcome::Waived, "{name}");
        }
    }
}

#[test]
fn a_strict_policy_refuses_the_old_firmware_of_that_set() {
    let Some(folder) = folder() else { return };
    let mut set = complete(&folder, "2024-06-01T00:00:00Z");
    set.proxy.policy.nvidia.firmware_id = Demand::Required;
    set.refused(NvidiaFirmwareId, "device 0");
    let mut set = complete(&folder, "2024-06-01T00:00:00Z");
    set.proxy.policy.nvidia.revocation = Demand::Required;
    set.refused(NvidiaRevocation, "no revocation answer");
}

#[test]
fn the_complete_set_is_refused_outside_its_dates_and_for_another_nonce() {
    let Some(folder) = folder() else { return };
    complete(&folder, "2023-06-01T00:00:00Z").refused(NvidiaRimChain, "");
    complete(&folder, "2023-06-27T06:10:11Z").refused(NvidiaRimChain, "");
    complete(&folder, "2025-06-22T09:38:55Z").refused(NvidiaRimChain, "");
    complete(&folder, "2026-11-28T00:00:00Z").refused(NvidiaRimChain, "");
    let mut other = complete(&folder, "2024-06-01T00:00:00Z");
    other.proxy.report_data = bound(&address(), &[9; 32]);
    other.proxy.nonce = Some([9; 32].into());
    other.proxy.gpu_nonce = [9; 32];
    other.refused(NvidiaNonce, "the report answers nonce 4cff7f53");
}

#[test]
fn a_chain_that_lacks_a_certificate_is_refused() {
    let Some(folder) = folder() else { return };
    let list = vec![device(&folder, "HOPPER", REPORT, "go-nvtrust/invalidCertChain.txt")];
    let gpus = Gpus::new(&folder, list, "2024-06-01T00:00:00Z").with(&NVTRUST);
    gpus.refused(NvidiaCertChain, "device 0");
}

#[test]
fn a_report_with_a_wrong_signature_is_refused() {
    let Some(folder) = folder() else { return };
    let report = format!("{SAMPLES}/hopperAttestationReportInvalidSignature.txt");
    for chain in [format!("{SAMPLES}/hopperCertChain.txt"), format!("{SDK}/hopperCertChain.txt")] {
        let list = vec![device(&folder, "HOPPER", &report, &chain)];
        Gpus::new(&folder, list, "2024-06-01T00:00:00Z")
            .refused(NvidiaSignature, "is not signed by");
    }
    let switch = "nvidia-attestation-sdk/unit-tests/sample_attestation_data/switch";
    let report = format!("{switch}/switchAttestationReportInvalidSignature.txt");
    let chain = format!("{switch}/switchCertChain.txt");
    let list = vec![device(&folder, "LS10", &report, &chain)];
    Gpus::new(&folder, list, "2026-06-01T00:00:00Z").refused(NvidiaSignature, "is not signed by");
}

#[test]
fn measurements_that_differ_are_refused_by_their_indices() {
    let Some(folder) = folder() else { return };
    let list = vec![device(&folder, "HOPPER", REPORT, CHAIN)];
    let prod = Gpus::new(&folder, list, "2024-06-01T00:00:00Z")
        .with(&[NVTRUST[0], "nvidia-nvtrust/rims/1010_0200_882_96005E0001_PROD.swidtag"]);
    prod.refused(NvidiaMeasurements, "[1, 2, 3, 9]");
}

#[test]
fn reference_measurements_that_are_missing_are_named() {
    let Some(folder) = folder() else { return };
    let list = || vec![device(&folder, "HOPPER", REPORT, CHAIN)];
    let none = Gpus::new(&folder, list(), "2024-06-01T00:00:00Z");
    none.refused(NvidiaMeasurements, "NV_GPU_DRIVER_GH100_545");
    let driver = Gpus::new(&folder, list(), "2024-06-01T00:00:00Z").with(&NVTRUST[..1]);
    driver.refused(NvidiaMeasurements, "NV_GPU_VBIOS_1010_0200_882_96005E0001");
}

/// A report of a driver whose VBIOS alone has reference measurements.
fn half<'a>(folder: &'a Path, name: &str, at: &str, rims: &[&str]) -> Gpus<'a> {
    let (report, chain) = match name {
        "535.86.09" => ("hopperAttestationReport", "hopperCertChain"),
        "570.124.03" => ("hopperAttestationReportExpired", "hopperCertChainExpired"),
        other => panic!("no report of {other}"),
    };
    let (report, chain) = (format!("{SAMPLES}/{report}.txt"), format!("{SAMPLES}/{chain}.txt"));
    let list = vec![device(folder, "HOPPER", &report, &chain)];
    let mut gpus = Gpus::new(folder, list, at).with(rims);
    gpus.proxy.policy.nvidia.reference_measurements = Demand::Waived;
    gpus
}

#[test]
fn half_a_set_shows_half_and_no_more() {
    let Some(folder) = folder() else { return };
    let prod = "nvidia-nvtrust/rims/1010_0200_882_96005E0001_PROD.swidtag";
    for at in ["2023-06-23T09:30:33Z", "2025-06-22T09:30:33Z"] {
        let report = half(&folder, "535.86.09", at, &[prod]).accepted();
        let check = report.check(NvidiaMeasurements).unwrap();
        assert_eq!(check.outcome, Outcome::Waived, "{check:?}");
        assert!(check.seen.contains("NV_GPU_DRIVER_GH100_535.86.09"), "{}", check.seen);
    }
    let mut strict = half(&folder, "535.86.09", "2024-06-01T00:00:00Z", &[prod]);
    strict.proxy.policy.nvidia.reference_measurements = Demand::Required;
    strict.refused(NvidiaMeasurements, "NV_GPU_DRIVER_GH100_535.86.09");
}

#[test]
fn reference_measurements_of_another_revision_differ_at_one_index() {
    let Some(folder) = folder() else { return };
    let mismatch = format!("{RIMS}/NV_GPU_VBIOS_1010_0200_882_96005E0001_measurement_mismatch.xml");
    for at in ["2023-12-13T23:58:03Z", "2025-12-12T23:58:03Z"] {
        let report = half(&folder, "535.86.09", at, &[&mismatch]);
        let report = report.refused(NvidiaMeasurements, "VBIOS measurements differ at [9]");
        assert_eq!(report.outcome(NvidiaRimChain), Outcome::Waived);
    }
    let old = "nvidia-nvtrust/rims/1010_0205_862_96005E0004_PROD.swidtag";
    half(&folder, "570.124.03", "2025-06-01T00:00:00Z", &[old])
        .refused(NvidiaMeasurements, "differ at [9]");
    let old = "nvidia-nvtrust/rims/1010_0205_862_9600740020_PROD.swidtag";
    let (report, chain) =
        (format!("{SDK}/hopperAttestationReport.txt"), format!("{SDK}/hopperCertChain.txt"));
    let list = vec![device(&folder, "HOPPER", &report, &chain)];
    let mut gpus = Gpus::new(&folder, list, "2025-06-01T00:00:00Z").with(&[old]);
    gpus.proxy.policy.nvidia.reference_measurements = Demand::Waived;
    gpus.refused(NvidiaMeasurements, "differ at [9]");
}

#[test]
fn reference_measurements_that_were_edited_are_refused_before_any_comparison() {
    let Some(folder) = folder() else { return };
    let driver = format!("{RIMS}/NV_GPU_DRIVER_GH100_535.86.09_measurement_mismatch.xml");
    let report = half(&folder, "535.86.09", "2025-06-01T00:00:00Z", &[&driver]);
    report.refused(NvidiaRimDigest, "the driver manifest");

    let (report, chain) =
        (format!("{SDK}/switchAttestationReport.txt"), format!("{SDK}/switchCertChain.txt"));
    let rim = format!("{RIMS}/NV_SWITCH_BIOS_5612_0002_890_9610550001_invalid_signature.xml");
    let list = vec![device(&folder, "LS10", &report, &chain)];
    let switch = Gpus::new(&folder, list, "2026-05-01T00:00:00Z").with(&[&rim]);
    switch.refused(NvidiaRimDigest, "the VBIOS manifest");
}

#[test]
fn reference_measurements_whose_signer_has_expired_are_refused() {
    let Some(folder) = folder() else { return };
    let driver = format!("{RIMS}/NV_GPU_DRIVER_GH100_570.124.03_expired.xml");
    for at in ["2024-12-31T23:59:59Z", "2025-01-03T00:00:00Z", "2026-06-01T00:00:00Z"] {
        half(&folder, "570.124.03", at, &[&driver]).refused(NvidiaRimChain, "valid");
    }
}

#[test]
fn a_switch_of_today_has_all_its_measurements_but_is_no_gpu() {
    let Some(folder) = folder() else { return };
    let (report, chain) =
        (format!("{SDK}/switchAttestationReport.txt"), format!("{SDK}/switchCertChain.txt"));
    let rim = format!("{SDK}/switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml");
    for at in ["2026-05-20T22:02:51Z", "2027-11-02T23:59:59Z"] {
        let list = vec![device(&folder, "LS10", &report, &chain)];
        let report = Gpus::new(&folder, list, at).with(&[&rim]).refused(NvswitchBinding, "no GPU");
        let seen = &report.check(NvidiaMeasurements).unwrap().seen;
        assert!(seen.contains("31 of 31 equal"), "{seen}");
    }
}

#[test]
fn one_switch_four_times_is_one_device_and_four_gpus_are_four() {
    let Some(folder) = folder() else { return };
    let evidence = |file: &str| {
        let file = format!("nvidia-attestation-sdk/serialized_test_evidence/{file}.json");
        serde_json::from_slice::<Vec<Value>>(&read(&folder, &file)).unwrap()
    };
    let mut switches = Gpus::new(&folder, evidence("multi_switch_ls10"), "2026-06-01T00:00:00Z");
    switches.proxy.policy.nvidia.reference_measurements = Demand::Waived;
    switches.refused(NvidiaDistinctDevices, "devices 0 and 1 have the same");

    let mut gpus = Gpus::new(&folder, evidence("multi_gpu_hopper"), "2026-06-01T00:00:00Z");
    gpus.refused(NvidiaMeasurements, "device 0: there are no reference measurements");
    gpus.proxy.policy.nvidia.firmware_id = Demand::Required;
    gpus.proxy.policy.nvidia.reference_measurements = Demand::Waived;
    // Their links cross four switches that the document does not show.
    let report = gpus.refused(NvswitchBinding, "device 0 is linked to switches");
    assert_eq!(report.check(NvidiaDistinctDevices).unwrap().seen, "4 devices");
    assert_eq!(report.outcome(NvidiaFirmwareId), Outcome::Passed);
}

#[test]
fn a_blackwell_gpu_has_its_firmware_where_blackwell_has_it() {
    let Some(folder) = folder() else { return };
    let (report, chain) = (
        format!("{SAMPLES}/blackwellAttestationReport.txt"),
        format!("{SAMPLES}/blackwellCertChain.txt"),
    );
    let gpus = |architecture: &str| {
        let list = vec![device(&folder, architecture, &report, &chain)];
        let mut gpus = Gpus::new(&folder, list, "2026-06-01T00:00:00Z");
        gpus.proxy.policy.nvidia.firmware_id = Demand::Required;
        gpus.proxy.policy.nvidia.reference_measurements = Demand::Waived;
        gpus
    };
    let report = gpus("BLACKWELL").accepted();
    assert_eq!(report.outcome(NvidiaFirmwareId), Outcome::Passed);
    gpus("HOPPER").refused(NvidiaCertChain, "the certificate is of a GB100");
    assert_eq!(gpus("HOPPER").report().outcome(NvidiaFirmwareId), Outcome::Failed);
}
