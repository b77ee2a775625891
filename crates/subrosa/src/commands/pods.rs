//! `subrosa pods`: who is accepted, who is refused, and by which check.

use std::process::ExitCode;

use anyhow::Result;
use comfy_table::{Table, presets};
use subrosa_client::PodView;
use subrosa_verifier::{Check, CheckName, Cpu, Outcome, Report};

use super::client;
use crate::args::{Common, PodsArgs};
use crate::output::{Output, Tone};

pub(crate) async fn run(args: &PodsArgs, common: &Common, output: &Output) -> Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state");
    let client = client::look(common, &args.pods, args.policy.as_deref(), state, output).await?;
    let pods = client.pods();
    let simulated = client.is_simulated();
    client.close().await;

    output.value(&pods);
    if simulated {
        let word = output.paint(Tone::Warning, "SIMULATED");
        output.line(format!("{word} evidence: this network proves nothing about hardware"));
    }
    if pods.is_empty() {
        output.line("the network lists no pods");
    } else {
        output.line(table(&pods).to_string());
    }
    if args.checks {
        pods.iter().for_each(|pod| tell_checks(pod, output));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(pods: &[PodView]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "pod",
        "endpoint",
        "verdict",
        "hardware",
        "models and prices per million tokens",
    ]);
    for pod in pods {
        let verdict = match &pod.failed_check {
            _ if pod.accepted => "accepted".to_owned(),
            Some(check) => format!("refused: {check}"),
            None => "refused".to_owned(),
        };
        let priced = pod.models.iter().map(|model| {
            format!("{} ({} in, {} out)", model.name, model.input_price, model.output_price)
        });
        let models = priced.collect::<Vec<_>>().join(", ");
        let hardware = pod.report.as_ref().map(hardware).unwrap_or_default();
        table.add_row([pod.id.to_string(), pod.endpoint.clone(), verdict, hardware, models]);
    }
    table
}

/// The hardware that a report is of: the processor, and the devices that were seen beside it.
pub(crate) fn hardware(report: &Report) -> String {
    let cpu = match report.kind.cpu() {
        None => "no processor",
        Some(Cpu::Sgx) => "SGX",
        Some(Cpu::Snp) => "SEV-SNP",
        Some(Cpu::Tdx) => "TDX",
    };
    let present = |check: &&Check| check.name == CheckName::NvidiaPayloadPresent;
    match report.checks.iter().find(present) {
        Some(check) if check.outcome == Outcome::Passed => format!("{cpu}, {}", check.seen),
        _ => cpu.to_owned(),
    }
}

fn tell_checks(pod: &PodView, output: &Output) {
    output.line("");
    output.line(output.paint(Tone::Strong, format!("{}", pod.id)));
    let Some(report) = &pod.report else {
        return output.line(pod.reason.as_deref().unwrap_or("no evidence was seen"));
    };
    for check in &report.checks {
        let line = format!("  {} {}: {}", mark(check.outcome), check.name, check.seen);
        output.line(output.paint(tone(check.outcome), line));
    }
}

/// The word for an outcome.
pub(crate) fn mark(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Absent => "absent",
        Outcome::Failed => "FAILED",
        Outcome::Passed => "passed",
        Outcome::Waived => "waived",
    }
}

/// How an outcome stands out.
pub(crate) fn tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Absent | Outcome::Waived => Tone::Faint,
        Outcome::Failed => Tone::Bad,
        Outcome::Passed => Tone::Good,
    }
}
