//! What can be typed, and the help that teaches it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use subrosa_protocol::{Amount, B256, ChannelId, RequestId, Timestamp};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Private AI on machines that you do not have to trust.
#[derive(Debug, Parser)]
#[command(
    name = "subrosa",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Example: see all of it at work on this machine\n    subrosa demo"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where wallet, ledgers and receipts are kept [default: $XDG_STATE_HOME/subrosa, else
    /// ~/.local/state/subrosa].
    #[arg(long, global = true, value_name = "FOLDER", env = "SUBROSA_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The network file [default: network.toml in the state folder].
    #[arg(long, global = true, value_name = "FILE", env = "SUBROSA_NETWORK")]
    pub(crate) network: Option<PathBuf>,
    /// The wallet's keystore [default: wallet.json in the state folder].
    #[arg(long, global = true, value_name = "FILE", env = "SUBROSA_WALLET")]
    pub(crate) wallet: Option<PathBuf>,
    /// A file whose first line is the passphrase; else SUBROSA_PASSPHRASE, else it is asked for.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the main job on this machine: chain, pods, a question, a receipt, a crash, settlement.
    #[command(after_help = "Example: ask your own question, and end by itself\n    \
                            subrosa demo --once --question \"What is a rose?\"")]
    Demo(DemoArgs),
    /// Run a pod in front of a model.
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Example: write a configuration, then run it\n    \
                      subrosa config example pod > pod.toml\n    subrosa pod --config pod.toml"
    )]
    Pod(PodArgs),
    /// Serve OpenAI's API on this machine, answered by verified pods.
    #[command(after_help = "Example:\n    subrosa gateway --network network.toml\n    \
                            curl http://127.0.0.1:11435/v1/models")]
    Gateway(GatewayArgs),
    /// Ask one question.
    #[command(after_help = "Example:\n    subrosa ask --network network.toml \"What is a rose?\"")]
    Ask(AskArgs),
    /// List the network's pods: who is accepted, who is refused, and by which check.
    #[command(after_help = "Example:\n    subrosa pods --network network.toml")]
    Pods(PodsArgs),
    /// The models that are known, and their files.
    #[command(after_help = "Example:\n    subrosa models pull smollm2")]
    Models {
        #[command(subcommand)]
        command: ModelsCommand,
    },
    /// The wallet that pays or operates.
    #[command(after_help = "Example:\n    subrosa wallet new\n    subrosa wallet show")]
    Wallet {
        #[command(subcommand)]
        command: WalletCommand,
    },
    /// Receipts of the questions that were asked from here.
    #[command(after_help = "Example:\n    subrosa receipts list\n    \
                            subrosa receipts export ORDER > receipt.json")]
    Receipts {
        #[command(subcommand)]
        command: ReceiptsCommand,
    },
    /// Check a receipt, evidence or a quote, offline. Exit code 0: accepted, 1: refused,
    /// 2: unreadable.
    ///
    /// It reads exported receipts, our evidence documents, bare SGX and TDX quotes and SEV-SNP
    /// reports (binary, hex or base64), dstack's answers and envelopes around them, and the answers
    /// of vllm-proxies. A bare quote says that the hardware is genuine and current, and nothing
    /// about keys, software or models.
    /// Lists of NVIDIA's devices, as its SDK writes them, are read too, and say nothing of a
    /// machine.
    ///
    /// It also reads what no processor vouches for: documents of AWS Nitro enclaves, which are
    /// AWS's word about its own machines, and tokens of NVIDIA's attestation service, which are its
    /// word that it found nothing wrong with GPUs. The verdict says so; neither counts for anything
    /// else.
    #[command(
        after_help = "Examples:\n    subrosa verify receipt.json --network network.toml\n    \
                            subrosa verify quote.bin --collateral collateral.json --at \
                            2026-11-28T00:00:00Z\n    \
                            subrosa verify report.json --collateral collateral.json --nonce HEX"
    )]
    Verify(VerifyArgs),
    /// Draw the chain from silicon root to answer that a file stands on.
    #[command(after_help = "Example: in the terminal, and as a picture\n    \
                            subrosa explain receipt.json --network network.toml --svg chain.svg")]
    Explain(ExplainArgs),
    /// The network file.
    #[command(after_help = "Example:\n    subrosa network show --network network.toml")]
    Network {
        #[command(subcommand)]
        command: NetworkCommand,
    },
    /// Configuration files: examples to start from, and what is wrong with one.
    #[command(after_help = "Example:\n    subrosa config example pod > pod.toml\n    \
                            subrosa config check pod.toml")]
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print completions for a shell.
    #[command(after_help = "Example:\n    subrosa completions bash > \
                            ~/.local/share/bash-completion/completions/subrosa")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// The question.
    #[arg(long, value_name = "TEXT", default_value = "In one sentence, why is the sky blue?")]
    pub(crate) question: String,
    /// End when everything was shown, instead of staying up until ctrl-c.
    #[arg(long)]
    pub(crate) once: bool,
    /// Keep the demo's files here instead of in a temporary folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PodArgs {
    #[command(flatten)]
    pub(crate) config: Option<PodConfigArgs>,
    /// End when standard input ends, so that the pod does not outlive what started it.
    #[arg(long)]
    pub(crate) leash: bool,
    #[command(subcommand)]
    pub(crate) command: Option<PodCommand>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PodConfigArgs {
    /// The pod's configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PodCommand {
    /// Run the pod until ctrl-c; the same as `subrosa pod --config FILE`.
    #[command(after_help = "Example:\n    subrosa pod run --config pod.toml")]
    Run {
        #[command(flatten)]
        config: PodConfigArgs,
        /// End when standard input ends, so that the pod does not outlive what started it.
        #[arg(long)]
        leash: bool,
    },
    /// Let a running pod claim and settle now what it has earned.
    #[command(after_help = "Example:\n    subrosa pod claim --config pod.toml")]
    Claim {
        #[command(flatten)]
        config: PodConfigArgs,
    },
    /// Look at what confidential hardware this machine has, what is missing, and what to do next.
    ///
    /// Exit code 0: a pod can prove what runs here; 1: it cannot.
    #[command(
        after_help = "Example: look at the machine, and at where a pod keeps its files\n    \
                            subrosa pod doctor --config pod.toml"
    )]
    Doctor {
        /// The pod's configuration file, to look at its storage too.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Take a running pod out of the registry, for good.
    #[command(after_help = "Example:\n    subrosa pod retire --config pod.toml")]
    Retire {
        #[command(flatten)]
        config: PodConfigArgs,
    },
}

/// How questions are asked and paid.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClientArgs {
    /// What is put into a channel when one is opened or runs dry, in atomic token units.
    #[arg(long, value_name = "AMOUNT", default_value = "1000000", value_parser = amount)]
    pub(crate) deposit: Amount,
    /// Milliseconds between the frames of an answer, 5 to 1000, which hide its tokens; 0 sends them
    /// as they come, and shows their rhythm to the network.
    #[arg(long, value_name = "MS", default_value_t = 20)]
    pub(crate) tick_ms: u16,
    /// A pod's address, on a network without a registry; may be given again.
    #[arg(long = "pod", value_name = "URL")]
    pub(crate) pods: Vec<String>,
    /// A policy of your own instead of the preset of the network's trust.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GatewayArgs {
    /// Where to listen; beyond loopback only with a token.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:11435")]
    pub(crate) listen: SocketAddr,
    /// Another host name by which programs call the gateway; may be given again.
    #[arg(long = "host-name", value_name = "NAME")]
    pub(crate) host_names: Vec<String>,
    /// A file whose first line is the bearer token that every request must bring.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AskArgs {
    /// The question.
    pub(crate) question: String,
    /// The model, by name, alias or digest.
    #[arg(long, default_value = "smollm2")]
    pub(crate) model: String,
    /// The most tokens of the answer.
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) max_tokens: u64,
    /// The temperature; 0 gives the same answer each time.
    #[arg(long, value_name = "T")]
    pub(crate) temperature: Option<f64>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PodsArgs {
    /// A pod's address, on a network without a registry; may be given again.
    #[arg(long = "pod", value_name = "URL")]
    pub(crate) pods: Vec<String>,
    /// A policy of your own instead of the preset of the network's trust.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Tell every check of every pod.
    #[arg(long)]
    pub(crate) checks: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List the catalogue, and what of it is in the cache.
    #[command(after_help = "Example:\n    subrosa models list --json")]
    List,
    /// Fetch a model's files into the cache, and verify them.
    #[command(after_help = "Example:\n    subrosa models pull smollm2")]
    Pull {
        /// The model, by name or alias.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum WalletCommand {
    /// Make a new key in an encrypted keystore.
    #[command(after_help = "Example:\n    subrosa wallet new --passphrase-file pass.txt")]
    New,
    /// Show the address, and what it holds where the network file is there.
    #[command(after_help = "Example:\n    subrosa wallet show --network network.toml")]
    Show,
    /// Put tokens into the channel with a pod; it is opened where there is none.
    #[command(after_help = "Example:\n    subrosa wallet deposit 1000000 --pod 0x…")]
    Deposit {
        /// Atomic token units.
        #[arg(value_parser = amount)]
        amount: Amount,
        /// The pod's id, as `subrosa pods` lists it.
        #[arg(long, value_name = "ID")]
        pod: B256,
    },
    /// Take unspent tokens back out of a channel: once to begin, once more after the delay.
    #[command(after_help = "Example:\n    subrosa wallet withdraw 0x…\n    \
                            subrosa wallet withdraw 0x… --finish")]
    Withdraw {
        /// The channel, as `subrosa wallet show` lists it.
        #[arg(value_parser = channel)]
        channel: ChannelId,
        /// Atomic token units; all that is left where it is not said.
        #[arg(long, value_parser = amount)]
        amount: Option<Amount>,
        /// Finish a withdrawal whose delay is over.
        #[arg(long)]
        finish: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptsCommand {
    /// List receipts, the newest first.
    #[command(after_help = "Example:\n    subrosa receipts list")]
    List,
    /// Show one receipt, with every check of what it stands on.
    #[command(after_help = "Example:\n    subrosa receipts show 0x…")]
    Show {
        /// The order.
        #[arg(value_parser = order)]
        order: RequestId,
    },
    /// Print one receipt with all that it takes to check it offline.
    #[command(after_help = "Example:\n    subrosa receipts export 0x… > receipt.json")]
    Export {
        /// The order.
        #[arg(value_parser = order)]
        order: RequestId,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// The file.
    pub(crate) file: PathBuf,
    /// A policy of your own instead of the preset of the network's trust.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// The time to check for, as Unix seconds or like 2026-11-28T00:00:00Z [default: now; for a
    /// receipt, its own time, which the pod asserts].
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) at: Option<Timestamp>,
    /// Trust this root certificate instead of the vendor's: of what the file stands on, or of
    /// VENDOR (intel, amd, nitro, nvidia-device, nvidia-rim). What passes then proves as much as
    /// that root, says SIMULATED, and is told what its image does with text without being refused
    /// for it.
    #[arg(long, value_name = "[VENDOR=]PEM")]
    pub(crate) root: Vec<String>,
    /// What the vendors state about the hardware, where the file has it not inside: Intel's
    /// collateral as JSON, AMD's certificates and revocation list, NVIDIA's reference measurements
    /// and OCSP answers; for tokens of NVIDIA's attestation service its key set (JWKS), which you
    /// must have from NVIDIA itself.
    #[arg(long, value_name = "FILE")]
    pub(crate) collateral: Vec<PathBuf>,
    /// The nonce that you sent, 64 hex digits; without it nobody can tell how old the file is, and
    /// the strict policy refuses tokens and the answers of vllm-proxies. A Nitro document must have
    /// exactly these 32 bytes as its nonce, or as half of 64 bytes of user data.
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    pub(crate) nonce: Option<B256>,
    /// The hash of a block that you know to be the chain's, from an explorer or a node of your own:
    /// a receipt's releases must be proven from it.
    #[arg(long, value_name = "HASH", value_parser = word)]
    pub(crate) block: Option<B256>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) verify: VerifyArgs,
    /// Write the picture here, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

fn nonce(text: &str) -> Result<B256, String> {
    text.parse().map_err(|_| "write the nonce as 64 hex digits".to_owned())
}

/// A time as people or programs write it.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Timestamp(seconds));
    }
    let moment = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "write Unix seconds, or a time like 2026-11-28T00:00:00Z".to_owned())?;
    u64::try_from(moment.unix_timestamp()).map(Timestamp).map_err(|_| "before 1970".to_owned())
}

#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Tell what a network file means.
    #[command(after_help = "Example:\n    subrosa network show --network network.toml")]
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a file without acting on it.
    #[command(after_help = "Example:\n    subrosa config check pod.toml")]
    Check {
        /// The file.
        file: PathBuf,
        /// What it is, where its keys do not tell.
        #[arg(long, value_enum)]
        kind: Option<ConfigKind>,
    },
    /// Print an example to start from.
    #[command(after_help = "Example:\n    subrosa config example pod > pod.toml")]
    Example {
        /// Of what.
        #[arg(value_enum)]
        kind: ConfigKind,
    },
}

/// A kind of configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConfigKind {
    /// A network with a chain.
    Network,
    /// A pod.
    Pod,
    /// What a verifier accepts.
    Policy,
    /// A network without a chain, for a team's own pods.
    PrivateNetwork,
}

fn amount(text: &str) -> Result<Amount, String> {
    let digits = text.replace('_', "");
    digits.parse().map(Amount).map_err(|_| "an amount is a whole number of atomic units".into())
}

fn channel(text: &str) -> Result<ChannelId, String> {
    word(text).map(ChannelId)
}

fn order(text: &str) -> Result<RequestId, String> {
    word(text).map(RequestId)
}

fn word(text: &str) -> Result<B256, String> {
    text.parse().map_err(|_| "an id is 0x and 64 hexadecimal digits".into())
}
