//! The proof of what the Releases contract lists, for those who will check it without a node.

use alloy::eips::BlockId;
use alloy::providers::Provider;
use alloy::rpc::types::EIP1186AccountProofResponse;
use subrosa_protocol::{B256, Bytes, keccak256};
use subrosa_verifier::{EntryProof, ReleaseKind, ReleaseProof, storage_slot};

use crate::{BlockHead, Chain, ChainError};

const PROOF: ChainError = ChainError::Malformed { what: "eth_getProof" };

impl Chain {
    /// Proves of each digest what the contract held of it in a block, absence included. The proof was
    /// checked, and is of exactly that block.
    ///
    /// Ask soon: many nodes give proofs of the newest blocks only, and some none at all.
    ///
    /// # Errors
    /// [`ChainError::Refused`] where the node gives no such proof, [`ChainError::Malformed`] where it
    /// gives one that proves nothing.
    pub async fn prove_releases(
        &self,
        digests: &[(ReleaseKind, B256)],
        at: &BlockHead,
    ) -> Result<ReleaseProof, ChainError> {
        let contract = self.contracts().releases;
        let slots = digests.iter().map(|(kind, digest)| storage_slot(*kind, *digest)).collect();
        let asked = self.0.provider.get_proof(contract, slots).block_id(BlockId::hash(at.hash));
        let (header, answer) =
            tokio::try_join!(self.header(at), async { Ok::<_, ChainError>(asked.await?) })?;
        // Before anything that follows from it is read.
        if keccak256(&header) != at.hash {
            return Err(PROOF);
        }
        let entries = entries(digests, &answer)?;
        let chain_id = self.params().chain_id;
        let account = answer.account_proof;
        let proof = ReleaseProof { chain_id, contract, header, account, entries };
        match proof.verify() {
            Ok(proven) if proven.block().hash == at.hash => Ok(proof),
            _ => Err(PROOF),
        }
    }

    /// A block's header as its hash covers it.
    async fn header(&self, at: &BlockHead) -> Result<Bytes, ChainError> {
        let absent = ChainError::Malformed { what: "eth_getBlockByHash" };
        let block = self.0.provider.get_block_by_hash(at.hash).await?.ok_or(absent)?;
        let header = Bytes::from(alloy_rlp::encode(&block.header.inner));
        if keccak256(&header) == at.hash {
            return Ok(header);
        }
        // The chain's headers have fields that we do not know; some nodes hand out the bytes as such.
        let number = format!("{:#x}", at.number);
        Ok(self.0.provider.raw_request("debug_getRawHeader".into(), [number]).await?)
    }
}

/// The values of the digests, in the order in which they were asked for.
fn entries(
    digests: &[(ReleaseKind, B256)],
    answer: &EIP1186AccountProofResponse,
) -> Result<Vec<EntryProof>, ChainError> {
    if answer.storage_proof.len() != digests.len() {
        return Err(PROOF);
    }
    let given = digests.iter().zip(&answer.storage_proof);
    Ok(given
        .map(|(&(kind, digest), slot)| EntryProof {
            kind,
            digest,
            value: B256::from(slot.value),
            nodes: nodes(&slot.proof),
        })
        .collect())
}

/// Some nodes give the empty string as the one node of a storage that holds nothing.
fn nodes(given: &[Bytes]) -> Vec<Bytes> {
    match given {
        [only] if only.as_ref() == [alloy_rlp::EMPTY_STRING_CODE] => Vec::new(),
        nodes => nodes.to_vec(),
    }
}
