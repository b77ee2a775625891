//! What the demo says, in words that a person understands.

use std::path::Path;

use anyhow::{Result, ensure};
use subrosa_client::export::BundleReport;
use subrosa_client::{PodView, ReceiptView};
use subrosa_devnet::Devnet;
use subrosa_protocol::Amount;
use subrosa_verifier::Outcome;

use super::files::{RELEASED_IMAGE, Role};
use super::pods::PodProcess;
use super::report::{PodTold, Settled};
use super::stage::Stage;
use crate::commands::hardware;
use crate::output::{Output, Tone};

/// Atomic units of the test token: it has six decimals.
const UNITS: u128 = 1_000_000;

/// An amount as a person reads it.
pub(crate) fn tokens(amount: Amount) -> String {
    format!("{}.{:06} test tokens", amount.0 / UNITS, amount.0 % UNITS)
}

pub(crate) fn step(number: u8, title: &str, output: &Output) {
    output.line(output.paint(Tone::Strong, format!("\n{number}. {title}")));
}

pub(crate) fn chain(devnet: &Devnet, output: &Output) {
    if let Some(chain) = &devnet.network().chain {
        output.line(format!("  anvil at {}, escrow {}", chain.rpc, chain.contracts.escrow));
    }
    output.line(format!("  payer {}", devnet.payer().address()));
}

pub(crate) fn started(pod: &PodProcess, output: &Output) {
    output.line(format!(
        "  {:6} https://{}  {}",
        pod.role.name(),
        pod.ready.address,
        output.paint(Tone::Faint, pod.folder.join("pod.toml").display().to_string())
    ));
}

/// Step 3: who is accepted, who is refused, and why.
pub(crate) fn pods(stage: &Stage, output: &Output) -> Result<Vec<PodTold>> {
    let simulated = output.paint(Tone::Warning, "SIMULATED");
    output.line(format!(
        "  All evidence is {simulated}: real formats, real checks, test roots instead of the vendors'."
    ));
    let views = stage.client.pods();
    let mut told = Vec::new();
    for role in Role::ALL {
        let id = stage.pod(role).ready.id;
        let Some(view) = views.iter().find(|view| view.id == id) else {
            anyhow::bail!(
                "step 3: the gateway does not find the pod {} in the registry",
                role.name()
            );
        };
        let honest = role != Role::Liar;
        let reason = reason(view);
        let hardware = view.report.as_ref().map(hardware).unwrap_or_default();
        match view.accepted {
            true => output.line(format!(
                "  {:6} {} ({simulated} {hardware}): released image, released weights, its key is in the quote",
                role.name(),
                output.paint(Tone::Good, "accepted"),
            )),
            false => output.line(format!(
                "  {:6} {} by the check {}: {reason}",
                role.name(),
                output.paint(Tone::Bad, "refused"),
                view.failed_check.as_deref().unwrap_or("unknown"),
            )),
        }
        ensure!(
            view.accepted == honest,
            "step 3: the pod {} should be {}: {reason}",
            role.name(),
            if honest { "accepted" } else { "refused" }
        );
        let failed_check = view.failed_check.clone();
        told.push(PodTold {
            name: role.name(),
            id,
            accepted: view.accepted,
            hardware,
            failed_check,
        });
    }
    output.line(format!("  The gateway listens at {}", stage.base()));
    Ok(told)
}

/// What the failed check saw, else whatever reason there is.
fn reason(pod: &PodView) -> &str {
    let checks = pod.report.iter().flat_map(|report| &report.checks);
    let mut failed = checks.filter(|check| check.outcome == Outcome::Failed);
    let seen = failed.next().map(|check| check.seen.as_str());
    seen.or(pod.reason.as_deref()).unwrap_or("without a reason")
}

/// The channel that the question opened.
pub(crate) async fn channel(stage: &Stage, output: &Output) -> Result<()> {
    for channel in stage.client.balance().await?.channels {
        output.line(format!(
            "\n  A channel with {} was opened on chain; {} lie in it.",
            stage.name(channel.pod),
            tokens(channel.balance)
        ));
    }
    Ok(())
}

/// The receipt in words.
pub(crate) fn receipt(
    stage: &Stage,
    receipt: &ReceiptView,
    report: &BundleReport,
    output: &Output,
) {
    let pod = stage.pods.iter().find(|pod| pod.ready.id == receipt.pod);
    let count = |outcome| report.checks.iter().filter(|check| check.outcome == outcome).count();
    let lines = [
        (
            "who",
            format!(
                "the pod {}, by its attested key {}",
                stage.name(receipt.pod),
                pod.map(|pod| pod.ready.signer.to_string()).unwrap_or_default()
            ),
        ),
        (
            "on what",
            format!(
                "the released image {RELEASED_IMAGE} ({} evidence)",
                output.paint(Tone::Warning, "SIMULATED")
            ),
        ),
        ("model", format!("{}, weights {}", stage.model.name(), receipt.model_digest)),
        (
            "cost",
            format!(
                "{} for {} tokens read and {} written",
                tokens(receipt.charged),
                receipt.input_tokens,
                receipt.output_tokens
            ),
        ),
        (
            "checked",
            format!(
                "{} checks passed, {} failed, {} waived: \
             quote, image, weights, every signature, the price",
                count(Outcome::Passed),
                count(Outcome::Failed),
                count(Outcome::Waived)
            ),
        ),
    ];
    output.line(format!("  Its {}:", output.paint(Tone::Good, "receipt, verified")));
    for (name, text) in lines {
        output.line(format!("    {name:8} {text}"));
    }
}

pub(crate) fn came_back(stage: &Stage, fetched: usize, output: &Output) {
    let pod = stage.pod(Role::Cheap);
    output.line(format!(
        "  cheap  answers at https://{} with the same ledger and the same signer {}",
        pod.ready.address, pod.ready.signer
    ));
    output.line(match fetched {
        0 => "  It had charged nothing for the broken answer.".to_owned(),
        1 => "  The receipt that had not arrived was fetched.".to_owned(),
        more => format!("  {more} receipts that had not arrived were fetched."),
    });
}

pub(crate) fn settled(settled: &Settled, output: &Output) {
    output.line(format!(
        "  {:6} claimed and settled: {} before, {} now, {} gas",
        settled.pod,
        tokens(settled.before),
        tokens(settled.after),
        settled.gas
    ));
}

pub(crate) fn paid_once(receipts: usize, output: &Output) {
    output.line(format!(
        "  {}: the chain paid the sum of {receipts} receipts, and nothing besides.",
        output.paint(Tone::Good, "Nothing was paid twice")
    ));
}

pub(crate) fn verified(file: &Path, network: &Path, releases_from: &str, output: &Output) {
    output.line(format!("  subrosa verify {} --network {}", file.display(), network.display()));
    output.line(format!(
        "    {} offline ({} evidence); released digests {releases_from}",
        output.paint(Tone::Good, "accepted"),
        output.paint(Tone::Warning, "SIMULATED")
    ));
}

/// Step 7: it is the reader's turn.
pub(crate) fn invite(stage: &Stage, output: &Output) {
    step(7, "Everything stays up: now you", output);
    let base = stage.base();
    output.line(format!(
        r#"
    curl {base}/v1/chat/completions -H 'content-type: application/json' \
      -d '{{"model":"smollm2","messages":[{{"role":"user","content":"What is a rose?"}}]}}'

    from openai import OpenAI
    client = OpenAI(base_url="{base}/v1", api_key="unused")
    print(client.chat.completions.create(model="smollm2", messages=[{{"role": "user", "content": "What is a rose?"}}]).choices[0].message.content)

  Pods, receipts, balance: {base}/subrosa/v1/pods, /receipts, /balance
  ctrl-c ends everything."#
    ));
}
