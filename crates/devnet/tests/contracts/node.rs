use subrosa_chain::{Chain, ChainError, Depth, Network};
use subrosa_protocol::{B256, Timestamp};

use crate::world::on_chain;

fn altered(network: &Network, alter: impl FnOnce(&mut subrosa_chain::ChainParams)) -> Network {
    let mut network = network.clone();
    alter(network.chain.as_mut().unwrap());
    network
}

#[test]
fn a_node_of_another_chain_is_refused() {
    on_chain(async |devnet| {
        let network = altered(devnet.network(), |chain| chain.chain_id = 1);
        let refusal = Chain::connect(&network).await.unwrap_err();
        assert_eq!(refusal, ChainError::WrongChain { got: 31337, expected: 1 });
    });
}

#[test]
fn a_node_that_is_not_there_is_unreachable() {
    on_chain(async |devnet| {
        // Port 1 on this machine has no listener.
        let network = altered(devnet.network(), |chain| chain.rpc = "http://127.0.0.1:1".into());
        let refusal = Chain::connect(&network).await.unwrap_err();
        assert!(matches!(refusal, ChainError::Unreachable { .. }), "{refusal}");
    });
}

#[test]
fn a_network_without_a_chain_connects_to_none() {
    on_chain(async |devnet| {
        let network = Network { chain: None, ..devnet.network().clone() };
        assert_eq!(Chain::connect(&network).await.unwrap_err(), ChainError::Chainless);
    });
}

#[test]
fn a_stale_view_is_refused() {
    on_chain(async |devnet| {
        let chain = devnet.chain();
        let far = Timestamp(u64::MAX / 2);
        let refusal = chain.finalised(far).await.unwrap_err();
        assert!(matches!(refusal, ChainError::StaleView { .. }), "{refusal}");
        let refusal = chain.releases(far).await.unwrap_err();
        assert!(matches!(refusal, ChainError::StaleView { .. }), "{refusal}");
        let last = chain.at(Depth::Final).await.unwrap();
        assert!(chain.finalised(last.timestamp).await.is_ok());
    });
}

#[test]
fn a_block_is_found_by_its_number() {
    on_chain(async |devnet| {
        let chain = devnet.chain();
        let last = chain.at(Depth::Final).await.unwrap();
        assert_eq!(chain.block(last.number).await.unwrap(), Some(last));
        assert_eq!(chain.block(u64::MAX / 2).await.unwrap(), None);
    });
}

#[test]
fn confirmations_count_back_from_the_head() {
    on_chain(async |devnet| {
        let finality = subrosa_chain::Finality::Confirmations(3);
        let network = altered(devnet.network(), |chain| chain.finality = finality);
        let chain = Chain::connect(&network).await.unwrap();
        let before = chain.at(Depth::Latest).await.unwrap().number;
        let last = chain.at(Depth::Final).await.unwrap().number;
        let after = chain.at(Depth::Latest).await.unwrap().number;
        assert!((before.saturating_sub(3)..=after.saturating_sub(3)).contains(&last));
    });
}

#[test]
fn a_transaction_without_effect_is_refused_with_the_contracts_words() {
    on_chain(async |devnet| {
        let chain = devnet.chain();
        // An account that the node itself signs for sends without rehearsal.
        let stranger = subrosa_chain::Wallet::generate().address();
        devnet.fund_gas(stranger).await.unwrap();
        let impersonate = serde_json::json!([stranger]);
        chain.request("anvil_impersonateAccount", impersonate).await.unwrap();
        let call = serde_json::json!([{
            "from": stranger,
            "to": chain.params().contracts.releases,
            // approve(0, 0x11…): the sender is no publisher.
            "data": format!("0x{}", approve_call()),
            "gas": "0x30d40",
        }]);
        let hash = chain.request("eth_sendTransaction", call).await.unwrap();
        let hash: B256 = hash.as_str().unwrap().parse().unwrap();
        loop {
            match chain.mined(hash).await {
                Ok(None) => tokio::task::yield_now().await,
                Ok(Some(mined)) => panic!("{mined:?}"),
                Err(refusal) => {
                    assert!(refusal.to_string().contains("Releases_NotPublisher"), "{refusal}");
                    assert!(matches!(refusal, ChainError::Refused { hash: Some(told), .. }
                        if told == hash));
                    return;
                }
            }
        }
    });
}

fn approve_call() -> String {
    let selector = &subrosa_protocol::keccak256("approve(uint8,bytes32)")[..4];
    let mut data = selector.to_vec();
    data.extend([0; 32]);
    data.extend([0x11; 32]);
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn many_send_at_once_with_one_key() {
    on_chain(async |devnet| {
        let wallet = devnet.operator(7);
        let to = subrosa_chain::Wallet::generate().address();
        let send = || devnet.chain().transfer_gas(&wallet, to, subrosa_protocol::U256::from(5));
        let (one, two, three) = tokio::join!(send(), send(), send());
        for sent in [&one, &two, &three] {
            assert!(sent.is_ok(), "{sent:?}");
        }
        let got = devnet.chain().gas_balance(to).await.unwrap();
        assert_eq!(got, subrosa_protocol::U256::from(15));
    });
}

#[test]
fn a_key_without_gas_is_told_so() {
    on_chain(async |devnet| {
        let poor = subrosa_chain::Wallet::generate();
        let refusal = devnet.chain().settle(&poor, poor.address()).await.unwrap_err();
        assert!(matches!(refusal, ChainError::Refused { hash: None, .. }), "{refusal}");
        assert!(refusal.to_string().to_lowercase().contains("insufficient funds"), "{refusal}");
    });
}
