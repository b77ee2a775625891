//! Logs of what was measured while a trust domain started, replayed to its registers
//! (spec/evidence.md section 5).
//!
//! A log counts only where its events give exactly the registers of a quote whose signature is good.

pub(crate) mod ccel;
pub(crate) mod dstack;

use sha2::{Digest, Sha384};

pub use ccel::used as ccel_used;
pub use dstack::{dstack_measurement, runtime_event_digest};

/// A register, or what it is extended with: SHA-384.
pub(crate) type Register = [u8; 48];

/// RTMR0 to RTMR3.
pub(crate) const REGISTERS: usize = 4;

/// Real logs have 20 to 60 events; applications append a few of their own.
const EVENTS_MAX: usize = 1_024;

/// The registers that a log's events give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replay(pub(crate) [Register; REGISTERS]);

impl Replay {
    fn new() -> Replay {
        Replay([[0; 48]; REGISTERS])
    }

    fn extend(&mut self, register: usize, digest: &Register) {
        extend(&mut self.0[register], digest);
    }

    /// Compares with a quote's registers; says which differ.
    pub(crate) fn check(&self, quoted: &[Register; REGISTERS]) -> Result<(), String> {
        let differ = (0..REGISTERS).filter(|at| self.0[*at] != quoted[*at]);
        let names: Vec<String> = differ.map(|at| format!("RTMR{at}")).collect();
        match names.as_slice() {
            [] => Ok(()),
            names => Err(format!("the events do not give the quote's {}", names.join(", "))),
        }
    }
}

fn extend(register: &mut Register, digest: &Register) {
    *register = Sha384::new().chain_update(*register).chain_update(digest).finalize().into();
}

/// Why bytes are no event log. Events are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLog {
    /// A runtime event's digest is not that of its name and payload.
    #[error("event {event} of the log has another digest than its name and payload give")]
    DigestDiffers {
        /// The event.
        event: usize,
    },
    /// The log does not start as logs with SHA-384 digests alone do.
    #[error("the event log does not start with the TCG's header for SHA-384 alone")]
    Header,
    /// The text is no JSON list of events.
    #[error("the event log is not a JSON list of events at line {line}, column {column}")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// A member is not lower-case hex.
    #[error("event {event} of the log has a member that is not lower-case hex")]
    NotHex {
        /// The event.
        event: usize,
    },
    /// An event has no digest of its own, or not one of SHA-384.
    #[error("event {event} of the log has no single SHA-384 digest")]
    NoDigest {
        /// The event.
        event: usize,
    },
    /// A runtime event's preimage is not that of its name and payload.
    #[error("event {event} of the log has another preimage than its name and payload give")]
    PreimageDiffers {
        /// The event.
        event: usize,
    },
    /// An event of a register that no guest can extend.
    #[error("event {event} of the log is of register {got}, which is none of RTMR0 to RTMR3")]
    Register {
        /// The event.
        event: usize,
        /// The register, as the log numbers it.
        got: u32,
    },
    /// More events than any honest log has.
    #[error("the event log has more than {EVENTS_MAX} events")]
    TooManyEvents,
    /// A field lies beyond the end.
    #[error("the event log ends inside event {event}")]
    TooShort {
        /// The event.
        event: usize,
    },
    /// Something that is no event follows the last one.
    #[error("{got} bytes follow the event log")]
    TrailingBytes {
        /// How many.
        got: usize,
    },
    /// An event that a start has once is there twice, so two readers could take different ones.
    #[error("the event log has the event {name} twice")]
    Twice {
        /// Its name.
        name: &'static str,
    },
    /// A version of runtime events that this verifier does not know.
    #[error("event {event} of the log has version {got}, this verifier reads 1 and 2")]
    Version {
        /// The event.
        event: usize,
        /// The version.
        got: u64,
    },
}
