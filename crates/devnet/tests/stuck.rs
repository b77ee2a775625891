//! Transactions that do not get into a block.

use std::time::Duration;

use serde_json::json;
use subrosa_chain::{Chain, ChainError, Trust, Wallet};
use subrosa_devnet::{Devnet, DevnetOptions};
use subrosa_protocol::U256;

async fn silent_chain() -> Devnet {
    let devnet = Devnet::start(DevnetOptions::default()).await.unwrap();
    devnet.chain().request("evm_setAutomine", json!([false])).await.unwrap();
    devnet.chain().request("evm_setIntervalMining", json!([0])).await.unwrap();
    devnet
}

/// A connection that does not tell the node to mine, and is soon out of patience.
async fn impatient(devnet: &Devnet, patience: Duration) -> Chain {
    let mut network = devnet.network().clone();
    network.trust = Trust::Hardware;
    Chain::connect_with(&network, patience).await.unwrap()
}

#[tokio::test]
async fn a_development_node_that_missed_a_transaction_is_told_to_mine() {
    let devnet = silent_chain().await;
    let to = Wallet::generate().address();
    devnet.chain().transfer_gas(&devnet.operator(0), to, U256::from(1)).await.unwrap();
    assert_eq!(devnet.chain().gas_balance(to).await.unwrap(), U256::from(1));
}

#[tokio::test]
async fn what_is_not_known_is_no_failure_and_nothing_is_sent_twice() {
    let devnet = silent_chain().await;
    let chain = impatient(&devnet, Duration::from_millis(300)).await;
    let (wallet, to) = (devnet.operator(0), Wallet::generate().address());

    let first = chain.transfer_gas(&wallet, to, U256::from(1)).await.unwrap_err();
    let ChainError::Unknown { hash } = first else { panic!("{first}") };
    assert_eq!(chain.mined(hash).await.unwrap(), None);

    // While its fate is open the key sends nothing else.
    let second = chain.transfer_gas(&wallet, to, U256::from(10)).await.unwrap_err();
    assert_eq!(second, ChainError::Unknown { hash });

    devnet.mine().await.unwrap();
    assert!(chain.mined(hash).await.unwrap().is_some());
    assert_eq!(chain.gas_balance(to).await.unwrap(), U256::from(1));

    devnet.chain().request("evm_setAutomine", json!([true])).await.unwrap();
    chain.transfer_gas(&wallet, to, U256::from(100)).await.unwrap();
    assert_eq!(chain.gas_balance(to).await.unwrap(), U256::from(101));
}

#[tokio::test]
async fn a_transaction_whose_place_is_taken_is_told_as_replaced() {
    let devnet = silent_chain().await;
    let (wallet, to) = (devnet.operator(0), Wallet::generate().address());
    // Two programs with one key: neither knows what the other sends.
    let one = impatient(&devnet, Duration::from_secs(30)).await;
    let two = impatient(&devnet, Duration::from_secs(30)).await;

    let sent = tokio::spawn({
        let wallet = wallet.clone();
        async move { one.transfer_gas(&wallet, to, U256::from(1)).await }
    });
    let hash = loop {
        let pool = devnet.chain().request("txpool_content", json!([])).await.unwrap();
        let pending = pool["pending"].as_object().and_then(|keys| keys.values().next());
        if let Some(queue) = pending {
            let transaction = queue.as_object().unwrap().values().next().unwrap();
            break transaction["hash"].clone();
        }
    };
    devnet.chain().request("anvil_dropTransaction", json!([hash])).await.unwrap();
    devnet.chain().request("evm_setAutomine", json!([true])).await.unwrap();
    two.transfer_gas(&wallet, to, U256::from(10)).await.unwrap();

    let fate = sent.await.unwrap().unwrap_err();
    assert!(matches!(fate, ChainError::Replaced { .. }), "{fate}");
    assert_eq!(devnet.chain().gas_balance(to).await.unwrap(), U256::from(10));
}

#[tokio::test]
async fn a_transaction_whose_sender_went_away_is_cleared_before_the_next_one() {
    let devnet = silent_chain().await;
    let chain = impatient(&devnet, Duration::from_millis(300)).await;
    let (wallet, to) = (devnet.operator(0), Wallet::generate().address());

    // A caller that gives up as soon as its transaction is with the node.
    tokio::select! {
        fate = chain.transfer_gas(&wallet, to, U256::from(1)) => panic!("{fate:?}"),
        () = in_the_pool(&devnet) => {}
    }

    let next = chain.transfer_gas(&wallet, to, U256::from(10)).await.unwrap_err();
    assert!(matches!(next, ChainError::Unknown { .. }), "{next}");
    let status = devnet.chain().request("txpool_status", json!([])).await.unwrap();
    assert_eq!((&status["pending"], &status["queued"]), (&json!("0x1"), &json!("0x0")));

    devnet.chain().request("evm_setAutomine", json!([true])).await.unwrap();
    devnet.mine().await.unwrap();
    chain.transfer_gas(&wallet, to, U256::from(10)).await.unwrap();
    assert_eq!(devnet.chain().gas_balance(to).await.unwrap(), U256::from(11));
}

/// Returns when a transaction waits for a block.
async fn in_the_pool(devnet: &Devnet) {
    loop {
        let status = devnet.chain().request("txpool_status", json!([])).await.unwrap();
        if status["pending"] == json!("0x1") {
            return;
        }
    }
}
