//! What a pod is told: one visible TOML file a pod, every member named, none guessed.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use subrosa_attester::SimulatedKind;
use subrosa_chain::Passphrase;
use subrosa_protocol::{Address, Amount, B256, Duration, Price};
use zeroize::Zeroizing;

/// The longest offer: a price that binds for longer than a quarter of a year is a mistake.
const OFFER_WEEKS_MAX: u64 = 13;

/// The contract takes no shorter withdrawal delay (spec/escrow.md 1.3).
const WITHDRAW_DELAY_MIN: u64 = 3_600;

/// The contract takes no longer withdrawal delay, as in x402.
const WITHDRAW_DELAY_MAX: u64 = 2_592_000;

/// One claim transaction holds at most this many rows; more would outgrow a block's gas.
const CLAIM_ROWS_MAX: usize = 200;

/// A pod's configuration file. Relative paths are relative to the file's folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodConfig {
    /// What the operator calls the pod; it stands in logs only.
    pub name: String,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The address that callers reach the pod at, as it is registered; empty: `https://` and the
    /// address that the pod listens at.
    pub endpoint: String,
    /// Where the ledger, the offer and the slips are kept. Only the guest may read it.
    pub state_dir: PathBuf,
    /// The network file.
    pub network: PathBuf,
    /// Whom channels pay.
    pub payee: Address,
    /// Tells apart the pods of one operator: with the operator's address it makes the pod's id.
    pub salt: B256,
    /// The signer's key, mode 0600, on the guest's tmpfs: it outlives the process, not the boot.
    pub signer_file: PathBuf,
    /// Where slips are written out every 10 s: on storage that outlives the guest.
    pub slips_file: PathBuf,
    /// How many weeks an offer lasts, 1 to 13.
    pub offer_weeks: u64,
    /// The withdrawal delay that channels must have, in seconds.
    pub withdraw_delay: Duration,
    /// The wallet that registers and claims; absent on a network without a chain.
    pub operator: Option<OperatorConfig>,
    /// Where evidence comes from.
    pub attester: AttesterConfig,
    /// What generates the answers.
    pub backend: BackendConfig,
    /// What tokens cost.
    pub prices: PriceConfig,
    /// When earned charges are claimed.
    pub claims: ClaimConfig,
    /// The keys that may ask on a network without a chain; empty on one with a chain.
    pub allow_list: Vec<Address>,
}

/// The operator's wallet.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorConfig {
    /// The encrypted keystore file.
    pub wallet: PathBuf,
    /// A file that holds the passphrase in its first line.
    pub passphrase_file: Option<PathBuf>,
    /// An environment variable that holds the passphrase.
    pub passphrase_env: Option<String>,
}

/// Where evidence comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum AttesterConfig {
    /// The machine that the pod runs on.
    Hardware(HardwareConfig),
    /// The simulator: accepted only on networks that say `trust = "simulated"`.
    Simulator {
        /// The machine that it stands in for, such as `simulated-tdx-8gpu`.
        kind: SimulatedKind,
        /// The label of the image that it measures.
        image: String,
    },
}

/// The machine that the pod runs on, and who states what about it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HardwareConfig {
    /// The name of the image that it booted, for people; what counts is what the processor measured.
    pub image: String,
    /// Where the processor is asked.
    pub processor: ProcessorConfig,
    /// Where GPUs and switches are asked.
    pub devices: DevicesConfig,
    /// The folder in which the vendors' statements are kept.
    pub endorsements_dir: PathBuf,
    /// Who is asked for those statements; the vendors themselves where it is left out.
    pub services: Option<ServicesConfig>,
}

/// Where a pod's processor is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessorConfig {
    /// The kernel of a confidential virtual machine: Intel TDX or AMD SEV-SNP.
    ConfigfsTsm,
    /// dstack's guest agent.
    Dstack,
    /// Gramine, in an enclave of Intel SGX.
    Gramine,
}

/// Where a pod's GPUs and switches are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DevicesConfig {
    /// dstack's guest agent.
    Dstack,
    /// Nowhere: the pod computes on its processor alone.
    None,
    /// NVIDIA's libraries: NVML and, where GPUs talk through switches, NSCQ.
    Nvml,
}

/// Who states what about hardware: addresses without a slash at the end.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServicesConfig {
    /// Intel's provisioning certification service, or a cache of it (PCCS).
    pub intel: String,
    /// AMD's key distribution service, or a mirror of it.
    pub amd: String,
    /// NVIDIA's reference measurements, or a mirror of them.
    pub nvidia_rim: String,
    /// NVIDIA's revocations, or a mirror of them.
    pub nvidia_ocsp: String,
}

/// What generates the answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum BackendConfig {
    /// The engine in the pod's process.
    Builtin {
        /// The model's name in the catalogue.
        model: String,
        /// How many sequences are decoded at once.
        parallel: usize,
        /// How many more wait before callers are told to come later.
        queue: usize,
    },
    /// An Ollama server in the pod's image.
    Ollama {
        /// Its loopback address.
        url: String,
        /// The folder that it loads models from, which the pod hashes.
        models_dir: PathBuf,
        /// The model's name in Ollama.
        model: String,
    },
    /// Set answers, for tests and benches.
    Scripted {
        /// The model's name.
        model: String,
        /// Every answer; each word is a token.
        answer: String,
        /// How long a prompt takes, in milliseconds.
        prefill_ms: u64,
        /// How long a token takes, in milliseconds.
        per_token_ms: u64,
    },
}

/// What tokens cost, in atomic token units per million.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceConfig {
    /// Per million tokens of the prompt.
    pub input: Amount,
    /// Per million tokens of the answer.
    pub output: Amount,
}

/// When earned charges are claimed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimConfig {
    /// Seconds between two looks whether a claim is worth its gas.
    pub every_s: u64,
    /// As soon as this many channels hold something unclaimed, claim without waiting for the hour.
    pub rows: usize,
    /// Claim on schedule only what is at least this much, in atomic token units.
    pub min_gain: Amount,
}

impl PodConfig {
    /// Reads a configuration file and makes its paths absolute.
    ///
    /// # Errors
    /// [`ConfigError`], naming the file or the member.
    pub fn load(path: &Path) -> Result<PodConfig, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let mut config = PodConfig::parse(&text)?;
        let folder = std::path::absolute(path).map_err(unreadable)?;
        config.resolve(folder.parent().unwrap_or(Path::new("/")));
        Ok(config)
    }

    /// Reads the text of a configuration file; paths stay as they are written.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`] for text that is no such file, else the member that is out of
    /// bounds.
    pub fn parse(text: &str) -> Result<PodConfig, ConfigError> {
        let config: PodConfig = toml::from_str(text).map_err(ConfigError::Malformed)?;
        config.check()?;
        Ok(config)
    }

    /// A complete file to start from.
    pub fn example() -> &'static str {
        include_str!("example.toml")
    }

    /// The price as the protocol knows it.
    pub fn price(&self) -> Price {
        Price { input: self.prices.input, output: self.prices.output }
    }

    fn resolve(&mut self, folder: &Path) {
        let mut paths = vec![
            &mut self.state_dir,
            &mut self.network,
            &mut self.signer_file,
            &mut self.slips_file,
        ];
        if let Some(operator) = &mut self.operator {
            paths.push(&mut operator.wallet);
            paths.extend(operator.passphrase_file.as_mut());
        }
        if let BackendConfig::Ollama { models_dir, .. } = &mut self.backend {
            paths.push(models_dir);
        }
        if let AttesterConfig::Hardware(hardware) = &mut self.attester {
            paths.push(&mut hardware.endorsements_dir);
        }
        for path in paths {
            *path = folder.join(&*path);
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let bounds = [
            ("name", "1 to 64 letters, digits, dots and dashes", is_plain(&self.name)),
            ("endpoint", "empty or an https:// address", is_endpoint(&self.endpoint)),
            ("offer_weeks", "1 to 13", (1..=OFFER_WEEKS_MAX).contains(&self.offer_weeks)),
            (
                "withdraw_delay",
                "3600 to 2592000 seconds",
                (WITHDRAW_DELAY_MIN..=WITHDRAW_DELAY_MAX).contains(&self.withdraw_delay.0),
            ),
            ("claims.every_s", "at least 1", self.claims.every_s > 0),
            ("claims.rows", "1 to 200", (1..=CLAIM_ROWS_MAX).contains(&self.claims.rows)),
            (
                "operator",
                "given one source of its passphrase at most",
                self.operator.as_ref().is_none_or(|operator| {
                    operator.passphrase_file.is_none() || operator.passphrase_env.is_none()
                }),
            ),
        ];
        match bounds.into_iter().find(|(_, _, holds)| !holds) {
            Some((member, must, _)) => Err(ConfigError::OutOfBounds { member, must }),
            None => Ok(()),
        }
    }
}

impl AttesterConfig {
    /// The name of the image that the machine booted.
    pub fn image(&self) -> &str {
        match self {
            AttesterConfig::Hardware(hardware) => &hardware.image,
            AttesterConfig::Simulator { image, .. } => image,
        }
    }
}

impl OperatorConfig {
    /// The passphrase, where the configuration names its source.
    pub(crate) fn passphrase(&self) -> Result<Option<Passphrase>, ConfigError> {
        if let Some(path) = &self.passphrase_file {
            let unreadable = |source| ConfigError::Unreadable { path: path.clone(), source };
            let text = Zeroizing::new(fs::read_to_string(path).map_err(unreadable)?);
            let line = text.lines().next().unwrap_or_default();
            return Ok(Some(Passphrase::new(line.to_owned())));
        }
        let Some(variable) = &self.passphrase_env else {
            return Ok(None);
        };
        let text = std::env::var(variable)
            .map_err(|_| ConfigError::NoVariable { variable: variable.clone() })?;
        Ok(Some(Passphrase::new(text)))
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

fn is_endpoint(endpoint: &str) -> bool {
    endpoint.is_empty()
        || endpoint.strip_prefix("https://").is_some_and(|rest| {
            !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
        })
}

/// Why a configuration file is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The text is not TOML, a member is missing, unknown or of another type.
    #[error("the pod's configuration does not parse: {0}")]
    Malformed(toml::de::Error),
    /// The environment variable for the passphrase is not set, or is not text.
    #[error("the environment variable {variable} must hold the wallet's passphrase")]
    NoVariable {
        /// Its name.
        variable: String,
    },
    /// A member has a value outside its bounds.
    #[error("{member} must be {must}")]
    OutOfBounds {
        /// The member.
        member: &'static str,
        /// What it must be.
        must: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(from: &str, to: &str) -> Result<PodConfig, ConfigError> {
        assert!(PodConfig::example().contains(from), "{from}");
        PodConfig::parse(&PodConfig::example().replace(from, to))
    }

    #[test]
    fn the_example_is_a_configuration() {
        let config = PodConfig::parse(PodConfig::example()).unwrap();
        assert_eq!(config.name, "first");
        assert!(
            matches!(config.backend, BackendConfig::Builtin { ref model, .. } if model == "smollm2")
        );
    }

    #[test]
    fn an_unknown_member_is_refused_at_every_level() {
        for (from, to) in [
            ("name =", "colour = \"red\"\nname ="),
            ("[prices]", "[prices]\ncolour = 1"),
            ("[claims]", "[claims]\ncolour = 1"),
            ("[operator]", "[operator]\ncolour = 1"),
            ("[attester.simulator]", "[attester.simulator]\ncolour = 1"),
            ("[backend.builtin]", "[backend.builtin]\ncolour = 1"),
        ] {
            let error = with(from, to).unwrap_err();
            assert!(error.to_string().contains("colour"), "{error}");
        }
    }

    #[test]
    fn a_missing_member_is_refused() {
        for member in ["offer_weeks = 4\n", "kind = \"simulated-tdx\"\n"] {
            assert!(matches!(with(member, ""), Err(ConfigError::Malformed(_))), "{member}");
        }
    }

    #[test]
    fn every_kind_of_simulated_machine_can_be_named() {
        for kind in SimulatedKind::all() {
            let config = with("\"simulated-tdx\"", &format!("\"{kind}\"")).unwrap();
            assert!(
                matches!(config.attester, AttesterConfig::Simulator { kind: named, .. } if named == kind)
            );
        }
    }

    /// The example with hardware in the simulator's place.
    fn hardware(from: &str, to: &str) -> Result<PodConfig, ConfigError> {
        let example = PodConfig::example();
        let (before, rest) = example.split_once("[attester.simulator]").unwrap();
        let (_, after) = rest.split_once("\n# A model").unwrap();
        let table = "[attester.hardware]\nimage = \"pod\"\nprocessor = \"configfs-tsm\"\n\
                     devices = \"nvml\"\nendorsements_dir = \"kept\"\n\n\
                     [attester.hardware.services]\nintel = \"https://pccs\"\namd = \"https://a\"\n\
                     nvidia_rim = \"https://r\"\nnvidia_ocsp = \"https://o\"\n";
        assert!(table.contains(from), "{from}");
        PodConfig::parse(&format!("{before}{}\n# A model{after}", table.replace(from, to)))
    }

    #[test]
    fn hardware_can_be_named() {
        let AttesterConfig::Hardware(config) = hardware("", "").unwrap().attester else {
            panic!("it names hardware")
        };
        assert_eq!(config.processor, ProcessorConfig::ConfigfsTsm);
        assert_eq!(config.devices, DevicesConfig::Nvml);
        assert_eq!(config.services.unwrap().intel, "https://pccs");
        for processor in ["dstack", "gramine"] {
            hardware("\"configfs-tsm\"", &format!("{processor:?}")).unwrap();
        }
        for devices in ["dstack", "none"] {
            hardware("\"nvml\"", &format!("{devices:?}")).unwrap();
        }
    }

    #[test]
    fn the_folder_of_endorsements_is_relative_to_the_file() {
        let mut config = hardware("", "").unwrap();
        config.resolve(Path::new("/etc/pod"));
        let AttesterConfig::Hardware(config) = config.attester else { panic!("it names hardware") };
        assert_eq!(config.endorsements_dir, Path::new("/etc/pod/kept"));
    }

    #[test]
    fn hardware_that_nobody_can_ask_is_refused() {
        for (from, to) in [
            ("\"configfs-tsm\"", "\"tpm\""),
            ("\"nvml\"", "\"rocm\""),
            ("devices = \"nvml\"\n", ""),
            ("processor = \"configfs-tsm\"\n", ""),
            ("endorsements_dir = \"kept\"\n", ""),
            ("image = \"pod\"\n", ""),
            ("amd = \"https://a\"\n", ""),
            ("image = \"pod\"\n", "image = \"pod\"\ncolour = 1\n"),
        ] {
            let error = hardware(from, to).unwrap_err();
            assert!(matches!(error, ConfigError::Malformed(_)), "{from}: {error}");
        }
    }

    #[test]
    fn a_machine_that_nobody_simulates_is_refused_with_those_that_there_are() {
        for name in ["tdx", "simulated-TDX", "simulated-nitro", ""] {
            let error = with("\"simulated-tdx\"", &format!("{name:?}")).unwrap_err();
            assert!(error.to_string().contains("simulated-tdx-dstack"), "{error}");
        }
    }

    #[test]
    fn values_out_of_bounds_name_their_member() {
        for (from, to, expected) in [
            ("offer_weeks = 4", "offer_weeks = 0", "offer_weeks"),
            ("withdraw_delay = 86400", "withdraw_delay = 60", "withdraw_delay"),
            ("name = \"first\"", "name = \"a b\"", "name"),
            ("endpoint = \"\"", "endpoint = \"http://pod\"", "endpoint"),
            ("rows = 50", "rows = 0", "claims.rows"),
        ] {
            match with(from, to) {
                Err(ConfigError::OutOfBounds { member, .. }) => assert_eq!(member, expected),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn relative_paths_are_relative_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pod.toml");
        fs::write(&file, PodConfig::example()).unwrap();
        let config = PodConfig::load(&file).unwrap();
        assert_eq!(config.network, folder.path().join("network.toml"));
        assert_eq!(config.signer_file, Path::new("/dev/shm/subrosa-first.key"));
    }
}
