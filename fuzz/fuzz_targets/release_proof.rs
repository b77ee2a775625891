//! Proofs of releases of any bytes: read strictly, followed without a panic, and never believed of a
//! contract that they were not made for.
//!
//! The bytes are the nodes of a storage, whose root is that of the first of them, so that the nodes are
//! looked into; account and header are made to fit.

#![no_main]

use alloy_rlp::Encodable;
use alloy_trie::nodes::LeafNode;
use alloy_trie::{KECCAK_EMPTY, Nibbles, TrieAccount};
use libfuzzer_sys::fuzz_target;
use subrosa_protocol::{Address, B256, Bytes, U256, keccak256};
use subrosa_verifier::{EntryProof, NODES_MAX, ProofRefusal, ReleaseKind, ReleaseProof};

const CONTRACT: Address = Address::repeat_byte(0xe7);
const DIGEST: B256 = B256::repeat_byte(0xaa);

fuzz_target!(|bytes: &[u8]| {
    if let Ok(proof) = serde_json::from_slice::<ReleaseProof>(bytes) {
        _ = proof.verify();
    }
    // A block of any bytes has no state that leads anywhere.
    let header = Bytes::copy_from_slice(bytes);
    assert!(made(&[], B256::ZERO, Some(header)).verify().is_err());

    let Some((value, rest)) = bytes.split_first_chunk::<32>() else { return };
    let proof = made(&nodes(rest), B256::from(*value), None);
    match proof.verify() {
        Ok(proven) => assert_eq!(proven.standings().len(), 1),
        Err(ProofRefusal::Account | ProofRefusal::Header) => panic!("both are sound"),
        Err(_) => {}
    }
    let other = ReleaseProof { contract: Address::ZERO, ..proof };
    assert!(other.verify().is_err());
});

/// Nodes, each after its u16 length.
fn nodes(mut bytes: &[u8]) -> Vec<Bytes> {
    let mut nodes = Vec::new();
    while nodes.len() <= NODES_MAX
        && let Some((length, rest)) = bytes.split_first_chunk::<2>()
    {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (node, rest) = rest.split_at(length);
        nodes.push(Bytes::copy_from_slice(node));
        bytes = rest;
    }
    nodes
}

fn made(nodes: &[Bytes], value: B256, header: Option<Bytes>) -> ReleaseProof {
    let storage_root = nodes.first().map_or(alloy_trie::EMPTY_ROOT_HASH, keccak256);
    let account = TrieAccount::new(1, U256::ZERO, storage_root, KECCAK_EMPTY);
    let path = Nibbles::unpack(keccak256(CONTRACT));
    let leaf = Bytes::from(alloy_rlp::encode(LeafNode::new(path, alloy_rlp::encode(account))));
    let entry =
        EntryProof { kind: ReleaseKind::Model, digest: DIGEST, value, nodes: nodes.to_vec() };
    ReleaseProof {
        chain_id: 1,
        contract: CONTRACT,
        header: header.unwrap_or_else(|| header_over(keccak256(&leaf))),
        account: vec![leaf],
        entries: vec![entry],
    }
}

fn header_over(state_root: B256) -> Bytes {
    let mut fields = Vec::new();
    for index in 0..16 {
        match index {
            3 => state_root.encode(&mut fields),
            _ => 9_u64.encode(&mut fields),
        }
    }
    let mut header = Vec::new();
    alloy_rlp::Header { list: true, payload_length: fields.len() }.encode(&mut header);
    header.extend(fields);
    header.into()
}
