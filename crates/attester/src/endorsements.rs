//! What the vendors state about the hardware: fetched, kept, and renewed before it ends.
//!
//! Everything fetched here is signed by its vendor and checked by whoever reads the document, so that
//! neither the connection nor the cache has to be trusted: a wrong answer costs a pod its acceptance,
//! never a client its prompt.

mod amd;
mod fetch;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod intel;
mod nvidia;
mod times;

use std::path::PathBuf;

use subrosa_protocol::Timestamp;
use subrosa_verifier::{AmdCollateral, DeviceCollateral, Devices, IntelCollateral};

pub use fetch::FetchError;

use fetch::Fetcher;

/// Intel's own service; a PCCS of one's own answers the same questions.
pub const INTEL_PCS: &str = "https://api.trustedservices.intel.com";

/// AMD's key distribution service.
pub const AMD_KDS: &str = "https://kdsintf.amd.com";

/// NVIDIA's service for reference measurements.
pub const NVIDIA_RIM: &str = "https://rim.attestation.nvidia.com";

/// NVIDIA's service for revocations.
pub const NVIDIA_OCSP: &str = "https://ocsp.ndis.nvidia.com";

/// Where each vendor's statements are asked for: base addresses, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Services {
    /// Intel's PCS, or a PCCS.
    pub intel: String,
    /// AMD's KDS, or a mirror of it.
    pub amd: String,
    /// NVIDIA's RIM service, or a mirror of it.
    pub nvidia_rim: String,
    /// NVIDIA's OCSP responder, or a mirror of it.
    pub nvidia_ocsp: String,
}

impl Services {
    /// The vendors' own.
    pub fn vendors() -> Services {
        Services {
            intel: INTEL_PCS.into(),
            amd: AMD_KDS.into(),
            nvidia_rim: NVIDIA_RIM.into(),
            nvidia_ocsp: NVIDIA_OCSP.into(),
        }
    }
}

/// Fetches endorsements and keeps them, in memory and in a folder.
#[derive(Debug)]
pub struct Endorser {
    services: Services,
    fetcher: Fetcher,
}

impl Endorser {
    /// An endorser that asks these services. What they answer is kept in `folder` too, where one is
    /// named, so that a pod starts again while a service is away.
    ///
    /// # Errors
    /// [`EndorseError::Http`] where no HTTP client can be made.
    pub fn new(services: Services, folder: Option<PathBuf>) -> Result<Endorser, EndorseError> {
        Ok(Endorser { services, fetcher: Fetcher::new(folder)? })
    }

    /// Intel's statements about the platform of an SGX or TDX quote.
    ///
    /// # Errors
    /// [`EndorseError`], which names the service and what is wrong with its answer.
    pub async fn intel(
        &self,
        quote: &[u8],
        now: Timestamp,
    ) -> Result<IntelCollateral, EndorseError> {
        intel::collateral(&self.fetcher, &self.services.intel, quote, now).await
    }

    /// AMD's certificates and revocations for the chip of an SEV-SNP report.
    ///
    /// # Errors
    /// [`EndorseError`], which names the service and what is wrong with its answer.
    pub async fn amd(&self, report: &[u8], now: Timestamp) -> Result<AmdCollateral, EndorseError> {
        amd::collateral(&self.fetcher, &self.services.amd, report, now).await
    }

    /// NVIDIA's reference measurements and revocation answers for these devices.
    ///
    /// # Errors
    /// [`EndorseError`], which names the service and what is wrong with its answer.
    pub async fn nvidia(
        &self,
        devices: &Devices,
        now: Timestamp,
    ) -> Result<DeviceCollateral, EndorseError> {
        nvidia::collateral(&self.fetcher, &self.services, devices, now).await
    }
}

/// Why there is no endorsement.
#[derive(Debug, thiserror::Error)]
pub enum EndorseError {
    /// A service answered with something that it should not.
    #[error("the answer of {url} cannot be used: {reason}")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The evidence says too little of its platform to ask for endorsements.
    #[error("no endorsements can be asked for: {0}")]
    Evidence(&'static str),
    /// A service cannot be reached.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// No HTTP client can be made.
    #[error("no HTTP client can be made: {0}")]
    Http(#[source] reqwest::Error),
    /// The report does not name the generation of its chip, and AMD's service knows the chip as none
    /// that it can be of.
    #[error(
        "{service} has no certificate whose key signed the report, be its chip a Milan or a Genoa"
    )]
    UnknownChip {
        /// The base address that was asked.
        service: String,
    },
}
