//! A team's own pod, without a chain: asked through the gateway's OpenAI endpoint, in one process.

mod support;

use serde_json::{Value, json};
use subrosa_attester::{Attester, Simulator};
use subrosa_chain::Network;
use subrosa_client::Pacing;
use subrosa_client::export::{Against, check};
use subrosa_engine::Engine;
use subrosa_gateway::{Gateway, GatewayConfig};
use subrosa_pod::{Deps, Pod, PodConfig};
use subrosa_protocol::SecretKey;
use subrosa_verifier::Verdict;

use support::{ANSWER, IMAGE, engine, team};

/// How many tokens the answer has.
const TOKENS: usize = 4;

/// A pod, a client that may ask it, and a gateway in front of the client.
struct World {
    pod: Pod,
    gateway: Gateway,
    network: Network,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start(released: &str, allowed: &SecretKey) -> World {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let network = Network::parse(&team::network(Simulator::measurement(released))).unwrap();
        let deps = Deps {
            network: network.clone(),
            engine: Engine::Scripted(engine()),
            attester: Attester::Simulator(Simulator::new(IMAGE)),
            link: None,
            listener: None,
            steps: None,
        };
        let config = team::pod_config(folder.path(), "simulated-tdx", allowed.address());
        let pod = Pod::bind(PodConfig::parse(&config).unwrap(), deps).await.unwrap();
        let url = format!("https://{}", pod.local_addr());
        let client = team::client(folder.path(), network.clone(), url, Pacing::default()).await;
        let listen = GatewayConfig { listen: "127.0.0.1:0".parse().unwrap(), ..Default::default() };
        let gateway = Gateway::bind(listen, client).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        World { pod, gateway, network, http, _folder: folder }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway.local_addr())
    }

    async fn ask(&self, stream: bool) -> reqwest::Response {
        let body = json!({
            "model": "script",
            "messages": [{ "role": "user", "content": "What is a rose?" }],
            "stream": stream,
        });
        self.http.post(self.url("/v1/chat/completions")).json(&body).send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        self.http.get(self.url(path)).send().await.unwrap().json().await.unwrap()
    }

    async fn stop(self) {
        self.gateway.shutdown().await;
        self.pod.shutdown().await;
    }
}

#[tokio::test]
async fn a_private_pod_answers_through_the_gateway_and_leaves_a_receipt() {
    let world = World::start(IMAGE, &team::friend()).await;
    let models = world.get("/v1/models").await;
    assert_eq!(models["data"][0]["id"], "script");

    let answer = world.ask(false).await;
    assert_eq!(answer.status(), 200);
    let order = answer.headers()["x-subrosa-order"].to_str().unwrap().to_owned();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], ANSWER);

    // The receipt is in the ledger before the answer's last byte is passed on, or soon after it.
    let kept = loop {
        let receipts = world.get("/subrosa/v1/receipts").await;
        match receipts.as_array().unwrap().first() {
            Some(receipt) => break receipt.clone(),
            None => tokio::task::yield_now().await,
        }
    };
    assert_eq!(kept["order"], order);
    assert_eq!((&kept["verified"], &kept["charged"]), (&json!(true), &json!("0")));
    assert_eq!(kept["output_tokens"], TOKENS);

    let bundle = world.http.get(world.url(&format!("/subrosa/v1/receipts/{order}")));
    let bundle = bundle.send().await.unwrap().bytes().await.unwrap();
    let against = Against { network: Some(&world.network), ..Against::default() };
    let report = check(&bundle, against).unwrap();
    assert_eq!(report.verdict, Verdict::Accepted, "{:?}", report.checks);
    world.stop().await;
}

#[tokio::test]
async fn a_stream_comes_in_pieces_and_ends_as_openai_ends_it() {
    let world = World::start(IMAGE, &team::friend()).await;
    let answer = world.ask(true).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let text = answer.text().await.unwrap();
    let pieces: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let said: String = pieces
        .iter()
        .filter_map(|piece| piece["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(said, ANSWER);
    assert!(pieces.len() > TOKENS);
    assert!(text.ends_with("data: [DONE]\n\n"));
    world.stop().await;
}

#[tokio::test]
async fn a_refusal_of_the_gateway_is_json_and_repeats_nothing() {
    let world = World::start(IMAGE, &team::friend()).await;
    let long = format!("{{\"model\": \"{}\"}}", "secret".repeat(600_000));
    let post = world.http.post(world.url("/v1/chat/completions"));
    let post = post.header("content-type", "application/json").body(long);
    let asked = [
        (413, "body_too_large", post),
        (404, "receipt_unknown", world.http.get(world.url("/subrosa/v1/receipts/secret"))),
        (404, "not_found", world.http.get(world.url("/subrosa/v1/pods/secret"))),
    ];
    for (status, code, request) in asked {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{code}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error"]["code"], code);
        assert!(!body.to_string().contains("secret"), "{code}");
    }
    world.stop().await;
}

#[tokio::test]
async fn an_image_that_is_not_released_gets_no_question() {
    let world = World::start("subrosa/another-image", &team::friend()).await;
    let answer = world.ask(false).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["code"], "no_pod_accepted");
    assert_eq!(body["error"]["pods"][0]["failed_check"], "tee_measurement");
    assert!(!body.to_string().contains("rose"));
    world.stop().await;
}

#[tokio::test]
async fn a_payer_who_is_not_on_the_list_is_told_so() {
    let somebody = SecretKey::from_bytes(&[0x22; 32]).unwrap();
    let world = World::start(IMAGE, &somebody).await;
    let answer = world.ask(false).await;
    assert_eq!(answer.status(), 502);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["code"], "pods_failed");
    world.stop().await;
}
