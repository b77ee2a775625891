//! Intel TDX: what a good quote says of a trust domain (spec/evidence.md section 5).

use sha2::{Digest, Sha256};
use subrosa_protocol::{B256, Timestamp};

use crate::check::CheckName;
use crate::dcap::{self, Subject, Tee};
use crate::event_log::ccel::Ccel;
use crate::event_log::dstack::Dstack;
use crate::evidence::{EventLog, IntelCollateral, TdxEvidence};
use crate::kind::Kind;
use crate::policy::{Allowed, ConfigId, Modules, Policy, Stated, TdxPolicy, XFAM_OF_TDX};
use crate::quote::{Body, TdxBody, tdx_measurement};
use crate::quoted::{Against, Quoted};
use crate::report::Checks;

/// Bits 0 to 7: any of them puts the guest under a debugger or profiler.
const ATTRIBUTES_UNDER_DEBUG: u64 = 0xff;
/// Bit 17: the guest shows more of the service domains that are bound to it.
const ATTRIBUTE_SERVTD_EXT: u64 = 1 << 17;
/// Bit 27: linear addresses are separated; it only hardens the guest.
const ATTRIBUTE_LASS: u64 = 1 << 27;
/// Bit 28: the host cannot make the guest handle faults of its own pages.
const ATTRIBUTE_SEPT_VE_DISABLE: u64 = 1 << 28;
/// Bit 29: the guest may be moved to another platform.
const ATTRIBUTE_MIGRATABLE: u64 = 1 << 29;
/// Bit 30: the guest may use protection keys for supervisor pages.
const ATTRIBUTE_PKS: u64 = 1 << 30;
/// Bit 63: the guest may use performance counters.
const ATTRIBUTE_PERFMON: u64 = 1 << 63;
const ATTRIBUTES_KNOWN: u64 = ATTRIBUTES_UNDER_DEBUG
    | ATTRIBUTE_SERVTD_EXT
    | ATTRIBUTE_LASS
    | ATTRIBUTE_SEPT_VE_DISABLE
    | ATTRIBUTE_MIGRATABLE
    | ATTRIBUTE_PKS
    | ATTRIBUTE_PERFMON;

/// x87 and SSE, which every guest has.
const XFAM_ALWAYS: u64 = 0b11;
/// States of several bits, which are given together or not at all: AVX-512, CET, AMX.
const XFAM_TOGETHER: [u64; 3] = [0xe0, 0x1800, 0x6_0000];

/// The first byte of an MRCONFIGID that holds the hash of a compose file.
const CONFIG_ID_OF_COMPOSE: u8 = 1;

/// What came with a quote about the start of its guest.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Log<'a> {
    /// The firmware's log.
    Ccel(&'a [u8]),
    /// dstack's log, and the compose file where it is shown.
    Dstack { log: &'a [u8], app_compose: Option<&'a [u8]> },
    /// Nothing.
    None,
}

/// A TDX quote with whatever came along, whoever it is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    /// The quote, ending where it declares to.
    pub(crate) quote: &'a [u8],
    /// Intel's statements about the platform.
    pub(crate) collateral: Option<&'a IntelCollateral>,
    /// What was measured, event by event.
    pub(crate) log: Log<'a>,
    /// What the measurement is held against.
    pub(crate) against: Against,
}

/// Appraises the quote of a document of ours; nothing where its signature is not known to be good.
pub(crate) fn appraise(
    evidence: &TdxEvidence,
    policy: &Policy,
    now: Timestamp,
    checks: &mut Checks,
) -> Option<Quoted> {
    let log = match &evidence.event_log {
        EventLog::Ccel { log } => Log::Ccel(log),
        EventLog::Dstack { log, app_compose } => {
            Log::Dstack { log, app_compose: Some(app_compose) }
        }
        EventLog::None => Log::None,
    };
    let collateral = Some(&evidence.collateral);
    let parts = Parts { quote: &evidence.quote, collateral, log, against: Against::Releases };
    appraise_quote(&parts, policy, now, checks)
}

/// Appraises any TDX quote; nothing where its signature is not known to be good.
pub(crate) fn appraise_quote(
    parts: &Parts<'_>,
    policy: &Policy,
    now: Timestamp,
    checks: &mut Checks,
) -> Option<Quoted> {
    let body = |body| match body {
        Body::Tdx(body) => Some(body),
        Body::Sgx(_) => None,
    };
    let (quote, body) = dcap::read(Tee::Tdx, parts.quote, body, checks)?;
    let (bytes, collateral) = (parts.quote, parts.collateral);
    let subject = Subject { tee: Tee::Tdx, bytes, quote, collateral };
    let authentic = dcap::authenticate(&subject, policy, now, checks)?;
    check_debug(&body, checks);
    let faults = hardware_faults(&body, &policy.intel.tdx);
    let expires = authentic.appraise(seen_of(&body), faults, policy, now, checks);
    let measurement = check_boot(parts, &body, policy, checks);
    Some(Quoted { report_data: body.report_data(), measurement, expires })
}

fn check_debug(body: &TdxBody<'_>, checks: &mut Checks) {
    let attributes = body.td_attributes();
    let seen = format!("TD attributes {attributes:#018x}");
    let debug = match attributes & ATTRIBUTES_UNDER_DEBUG {
        0 => Ok(seen),
        _ => Err(format!("{seen}: the host can debug the guest")),
    };
    checks.record(CheckName::TeeDebugDisabled, debug);
}

fn seen_of(body: &TdxBody<'_>) -> String {
    let (attributes, xfam) = (body.td_attributes(), body.xfam());
    let module = hex::encode(body.mrseam());
    format!("TD attributes {attributes:#018x}, XFAM {xfam:#x}, TDX module {module}")
}

/// Everything that is wrong with how the guest was set up, whatever dcap-qvl made of it.
fn hardware_faults(body: &TdxBody<'_>, policy: &TdxPolicy) -> Vec<String> {
    let mut faults = attribute_faults(body.td_attributes(), policy);
    faults.extend(xfam_faults(body.xfam(), policy.xfam_allowed));
    if body.mrservicetd().is_some_and(|hash| hash != [0; 48]) && policy.service_td == Allowed::No {
        faults.push("a service domain is bound to the guest".into());
    }
    match &policy.modules {
        Modules::Listed(listed) if !listed.contains(&hex::encode(body.mrseam())) => {
            faults.push("the TDX module is not a listed one".into());
        }
        _ => {}
    }
    faults
}

fn attribute_faults(attributes: u64, policy: &TdxPolicy) -> Vec<String> {
    let set = |bit: u64| attributes & bit != 0;
    let forbidden = |bit: u64, allowed: Allowed| set(bit) && allowed == Allowed::No;
    let unknown = attributes & !ATTRIBUTES_KNOWN;
    let faults = [
        (!set(ATTRIBUTE_SEPT_VE_DISABLE), "SEPT_VE_DISABLE is not set".into()),
        (set(ATTRIBUTE_MIGRATABLE), "the guest can be migrated".into()),
        (forbidden(ATTRIBUTE_PKS, policy.pks), "policy forbids PKS".into()),
        (forbidden(ATTRIBUTE_PERFMON, policy.perfmon), "policy forbids PERFMON".into()),
        (forbidden(ATTRIBUTE_SERVTD_EXT, policy.service_td), "policy forbids SERVTD_EXT".into()),
        (unknown != 0, format!("attributes {unknown:#x} are unknown")),
    ];
    faults.into_iter().filter(|(wrong, _)| *wrong).map(|(_, fault)| fault).collect()
}

fn xfam_faults(xfam: u64, allowed: u64) -> Vec<String> {
    let beyond = xfam & !XFAM_OF_TDX;
    let refused = xfam & XFAM_OF_TDX & !allowed;
    let split = XFAM_TOGETHER.into_iter().any(|bits| ![0, bits].contains(&(xfam & bits)));
    let faults = [
        (xfam & XFAM_ALWAYS != XFAM_ALWAYS, "XFAM lacks x87 or SSE".into()),
        (beyond != 0, format!("TDX does not permit XFAM {beyond:#x}")),
        (refused != 0, format!("policy forbids XFAM {refused:#x}")),
        (split, "XFAM has parts of a state".into()),
    ];
    faults.into_iter().filter(|(wrong, _)| *wrong).map(|(_, fault)| fault).collect()
}

/// What booted, and whether it is a released image.
fn check_boot(parts: &Parts<'_>, body: &TdxBody<'_>, policy: &Policy, checks: &mut Checks) -> B256 {
    let log = check_log(parts.log, body, checks);
    let shown = match parts.log {
        Log::Dstack { app_compose, .. } => app_compose.map(sha256),
        Log::Ccel(_) | Log::None => None,
    };
    check_config(body, shown, parts.against, &policy.intel.tdx, checks);
    let (mrtd, rtmrs) = (body.mrtd(), body.rtmrs());
    let measurement = match &log {
        Replayed::Dstack(log) => log.measurement(&mrtd, &rtmrs),
        Replayed::Refused | Replayed::Registers => tdx_measurement(&mrtd, &rtmrs),
    };
    match log {
        Replayed::Refused => {
            checks.absent(CheckName::TeeMeasurement, "what booted cannot be told without its log");
        }
        Replayed::Dstack(log) => {
            check_compose(&log, shown, body, checks);
            parts.against.check(measurement, policy, checks);
        }
        Replayed::Registers => parts.against.check(measurement, policy, checks),
    }
    measurement
}

/// What came of an event log.
enum Replayed {
    /// It gives the registers, and tells of more than they do.
    Dstack(Dstack),
    /// It does not give the registers.
    Refused,
    /// The registers are all that counts.
    Registers,
}

fn check_log(log: Log<'_>, body: &TdxBody<'_>, checks: &mut Checks) -> Replayed {
    let name = CheckName::EventLogIntegrity;
    let refuse = |checks: &mut Checks, seen: String| {
        checks.fail(name, seen);
        Replayed::Refused
    };
    match log {
        Log::None => {
            absent_or_waived(name, "no event log: the registers stand alone", checks);
            absent_or_waived(CheckName::ComposeBinding, "no compose file", checks);
            Replayed::Registers
        }
        Log::Ccel(log) => match Ccel::parse(log) {
            Err(error) => refuse(checks, error.to_string()),
            Ok(ccel) => {
                if let Err(differ) = ccel.replay.check(&body.rtmrs()) {
                    return refuse(checks, differ);
                }
                checks.pass(name, format!("{} events give RTMR0 to RTMR3", ccel.events));
                absent_or_waived(CheckName::ComposeBinding, "no compose file", checks);
                Replayed::Registers
            }
        },
        Log::Dstack { log, .. } => match Dstack::parse(log) {
            Err(error) => refuse(checks, error.to_string()),
            Ok(log) => {
                if let Err(differ) = log.replay().check(&body.rtmrs()) {
                    return refuse(checks, differ);
                }
                let (events, story) = (log.len(), log.story());
                checks.pass(name, format!("{events} events give RTMR0 to RTMR3{story}"));
                Replayed::Dstack(log)
            }
        },
    }
}

/// Our own documents may do without; of others it is told that something is missing.
fn absent_or_waived(name: CheckName, seen: &str, checks: &mut Checks) {
    match checks.kind() {
        Kind::Evidence(_) => checks.waive(name, seen),
        Kind::NitroDocument
        | Kind::NvidiaDevices
        | Kind::NvidiaToken
        | Kind::Quote(_)
        | Kind::VllmProxy => checks.absent(name, seen),
    }
}

/// Whether the compose file that is shown is the one that was measured.
fn check_compose(log: &Dstack, shown: Option<B256>, body: &TdxBody<'_>, checks: &mut Checks) {
    let name = CheckName::ComposeBinding;
    let config = body.mrconfigid();
    let result = match (log.compose_hash(), shown) {
        (None, _) => Err("the log does not say which compose file was measured".into()),
        (Some(measured), None) => {
            return checks.absent(name, format!("compose file {measured} was measured, not shown"));
        }
        (Some(measured), Some(shown)) if measured != shown => {
            Err(format!("compose file {shown} is shown, {measured} was measured"))
        }
        (Some(_), Some(shown))
            if config[0] == CONFIG_ID_OF_COMPOSE && config != config_id_of(shown) =>
        {
            Err(format!("compose file {shown} is not that of MRCONFIGID 0x{}", hex::encode(config)))
        }
        (Some(measured), Some(_)) => Ok(format!("compose file {measured}")),
    };
    checks.record(name, result);
}

/// What the host configured the guest with, which no measurement of the image covers.
fn check_config(
    body: &TdxBody<'_>,
    shown: Option<B256>,
    against: Against,
    policy: &TdxPolicy,
    checks: &mut Checks,
) {
    let name = CheckName::TeeBootConfig;
    let config = body.mrconfigid();
    let (is_zero, of_compose) = (config == [0; 48], shown.map(config_id_of));
    let seen = match (is_zero, of_compose == Some(config)) {
        (true, _) => "MRCONFIGID is zero".to_owned(),
        (false, true) => "MRCONFIGID is the hash of the compose file".to_owned(),
        (false, false) => format!("MRCONFIGID 0x{}", hex::encode(config)),
    };
    for (register, value) in [("MROWNER", body.mrowner()), ("MROWNERCONFIG", body.mrownerconfig())]
    {
        if policy.owner == Stated::Zero && value != [0; 48] {
            let value = hex::encode(value);
            return checks.fail(name, format!("{register} is 0x{value}, policy demands zero"));
        }
    }
    match policy.config_id {
        ConfigId::Any => checks.pass(name, seen),
        _ if is_zero => checks.pass(name, seen),
        ConfigId::Zero => checks.fail(name, format!("{seen}, policy demands zero")),
        ConfigId::ComposeHash if of_compose == Some(config) => checks.pass(name, seen),
        ConfigId::ComposeHash if of_compose.is_none() && against == Against::Nothing => {
            checks.absent(name, format!("{seen}, held against nothing"));
        }
        ConfigId::ComposeHash => {
            checks.fail(name, format!("{seen} is not the hash of a compose file that came along"));
        }
    }
}

/// MRCONFIGID, version 1: 01, the hash of the compose file, zeros.
fn config_id_of(compose: B256) -> [u8; 48] {
    let mut config = [0; 48];
    config[0] = CONFIG_ID_OF_COMPOSE;
    config[1..33].copy_from_slice(compose.as_slice());
    config
}

fn sha256(bytes: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Cpu;
    use crate::policy::Releases;
    use crate::report::Outcome;

    /// A sound guest: SEPT_VE_DISABLE, x87, SSE, AVX.
    fn body() -> [u8; 648] {
        let mut body = [0; 648];
        body[120 + 3] = 0x10;
        body[128] = 0x07;
        body
    }

    /// What is wrong with a guest some of whose bytes are others.
    fn faults(changes: &[(usize, u8)], policy: &TdxPolicy) -> Vec<String> {
        let mut body = body();
        for (at, value) in changes {
            body[*at] = *value;
        }
        hardware_faults(&TdxBody::Td15(&body), policy)
    }

    #[test]
    fn a_sound_guest_has_no_faults_and_lass_only_hardens_it() {
        let policy = TdxPolicy::strict();
        assert_eq!(faults(&[], &policy), [""; 0]);
        assert_eq!(faults(&[(123, 0x18)], &policy), [""; 0]);
        // Every state that real machines show.
        let real: [&[u8]; 4] = [&[0xe7, 2, 6], &[7, 2, 0], &[0xe7, 0x18, 6], &[0xe7, 0, 6]];
        for xfam in real {
            let changes: Vec<(usize, u8)> =
                xfam.iter().enumerate().map(|(at, value)| (128 + at, *value)).collect();
            assert_eq!(faults(&changes, &policy), [""; 0]);
        }
    }

    #[test]
    fn every_attribute_that_is_not_known_to_be_harmless_is_refused() {
        let policy = TdxPolicy::strict();
        for bit in (8..64).filter(|bit| ![27, 28].contains(bit)) {
            let mut value = 1_u8 << (bit % 8);
            if bit / 8 == 3 {
                value |= 0x10;
            }
            let found = faults(&[(120 + bit / 8, value)], &policy);
            assert_eq!(found.len(), 1, "bit {bit}: {found:?}");
        }
        assert_eq!(faults(&[(123, 0)], &policy), ["SEPT_VE_DISABLE is not set"]);
        assert_eq!(faults(&[(123, 0x30)], &policy), ["the guest can be migrated"]);
        assert_eq!(faults(&[(122, 1)], &policy), ["attributes 0x10000 are unknown"]);
        let all = faults(&[(123, 0x60), (127, 0x80)], &policy);
        let expected = [
            "SEPT_VE_DISABLE is not set",
            "the guest can be migrated",
            "policy forbids PKS",
            "policy forbids PERFMON",
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn policy_can_allow_some_attributes_and_no_others() {
        let mut policy = TdxPolicy::strict();
        let changes = [(123, 0x50), (127, 0x80), (122, 2)];
        let expected =
            ["policy forbids PKS", "policy forbids PERFMON", "policy forbids SERVTD_EXT"];
        assert_eq!(faults(&changes, &policy), expected);
        (policy.pks, policy.perfmon) = (Allowed::Yes, Allowed::Yes);
        policy.service_td = Allowed::Yes;
        assert_eq!(faults(&changes, &policy), [""; 0]);
        assert_eq!(faults(&[(123, 0x30)], &policy), ["the guest can be migrated"]);
    }

    #[test]
    fn xfam_is_within_what_tdx_and_policy_permit() {
        let mut policy = TdxPolicy::strict();
        assert_eq!(faults(&[(128, 0x06)], &policy), ["XFAM lacks x87 or SSE"]);
        assert_eq!(faults(&[(128, 0x05)], &policy), ["XFAM lacks x87 or SSE"]);
        assert_eq!(faults(&[(129, 0x04)], &policy), ["TDX does not permit XFAM 0x400"]);
        assert_eq!(
            faults(&[(135, 0x80)], &policy),
            ["TDX does not permit XFAM 0x8000000000000000"]
        );
        for part in [(128, 0x27), (128, 0x87), (129, 0x08), (130, 0x02)] {
            assert_eq!(faults(&[part], &policy), ["XFAM has parts of a state"]);
        }
        policy.xfam_allowed = 0x03;
        assert_eq!(faults(&[], &policy), ["policy forbids XFAM 0x4"]);
        // A policy cannot permit more than TDX does.
        policy.xfam_allowed = u64::MAX;
        assert_eq!(faults(&[(129, 0x04)], &policy), ["TDX does not permit XFAM 0x400"]);
    }

    #[test]
    fn service_domains_and_modules_are_as_policy_demands() {
        let mut policy = TdxPolicy::strict();
        let expected = ["a service domain is bound to the guest"];
        for at in [600, 647] {
            assert_eq!(faults(&[(at, 1)], &policy), expected);
        }
        policy.service_td = Allowed::Yes;
        assert_eq!(faults(&[(600, 1)], &policy), [""; 0]);
        policy.modules = Modules::Listed(vec![format!("{}07", "00".repeat(47))]);
        assert_eq!(faults(&[(63, 7)], &policy), [""; 0]);
        assert_eq!(faults(&[(63, 8)], &policy), ["the TDX module is not a listed one"]);
    }

    /// What the check of the host's configuration gives for these bytes.
    fn config(
        changes: &[(usize, u8)],
        shown: Option<B256>,
        against: Against,
        policy: &TdxPolicy,
    ) -> (Outcome, String) {
        let mut body = body();
        for (at, value) in changes {
            body[*at] = *value;
        }
        let mut checks = Checks::new(Kind::Quote(Cpu::Tdx));
        check_config(&TdxBody::Td15(&body), shown, against, policy, &mut checks);
        let report = checks.finish(&Policy::strict(Releases::default()), Timestamp(0));
        let report = report.unwrap_or_else(|refusal| refusal.report().clone());
        let check = report.check(CheckName::TeeBootConfig).unwrap();
        (check.outcome, check.seen.clone())
    }

    #[test]
    fn what_a_host_states_of_an_owner_is_refused_unless_policy_takes_anything() {
        let mut policy = TdxPolicy::strict();
        for (at, name) in [(232, "MROWNER is"), (279, "MROWNER is"), (280, "MROWNERCONFIG is")] {
            let (outcome, seen) = config(&[(at, 1)], None, Against::Nothing, &policy);
            assert_eq!(outcome, Outcome::Failed);
            assert!(seen.starts_with(name), "{seen}");
        }
        policy.owner = Stated::Any;
        let (outcome, _) = config(&[(232, 1), (280, 1)], None, Against::Releases, &policy);
        assert_eq!(outcome, Outcome::Passed);
    }

    #[test]
    fn a_configuration_without_its_file_is_absent_from_a_bare_quote_alone() {
        let mut policy = TdxPolicy::strict();
        let named = [(184, 1), (185, 9)];
        let (outcome, seen) = config(&named, None, Against::Nothing, &policy);
        assert_eq!(outcome, Outcome::Absent);
        assert!(seen.ends_with("held against nothing"), "{seen}");
        assert_eq!(config(&named, None, Against::Releases, &policy).0, Outcome::Failed);
        let other = Some(B256::repeat_byte(7));
        assert_eq!(config(&named, other, Against::Nothing, &policy).0, Outcome::Failed);
        let mut hash = [0; 32];
        hash[0] = 9;
        let own = Some(B256::from(hash));
        assert_eq!(config(&named, own, Against::Nothing, &policy).0, Outcome::Passed);
        // The hash in another place, or under another version, is not the hash.
        for changes in [[(184, 2), (185, 9)], [(184, 1), (186, 9)]] {
            assert_eq!(config(&changes, own, Against::Nothing, &policy).0, Outcome::Failed);
        }
        policy.config_id = ConfigId::Zero;
        assert_eq!(config(&named, own, Against::Nothing, &policy).0, Outcome::Failed);
        assert_eq!(config(&[], own, Against::Nothing, &policy).0, Outcome::Passed);
        policy.config_id = ConfigId::Any;
        assert_eq!(config(&named, None, Against::Releases, &policy).0, Outcome::Passed);
    }
}
