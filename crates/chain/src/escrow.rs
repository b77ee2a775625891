//! Channels on chain: deposits, claims, and the way back.

use std::collections::BTreeMap;

use alloy::primitives::Bytes;
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::{SolEvent, SolValue};
use subrosa_protocol::{
    Address, Amount, B256, ChannelConfig, ChannelId, ClaimBatch, Domain, Message, Refund, Signed,
    Timestamp, U256,
};

use crate::bindings::escrow::{Escrow, IEscrow};
use crate::packed::{self, ClaimRow, PackError};
use crate::send::{Executed, Mined};
use crate::{BlockHead, Chain, ChainError, Depth, Wallet};

/// A row of the log of a packed claim: channel id, new total.
const LOG_ROW_BYTES: usize = 48;

/// A channel as the contract has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelState {
    /// Deposits less refunds and withdrawals; what was claimed is still in it.
    pub balance: Amount,
    /// What was claimed in all, settled or not.
    pub claimed: Amount,
    /// When the payer began to withdraw, while that is pending.
    pub withdraw_requested_at: Option<Timestamp>,
    /// How much the payer asked back, while that is pending.
    pub withdraw_amount: Amount,
    /// Whether the channel is closed for good.
    pub closed: bool,
    /// The nonce that the next refund must carry.
    pub refund_nonce: U256,
}

/// What the claims of all channels to one receiver brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverState {
    /// Claimed in all.
    pub claimed: Amount,
    /// Transferred in all.
    pub settled: Amount,
}

/// A packed claim in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The transaction.
    pub mined: Mined,
    /// What the rows added together.
    pub amount: Amount,
    /// What became of each row, in their order.
    pub rows: Vec<RowOutcome>,
}

/// What became of one row of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOutcome {
    /// The channel's claimed total is now this.
    Booked {
        /// The new total.
        total: Amount,
    },
    /// The row was passed over.
    Skipped(SkipReason),
    /// The channel had claimed as much before.
    Unchanged,
}

/// Why a row was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// The channel names another signer.
    NotAuthorizer,
    /// Nothing is left in the channel; after a top-up the row can be claimed.
    Unfunded,
    /// The voucher is not signed by the payer's authorizer.
    VoucherSignature,
}

impl Chain {
    /// A channel in the newest block; `None` where nothing was ever deposited.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not answer.
    pub async fn channel(&self, id: ChannelId) -> Result<Option<ChannelState>, ChainError> {
        self.channel_at(id, Depth::Latest).await
    }

    /// A channel as deep as it must be for what it holds.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not answer.
    pub async fn channel_at(
        &self,
        id: ChannelId,
        depth: Depth,
    ) -> Result<Option<ChannelState>, ChainError> {
        let at = self.at(depth).await?;
        let escrow = self.contracts().escrow;
        let channel = id.0;
        let (money, exit, closed, refund_nonce) = tokio::try_join!(
            self.read(escrow, Escrow::channelsCall { channelId: channel }, &at),
            self.read(escrow, Escrow::pendingWithdrawalsCall { channelId: channel }, &at),
            self.read(escrow, Escrow::isClosedCall { channelId: channel }, &at),
            self.read(escrow, Escrow::refundNonceCall { channelId: channel }, &at),
        )?;
        let state = ChannelState {
            balance: Amount(money.balance),
            claimed: Amount(money.totalClaimed),
            withdraw_requested_at: match exit.initiatedAt.to::<u64>() {
                0 => None,
                seconds => Some(Timestamp(seconds)),
            },
            withdraw_amount: Amount(exit.amount),
            closed,
            refund_nonce,
        };
        let opened = state.balance > Amount::ZERO || state.claimed > Amount::ZERO || closed;
        Ok(opened.then_some(state))
    }

    /// What a receiver was booked and paid in the network's token.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not answer.
    pub async fn receiver(&self, receiver: Address) -> Result<ReceiverState, ChainError> {
        let at = self.at(Depth::Latest).await?;
        let call = Escrow::receiversCall { receiver, token: self.contracts().token };
        let state = self.read(self.contracts().escrow, call, &at).await?;
        let (claimed, settled) = (Amount(state.totalClaimed), Amount(state.totalSettled));
        Ok(ReceiverState { claimed, settled })
    }

    /// Channels that pay `payee` and whose payer began to withdraw in block `from` or later, and
    /// the block to go on from.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not answer; then ask for the same again.
    pub async fn withdrawals(
        &self,
        payee: Address,
        from: u64,
    ) -> Result<(Vec<ChannelId>, u64), ChainError> {
        let head = self.at(Depth::Latest).await?;
        let begun =
            self.escrow_logs(Escrow::WithdrawInitiated::SIGNATURE_HASH, &[], from, &head).await?;
        let mut ids: Vec<B256> = begun.iter().filter_map(channel_of).collect();
        ids.sort();
        ids.dedup();
        if ids.is_empty() {
            return Ok((Vec::new(), head.number + 1));
        }
        // The event names the channel only; whom it pays stands in the event of its first deposit.
        let deployed = self.params().deployed_block;
        let created = Escrow::ChannelCreated::SIGNATURE_HASH;
        let created = self.escrow_logs(created, &ids, deployed, &head).await?;
        let ours = created.iter().filter_map(|log| {
            let event = Escrow::ChannelCreated::decode_log(&log.inner).ok()?.data;
            (event.config.receiver == payee).then_some(ChannelId(event.channelId))
        });
        Ok((ours.collect(), head.number + 1))
    }

    /// Deposits the wallet's own tokens, after approving them where that is needed.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction.
    pub async fn deposit(
        &self,
        wallet: &Wallet,
        config: &ChannelConfig,
        amount: Amount,
    ) -> Result<Mined, ChainError> {
        self.allow(wallet, config.token, amount).await?;
        let call = Escrow::depositCall {
            config: abi(config),
            amount: amount.0,
            collector: Address::ZERO,
            collectorData: Bytes::new(),
        };
        Ok(self.on_escrow(wallet, call).await?.mined)
    }

    /// Deposits a payer's tokens by the payer's EIP-3009 authorization, which `wallet` pays the
    /// gas for.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction.
    pub async fn deposit_authorized(
        &self,
        wallet: &Wallet,
        config: &ChannelConfig,
        amount: Amount,
        payer: &subrosa_protocol::SecretKey,
    ) -> Result<Mined, ChainError> {
        let authorization = self.authorise(config, amount, payer).await?.abi_encode_params();
        let call = Escrow::depositCall {
            config: abi(config),
            amount: amount.0,
            collector: self.contracts().escrow,
            collectorData: authorization.into(),
        };
        Ok(self.on_escrow(wallet, call).await?.mined)
    }

    /// What a packed claim would cost in gas. It rehearses the claim, so it also tells a refusal.
    ///
    /// # Errors
    /// [`ChainError::Refused`] where the claim would be; for rows that do not fit together too.
    pub async fn claim_gas(
        &self,
        sender: Address,
        rows: &[ClaimRow],
        batch: &Signed<ClaimBatch>,
    ) -> Result<u64, ChainError> {
        let call = packed_call(rows, batch, &self.domain())?;
        self.rehearse(sender, self.contracts().escrow, call).await
    }

    /// Claims many channels at once. Anybody may send what the pod's signer signed.
    ///
    /// It is rehearsed first, so that a claim that would be refused costs nothing; a bad row is
    /// passed over by the contract and told in the outcome.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction. Claiming twice books once.
    pub async fn claim_packed(
        &self,
        wallet: &Wallet,
        rows: &[ClaimRow],
        batch: &Signed<ClaimBatch>,
    ) -> Result<Claimed, ChainError> {
        let executed = self.on_escrow(wallet, packed_call(rows, batch, &self.domain())?).await?;
        outcome(rows, &executed)
    }

    /// Transfers to `receiver` what was claimed in the network's token. Anybody may.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction.
    pub async fn settle(&self, wallet: &Wallet, receiver: Address) -> Result<Mined, ChainError> {
        let call = Escrow::settleCall { receiver, token: self.contracts().token };
        Ok(self.on_escrow(wallet, call).await?.mined)
    }

    /// Begins to take unclaimed tokens back; the pod has the channel's delay to claim.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction.
    pub async fn initiate_withdraw(
        &self,
        wallet: &Wallet,
        config: &ChannelConfig,
        amount: Amount,
    ) -> Result<Mined, ChainError> {
        let call = Escrow::initiateWithdrawCall { config: abi(config), amount: amount.0 };
        Ok(self.on_escrow(wallet, call).await?.mined)
    }

    /// Ends a withdrawal after its delay.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction.
    pub async fn finalize_withdraw(
        &self,
        wallet: &Wallet,
        config: &ChannelConfig,
    ) -> Result<Mined, ChainError> {
        let call = Escrow::finalizeWithdrawCall { config: abi(config) };
        Ok(self.on_escrow(wallet, call).await?.mined)
    }

    /// Gives unclaimed tokens back at once, by the signer's leave. Anybody may send it.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction.
    pub async fn refund(
        &self,
        wallet: &Wallet,
        config: &ChannelConfig,
        refund: &Signed<Refund>,
    ) -> Result<Mined, ChainError> {
        let terms = refund.unverified();
        let call = Escrow::refundWithSignatureCall {
            config: abi(config),
            amount: terms.amount.0,
            nonce: terms.nonce,
            receiverAuthorizerSignature: refund.signature_bytes().into(),
        };
        Ok(self.on_escrow(wallet, call).await?.mined)
    }

    async fn on_escrow<C: alloy::sol_types::SolCall>(
        &self,
        wallet: &Wallet,
        call: C,
    ) -> Result<Executed, ChainError> {
        self.call(wallet, self.contracts().escrow, call).await
    }

    async fn escrow_logs(
        &self,
        event: B256,
        channels: &[B256],
        from: u64,
        to: &BlockHead,
    ) -> Result<Vec<Log>, ChainError> {
        let filter = Filter::new().address(self.contracts().escrow).event_signature(event);
        self.logs(filter.topic1(channels.to_vec()), from, to.number).await
    }
}

fn channel_of(log: &Log) -> Option<B256> {
    log.topics().get(1).copied()
}

fn packed_call(
    rows: &[ClaimRow],
    batch: &Signed<ClaimBatch>,
    domain: &Domain,
) -> Result<Escrow::claimPackedCall, ChainError> {
    let refused = |error: PackError| ChainError::Refused { reason: error.to_string(), hash: None };
    let batch = packed::encode(rows, batch, domain).map_err(refused)?;
    Ok(Escrow::claimPackedCall { batch: batch.into() })
}

/// Reads what became of the rows from the events of the claim.
fn outcome(rows: &[ClaimRow], executed: &Executed) -> Result<Claimed, ChainError> {
    let malformed = || ChainError::Malformed { what: "the events of a claim" };
    let mut amount = Amount::ZERO;
    let mut totals: BTreeMap<B256, Amount> = BTreeMap::new();
    let mut skipped: BTreeMap<u64, SkipReason> = BTreeMap::new();
    for log in &executed.logs {
        if let Ok(event) = Escrow::BatchClaimed::decode_log(&log.inner) {
            amount = Amount(event.amount.try_into().map_err(|_| malformed())?);
            for row in event.rows.chunks_exact(LOG_ROW_BYTES) {
                let (id, total) = row.split_at(32);
                let total = u128::from_be_bytes(total.try_into().expect("48 less 32 is 16 bytes"));
                totals.insert(B256::from_slice(id), Amount(total));
            }
        } else if let Ok(event) = Escrow::RowSkipped::decode_log(&log.inner) {
            let row = event.row.try_into().map_err(|_| malformed())?;
            skipped.insert(row, skip_reason(event.reason).ok_or_else(malformed)?);
        }
    }
    let told = rows.iter().zip(0_u64..).map(|(row, index)| {
        let total = totals.get(&row.voucher.unverified().channel.0);
        match (skipped.get(&index), total) {
            (Some(reason), _) => RowOutcome::Skipped(*reason),
            (None, Some(total)) => RowOutcome::Booked { total: *total },
            (None, None) => RowOutcome::Unchanged,
        }
    });
    Ok(Claimed { mined: executed.mined, amount, rows: told.collect() })
}

fn skip_reason(reason: u8) -> Option<SkipReason> {
    match reason {
        0 => Some(SkipReason::NotAuthorizer),
        1 => Some(SkipReason::Unfunded),
        2 => Some(SkipReason::VoucherSignature),
        _ => None,
    }
}

fn abi(config: &ChannelConfig) -> IEscrow::ChannelConfig {
    let sol = config.to_sol();
    IEscrow::ChannelConfig {
        payer: sol.payer,
        payerAuthorizer: sol.payerAuthorizer,
        receiver: sol.receiver,
        receiverAuthorizer: sol.receiverAuthorizer,
        token: sol.token,
        withdrawDelay: sol.withdrawDelay,
        salt: sol.salt,
    }
}
