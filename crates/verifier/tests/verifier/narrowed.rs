//! Every member of a policy can refuse: honest evidence that a policy accepts is refused, by name,
//! by one that differs in a single member.

use std::collections::BTreeSet;

use subrosa_attester::{Fault, SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator};
use subrosa_protocol::{B256, Duration};
use subrosa_verifier::CheckName::*;
use subrosa_verifier::{
    Allowed, Bit, CheckName, ConfigId, Gpu, IdBlock, IntelTcbStatus, Machines, Modules, NonceKind,
    Policy, Root,
};

use crate::world::{IMAGE, World, assert_failed};

/// One member made narrower.
type Narrow = fn(&mut Policy);

const SGX: SimulatedCpu = SimulatedCpu::Sgx;
const SNP: SimulatedCpu = SimulatedCpu::Snp;
const TDX: SimulatedCpu = SimulatedCpu::Tdx;
const DSTACK: SimulatedCpu = SimulatedCpu::TdxDstack;

/// The member, a machine whose honest evidence is accepted, and what refuses it then.
const NARROWED: [(&str, SimulatedCpu, Narrow, CheckName); 28] = [
    ("gpu", TDX, |policy| policy.gpu = Gpu::Required, NvidiaPayloadPresent),
    ("machines", TDX, |policy| policy.machines = nowhere(), CpuIdRegistry),
    ("machines", SNP, |policy| policy.machines = nowhere(), CpuIdRegistry),
    ("releases", SGX, |policy| policy.releases.measurements.clear(), TeeMeasurement),
    ("releases", SNP, |policy| policy.releases.measurements.clear(), TeeMeasurement),
    ("releases", TDX, |policy| policy.releases.models.clear(), MeasuredModelWeights),
    ("roots", SGX, |policy| policy.roots.intel = Root::Vendor, TeeCertChain),
    ("roots", SNP, |policy| policy.roots.amd = Root::Vendor, TeeCertChain),
    ("nonce", TDX, |policy| policy.nonce.kind = NonceKind::Own, NonceMatch),
    ("nonce", TDX, |policy| policy.nonce.age_max = Duration(0), BlockRecent),
    ("intel.statuses", SGX, |policy| policy.intel.statuses.clear(), TeeTcbCurrent),
    ("intel.statuses", TDX, |policy| policy.intel.statuses = all_but_current(), TeeTcbCurrent),
    (
        "intel.evaluation_number_min",
        SGX,
        |policy| policy.intel.evaluation_number_min = u32::MAX,
        TeeTcbEvaluation,
    ),
    ("intel.smt", SGX, |policy| policy.intel.smt = Allowed::No, TeeHardwareConfig),
    (
        "intel.dynamic_platform",
        SGX,
        |policy| policy.intel.dynamic_platform = Allowed::No,
        TeeHardwareConfig,
    ),
    ("intel.cached_keys", SGX, |policy| policy.intel.cached_keys = Allowed::No, TeeHardwareConfig),
    ("intel.tdx", TDX, |policy| policy.intel.tdx.modules = no_modules(), TeeHardwareConfig),
    ("intel.tdx", TDX, |policy| policy.intel.tdx.xfam_allowed = 0, TeeHardwareConfig),
    ("intel.tdx", DSTACK, |policy| policy.intel.tdx.config_id = ConfigId::Zero, TeeBootConfig),
    ("amd.products", SNP, |policy| policy.amd.products.clear(), TeeHardwareConfig),
    (
        "amd.report_version_min",
        SNP,
        |policy| policy.amd.report_version_min = u32::MAX,
        TeeHardwareConfig,
    ),
    ("amd.vmpl", SNP, |policy| policy.amd.vmpl = 1, TeeHardwareConfig),
    ("amd.id_block", SNP, |policy| policy.amd.id_block = IdBlock::Signed(vec![]), TeeBootConfig),
    ("amd.tcb_min", SNP, |policy| policy.amd.tcb_min.genoa.boot_loader = 255, TeeTcbCurrent),
    ("amd.tcb_min", SNP, |policy| policy.amd.tcb_min.genoa.tee = 255, TeeTcbCurrent),
    ("amd.tcb_min", SNP, |policy| policy.amd.tcb_min.genoa.snp = 255, TeeTcbCurrent),
    (
        "amd.guest_policy",
        SNP,
        |policy| policy.amd.guest_policy.migration_agent = Bit::Set,
        TeeHardwareConfig,
    ),
    (
        "amd.platform",
        SNP,
        |policy| policy.amd.platform.alias_check_complete = Bit::Clear,
        TeeHardwareConfig,
    ),
];

/// Members that honest evidence of the simulator keeps however narrow they are, and the only member
/// with a single value: tests of their own show what they refuse.
const KEPT: [&str; 10] = [
    "absent",
    "amd.firmware_committed",
    "amd.host_data",
    "amd.revocation",
    "debug",
    "intel.grace_s",
    "intel.rejected_advisories",
    "intel.sgx",
    "nvidia",
    "trust",
];

fn nowhere() -> Machines {
    Machines::Listed(vec!["00".repeat(16)])
}

fn no_modules() -> Modules {
    Modules::Listed(vec![])
}

fn all_but_current() -> Vec<IntelTcbStatus> {
    use IntelTcbStatus::*;
    vec![
        ConfigurationAndSWHardeningNeeded,
        ConfigurationNeeded,
        OutOfDate,
        OutOfDateConfigurationNeeded,
        SWHardeningNeeded,
        TDRelaunchAdvised,
        TDRelaunchAdvisedConfigurationNeeded,
    ]
}

fn kind(cpu: SimulatedCpu) -> SimulatedKind {
    SimulatedKind { cpu, gpus: SimulatedGpus::None }
}

#[test]
fn a_policy_that_is_narrower_in_one_member_refuses_honest_evidence_by_name() {
    for (member, cpu, narrow, name) in NARROWED {
        let mut world = World::of(kind(cpu));
        let evidence = world.evidence();
        world.check(&evidence).unwrap_or_else(|refusal| panic!("{member}: {refusal}"));
        let before = world.policy.clone();
        narrow(&mut world.policy);
        assert_ne!(world.policy, before, "{member}");
        let refusal = world.check(&evidence).expect_err(member);
        assert_eq!(refusal.failed().name, name, "{member}: {refusal}");
    }
}

#[test]
fn no_member_of_a_policy_is_without_a_refusal() {
    let policy: toml::Table = Policy::strict(Default::default()).to_toml().parse().unwrap();
    let members = policy.iter().flat_map(|(section, value)| match value {
        toml::Value::Table(table) if ["amd", "intel"].contains(&section.as_str()) => {
            table.keys().map(|name| format!("{section}.{name}")).collect()
        }
        _ => vec![section.clone()],
    });
    let narrowed = NARROWED.iter().map(|(member, ..)| (*member).to_owned());
    let known: BTreeSet<String> = narrowed.chain(KEPT.map(str::to_owned)).collect();
    assert_eq!(members.collect::<BTreeSet<_>>(), known);
}

#[test]
fn a_policy_on_hardware_accepts_nothing_under_a_root_that_is_not_the_vendors() {
    for cpu in [SGX, SNP, TDX] {
        for root in [Root::Simulator, Root::Sha256(B256::repeat_byte(7))] {
            let narrow: [fn(&mut Policy, Root); 4] = [
                |policy, root| policy.roots.intel = root,
                |policy, root| policy.roots.amd = root,
                |policy, root| policy.roots.nvidia_device = root,
                |policy, root| policy.roots.nvidia_rim = root,
            ];
            for change in narrow {
                let mut world = World::of(kind(cpu));
                world.policy = Policy::strict(world.policy.releases.clone());
                change(&mut world.policy, root);
                assert_failed(&world.refused(), TeeCertChain);
            }
        }
    }
}

#[test]
fn what_an_amd_chip_has_wrong_is_refused_under_the_preset_by_name() {
    for (fault, name) in [
        (Fault::CollateralExpired, AmdKdsCollateral),
        (Fault::Debug, TeeDebugDisabled),
        (Fault::Migratable, TeeHardwareConfig),
        (Fault::OtherPlatform, AmdKdsCollateral),
        (Fault::OtherReportData, TeeReportdataBinding),
        (Fault::OtherRoot, TeeCertChain),
        (Fault::TcbOutOfDate, TeeTcbCurrent),
        (Fault::TcbRevoked, TeeTcbNotRevoked),
        (Fault::TrailingBytes, TeeQuoteStructure),
    ] {
        let world = World::with(Simulator::faulty_of(kind(SNP), IMAGE, fault));
        assert_failed(&world.refused(), name);
    }
}
