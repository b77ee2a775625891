//! A chain in memory, with the rules of the contracts that a pod meets.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use futures_util::FutureExt;
use futures_util::future::ready;
use subrosa_chain::{ChannelState, ClaimRow, Mined, Network};
use subrosa_pod::link::{Entry, Later, Link, LinkError, NamedBlock};
use subrosa_protocol::{
    Address, Amount, B256, ChannelId, ClaimBatch, Domain, Registration, SecretKey, Signed,
};
use subrosa_verifier::{Block, ChainView};
use tokio::sync::Notify;

use super::caller::now;

pub const PAYEE: Address = Address::repeat_byte(0x77);

const BLOCK: u64 = 7;
const HASH: B256 = B256::repeat_byte(0x07);

/// What the network file says.
pub fn network() -> Network {
    Network::parse(
        r#"
        name = "memory"
        trust = "simulated"
        chain_id = 31337
        rpc = "http://127.0.0.1:1"
        deployed_block = 0
        finality = 1
        view_age_max_s = 60
        [contracts]
        escrow = "0x00000000000000000000000000000000000000e5"
        registry = "0x00000000000000000000000000000000000000e6"
        releases = "0x00000000000000000000000000000000000000e7"
        token = "0x00000000000000000000000000000000000000e8"
        [publishers]
        threshold = 1
        addresses = ["0x00000000000000000000000000000000000000e9"]
        "#,
    )
    .unwrap()
}

#[derive(Default)]
struct State {
    channels: HashMap<ChannelId, ChannelState>,
    withdrawals: Vec<ChannelId>,
    booked: BTreeMap<Address, Amount>,
    balances: BTreeMap<Address, Amount>,
    entries: HashMap<B256, Entry>,
    transactions: u64,
    claims: usize,
    lose_next: bool,
}

pub struct MemoryChain {
    state: Mutex<State>,
    operator: SecretKey,
    pub claimed: Notify,
}

impl MemoryChain {
    pub fn new() -> MemoryChain {
        let operator = SecretKey::from_bytes(&[0x33; 32]).unwrap();
        MemoryChain { state: Mutex::default(), operator, claimed: Notify::new() }
    }

    /// What a verifier that follows this chain sees.
    pub fn view(&self) -> ChainView {
        let block = Block { number: BLOCK, hash: HASH, timestamp: now() };
        ChainView { chain_id: 31337, finalised: block, named: Some(block) }
    }

    pub fn deposit(&self, channel: ChannelId, amount: u128) {
        let mut state = self.lock();
        let state = state.channels.entry(channel).or_insert(ChannelState {
            balance: Amount::ZERO,
            claimed: Amount::ZERO,
            withdraw_requested_at: None,
            withdraw_amount: Amount::ZERO,
            closed: false,
            refund_nonce: alloy_primitives::U256::ZERO,
        });
        state.balance = Amount(state.balance.0 + amount);
    }

    pub fn begin_withdrawal(&self, channel: ChannelId) {
        let mut state = self.lock();
        state.channels.get_mut(&channel).unwrap().withdraw_requested_at = Some(now());
        state.withdrawals.push(channel);
    }

    /// The next transaction is carried out, and its sender never learns of it.
    pub fn lose_next(&self) {
        self.lock().lose_next = true;
    }

    pub fn claims(&self) -> usize {
        self.lock().claims
    }

    pub fn transactions(&self) -> u64 {
        self.lock().transactions
    }

    pub fn balance_of(&self, holder: Address) -> Amount {
        self.lock().balances.get(&holder).copied().unwrap_or_default()
    }

    pub fn only_entry(&self) -> Entry {
        let state = self.lock();
        assert_eq!(state.entries.len(), 1);
        state.entries.values().next().unwrap().clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn mined(&mut self, gas: u64) -> Result<Mined, LinkError> {
        self.transactions += 1;
        let hash = B256::from(alloy_primitives::U256::from(self.transactions));
        match std::mem::take(&mut self.lose_next) {
            true => Err(LinkError::Unknown { hash }),
            false => Ok(Mined { hash, gas, block: BLOCK }),
        }
    }
}

fn later<'a, T: Send + 'a>(result: Result<T, LinkError>) -> Later<'a, T> {
    ready(result).boxed()
}

impl Link for MemoryChain {
    fn operator(&self) -> Address {
        self.operator.address()
    }

    fn finalised_block(&self) -> Later<'_, NamedBlock> {
        later(Ok(NamedBlock { chain_id: 31337, number: BLOCK, hash: HASH }))
    }

    fn channel(&self, id: ChannelId) -> Later<'_, Option<ChannelState>> {
        later(Ok(self.lock().channels.get(&id).copied()))
    }

    fn withdrawals(&self) -> Later<'_, Vec<ChannelId>> {
        later(Ok(std::mem::take(&mut self.lock().withdrawals)))
    }

    fn balance(&self, holder: Address) -> Later<'_, Amount> {
        later(Ok(self.balance_of(holder)))
    }

    fn claim(&self, rows: Vec<ClaimRow>, batch: Signed<ClaimBatch>) -> Later<'_, Mined> {
        let domain: Domain = network().domain();
        let signer = rows[0].config.receiver_authorizer;
        let claims = &batch.verify(&domain, signer).expect("the signer signs its claims").claims;
        let mut state = self.lock();
        for (row, entry) in rows.iter().zip(claims) {
            let voucher = row.voucher.verify(&domain, row.config.payer_authorizer).unwrap();
            assert_eq!((voucher.channel, voucher.ceiling), (entry.channel, entry.ceiling));
            let channel = state.channels.get_mut(&entry.channel).unwrap();
            let total = entry.total.min(voucher.ceiling).min(channel.balance);
            let gain = total.saturating_sub(channel.claimed);
            channel.claimed = channel.claimed.max(total);
            let booked = state.booked.entry(row.config.receiver).or_default();
            *booked = Amount(booked.0 + gain.0);
        }
        state.claims += 1;
        self.claimed.notify_one();
        later(state.mined(40_000))
    }

    fn settle(&self, receiver: Address) -> Later<'_, Mined> {
        let mut state = self.lock();
        let booked = state.booked.remove(&receiver).unwrap_or_default();
        let balance = state.balances.entry(receiver).or_default();
        *balance = Amount(balance.0 + booked.0);
        later(state.mined(60_000))
    }

    fn entry(&self, id: B256) -> Later<'_, Option<Entry>> {
        later(Ok(self.lock().entries.get(&id).cloned()))
    }

    fn register(
        &self,
        salt: B256,
        endpoint: String,
        registration: Signed<Registration>,
    ) -> Later<'_, Mined> {
        let signer = registration.unverified().signer;
        let said = registration.verify(&network().domain(), signer).expect("the signer consents");
        assert_eq!(said.id, subrosa_protocol::pod_id(self.operator(), salt));
        let (payee, offer) = (said.payee, said.offer);
        let entry = Entry { payee, signer, offer, endpoint, retired: false };
        let mut state = self.lock();
        state.entries.insert(said.id, entry);
        later(state.mined(200_000))
    }

    fn retire(&self, id: B256) -> Later<'_, Mined> {
        let mut state = self.lock();
        state.entries.get_mut(&id).unwrap().retired = true;
        later(state.mined(30_000))
    }
}
