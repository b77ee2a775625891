//! The signer's consent to stand in the registry for an operator.

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::{SolValue, sol};

use crate::{DecodeError, Family, Message};

mod sol_types {
    #![allow(missing_docs, reason = "the macro makes them; the types around them are described")]
    use super::sol;
    sol! {
        struct Registration {
            address registry;
            bytes32 id;
            address operator;
            address payee;
            address signer;
            bytes32 offer;
            bytes32 evidence;
        }
    }
}

/// Signed by the pod's signer, so that nobody registers a pod that is not theirs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Registration {
    /// The registry contract.
    pub registry: Address,
    /// The pod's id: see [`pod_id`].
    pub id: B256,
    /// Who runs the pod and sends the transaction.
    pub operator: Address,
    /// Whom the pod earns for.
    pub payee: Address,
    /// The pod's attested key.
    pub signer: Address,
    /// The digest of the offer that clients may take.
    pub offer: B256,
    /// SHA-256 of the evidence at registration: an anchor in time.
    pub evidence: B256,
}

/// A pod's id, known before it registers and outliving its signer: keccak256(abi.encode(operator, salt)).
pub fn pod_id(operator: Address, salt: B256) -> B256 {
    keccak256((operator, salt).abi_encode())
}

impl Message for Registration {
    type Sol = sol_types::Registration;
    const FAMILY: Family = Family::Subrosa;

    fn to_sol(&self) -> Self::Sol {
        Self::Sol {
            registry: self.registry,
            id: self.id,
            operator: self.operator,
            payee: self.payee,
            signer: self.signer,
            offer: self.offer,
            evidence: self.evidence,
        }
    }

    fn from_sol(sol: Self::Sol) -> Result<Self, DecodeError> {
        Ok(Registration {
            registry: sol.registry,
            id: sol.id,
            operator: sol.operator,
            payee: sol.payee,
            signer: sol.signer,
            offer: sol.offer,
            evidence: sol.evidence,
        })
    }
}
