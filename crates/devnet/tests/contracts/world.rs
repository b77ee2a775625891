//! One development chain for all tests, and the parties that they need.

use std::future::Future;
use std::sync::LazyLock;

use subrosa_chain::{Chain, ClaimRow, Wallet};
use subrosa_devnet::{Devnet, DevnetOptions};
use subrosa_protocol::{
    Amount, B256, ChannelConfig, ClaimBatch, Duration, SecretKey, Signed, Voucher,
};
use tokio::runtime::Runtime;

pub const MEASUREMENT: B256 = B256::repeat_byte(0xaa);
pub const MODEL: B256 = B256::repeat_byte(0xbb);

pub const HOUR: Duration = Duration(3_600);

static WORLD: LazyLock<(Runtime, Devnet)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let options = DevnetOptions {
        measurements: vec![MEASUREMENT],
        models: vec![MODEL],
        ..DevnetOptions::default()
    };
    let devnet = runtime.block_on(Devnet::start(options)).unwrap();
    (runtime, devnet)
});

/// Runs a test on the common chain.
pub fn on_chain<F: Future<Output = ()>>(test: impl FnOnce(&'static Devnet) -> F) {
    let (runtime, devnet) = &*WORLD;
    runtime.block_on(test(devnet));
}

/// A payer with money, and a pod that is paid by it; nobody else uses their keys.
pub struct Parties {
    pub chain: Chain,
    pub payer: Wallet,
    pub signer: SecretKey,
    pub payee: Wallet,
}

impl Parties {
    pub async fn meet(devnet: &Devnet) -> Parties {
        let [payer, signer, payee] = std::array::from_fn(|_| Wallet::generate());
        devnet.fund_gas(payer.address()).await.unwrap();
        devnet.mint(payer.address(), Amount(1_000_000)).await.unwrap();
        let signer = signer.secret_key().clone();
        Parties { chain: devnet.chain().clone(), payer, signer, payee }
    }

    pub fn channel(&self, salt: u8) -> ChannelConfig {
        ChannelConfig {
            payer: self.payer.address(),
            payer_authorizer: self.payer.address(),
            receiver: self.payee.address(),
            receiver_authorizer: self.signer.address(),
            token: self.chain.params().contracts.token,
            withdraw_delay: HOUR,
            salt: B256::with_last_byte(salt),
        }
    }

    pub async fn open(&self, salt: u8, deposit: Amount) -> ChannelConfig {
        let config = self.channel(salt);
        self.chain.deposit(&self.payer, &config, deposit).await.unwrap();
        config
    }

    pub fn row(&self, config: &ChannelConfig, ceiling: u128, total: u128) -> ClaimRow {
        self.row_signed_by(self.payer.secret_key(), config, ceiling, total)
    }

    pub fn row_signed_by(
        &self,
        key: &SecretKey,
        config: &ChannelConfig,
        ceiling: u128,
        total: u128,
    ) -> ClaimRow {
        let domain = self.chain.domain();
        let voucher = Voucher { channel: config.id(&domain), ceiling: Amount(ceiling) };
        let voucher = Signed::sign(voucher, &domain, key);
        ClaimRow { config: config.clone(), voucher, total: Amount(total) }
    }

    pub fn batch(&self, rows: &[ClaimRow]) -> Signed<ClaimBatch> {
        let claims = rows.iter().map(ClaimRow::entry).collect();
        Signed::sign(ClaimBatch { claims }, &self.chain.domain(), &self.signer)
    }
}
