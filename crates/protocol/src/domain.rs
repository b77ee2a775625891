//! Where a signature counts: one chain, one escrow contract, one purpose.

use alloy_primitives::{Address, U256};
use alloy_sol_types::Eip712Domain;
use serde::{Deserialize, Serialize};

/// The chain and the escrow contract that every signature is bound to.
///
/// Both are zero on a network without a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Domain {
    /// The EIP-155 chain id.
    pub chain_id: u64,
    /// The escrow contract.
    pub escrow: Address,
}

/// Whose EIP-712 domain a message type belongs to, so that no signature serves two purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Ours: offers, orders, receipts, key configs, registrations.
    Subrosa,
    /// x402's `batch-settlement`: what the escrow contract reads.
    X402BatchSettlement,
}

impl Domain {
    /// The EIP-712 domain of `family` on this chain and escrow.
    pub fn eip712(&self, family: Family) -> Eip712Domain {
        let name = match family {
            Family::Subrosa => "Subrosa",
            Family::X402BatchSettlement => "x402 Batch Settlement",
        };
        Eip712Domain::new(
            Some(name.into()),
            Some("1".into()),
            Some(U256::from(self.chain_id)),
            Some(self.escrow),
            None,
        )
    }

    /// Whether this network has no chain.
    pub fn is_chainless(&self) -> bool {
        self.chain_id == 0
    }
}
