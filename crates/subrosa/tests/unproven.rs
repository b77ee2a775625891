//! A node that proves nothing costs the proof and no more; another node makes up for it later.

mod support;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use subrosa_api::openai::ChatRequest;
use subrosa_chain::{Chain, Network};
use subrosa_client::export::{Against, Bundle, BundleReport, check};
use subrosa_client::{Client, ClientConfig, Pacing};
use subrosa_engine::catalogue::Catalogue;
use subrosa_pod::{Deps, Pod, PodConfig};
use subrosa_protocol::Amount;
use subrosa_verifier::{Outcome, Verdict};

/// Hands requests on to a node, but for those that ask for a proof: it knows no such method.
async fn node_without_proofs(rpc: String) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let router = Router::new().fallback(hand_on).with_state((http, rpc));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn hand_on(
    State((http, rpc)): State<(reqwest::Client, String)>,
    body: Bytes,
) -> impl IntoResponse {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let asked = text.replace("eth_getProof", "eth_getNothing");
    let request = http.post(rpc).header(CONTENT_TYPE, "application/json").body(asked);
    let answer = request.send().await.unwrap().bytes().await.unwrap();
    ([(CONTENT_TYPE, "application/json")], answer)
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
    params.rpc = node_without_proofs(params.rpc.clone()).await;
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
