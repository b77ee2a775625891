//! The network file: on which chain, under which contracts and which trust, people meet.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use subrosa_protocol::{Address, B256, Domain, Duration};

use crate::strict::{self, ConfigError};

/// A network file larger than this is no network file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A network: one TOML file that everybody on it shares.
///
/// With a chain it names node, contracts and publishers; without one (a team's private pods) it
/// pins the releases itself. `deploy/networks/` explains every member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// A short name for people.
    pub name: String,
    /// What evidence counts here.
    pub trust: Trust,
    /// The chain, if there is one.
    pub chain: Option<ChainParams>,
    /// Releases that the file itself vouches for.
    pub pinned: Pinned,
}

/// What evidence counts on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Only quotes of real hardware.
    Hardware,
    /// Quotes of the simulator's test root too: proves nothing, and everything shown says so.
    Simulated,
}

/// Where the money and the registries are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainParams {
    /// The EIP-155 chain id, never zero.
    pub chain_id: u64,
    /// The JSON-RPC endpoint of a node that the reader of this file trusts.
    pub rpc: String,
    /// The block that the contracts were deployed in, where reading of events starts.
    pub deployed_block: u64,
    /// When a block counts as final.
    pub finality: Finality,
    /// How old the finalised view may be before clients refuse to act on it.
    pub view_age_max: Duration,
    /// The contracts.
    pub contracts: Contracts,
    /// Who publishes releases.
    pub publishers: Publishers,
}

/// The addresses of the four contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contracts {
    /// `Escrow`: channels.
    pub escrow: Address,
    /// `PodRegistry`: who runs pods.
    pub registry: Address,
    /// `Releases`: which images and weights are published.
    pub releases: Address,
    /// The ERC-20 token that prices are in.
    pub token: Address,
}

/// Who publishes releases, and how many of them it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publishers {
    /// How many approvals publish.
    pub threshold: u64,
    /// The publishers.
    pub addresses: Vec<Address>,
}

/// Releases that a network file vouches for by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// Measurements of images.
    #[serde(default)]
    pub measurements: Vec<B256>,
    /// Digests of models.
    #[serde(default)]
    pub models: Vec<B256>,
    /// Hashes of blocks that its writer knows to be the chain's: exported receipts may rest on them.
    #[serde(default)]
    pub blocks: Vec<B256>,
}

/// When a block counts as final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FinalityFile", into = "FinalityFile")]
pub enum Finality {
    /// So many blocks were built upon it; for chains without finality of their own.
    Confirmations(u64),
    /// The node says so, by the block tag `finalized`.
    Finalized,
}

/// `finality = "finalized"` or `finality = 12`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum FinalityFile {
    Confirmations(u64),
    Tag(FinalityTag),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FinalityTag {
    Finalized,
}

impl From<FinalityFile> for Finality {
    fn from(file: FinalityFile) -> Finality {
        match file {
            FinalityFile::Confirmations(blocks) => Finality::Confirmations(blocks),
            FinalityFile::Tag(FinalityTag::Finalized) => Finality::Finalized,
        }
    }
}

impl From<Finality> for FinalityFile {
    fn from(finality: Finality) -> FinalityFile {
        match finality {
            Finality::Confirmations(blocks) => FinalityFile::Confirmations(blocks),
            Finality::Finalized => FinalityFile::Tag(FinalityTag::Finalized),
        }
    }
}

impl Network {
    /// Reads a network file.
    ///
    /// # Errors
    /// [`NetworkError`] naming the file and the fault in it.
    pub fn load(path: &Path) -> Result<Network, NetworkError> {
        let unreadable = |error| NetworkError::Unreadable { path: path.to_owned(), error };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > FILE_BYTES_MAX {
            return Err(NetworkError::TooLong { path: path.to_owned(), size });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Network::parse(&text).map_err(|fault| NetworkError::Fault { path: path.to_owned(), fault })
    }

    /// Reads the text of a network file.
    ///
    /// # Errors
    /// [`NetworkFault`] for unknown keys, values that contradict each other, or what is missing.
    pub fn parse(text: &str) -> Result<Network, NetworkFault> {
        strict::from_toml::<NetworkFile>(text)?.check()
    }

    /// The text of the network file, which [`parse`](Network::parse) reads back.
    pub fn to_toml(&self) -> String {
        toml::to_string(&NetworkFile::from(self)).expect("a network has only what TOML can hold")
    }

    /// What signatures on this network are bound to: zeros without a chain.
    pub fn domain(&self) -> Domain {
        self.chain.as_ref().map_or_else(Domain::default, ChainParams::domain)
    }

    /// Whether evidence here may be simulated.
    pub fn is_simulated(&self) -> bool {
        self.trust == Trust::Simulated
    }
}

impl ChainParams {
    /// What signatures on this chain are bound to.
    pub fn domain(&self) -> Domain {
        Domain { chain_id: self.chain_id, escrow: self.contracts.escrow }
    }
}

/// The file's shape; plain values stand before tables, as TOML wants.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkFile {
    name: String,
    trust: Trust,
    chain_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rpc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployed_block: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finality: Option<Finality>,
    #[serde(skip_serializing_if = "Option::is_none")]
    view_age_max_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contracts: Option<Contracts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publishers: Option<Publishers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned: Option<Pinned>,
}

impl NetworkFile {
    fn check(self) -> Result<Network, NetworkFault> {
        let pinned = self.pinned.clone().unwrap_or_default();
        let (name, trust) = (self.name.clone(), self.trust);
        let chain = match self.chain_id {
            0 => {
                self.refuse_chain_members()?;
                if pinned.measurements.is_empty() || pinned.models.is_empty() {
                    return Err(NetworkFault::NothingPinned);
                }
                if !pinned.blocks.is_empty() {
                    return Err(NetworkFault::WithoutChain { key: "pinned.blocks" });
                }
                None
            }
            _ => Some(self.chain()?),
        };
        Ok(Network { name, trust, chain, pinned })
    }

    fn chain(self) -> Result<ChainParams, NetworkFault> {
        let chain = ChainParams {
            chain_id: self.chain_id,
            rpc: self.rpc.ok_or(NetworkFault::Missing { key: "rpc" })?,
            deployed_block: self
                .deployed_block
                .ok_or(NetworkFault::Missing { key: "deployed_block" })?,
            finality: self.finality.ok_or(NetworkFault::Missing { key: "finality" })?,
            view_age_max: self
                .view_age_max_s
                .map(Duration)
                .ok_or(NetworkFault::Missing { key: "view_age_max_s" })?,
            contracts: self.contracts.ok_or(NetworkFault::Missing { key: "contracts" })?,
            publishers: self.publishers.ok_or(NetworkFault::Missing { key: "publishers" })?,
        };
        if !chain.rpc.starts_with("http://") && !chain.rpc.starts_with("https://") {
            return Err(NetworkFault::NotHttp);
        }
        chain.publishers.check()?;
        Ok(chain)
    }

    fn refuse_chain_members(&self) -> Result<(), NetworkFault> {
        let members = [
            ("rpc", self.rpc.is_some()),
            ("deployed_block", self.deployed_block.is_some()),
            ("finality", self.finality.is_some()),
            ("view_age_max_s", self.view_age_max_s.is_some()),
            ("contracts", self.contracts.is_some()),
            ("publishers", self.publishers.is_some()),
        ];
        match members.iter().find(|(_, present)| *present) {
            Some((key, _)) => Err(NetworkFault::WithoutChain { key }),
            None => Ok(()),
        }
    }
}

impl Publishers {
    fn check(&self) -> Result<(), NetworkFault> {
        let mut distinct = self.addresses.clone();
        distinct.sort();
        distinct.dedup();
        let count = distinct.len() as u64;
        let enough = (1..=count).contains(&self.threshold);
        if enough && distinct.len() == self.addresses.len() {
            Ok(())
        } else {
            Err(NetworkFault::Threshold { threshold: self.threshold, publishers: count })
        }
    }
}

impl From<&Network> for NetworkFile {
    fn from(network: &Network) -> NetworkFile {
        let chain = network.chain.as_ref();
        let pins = network.pinned != Pinned::default();
        NetworkFile {
            name: network.name.clone(),
            trust: network.trust,
            chain_id: chain.map_or(0, |chain| chain.chain_id),
            rpc: chain.map(|chain| chain.rpc.clone()),
            deployed_block: chain.map(|chain| chain.deployed_block),
            finality: chain.map(|chain| chain.finality),
            view_age_max_s: chain.map(|chain| chain.view_age_max.0),
            contracts: chain.map(|chain| chain.contracts),
            publishers: chain.map(|chain| chain.publishers.clone()),
            pinned: pins.then(|| network.pinned.clone()),
        }
    }
}

/// What is wrong in a network file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// The text is not a network file at all.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A network with a chain leaves something out.
    #[error("key {key:?} is missing, which a network with a chain needs")]
    Missing {
        /// What is missing.
        key: &'static str,
    },
    /// The node's address has a scheme that we do not speak.
    #[error("rpc must start with http:// or https://")]
    NotHttp,
    /// Without a chain nobody else can say which releases are good.
    #[error("a network without a chain (chain_id 0) must pin measurements and models")]
    NothingPinned,
    /// More approvals are asked for than publishers exist, or none, or one is listed twice.
    #[error(
        "{threshold} of {publishers} distinct publishers cannot publish; \
             the threshold is 1 to their number, and each is listed once"
    )]
    Threshold {
        /// How many approvals are asked for.
        threshold: u64,
        /// How many different publishers are listed.
        publishers: u64,
    },
    /// A network without a chain names something of a chain.
    #[error("key {key:?} means nothing without a chain (chain_id 0)")]
    WithoutChain {
        /// What is too much.
        key: &'static str,
    },
}

/// Why a network file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The file's content is at fault.
    #[error("the network file {} is refused: {fault}", path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        fault: NetworkFault,
    },
    /// The file is too large to be one.
    #[error("{} has {size} bytes, which is no network file", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// The file cannot be read.
    #[error("the network file {} cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../deploy/networks/example.toml");
    const PRIVATE: &str = include_str!("../../../deploy/networks/private.toml");

    #[test]
    fn the_example_with_a_chain_reads_and_survives_a_round_trip() {
        let network = Network::parse(EXAMPLE).unwrap();
        let chain = network.chain.as_ref().unwrap();
        assert_eq!(chain.finality, Finality::Finalized);
        assert_eq!(
            network.domain(),
            Domain { chain_id: chain.chain_id, escrow: chain.contracts.escrow }
        );
        assert_eq!(Network::parse(&network.to_toml()).unwrap(), network);
    }

    #[test]
    fn the_example_without_a_chain_reads_and_signs_for_no_chain() {
        let network = Network::parse(PRIVATE).unwrap();
        assert!(network.chain.is_none());
        assert!(network.domain().is_chainless());
        assert_eq!(Network::parse(&network.to_toml()).unwrap(), network);
    }

    #[test]
    fn blocks_are_pinned_where_there_is_a_chain() {
        let block = B256::repeat_byte(0xb1);
        let pinned = |text: &str| format!("{text}\n[pinned]\nblocks = [\"{block}\"]\n");
        let network = Network::parse(&pinned(EXAMPLE)).unwrap();
        assert_eq!(network.pinned.blocks, [block]);
        assert_eq!(Network::parse(&network.to_toml()).unwrap(), network);
        let chainless = PRIVATE.replace("[pinned]", &format!("[pinned]\nblocks = [\"{block}\"]"));
        let fault = Network::parse(&chainless).unwrap_err();
        assert_eq!(fault, NetworkFault::WithoutChain { key: "pinned.blocks" });
    }

    #[test]
    fn confirmations_are_a_number() {
        let text = EXAMPLE.replace("finality = \"finalized\"", "finality = 12");
        let network = Network::parse(&text).unwrap();
        assert_eq!(network.chain.as_ref().unwrap().finality, Finality::Confirmations(12));
        assert_eq!(Network::parse(&network.to_toml()).unwrap(), network);
    }

    fn fault_of(from: &str, to: &str) -> NetworkFault {
        assert!(EXAMPLE.contains(from), "{from}");
        Network::parse(&EXAMPLE.replace(from, to)).unwrap_err()
    }

    #[test]
    fn an_unknown_key_suggests_the_nearest() {
        let fault = fault_of("escrow =", "escorw =");
        assert!(fault.to_string().contains("did you mean \"escrow\"?"), "{fault}");
        let fault = fault_of("trust =", "trsut =");
        assert!(fault.to_string().contains("did you mean \"trust\"?"), "{fault}");
    }

    #[test]
    fn a_chain_without_a_view_age_is_refused() {
        let fault = fault_of("view_age_max_s =", "# view_age_max_s =");
        assert_eq!(fault, NetworkFault::Missing { key: "view_age_max_s" });
    }

    #[test]
    fn a_threshold_that_nobody_can_reach_is_refused() {
        for threshold in [0, 4] {
            let fault = fault_of("threshold = 2", &format!("threshold = {threshold}"));
            assert_eq!(fault, NetworkFault::Threshold { threshold, publishers: 3 });
        }
    }

    #[test]
    fn an_rpc_that_is_not_http_is_refused() {
        assert_eq!(fault_of("https://", "ws://"), NetworkFault::NotHttp);
    }

    #[test]
    fn an_unknown_trust_is_refused() {
        assert!(matches!(
            fault_of("\"hardware\"", "\"whatever\""),
            NetworkFault::Config(ConfigError::Invalid { .. })
        ));
    }

    #[test]
    fn a_network_without_a_chain_names_no_chain_and_pins_its_releases() {
        let with_rpc = PRIVATE.replace("chain_id = 0", "chain_id = 0\nrpc = \"http://x\"");
        assert_eq!(
            Network::parse(&with_rpc).unwrap_err(),
            NetworkFault::WithoutChain { key: "rpc" }
        );
        let unpinned = PRIVATE.split("[pinned]").next().unwrap();
        assert_eq!(Network::parse(unpinned).unwrap_err(), NetworkFault::NothingPinned);
    }

    #[test]
    fn garbage_does_not_panic() {
        for garbage in ["", "\u{0}\u{1}", "chain_id = -1", "[contracts]\nescrow = 7"] {
            assert!(Network::parse(garbage).is_err(), "{garbage:?}");
        }
    }
}
