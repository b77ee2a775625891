//! The whole pod on a real chain: anvil, our contracts, the operator's wallet from its keystore.

mod support;

use std::time::Duration;

use subrosa_attester::Simulator;
use subrosa_chain::{Passphrase, Wallet};
use subrosa_devnet::{Devnet, DevnetOptions};
use subrosa_pod::{Deps, Pod, PodConfig};
use subrosa_protocol::{Amount, ChannelConfig};
use subrosa_verifier::Releases;
use support::caller::channel_of;
use support::{Caller, Eyes, Home, IMAGE, question, streamed};

const DEPOSIT: Amount = Amount(1_000_000);
const PASSPHRASE: &str = "correct horse";

/// How often the chain is looked at for what a pod does by itself.
const LOOKS_MAX: usize = 600;

async fn start(home: &Home, devnet: &Devnet) -> (PodConfig, Pod) {
    let operator = devnet.operator(0);
    let wallet = home.folder.join("operator.json");
    if !wallet.exists() {
        operator.save(&wallet, &Passphrase::new(PASSPHRASE.into())).unwrap();
        std::fs::write(home.folder.join("operator.pass"), PASSPHRASE).unwrap();
    }
    let config =
        PodConfig::parse(&home.config_on_chain(&devnet.folder().join("network.toml"))).unwrap();
    let made = Deps::from_config(&config, None).await.unwrap();
    let deps = Deps { link: made.link, network: made.network, ..home.deps() };
    (config.clone(), Pod::bind(config, deps).await.unwrap())
}

async fn meet(home: &Home, devnet: &Devnet, pod: &Pod, payer: &Wallet) -> Caller {
    let releases =
        Releases { measurements: vec![Simulator::measurement(IMAGE)], models: vec![home.model()] };
    let eyes = Eyes::Node(devnet.chain().clone());
    let domain = devnet.network().domain();
    Caller::meet(pod.local_addr(), releases, eyes, domain, payer.secret_key().clone()).await
}

async fn fund(caller: &mut Caller, devnet: &Devnet, payer: &Wallet) -> ChannelConfig {
    let config = channel_of(&caller.offer, payer.secret_key());
    devnet.chain().deposit(payer, &config, DEPOSIT).await.unwrap();
    let _ = caller.ledger.fund(DEPOSIT);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_real_chain_a_pod_registers_earns_claims_and_sees_a_withdrawal() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let home = Home::new();
    let models = vec![home.model()];
    let measurements = vec![Simulator::measurement(IMAGE)];
    let options = DevnetOptions { measurements, models, ..DevnetOptions::default() };
    let devnet = Devnet::start(options).await.unwrap();
    let (chain, payer) = (devnet.chain(), devnet.payer());
    let (config, pod) = start(&home, &devnet).await;

    // The registry names exactly this pod and the offer that it gives out.
    let entry = chain.pod(pod.id().unwrap()).await.unwrap().expect("the pod is registered");
    let mut caller = meet(&home, &devnet, &pod, payer).await;
    assert_eq!((entry.signer, entry.payee), (pod.signer(), config.payee));
    assert_eq!(entry.offer, caller.offer.digest(&caller.domain));
    assert_eq!(entry.endpoints, [format!("https://{}", pod.local_addr())]);

    // It is paid for what it counted, and claims it.
    let channel = fund(&mut caller, &devnet, payer).await;
    let mut owed = Amount::ZERO;
    for ask in [question(), streamed()] {
        let answer = caller.ask(&ask).await;
        owed = caller.accept(&ask, &answer).cumulative;
    }
    assert!(owed > Amount::ZERO);
    let report = pod.claim_now().await.unwrap();
    assert_eq!((report.rows, report.claimed), (1, owed));
    assert_eq!(report.after, Amount(report.before.0 + owed.0));
    assert_eq!(chain.token_balance(config.payee).await.unwrap(), report.after);
    assert!(report.gas > 21_000);
    assert_eq!(pod.claim_now().await.unwrap().claimed, Amount::ZERO);

    // What is owed when the payer begins to withdraw is claimed at once.
    let ask = question();
    let answer = caller.ask(&ask).await;
    let owed = caller.accept(&ask, &answer).cumulative;
    let rest = DEPOSIT.saturating_sub(report.claimed);
    chain.initiate_withdraw(payer, &channel, rest).await.unwrap();
    let mut claimed = Amount::ZERO;
    for _ in 0..LOOKS_MAX {
        claimed = chain.channel(caller.channel()).await.unwrap().unwrap().claimed;
        if claimed == owed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(claimed, owed);
    let refused = caller.ask(&question()).await;
    assert_eq!((refused.status, refused.code()), (402, "withdraw_pending".into()));
    pod.shutdown().await;

    // A restart finds ledger, signer and offer as they were, and registers nothing anew but its port.
    let (_, pod) = start(&home, &devnet).await;
    let entry = chain.pod(pod.id().unwrap()).await.unwrap().unwrap();
    assert_eq!(entry.offer, caller.offer.digest(&caller.domain));
    assert_eq!(pod.claim_now().await.unwrap().claimed, Amount::ZERO);
    pod.shutdown().await;
}
