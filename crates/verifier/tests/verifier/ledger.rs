//! A chain's state as its hashes see it: accounts, one contract's storage, a header over both.
// Tests of other crates read this file too, and each uses its own part of it.
#![allow(dead_code)]

use alloy_rlp::Encodable;
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{HashBuilder, KECCAK_EMPTY, Nibbles, TrieAccount};
use subrosa_protocol::{Address, B256, Bytes, U256, keccak256};
use subrosa_verifier::{EntryProof, ReleaseKind, ReleaseProof, storage_slot};

pub const CONTRACT: Address = Address::repeat_byte(0xe7);
pub const CHAIN: u64 = 31_337;

/// A block of a chain on which the contract stores what tests put into `slots`.
#[derive(Clone)]
pub struct Ledger {
    pub contract: Address,
    pub number: u64,
    pub timestamp: u64,
    pub slots: Vec<(B256, U256)>,
    /// The root of a storage that is not made of `slots`.
    pub storage_root: Option<B256>,
}

/// What the contract stores of a digest.
pub fn stored(approvals: u32, active_at: u64, revoked: bool) -> U256 {
    let revoked = U256::from(u8::from(revoked));
    (revoked << 96) | (U256::from(active_at) << 32) | U256::from(approvals)
}

impl Ledger {
    pub fn new(timestamp: u64) -> Ledger {
        // What else a contract and a chain hold, so that paths have branches.
        let slots = (0..40).map(|n| (B256::with_last_byte(n), U256::from(7))).collect();
        Ledger { contract: CONTRACT, number: 3, timestamp, slots, storage_root: None }
    }

    pub fn store(&mut self, kind: ReleaseKind, digest: B256, value: U256) {
        self.slots.push((storage_slot(kind, digest), value));
    }

    pub fn prove(&self, digests: &[(ReleaseKind, B256)]) -> ReleaseProof {
        let storage: Vec<_> = self.slots.iter().map(|(slot, value)| leaf(slot, value)).collect();
        let (root, _) = trie(&storage, B256::ZERO.as_slice());
        let storage_root = self.storage_root.unwrap_or(root);
        let account = |address: Address, storage_root| {
            let account = TrieAccount::new(1, U256::from(5), storage_root, KECCAK_EMPTY);
            (keccak256(address), alloy_rlp::encode(account))
        };
        let mut accounts: Vec<_> = (0..40)
            .map(|n| account(Address::with_last_byte(n), alloy_trie::EMPTY_ROOT_HASH))
            .collect();
        accounts.push(account(self.contract, storage_root));
        let (state_root, account) = trie(&accounts, self.contract.as_slice());
        let entry = |(kind, digest): &(ReleaseKind, B256)| {
            let slot = storage_slot(*kind, *digest);
            let value = self.slots.iter().find(|(key, _)| *key == slot).map(|(_, value)| *value);
            let (_, nodes) = trie(&storage, slot.as_slice());
            let value = B256::from(value.unwrap_or_default());
            EntryProof { kind: *kind, digest: *digest, value, nodes }
        };
        ReleaseProof {
            chain_id: CHAIN,
            contract: self.contract,
            header: self.header(state_root),
            account,
            entries: digests.iter().map(entry).collect(),
        }
    }

    fn header(&self, state_root: B256) -> Bytes {
        let mut fields = Vec::new();
        for index in 0..21 {
            match index {
                2 => Address::ZERO.encode(&mut fields),
                3 => state_root.encode(&mut fields),
                6 => Bytes::from(vec![0; 256]).encode(&mut fields),
                8 => self.number.encode(&mut fields),
                11 => self.timestamp.encode(&mut fields),
                0 | 1 | 4 | 5 | 13 => B256::repeat_byte(index).encode(&mut fields),
                _ => 9_u64.encode(&mut fields),
            }
        }
        let mut header = Vec::new();
        alloy_rlp::Header { list: true, payload_length: fields.len() }.encode(&mut header);
        header.extend(fields);
        header.into()
    }
}

fn leaf(slot: &B256, value: &U256) -> (B256, Vec<u8>) {
    (keccak256(slot), alloy_rlp::encode(value))
}

/// The root of a tree, and the nodes that lead to a key or to where it is missing.
fn trie(leaves: &[(B256, Vec<u8>)], key: &[u8]) -> (B256, Vec<Bytes>) {
    let mut leaves = leaves.to_vec();
    leaves.sort();
    let path = Nibbles::unpack(keccak256(key));
    let retainer = ProofRetainer::from_iter([path]);
    let mut builder = HashBuilder::default().with_proof_retainer(retainer);
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), &value);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes().into_nodes_sorted();
    (root, nodes.into_iter().map(|(_, node)| node).collect())
}
