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
use subrosa_protocol::hash::sha256;
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::{
    AMD_ARK_GENOA_SHA256, AMD_ARK_MILAN_SHA256, AMD_ARK_TURIN_SHA256, AWS_NITRO_ROOT_SHA256, Cpu,
    Document, Endorsements, INTEL_ROOT_SHA256, Kind, NVIDIA_DEVICE_ROOT_SHA256,
    NVIDIA_RIM_ROOT_SHA256, Outcome, Policy, Releases, Root, SIMULATOR_AMD_ROOT_SHA256,
    SIMULATOR_ROOT_SHA256, Trust, Verdict, examine,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::client;
use super::pods::{mark, tone};
use crate::args::{Common, VerifyArgs};
use crate::checked::Checked;
use crate::output::{Output, Tone};

/// The exit code for a file that cannot be read or written.
pub(crate) const UNREADABLE: u8 = 2;

/// A root certificate has 1 to 3 kB.
const ROOT_BYTES_MAX: usize = 64 * 1024;

/// The roots that a strict policy trusts anyway.
const VENDORS: [B256; 7] = [
    AMD_ARK_GENOA_SHA256,
    AMD_ARK_MILAN_SHA256,
    AMD_ARK_TURIN_SHA256,
    AWS_NITRO_ROOT_SHA256,
    INTEL_ROOT_SHA256,
    NVIDIA_DEVICE_ROOT_SHA256,
    NVIDIA_RIM_ROOT_SHA256,
];

/// Simulated roots of processors.
const SIMULATORS: [B256; 2] = [SIMULATOR_AMD_ROOT_SHA256, SIMULATOR_ROOT_SHA256];

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
    let names_none = common.network.is_none() && args.policy.is_none();
    let Some(failed) = checked.checks.iter().find(|check| check.outcome == Outcome::Failed) else {
        return unproven_step(names_none, checked);
    };
    let simulated = || SIMULATORS.iter().any(|root| failed.seen.contains(&hex::encode(root)));
    match failed.name.as_str() {
        "intel_pcs_collateral" if failed.seen.contains("collateral came along") => Some(
            "give Intel's TCB info, QE identity and revocation lists with --collateral FILE: the JSON \
             of a quote's collateral, or the service's answers",
        ),
        "amd_kds_collateral" if failed.seen.contains("was given") => Some(
            "give AMD's certificates of the chip and above it (VCEK, ASK, ARK) and its revocation list \
             with --collateral FILE, each or all in one PEM",
        ),
        "nonce_match"
            if args.nonce.is_none()
                && matches!(checked.kind.as_str(), "vllm_proxy" | "nvidia_token") =>
        {
            Some("give the nonce that you sent with --nonce HEX")
        }
        "nvidia_revocation" if failed.seen.contains("no revocation answer") => Some(
            "give NVIDIA's answers about the devices' certificates (OCSP), its revocation lists and \
             its reference measurements with --collateral FILE",
        ),
        "nvidia_nras_verified" if failed.seen.contains("was given") => Some(
            "give the service's keys of the token's day with --collateral FILE: the JSON Web Key Set \
             that it publishes at /.well-known/jwks.json",
        ),
        "tee_cert_chain" if names_none && simulated() => {
            Some("the evidence is simulated: name the network that allows it with --network FILE")
        }
        "tee_measurement" if names_none => {
            Some("name the released images with --network FILE or --policy FILE")
        }
        _ => None,
    }
}

/// What to do about a receipt in which nothing is wrong, but whose releases nobody vouches for.
fn unproven_step(names_none: bool, checked: &Checked) -> Option<&'static str> {
    let unproven = |name| {
        checked.checks.iter().any(|check| check.name == name && check.outcome == Outcome::Absent)
    };
    if names_none {
        Some("name the network that the receipt is of with --network FILE")
    } else if unproven("releases_proof") {
        Some(
            "ask for an export with a proof of its releases, by a client with a node that gives it",
        )
    } else if unproven("releases_block") {
        Some("compare the block with an explorer, and give its hash with --block HASH")
    } else {
        None
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
    trust_roots(&mut policy, &args.root, document.kind())?;
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
    if args.nonce.is_some() || !args.collateral.is_empty() {
        return Err(
            "an exported receipt carries its collateral and answers no nonce of yours: leave \
                    --collateral and --nonce out"
                .into(),
        );
    }
    let mut policy = policy;
    if !args.root.is_empty() {
        let mut rooted = policy.unwrap_or_else(|| preset(network));
        let cpu = export::cpu(bytes).map_err(|error| error.to_string())?;
        trust_roots(&mut rooted, &args.root, Kind::Evidence(cpu))?;
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
fn trust_roots(policy: &mut Policy, roots: &[String], kind: Kind) -> Result<(), String> {
    for named in roots {
        let (vendor, path) = match named.split_once('=') {
            Some((vendor, path)) => (vendor, path),
            None => (maker(kind)?, named.as_str()),
        };
        let pem = read(Path::new(path), ROOT_BYTES_MAX)?;
        let certificate = CertificateDer::from_pem_slice(&pem)
            .map_err(|_| format!("{path} is no certificate in PEM"))?;
        let fingerprint = sha256(&certificate);
        let place = match vendor {
            "amd" => &mut policy.roots.amd,
            "intel" => &mut policy.roots.intel,
            "nitro" => &mut policy.roots.nitro,
            "nvidia-device" => &mut policy.roots.nvidia_device,
            "nvidia-rim" => &mut policy.roots.nvidia_rim,
            _ => {
                let known = "intel, amd, nitro, nvidia-device, nvidia-rim";
                return Err(format!("--root names an unknown vendor, write one of {known}"));
            }
        };
        // Naming the vendor's own root changes nothing.
        if !VENDORS.contains(&fingerprint) {
            *place = Root::Sha256(fingerprint);
            policy.trust = Trust::Simulated;
        }
    }
    Ok(())
}

/// Whose root a file stands on, where it has one.
fn maker(kind: Kind) -> Result<&'static str, String> {
    match (kind, kind.cpu()) {
        (Kind::NvidiaToken, _) => Err("tokens of NVIDIA's attestation service have no root: give \
                                       its key set with --collateral"
            .into()),
        (Kind::NitroDocument, _) => Ok("nitro"),
        (Kind::NvidiaDevices, _) => Ok("nvidia-device"),
        (_, Some(Cpu::Snp)) => Ok("amd"),
        (_, _) => Ok("intel"),
    }
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
/// the end those of which this file says nothing.
pub(crate) fn tell(checked: &Checked, output: &Output) {
    output.line(output.paint(verdict_tone(checked), &checked.sentence));
    let (kind, policy, at) = (&checked.kind, &checked.policy, told_time(checked.at));
    output.line(format!("{kind}, policy {policy}, as of {at}"));
    output.line("");
    let said = |check: &&BundleCheck| check.outcome != Outcome::Absent;
    let (made, unsaid): (Vec<_>, Vec<_>) = checked.checks.iter().partition(said);
    tell_checks(&made, output);
    if !unsaid.is_empty() {
        output.line("");
        output.line(match checked.verdict {
            Verdict::Accepted => "this kind of file says nothing about:",
            Verdict::Refused => "not said by this file, or not looked at after a failure:",
        });
        tell_checks(&unsaid, output);
    }
    output.line("");
    if let Some(from) = &checked.releases_from {
        output.line(format!("released digests: {from}"));
    }
    checked.told.iter().for_each(|line| output.line(line));
}

/// What is simulated is never told in the colour of what is proved.
pub(crate) fn verdict_tone(checked: &Checked) -> Tone {
    match checked.verdict {
        Verdict::Accepted if checked.simulated => Tone::Warning,
        Verdict::Accepted => Tone::Good,
        Verdict::Refused => Tone::Bad,
    }
}

/// Checks one by one; what several in a row saw alike stands once, under the last of them.
fn tell_checks(checks: &[&BundleCheck], output: &Output) {
    for (at, check) in checks.iter().enumerate() {
        let outcome = output.paint(tone(check.outcome), format!("{:7}", mark(check.outcome)));
        let guards = output.paint(Tone::Faint, format!("guards against {}", check.protects));
        output.line(format!("{outcome} {:24} {guards}", check.name));
        let next = checks.get(at + 1);
        let alike =
            next.is_some_and(|next| (next.outcome, &next.seen) == (check.outcome, &check.seen));
        if !check.seen.is_empty() && !alike {
            output.line(format!("        {}", check.seen));
        }
    }
}

/// A time as people write it.
fn told_time(at: Timestamp) -> String {
    let seconds = i64::try_from(at.0).ok();
    let moment = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let text = moment.and_then(|moment| moment.format(&Rfc3339).ok());
    text.unwrap_or_else(|| format!("{at} seconds after 1970"))
}
