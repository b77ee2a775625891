//! A pod is paid again by a payer who took everything back out of the channel with it.

mod support;

use std::path::Path;

use subrosa_api::openai::ChatRequest;
use subrosa_client::{ChannelView, Client, ClientConfig, Pacing};
use subrosa_devnet::Devnet;
use subrosa_engine::catalogue::Catalogue;
use subrosa_pod::{Deps, Pod, PodConfig};
use subrosa_protocol::{Amount, ChannelId, Duration};

const DEPOSIT: Amount = Amount(100_000);

/// A second more than the delay that the pod's configuration names.
const DELAY: Duration = Duration(3_601);

async fn client(devnet: &Devnet, state: &Path) -> Client {
    let client = Client::open(ClientConfig {
        network: devnet.network().clone(),
        chain: Some(devnet.chain().clone()),
        payer: devnet.payer().clone(),
        state_dir: state.to_owned(),
        catalogue: Catalogue::compiled_in(),
        policy: None,
        pacing: Pacing::Off,
        deposit: DEPOSIT,
        private_pods: Vec::new(),
    })
    .await
    .unwrap();
    client.refresh().await.unwrap();
    client
}

/// Asks, and gives the channel that paid.
async fn paid_by(client: &Client) -> ChannelId {
    let mut request = ChatRequest::ask("script", "What is a rose?");
    request.set_max_tokens(16);
    let mut answer = client.ask(request).await.unwrap();
    while let Some(piece) = answer.next().await {
        piece.unwrap();
    }
    assert_eq!(answer.status, 200);
    let receipt = answer.receipt().await.expect("its receipt comes");
    ChannelId(receipt.account.0)
}

async fn channel(client: &Client, id: ChannelId) -> ChannelView {
    let channels = client.balance().await.unwrap().channels;
    channels.into_iter().find(|channel| channel.channel == id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_paid_again_after_everything_was_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = support::devnet(folder.path()).await;
    let (pod_folder, config) = support::pod_files(&devnet, 0);
    let config = PodConfig::load(&config).unwrap();
    let deps = Deps::from_config(&config, None).await.unwrap();
    let pod = Pod::bind(config, deps).await.unwrap();
    let state = pod_folder.join("client");
    let payer = client(&devnet, &state).await;

    let first = paid_by(&payer).await;
    assert_eq!(paid_by(&payer).await, first, "an open channel is used again");
    let pod_id = channel(&payer, first).await.pod;
    payer.begin_withdrawal(first, Some(DEPOSIT)).await.unwrap();

    // The withdrawal is pending: another channel pays, and by hand too nothing enters the first.
    let second = paid_by(&payer).await;
    assert_ne!(second, first);
    assert_eq!(payer.deposit(pod_id, Amount(5)).await.unwrap().channel, second);

    // Somebody who starts anew from the same state directory knows it from the chain alone.
    payer.close().await;
    let payer = client(&devnet, &state).await;
    assert_eq!(paid_by(&payer).await, second);

    // Finished, the first channel is closed for good; so is the second, which leaves none.
    devnet.skip(DELAY).await.unwrap();
    payer.finish_withdrawal(first).await.unwrap();
    let closed = devnet.chain().channel(first).await.unwrap().unwrap();
    assert!(closed.closed, "{closed:?}");
    assert_eq!(paid_by(&payer).await, second);
    let all = channel(&payer, second).await.balance;
    payer.begin_withdrawal(second, Some(all)).await.unwrap();
    payer.close().await;
    let payer = client(&devnet, &state).await;
    let third = paid_by(&payer).await;
    assert!(third != first && third != second);
    assert_eq!(channel(&payer, third).await.balance, DEPOSIT);
    payer.close().await;
    pod.shutdown().await;
}
