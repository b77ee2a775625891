//! The parts that a configuration names, made.

use std::sync::Arc;
use std::time::Duration;

use subrosa_attester::hardware::{
    ConfigfsTsm, DeviceSource, Dstack, Gramine, Machine, Nvml, ProcessorSource,
};
use subrosa_attester::{Attester, Endorser, Services, Simulator};
use subrosa_chain::{Chain, Network, Passphrase, Wallet};
use subrosa_engine::catalogue::Catalogue;
use subrosa_engine::{
    Builtin, BuiltinConfig, Cache, Engine, Ollama, OllamaConfig, Script, Scripted,
};

use crate::config::{
    AttesterConfig, BackendConfig, DevicesConfig, HardwareConfig, PodConfig, ProcessorConfig,
    ServicesConfig,
};
use crate::link::{Link, LinkError};
use crate::onchain::OnChain;
use crate::pod::Deps;
use crate::start::StartError;

impl Deps {
    /// Makes everything that a configuration names: reads the network file, opens the wallet, reaches
    /// the chain, loads the model. `passphrase` is the wallet's, where the configuration names no
    /// source of it.
    ///
    /// # Errors
    /// [`StartError`] naming the part that cannot be made.
    pub async fn from_config(
        config: &PodConfig,
        passphrase: Option<Passphrase>,
    ) -> Result<Deps, StartError> {
        let network = Network::load(&config.network)?;
        let link = link(config, &network, passphrase).await?;
        Ok(Deps {
            network,
            engine: engine(&config.backend).await?,
            attester: attester(&config.attester)?,
            link,
            listener: None,
            steps: None,
        })
    }
}

fn attester(config: &AttesterConfig) -> Result<Attester, StartError> {
    match config {
        AttesterConfig::Hardware(config) => Ok(Attester::Hardware(Box::new(machine(config)?))),
        AttesterConfig::Simulator { kind, image } => {
            Ok(Attester::Simulator(Simulator::of(*kind, image)))
        }
    }
}

/// The machine that the pod runs on. Nothing of it is asked yet.
fn machine(config: &HardwareConfig) -> Result<Machine, StartError> {
    let processor = match config.processor {
        ProcessorConfig::ConfigfsTsm => ProcessorSource::ConfigfsTsm(ConfigfsTsm::default()),
        ProcessorConfig::Dstack => ProcessorSource::Dstack(Dstack::default()),
        ProcessorConfig::Gramine => ProcessorSource::Gramine(Gramine::default()),
    };
    let devices = match config.devices {
        DevicesConfig::Dstack => DeviceSource::Dstack(Dstack::default()),
        DevicesConfig::None => DeviceSource::None,
        DevicesConfig::Nvml => DeviceSource::Nvml(Nvml::default()),
    };
    let services = config.services.clone().map_or_else(Services::vendors, Services::from);
    // The HTTP client to the vendors wants a provider of cryptography; somebody else's choice is as
    // good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let endorser = Endorser::new(services, Some(config.endorsements_dir.clone()))?;
    Ok(Machine::new(processor, devices, endorser))
}

impl From<ServicesConfig> for Services {
    fn from(config: ServicesConfig) -> Services {
        let ServicesConfig { intel, amd, nvidia_rim, nvidia_ocsp } = config;
        Services { intel, amd, nvidia_rim, nvidia_ocsp }
    }
}

/// The chain with the operator's wallet; none on a network without a chain.
async fn link(
    config: &PodConfig,
    network: &Network,
    passphrase: Option<Passphrase>,
) -> Result<Option<Arc<dyn Link>>, StartError> {
    if network.chain.is_none() {
        return Ok(None);
    }
    let operator = config.operator.as_ref().ok_or(StartError::NoOperator)?;
    let passphrase = match operator.passphrase()? {
        Some(passphrase) => passphrase,
        None => passphrase.ok_or(StartError::NoPassphrase)?,
    };
    let path = operator.wallet.clone();
    // Opening a keystore takes a second of computing on purpose.
    let opening = tokio::task::spawn_blocking(move || Wallet::open(&path, &passphrase));
    let wallet = opening.await.expect("opening a wallet does not panic")?;
    // The HTTP client to the node wants a provider of cryptography; somebody else's choice is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let chain = Chain::connect(network).await.map_err(LinkError::from)?;
    Ok(Some(Arc::new(OnChain::new(chain, wallet, config.payee).await?)))
}

async fn engine(backend: &BackendConfig) -> Result<Engine, StartError> {
    match backend {
        BackendConfig::Builtin { model, parallel, queue } => {
            let entry = Catalogue::compiled_in();
            let entry = entry
                .find(model)
                .ok_or_else(|| StartError::UnknownModel { model: model.clone() })?;
            let builtin = BuiltinConfig::from_catalogue(entry, &Cache::from_env()?)
                .ok_or_else(|| StartError::UnknownModel { model: model.clone() })?;
            let builtin = BuiltinConfig { sequences_max: *parallel, queue_max: *queue, ..builtin };
            let loading = tokio::task::spawn_blocking(move || Builtin::open(builtin));
            let loaded = loading.await.expect("loading a model does not panic");
            loaded
                .map(Engine::Builtin)
                .map_err(|fault| StartError::Model { model: model.clone(), fault: Box::new(fault) })
        }
        BackendConfig::Scripted { model, answer, prefill_ms, per_token_ms } => {
            let script = Script {
                tokens: answer.split_inclusive(' ').map(str::to_owned).collect(),
                prefill: Duration::from_millis(*prefill_ms),
                per_token: Duration::from_millis(*per_token_ms),
            };
            Ok(Engine::Scripted(Scripted::new(model, script)))
        }
        BackendConfig::Ollama { url, models_dir, model } => {
            let ollama = OllamaConfig::new(url, models_dir, model);
            Ok(Engine::Ollama(Ollama::connect(ollama).await?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_hardware_can_be_put_together_and_counts_as_hardware() {
        let folder = tempfile::tempdir().unwrap();
        let processors =
            [ProcessorConfig::ConfigfsTsm, ProcessorConfig::Dstack, ProcessorConfig::Gramine];
        let devices = [DevicesConfig::Dstack, DevicesConfig::None, DevicesConfig::Nvml];
        for (processor, devices) in
            processors.into_iter().flat_map(|one| devices.map(|other| (one, other)))
        {
            let config = AttesterConfig::Hardware(HardwareConfig {
                image: "pod".into(),
                processor,
                devices,
                endorsements_dir: folder.path().join("kept"),
                services: None,
            });
            assert_eq!(config.image(), "pod");
            assert!(!attester(&config).unwrap().is_simulated(), "{processor:?} {devices:?}");
        }
    }
}
