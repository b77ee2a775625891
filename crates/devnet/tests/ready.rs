//! A devnet is what it says: deployed, released, funded, on time. One node for all of these tests.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime};

use subrosa_chain::{Chain, Depth, Kind, Network, Wallet};
use subrosa_devnet::{Devnet, DevnetOptions, gas};
use subrosa_protocol::{Amount, B256, Timestamp, U256};
use tokio::runtime::Runtime;

const MEASUREMENTS: [B256; 2] = [B256::repeat_byte(1), B256::repeat_byte(2)];
const MODEL: B256 = B256::repeat_byte(3);

/// The node and the runtime that its connections live on. Neither is dropped: the node ends
/// because the process does.
struct World {
    devnet: Devnet,
    runtime: Runtime,
    started_in: std::time::Duration,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let start = Instant::now();
    let options = DevnetOptions {
        measurements: MEASUREMENTS.to_vec(),
        models: vec![MODEL],
        ..DevnetOptions::default()
    };
    let devnet = runtime.block_on(Devnet::start(options)).unwrap();
    World { devnet, runtime, started_in: start.elapsed() }
});

fn with<T>(story: impl AsyncFnOnce(&'static Devnet) -> T) -> T {
    WORLD.runtime.block_on(story(&WORLD.devnet))
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
}

#[test]
fn releases_are_active_in_the_finalised_view() {
    with(async |devnet| {
        let set = devnet.chain().releases(now()).await.unwrap();
        assert_eq!(set.measurements, MEASUREMENTS.into());
        assert!(set.models.contains(&MODEL));
    });
}

#[test]
fn what_is_published_later_counts_once_it_is_final() {
    with(async |devnet| {
        let model = B256::repeat_byte(8);
        devnet.publish(Kind::Model, &[model]).await.unwrap();
        devnet.publish(Kind::Model, &[model]).await.expect("a second time does nothing");
        devnet.settle_down().await.unwrap();
        let set = devnet.chain().releases(now()).await.unwrap();
        assert!(set.models.contains(&model));
    });
}

#[test]
fn the_payer_has_gas_and_tokens() {
    with(async |devnet| {
        let payer = devnet.payer().address();
        assert!(devnet.chain().gas_balance(payer).await.unwrap() > U256::ZERO);
        assert!(devnet.chain().token_balance(payer).await.unwrap() > Amount(100_000_000));
    });
}

#[test]
fn an_operator_has_gas_and_is_the_same_each_time() {
    with(async |devnet| {
        let (zero, again, one) = (devnet.operator(0), devnet.operator(0), devnet.operator(1));
        assert_eq!(zero.address(), again.address());
        assert_ne!(zero.address(), one.address());
        assert!(devnet.chain().gas_balance(one.address()).await.unwrap() > U256::ZERO);
    });
}

#[test]
fn tokens_and_gas_are_given_to_anybody() {
    with(async |devnet| {
        let somebody = Wallet::generate().address();
        devnet.mint(somebody, Amount(5)).await.unwrap();
        devnet.mint(somebody, Amount(7)).await.unwrap();
        devnet.fund_gas(somebody).await.unwrap();
        assert_eq!(devnet.chain().token_balance(somebody).await.unwrap(), Amount(12));
        assert!(devnet.chain().gas_balance(somebody).await.unwrap() > U256::ZERO);
    });
}

#[test]
fn the_network_file_leads_to_the_same_contracts() {
    with(async |devnet| {
        let network = Network::load(&devnet.folder().join("network.toml")).unwrap();
        assert_eq!(&network, devnet.network());
        assert!(network.is_simulated());
        let chain = Chain::connect(&network).await.unwrap();
        let payer = devnet.payer().address();
        assert!(chain.token_balance(payer).await.unwrap() > Amount::ZERO);
        assert!(chain.pods().await.unwrap().is_empty());
    });
}

#[test]
fn the_chain_keeps_the_time_of_the_wall_clock() {
    with(async |devnet| {
        // Many blocks within a second must not push the chain's clock ahead.
        for _ in 0..20 {
            devnet.mine().await.unwrap();
        }
        let head = devnet.chain().at(Depth::Latest).await.unwrap();
        assert!(head.timestamp <= now());
        assert!(now().since(head.timestamp).0 <= 5);
        let depth = head.number - devnet.chain().at(Depth::Final).await.unwrap().number;
        assert!(depth <= 3, "{depth}");
    });
}

#[test]
fn a_devnet_is_ready_within_seconds() {
    assert!(WORLD.started_in.as_secs() < 30, "{:?}", WORLD.started_in);
}

#[test]
fn a_further_row_of_a_packed_claim_costs_less_than_13_000_gas() {
    with(async |devnet| {
        let report = gas::measure(devnet).await.unwrap();
        assert!(report.further_row < 13_000, "{report:?}");
        assert!(report.claim_50 > report.claim_1, "{report:?}");
        assert!(report.deposit > 21_000 && report.settle > 21_000, "{report:?}");
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<gas::GasReport>(&json).unwrap(), report);
    });
}
