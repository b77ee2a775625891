//! Appraises evidence of NVIDIA GPUs and NVSwitches offline: bytes and a time in, a named outcome for
//! every check out. No clock, no network, no call to any service.
//!
//! ```
//! use subrosa_nvidia_evidence::{
//!     Architecture, CheckName, Collateral, DeviceEvidence, Policy, RimStore, appraise_device,
//! };
//!
//! # let (report, chain_pem, nonce) = (&b"\x11\xe0"[..], &b""[..], [0; 32]);
//! let mut rims = RimStore::new();
//! // rims.add(driver_rim)?; rims.add(vbios_rim)?;
//! let collateral = Collateral { rims: &rims, ocsp: &[], crls: &[] };
//! let evidence = DeviceEvidence { architecture: Architecture::Hopper, report, chain_pem };
//! let at = 1_717_200_000; // 2024-06-01T00:00:00Z
//!
//! let appraisal = appraise_device(&evidence, &collateral, &nonce, &Policy::strict(), at);
//! for check in appraisal.checks() {
//!     println!("{}: {:?}", check.name, check.outcome);
//! }
//! // These bytes end inside the request:
//! assert_eq!(appraisal.first_refusal().unwrap().0, CheckName::ReportStructure);
//! assert!(appraisal.accepted().is_none());
//! ```
//!
//! The types to know: [`Policy`] says what is demanded, [`RimStore`] holds reference measurements,
//! [`Appraisal`] is the outcome. Several devices of one machine go through [`appraise_node`], and an
//! [`Appraiser`] verifies what they share once.

mod appraise;
mod architecture;
mod chain;
mod check;
mod crl;
mod crypto;
mod fwid;
mod hexes;
mod measurements;
mod node;
mod ocsp;
mod policy;
mod report;
mod revocation;
mod rim;
mod time;
mod x509;
mod xml;

#[cfg(feature = "fuzzing")]
pub mod fuzzing;

#[cfg(test)]
mod testing;

#[cfg(feature = "simulator")]
pub mod simulator;

pub use appraise::{
    Appraisal, Appraiser, Collateral, DeviceClaims, DeviceEvidence, Surplus, appraise_device,
};
pub use architecture::Architecture;
pub use chain::{CHAIN_BYTES_MAX, ChainError};
pub use check::{Check, CheckName, Outcome, Refusal};
pub use crl::CRL_BYTES_MAX;
pub use fwid::FwidError;
pub use hexes::{Fingerprint, Sha384};
pub use measurements::Comparison;
pub use node::{DEVICES_MAX, NodeAppraisal, NodeCheck, NodeCheckName, NodeRefusal, appraise_node};
pub use ocsp::{OCSP_BYTES_MAX, ocsp_next_update};
pub use policy::{Demand, NVIDIA_DEVICE_ROOT, NVIDIA_RIM_ROOT, Policy};
pub use report::{Block, REPORT_BYTES_MAX, Report, ReportError, Trailing};
pub use revocation::{ANSWERS_MAX, AnswerError, RevocationError, Status};
pub use rim::{Edition, Measurement, Rim, RimError, RimIdentity, RimKind, RimStore};
pub use time::Utc;
pub use x509::CertificateError;
pub use xml::{XML_BYTES_MAX, XmlError};
