//! What is hashed, and what the server must agree with.

use super::*;

fn differing(result: Result<Ollama, OllamaError>) -> &'static str {
    match result.unwrap_err() {
        OllamaError::Differs { what, .. } => what,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn serves_a_model_under_the_digest_of_its_hashed_files() {
    let world = World::new();
    let ollama = world.connect().await.unwrap();
    let [served] = ollama.models() else { panic!("one model is served") };
    assert_eq!(served.name, "m");
    assert_eq!(served.digest, served.manifest.digest());
    let roles = served.manifest.layers().iter().map(|layer| layer.role.as_str());
    assert_eq!(roles.collect::<Vec<_>>(), ["config", "system", "template", "weights"]);
    let weights = served.manifest.layers().last().unwrap();
    assert_eq!(world.folder.path().join(&weights.path), world.path(&world.layers[0]));
    assert_eq!(format!("sha256:{}", hex::encode(weights.sha256)), world.layers[0]["digest"]);
    assert_eq!(served.context_tokens, 256);
    assert_eq!(served.template_bound, (TEMPLATE.len() + "Be brief.".len() + 16) as u64);
    assert_eq!(served.settings["ollama_version"], "0.6.5");
}

#[tokio::test]
async fn another_licence_is_the_same_model_and_another_template_is_not() {
    let mut world = World::new();
    let first = world.connect().await.unwrap().models()[0].digest;
    world.layers[3] = world.blob("license", b"No use.");
    assert_eq!(world.connect().await.unwrap().models()[0].digest, first);
    world.layers[1] = world.blob("template", b"other");
    world.said["template"] = json!("other");
    assert_ne!(world.connect().await.unwrap().models()[0].digest, first);
}

#[tokio::test]
async fn refuses_a_server_that_says_otherwise() {
    let world = World::new();
    let other = "ab".repeat(32);
    let config = world.serve_listing(json!([{"name": "m:latest", "digest": other}])).await;
    assert_eq!(differing(Ollama::connect(config).await), "digest");
    let config = world.serve_listing(json!([])).await;
    assert!(matches!(Ollama::connect(config).await, Err(OllamaError::NoModel { .. })));

    let mut world = World::new();
    world.said["template"] = json!("other");
    assert_eq!(differing(world.connect().await), "template");
    world.said["modelfile"] = json!("# FROM is missing");
    assert_eq!(differing(world.connect().await), "file of weights");
    let copy = world.folder.path().join("copy");
    std::fs::copy(world.path(&world.layers[0]), &copy).unwrap();
    world.said["modelfile"] = json!(format!("FROM {}\n", copy.display()));
    assert_eq!(differing(world.connect().await), "file of weights");
    let parent = format!("/elsewhere/blobs/sha256-{other}");
    world.said["details"]["parent_model"] = json!(parent);
    assert_eq!(differing(world.connect().await), "parent model");
    world.said["remote_host"] = json!("https://cloud.example");
    assert!(matches!(world.connect().await, Err(OllamaError::Remote { .. })));
}

#[tokio::test]
async fn refuses_files_that_are_damaged_or_missing() {
    for index in 0..4 {
        let world = World::new();
        std::fs::write(world.path(&world.layers[index]), b"damaged").unwrap();
        assert!(matches!(world.connect().await, Err(OllamaError::Damaged { .. })), "{index}");
        std::fs::remove_file(world.path(&world.layers[index])).unwrap();
        assert!(matches!(world.connect().await, Err(OllamaError::Io { .. })), "{index}");
    }
    let mut world = World::new();
    world.layers[1]["size"] = json!(1);
    assert!(matches!(world.connect().await, Err(OllamaError::Damaged { .. })));
}

#[tokio::test]
async fn a_digest_is_never_another_path() {
    let secret = "../../secret";
    for digest in [format!("sha256:{secret}"), secret.into(), "AB".repeat(32), "sha256:".into()] {
        let mut world = World::new();
        world.layers[1]["digest"] = json!(digest);
        assert!(matches!(world.connect().await, Err(OllamaError::Digest)), "{digest}");
    }
}

#[tokio::test]
async fn refuses_manifests_with_layers_unknown_doubled_or_without_weights() {
    let mut world = World::new();
    world.layers.push(world.blob("sorcery", b"x"));
    let refused = world.connect().await.unwrap_err();
    assert!(matches!(refused, OllamaError::LayerKind { kind } if kind.ends_with("sorcery")));
    world.layers[4] = world.layers[1].clone();
    assert!(matches!(world.connect().await, Err(OllamaError::Manifest { .. })));
    world.layers = vec![world.layers[1].clone()];
    assert!(matches!(world.connect().await, Err(OllamaError::Manifest { .. })));
    let path = world.folder.path().join("manifests/host/library/m/latest");
    let config = world.serve().await;
    for text in ["", "[]", "{\"layers\": 1}", "{\"config\": {}, \"layers\": []}"] {
        std::fs::write(&path, text).unwrap();
        let refused = Ollama::connect(config.clone()).await;
        assert!(matches!(refused, Err(OllamaError::Manifest { .. })), "{text}");
    }
}

#[tokio::test]
async fn refuses_a_model_that_another_machine_answers() {
    let mut world = World::new();
    world.config = world.blob("config", br#"{"remote_host": "https://cloud.example"}"#);
    assert!(matches!(world.connect().await, Err(OllamaError::Remote { .. })));
}

#[tokio::test]
async fn refuses_weights_without_a_vocabulary() {
    let mut world = World::new();
    world.layers[0] = world.blob("model", b"no GGUF at all");
    let refused = world.connect().await.unwrap_err();
    assert!(matches!(refused, OllamaError::NotGguf { why: "it does not begin as one", .. }));
}

#[tokio::test]
async fn finds_a_model_only_where_its_name_is_the_only_one() {
    let world = World::new();
    let config = world.serve().await;
    let other = OllamaConfig { models: vec!["other".into()], ..config.clone() };
    assert!(matches!(Ollama::connect(other).await, Err(OllamaError::NoModel { .. })));
    world.write_manifest("another-host", "library/m/latest");
    assert!(matches!(Ollama::connect(config).await, Err(OllamaError::Ambiguous { .. })));
}

#[tokio::test]
async fn refuses_bounds_that_the_model_does_not_have() {
    let world = World::new();
    let config = world.serve().await;
    for tokens in [0, 1, 257, u64::MAX] {
        let config = OllamaConfig { context_tokens: Some(tokens), ..config.clone() };
        let refused = Ollama::connect(config).await;
        assert!(matches!(refused, Err(OllamaError::Context { limit: 256, .. })), "{tokens}");
    }
    for tokens in [0, 257] {
        let config = OllamaConfig { output_tokens_max: tokens, ..config.clone() };
        let refused = Ollama::connect(config).await;
        assert!(matches!(refused, Err(OllamaError::OutputTokens { .. })), "{tokens}");
    }
}

#[tokio::test]
async fn refuses_a_server_that_is_away_or_is_no_ollama() {
    let world = World::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let config = OllamaConfig::new(url, world.folder.path(), "m");
    let app = Router::new().route("/api/version", get(async || "Hello"));
    let served = tokio::spawn(async move { axum::serve(listener, app).await });
    let refused = Ollama::connect(config.clone()).await;
    assert!(matches!(refused, Err(OllamaError::Answer { path: "/api/version" })));
    served.abort();
    let _ = served.await;
    assert!(matches!(Ollama::connect(config).await, Err(OllamaError::Unreachable)));
}
