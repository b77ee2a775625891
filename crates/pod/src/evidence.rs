//! Evidence: what the attester says of this pod, shared and per verifier (spec/pod.md 3).

use std::sync::RwLock;
use std::time::Duration;

use bytes::Bytes;
use subrosa_attester::{Attestation, Attester, SecondQuote};
use subrosa_protocol::B256;
use subrosa_protocol::hash::sha256;
use subrosa_verifier::{Evidence, Nonce};

use crate::bucket::Bucket;
use crate::clock;
use crate::world::World;

/// Shared evidence is renewed this often (spec/evidence.md 3).
const RENEWAL: Duration = Duration::from_secs(600);

/// After a failed renewal, the next try; the old evidence stays meanwhile.
const RETRY: Duration = Duration::from_secs(15);

/// A quote takes a processor some milliseconds to some hundreds: so many at once,
const QUOTES_BURST: u32 = 16;

/// and then one every so often, for all verifiers together.
const QUOTE_EVERY: Duration = Duration::from_millis(250);

/// Makes evidence, and keeps the newest that is shared.
pub(crate) struct EvidenceDesk {
    attester: Attester,
    world: World,
    keyset: Vec<u8>,
    workload: Vec<u8>,
    shared: RwLock<Bytes>,
    bucket: Bucket,
}

impl EvidenceDesk {
    /// Makes the first shared evidence.
    pub(crate) async fn open(
        attester: Attester,
        world: World,
        keyset: Vec<u8>,
        workload: Vec<u8>,
    ) -> Result<EvidenceDesk, EvidenceError> {
        let bucket = Bucket::new(QUOTES_BURST, QUOTE_EVERY);
        let shared = RwLock::new(Bytes::new());
        let desk = EvidenceDesk { attester, world, keyset, workload, shared, bucket };
        desk.renew().await?;
        Ok(desk)
    }

    /// The newest shared evidence.
    pub(crate) fn shared(&self) -> Bytes {
        self.shared.read().expect("no holder of this lock panics").clone()
    }

    /// The SHA-256 of the newest shared evidence.
    pub(crate) fn shared_digest(&self) -> B256 {
        sha256(&self.shared())
    }

    /// Evidence that answers a verifier's own nonce.
    pub(crate) async fn answer(&self, verifier: B256) -> Result<Bytes, EvidenceError> {
        self.take_place()?;
        Ok(to_bytes(&self.make(verifier).await?.evidence))
    }

    /// A quote in another form's layout, rate-limited like an answer to a verifier's nonce.
    pub(crate) async fn second_quote(
        &self,
        report_data: [u8; 64],
        gpu_nonce: [u8; 32],
    ) -> Result<SecondQuote, EvidenceError> {
        self.take_place()?;
        Ok(self.attester.second_quote(report_data, Some(gpu_nonce), clock::now()).await?)
    }

    fn take_place(&self) -> Result<(), EvidenceError> {
        self.bucket
            .take()
            .map_err(|wait| EvidenceError::TooMany { retry_after_s: wait.as_secs() + 1 })
    }

    /// Renews the shared evidence for ever; the owner drops the future to stop it.
    pub(crate) async fn keep_fresh(&self) {
        let mut pause = RENEWAL;
        loop {
            tokio::time::sleep(pause).await;
            pause = match self.renew().await {
                Ok(()) => RENEWAL,
                Err(error) => {
                    tracing::warn!(%error, "shared evidence was not renewed");
                    RETRY
                }
            };
        }
    }

    async fn renew(&self) -> Result<(), EvidenceError> {
        let Attestation { evidence, switches_missing } = self.make(B256::ZERO).await?;
        if let Some(reason) = switches_missing {
            tracing::warn!(reason, "clients will refuse the evidence: it shows no switches");
        }
        let evidence = to_bytes(&evidence);
        tracing::debug!(bytes = evidence.len(), "shared evidence was renewed");
        *self.shared.write().expect("no holder of this lock panics") = evidence;
        Ok(())
    }

    async fn make(&self, verifier: B256) -> Result<Attestation, EvidenceError> {
        let block = self.world.finalised_block().await?;
        let nonce = Nonce {
            verifier,
            chain_id: block.chain_id,
            block_number: block.number,
            block_hash: block.hash,
        };
        let made = self.attester.evidence(&nonce, &self.keyset, &self.workload, clock::now());
        Ok(made.await?)
    }
}

fn to_bytes(evidence: &Evidence) -> Bytes {
    Bytes::copy_from_slice(evidence.as_bytes())
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The attester failed.
    #[error("the attester gives no evidence: {0}")]
    Attester(#[from] subrosa_attester::AttestError),
    /// The chain gives no finalised block.
    #[error("no finalised block to make evidence over: {0}")]
    Chain(#[from] crate::link::LinkError),
    /// More verifiers ask than the pod answers.
    #[error("too many verifiers ask for evidence, come back in {retry_after_s} s")]
    TooMany {
        /// Seconds to wait.
        retry_after_s: u64,
    },
}
