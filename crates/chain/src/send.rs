//! How transactions are sent: once, and with an honest answer about what became of them.

use std::sync::Arc;
use std::time::Duration;

use alloy::consensus::{SignableTransaction, Transaction, TxEip1559, TxEnvelope};
use alloy::eips::BlockId;
use alloy::eips::eip2718::Encodable2718;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Bytes, TxKind};
use alloy::providers::Provider;
use alloy::rpc::types::{Log, TransactionReceipt, TransactionRequest};
use alloy::sol_types::SolCall;
use subrosa_protocol::{Address, B256, SecretKey, U256};

use crate::error::refusal;
use crate::{Chain, ChainError, Wallet};

/// Pauses between looks for a receipt: short at first, for chains that mine at once.
const PAUSE_LEAST: Duration = Duration::from_millis(10);
const PAUSE_MOST: Duration = Duration::from_secs(1);

/// Nodes count a nonce as spent a moment before they know the receipt of what spent it.
const RECEIPT_LAG: Duration = Duration::from_secs(2);

/// After this long a development node is told to mine: it may miss a transaction for ever.
const NUDGE_AFTER: Duration = Duration::from_secs(3);

/// State may move between estimate and block; a fifth more gas is allowed than estimated.
const GAS_MARGIN_PARTS: u64 = 5;

/// Who uses the same key elsewhere may take our nonce this often before we give up.
const NONCE_TRIES_MAX: usize = 3;

/// A transaction in a block, with effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mined {
    /// Its hash.
    pub hash: B256,
    /// The block's height.
    pub block: u64,
    /// What it cost, in gas.
    pub gas: u64,
}

/// What is remembered of a key that sends.
///
/// Its lock is held while a transaction is on its way, so that one key has one transaction at a
/// time: a second one behind a stuck first could not be told from it by nonce.
#[derive(Default)]
pub(crate) struct Account {
    /// The least nonce that is free as far as we know; a lagging node may know less.
    nonce_least: u64,
    /// A transaction that was sent, or was about to be, and whose fate nobody has learnt yet: the
    /// wait was over, or whoever waited went away.
    pending: Option<Pending>,
}

#[derive(Clone)]
struct Pending {
    hash: B256,
    nonce: u64,
    sender: Address,
    raw: Bytes,
}

/// A transaction in a block, with the events that it left.
pub(crate) struct Executed {
    pub(crate) mined: Mined,
    pub(crate) logs: Vec<Log>,
    pub(crate) created: Option<Address>,
}

impl Chain {
    /// The transaction of this hash, if it is in a block: where [`ChainError::Unknown`] was said,
    /// ask this before sending anything again.
    ///
    /// # Errors
    /// [`ChainError::Refused`] where it stands in a block without effect.
    pub async fn mined(&self, hash: B256) -> Result<Option<Mined>, ChainError> {
        match self.0.provider.get_transaction_receipt(hash).await? {
            Some(receipt) => Ok(Some(self.executed(receipt).await?.mined)),
            None => Ok(None),
        }
    }

    /// Learns what became of the wallet's last transaction where nobody knows yet. It sends nothing new:
    /// ask this before what that transaction was to bring is missed and paid once more.
    ///
    /// # Errors
    /// [`ChainError::Unknown`] where its fate is still open.
    pub async fn clear_pending(&self, wallet: &Wallet) -> Result<(), ChainError> {
        let account = self.account(wallet.address());
        let mut account = account.lock().await;
        match account.pending.clone() {
            Some(pending) => self.clear(pending, &mut account).await,
            None => Ok(()),
        }
    }

    /// Sends some of the chain's own coin, for somebody else's gas.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction.
    pub async fn transfer_gas(
        &self,
        wallet: &Wallet,
        to: Address,
        wei: U256,
    ) -> Result<Mined, ChainError> {
        let request = TransactionRequest::default().with_to(to).with_value(wei);
        Ok(self.execute(wallet, request).await?.mined)
    }

    /// Creates a contract.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction.
    pub(crate) async fn create(
        &self,
        wallet: &Wallet,
        code: Vec<u8>,
    ) -> Result<Address, ChainError> {
        let request = TransactionRequest::default().with_deploy_code(code);
        let executed = self.execute(wallet, request).await?;
        executed.created.ok_or(ChainError::Malformed { what: "eth_getTransactionReceipt" })
    }

    /// Calls a contract by a transaction and waits until that is in a block.
    pub(crate) async fn call<C: SolCall>(
        &self,
        wallet: &Wallet,
        contract: Address,
        call: C,
    ) -> Result<Executed, ChainError> {
        let request = TransactionRequest::default().with_to(contract).with_input(call.abi_encode());
        self.execute(wallet, request).await
    }

    /// What a call would cost in gas, or why it would be refused.
    pub(crate) async fn rehearse<C: SolCall>(
        &self,
        sender: Address,
        contract: Address,
        call: C,
    ) -> Result<u64, ChainError> {
        let request = TransactionRequest::default()
            .with_from(sender)
            .with_to(contract)
            .with_input(call.abi_encode());
        Ok(self.0.provider.estimate_gas(request).await?)
    }

    async fn execute(
        &self,
        wallet: &Wallet,
        request: TransactionRequest,
    ) -> Result<Executed, ChainError> {
        let account = self.account(wallet.address());
        let mut account = account.lock().await;
        if let Some(pending) = account.pending.clone() {
            self.clear(pending, &mut account).await?;
        }
        for _ in 0..NONCE_TRIES_MAX {
            let pending = self.prepare(wallet, &request, account.nonce_least).await?;
            // Remembered before it is sent: our caller may go away at any await.
            account.pending = Some(pending.clone());
            let sent = self.broadcast(&pending).await;
            if matches!(sent, Ok(true)) {
                return self.await_receipt(&pending, &mut account).await;
            }
            account.pending = None;
            sent?;
            // Somebody else used the nonce for a key of ours: take the next one.
            account.nonce_least = pending.nonce + 1;
        }
        let reason = "another program keeps sending with the same key".into();
        Err(ChainError::Refused { reason, hash: None })
    }

    fn account(&self, address: Address) -> Arc<tokio::sync::Mutex<Account>> {
        let mut accounts = self.0.accounts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        accounts.entry(address).or_default().clone()
    }

    /// Learns what became of an earlier transaction before another is sent.
    async fn clear(&self, pending: Pending, account: &mut Account) -> Result<(), ChainError> {
        // Sent again as it was: at worst the node has it already, or takes it no more, while a copy
        // of it may still reach a block. Either way its fate shows on the chain only.
        let _ = self.broadcast(&pending).await;
        match self.await_receipt(&pending, account).await {
            Err(error @ (ChainError::Unknown { .. } | ChainError::Unreachable { .. })) => {
                Err(error)
            }
            // In a block or out of the way for good: whoever sent it asks by its hash.
            _ => Ok(()),
        }
    }

    /// Rehearses the transaction, so that a refusal costs nothing, and signs it.
    async fn prepare(
        &self,
        wallet: &Wallet,
        request: &TransactionRequest,
        nonce_least: u64,
    ) -> Result<Pending, ChainError> {
        let provider = &self.0.provider;
        let sender = wallet.address();
        let gas = provider.estimate_gas(request.clone().with_from(sender)).await?;
        let fees = provider.estimate_eip1559_fees().await?;
        let known = provider.get_transaction_count(sender).pending().await?;
        let transaction = TxEip1559 {
            chain_id: self.params().chain_id,
            nonce: known.max(nonce_least),
            gas_limit: gas + gas / GAS_MARGIN_PARTS,
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
            to: request.to.unwrap_or(TxKind::Create),
            value: request.value.unwrap_or_default(),
            input: request.input.input().cloned().unwrap_or_default(),
            access_list: Default::default(),
        };
        Ok(sign(transaction, sender, wallet.secret_key()))
    }

    /// Hands a transaction to the node. False: the nonce is taken by another one.
    async fn broadcast(&self, pending: &Pending) -> Result<bool, ChainError> {
        let Err(error) = self.0.provider.send_raw_transaction(&pending.raw).await else {
            return Ok(true);
        };
        let Some(reason) = refusal(&error) else {
            // The answer was lost, the transaction perhaps not: its hash will tell.
            return Ok(true);
        };
        let words = reason.to_lowercase();
        if words.contains("already known") || words.contains("already imported") {
            return Ok(true);
        }
        if words.contains("nonce too low") || words.contains("underpriced") {
            // It may be this very transaction that took the nonce.
            return Ok(self.receipt(pending.hash).await?.is_some());
        }
        Err(ChainError::Refused { reason, hash: None })
    }

    async fn await_receipt(
        &self,
        pending: &Pending,
        account: &mut Account,
    ) -> Result<Executed, ChainError> {
        account.nonce_least = account.nonce_least.max(pending.nonce + 1);
        let start = tokio::time::Instant::now();
        let (mut pause, mut nudged, mut spent) = (PAUSE_LEAST, false, None);
        while start.elapsed() < self.0.receipt_time {
            match self.look(pending).await {
                Ok(Some(receipt)) => {
                    account.pending = None;
                    return self.executed(receipt).await;
                }
                Err(error @ ChainError::Replaced { .. }) => {
                    let since = spent.get_or_insert_with(tokio::time::Instant::now);
                    if since.elapsed() > RECEIPT_LAG {
                        account.pending = None;
                        return Err(error);
                    }
                }
                // A node that is away for a moment says nothing about the transaction.
                Ok(None) | Err(_) => {}
            }
            if self.0.mines_on_demand && !nudged && start.elapsed() > NUDGE_AFTER {
                nudged = self.request("evm_mine", serde_json::json!([])).await.is_ok();
                continue;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MOST);
        }
        Err(ChainError::Unknown { hash: pending.hash })
    }

    async fn look(&self, pending: &Pending) -> Result<Option<TransactionReceipt>, ChainError> {
        if let Some(receipt) = self.receipt(pending.hash).await? {
            return Ok(Some(receipt));
        }
        let used = self.0.provider.get_transaction_count(pending.sender).latest().await?;
        if used <= pending.nonce {
            return Ok(None);
        }
        // The nonce is spent. Asked once more, because the block may have come in between.
        match self.receipt(pending.hash).await? {
            Some(receipt) => Ok(Some(receipt)),
            None => Err(ChainError::Replaced { hash: pending.hash }),
        }
    }

    async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, ChainError> {
        Ok(self.0.provider.get_transaction_receipt(hash).await?)
    }

    /// The effect of a transaction, or why it had none.
    async fn executed(&self, receipt: TransactionReceipt) -> Result<Executed, ChainError> {
        let hash = receipt.transaction_hash;
        if !receipt.status() {
            let reason = self.why_reverted(&receipt).await;
            return Err(ChainError::Refused { reason, hash: Some(hash) });
        }
        let block =
            receipt.block_number.ok_or(ChainError::Malformed { what: "a receipt's block" })?;
        let created = receipt.contract_address;
        let mined = Mined { hash, block, gas: receipt.gas_used };
        Ok(Executed { mined, logs: receipt.inner.logs().to_vec(), created })
    }

    /// Runs a reverted transaction once more, where it stood, to hear the contract's error.
    async fn why_reverted(&self, receipt: &TransactionReceipt) -> String {
        let unknown = || "the transaction was reverted, the node does not say why".to_owned();
        let provider = &self.0.provider;
        let Ok(Some(transaction)) =
            provider.get_transaction_by_hash(receipt.transaction_hash).await
        else {
            return unknown();
        };
        let number = receipt.block_number.unwrap_or_default();
        // Without fees and nonce, which are spent by now.
        let request = TransactionRequest {
            from: Some(receipt.from),
            to: Some(transaction.kind()),
            value: Some(transaction.value()),
            ..TransactionRequest::default().with_input(transaction.input().clone())
        };
        match provider.call(request).block(BlockId::number(number)).await {
            Err(error) => refusal(&error).unwrap_or_else(unknown),
            Ok(_) => unknown(),
        }
    }
}

fn sign(transaction: TxEip1559, sender: Address, key: &SecretKey) -> Pending {
    let nonce = transaction.nonce;
    let signature = key.sign_digest(&transaction.signature_hash());
    let envelope = TxEnvelope::from(transaction.into_signed(signature));
    Pending { hash: *envelope.tx_hash(), nonce, sender, raw: envelope.encoded_2718().into() }
}
