//! The registry of pods.

use alloy::rpc::types::Filter;
use alloy::sol_types::SolEvent;
use subrosa_protocol::{Address, B256, Registration, Signed, Timestamp, U256};

use crate::bindings::registry::{IPodRegistry, PodRegistry};
use crate::send::Mined;
use crate::{Chain, ChainError, Depth, Wallet};

/// How many entries are read at once.
const PAGE: u64 = 50;

/// Whoever pays gas may register pods without end; nobody looks at more than this many.
const PODS_MAX: usize = 5_000;

/// A pod as its operator registered it. What it says is checked elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredPod {
    /// Its id, which outlives a change of signer.
    pub id: B256,
    /// Who registered it.
    pub operator: Address,
    /// Whom its channels pay.
    pub payee: Address,
    /// Its attested key, which consented to the registration.
    pub signer: Address,
    /// Its base URLs, the preferred one first.
    pub endpoints: Vec<String>,
    /// The EIP-712 digest of the offer that clients may take.
    pub offer: B256,
    /// SHA-256 of its evidence document at registration.
    pub evidence: B256,
    /// When that was: the evidence existed by then.
    pub anchored_at: Timestamp,
    /// Whether it takes no new channels.
    pub retired: bool,
}

/// The contract's error for an id that nobody registered.
const UNKNOWN: &str = "PodRegistry_Unknown";

impl Chain {
    /// All pods that are registered as of the newest block, retired ones too.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not answer.
    pub async fn pods(&self) -> Result<Vec<RegisteredPod>, ChainError> {
        let at = self.at(Depth::Latest).await?;
        let registry = self.contracts().registry;
        let mut pods = Vec::new();
        while pods.len() < PODS_MAX {
            let offset = U256::from(pods.len());
            let call = PodRegistry::podsCall { offset, limit: U256::from(PAGE) };
            let page = self.read(registry, call, &at).await?;
            let count = page.ids.len() as u64;
            pods.extend(page.ids.into_iter().zip(page.page).map(|(id, pod)| registered(id, pod)));
            if count < PAGE {
                break;
            }
        }
        Ok(pods)
    }

    /// One pod's entry as of the newest block.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not answer.
    pub async fn pod(&self, id: B256) -> Result<Option<RegisteredPod>, ChainError> {
        let at = self.at(Depth::Latest).await?;
        match self.read(self.contracts().registry, PodRegistry::podCall { id }, &at).await {
            Ok(pod) => Ok(Some(registered(id, pod))),
            Err(ChainError::Refused { reason, .. }) if reason.starts_with(UNKNOWN) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ids of pods that entered, changed or retired in block `from` or later, in that order, and
    /// the block to go on from. Start with the network's deployed block.
    ///
    /// # Errors
    /// [`ChainError`] where the node does not answer; then ask for the same again.
    pub async fn pod_changes(&self, from: u64) -> Result<(Vec<B256>, u64), ChainError> {
        let head = self.at(Depth::Latest).await?;
        let filter = Filter::new().address(self.contracts().registry).event_signature(vec![
            PodRegistry::PodRegistered::SIGNATURE_HASH,
            PodRegistry::PodUpdated::SIGNATURE_HASH,
            PodRegistry::PodRetired::SIGNATURE_HASH,
        ]);
        let logs = self.logs(filter, from, head.number).await?;
        let ids = logs.iter().filter_map(|log| log.topics().get(1).copied());
        Ok((ids.collect(), head.number + 1))
    }

    /// Registers a pod of the wallet's owner. The id in `registration` is
    /// [`pod_id`](subrosa_protocol::pod_id) of the wallet's address and `salt`.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction.
    pub async fn register(
        &self,
        wallet: &Wallet,
        salt: B256,
        endpoints: &[String],
        registration: &Signed<Registration>,
    ) -> Result<Mined, ChainError> {
        let terms = registration.unverified();
        let call = PodRegistry::registerCall {
            salt,
            payee: terms.payee,
            signer: terms.signer,
            endpoints: endpoints.to_vec(),
            offer: terms.offer,
            evidence: terms.evidence,
            signature: registration.signature_bytes().into(),
        };
        Ok(self.call(wallet, self.contracts().registry, call).await?.mined)
    }

    /// Replaces the entry of a pod: another signer, offer, payee or endpoint.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction.
    pub async fn update(
        &self,
        wallet: &Wallet,
        endpoints: &[String],
        registration: &Signed<Registration>,
    ) -> Result<Mined, ChainError> {
        let terms = registration.unverified();
        let call = PodRegistry::updateCall {
            id: terms.id,
            payee: terms.payee,
            signer: terms.signer,
            endpoints: endpoints.to_vec(),
            offer: terms.offer,
            evidence: terms.evidence,
            signature: registration.signature_bytes().into(),
        };
        Ok(self.call(wallet, self.contracts().registry, call).await?.mined)
    }

    /// Retires a pod, for good.
    ///
    /// # Errors
    /// [`ChainError`], see there what is known of the transaction.
    pub async fn retire(&self, wallet: &Wallet, id: B256) -> Result<Mined, ChainError> {
        let call = PodRegistry::retireCall { id };
        Ok(self.call(wallet, self.contracts().registry, call).await?.mined)
    }
}

fn registered(id: B256, pod: IPodRegistry::Pod) -> RegisteredPod {
    RegisteredPod {
        id,
        operator: pod.operator,
        payee: pod.payee,
        signer: pod.signer,
        endpoints: pod.endpoints,
        offer: pod.offer,
        evidence: pod.evidence,
        anchored_at: Timestamp(pod.anchoredAt),
        retired: pod.retired,
    }
}
