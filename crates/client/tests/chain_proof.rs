//! Proofs of releases as a real node gives them, for real contracts.

use subrosa_chain::{BlockHead, Chain, ChainError, Depth, Kind};
use subrosa_devnet::{Devnet, DevnetOptions};
use subrosa_protocol::{Address, B256, Bytes, Timestamp};
use subrosa_verifier::{ProofRefusal, ReleaseKind, ReleaseProof, Releases, Standing};

const IMAGE: B256 = B256::repeat_byte(0xaa);
const MODEL: B256 = B256::repeat_byte(0xbb);
const WITHDRAWN: B256 = B256::repeat_byte(0xcc);
const APPROVED: B256 = B256::repeat_byte(0xdd);
const NOTHING: B256 = B256::repeat_byte(0xee);

async fn devnet() -> Devnet {
    let options = DevnetOptions {
        measurements: vec![IMAGE],
        models: vec![MODEL, WITHDRAWN],
        ..DevnetOptions::default()
    };
    Devnet::start(options).await.unwrap()
}

const ALL: [(ReleaseKind, B256); 5] = [
    (ReleaseKind::Measurement, IMAGE),
    (ReleaseKind::Model, MODEL),
    (ReleaseKind::Model, WITHDRAWN),
    (ReleaseKind::Model, APPROVED),
    (ReleaseKind::Model, NOTHING),
];

async fn prove(chain: &Chain, at: &BlockHead) -> ReleaseProof {
    chain.prove_releases(&ALL, at).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_proves_every_standing_of_a_digest() {
    let devnet = devnet().await;
    let chain = devnet.chain();
    let before = chain.at(Depth::Final).await.unwrap();
    chain.revoke_release(devnet.publisher(0), Kind::Model, WITHDRAWN).await.unwrap();
    chain.approve_release(devnet.publisher(0), Kind::Model, APPROVED).await.unwrap();
    devnet.settle_down().await.unwrap();
    let at = chain.at(Depth::Final).await.unwrap();

    let proof = prove(chain, &at).await;
    let proven = proof.verify().unwrap();
    // A small chain's: its paths have few branches.
    assert!(proof.size() < 16 * 1024, "{}", proof.size());
    let block = proven.block();
    assert_eq!((block.number, block.hash, block.timestamp), (at.number, at.hash, at.timestamp));
    assert_eq!(proven.contract(), chain.params().contracts.releases);
    let set = chain.releases(at.timestamp).await.unwrap();
    let listed = Releases {
        measurements: set.measurements.into_iter().collect(),
        models: set.models.into_iter().collect(),
    };
    assert_eq!((Releases::from(&proven), &listed.models), (listed.clone(), &vec![MODEL]));
    let standing = |digest| proven.standing(ReleaseKind::Model, &digest).unwrap();
    assert_eq!(standing(WITHDRAWN), Standing::Revoked);
    assert_eq!(standing(APPROVED), Standing::Unpublished);
    assert_eq!(standing(NOTHING), Standing::Unpublished);

    // At the block before, the model was not revoked yet; one proof does not pass for the other's block.
    let earlier = prove(chain, &before).await;
    let standing = earlier.verify().unwrap().standing(ReleaseKind::Model, &WITHDRAWN);
    assert!(matches!(standing, Some(Standing::Active { .. })), "{standing:?}");
    let mixed = ReleaseProof { header: earlier.header.clone(), ..proof.clone() };
    assert_eq!(mixed.verify(), Err(ProofRefusal::Account));
    let mixed = ReleaseProof { entries: earlier.entries, ..proof };
    assert!(matches!(mixed.verify(), Err(ProofRefusal::Storage { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_is_pending_until_its_delay_is_over() {
    let devnet = devnet().await;
    let chain = devnet.chain();
    devnet.publish(Kind::Model, &[APPROVED]).await.unwrap();
    // The block of the second approval itself: the delay is a second.
    let latest = chain.at(Depth::Latest).await.unwrap();
    let mut pending = None;
    for number in (0..=latest.number).rev() {
        let at = chain.block(number).await.unwrap().unwrap();
        let proven = prove(chain, &at).await.verify().unwrap();
        match proven.standing(ReleaseKind::Model, &APPROVED).unwrap() {
            Standing::Unpublished => break,
            Standing::Pending { active_at } => pending = Some((at.timestamp, active_at)),
            other => assert!(matches!(other, Standing::Active { .. }), "{other:?}"),
        }
    }
    let (published, active_at) = pending.expect("the block of the approval is among them");
    assert_eq!(active_at, Timestamp(published.0 + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_contracts_proof_and_altered_ones_are_refused() {
    let devnet = devnet().await;
    let chain = devnet.chain();
    let at = chain.at(Depth::Final).await.unwrap();
    let good = prove(chain, &at).await;

    // The escrow has none of these slots: all that its proof shows is that nothing is released there.
    let mut network = devnet.network().clone();
    let params = network.chain.as_mut().unwrap();
    params.contracts.releases = params.contracts.escrow;
    let escrow = Chain::connect(&network).await.unwrap();
    let elsewhere = prove(&escrow, &at).await;
    let proven = elsewhere.verify().unwrap();
    assert_eq!(proven.contract(), chain.params().contracts.escrow);
    assert_eq!(Releases::from(&proven), Releases::default());
    let contract = good.contract;
    let claimed = ReleaseProof { contract, ..elsewhere.clone() };
    assert_eq!(claimed.verify(), Err(ProofRefusal::Account));
    let account = good.account.clone();
    let claimed = ReleaseProof { contract, account, ..elsewhere };
    assert!(matches!(claimed.verify(), Err(ProofRefusal::Storage { .. })));

    for entry in 0..good.entries.len() {
        for node in 0..good.entries[entry].nodes.len() {
            let mut flipped = good.clone();
            let mut bytes = good.entries[entry].nodes[node].to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            flipped.entries[entry].nodes[node] = Bytes::from(bytes);
            assert!(flipped.verify().is_err(), "entry {entry}, node {node}");
        }
        let mut fewer = good.clone();
        fewer.entries[entry].nodes.pop();
        assert!(matches!(fewer.verify(), Err(ProofRefusal::Storage { .. })));
        let mut more = good.clone();
        let last = more.entries[entry].nodes.last().unwrap().clone();
        more.entries[entry].nodes.push(last);
        assert!(matches!(more.verify(), Err(ProofRefusal::Storage { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_is_not_there_and_a_block_that_is_not_are_told() {
    let devnet = devnet().await;
    let mut network = devnet.network().clone();
    network.chain.as_mut().unwrap().contracts.releases = Address::repeat_byte(9);
    let nowhere = Chain::connect(&network).await.unwrap();
    let at = nowhere.at(Depth::Final).await.unwrap();
    let refused = nowhere.prove_releases(&ALL, &at).await.unwrap_err();
    assert!(matches!(refused, ChainError::Malformed { what: "eth_getProof" }), "{refused}");
    let other = BlockHead { hash: B256::repeat_byte(9), ..at };
    assert!(devnet.chain().prove_releases(&ALL, &other).await.is_err());
}
