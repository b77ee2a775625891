//! The engine in this process: Llama-family GGUF files on the CPU.
//!
//! candle reads the container and expands its many kinds of weights; the decoder, its two products
//! and the scheduler are ours (docs/decisions/builtin-engine.md says why).

mod attention;
mod decoder;
mod fault;
mod gguf;
#[cfg(test)]
mod known;
mod layer;
mod math;
mod matrix;
mod request;
mod rope;
mod sampler;
mod scheduler;
mod shape;
mod template;
mod text;
mod tokenizer;

use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use serde_json::{Map, json};
use subrosa_api::openai::ChatRequest;
use subrosa_protocol::B256;
use subrosa_protocol::manifest::{Layer, ModelManifest};
use tokio::sync::Semaphore;

use self::decoder::Decoder;
use self::gguf::Gguf;
use self::sampler::Sampler;
use self::scheduler::{Job, Pace, Scheduler};
use self::template::{ChatTemplate, Turn};
use self::text::TextStream;
use self::tokenizer::Tokenizer;
use crate::cache::Cache;
use crate::catalogue::{Entry, weights_manifest};
use crate::engine::{check_max_tokens, sha256};
use crate::{EngineError, Generation, ServedModel, TemplateFault, generation};

pub use self::fault::ModelFault;
pub use self::request::SamplingDefaults;

/// Bytes of a model file: what one machine's memory holds beside its repacked weights.
const FILE_BYTES_MAX: u64 = 16 << 30;
/// Bytes of a system prompt.
const SYSTEM_BYTES_MAX: usize = 64 << 10;
/// Bytes of the smallest message in a request's body, `{"role":"assistant"}` and its comma. They pay
/// for the tokens that a template adds to each message.
const MESSAGE_BYTES_MIN: u64 = 21;

/// A model for the built-in engine, and how it is run.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltinConfig {
    /// The name that requests use.
    pub name: String,
    /// The GGUF file.
    pub path: PathBuf,
    /// The file's name in the manifest; `None` takes that of `path`. A cache names files otherwise.
    pub weights_name: Option<String>,
    /// The SHA-256 that the file must have; `None` takes what is there.
    pub sha256: Option<B256>,
    /// The most tokens of prompt and answer together; `None` takes the model's own context.
    pub context_tokens: Option<u64>,
    /// The most tokens of one answer.
    pub output_tokens_max: u64,
    /// Instructions for chats that bring none of their own; part of the model's manifest.
    pub system: Option<String>,
    /// How tokens are chosen where a request does not say.
    pub sampling: SamplingDefaults,
    /// Threads that multiply.
    pub threads: usize,
    /// Answers that are made at the same time.
    pub sequences_max: usize,
    /// Chats that wait for a place.
    pub queue_max: usize,
}

impl BuiltinConfig {
    /// A model in a file, with the defaults: all its context, answers of up to 2,048 tokens, four at a
    /// time and 16 waiting, a thread a core.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        BuiltinConfig {
            name: name.into(),
            path: path.into(),
            weights_name: None,
            sha256: None,
            context_tokens: None,
            output_tokens_max: 2048,
            system: None,
            sampling: SamplingDefaults { temperature: 0.2, top_p: 0.9 },
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            sequences_max: 4,
            queue_max: 16,
        }
    }

    /// A model of the catalogue out of the cache, with the defaults of [`Self::new`]: its served
    /// digest is then that of the catalogue. `None` where its weights are not one file.
    pub fn from_catalogue(entry: &Entry, cache: &Cache) -> Option<Self> {
        let weights = entry.weights()?;
        Some(BuiltinConfig {
            weights_name: Some(weights.path.clone()),
            sha256: Some(weights.sha256),
            ..BuiltinConfig::new(entry.name(), cache.model_file(&weights.sha256))
        })
    }
}

/// The built-in engine, serving one model.
///
/// Dropping it stops its thread; answers that are not whole by then end with an error.
#[derive(Debug)]
pub struct Builtin {
    models: Vec<ServedModel>,
    config: BuiltinConfig,
    frontend: Arc<Frontend>,
    places: Arc<Semaphore>,
    pace: Arc<Pace>,
    /// `None` only while dropping.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// What turns a request into a prompt; it needs no weights.
#[derive(Debug)]
struct Frontend {
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
    system: Option<String>,
}

impl Builtin {
    /// Reads, checks and loads a model, and starts the thread that runs it.
    ///
    /// The manifest names the very bytes that are loaded: the file is read once. This takes a second
    /// or two; call it where waiting is allowed.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn open(config: BuiltinConfig) -> Result<Self, ModelFault> {
        let bytes = read_file(&config)?;
        let digest = sha256(&bytes);
        if let Some(expected) = config.sha256.filter(|expected| *expected != digest) {
            return Err(ModelFault::Digest {
                expected: hex::encode(expected),
                got: hex::encode(digest),
            });
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(config.threads.max(1))
            .thread_name(|index| format!("subrosa-model-{index}"))
            .build()
            .map_err(|error| ModelFault::Read(std::io::Error::other(error)))?;
        let gguf = Gguf::read(&bytes)?;
        let tokenizer = Arc::new(Tokenizer::read(&gguf)?);
        let (begin, end) = tokenizer.begin_and_end();
        let template = ChatTemplate::compile(gguf.string("tokenizer.chat_template")?, begin, end)
            .map_err(ModelFault::Template)?;
        let frontend = Frontend { tokenizer, template, system: config.system.clone() };
        let decoder = pool.install(|| Decoder::load(&gguf, frontend.tokenizer.vocabulary()))?;
        let model = describe(&config, &frontend, &decoder, digest, bytes.len() as u64)?;
        Ok(Builtin::start(config, frontend, decoder, model, pool))
    }

    fn start(
        config: BuiltinConfig,
        frontend: Frontend,
        decoder: Decoder,
        model: ServedModel,
        pool: rayon::ThreadPool,
    ) -> Self {
        let (jobs, received) = mpsc::channel();
        let pace = Arc::new(Pace::default());
        let scheduler = Scheduler {
            decoder,
            tokenizer: Arc::clone(&frontend.tokenizer),
            jobs: received,
            sequences_max: config.sequences_max.max(1),
            context_tokens: model.context_tokens as usize,
            pace: Arc::clone(&pace),
        };
        let thread = std::thread::spawn(move || pool.install(|| scheduler.run()));
        Builtin {
            places: Arc::new(Semaphore::new(config.sequences_max.max(1) + config.queue_max)),
            frontend: Arc::new(frontend),
            models: vec![model],
            jobs: Some(jobs),
            thread: Some(thread),
            config,
            pace,
        }
    }

    /// What this engine serves.
    pub fn models(&self) -> &[ServedModel] {
        &self.models
    }

    pub(crate) async fn chat(
        &self,
        model: &ServedModel,
        request: &ChatRequest,
        max_tokens: u64,
    ) -> Result<Generation, EngineError> {
        let served = &self.models[0];
        if served.digest != model.digest {
            return Err(EngineError::UnknownModel { name: model.name.clone() });
        }
        check_max_tokens(max_tokens, served.output_tokens_max)?;
        request::check_members(request)?;
        let turns = request::turns(request, self.frontend.system.as_deref())?;
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let retry_after_s = self.pace.retry_after_s(self.config.sequences_max);
            EngineError::Busy { retry_after_s }
        })?;
        let prompt = self.prompt(turns).await?;
        // The answer's first token needs a place too.
        let limit = served.context_tokens - 1;
        if prompt.len() as u64 > limit {
            return Err(EngineError::PromptTooLong { tokens: prompt.len() as u64, limit });
        }
        let (producer, generation) = generation::channel();
        let job = Job {
            prompt,
            sampler: Sampler::new(request::sampling(request, self.config.sampling)),
            text: TextStream::new(request.stop().to_vec()),
            max_tokens,
            producer,
            _permit: permit,
        };
        let jobs = self.jobs.as_ref().expect("it is taken only while dropping");
        jobs.send(job).map_err(|_| EngineError::Backend("the model's thread has died".into()))?;
        Ok(generation)
    }

    /// Templates and tokenises, away from the threads that serve connections: a long prompt takes
    /// many milliseconds.
    async fn prompt(&self, turns: Vec<Turn>) -> Result<Vec<u32>, EngineError> {
        let frontend = Arc::clone(&self.frontend);
        tokio::task::spawn_blocking(move || frontend.prompt(turns))
            .await
            .map_err(|_| EngineError::Backend("the tokenizer has died".into()))?
    }
}

impl Drop for Builtin {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported when it happened, and nothing is left to stop.
            let _ = thread.join();
        }
    }
}

impl Frontend {
    fn prompt(&self, mut turns: Vec<Turn>) -> Result<Vec<u32>, EngineError> {
        let mark = unused_character(&turns);
        for turn in &mut turns {
            let guarded = self.tokenizer.guard(&turn.content, mark).into_owned();
            turn.content = guarded;
        }
        let text = self.template.render(&turns).map_err(EngineError::Template)?;
        self.tokenizer.encode(&text, mark)
    }
}

/// A private character that stands in none of the contents.
fn unused_character(turns: &[Turn]) -> char {
    ('\u{f0000}'..='\u{ffffd}')
        .find(|&mark| !turns.iter().any(|turn| turn.content.contains(mark)))
        .expect("a body is too small for all 65,534 characters of the private plane")
}

fn read_file(config: &BuiltinConfig) -> Result<Vec<u8>, ModelFault> {
    let file = std::fs::File::open(&config.path)?;
    let size = file.metadata()?.len();
    if size > FILE_BYTES_MAX {
        let must = format!("at most {FILE_BYTES_MAX}");
        return Err(ModelFault::OutOfBounds { what: "the file's size".into(), got: size, must });
    }
    let mut bytes = Vec::with_capacity(size as usize);
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The model as offers and workloads describe it.
fn describe(
    config: &BuiltinConfig,
    frontend: &Frontend,
    decoder: &Decoder,
    sha256_of_file: B256,
    size: u64,
) -> Result<ServedModel, ModelFault> {
    let file_name = config.path.file_name().and_then(|name| name.to_str()).unwrap_or("model.gguf");
    let weights_name = config.weights_name.as_deref().unwrap_or(file_name);
    let weights = weights_manifest(weights_name, size, sha256_of_file)?;
    let mut layers = weights.layers().to_vec();
    if let Some(system) = &config.system {
        bounded("the system prompt's bytes", system.len() as u64, 1, SYSTEM_BYTES_MAX as u64)?;
        layers.push(Layer {
            role: "system".into(),
            path: "system.txt".into(),
            size: system.len() as u64,
            sha256: sha256(system.as_bytes()),
        });
    }
    let manifest = ModelManifest::new(layers)?;
    let own_context = decoder.context_tokens() as u64;
    let context_tokens = config.context_tokens.unwrap_or(own_context);
    bounded("the context's tokens", context_tokens, 2, own_context)?;
    bounded("the most tokens of an answer", config.output_tokens_max, 1, own_context)?;
    let mut settings = Map::new();
    settings.insert("temperature".into(), json!(config.sampling.temperature));
    settings.insert("top_p".into(), json!(config.sampling.top_p));
    Ok(ServedModel {
        name: config.name.clone(),
        digest: manifest.digest(),
        manifest,
        context_tokens,
        template_bound: template_bound(frontend)?,
        output_tokens_max: config.output_tokens_max,
        settings,
    })
}

fn bounded(what: &str, got: u64, low: u64, high: u64) -> Result<(), ModelFault> {
    if (low..=high).contains(&got) {
        return Ok(());
    }
    let must = format!("from {low} to {high}");
    Err(ModelFault::OutOfBounds { what: what.into(), got, must })
}

/// The most tokens that the template adds beyond a body's bytes.
///
/// A byte of a content becomes at most one token, and stands as at least one byte in the body. What
/// the template adds to each message is paid for by the bytes of that message's JSON around its
/// content, which is checked here. So what is left is what the template says once: its own system
/// prompt and the beginning of the answer, which a chat of one empty message shows, with the parts of
/// that message thrown in.
fn template_bound(frontend: &Frontend) -> Result<u64, ModelFault> {
    let count = |turns: &[&'static str]| {
        let turns =
            turns.iter().map(|role| Turn { role, content: String::new() }).collect::<Vec<_>>();
        match frontend.prompt(turns) {
            Ok(prompt) => Ok(prompt.len() as u64),
            Err(EngineError::Template(fault)) => Err(ModelFault::Template(fault)),
            Err(other) => Err(ModelFault::tokenizer(other)),
        }
    };
    let one = count(&["user"])?;
    let three = count(&["user", "assistant", "user"])?;
    let a_message = three.saturating_sub(one).div_ceil(2);
    if a_message > MESSAGE_BYTES_MIN {
        let what = format!("{a_message} tokens of template a message");
        return Err(ModelFault::Unsupported { what });
    }
    let with_system = count(&["system", "user"]).or_else(|fault| match fault {
        // Some templates take no system message; then a request cannot bring one either.
        ModelFault::Template(TemplateFault::Refused) => Ok(0),
        other => Err(other),
    })?;
    let system = frontend.system.as_ref().map_or(0, |text| text.len() as u64);
    Ok(one.max(with_system) + system)
}
