//! Intel SGX.

use subrosa_protocol::Timestamp;

use crate::check::CheckName;
use crate::evidence::SgxEvidence;
use crate::policy::Policy;
use crate::quoted::Quoted;
use crate::report::Checks;

/// Appraises evidence; nothing where its signature is not known to be good.
pub(crate) fn appraise(
    _evidence: &SgxEvidence,
    _policy: &Policy,
    _now: Timestamp,
    checks: &mut Checks,
) -> Option<Quoted> {
    checks.fail(CheckName::TeeQuoteStructure, "this verifier does not read it");
    None
}
