//! The files that the demo writes: what a person would write by hand to run three pods.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use subrosa_attester::{SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator};
use subrosa_chain::{Passphrase, Wallet};
use subrosa_protocol::{Address, B256};

/// The image that is released.
pub(crate) const RELEASED_IMAGE: &str = "subrosa/pod";

/// The image that the liar's simulator measures: nobody released it.
pub(crate) const LIARS_IMAGE: &str = "subrosa/pod, with a tap on the prompts";

/// What the demo's keystores are locked with. Their keys are worth nothing.
pub(crate) const PASSPHRASE: &str = "the keys of the demo are worth nothing";

/// One of the three pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Cheap,
    Dear,
    Liar,
}

impl Role {
    pub(crate) const ALL: [Role; 3] = [Role::Cheap, Role::Dear, Role::Liar];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Cheap => "cheap",
            Role::Dear => "dear",
            Role::Liar => "liar",
        }
    }

    /// The number of its operator's wallet, and its salt.
    pub(crate) fn number(self) -> usize {
        match self {
            Role::Cheap => 1,
            Role::Dear => 2,
            Role::Liar => 3,
        }
    }

    /// The machine that its simulator stands in for.
    pub(crate) fn kind(self) -> SimulatedKind {
        match self {
            Role::Cheap => {
                SimulatedKind { gpus: SimulatedGpus::EightHoppers, ..SimulatedKind::TDX }
            }
            Role::Dear => SimulatedKind { cpu: SimulatedCpu::Snp, gpus: SimulatedGpus::None },
            Role::Liar => SimulatedKind::TDX,
        }
    }

    fn image(self) -> &'static str {
        match self {
            Role::Cheap | Role::Dear => RELEASED_IMAGE,
            Role::Liar => LIARS_IMAGE,
        }
    }

    /// Atomic units per million tokens read and written. The liar is the cheapest, as liars are.
    fn prices(self) -> (u64, u64) {
        match self {
            Role::Cheap => (1_000_000, 3_000_000),
            Role::Dear => (3_000_000, 9_000_000),
            Role::Liar => (500_000, 1_500_000),
        }
    }

    fn about(self) -> &'static str {
        match self {
            Role::Cheap => "An honest pod, and a cheap one: TDX with eight GPUs.",
            Role::Dear => "An honest pod that asks three times the price: SEV-SNP.",
            Role::Liar => "A pod that lies: its simulator measures an image that is not released.",
        }
    }
}

/// The measurements that the demo's publishers release: of one image, on each kind of machine.
pub(crate) fn released_measurements() -> Vec<B256> {
    let released = |role: Role| Simulator::measurement_of(role.kind(), RELEASED_IMAGE);
    let measurements: BTreeSet<_> = Role::ALL.into_iter().map(released).collect();
    measurements.into_iter().collect()
}

/// Writes a wallet's keystore, and its passphrase beside it.
pub(crate) fn wallet(folder: &Path, name: &str, wallet: &Wallet) -> Result<()> {
    let keystore = folder.join(format!("{name}.json"));
    let passphrase = Passphrase::new(PASSPHRASE.into());
    wallet.save(&keystore, &passphrase)?;
    private(&folder.join(format!("{name}.pass")), &format!("{PASSPHRASE}\n"))
}

/// Writes a pod's folder; gives the path of its configuration.
pub(crate) fn pod(folder: &Path, role: Role, payee: Address, network: &Path) -> Result<PathBuf> {
    let path = folder.join("pod.toml");
    fs::write(&path, pod_toml(role, payee, network))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn pod_toml(role: Role, payee: Address, network: &Path) -> String {
    let (name, about) = (role.name(), role.about());
    let (kind, image) = (role.kind(), role.image());
    let (input, output) = role.prices();
    let salt = format!("0x{:064x}", role.number());
    let network = toml::Value::String(network.display().to_string());
    format!(
        r#"# {about} Its evidence is SIMULATED.
# `subrosa config example pod` explains the members.
name = "{name}"
listen = "127.0.0.1:0"
endpoint = ""
state_dir = "state"
network = {network}
payee = "{payee}"
salt = "{salt}"
signer_file = "signer.key"
slips_file = "slips.json"
offer_weeks = 4
withdraw_delay = 3600
allow_list = []

[operator]
wallet = "operator.json"
passphrase_file = "operator.pass"

[attester.simulator]
kind = "{kind}"
image = "{image}"

[backend.builtin]
model = "smollm2"
parallel = 2
queue = 8

# Atomic token units per million tokens.
[prices]
input = "{input}"
output = "{output}"

[claims]
every_s = 3600
rows = 50
min_gain = "10000"
"#
    )
}

fn private(path: &Path, text: &str) -> Result<()> {
    let told = || format!("cannot write {}", path.display());
    let file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.with_context(told)?.write_all(text.as_bytes()).with_context(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use subrosa_pod::PodConfig;

    #[test]
    fn each_pods_file_is_a_configuration() {
        for role in Role::ALL {
            let text = pod_toml(role, Address::repeat_byte(7), Path::new("/a \"b\"/network.toml"));
            let config = PodConfig::parse(&text).unwrap();
            assert_eq!(config.name, role.name());
            assert_eq!(config.network, Path::new("/a \"b\"/network.toml"));
        }
    }

    #[test]
    fn the_liar_is_the_cheapest_and_the_dear_one_costs_three_times_as_much() {
        let price = |role: Role| role.prices().1;
        assert!(price(Role::Liar) < price(Role::Cheap));
        assert_eq!(price(Role::Dear), 3 * price(Role::Cheap));
    }
}
