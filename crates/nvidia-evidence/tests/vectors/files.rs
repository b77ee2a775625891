//! Where the files are, and what they hold.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subrosa_nvidia_evidence::{
    Appraisal, Architecture, CheckName, Collateral, Demand, DeviceEvidence, Outcome, Policy,
    RimKind, RimStore, appraise_device,
};

pub(crate) const GO: &str = "go-nvtrust";
pub(crate) const TRUST: &str = "nvidia-nvtrust";
pub(crate) const SDK: &str = "nvidia-attestation-sdk/unit-tests";
pub(crate) const SAMPLE: &str = "nvidia-attestation-sdk/unit-tests/sample_attestation_data";
pub(crate) const RIMS: &str = "nvidia-attestation-sdk/unit-tests/sample_rims";
pub(crate) const SERIALIZED: &str = "nvidia-attestation-sdk/serialized_test_evidence";

/// Answers these questions only where the files are; says so where they are not.
pub(crate) fn vectors() -> Option<Vectors> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let root = std::env::var_os("SUBROSA_VECTORS").map_or_else(default, PathBuf::from);
    if root.join(GO).is_dir() {
        return Some(Vectors { root });
    }
    #[allow(clippy::print_stderr)] // a test that did not run must say so
    {
        eprintln!("skipped: no vectors at {}", root.display());
    }
    None
}

pub(crate) struct Vectors {
    root: PathBuf,
}

impl Vectors {
    pub(crate) fn path(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }

    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        let path = self.root.join(path);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn report(&self, path: &str) -> Vec<u8> {
        let text = String::from_utf8(self.bytes(path)).expect("reports are kept as hex");
        hex::decode(text.trim()).expect("reports are kept as hex")
    }

    pub(crate) fn device(&self, architecture: Architecture, report: &str, chain: &str) -> Device {
        Device { architecture, report: self.report(report), chain: self.bytes(chain) }
    }

    /// The one complete set of a GPU.
    pub(crate) fn h100(&self) -> Device {
        let (report, chain) = ("attestationReport.txt", "gpuAkCertChain.txt");
        self.device(Architecture::Hopper, &at(GO, report), &at(GO, chain))
    }

    pub(crate) fn h100_rims(&self) -> RimStore {
        self.rims(&[DRIVER_545, VBIOS_5E_01])
    }

    pub(crate) fn switch(&self) -> Device {
        let (report, chain) = ("switchAttestationReport.txt", "switchCertChain.txt");
        self.device(Architecture::Ls10, &at(SDK, report), &at(SDK, chain))
    }

    pub(crate) fn rims(&self, paths: &[&str]) -> RimStore {
        let mut store = RimStore::new();
        for path in paths {
            store.add(&self.bytes(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        store
    }

    /// The form that NRAS and `nvidia_payload` use.
    pub(crate) fn serialized(&self, name: &str) -> Vec<(Device, [u8; 32])> {
        let text = self.bytes(&at(SERIALIZED, name));
        let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let device = |it: &serde_json::Value| {
            let text = |name: &str| it[name].as_str().expect("text").to_owned();
            let decode = |name: &str| STANDARD.decode(text(name)).expect("base64");
            let architecture = Architecture::from_name(&text("arch")).expect("a known name");
            let (report, chain) = (decode("evidence"), decode("certificate"));
            (Device { architecture, report, chain }, nonce(&text("nonce")))
        };
        value.as_array().expect("an array").iter().map(device).collect()
    }
}

pub(crate) const DRIVER_545: &str = "nvidia-nvtrust/rims/Driver_RIM_test_no_gpu.swidtag";
pub(crate) const VBIOS_5E_01: &str =
    "nvidia-nvtrust/rims/1010_0200_882_96005E0001_test_no_gpu.swidtag";
pub(crate) const VBIOS_5E_01_PROD: &str =
    "nvidia-nvtrust/rims/1010_0200_882_96005E0001_PROD.swidtag";
pub(crate) const SWITCH_RIM: &str = "nvidia-attestation-sdk/unit-tests/\
    switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml";

pub(crate) const H100_NONCE: &str =
    "4cff7f5380ead8fad8ec2c531c110aca4302a88f603792801a8ca29ee151af2e";
pub(crate) const KNOWN_NONCE: &str =
    "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb";

/// 2024-06-01T00:00:00Z
pub(crate) const JUNE_2024: u64 = 1_717_200_000;

pub(crate) fn at(folder: &str, name: &str) -> String {
    format!("{folder}/{name}")
}

pub(crate) fn nonce(text: &str) -> [u8; 32] {
    hex::decode(text).expect("hex").try_into().expect("32 bytes")
}

/// `2024-06-01T00:00:00Z` in Unix seconds.
pub(crate) fn utc(text: &str) -> u64 {
    let time: der::DateTime = text.parse().expect("a time");
    time.unix_duration().as_secs()
}

/// Owned evidence of one device.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) architecture: Architecture,
    pub(crate) report: Vec<u8>,
    pub(crate) chain: Vec<u8>,
}

impl Device {
    pub(crate) fn evidence(&self) -> DeviceEvidence<'_> {
        let Self { architecture, report, chain } = self;
        DeviceEvidence { architecture: *architecture, report, chain_pem: chain }
    }

    /// The nonce that the report answers, for reports whose nonce nobody wrote down.
    pub(crate) fn own_nonce(&self) -> [u8; 32] {
        self.report[4..36].try_into().expect("a report has 37 bytes of request")
    }

    pub(crate) fn appraise(&self, rims: &RimStore, nonce: &[u8; 32], at: u64) -> Appraisal {
        let collateral = Collateral { rims, ocsp: &[], crls: &[] };
        appraise_device(&self.evidence(), &collateral, nonce, &offline(), at)
    }
}

/// What samples cannot carry is waived by name: no sample has an OCSP answer, some have no FWID.
pub(crate) fn offline() -> Policy {
    Policy {
        fwid: Demand::Waived,
        device_revocation: Demand::Waived,
        rim_revocation: Demand::Waived,
        ..Policy::strict()
    }
}

/// As [`offline`], for reports whose reference measurements nobody published.
pub(crate) fn without_rims() -> Policy {
    Policy { rims: Demand::Waived, ..offline() }
}

pub(crate) fn passed(appraisal: &Appraisal, name: CheckName, rim: Option<RimKind>) -> &str {
    match appraisal.outcome(name, rim) {
        Some(Outcome::Passed(seen)) => seen,
        other => panic!("{name} of {rim:?}: {other:?}"),
    }
}
