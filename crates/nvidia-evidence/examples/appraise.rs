//! Appraises one device from files and prints every check.
//!
//! Usage: `appraise HOPPER|BLACKWELL|LS10 REPORT CHAIN NONCE TIME [RIM|OCSP|CRL...]`; the report raw or in hex, the
//! chain in PEM, the nonce in hex, the time as 2024-06-01T00:00:00Z; `.xml` and `.swidtag` files are
//! manifests, `.crl` files are revocation lists, all others OCSP answers.

use std::error::Error;
use std::process::ExitCode;

use subrosa_nvidia_evidence::{
    Architecture, Collateral, DeviceEvidence, Outcome, Policy, RimStore, appraise_device,
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [architecture, report, chain, nonce, time, files @ ..] = &arguments[..] else {
        return Err("appraise HOPPER|BLACKWELL|LS10 REPORT CHAIN NONCE TIME [FILE...]".into());
    };
    let architecture = Architecture::from_name(architecture).ok_or("unknown architecture")?;
    let report = std::fs::read(report)?;
    let report = hex::decode(report.trim_ascii()).unwrap_or(report);
    let chain = std::fs::read(chain)?;
    let nonce: [u8; 32] = hex::decode(nonce)?.try_into().map_err(|_| "a nonce has 32 bytes")?;
    let at = time.parse::<der::DateTime>()?.unix_duration().as_secs();

    let (mut rims, mut ocsp, mut crls) = (RimStore::new(), Vec::new(), Vec::new());
    for file in files {
        let bytes = std::fs::read(file)?;
        match file.rsplit('.').next() {
            Some("xml" | "swidtag") => drop(rims.add(&bytes)?),
            Some("crl") => crls.push(bytes),
            _ => ocsp.push(bytes),
        }
    }
    let ocsp: Vec<&[u8]> = ocsp.iter().map(Vec::as_slice).collect();
    let crls: Vec<&[u8]> = crls.iter().map(Vec::as_slice).collect();
    let collateral = Collateral { rims: &rims, ocsp: &ocsp, crls: &crls };
    let evidence = DeviceEvidence { architecture, report: &report, chain_pem: &chain };
    let appraisal = appraise_device(&evidence, &collateral, &nonce, &Policy::strict(), at);
    print(&appraisal);
    Ok(if appraisal.is_accepted() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[allow(clippy::print_stdout)] // what the example is for
fn print(appraisal: &subrosa_nvidia_evidence::Appraisal) {
    for check in appraisal.checks() {
        let rim = check.rim.map(|rim| rim.to_string()).unwrap_or_default();
        let (outcome, text) = match &check.outcome {
            Outcome::Passed(seen) => ("passed", seen.clone()),
            Outcome::Waived(why) => ("waived", why.clone()),
            Outcome::Absent(first) => ("absent", format!("after {first}")),
            Outcome::Refused(refusal) => ("refused", refusal.to_string()),
        };
        println!("{outcome:8} {:22} {rim:7} {text}", check.name.name());
    }
}
