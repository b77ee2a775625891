//! `subrosa verify`: a receipt, evidence or a bare quote, checked offline.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use subrosa_chain::Network;
use subrosa_client::export::{self, Against, BUNDLE_BYTES_MAX, BundleCheck};
use subrosa_protocol::Timestamp;
use subrosa_protocol::hash::sha256;
use subrosa_verifier::{
    Cpu, Document, Endorsements, Outcome, Policy, Releases, Root, Trust, Verdict, examine,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::client;
use super::pods::{mark, tone};
use crate::args::{Common, VerifyArgs};
use crate::checked::Checked;
use crate::output::{Output, Tone};

/// The exit code for a file that cannot be read.
const UNREADABLE: u8 = 2;

/// A root certificate has 1 to 3 kB.
const ROOT_BYTES_MAX: usize = 64 * 1024;

pub(crate) fn run(common: &Common, args: &VerifyArgs, output: &Output) -> Result<ExitCode> {
    let checked = match check(common, args) {
        Ok(checked) => checked,
        Err(reason) => return Ok(unreadable(&reason, output)),
    };
    output.value(&checked);
    tell(&checked, output);
    if checked.verdict == Verdict::Refused {
        next_step(common, args, &checked).iter().for_each(|step| output.note(step));
    }
    Ok(code(checked.verdict))
}

/// What to do about a refusal, where something can be done.
fn next_step(common: &Common, args: &VerifyArgs, checked: &Checked) -> Option<&'static str> {
    let unproven =
        |check: &&BundleCheck| check.name == "releases_proof" && check.outcome == Outcome::Absent;
    if checked.checks.iter().any(|check| unproven(&check)) {
        return Some(
            "ask for an export with a proof of its releases, by a client with a node that gives it",
        );
    }
    let failed = checked.checks.iter().find(|check| check.outcome == Outcome::Failed)?;
    match failed.name.as_str() {
        "intel_pcs_collateral" | "amd_kds_collateral" if args.collateral.is_empty() => {
            Some("give what the vendor states about the platform with --collateral FILE")
        }
        "tee_cert_chain" if common.network.is_none() && args.policy.is_none() => {
            Some("no network was named, so only real hardware counts; see --network")
        }
        "tee_measurement" if common.network.is_none() && args.policy.is_none() => {
            Some("name the released images with --network FILE or --policy FILE")
        }
        _ => None,
    }
}

pub(crate) fn code(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Accepted => ExitCode::SUCCESS,
        Verdict::Refused => ExitCode::FAILURE,
    }
}

pub(crate) fn unreadable(reason: &str, output: &Output) -> ExitCode {
    output.value(&json!({"verdict": "unreadable", "reason": reason}));
    output.note(format!("unreadable: {reason}"));
    ExitCode::from(UNREADABLE)
}

/// Checks the file that was named, of whatever kind it is.
///
/// # Errors
/// Why a file that was named cannot be read.
pub(crate) fn check(common: &Common, args: &VerifyArgs) -> Result<Checked, String> {
    // Only what the caller names is believed, not a file that happens to lie in the state folder.
    let network = common.network.as_deref().map(Network::load).transpose();
    let network = network.map_err(|error| format!("{error:#}"))?;
    let policy = client::policy(args.policy.as_deref()).map_err(|error| format!("{error:#}"))?;
    let bytes = read(&args.file, BUNDLE_BYTES_MAX)?;
    if export::is_bundle(&bytes) {
        return check_bundle(&bytes, policy, network.as_ref(), args);
    }
    if args.block.is_some() {
        return Err("only an exported receipt rests on a block: leave --block out".into());
    }
    let document = Document::parse(&bytes).map_err(|error| error.to_string())?;
    let mut policy = policy.unwrap_or_else(|| preset(network.as_ref()));
    trust_roots(&mut policy, &args.root, document.kind().cpu())?;
    let mut endorsements = Endorsements::default();
    for path in &args.collateral {
        let file = read(path, BUNDLE_BYTES_MAX)?;
        endorsements.add(&file).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let at = args.at.unwrap_or_else(now);
    Ok(examine(&document, &endorsements, args.nonce, &policy, at).into())
}

fn check_bundle(
    bytes: &[u8],
    policy: Option<Policy>,
    network: Option<&Network>,
    args: &VerifyArgs,
) -> Result<Checked, String> {
    let mut policy = policy;
    if !args.root.is_empty() {
        let mut rooted = policy.unwrap_or_else(|| preset(network));
        let cpu = export::cpu(bytes).map_err(|error| error.to_string())?;
        trust_roots(&mut rooted, &args.root, cpu)?;
        policy = Some(rooted);
    }
    let (policy, at, block) = (policy.as_ref(), args.at, args.block);
    let against = Against { policy, network, at, block, own: false };
    export::check(bytes, against).map(Checked::from).map_err(|error| error.to_string())
}

/// The policy of a network's trust, with the releases that its file pins.
fn preset(network: Option<&Network>) -> Policy {
    let pinned = network.map(|network| Releases {
        measurements: network.pinned.measurements.clone(),
        models: network.pinned.models.clone(),
    });
    match network {
        Some(network) if network.is_simulated() => Policy::simulated(pinned.unwrap_or_default()),
        _ => Policy::strict(pinned.unwrap_or_default()),
    }
}

/// Trusts the named roots instead of the vendors'; everything that is said then says so.
fn trust_roots(policy: &mut Policy, roots: &[String], cpu: Cpu) -> Result<(), String> {
    for named in roots {
        let (vendor, path) = match named.split_once('=') {
            Some((vendor, path)) => (vendor, path),
            None if cpu == Cpu::Snp => ("amd", named.as_str()),
            None => ("intel", named.as_str()),
        };
        let pem = read(Path::new(path), ROOT_BYTES_MAX)?;
        let certificate = CertificateDer::from_pem_slice(&pem)
            .map_err(|_| format!("{path} is no certificate in PEM"))?;
        let root = Root::Sha256(sha256(&certificate));
        let place = match vendor {
            "amd" => &mut policy.roots.amd,
            "intel" => &mut policy.roots.intel,
            "nvidia-device" => &mut policy.roots.nvidia_device,
            "nvidia-rim" => &mut policy.roots.nvidia_rim,
            _ => {
                let known = "intel, amd, nvidia-device, nvidia-rim";
                return Err(format!("--root names an unknown vendor, write one of {known}"));
            }
        };
        *place = root;
        policy.trust = Trust::Simulated;
    }
    Ok(())
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.expect("the clock is past 1970").as_secs())
}

fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, String> {
    let unreadable = |error| format!("cannot read {}: {error}", path.display());
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One byte more than a file may have is enough to refuse it.
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() > bytes_max {
        true => Err(format!("{} is longer than {bytes_max} bytes", path.display())),
        false => Ok(bytes),
    }
}

/// The page: one line of verdict, then each check with what it guards against and what was seen; at
/// the end those that this kind of file has no place for.
pub(crate) fn tell(checked: &Checked, output: &Output) {
    let told = match checked.verdict {
        Verdict::Accepted => Tone::Good,
        Verdict::Refused => Tone::Bad,
    };
    output.line(output.paint(told, &checked.sentence));
    let (kind, policy, at) = (&checked.kind, &checked.policy, told_time(checked.at));
    output.line(format!("{kind}, policy {policy}, as of {at}"));
    output.line("");
    let said = |check: &&BundleCheck| check.outcome != Outcome::Absent || !check.seen.is_empty();
    let (made, unsaid): (Vec<_>, Vec<_>) = checked.checks.iter().partition(said);
    made.iter().for_each(|check| tell_check(check, output));
    if !unsaid.is_empty() {
        output.line("");
        output.line("not said by this file, or not looked at after a failure:");
        unsaid.iter().for_each(|check| tell_check(check, output));
    }
    output.line("");
    if let Some(from) = &checked.releases_from {
        output.line(format!("released digests: {from}"));
    }
    checked.told.iter().for_each(|line| output.line(line));
}

fn tell_check(check: &BundleCheck, output: &Output) {
    let outcome = output.paint(tone(check.outcome), format!("{:7}", mark(check.outcome)));
    let guards = output.paint(Tone::Faint, format!("guards against {}", check.protects));
    output.line(format!("{outcome} {:24} {guards}", check.name));
    if !check.seen.is_empty() {
        output.line(format!("        {}", check.seen));
    }
}

/// A time as people write it.
fn told_time(at: Timestamp) -> String {
    let seconds = i64::try_from(at.0).ok();
    let moment = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let text = moment.and_then(|moment| moment.format(&Rfc3339).ok());
    text.unwrap_or_else(|| format!("{at} seconds after 1970"))
}
