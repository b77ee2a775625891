//! Why a source gives no evidence.

use std::io;
use std::path::PathBuf;

use subrosa_nvidia_evidence::ReportError;
use subrosa_verifier::{BadQuote, BadSnpReport, Cpu};

/// Why a source gives no evidence. Each says which side is at fault.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The source is not on this machine.
    #[error("{source_name} is not there: nothing at {}", .at.display())]
    Absent {
        /// The source.
        source_name: &'static str,
        /// Where it was looked for.
        at: PathBuf,
    },
    /// A device signed another nonce than it was asked to.
    #[error("{source_name} answered with a device's report over another nonce")]
    AnotherNonce {
        /// The source.
        source_name: &'static str,
    },
    /// A quote carries other report data than were asked for.
    #[error("{source_name} answered with a quote over other report data than were asked for")]
    AnotherReportData {
        /// The source.
        source_name: &'static str,
    },
    /// An answer is not what the source's documentation says.
    #[error("{source_name} gave a wrong answer: {what}")]
    BadAnswer {
        /// The source.
        source_name: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A device's report is none.
    #[error("{source_name} gave a wrong device's report: {error}")]
    BadDeviceReport {
        /// The source.
        source_name: &'static str,
        /// What is wrong with it.
        error: ReportError,
    },
    /// A quote of Intel's is none.
    #[error("{source_name} gave a wrong quote: {error}")]
    BadQuote {
        /// The source.
        source_name: &'static str,
        /// What is wrong with it.
        error: BadQuote,
    },
    /// A report of SEV-SNP is none.
    #[error("{source_name} gave a wrong SEV-SNP report: {error}")]
    BadSnpReport {
        /// The source.
        source_name: &'static str,
        /// What is wrong with it.
        error: BadSnpReport,
    },
    /// More is asked of a source than it answers; asking again later may help.
    #[error("{source_name} is busy with earlier requests")]
    Busy {
        /// The source.
        source_name: &'static str,
    },
    /// The GPUs do not work in confidential mode, so they have nothing to attest.
    #[error("the GPUs are not in confidential mode ({why}); their host has to switch it on")]
    NotConfidential {
        /// What the driver says.
        why: &'static str,
    },
    /// A quote is of another processor than the source is there for.
    #[error("{source_name} gave a quote of {got} where one of {expected} belongs")]
    OtherCpu {
        /// The source.
        source_name: &'static str,
        /// Whose quote it is.
        got: Cpu,
        /// Whose it would have to be.
        expected: Cpu,
    },
    /// Others kept writing to the report that was being made.
    #[error("{source_name} was written to by others during each of {tries} tries")]
    Raced {
        /// The source.
        source_name: &'static str,
        /// How often it was tried.
        tries: u32,
    },
    /// The source answered that it cannot.
    #[error("{source_name} refused {request}: {code}")]
    Refused {
        /// The source.
        source_name: &'static str,
        /// What was asked.
        request: &'static str,
        /// Its own words or number.
        code: String,
    },
    /// The source did not answer in time.
    #[error("{source_name} did not answer within {after_ms} ms")]
    TimedOut {
        /// The source.
        source_name: &'static str,
        /// How long it had, in milliseconds.
        after_ms: u64,
    },
    /// An answer is longer than any honest one.
    #[error("{source_name} gave {what} of more than {max} bytes")]
    TooLong {
        /// The source.
        source_name: &'static str,
        /// What is too long.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// The source works, for hardware that no document of ours can carry.
    #[error("{source_name} is of a kind that documents cannot carry: {kind}")]
    UnknownKind {
        /// The source.
        source_name: &'static str,
        /// What it calls itself.
        kind: String,
    },
    /// The operating system refused.
    #[error("{source_name}: cannot use {}: {error}", .at.display())]
    Unusable {
        /// The source.
        source_name: &'static str,
        /// What could not be used.
        at: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}
