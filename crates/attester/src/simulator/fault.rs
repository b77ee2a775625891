//! What a simulator does wrong, for tests of those who must notice.

use subrosa_nvidia_evidence::simulator::Fault as DeviceFault;

use super::kind::{SimulatedCpu, SimulatedGpus, SimulatedKind};
use super::snp;

/// What a simulator does wrong, for tests of those who must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A platform authority that Intel's root has revoked.
    AuthorityRevoked,
    /// Collateral that ended ten days ago.
    CollateralExpired,
    /// A host that shows another compose file than the guest measured, and configured it so.
    ComposeSwapped,
    /// A guest that the host can debug.
    Debug,
    /// Something that the devices, or NVIDIA's statements about them, have wrong.
    Device(DeviceFault),
    /// A document without the devices that the quote binds.
    DevicesLeftOut,
    /// A document with the devices of another machine, which answer its nonce, in place of those
    /// that the quote binds.
    DevicesOfOtherMachine,
    /// An event whose digest is not the one that was measured.
    EventDigest,
    /// A log that keeps an event to itself.
    EventDropped,
    /// An event that tells something else than what its digest is of.
    EventPayload,
    /// A log with two events in the wrong order.
    EventsSwapped,
    /// A guest that the host can move elsewhere.
    Migratable,
    /// A guest whose host configured another compose file than the log names.
    OtherConfigId,
    /// Collateral of another kind of platform.
    OtherPlatform,
    /// A quote made for something else.
    OtherReportData,
    /// Everything under a root that nobody trusts.
    OtherRoot,
    /// The identity of the other technology's quoting enclave: SGX's for TDX, TDX's for SGX.
    OtherTeeIdentity,
    /// The TCB info of the other technology.
    OtherTeeTcbInfo,
    /// A platform whose certificate its authority has revoked.
    PlatformRevoked,
    /// A guest without SEPT_VE_DISABLE.
    SeptVe,
    /// A guest that another guest of the host serves.
    ServiceTd,
    /// A platform that lacks updates.
    TcbOutOfDate,
    /// A platform whose keys have leaked.
    TcbRevoked,
    /// A signer of TCB info and QE identity that Intel's root has revoked.
    TcbSignerRevoked,
    /// A platform older than any that is judged.
    TcbUnknown,
    /// A quote with zeros behind its end.
    TrailingBytes,
}

impl Fault {
    /// All faults that are not a device's.
    pub const ALL: [Fault; 25] = [
        Fault::AuthorityRevoked,
        Fault::CollateralExpired,
        Fault::ComposeSwapped,
        Fault::Debug,
        Fault::DevicesLeftOut,
        Fault::DevicesOfOtherMachine,
        Fault::EventDigest,
        Fault::EventDropped,
        Fault::EventPayload,
        Fault::EventsSwapped,
        Fault::Migratable,
        Fault::OtherConfigId,
        Fault::OtherPlatform,
        Fault::OtherReportData,
        Fault::OtherRoot,
        Fault::OtherTeeIdentity,
        Fault::OtherTeeTcbInfo,
        Fault::PlatformRevoked,
        Fault::SeptVe,
        Fault::ServiceTd,
        Fault::TcbOutOfDate,
        Fault::TcbRevoked,
        Fault::TcbSignerRevoked,
        Fault::TcbUnknown,
        Fault::TrailingBytes,
    ];

    /// Whether this kind of machine has what the fault is in.
    pub fn applies_to(self, kind: SimulatedKind) -> bool {
        let cpu = kind.cpu;
        match self {
            Fault::Device(
                DeviceFault::PpcieMixed
                | DeviceFault::SwitchMissing
                | DeviceFault::SwitchOfOtherNode,
            ) => kind.gpus == SimulatedGpus::EightHoppers,
            Fault::Device(DeviceFault::DuplicateDevice) => {
                matches!(kind.gpus, SimulatedGpus::EightBlackwells | SimulatedGpus::EightHoppers)
            }
            Fault::Device(_) | Fault::DevicesLeftOut | Fault::DevicesOfOtherMachine => {
                kind.gpus != SimulatedGpus::None
            }
            _ if cpu == SimulatedCpu::Snp => snp::Platform::can_have(self),
            Fault::ComposeSwapped | Fault::EventPayload | Fault::OtherConfigId => {
                cpu == SimulatedCpu::TdxDstack
            }
            Fault::EventDigest | Fault::EventDropped | Fault::EventsSwapped => {
                matches!(cpu, SimulatedCpu::TdxCcel | SimulatedCpu::TdxDstack)
            }
            Fault::Migratable | Fault::SeptVe => cpu != SimulatedCpu::Sgx,
            Fault::ServiceTd => cpu == SimulatedCpu::TdxV5,
            Fault::AuthorityRevoked
            | Fault::CollateralExpired
            | Fault::Debug
            | Fault::OtherPlatform
            | Fault::OtherReportData
            | Fault::OtherRoot
            | Fault::OtherTeeIdentity
            | Fault::OtherTeeTcbInfo
            | Fault::PlatformRevoked
            | Fault::TcbOutOfDate
            | Fault::TcbRevoked
            | Fault::TcbSignerRevoked
            | Fault::TcbUnknown
            | Fault::TrailingBytes => true,
        }
    }
}
