//! The seven steps, in their order. Each is a function; whatever fails, its step is named.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use subrosa_client::ReceiptView;
use subrosa_client::export::{self, Against, BundleReport};
use subrosa_protocol::{Amount, RequestId};
use subrosa_verifier::Verdict;

use super::files::Role;
use super::heard::{Heard, Hearing};
use super::pods::PodProcess;
use super::report::{AnswerTold, CheckTold, Failover, OfflineVerify, ReceiptTold, Report, Settled};
use super::stage::{self, Stage};
use super::told;
use crate::args::DemoArgs;
use crate::commands;
use crate::output::{Output, Tone};

/// The answer to the question is cut here, so that the demo stays short.
const ANSWER_TOKENS: u64 = 96;

/// The answer in whose middle a pod is killed is long enough to have a middle.
const LONG_TOKENS: u64 = 400;
const LONG_BYTES: usize = 60;
const LONG_QUESTION: &str = "Tell me a long story about a lighthouse keeper.";

/// The question that goes to the other pod.
const NEXT_QUESTION: &str = "What is a rose?";
const NEXT_TOKENS: u64 = 48;

/// The receipt is noted a moment after the answer's last byte.
const RECEIPT_TIME: Duration = Duration::from_secs(15);
const RECEIPT_PAUSE: Duration = Duration::from_millis(25);

/// Tells the story; gives its report and the parts, which still run.
pub(crate) async fn tell(
    args: &DemoArgs,
    folder: &Path,
    output: &Output,
) -> Result<(Report, Stage)> {
    let started = Instant::now();
    let mut stage = set_up(args, folder, output).await?;
    let pods = told::pods(&stage, output)?;
    let (heard, receipt, bundle) =
        question(&stage, &args.question, output).await.context("step 4 (question and receipt)")?;
    let broken = kill(&mut stage, output).await.context("step 5 (a pod is killed)")?;
    let next = next(&stage, output).await.context("step 5 (the next question)")?;
    let fetched = come_back(&mut stage, output).await.context("step 6 (the pod comes back)")?;
    let settlement = settle(&stage, output).await.context("step 6 (claim and settlement)")?;
    let charged_once = charged_once(&stage, &settlement, output)
        .await
        .context("step 6 (nothing is paid twice)")?;
    let verdict = verify(&stage, receipt.order, output).await.context("step 6 (offline check)")?;
    let broken_charged = find(&stage, broken.order).await?.map(|receipt| receipt.charged);
    let report = Report {
        simulated: stage.client.is_simulated(),
        pods,
        question: args.question.clone(),
        answer: AnswerTold {
            text: heard.text,
            model: heard.model.context("step 4: the answer names no model")?,
            model_digest: receipt.model_digest,
            pod: stage.name(heard.pod),
        },
        receipt: ReceiptTold {
            verified: receipt.verified && bundle.verdict == Verdict::Accepted,
            order: receipt.order,
            input_tokens: receipt.input_tokens,
            output_tokens: receipt.output_tokens,
            charged: receipt.charged,
            checks: CheckTold::all(&bundle),
        },
        failover: Failover {
            from: stage.name(broken.pod),
            to: stage.name(next.pod),
            told: broken.broken.unwrap_or_default(),
            charged_once,
            broken_charged,
            receipts_fetched: fetched,
        },
        settlement,
        offline_verify: verdict,
        seconds: (started.elapsed().as_secs_f64() * 10.0).round() / 10.0,
    };
    output.line(format!("\nThat took {} seconds.", report.seconds));
    Ok((report, stage))
}

/// Steps 1 to 3: chain, pods, gateway.
async fn set_up(args: &DemoArgs, folder: &Path, output: &Output) -> Result<Stage> {
    let model = stage::model(output).await.context("step 1 (the model's files)")?;
    told::step(1, "A chain, contracts, and a payer with test tokens", output);
    let waiting = output.wait("starting anvil");
    let devnet = stage::devnet(folder, &model).await.context("step 1 (the chain)")?;
    drop(waiting);
    told::chain(&devnet, output);

    told::step(2, "Three pods, the same binary, from three files", output);
    let waiting = output.wait("starting three pods, which load SmolLM2 and register on chain");
    let pods = stage::pods(folder, &devnet).await.context("step 2 (the pods)")?;
    drop(waiting);
    pods.iter().for_each(|pod| told::started(pod, output));

    told::step(3, "A gateway finds the pods and verifies them", output);
    let waiting = output.wait("finding and verifying pods");
    let door = stage::front_door(folder, &devnet, args.once).await;
    drop(waiting);
    let door = door.context("step 3 (the gateway)")?;
    Ok(stage::assemble(folder, model, devnet, pods, door))
}

/// Step 4: a question, its answer as it streams, its receipt.
async fn question(
    stage: &Stage,
    question: &str,
    output: &Output,
) -> Result<(Heard, ReceiptView, BundleReport)> {
    told::step(4, "A question through the gateway's OpenAI endpoint", output);
    output.line(format!("  > {question}\n"));
    let heard = ask(stage, question, ANSWER_TOKENS, output).await?;
    if let Some(broken) = &heard.broken {
        bail!("the answer broke off: {broken}");
    }
    let receipt = receipt(stage, heard.order).await?;
    let report = recheck(stage, heard.order).await?;
    ensure!(report.verdict == Verdict::Accepted, "the receipt does not pass its checks");
    told::channel(stage, output).await?;
    told::receipt(stage, &receipt, &report, output);
    Ok((heard, receipt, report))
}

/// Step 5, first half: the cheap pod dies in the middle of an answer.
async fn kill(stage: &mut Stage, output: &Output) -> Result<Heard> {
    told::step(5, "The cheap pod is killed in the middle of an answer", output);
    output.line(format!("  > {LONG_QUESTION}\n"));
    let (http, base) = (stage.http.clone(), stage.base());
    let mut hearing = Hearing::ask(&http, &base, LONG_QUESTION, LONG_TOKENS, output).await?;
    hearing.words(LONG_BYTES).await?;
    stage.pod_mut(Role::Cheap).kill().await?;
    output.piece(&output.paint(Tone::Bad, " [kill -9] "));
    let heard = hearing.until_the_end().await?;
    let Some(told) = &heard.broken else {
        bail!("the pod was killed and the answer pretends to be whole");
    };
    ensure!(stage.name(heard.pod) == Role::Cheap.name(), "the long answer came from another pod");
    output.line(format!("\n  The caller is told: {}", output.paint(Tone::Strong, told)));
    Ok(heard)
}

/// Step 5, second half: the other pod takes over.
async fn next(stage: &Stage, output: &Output) -> Result<Heard> {
    output.line(format!("\n  > {NEXT_QUESTION}\n"));
    let heard = ask(stage, NEXT_QUESTION, NEXT_TOKENS, output).await?;
    if let Some(broken) = &heard.broken {
        bail!("the answer of the other pod broke off: {broken}");
    }
    ensure!(stage.name(heard.pod) == Role::Dear.name(), "the dead pod seems to answer");
    let receipt = receipt(stage, heard.order).await?;
    output.line(format!(
        "\n  Answered by {} for {}",
        output.paint(Tone::Strong, stage.name(heard.pod)),
        told::tokens(receipt.charged)
    ));
    Ok(heard)
}

/// Step 6, first part: the pod comes back with its ledger and its signer.
async fn come_back(stage: &mut Stage, output: &Output) -> Result<usize> {
    told::step(6, "The cheap pod comes back; pods claim; the receipt is checked", output);
    let folder = stage.pod(Role::Cheap).folder.clone();
    let signer = stage.pod(Role::Cheap).ready.signer;
    let waiting = output.wait("starting the cheap pod again");
    let pod = PodProcess::start(Role::Cheap, &folder).await?;
    drop(waiting);
    ensure!(pod.ready.signer == signer, "the pod came back with another signer");
    *stage.pod_mut(Role::Cheap) = pod;
    stage.client.refresh().await?;
    let back = stage.pod(Role::Cheap).ready.id;
    let accepted = stage.client.pods().iter().any(|pod| pod.id == back && pod.accepted);
    ensure!(accepted, "the pod that came back is not accepted");
    let fetched = stage.client.fetch_missing().await;
    told::came_back(stage, fetched, output);
    Ok(fetched)
}

/// Step 6, second part: what the pods earned becomes theirs on chain.
async fn settle(stage: &Stage, output: &Output) -> Result<Vec<Settled>> {
    let mut settlement = Vec::new();
    for role in [Role::Cheap, Role::Dear] {
        let pod = stage.pod(role);
        let waiting = output.wait(format!("{} claims and settles", role.name()));
        let claim = commands::command(&pod.state_dir(), "claim").await?;
        drop(waiting);
        let claim: Claim =
            serde_json::from_value(claim).context("the pod's claim is unreadable")?;
        let settled =
            Settled { pod: role.name(), before: claim.before, after: claim.after, gas: claim.gas };
        told::settled(&settled, output);
        settlement.push(settled);
    }
    Ok(settlement)
}

/// What a pod says of a claim.
#[derive(Deserialize)]
struct Claim {
    before: Amount,
    after: Amount,
    gas: u64,
}

/// Whether each pod was paid exactly the sum of its receipts, each order once.
async fn charged_once(stage: &Stage, settlement: &[Settled], output: &Output) -> Result<bool> {
    let receipts = stage.client.receipts().await?;
    let mut orders: Vec<_> = receipts.iter().map(|receipt| receipt.order).collect();
    orders.sort_by_key(|order| order.0);
    orders.dedup();
    let mut once = orders.len() == receipts.len();
    for settled in settlement {
        let of_pod = receipts.iter().filter(|receipt| stage.name(receipt.pod) == settled.pod);
        let sum: u128 = of_pod.map(|receipt| receipt.charged.0).sum();
        once &= settled.after.0 - settled.before.0 == sum && sum > 0;
    }
    ensure!(once, "the pods were paid something else than their receipts say");
    told::paid_once(receipts.len(), output);
    Ok(once)
}

/// Step 6, last part: the exported receipt, checked by a process that knows nothing but two files.
async fn verify(stage: &Stage, order: RequestId, output: &Output) -> Result<OfflineVerify> {
    let bundle = stage.client.export(order).await?.context("the receipt is not kept")?;
    let file = stage.folder.join("receipt.json");
    std::fs::write(&file, serde_json::to_string_pretty(&bundle)?)?;
    let network = stage::network_file(&stage.devnet);
    let run = tokio::process::Command::new(std::env::current_exe()?)
        .args(["verify", "--json", "--network"])
        .args([&network, &file])
        .output()
        .await?;
    let told: Verified = serde_json::from_slice(&run.stdout)
        .with_context(|| String::from_utf8_lossy(&run.stderr).into_owned())?;
    ensure!(told.verdict == Verdict::Accepted && run.status.success(), "the receipt is refused");
    told::verified(&file, &network, &told.releases_from, output);
    Ok(OfflineVerify { verdict: told.verdict, releases_from: told.releases_from })
}

/// What `subrosa verify --json` says, as far as it matters here.
#[derive(Deserialize)]
struct Verified {
    verdict: Verdict,
    releases_from: String,
}

async fn ask(stage: &Stage, question: &str, tokens: u64, output: &Output) -> Result<Heard> {
    let waiting = output.wait("waiting for the first words");
    let hearing = Hearing::ask(&stage.http, &stage.base(), question, tokens, output).await;
    drop(waiting);
    hearing?.until_the_end().await
}

async fn find(stage: &Stage, order: RequestId) -> Result<Option<ReceiptView>> {
    let receipts = stage.client.receipts().await?;
    Ok(receipts.into_iter().find(|receipt| receipt.order == order))
}

async fn receipt(stage: &Stage, order: RequestId) -> Result<ReceiptView> {
    let looking = async {
        loop {
            if let Some(receipt) = find(stage, order).await? {
                return Ok(receipt);
            }
            tokio::time::sleep(RECEIPT_PAUSE).await;
        }
    };
    tokio::time::timeout(RECEIPT_TIME, looking).await.context("no receipt came")?
}

async fn recheck(stage: &Stage, order: RequestId) -> Result<BundleReport> {
    let bundle = stage.client.export(order).await?.context("the receipt is not kept")?;
    let network = Some(stage.devnet.network());
    let against = Against { network, ..Against::default() };
    Ok(export::check(serde_json::to_string(&bundle)?.as_bytes(), against)?)
}
