//! The backend against a server that stands in for Ollama, over files laid out as Ollama's are.

mod answers;
mod comparing;
mod requests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subrosa_api::openai::{ChatRequest, Limits};

use super::*;

const TEMPLATE: &str = "{{ .Prompt }}<end>";

/// Ollama's folder with one model, and what the server says about it.
pub(super) struct World {
    folder: tempfile::TempDir,
    layers: Vec<Value>,
    config: Value,
    said: Value,
    chat: Arc<Chat>,
}

/// What the server answers to a chat, and what it was asked.
#[derive(Default)]
pub(super) struct Chat {
    answer: Mutex<Option<Response>>,
    asked: Mutex<Option<Value>>,
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("blobs")).unwrap();
        let mut world = World {
            folder,
            layers: Vec::new(),
            config: Value::Null,
            said: Value::Null,
            chat: Arc::default(),
        };
        let gguf = vocabulary::tests::gguf("gpt2", &[("<end>", 3), ("a", 1), ("aa", 1)]);
        let weights = world.blob("model", &gguf);
        world.config = world.blob("config", b"{}");
        let template = world.blob("template", TEMPLATE.as_bytes());
        let system = world.blob("system", b"Be brief.");
        let licence = world.blob("license", b"Any use.");
        world.layers = vec![weights.clone(), template, system, licence];
        world.said = json!({
            "modelfile": format!("# made\nFROM {}\nTEMPLATE x\n", world.path(&weights).display()),
            "template": TEMPLATE,
            "details": {"parent_model": ""},
            "model_info": {"general.architecture": "llama", "llama.context_length": 256},
        });
        world.write_manifest("host", "library/m/latest");
        world
    }

    /// Stores bytes as Ollama does and returns the layer that names them.
    fn blob(&self, kind: &str, bytes: &[u8]) -> Value {
        let digest = hex::encode(Sha256::digest(bytes));
        std::fs::write(self.folder.path().join(format!("blobs/sha256-{digest}")), bytes).unwrap();
        json!({
            "mediaType": format!("application/vnd.ollama.image.{kind}"),
            "digest": format!("sha256:{digest}"),
            "size": bytes.len(),
        })
    }

    fn path(&self, layer: &Value) -> PathBuf {
        let digest = layer["digest"].as_str().unwrap().replace(':', "-");
        self.folder.path().join("blobs").join(digest)
    }

    fn write_manifest(&self, host: &str, name: &str) {
        let path = self.folder.path().join("manifests").join(host).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, self.manifest()).unwrap();
    }

    fn manifest(&self) -> String {
        json!({"schemaVersion": 2, "config": self.config, "layers": self.layers}).to_string()
    }

    /// Starts the server; it lists the model under the digest of the manifest.
    async fn serve(&self) -> OllamaConfig {
        let digest = hex::encode(Sha256::digest(self.manifest()));
        self.serve_listing(json!([{"name": "m:latest", "digest": digest}])).await
    }

    async fn serve_listing(&self, models: Value) -> OllamaConfig {
        let said = self.said.clone();
        let app = Router::new()
            .route("/api/version", get(async || Json(json!({"version": "0.6.5"}))))
            .route("/api/tags", get(async move || Json(json!({"models": models}))))
            .route("/api/show", post(async move || Json(said)))
            .route("/api/chat", post(chat))
            .with_state(Arc::clone(&self.chat));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        OllamaConfig { output_tokens_max: 64, ..OllamaConfig::new(url, self.folder.path(), "m") }
    }

    async fn connect(&self) -> Result<Ollama, OllamaError> {
        // What a test changed of the layers is written before the server starts.
        self.write_manifest("host", "library/m/latest");
        Ollama::connect(self.serve().await).await
    }

    /// Asks with this answer ready, and returns the generation or the refusal.
    async fn ask(
        &self,
        ollama: &Ollama,
        body: Value,
        max_tokens: u64,
        answer: impl IntoResponse,
    ) -> Result<Generation, EngineError> {
        *self.chat.answer.lock().unwrap() = Some(answer.into_response());
        let request = ChatRequest::parse(body.to_string().as_bytes(), &Limits::default()).unwrap();
        ollama.chat(&ollama.models()[0], &request, max_tokens).await
    }

    fn asked(&self) -> Value {
        self.chat.asked.lock().unwrap().take().expect("the server was asked")
    }
}

async fn chat(State(chat): State<Arc<Chat>>, Json(body): Json<Value>) -> Response {
    *chat.asked.lock().unwrap() = Some(body);
    chat.answer.lock().unwrap().take().unwrap_or_else(|| Body::empty().into_response())
}

fn question() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "aaa"}]})
}
