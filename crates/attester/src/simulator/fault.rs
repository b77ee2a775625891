//! What a simulator does wrong, for tests of those who must notice.

use super::kind::{SimulatedCpu, SimulatedKind};

/// What a simulator does wrong, for tests of those who must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Collateral that ended ten days ago.
    CollateralExpired,
    /// A host that shows another compose file than the guest measured, and configured it so.
    ComposeSwapped,
    /// A guest that the host can debug.
    Debug,
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
    /// A guest without SEPT_VE_DISABLE.
    SeptVe,
    /// A guest that another guest of the host serves.
    ServiceTd,
    /// A platform that lacks updates.
    TcbOutOfDate,
    /// A platform whose keys have leaked.
    TcbRevoked,
    /// A platform older than any that is judged.
    TcbUnknown,
    /// A quote with zeros behind its end.
    TrailingBytes,
}

impl Fault {
    /// All faults.
    pub const ALL: [Fault; 20] = [
        Fault::CollateralExpired,
        Fault::ComposeSwapped,
        Fault::Debug,
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
        Fault::SeptVe,
        Fault::ServiceTd,
        Fault::TcbOutOfDate,
        Fault::TcbRevoked,
        Fault::TcbUnknown,
        Fault::TrailingBytes,
    ];

    /// Whether this kind of machine has what the fault is in.
    pub fn applies_to(self, kind: SimulatedKind) -> bool {
        let cpu = kind.cpu;
        match self {
            Fault::ComposeSwapped | Fault::EventPayload | Fault::OtherConfigId => {
                cpu == SimulatedCpu::TdxDstack
            }
            Fault::EventDigest | Fault::EventDropped | Fault::EventsSwapped => {
                matches!(cpu, SimulatedCpu::TdxCcel | SimulatedCpu::TdxDstack)
            }
            Fault::Migratable | Fault::SeptVe => cpu != SimulatedCpu::Sgx,
            Fault::ServiceTd => cpu == SimulatedCpu::TdxV5,
            Fault::CollateralExpired
            | Fault::Debug
            | Fault::OtherPlatform
            | Fault::OtherReportData
            | Fault::OtherRoot
            | Fault::OtherTeeIdentity
            | Fault::OtherTeeTcbInfo
            | Fault::TcbOutOfDate
            | Fault::TcbRevoked
            | Fault::TcbUnknown
            | Fault::TrailingBytes => true,
        }
    }
}
