//! dstack's guest agent, asked in JSON over its unix socket (dstack's `agent_rpc.proto`).

pub(super) mod http;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subrosa_verifier::{
    APP_COMPOSE_BYTES_MAX, Architecture, Cpu, DEVICES_MAX, Device, Devices, EVENT_LOG_BYTES_MAX,
    SNP_REPORT_BYTES,
};

use self::http::Answer;
use super::answer::{device, from_hex, unfold};
use super::{RawCpu, RawDevices, RawEventLog, SourceError, Switches, exact};

/// Where a container of dstack finds the agent.
pub const DSTACK_SOCKET_PATH: &str = "/var/run/dstack.sock";

const SOURCE_NAME: &str = "dstack";

/// A processor quotes in some hundred milliseconds, eight GPUs in some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A quote with zeros behind it, and as much again.
const QUOTE_BYTES_MAX: usize = 32 * 1024;

/// The one format of GPU evidence that we read.
const GPU_FORMAT: &str = "nvidia-nvattest-collect-evidence-json-v1";

/// How the agent's versioned attestation starts where it holds a report of SEV-SNP: version 0,
/// platform 3, and the report's length as SCALE writes lengths from 64 to 16383: four times
/// themselves, plus one.
const SNP_ENVELOPE: [u8; 4] = {
    let [low, high] = (4 * SNP_REPORT_BYTES as u16 + 1).to_le_bytes();
    [0x00, 0x03, low, high]
};

/// Asks dstack's guest agent.
#[derive(Clone, Debug)]
pub struct Dstack {
    socket: PathBuf,
    patience: Duration,
}

/// What the agent says of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DstackInfo {
    /// The application.
    pub app_id: String,
    /// This instance of it.
    pub instance_id: String,
    /// The raw bytes of its compose file.
    pub app_compose: Vec<u8>,
    /// The whole answer, with `tcb_info` unfolded.
    pub answer: Value,
}

impl Default for Dstack {
    /// The container's own.
    fn default() -> Dstack {
        Dstack::at(DSTACK_SOCKET_PATH)
    }
}

impl Dstack {
    /// The agent behind this socket.
    pub fn at(socket: impl Into<PathBuf>) -> Dstack {
        Dstack { socket: socket.into(), patience: PATIENCE }
    }

    /// The same agent, given so long for each answer.
    pub fn with_patience(self, patience: Duration) -> Dstack {
        Dstack { patience, ..self }
    }

    /// The processor's quote over these bytes, with dstack's log and the application that it names.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn get_quote(&self, report_data: &[u8; 64]) -> Result<RawCpu, SourceError> {
        let request = json!({ "report_data": hex::encode(report_data) });
        let answer = self.ask("/GetQuote", &request).await?.json(SOURCE_NAME)?;
        Ok(match Quoted::read(&answer, report_data)? {
            Quoted::Snp { report } => RawCpu::Snp { report, certificates: None },
            Quoted::Tdx { quote, log_json, vm_config } => {
                let app_compose = self.info().await?.app_compose;
                let event_log = RawEventLog::Dstack { log_json, app_compose, vm_config };
                RawCpu::Tdx { quote, event_log }
            }
        })
    }

    /// What the agent says of the application.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn info(&self) -> Result<DstackInfo, SourceError> {
        DstackInfo::read(self.ask("/Info", &json!({})).await?.json(SOURCE_NAME)?)
    }

    /// Fresh reports of the devices over this nonce; none where the machine has none.
    ///
    /// # Errors
    /// [`SourceError`]; agents before dstack 0.6 refuse the request.
    pub async fn attest_gpu(&self, nonce: &[u8; 32]) -> Result<RawDevices, SourceError> {
        let request = json!({ "nonce": hex::encode(nonce) });
        let answer = match self.ask("/v1/AttestGpu", &request).await? {
            answer if answer.is_not_found() => self.ask("/AttestGpu", &request).await?,
            answer => answer,
        };
        read_devices(&answer.json(SOURCE_NAME)?, nonce)
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    async fn ask(&self, path: &'static str, request: &Value) -> Result<Answer, SourceError> {
        let exchange = http::post(SOURCE_NAME, &self.socket, path, request);
        let after_ms = u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX);
        match tokio::time::timeout(self.patience, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(SourceError::TimedOut { source_name: SOURCE_NAME, after_ms }),
        }
    }
}

/// What an answer to `GetQuote` holds.
pub(crate) enum Quoted {
    Snp { report: Vec<u8> },
    Tdx { quote: Vec<u8>, log_json: Vec<u8>, vm_config: String },
}

impl Quoted {
    pub(crate) fn read(answer: &Value, report_data: &[u8; 64]) -> Result<Quoted, SourceError> {
        // Older agents do not repeat what they were asked for; the quote does in any case.
        if let Some(echo) = answer.get("report_data").and_then(Value::as_str)
            && from_hex(echo).as_deref() != Some(report_data)
        {
            return Err(SourceError::AnotherReportData { source_name: SOURCE_NAME });
        }
        let quote = hex_member(answer, "quote", "`quote` is no hex")?.unwrap_or_default();
        if quote.is_empty() {
            return snp_report(answer, report_data).map(|report| Quoted::Snp { report });
        }
        if quote.len() > QUOTE_BYTES_MAX {
            return Err(too_long("a quote", QUOTE_BYTES_MAX));
        }
        let quote = exact::quote(SOURCE_NAME, &quote, Cpu::Tdx, report_data)?;
        let log_json = event_log(answer)?;
        let vm_config = answer.get("vm_config").and_then(Value::as_str).unwrap_or_default();
        Ok(Quoted::Tdx { quote, log_json, vm_config: vm_config.to_owned() })
    }
}

impl DstackInfo {
    pub(crate) fn read(mut answer: Value) -> Result<DstackInfo, SourceError> {
        let tcb_info = answer.get_mut("tcb_info").map(Value::take).and_then(unfold);
        let tcb_info = tcb_info.ok_or_else(|| wrong("`tcb_info` is no JSON"))?;
        let compose = tcb_info.get("app_compose").and_then(Value::as_str);
        let app_compose = compose.ok_or_else(|| wrong("`tcb_info` has no `app_compose`"))?;
        let app_compose = app_compose.as_bytes().to_vec();
        if app_compose.len() > APP_COMPOSE_BYTES_MAX {
            return Err(too_long("a compose file", APP_COMPOSE_BYTES_MAX));
        }
        let hashes = [answer.get("compose_hash"), tcb_info.get("compose_hash")];
        for hash in hashes.into_iter().flatten().filter_map(Value::as_str) {
            // Agents leave members that they cannot fill empty.
            if !hash.is_empty() && from_hex(hash).as_deref() != Some(&Sha256::digest(&app_compose))
            {
                return Err(wrong("`app_compose` has another hash than `compose_hash` says"));
            }
        }
        answer["tcb_info"] = tcb_info;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
        let (app_id, instance_id) = (text("app_id").to_owned(), text("instance_id").to_owned());
        Ok(DstackInfo { app_id, instance_id, app_compose, answer })
    }
}

/// The devices of an answer to `AttestGpu`, each over this nonce.
pub(crate) fn read_devices(answer: &Value, nonce: &[u8; 32]) -> Result<RawDevices, SourceError> {
    let bundles = answer.get("bundles").and_then(Value::as_array);
    let bundles = bundles.ok_or_else(|| wrong("`bundles` is no list"))?;
    let mut devices = Vec::new();
    for bundle in bundles {
        for entry in evidence_of(bundle)? {
            if devices.len() == DEVICES_MAX {
                return Err(wrong("it lists more devices than a node has"));
            }
            devices.push(device(SOURCE_NAME, &entry, nonce)?);
        }
    }
    // A stable sort: GPUs keep the agent's order.
    devices.sort_by_key(|device| device.architecture == Architecture::Ls10);
    let is_switch = |device: &&Device| device.architecture == Architecture::Ls10;
    let switches = match devices.iter().filter(is_switch).count() {
        0 => Switches::Absent { reason: "dstack's agent lists none" },
        count => Switches::Given(count),
    };
    Ok(RawDevices { devices: Devices(devices), switches })
}

/// On AMD's processors the agent leaves `quote` empty and gives its own envelope.
fn snp_report(answer: &Value, report_data: &[u8; 64]) -> Result<Vec<u8>, SourceError> {
    let envelope = hex_member(answer, "attestation", "`attestation` is no hex")?;
    let envelope = envelope.filter(|envelope| !envelope.is_empty());
    let envelope = envelope.ok_or_else(|| wrong("it has neither `quote` nor `attestation`"))?;
    let Some(rest) = envelope.strip_prefix(&SNP_ENVELOPE) else {
        let kind = "an `attestation` that is no SEV-SNP report of version 0".into();
        return Err(SourceError::UnknownKind { source_name: SOURCE_NAME, kind });
    };
    // Its certificates are PEM of no stated order; collateral is fetched from AMD instead.
    exact::leading_snp_report(SOURCE_NAME, rest, report_data)
}

/// The log's text: as it came in a string, or written anew where an agent gives the list itself.
fn event_log(answer: &Value) -> Result<Vec<u8>, SourceError> {
    let log = match answer.get("event_log") {
        Some(Value::String(text)) => text.clone(),
        Some(list @ Value::Array(_)) => list.to_string(),
        _ => return Err(wrong("`event_log` is no list of events")),
    };
    if log.len() > EVENT_LOG_BYTES_MAX {
        return Err(too_long("an event log", EVENT_LOG_BYTES_MAX));
    }
    match serde_json::from_str::<Vec<serde::de::IgnoredAny>>(&log) {
        Ok(_) => Ok(log.into_bytes()),
        Err(_) => Err(wrong("`event_log` is no list of events")),
    }
}

fn evidence_of(bundle: &Value) -> Result<Vec<Value>, SourceError> {
    let text = |name: &str| bundle.get(name).and_then(Value::as_str);
    if text("vendor") != Some("nvidia") || text("format") != Some(GPU_FORMAT) {
        let kind = format!("evidence of {:?}", text("format").unwrap_or("no format"));
        return Err(SourceError::UnknownKind { source_name: SOURCE_NAME, kind });
    }
    let evidence = hex_member(bundle, "evidence", "a bundle's `evidence` is no hex")?;
    let evidence = evidence.unwrap_or_default();
    let list = serde_json::from_slice::<Vec<Value>>(&evidence);
    list.map_err(|_| wrong("a bundle's `evidence` is no list of devices"))
}

fn hex_member(
    answer: &Value,
    name: &str,
    what: &'static str,
) -> Result<Option<Vec<u8>>, SourceError> {
    match answer.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().and_then(from_hex).map(Some).ok_or_else(|| wrong(what)),
    }
}

fn wrong(what: &'static str) -> SourceError {
    SourceError::BadAnswer { source_name: SOURCE_NAME, what }
}

fn too_long(what: &'static str, max: usize) -> SourceError {
    SourceError::TooLong { source_name: SOURCE_NAME, what, max }
}
