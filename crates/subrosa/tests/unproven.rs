//! A node that proves nothing, or lies, costs the proof and no more; another makes up for it later.

mod support;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::{Json, Router};
use serde_json::{Value, json};
use subrosa_api::openai::ChatRequest;
use subrosa_chain::{Chain, ChainError, Depth, Network};
use subrosa_client::export::{Against, Bundle, BundleReport, check};
use subrosa_client::{Client, ClientConfig, Pacing};
use subrosa_devnet::{Devnet, DevnetOptions};
use subrosa_engine::catalogue::Catalogue;
use subrosa_pod::{Deps, Pod, PodConfig};
use subrosa_protocol::{Amount, B256};
use subrosa_verifier::{Outcome, ReleaseKind, Releases, Verdict};

/// What a node makes of its honest answer to a method.
type Lie = fn(&str, &mut Value);

/// Hands requests on to a node, and its answers back as `lie` leaves them.
async fn lying_node(rpc: String, lie: Lie) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let router = Router::new().fallback(hand_on).with_state((http, rpc, lie));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn hand_on(
    State((http, rpc, lie)): State<(reqwest::Client, String, Lie)>,
    Json(asked): Json<Value>,
) -> Json<Value> {
    let request = http.post(rpc).header(CONTENT_TYPE, "application/json").body(asked.to_string());
    let answer = request.send().await.unwrap().bytes().await.unwrap();
    let mut answer = serde_json::from_slice(&answer).unwrap();
    lie(asked["method"].as_str().expect("one request at a time"), &mut answer);
    Json(answer)
}

/// Knows no method that gives proofs.
fn no_proofs(method: &str, answer: &mut Value) {
    if method == "eth_getProof" {
        let error = json!({ "code": -32_601, "message": "the method does not exist" });
        *answer = json!({ "jsonrpc": "2.0", "id": answer["id"], "error": error });
    }
}

fn examined(bundle: &Bundle, network: &Network) -> BundleReport {
    let against = Against { network: Some(network), ..Against::default() };
    check(serde_json::to_string(bundle).unwrap().as_bytes(), against).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_got_without_a_proof_is_proven_when_it_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = support::devnet(folder.path()).await;
    let (pod_folder, config) = support::pod_files(&devnet, 0);
    let config = PodConfig::load(&config).unwrap();
    let deps = Deps::from_config(&config, None).await.unwrap();
    let pod = Pod::bind(config, deps).await.unwrap();
    let mut network = devnet.network().clone();
    let params = network.chain.as_mut().unwrap();
    params.rpc = lying_node(params.rpc.clone(), no_proofs).await;
    let client = Client::open(ClientConfig {
        chain: Some(Chain::connect(&network).await.unwrap()),
        network: network.clone(),
        payer: devnet.payer().clone(),
        state_dir: pod_folder.join("client"),
        catalogue: Catalogue::compiled_in(),
        policy: None,
        pacing: Pacing::Off,
        deposit: Amount(100_000),
        private_pods: Vec::new(),
    })
    .await
    .unwrap();
    client.refresh().await.unwrap();
    let mut request = ChatRequest::ask("script", "What is a rose?");
    request.set_max_tokens(16);
    let mut answer = client.ask(request).await.unwrap();
    while let Some(piece) = answer.next().await {
        piece.unwrap();
    }
    let order = answer.receipt().await.expect("its receipt comes").order;

    let mut bundle = client.export(order).await.unwrap().unwrap();
    assert!(bundle.lacks_proof() && bundle.proof_bytes().is_none());
    let report = examined(&bundle, &network);
    assert_eq!(report.verdict, Verdict::Refused);
    let proof = report.checks.iter().find(|check| check.name == "releases_proof").unwrap();
    assert_eq!(proof.outcome, Outcome::Absent);
    let refusing = Chain::connect(&network).await.unwrap();
    assert!(bundle.prove(&refusing).await.is_err());
    assert!(bundle.lacks_proof(), "it stays as it was");

    // By a node that gives proofs, of a block after the receipt.
    devnet.settle_down().await.unwrap();
    bundle.prove(devnet.chain()).await.unwrap();
    assert!(bundle.proof_bytes().is_some_and(|bytes| bytes > 1_000));
    assert_eq!(examined(&bundle, &network).verdict, Verdict::Accepted);
    client.close().await;
    pod.shutdown().await;
}

/// Changes the last digit of text, which stays as long as it was.
fn other_digit(text: &mut Value) {
    let digits = text.as_str().unwrap();
    let (most, last) = digits.split_at(digits.len() - 1);
    *text = json!(format!("{most}{}", if last == "7" { "8" } else { "7" }));
}

/// Every lie about one thing that a proof is made of.
const LIES: [(&str, Lie); 10] = [
    ("a value", |method, answer| {
        if method == "eth_getProof" {
            other_digit(&mut answer["result"]["storageProof"][0]["value"]);
        }
    }),
    ("a node of a slot", |method, answer| {
        if method == "eth_getProof" {
            other_digit(&mut answer["result"]["storageProof"][0]["proof"][0]);
        }
    }),
    ("a node too few", |method, answer| {
        if method == "eth_getProof" {
            answer["result"]["storageProof"][0]["proof"].as_array_mut().unwrap().pop();
        }
    }),
    ("a node too many", |method, answer| {
        if method == "eth_getProof" {
            let nodes = answer["result"]["storageProof"][0]["proof"].as_array_mut().unwrap();
            nodes.push(nodes[0].clone());
        }
    }),
    ("a slot too few", |method, answer| {
        if method == "eth_getProof" {
            answer["result"]["storageProof"].as_array_mut().unwrap().pop();
        }
    }),
    ("one slot for the other", |method, answer| {
        if method == "eth_getProof" {
            answer["result"]["storageProof"].as_array_mut().unwrap().swap(0, 1);
        }
    }),
    ("a node of the account", |method, answer| {
        if method == "eth_getProof" {
            other_digit(&mut answer["result"]["accountProof"][0]);
        }
    }),
    ("no account", |method, answer| {
        if method == "eth_getProof" {
            answer["result"]["accountProof"] = json!([]);
        }
    }),
    ("a header", |method, answer| match method {
        "eth_getBlockByHash" => other_digit(&mut answer["result"]["stateRoot"]),
        "debug_getRawHeader" => *answer = json!({ "id": answer["id"], "result": "0xc0" }),
        _ => {}
    }),
    ("no block", |method, answer| {
        if method == "eth_getBlockByHash" {
            answer["result"] = Value::Null;
        }
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lies_about_any_part_of_a_proof_proves_nothing() {
    let model = |at| (ReleaseKind::Model, B256::repeat_byte(at));
    let digests = [model(1), model(2)];
    let options = DevnetOptions { models: vec![digests[0].1], ..DevnetOptions::default() };
    let devnet = Devnet::start(options).await.unwrap();
    let at = devnet.chain().at(Depth::Final).await.unwrap();
    let ask = async |lie: Lie| {
        let mut network = devnet.network().clone();
        let params = network.chain.as_mut().unwrap();
        params.rpc = lying_node(params.rpc.clone(), lie).await;
        Chain::connect(&network).await.unwrap().prove_releases(&digests, &at).await
    };
    let proven = ask(|_, _| {}).await.unwrap().verify().unwrap();
    assert_eq!(Releases::from(&proven).models, [digests[0].1]);
    for (what, lie) in LIES {
        let refused = ask(lie).await.expect_err(what);
        assert!(matches!(refused, ChainError::Malformed { .. }), "{what}: {refused}");
    }
    let refused = ask(no_proofs).await.unwrap_err();
    assert!(matches!(refused, ChainError::Refused { .. }), "{refused}");
}
