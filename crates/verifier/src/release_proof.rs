//! Which digests the Releases contract listed, proven from a block of its chain.
//!
//! A block's hash commits to the state of the whole chain: the hash is that of the header, the header
//! names the root of a tree of accounts, an account names the root of a tree of its storage. So whoever
//! knows the hash of one block needs no node to learn what a contract held there. Numbers: section 10
//! of `spec/evidence.md`.

use alloy_rlp::{Decodable, Header, PayloadView};
use alloy_trie::proof::verify_proof;
use alloy_trie::{Nibbles, TrieAccount, nodes::TrieNode};
use serde::{Deserialize, Serialize};
use subrosa_protocol::{Address, B256, Bytes, Timestamp, U256, keccak256};

use crate::nonce::Block;
use crate::policy::Releases;

/// One image and more models than a machine serves; the whole proof stays well below a megabyte.
pub const ENTRIES_MAX: usize = 256;

/// A header of Ethereum has some 600 bytes; some chains keep their validators in its extra data.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// A path has 64 nibbles, each branch takes one, and a leaf with nothing left of the path follows.
pub const NODES_MAX: usize = 65;

/// The largest node is a branch with 16 hashes of 33 bytes, an empty value and 3 bytes of length.
pub const NODE_BYTES_MAX: usize = 16 * 33 + 1 + 3;

/// A path is a hash of 32 bytes.
const PATH_NIBBLES: usize = 64;

/// Where the compiler puts `_releases` in the storage of `Releases`.
const RELEASES_SLOT: u64 = 2;

/// What a released digest stands for, in the contract's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseKind {
    /// The measurement of an image.
    Measurement,
    /// The digest of a model's manifest.
    Model,
}

/// What one digest was at the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Published, its delay over, not revoked.
    Active {
        /// From when on it is active.
        since: Timestamp,
    },
    /// Published, but its delay was not over.
    Pending {
        /// When it will be.
        active_at: Timestamp,
    },
    /// Revoked, which is final.
    Revoked,
    /// Never published.
    Unpublished,
}

/// A proof as it is carried; nothing in it is believed before [`verify`](ReleaseProof::verify).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseProof {
    /// The chain, as its carrier says: no header names it.
    pub chain_id: u64,
    /// The Releases contract.
    pub contract: Address,
    /// The block's header, in RLP.
    #[serde(with = "base64_text")]
    pub header: Bytes,
    /// The nodes from the state's root to the contract's account, in RLP.
    #[serde(with = "base64_texts")]
    pub account: Vec<Bytes>,
    /// One for each digest.
    pub entries: Vec<EntryProof>,
}

/// The proof of one digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryProof {
    /// What the digest stands for.
    pub kind: ReleaseKind,
    /// The digest.
    pub digest: B256,
    /// What the contract's storage holds of it; zero where nothing.
    pub value: B256,
    /// The nodes from the storage's root to that value, or to where it is missing, in RLP.
    #[serde(with = "base64_texts")]
    pub nodes: Vec<Bytes>,
}

/// What a block proves of some digests. Only [`ReleaseProof::verify`] makes one.
///
/// # Security
/// It holds for the block of this hash. Whether that block is one of the chain named here is for
/// somebody to say who knows the chain: anybody can make a block of a chain of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenReleases {
    block: Block,
    chain_id: u64,
    contract: Address,
    standings: Vec<(ReleaseKind, B256, Standing)>,
}

impl ReleaseProof {
    /// Follows the hashes from the block to each digest.
    ///
    /// # Errors
    /// [`ProofRefusal`] for whatever does not follow, is too large, or is not needed.
    pub fn verify(&self) -> Result<ProvenReleases, ProofRefusal> {
        if self.entries.is_empty() || self.entries.len() > ENTRIES_MAX {
            return Err(ProofRefusal::Entries { got: self.entries.len() });
        }
        let (block, state_root) = read_header(&self.header)?;
        let storage_root = self.storage_root(state_root)?;
        let mut standings = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let EntryProof { kind, digest, .. } = *entry;
            if standings.iter().any(|(k, d, _)| (*k, *d) == (kind, digest)) {
                return Err(ProofRefusal::Twice { digest });
            }
            standings.push((kind, digest, entry.standing(storage_root, block.timestamp)?));
        }
        Ok(ProvenReleases { block, chain_id: self.chain_id, contract: self.contract, standings })
    }

    /// How many bytes of header and nodes it has.
    pub fn size(&self) -> usize {
        let nodes = self.account.iter().chain(self.entries.iter().flat_map(|entry| &entry.nodes));
        self.header.len() + nodes.map(|node| node.len()).sum::<usize>()
    }

    fn storage_root(&self, state_root: B256) -> Result<B256, ProofRefusal> {
        check_nodes(&self.account)?;
        if !path_fits(&self.account) {
            return Err(ProofRefusal::Account);
        }
        // An account has two hashes in it and so is never written inside its parent: it is the last node.
        let last = self.account.last().ok_or(ProofRefusal::Account)?;
        let Ok(TrieNode::Leaf(leaf)) = TrieNode::decode(&mut &last[..]) else {
            return Err(ProofRefusal::Account);
        };
        let account: TrieAccount =
            alloy_rlp::decode_exact(&leaf.value).map_err(|_| ProofRefusal::Account)?;
        let path = Nibbles::unpack(keccak256(self.contract));
        verify_proof(state_root, path, Some(leaf.value), &self.account)
            .map_err(|_| ProofRefusal::Account)?;
        Ok(account.storage_root)
    }
}

impl EntryProof {
    fn standing(&self, storage_root: B256, at: Timestamp) -> Result<Standing, ProofRefusal> {
        check_nodes(&self.nodes)?;
        let wrong = ProofRefusal::Storage { digest: self.digest };
        if !path_fits(&self.nodes) {
            return Err(wrong);
        }
        let path = Nibbles::unpack(keccak256(storage_slot(self.kind, self.digest)));
        let value = U256::from_be_bytes(self.value.0);
        let expected = (!value.is_zero()).then(|| alloy_rlp::encode_fixed_size(&value).to_vec());
        let absent = expected.is_none();
        verify_proof(storage_root, path, expected, &self.nodes).map_err(|_| wrong.clone())?;
        // The library stops listening once a path has parted from the key; we take no node too many.
        if absent
            && let Some((_, fewer)) = self.nodes.split_last()
            && verify_proof(storage_root, path, None, fewer).is_ok()
        {
            return Err(wrong);
        }
        standing(&self.value, at).ok_or(ProofRefusal::Layout { digest: self.digest })
    }
}

impl ProvenReleases {
    /// The block: its height, its hash, and its time by its maker's clock.
    pub fn block(&self) -> Block {
        self.block
    }

    /// The chain, as the proof's carrier says.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The contract whose storage this is.
    pub fn contract(&self) -> Address {
        self.contract
    }

    /// Every digest that the proof is about, with what it was at the block.
    pub fn standings(&self) -> &[(ReleaseKind, B256, Standing)] {
        &self.standings
    }

    /// What a digest was at the block; none where the proof is not about it.
    pub fn standing(&self, kind: ReleaseKind, digest: &B256) -> Option<Standing> {
        let mut all = self.standings.iter();
        all.find(|(k, d, _)| (*k, d) == (kind, digest)).map(|(_, _, standing)| *standing)
    }

    /// The digests that were active at a time as well as at the block. A digest that was active before
    /// a later block and is not revoked there was active all the time between.
    pub fn active_at(&self, at: Timestamp) -> Releases {
        let active = |wanted: ReleaseKind| {
            let pick =
                move |(kind, digest, standing): &(ReleaseKind, B256, Standing)| match standing {
                    Standing::Active { since } if *kind == wanted && *since <= at => Some(*digest),
                    _ => None,
                };
            self.standings.iter().filter_map(pick).collect()
        };
        Releases {
            measurements: active(ReleaseKind::Measurement),
            models: active(ReleaseKind::Model),
        }
    }
}

impl From<&ProvenReleases> for Releases {
    fn from(proven: &ProvenReleases) -> Releases {
        proven.active_at(proven.block.timestamp)
    }
}

/// Where the contract keeps what it knows of a digest: `_releases[kind][digest]`.
pub fn storage_slot(kind: ReleaseKind, digest: B256) -> B256 {
    let number = |number: u64| B256::from(U256::from(number));
    let inner = keccak256([number(kind as u64), number(RELEASES_SLOT)].concat());
    keccak256([digest, inner].concat())
}

/// The contract packs from the right: approvals (4 bytes), active from (8), revoked (1), nothing else.
fn standing(value: &B256, at: Timestamp) -> Option<Standing> {
    let (unused, packed) = value.split_at(19);
    let (revoked, rest) = packed.split_first()?;
    let (active_at, _approvals) = rest.split_first_chunk::<8>()?;
    if *revoked > 1 || unused.iter().any(|byte| *byte != 0) {
        return None;
    }
    let active_at = Timestamp(u64::from_be_bytes(*active_at));
    Some(match (*revoked, active_at) {
        (1, _) => Standing::Revoked,
        (_, Timestamp(0)) => Standing::Unpublished,
        _ if active_at > at => Standing::Pending { active_at },
        _ => Standing::Active { since: active_at },
    })
}

/// Block and state root of a header. Its fields are counted as in the Yellow Paper, section 4.4, and more
/// may follow those: forks append.
fn read_header(bytes: &[u8]) -> Result<(Block, B256), ProofRefusal> {
    if bytes.len() > HEADER_BYTES_MAX {
        return Err(ProofRefusal::Header);
    }
    let mut rest = bytes;
    let Ok(PayloadView::List(fields)) = Header::decode_raw(&mut rest) else {
        return Err(ProofRefusal::Header);
    };
    if !rest.is_empty() || fields.len() < FIELDS_MIN {
        return Err(ProofRefusal::Header);
    }
    let state_root = field::<B256>(&fields, STATE_ROOT)?;
    let number = field(&fields, NUMBER)?;
    let timestamp = Timestamp(field(&fields, TIMESTAMP)?);
    Ok((Block { number, hash: keccak256(bytes), timestamp }, state_root))
}

const STATE_ROOT: usize = 3;
const NUMBER: usize = 8;
const TIMESTAMP: usize = 11;

/// The first headers of Ethereum had 15 fields.
const FIELDS_MIN: usize = 15;

fn field<T: Decodable>(fields: &[&[u8]], index: usize) -> Result<T, ProofRefusal> {
    let bytes = fields.get(index).ok_or(ProofRefusal::Header)?;
    alloy_rlp::decode_exact(bytes).map_err(|_| ProofRefusal::Header)
}

/// Whether there are no more nodes, and none larger, than a path can have, each one whole list.
fn check_nodes(nodes: &[Bytes]) -> Result<(), ProofRefusal> {
    if nodes.len() > NODES_MAX {
        return Err(ProofRefusal::Nodes);
    }
    let whole = |node: &Bytes| {
        let mut rest = &node[..];
        let header = Header::decode(&mut rest);
        header.is_ok_and(|header| header.list && header.payload_length == rest.len())
    };
    match nodes.iter().all(|node| node.len() <= NODE_BYTES_MAX && whole(node)) {
        true => Ok(()),
        false => Err(ProofRefusal::Nodes),
    }
}

/// Whether nodes take no more of a path than there is. The library panics on a longer one, so it must
/// never see it.
fn path_fits(nodes: &[Bytes]) -> bool {
    let taken = nodes.iter().try_fold(0_usize, |sum, node| Some(sum + nibbles_taken(node)?));
    taken.is_some_and(|taken| taken <= PATH_NIBBLES)
}

/// The most nibbles of a path that a node and whatever is written inside it can take; none where it is no
/// node. Nesting ends with the bytes of the node, of which there are few.
fn nibbles_taken(mut node: &[u8]) -> Option<usize> {
    let Ok(PayloadView::List(items)) = Header::decode_raw(&mut node) else { return None };
    let inside = |item: &[u8]| match item.first()? {
        0xc0.. => nibbles_taken(item),
        _ => Some(0),
    };
    let own = match items.len() {
        17 => 1,
        2 => {
            let key = Header::decode_bytes(&mut &*items[0], false).ok()?;
            let (flags, rest) = key.split_first()?;
            2 * rest.len() + usize::from(flags & 0x10 != 0)
        }
        _ => return None,
    };
    let inner = items.iter().map(|item| inside(item)).collect::<Option<Vec<_>>>()?;
    Some(own + inner.into_iter().max()?)
}

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofRefusal {
    /// The contract's account does not follow from the header's state root.
    #[error("the account of the releases contract does not follow from the block's state")]
    Account,
    /// There is no digest in it, or there are too many.
    #[error("the proof is about {got} digests; it must be 1 to {ENTRIES_MAX}")]
    Entries {
        /// How many there are.
        got: usize,
    },
    /// The header is none.
    #[error("the proof's block header cannot be read")]
    Header,
    /// The contract's storage holds what this contract never writes.
    #[error("what is stored of {digest} is no release: this is another contract")]
    Layout {
        /// The digest.
        digest: B256,
    },
    /// There are too many nodes, or one is no node.
    #[error("the proof has more nodes than a path can have, or one that is no node")]
    Nodes,
    /// A digest's value does not follow from the contract's storage root.
    #[error("what is said of {digest} does not follow from the contract's storage")]
    Storage {
        /// The digest.
        digest: B256,
    },
    /// A digest stands in it twice.
    #[error("the proof names {digest} twice")]
    Twice {
        /// The digest.
        digest: B256,
    },
}

/// Bytes as canonical base64.
mod base64_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use subrosa_protocol::{Bytes, encoding};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&encoding::to_base64(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        encoding::from_base64(&text).map(Bytes::from).map_err(D::Error::custom)
    }
}

/// A list of bytes, each as canonical base64.
mod base64_texts {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use subrosa_protocol::{Bytes, encoding};

    pub(super) fn serialize<S: Serializer>(list: &[Bytes], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(list.iter().map(|bytes| encoding::to_base64(bytes)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Bytes>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let bytes = |text: &String| encoding::from_base64(text).map(Bytes::from);
        texts.iter().map(bytes).collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}
