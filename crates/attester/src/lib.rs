//! Where a pod's evidence comes from. Every source gives the same document, which
//! `subrosa-verifier` checks; here stand the simulator, and later the vendors' hardware, one file
//! each.
//!
//! ```
//! use subrosa_attester::{Attester, Simulator};
//! use subrosa_protocol::{B256, Timestamp};
//! use subrosa_verifier::Nonce;
//!
//! let attester = Attester::Simulator(Simulator::new("pod 0.1"));
//! let (verifier, block_hash) = (B256::repeat_byte(9), B256::ZERO);
//! let nonce = Nonce { verifier, chain_id: 0, block_number: 0, block_hash };
//! let now = Timestamp(1_790_000_000);
//! let evidence = attester.evidence(&nonce, b"keyset", b"", b"workload", now)?;
//! assert_eq!(evidence.nonce(), &nonce);
//! # Ok::<(), subrosa_attester::AttestError>(())
//! ```
//!
//! The types to know: [`Attester`] and [`Simulator`]; tests of verifiers also want [`Fault`].

mod simulator;

use subrosa_protocol::Timestamp;
use subrosa_verifier::{Evidence, Nonce};

pub use simulator::{Fault, Simulator};

/// A source of evidence.
#[derive(Debug)]
pub enum Attester {
    /// Quotes of the real format under a root that everybody can make: they prove nothing.
    Simulator(Simulator),
}

impl Attester {
    /// Evidence for exactly these parts, with all collateral inside.
    ///
    /// It takes some milliseconds of computing; a pod keeps what it got.
    ///
    /// # Errors
    /// [`AttestError`].
    pub fn evidence(
        &self,
        nonce: &Nonce,
        keyset: &[u8],
        devices: &[u8],
        workload: &[u8],
        now: Timestamp,
    ) -> Result<Evidence, AttestError> {
        match self {
            Attester::Simulator(simulator) => {
                simulator.evidence(nonce, keyset, devices, workload, now)
            }
        }
    }

    /// Whether its evidence proves nothing about hardware.
    pub fn is_simulated(&self) -> bool {
        match self {
            Attester::Simulator(_) => true,
        }
    }
}

/// Why there is no evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// The clock says a time that certificates cannot hold.
    #[error("the clock says {now}, which no certificate can hold; set the clock")]
    Clock {
        /// The time.
        now: Timestamp,
    },
}
