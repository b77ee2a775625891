//! Releases, proven from a block: what follows from its hash, and everything that does not.

use alloy_trie::Nibbles;
use std::sync::LazyLock;

use alloy_trie::nodes::{ExtensionNode, LeafNode, RlpNode, TrieNode};
use proptest::prelude::*;
use subrosa_protocol::{Address, B256, Bytes, Timestamp, U256, keccak256};
use subrosa_verifier::{
    ENTRIES_MAX, HEADER_BYTES_MAX, NODE_BYTES_MAX, NODES_MAX, ProofRefusal, ReleaseKind,
    ReleaseProof, Releases, Standing, storage_slot,
};

use crate::ledger::{CHAIN, CONTRACT, Ledger, stored};

const NOW: u64 = 1_790_000_000;
const IMAGE: B256 = B256::repeat_byte(0xaa);
const MODEL: B256 = B256::repeat_byte(0xbb);
const NOTHING: B256 = B256::repeat_byte(0xcc);
const BOTH: [(ReleaseKind, B256); 2] =
    [(ReleaseKind::Measurement, IMAGE), (ReleaseKind::Model, MODEL)];

fn ledger() -> Ledger {
    let mut ledger = Ledger::new(NOW);
    ledger.store(ReleaseKind::Measurement, IMAGE, stored(2, NOW - 5, false));
    ledger.store(ReleaseKind::Model, MODEL, stored(2, NOW, false));
    ledger
}

static PROOF: LazyLock<ReleaseProof> = LazyLock::new(|| ledger().prove(&BOTH));

fn proof() -> ReleaseProof {
    PROOF.clone()
}

/// What a lone model with this in the contract's storage is.
fn standing_of(value: U256) -> Result<Standing, ProofRefusal> {
    let mut ledger = Ledger::new(NOW);
    ledger.store(ReleaseKind::Model, NOTHING, value);
    let proven = ledger.prove(&[(ReleaseKind::Model, NOTHING)]).verify()?;
    Ok(proven.standing(ReleaseKind::Model, &NOTHING).unwrap())
}

#[test]
fn a_block_proves_what_its_contract_lists() {
    let proof = proof();
    let proven = proof.verify().unwrap();
    let block = proven.block();
    assert_eq!((block.number, block.timestamp), (3, Timestamp(NOW)));
    assert_eq!(block.hash, keccak256(&proof.header));
    assert_eq!((proven.chain_id(), proven.contract()), (CHAIN, CONTRACT));
    let releases = Releases { measurements: vec![IMAGE], models: vec![MODEL] };
    assert_eq!(Releases::from(&proven), releases);
    let since = Timestamp(NOW - 5);
    assert_eq!(proven.standing(ReleaseKind::Measurement, &IMAGE), Some(Standing::Active { since }));
    assert_eq!(proven.standing(ReleaseKind::Model, &IMAGE), None);
}

#[test]
fn a_digest_that_was_never_published_is_proven_absent() {
    let proven = ledger().prove(&[(ReleaseKind::Model, NOTHING)]).verify().unwrap();
    assert_eq!(proven.standing(ReleaseKind::Model, &NOTHING), Some(Standing::Unpublished));
    // A measurement is no model.
    let proven = ledger().prove(&[(ReleaseKind::Model, IMAGE)]).verify().unwrap();
    assert_eq!(proven.standing(ReleaseKind::Model, &IMAGE), Some(Standing::Unpublished));
    assert_eq!(Releases::from(&proven), Releases::default());
}

#[test]
fn an_empty_storage_lists_nothing_and_has_no_nodes() {
    let ledger = Ledger { storage_root: Some(alloy_trie::EMPTY_ROOT_HASH), ..ledger() };
    let mut proof = ledger.prove(&[(ReleaseKind::Model, NOTHING)]);
    proof.entries[0].nodes.clear();
    let proven = proof.verify().unwrap();
    assert_eq!(proven.standing(ReleaseKind::Model, &NOTHING), Some(Standing::Unpublished));
    proof.entries[0].value = B256::from(stored(2, NOW - 5, false));
    assert_eq!(proof.verify(), Err(ProofRefusal::Storage { digest: NOTHING }));
    proof.entries[0].value = B256::ZERO;
    proof.entries[0].nodes = vec![vec![0x80].into()];
    assert_eq!(proof.verify(), Err(ProofRefusal::Nodes));
}

#[test]
fn approved_pending_and_revoked_digests_do_not_count() {
    assert_eq!(standing_of(stored(1, 0, false)), Ok(Standing::Unpublished));
    let active_at = Timestamp(NOW + 1);
    assert_eq!(standing_of(stored(2, NOW + 1, false)), Ok(Standing::Pending { active_at }));
    assert_eq!(standing_of(stored(2, NOW - 9, true)), Ok(Standing::Revoked));
    assert_eq!(standing_of(stored(0, 0, true)), Ok(Standing::Revoked));
    assert_eq!(standing_of(stored(2, NOW, false)), Ok(Standing::Active { since: Timestamp(NOW) }));
}

#[test]
fn a_digest_counts_only_for_times_at_which_it_was_active() {
    let proven = proof().verify().unwrap();
    let models = |at| proven.active_at(Timestamp(at)).models;
    assert_eq!(models(NOW), [MODEL]);
    assert_eq!(models(NOW - 1), [] as [B256; 0]);
    assert_eq!(proven.active_at(Timestamp(NOW - 1)).measurements, [IMAGE]);
}

#[test]
fn a_value_that_this_contract_never_writes_is_refused() {
    let refused = Err(ProofRefusal::Layout { digest: NOTHING });
    assert_eq!(standing_of(U256::from(2) << 96), refused);
    assert_eq!(standing_of(U256::from(1) << 104), refused);
    assert_eq!(standing_of(U256::MAX), refused);
}

#[test]
fn a_value_other_than_the_stored_one_is_refused() {
    let mut proof = proof();
    for value in [B256::ZERO, B256::from(stored(2, NOW - 6, false)), B256::repeat_byte(1)] {
        proof.entries[0].value = value;
        assert_eq!(proof.verify(), Err(ProofRefusal::Storage { digest: IMAGE }));
    }
    // Nor is a value made up for what is absent.
    let mut absent = ledger().prove(&[(ReleaseKind::Model, NOTHING)]);
    absent.entries[0].value = B256::from(stored(2, NOW - 5, false));
    assert_eq!(absent.verify(), Err(ProofRefusal::Storage { digest: NOTHING }));
}

#[test]
fn the_proof_of_one_digest_does_not_pass_for_another() {
    let mut other = proof();
    other.entries[0].digest = NOTHING;
    assert_eq!(other.verify(), Err(ProofRefusal::Storage { digest: NOTHING }));
    let mut other = proof();
    other.entries[0].kind = ReleaseKind::Model;
    assert_eq!(other.verify(), Err(ProofRefusal::Storage { digest: IMAGE }));
    let mut swapped = proof();
    let nodes = swapped.entries[0].nodes.clone();
    swapped.entries[1].nodes = nodes;
    assert_eq!(swapped.verify(), Err(ProofRefusal::Storage { digest: MODEL }));
}

#[test]
fn another_contracts_account_or_storage_is_refused() {
    let mut other = proof();
    other.contract = Address::repeat_byte(1);
    assert_eq!(other.verify(), Err(ProofRefusal::Account));
    let elsewhere = Ledger { contract: Address::repeat_byte(1), ..ledger() }.prove(&BOTH);
    let mut mixed = proof();
    mixed.account = elsewhere.account;
    assert_eq!(mixed.verify(), Err(ProofRefusal::Account));
    let mut storage = ledger();
    storage.slots.pop();
    let mut mixed = proof();
    mixed.entries = storage.prove(&BOTH).entries;
    assert!(matches!(mixed.verify(), Err(ProofRefusal::Storage { .. })));
}

#[test]
fn the_header_of_a_block_with_another_state_is_refused() {
    let mut later = ledger();
    later.slots[0].1 += U256::from(1);
    let mut mixed = proof();
    mixed.header = later.prove(&BOTH).header;
    assert_eq!(mixed.verify(), Err(ProofRefusal::Account));
}

#[test]
fn missing_and_additional_nodes_are_refused() {
    let refused = |change: &dyn Fn(&mut ReleaseProof)| {
        let mut changed = proof();
        change(&mut changed);
        changed.verify().unwrap_err()
    };
    let storage = ProofRefusal::Storage { digest: IMAGE };
    assert_eq!(refused(&|proof| _ = proof.account.pop()), ProofRefusal::Account);
    assert_eq!(refused(&|proof| _ = proof.account.remove(0)), ProofRefusal::Account);
    assert_eq!(refused(&|proof| proof.account.clear()), ProofRefusal::Account);
    assert_eq!(refused(&|proof| _ = proof.entries[0].nodes.pop()), storage);
    assert_eq!(refused(&|proof| proof.entries[0].nodes.clear()), storage);
    let again = |nodes: &mut Vec<Bytes>| nodes.push(nodes.last().unwrap().clone());
    assert_eq!(refused(&|proof| again(&mut proof.account)), ProofRefusal::Account);
    assert_eq!(refused(&|proof| again(&mut proof.entries[0].nodes)), storage);
    let mut absent = ledger().prove(&[(ReleaseKind::Model, NOTHING)]);
    again(&mut absent.entries[0].nodes);
    assert_eq!(absent.verify(), Err(ProofRefusal::Storage { digest: NOTHING }));
}

#[test]
fn a_node_beyond_the_parting_of_the_ways_is_refused() {
    // The storage has one extension that leads away from the key, so it alone proves absence.
    let slot = storage_slot(ReleaseKind::Model, NOTHING);
    let first = keccak256(slot)[0] >> 4;
    let branch = proof().entries[0].nodes[0].clone();
    let away = Nibbles::from_nibbles([first ^ 1]);
    let extension: Bytes =
        alloy_rlp::encode(ExtensionNode::new(away, RlpNode::from_rlp(&branch))).into();
    let storage_root = Some(keccak256(&extension));
    let ledger = Ledger { storage_root, ..ledger() };
    let mut proof = ledger.prove(&[(ReleaseKind::Model, NOTHING)]);
    proof.entries[0].nodes = vec![extension.clone()];
    let proven = proof.verify().unwrap();
    assert_eq!(proven.standing(ReleaseKind::Model, &NOTHING), Some(Standing::Unpublished));
    proof.entries[0].nodes = vec![extension, branch];
    assert_eq!(proof.verify(), Err(ProofRefusal::Storage { digest: NOTHING }));
}

#[test]
fn bounds_are_kept() {
    let mut none = proof();
    none.entries.clear();
    assert_eq!(none.verify(), Err(ProofRefusal::Entries { got: 0 }));
    let mut many = proof();
    many.entries = vec![many.entries[0].clone(); ENTRIES_MAX + 1];
    assert_eq!(many.verify(), Err(ProofRefusal::Entries { got: ENTRIES_MAX + 1 }));
    let mut twice = proof();
    twice.entries.push(twice.entries[1].clone());
    assert_eq!(twice.verify(), Err(ProofRefusal::Twice { digest: MODEL }));
    let mut long = proof();
    long.account = vec![long.account[0].clone(); NODES_MAX + 1];
    assert_eq!(long.verify(), Err(ProofRefusal::Nodes));
    let mut large = proof();
    large.entries[0].nodes[0] = vec![0xc0; NODE_BYTES_MAX + 1].into();
    assert_eq!(large.verify(), Err(ProofRefusal::Nodes));
    let mut large = proof();
    large.header = vec![0xc0; HEADER_BYTES_MAX + 1].into();
    assert_eq!(large.verify(), Err(ProofRefusal::Header));
}

#[test]
fn trailing_bytes_are_refused_everywhere() {
    let longer = |bytes: &Bytes| Bytes::from([&bytes[..], &[0]].concat());
    let mut proof = proof();
    let good = proof.clone();
    proof.header = longer(&good.header);
    assert_eq!(proof.verify(), Err(ProofRefusal::Header));
    let mut proof = good.clone();
    proof.account[0] = longer(&good.account[0]);
    assert_eq!(proof.verify(), Err(ProofRefusal::Nodes));
    let mut proof = good.clone();
    proof.entries[1].nodes[0] = longer(&good.entries[1].nodes[0]);
    assert_eq!(proof.verify(), Err(ProofRefusal::Nodes));
}

#[test]
fn what_is_no_header_is_refused() {
    let header = proof().header;
    for wrong in [&b""[..], &[0x80], &[0xc0], &header[..header.len() - 1], b"header"] {
        let proof = ReleaseProof { header: Bytes::copy_from_slice(wrong), ..proof() };
        assert_eq!(proof.verify(), Err(ProofRefusal::Header), "{wrong:?}");
    }
}

#[test]
fn no_byte_of_any_node_can_be_another() {
    let good = proof();
    let parts = 1 + good.entries.len();
    for part in 0..parts {
        let nodes = |proof: &ReleaseProof| match part {
            0 => proof.account.clone(),
            _ => proof.entries[part - 1].nodes.clone(),
        };
        for (index, node) in nodes(&good).iter().enumerate() {
            for byte in 0..node.len() {
                let mut bytes = node.to_vec();
                bytes[byte] ^= 1;
                let mut flipped = good.clone();
                match part {
                    0 => flipped.account[index] = bytes.into(),
                    _ => flipped.entries[part - 1].nodes[index] = bytes.into(),
                }
                assert!(flipped.verify().is_err(), "part {part}, node {index}, byte {byte}");
            }
        }
    }
}

#[test]
fn a_flipped_byte_of_the_header_gives_another_block_or_none() {
    let good = proof();
    let flipped = |byte: usize| {
        let mut bytes = good.header.to_vec();
        bytes[byte] ^= 1;
        ReleaseProof { header: bytes.into(), ..good.clone() }.verify()
    };
    let block = good.verify().unwrap().block();
    // The root of the state stands in the first node's hash.
    let root = keccak256(&good.account[0]);
    let at = good.header.windows(32).position(|window| window == root).unwrap();
    for byte in 0..good.header.len() {
        match flipped(byte) {
            Ok(proven) => {
                assert!(!(at..at + 32).contains(&byte), "{byte}");
                assert_ne!(proven.block().hash, block.hash);
            }
            Err(ProofRefusal::Account) => assert!((at..at + 32).contains(&byte), "{byte}"),
            Err(refusal) => assert_eq!(refusal, ProofRefusal::Header, "{byte}"),
        }
    }
}

#[test]
fn a_proof_is_read_back_as_it_was_written() {
    let proof = proof();
    let text = serde_json::to_string(&proof).unwrap();
    assert_eq!(serde_json::from_str::<ReleaseProof>(&text).unwrap(), proof);
    let wrong = [
        text.replacen("\"chain_id\"", "\"more\":1,\"chain_id\"", 1),
        text.replacen("\"measurement\"", "\"image\"", 1),
        text.replacen("\"header\":\"", "\"header\":\"\\n", 1),
        text.replacen("\"nodes\":[\"", "\"nodes\":[\"=", 1),
        text.replacen("\"contract\"", "\"contract\":\"\",\"contract\"", 1),
    ];
    for wrong in wrong {
        assert_ne!(wrong, text);
        assert!(serde_json::from_str::<ReleaseProof>(&wrong).is_err());
    }
}

#[test]
fn values_are_read_where_the_compiler_puts_them() {
    let layout = include_str!("../../../../contracts/abi/Releases.storage.json");
    let layout: serde_json::Value = serde_json::from_str(layout).unwrap();
    let place = |list: &str, label: &str| {
        let members = layout[list].as_array().unwrap();
        let member = members.iter().find(|member| member["label"] == label).unwrap();
        let text = |key: &str| member[key].as_str().unwrap().to_owned();
        (text("slot"), member["offset"].as_u64().unwrap(), text("type"))
    };
    let (slot, offset, kind) = place("storage", "_releases");
    assert_eq!(offset, 0);
    assert_eq!(kind, "t_mapping(t_enum(Kind),t_mapping(t_bytes32,t_struct(Release)_storage))");
    let slot = U256::from(slot.parse::<u64>().unwrap());
    for (number, kind) in [(0_u64, ReleaseKind::Measurement), (1, ReleaseKind::Model)] {
        let inner = keccak256([B256::from(U256::from(number)), B256::from(slot)].concat());
        assert_eq!(storage_slot(kind, IMAGE), keccak256([IMAGE, inner].concat()));
    }
    let member = |label| place("release", label);
    assert_eq!(member("approvals"), ("0".into(), 0, "t_uint32".into()));
    assert_eq!(member("activeAt"), ("0".into(), 4, "t_uint64".into()));
    assert_eq!(member("revoked"), ("0".into(), 12, "t_bool".into()));
}

proptest! {
    #[test]
    fn garbage_is_refused_without_a_panic(
        header in proptest::collection::vec(any::<u8>(), 0..64),
        node in proptest::collection::vec(any::<u8>(), 0..64),
        place in 0..3_usize,
    ) {
        let mut garbage = PROOF.clone();
        match place {
            0 => garbage.header = header.into(),
            1 => garbage.account = vec![node.into()],
            _ => garbage.entries[0].nodes = vec![node.into()],
        }
        prop_assert!(garbage.verify().is_err());
    }
}

#[test]
fn a_path_longer_than_a_hash_is_refused_without_a_panic() {
    let honest = proof();
    let last = honest.account.last().unwrap();
    let TrieNode::Leaf(account) = alloy_rlp::decode_exact(last).unwrap() else { unreachable!() };
    let leaf = alloy_rlp::encode(LeafNode::new(Nibbles::from_nibbles([1; 10]), account.value));
    let key = Nibbles::from_nibbles([1; 60]);
    let root = alloy_rlp::encode(ExtensionNode::new(key, RlpNode::from_rlp(&leaf)));
    let mut header = honest.header.to_vec();
    let old = keccak256(&honest.account[0]);
    let at = header.windows(32).position(|bytes| bytes == old.as_slice()).unwrap();
    header[at..at + 32].copy_from_slice(keccak256(&root).as_slice());
    let account = vec![root.into(), leaf.into()];
    let crafted = ReleaseProof { header: header.into(), account, ..honest };
    assert_eq!(crafted.verify(), Err(ProofRefusal::Account));
}
