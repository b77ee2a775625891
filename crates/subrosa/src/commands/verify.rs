//! `subrosa verify`: an exported receipt, checked offline.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use subrosa_chain::Network;
use subrosa_client::export::{self, Against, BUNDLE_BYTES_MAX, BundleReport};
use subrosa_protocol::Timestamp;
use subrosa_verifier::Verdict;

use super::client;
use super::pods::{mark, tone};
use crate::args::{Common, VerifyArgs};
use crate::output::{Output, Tone};

/// The exit code for a file that cannot be read.
const UNREADABLE: u8 = 2;

pub(crate) fn run(common: &Common, args: &VerifyArgs, output: &Output) -> Result<ExitCode> {
    // Only what the caller names is believed, not a file that happens to lie in the state folder.
    let network = common.network.as_deref().map(Network::load).transpose()?;
    let policy = client::policy(args.policy.as_deref())?;
    let against =
        Against { policy: policy.as_ref(), network: network.as_ref(), at: args.at.map(Timestamp) };
    let checked = read(&args.file)
        .and_then(|bytes| export::check(&bytes, against).map_err(|error| error.to_string()));
    match checked {
        Ok(report) => {
            output.value(&report);
            tell(&report, network.is_some(), output);
            Ok(match report.verdict {
                Verdict::Accepted => ExitCode::SUCCESS,
                Verdict::Refused => ExitCode::FAILURE,
            })
        }
        Err(reason) => {
            output.value(&json!({"verdict": "unreadable", "reason": reason}));
            output.note(format!("unreadable: {reason}"));
            Ok(ExitCode::from(UNREADABLE))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error| format!("cannot read {}: {error}", path.display());
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One byte more than a bundle may have is enough to refuse it.
    file.take(BUNDLE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The report in words.
pub(crate) fn tell(report: &BundleReport, network_named: bool, output: &Output) {
    if report.simulated {
        let word = output.paint(Tone::Warning, "SIMULATED");
        output.line(format!("{word} evidence: it proves nothing about hardware"));
    }
    for check in &report.checks {
        let outcome = output.paint(tone(check.outcome), format!("{:7}", mark(check.outcome)));
        output.line(format!("{outcome} {:24} {}", check.name, check.seen));
    }
    output.line(format!("released digests: {}", report.releases_from));
    report.told.iter().for_each(|line| output.line(line));
    match report.verdict {
        Verdict::Accepted => output.line(output.paint(Tone::Good, "accepted")),
        Verdict::Refused => {
            output.line(output.paint(Tone::Bad, "refused"));
            if !network_named {
                output.note("no network was named, so only real hardware counts; see --network");
            }
        }
    }
}
