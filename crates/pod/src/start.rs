//! Why a pod does not start.

/// Why a pod does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration's source of the passphrase cannot be used.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Book(#[from] crate::book::BookError),
    /// A network with a chain, and no wallet to register and claim with.
    #[error("this network has a chain; the pod needs the [operator] table with a wallet")]
    NoOperator,
    /// The wallet's passphrase is nowhere.
    #[error("the wallet needs its passphrase: name passphrase_file or passphrase_env, or type it")]
    NoPassphrase,
    /// There is no folder that models are kept in.
    #[error(transparent)]
    Cache(#[from] subrosa_engine::CacheError),
    /// The chain cannot be read, or does not take the registration.
    #[error(transparent)]
    Chain(#[from] crate::link::LinkError),
    /// Nobody can be asked for what the vendors state about the hardware.
    #[error(transparent)]
    Endorser(#[from] subrosa_attester::EndorseError),
    /// There is no evidence.
    #[error(transparent)]
    Evidence(#[from] crate::evidence::EvidenceError),
    /// The address cannot be listened at.
    #[error("the pod cannot listen: {0}; choose another address or port")]
    Listen(std::io::Error),
    /// An allow-list on a network where callers pay.
    #[error("allow_list is for networks without a chain; leave it empty")]
    ListWithChain,
    /// A price on a network where nobody can pay.
    #[error("this network has no chain to pay on; set both prices to \"0\"")]
    PricedWithoutChain,
    /// There is no signer.
    #[error(transparent)]
    Signer(#[from] crate::signer::SignerError),
    /// Simulated evidence on a network of real hardware.
    #[error("this network demands hardware, a simulated pod would be refused by everyone")]
    SimulatedOnHardware,
    /// The model cannot be loaded.
    #[error("the model {model} cannot be loaded: {fault}; run `subrosa models pull {model}`")]
    Model {
        /// The model's name.
        model: String,
        /// What is wrong with it.
        fault: Box<subrosa_engine::ModelFault>,
    },
    /// The network file cannot be used.
    #[error(transparent)]
    Network(#[from] subrosa_chain::NetworkError),
    /// The Ollama server cannot be used.
    #[error(transparent)]
    Ollama(#[from] subrosa_engine::OllamaError),
    /// The state folder cannot be used.
    #[error(transparent)]
    Open(#[from] subrosa_store::OpenError),
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Store(#[from] subrosa_store::StoreError),
    /// There is no TLS key.
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// The operator's wallet cannot be opened.
    #[error(transparent)]
    Wallet(#[from] subrosa_chain::WalletError),
    /// The catalogue does not have the model.
    #[error(
        "the catalogue has no model {model} for the built-in engine; see `subrosa models list`"
    )]
    UnknownModel {
        /// The name.
        model: String,
    },
}
