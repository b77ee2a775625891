//! Evidence, a policy and a time in; [`Attested`] or a [`Refusal`] out, with every check by name.
//!
//! Nothing here waits, reads a clock or touches a network: the document carries all that it takes.
//! Sealing, ordering and routing demand an [`Attested`], and only [`verify`] makes one.
//!
//! ```
//! use subrosa_verifier::{Evidence, Policy, Releases, Unreadable};
//!
//! let policy = Policy::strict(Releases::default());
//! assert!(!policy.is_simulated());
//! // A document is read strictly before anything in it is looked at.
//! let error = Evidence::parse(br#"{"version":1,"version":1}"#).unwrap_err();
//! assert_eq!(error, Unreadable::DuplicateMember { member: "version".into() });
//! ```
//!
//! The types to know: [`Evidence`] (believed by nobody), [`Policy`] (what is accepted),
//! [`Attested`] (what was). The document and every check stand in `spec/evidence.md`. Each vendor
//! of hardware is one file.

mod attested;
mod chain;
mod evidence;
mod nonce;
mod policy;
mod quote;
mod report;
mod strict;
mod tdx;
mod verify;
mod workload;

pub use attested::{
    Attested, AttestedKeys, AttestedOffer, Claims, KeyRefusal, OfferRefusal, Rechecked,
};
pub use evidence::{
    CpuEvidence, DOCUMENT_BYTES_MAX, Evidence, IntelCollateral, TdxEvidence, Unreadable,
};
pub use nonce::{Block, ChainView, Freshness, Nonce, report_data};
pub use policy::{
    Allowed, Debug, Gpu, INTEL_ROOT_SHA256, IntelPolicy, IntelTcbStatus, Machines, NonceKind,
    NoncePolicy, Policy, PolicyError, Releases, Root, Roots, SIMULATOR_ROOT_SHA256, Trust,
};
pub use quote::tdx_measurement;
pub use report::{Check, CheckName, Outcome, Refusal, Report, Verdict};
pub use verify::{recheck, verify};
