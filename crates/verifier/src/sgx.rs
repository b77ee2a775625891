//! Intel SGX: what a good quote says of an enclave (spec/evidence.md section 5).

use subrosa_protocol::Timestamp;

use crate::check::CheckName;
use crate::dcap::{self, Subject, Tee};
use crate::evidence::{IntelCollateral, SgxEvidence};
use crate::policy::{Policy, SgxPolicy, Stated};
use crate::quote::{Body, SgxBody, sgx_measurement};
use crate::quoted::{Against, Quoted};
use crate::report::Checks;

/// Bit 0: the enclave was initialised; nothing else can be quoted.
const ATTRIBUTE_INIT: u64 = 1 << 0;
/// Bit 1: the host may read and write the enclave's memory.
const ATTRIBUTE_DEBUG: u64 = 1 << 1;
/// Bit 2: the enclave runs in 64-bit mode.
const ATTRIBUTE_MODE64BIT: u64 = 1 << 2;
/// Bit 4: the enclave may derive the platform's provisioning keys, as Intel's own do.
const ATTRIBUTE_PROVISION_KEY: u64 = 1 << 4;
/// Bit 5: the enclave may launch others.
const ATTRIBUTE_EINITTOKEN_KEY: u64 = 1 << 5;
/// Bit 6: control-flow enforcement; it only hardens the enclave.
const ATTRIBUTE_CET: u64 = 1 << 6;
/// Bit 7: whoever starts the enclave can configure it; CONFIGID and CONFIGSVN are checked.
const ATTRIBUTE_KSS: u64 = 1 << 7;
/// Bit 10: the enclave learns of interruptions; it only hardens it.
const ATTRIBUTE_AEX_NOTIFY: u64 = 1 << 10;
const ATTRIBUTES_KNOWN: u64 = ATTRIBUTE_INIT
    | ATTRIBUTE_DEBUG
    | ATTRIBUTE_MODE64BIT
    | ATTRIBUTE_PROVISION_KEY
    | ATTRIBUTE_EINITTOKEN_KEY
    | ATTRIBUTE_CET
    | ATTRIBUTE_KSS
    | ATTRIBUTE_AEX_NOTIFY;

/// x87 and SSE, which every enclave has.
const XFRM_ALWAYS: u64 = 0b11;

/// An SGX quote with whatever came along, whoever it is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    /// The quote, ending where it declares to.
    pub(crate) quote: &'a [u8],
    /// Intel's statements about the platform.
    pub(crate) collateral: Option<&'a IntelCollateral>,
    /// What the measurement is held against.
    pub(crate) against: Against,
}

/// Appraises the quote of a document of ours; nothing where its signature is not known to be good.
pub(crate) fn appraise(
    evidence: &SgxEvidence,
    policy: &Policy,
    now: Timestamp,
    checks: &mut Checks,
) -> Option<Quoted> {
    let collateral = Some(&evidence.collateral);
    let parts = Parts { quote: &evidence.quote, collateral, against: Against::Releases };
    appraise_quote(&parts, policy, now, checks)
}

/// Appraises any SGX quote; nothing where its signature is not known to be good.
pub(crate) fn appraise_quote(
    parts: &Parts<'_>,
    policy: &Policy,
    now: Timestamp,
    checks: &mut Checks,
) -> Option<Quoted> {
    let body = |body| match body {
        Body::Sgx(body) => Some(body),
        Body::Tdx(_) => None,
    };
    let (quote, body) = dcap::read(Tee::Sgx, parts.quote, body, checks)?;
    let (bytes, collateral) = (parts.quote, parts.collateral);
    let subject = Subject { tee: Tee::Sgx, bytes, quote, collateral };
    let authentic = dcap::authenticate(&subject, policy, now, checks)?;
    check_debug(&body, checks);
    let faults = hardware_faults(&body, &policy.intel.sgx);
    let expires = authentic.appraise(seen_of(&body), faults, policy, now, checks);
    check_config(&body, &policy.intel.sgx, checks);
    let (product, svn) = (body.isv_prod_id(), body.isv_svn());
    let measurement = sgx_measurement(&body.mrenclave(), &body.mrsigner(), product, svn);
    parts.against.check(measurement, policy, checks);
    Some(Quoted { report_data: body.report_data(), measurement, expires })
}

fn check_debug(body: &SgxBody<'_>, checks: &mut Checks) {
    let attributes = body.attributes();
    let seen = format!("attributes {attributes:#x}");
    let debug = match attributes & ATTRIBUTE_DEBUG {
        0 => Ok(seen),
        _ => Err(format!("{seen}: the host can debug the enclave")),
    };
    checks.record(CheckName::TeeDebugDisabled, debug);
}

fn seen_of(body: &SgxBody<'_>) -> String {
    let (attributes, xfrm, misc) = (body.attributes(), body.xfrm(), body.misc_select());
    format!("attributes {attributes:#x}, XFRM {xfrm:#x}, MISCSELECT {misc:#x}")
}

/// Everything that is wrong with how the enclave was set up.
fn hardware_faults(body: &SgxBody<'_>, policy: &SgxPolicy) -> Vec<String> {
    let attributes = body.attributes();
    let set = |bit: u64| attributes & bit != 0;
    let unknown = attributes & !ATTRIBUTES_KNOWN;
    let misc = body.misc_select() & !policy.misc_select_allowed;
    let faults = [
        (!set(ATTRIBUTE_INIT), "the enclave was not initialised".into()),
        (!set(ATTRIBUTE_MODE64BIT), "the enclave is not in 64-bit mode".into()),
        (set(ATTRIBUTE_PROVISION_KEY), "the enclave can derive provisioning keys".into()),
        (set(ATTRIBUTE_EINITTOKEN_KEY), "the enclave can launch others".into()),
        (unknown != 0, format!("attributes {unknown:#x} are unknown")),
        (body.xfrm() & XFRM_ALWAYS != XFRM_ALWAYS, "XFRM lacks x87 or SSE".into()),
        (misc != 0, format!("policy forbids MISCSELECT {misc:#x}")),
    ];
    faults.into_iter().filter(|(wrong, _)| *wrong).map(|(_, fault)| fault).collect()
}

/// What whoever started the enclave configured it with, which its measurement does not cover.
fn check_config(body: &SgxBody<'_>, policy: &SgxPolicy, checks: &mut Checks) {
    let name = CheckName::TeeBootConfig;
    let (id, svn) = body.config();
    if (id, svn) == ([0; 64], 0) {
        return checks.pass(name, "CONFIGID and CONFIGSVN are zero");
    }
    let seen = format!("CONFIGID 0x{}, CONFIGSVN {svn}", hex::encode(id));
    match policy.config {
        Stated::Any => checks.pass(name, seen),
        Stated::Zero => checks.fail(name, format!("{seen}, policy demands zero")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{Cpu, Kind};
    use crate::policy::Releases;
    use crate::report::Outcome;

    /// A sound enclave: initialised, 64-bit, with x87 and SSE; then some bytes changed.
    fn body(changes: &[(usize, u8)]) -> [u8; 384] {
        let mut body = [0; 384];
        body[48] = 0x05;
        body[56] = 0x03;
        for (at, value) in changes {
            body[*at] = *value;
        }
        body
    }

    fn faults(changes: &[(usize, u8)], policy: &SgxPolicy) -> Vec<String> {
        hardware_faults(&SgxBody(&body(changes)), policy)
    }

    #[test]
    fn a_sound_enclave_has_no_faults_and_hardening_is_none() {
        let policy = SgxPolicy::strict();
        assert_eq!(faults(&[], &policy), [""; 0]);
        assert_eq!(faults(&[(48, 0xc5), (49, 0x04), (56, 0xe7)], &policy), [""; 0]);
    }

    #[test]
    fn every_attribute_that_is_not_known_to_be_harmless_is_refused() {
        let policy = SgxPolicy::strict();
        // INIT, DEBUG (a check of its own), MODE64BIT, CET, KSS, AEX_NOTIFY.
        for bit in (0..64).filter(|bit| ![0, 1, 2, 6, 7, 10].contains(bit)) {
            let own = if bit / 8 == 0 { 0x05 } else { 0 };
            let found = faults(&[(48 + bit / 8, own | 1 << (bit % 8))], &policy);
            assert_eq!(found.len(), 1, "bit {bit}: {found:?}");
        }
        assert_eq!(faults(&[(48, 0x15)], &policy), ["the enclave can derive provisioning keys"]);
        assert_eq!(faults(&[(48, 0x25)], &policy), ["the enclave can launch others"]);
        assert_eq!(faults(&[(48, 0x04)], &policy), ["the enclave was not initialised"]);
        assert_eq!(faults(&[(48, 0x01)], &policy), ["the enclave is not in 64-bit mode"]);
        assert_eq!(faults(&[(56, 0x01)], &policy), ["XFRM lacks x87 or SSE"]);
    }

    #[test]
    fn the_exception_state_is_as_policy_demands() {
        let mut policy = SgxPolicy::strict();
        assert_eq!(faults(&[(16, 1)], &policy), ["policy forbids MISCSELECT 0x1"]);
        policy.misc_select_allowed = 1;
        assert_eq!(faults(&[(16, 1)], &policy), [""; 0]);
        assert_eq!(faults(&[(16, 3)], &policy), ["policy forbids MISCSELECT 0x2"]);
    }

    fn outcome(changes: &[(usize, u8)], name: CheckName, policy: &SgxPolicy) -> Outcome {
        let bytes = body(changes);
        let body = SgxBody(&bytes);
        let mut checks = Checks::new(Kind::Quote(Cpu::Sgx));
        check_debug(&body, &mut checks);
        check_config(&body, policy, &mut checks);
        let report = checks.finish(&Policy::strict(Releases::default()), Timestamp(0));
        report.unwrap_or_else(|refusal| refusal.report().clone()).outcome(name)
    }

    #[test]
    fn a_configuration_by_whoever_started_the_enclave_is_refused() {
        let mut policy = SgxPolicy::strict();
        let name = CheckName::TeeBootConfig;
        assert_eq!(outcome(&[], name, &policy), Outcome::Passed);
        for at in [192, 255, 260, 261] {
            assert_eq!(outcome(&[(at, 1)], name, &policy), Outcome::Failed, "{at}");
        }
        policy.config = Stated::Any;
        assert_eq!(outcome(&[(192, 1), (260, 1)], name, &policy), Outcome::Passed);
    }

    #[test]
    fn an_enclave_under_a_debugger_is_refused() {
        let policy = SgxPolicy::strict();
        let name = CheckName::TeeDebugDisabled;
        assert_eq!(outcome(&[], name, &policy), Outcome::Passed);
        assert_eq!(outcome(&[(48, 0x07)], name, &policy), Outcome::Failed);
    }
}
