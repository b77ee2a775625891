//! The parts that a configuration names, made.

use std::time::Duration;

use subrosa_attester::{Attester, Simulator};
use subrosa_chain::Network;
use subrosa_engine::catalogue::Catalogue;
use subrosa_engine::{
    Builtin, BuiltinConfig, Cache, Engine, Ollama, OllamaConfig, Script, Scripted,
};

use crate::config::{AttesterConfig, BackendConfig, PodConfig};
use crate::pod::Deps;
use crate::start::StartError;

impl Deps {
    /// Makes everything that a configuration names: reads the network file, loads the model.
    ///
    /// # Errors
    /// [`StartError`] naming the part that cannot be made.
    pub async fn from_config(config: &PodConfig) -> Result<Deps, StartError> {
        let network = Network::load(&config.network)?;
        let AttesterConfig::Simulator { image } = &config.attester;
        Ok(Deps {
            network,
            engine: engine(&config.backend).await?,
            attester: Attester::Simulator(Simulator::new(image)),
            link: None,
            listener: None,
            steps: None,
        })
    }
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
