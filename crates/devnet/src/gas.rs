//! What each operation costs in gas, measured on a running chain.

use serde::{Deserialize, Serialize};
use subrosa_chain::{ChainError, ClaimRow, Wallet};
use subrosa_protocol::{
    Address, Amount, B256, ChannelConfig, ClaimBatch, Duration, SecretKey, Signed, U256, Voucher,
};

use crate::Devnet;

/// A batch that a pod would send: claims are gathered until they are worth the gas.
const ROWS: usize = 50;

const WITHDRAW_DELAY: Duration = Duration(24 * 3600);
const DEPOSIT: Amount = Amount(1_000_000);
const CHARGED: Amount = Amount(1_234);

/// Gas of whole transactions, on a chain without a fee for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GasReport {
    /// The first deposit of a channel, by allowance.
    pub deposit: u64,
    /// A packed claim of one channel, to a receiver that was paid before.
    pub claim_1: u64,
    /// A packed claim of fifty channels.
    pub claim_50: u64,
    /// What each channel after the first adds to a claim of fifty.
    pub further_row: u64,
    /// The transfer to a receiver that was paid before.
    pub settle: u64,
}

/// Opens 52 channels of fresh parties and claims them.
///
/// # Errors
/// [`ChainError`] where the node does not do it.
pub async fn measure(devnet: &Devnet) -> Result<GasReport, ChainError> {
    let parties = Parties::gather(devnet).await?;
    let mut deposits = Vec::new();
    let mut rows = Vec::new();
    for number in 0..ROWS + 2 {
        let (row, gas) = parties.open(number).await?;
        rows.push(row);
        deposits.push(gas);
    }
    // The first claim and transfer also open accounts of the receiver, once in its life.
    parties.claim(&rows[ROWS + 1..]).await?;
    parties.settle().await?;
    let claim_1 = parties.claim(&rows[ROWS..=ROWS]).await?;
    let claim_50 = parties.claim(&rows[..ROWS]).await?;
    Ok(GasReport {
        // The last one: the escrow holds tokens already, as it does in real life.
        deposit: deposits.last().copied().unwrap_or_default(),
        claim_1,
        claim_50,
        further_row: claim_50.saturating_sub(claim_1) / (ROWS as u64 - 1),
        settle: parties.settle().await?,
    })
}

struct Parties<'a> {
    devnet: &'a Devnet,
    payer: Wallet,
    receiver: Address,
    signer: SecretKey,
}

impl Parties<'_> {
    async fn gather(devnet: &Devnet) -> Result<Parties<'_>, ChainError> {
        let payer = Wallet::generate();
        devnet.fund_gas(payer.address()).await?;
        devnet.mint(payer.address(), Amount(DEPOSIT.0 * 2 * (ROWS as u128 + 2))).await?;
        let receiver = Wallet::generate().address();
        let signer = Wallet::generate().secret_key().clone();
        Ok(Parties { devnet, payer, receiver, signer })
    }

    async fn open(&self, number: usize) -> Result<(ClaimRow, u64), ChainError> {
        let chain = self.devnet.chain();
        let config = ChannelConfig {
            payer: self.payer.address(),
            payer_authorizer: self.payer.address(),
            receiver: self.receiver,
            receiver_authorizer: self.signer.address(),
            token: chain.params().contracts.token,
            withdraw_delay: WITHDRAW_DELAY,
            // Eight bytes, as clients draw them: the packed form of a salt.
            salt: B256::from(U256::from(0x1122_3344_5566_0000_u64 + number as u64)),
        };
        let gas = chain.deposit(&self.payer, &config, DEPOSIT).await?.gas;
        let voucher = Voucher { channel: config.id(&chain.domain()), ceiling: DEPOSIT };
        let voucher = Signed::sign(voucher, &chain.domain(), self.payer.secret_key());
        Ok((ClaimRow { config, voucher, total: CHARGED }, gas))
    }

    async fn claim(&self, rows: &[ClaimRow]) -> Result<u64, ChainError> {
        let chain = self.devnet.chain();
        let batch = ClaimBatch { claims: rows.iter().map(ClaimRow::entry).collect() };
        let batch = Signed::sign(batch, &chain.domain(), &self.signer);
        Ok(chain.claim_packed(&self.devnet.operator(0), rows, &batch).await?.mined.gas)
    }

    async fn settle(&self) -> Result<u64, ChainError> {
        let chain = self.devnet.chain();
        Ok(chain.settle(&self.devnet.operator(0), self.receiver).await?.gas)
    }
}
