//! A paid channel that many questions share, each of which must first fill it.

mod support;

use subrosa_api::openai::ChatRequest;
use subrosa_client::{Client, ClientConfig, Pacing};
use subrosa_engine::catalogue::Catalogue;
use subrosa_pod::{Deps, Pod, PodConfig};
use subrosa_protocol::Amount;

/// How many are asked at once.
const QUESTIONS: usize = 8;

/// Asks, reads the answer, and waits for its receipt.
async fn ask(client: &Client) {
    let mut request = ChatRequest::ask("script", "What is a rose?");
    request.set_max_tokens(16);
    let mut answer = client.ask(request).await.unwrap();
    while let Some(piece) = answer.next().await {
        piece.unwrap();
    }
    assert_eq!(answer.status, 200);
    answer.receipt().await.expect("its receipt comes");
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_at_once_do_not_take_what_another_has_deposited_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = support::devnet(folder.path()).await;
    let (pod_folder, config) = support::pod_files(&devnet, 0);
    let config = PodConfig::load(&config).unwrap();
    let deps = Deps::from_config(&config, None).await.unwrap();
    let pod = Pod::bind(config, deps).await.unwrap();
    let client = Client::open(ClientConfig {
        network: devnet.network().clone(),
        chain: Some(devnet.chain().clone()),
        payer: devnet.payer().clone(),
        state_dir: pod_folder.join("client"),
        catalogue: Catalogue::compiled_in(),
        policy: None,
        pacing: Pacing::Off,
        // So little that every question deposits what itself needs and no more.
        deposit: Amount(1),
        private_pods: Vec::new(),
    })
    .await
    .unwrap();
    client.refresh().await.unwrap();

    futures_util::future::join_all((0..QUESTIONS).map(|_| ask(&client))).await;

    let receipts = client.receipts().await.unwrap();
    let mut seqs: Vec<_> = receipts.iter().map(|receipt| receipt.seq).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=QUESTIONS as u64).collect::<Vec<_>>());
    let channels = client.balance().await.unwrap().channels;
    assert_eq!(channels.len(), 1, "they share one channel");
    let charged: u128 = receipts.iter().map(|receipt| receipt.charged.0).sum();
    assert_eq!(channels[0].charged, Amount(charged));
    client.close().await;
    pod.shutdown().await;
}
