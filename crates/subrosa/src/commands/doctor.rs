//! `subrosa pod doctor`: what hardware there is, what is missing, and the next step.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use subrosa_attester::hardware::{Finding, Findings, Places, probe};
use subrosa_pod::PodConfig;

use super::pod;
use crate::output::{Output, Tone};

/// Where the system lists what is mounted.
const MOUNTS: &str = "/proc/self/mounts";

/// File systems that end with the boot.
const IN_MEMORY: [&str; 2] = ["ramfs", "tmpfs"];

/// What a pod needs one of, to prove anything: the names that the probe gives them.
const PROCESSORS: [&str; 3] = ["processor by configfs-tsm", DSTACK, "Gramine enclave"];

/// How the probe begins a step that is none.
const NOTHING_TO_DO: &str = "Nothing to do";

/// The finding that this is a guest of dstack, whose disk is encrypted.
const DSTACK: &str = "dstack's guest agent";

/// What was found, and whether a pod can prove anything here.
#[derive(Debug, Serialize)]
struct Told {
    ready: bool,
    findings: Vec<FindingTold>,
}

#[derive(Debug, Serialize)]
struct FindingTold {
    name: &'static str,
    found: bool,
    detail: String,
    next_step: Option<String>,
}

impl From<Finding> for FindingTold {
    fn from(finding: Finding) -> FindingTold {
        let Finding { name, found, detail, next_step } = finding;
        // What is not here and need not be is no step.
        let next_step = next_step.filter(|step| !step.starts_with(NOTHING_TO_DO));
        FindingTold { name, found, detail, next_step }
    }
}

pub(crate) async fn run(config: Option<&Path>, output: &Output) -> Result<ExitCode> {
    let config = config.map(pod::load).transpose()?;
    let waiting = output.wait("looking for confidential hardware");
    let Findings(findings) = probe(&Places::default()).await;
    drop(waiting);
    let ready = findings.iter().any(|finding| finding.found && PROCESSORS.contains(&finding.name));
    let mut findings: Vec<FindingTold> = findings.into_iter().map(FindingTold::from).collect();
    if let Some(config) = &config {
        let mounts = std::fs::read_to_string(MOUNTS).unwrap_or_default();
        let in_dstack = findings.iter().any(|finding| finding.found && finding.name == DSTACK);
        findings.extend(storage(config, &mounts, in_dstack));
    }
    let told = Told { ready, findings };
    output.value(&told);
    tell(&told, output);
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(told: &Told, output: &Output) {
    for finding in &told.findings {
        let mark = match (finding.found, &finding.next_step) {
            (true, _) => output.paint(Tone::Good, "found   "),
            (false, Some(_)) => output.paint(Tone::Warning, "missing "),
            (false, None) => output.paint(Tone::Faint, "not here"),
        };
        output.line(format!("{mark} {:26} {}", finding.name, finding.detail));
        if let Some(step) = &finding.next_step {
            output.line(format!("         next: {step}"));
        }
    }
    output.line("");
    match told.ready {
        true => output.line(output.paint(Tone::Good, "a pod can prove what runs here")),
        false => output.line(
            "a pod can prove nothing here: start it on one of the above, or use the simulator on a \
             network whose file says trust = \"simulated\"",
        ),
    }
}

/// Whether the signer's file ends with the boot, and the ledger is where only the guest reads it.
fn storage(config: &PodConfig, mounts: &str, in_dstack: bool) -> [FindingTold; 2] {
    let signer = Mount::of(&config.signer_file, mounts);
    let in_memory = signer.as_ref().is_some_and(|mount| IN_MEMORY.contains(&mount.kind));
    let signer = FindingTold {
        name: "signer in memory",
        found: in_memory,
        detail: described(&config.signer_file, signer.as_ref()),
        next_step: (!in_memory).then(|| {
            "Name a signer_file on a tmpfs, such as /dev/shm: the key must end with the boot."
                .into()
        }),
    };
    let ledger = Mount::of(&config.state_dir, mounts);
    let encrypted = ledger.as_ref().is_some_and(|mount| mount.is_encrypted(in_dstack, is_crypt));
    let ledger = FindingTold {
        name: "ledger on encrypted storage",
        found: encrypted,
        detail: described(&config.state_dir, ledger.as_ref()),
        next_step: (!encrypted).then(|| {
            "Name a state_dir that the guest encrypts (dstack's disk, dm-crypt, Gramine's encrypted \
             mount) and that outlives the boot: the host can read or lose any other."
                .into()
        }),
    };
    [signer, ledger]
}

fn described(path: &Path, mount: Option<&Mount<'_>>) -> String {
    match mount {
        Some(mount) => format!("{}: {} on {}", path.display(), mount.kind, mount.source),
        None => format!("{}: its file system is not listed", path.display()),
    }
}

/// A mounted file system.
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    source: &'a str,
    kind: &'a str,
}

impl<'a> Mount<'a> {
    /// The file system that holds a path: the one mounted nearest above it.
    fn of(path: &Path, mounts: &'a str) -> Option<Mount<'a>> {
        let path = absolute(path);
        let mut nearest: Option<(usize, Mount<'a>)> = None;
        for line in mounts.lines() {
            let mut fields = line.split(' ');
            let (Some(source), Some(at), Some(kind)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let depth = Path::new(at).components().count();
            // A later line hides an earlier one at the same place.
            if path.starts_with(at) && nearest.as_ref().is_none_or(|(best, _)| *best <= depth) {
                nearest = Some((depth, Mount { source, kind }));
            }
        }
        nearest.map(|(_, mount)| mount)
    }

    /// Whether the guest encrypts it: a device that dm-crypt maps, or dstack's pool, which lies on one.
    fn is_encrypted(&self, in_dstack: bool, is_crypt: impl Fn(&str) -> bool) -> bool {
        let mapped = self.source.starts_with("/dev/mapper/") || self.source.starts_with("/dev/dm-");
        (mapped && is_crypt(self.source)) || (in_dstack && self.kind == "zfs")
    }
}

/// Whether a mapped device is dm-crypt's; LVM maps others too. The kernel names the kind first.
fn is_crypt(source: &str) -> bool {
    let device = absolute(Path::new(source));
    let name = device.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let kind = std::fs::read_to_string(format!("/sys/class/block/{name}/dm/uuid"));
    kind.is_ok_and(|kind| kind.starts_with("CRYPT-"))
}

/// The path from the root, with links followed as far as it exists.
fn absolute(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            return real.join(rest);
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTED: &str = "/dev/vda / ext4 rw 0 0\n\
                           tmpfs /nowhere/shm tmpfs rw 0 0\n\
                           /dev/mapper/data /nowhere/data ext4 rw 0 0\n\
                           /dev/vdb /nowhere/data/plain ext4 rw 0 0\n\
                           pool/data /nowhere/pool zfs rw 0 0\n\
                           broken\n";

    fn mount(path: &str) -> Mount<'static> {
        Mount::of(Path::new(path), MOUNTED).unwrap()
    }

    #[test]
    fn the_nearest_mount_above_a_path_holds_it() {
        assert_eq!(mount("/nowhere/shm/signer.key").kind, "tmpfs");
        assert_eq!(mount("/nowhere/shmem/signer.key").source, "/dev/vda");
        assert_eq!(mount("/nowhere/data/state").source, "/dev/mapper/data");
        assert_eq!(mount("/nowhere/data/plain/state").source, "/dev/vdb");
    }

    #[test]
    fn storage_that_the_host_reads_is_not_taken_for_encrypted() {
        let encrypted = |path, in_dstack, crypt| mount(path).is_encrypted(in_dstack, |_| crypt);
        assert!(encrypted("/nowhere/data/state", false, true));
        assert!(!encrypted("/nowhere/data/state", true, false), "LVM maps devices too");
        for plain in ["/nowhere/data/plain/state", "/nowhere/shm/state", "/state"] {
            assert!(!encrypted(plain, true, true), "{plain}");
        }
        assert!(encrypted("/nowhere/pool/state", true, false));
        assert!(!encrypted("/nowhere/pool/state", false, false));
    }

    #[test]
    fn a_path_that_no_mount_holds_is_told_so() {
        assert_eq!(Mount::of(Path::new("/nowhere"), "broken\n"), None);
    }
}
