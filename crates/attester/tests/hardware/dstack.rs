use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subrosa_attester::SimulatedCpu;
use subrosa_attester::hardware::{Dstack, RawCpu, RawDevices, RawEventLog, SourceError, Switches};
use subrosa_nvidia_evidence as nvidia;
use subrosa_nvidia_evidence::simulator::{Node, SimulatedDevice};
use subrosa_verifier::{Architecture, DEVICE_CHAIN_BYTES_MAX, DEVICE_REPORT_BYTES_MAX};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::{ASKED, CHAIN, NONCE, device_report, simulated_bytes, simulated_dstack, vector};

/// A guest agent behind a real socket; dropped, it is gone.
pub(crate) struct Agent {
    folder: TempDir,
    server: JoinHandle<()>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Agent {
    /// An agent that answers each path with this status and body, and others with 404.
    pub(crate) fn answering(answers: Vec<(&'static str, u16, Vec<u8>)>) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("dstack.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&asked);
        let answer = move |uri: Uri, body: Bytes| {
            let request = serde_json::from_slice(&body).expect("requests are JSON");
            record.lock().unwrap().push((uri.path().to_owned(), request));
            let known = answers.iter().find(|(path, ..)| *path == uri.path());
            let (status, body) = match known {
                Some((_, status, body)) => (*status, body.clone()),
                None => (404, b"no such method".to_vec()),
            };
            async move { (StatusCode::from_u16(status).unwrap(), body) }
        };
        let router = Router::new().fallback(answer);
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the agent serves");
        });
        Agent { folder, server, asked }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("dstack.sock")
    }

    /// Every request, in order.
    pub(crate) fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }

    async fn quote(&self) -> Result<RawCpu, SourceError> {
        Dstack::at(self.socket()).get_quote(&ASKED).await
    }
}

fn ok(path: &'static str, answer: &Value) -> (&'static str, u16, Vec<u8>) {
    (path, 200, answer.to_string().into_bytes())
}

/// What the agent of a simulated machine answers.
struct Answers {
    quote: Value,
    info: Value,
}

impl Answers {
    fn new() -> Answers {
        let (quote, event_log, app_compose) = simulated_dstack(ASKED);
        let compose_hash = hex::encode(Sha256::digest(&app_compose));
        let tcb_info = json!({ "app_compose": app_compose, "compose_hash": compose_hash });
        Answers {
            quote: json!({
                "quote": hex::encode([&quote[..], &[0; 70]].concat()),
                "event_log": event_log,
                "report_data": hex::encode(ASKED),
                "vm_config": "{}",
            }),
            info: json!({
                "app_id": "ab84",
                "instance_id": "eb6b",
                "tcb_info": tcb_info.to_string(),
                "compose_hash": compose_hash,
            }),
        }
    }

    /// The same with one member of the quote's answer changed.
    fn with(mut self, member: &str, value: Value) -> Answers {
        self.quote[member] = value;
        self
    }

    fn without(mut self, member: &str) -> Answers {
        self.quote.as_object_mut().unwrap().remove(member);
        self
    }

    fn agent(&self) -> Agent {
        Agent::answering(vec![ok("/GetQuote", &self.quote), ok("/Info", &self.info)])
    }
}

fn expected() -> RawCpu {
    let (quote, log, compose) = simulated_dstack(ASKED);
    let event_log = RawEventLog::Dstack {
        log_json: log.into_bytes(),
        app_compose: compose.into_bytes(),
        vm_config: "{}".into(),
    };
    RawCpu::Tdx { quote, event_log }
}

#[tokio::test]
async fn reads_a_quote_with_its_log_and_the_application_it_names() {
    let agent = Answers::new().agent();
    assert_eq!(agent.quote().await.unwrap(), expected());
    let asked = agent.asked();
    assert_eq!(asked[0], ("/GetQuote".into(), json!({ "report_data": hex::encode(ASKED) })));
    assert_eq!(asked[1], ("/Info".into(), json!({})));
}

#[tokio::test]
async fn understands_agents_of_all_ages() {
    let quote = Answers::new().quote["quote"].as_str().unwrap().to_owned();
    let with_prefix = Answers::new().with("quote", json!(format!("0x{quote}")));
    let without_echo = Answers::new().without("report_data");
    let with_attestation = Answers::new().with("attestation", json!(""));
    let mut unfolded = Answers::new();
    let tcb_info = unfolded.info["tcb_info"].as_str().unwrap();
    unfolded.info["tcb_info"] = serde_json::from_str(tcb_info).unwrap();
    let mut unhashed = Answers::new();
    unhashed.info["compose_hash"] = json!("");
    for answers in [with_prefix, without_echo, with_attestation, unfolded, unhashed] {
        assert_eq!(answers.agent().quote().await.unwrap(), expected());
    }
}

#[tokio::test]
async fn a_log_that_is_a_list_keeps_its_events() {
    let (_, log, _) = simulated_dstack(ASKED);
    let list: Value = serde_json::from_str(&log).unwrap();
    let raw = Answers::new().with("event_log", list.clone()).agent().quote().await.unwrap();
    let RawCpu::Tdx { event_log: RawEventLog::Dstack { log_json, .. }, .. } = raw else {
        panic!("it is dstack's TDX")
    };
    assert_eq!(serde_json::from_slice::<Value>(&log_json).unwrap(), list);
}

#[tokio::test]
async fn an_agent_without_a_configuration_gives_an_empty_one() {
    let raw = Answers::new().without("vm_config").agent().quote().await.unwrap();
    let RawCpu::Tdx { event_log: RawEventLog::Dstack { vm_config, .. }, .. } = raw else {
        panic!("it is dstack's TDX")
    };
    assert_eq!(vm_config, "");
}

#[tokio::test]
async fn reads_a_report_of_snp_from_the_agents_envelope() {
    let report = simulated_bytes(SimulatedCpu::Snp, ASKED);
    let envelope = hex::encode([&[0x00, 0x03, 0x81, 0x12][..], &report, &[0; 40]].concat());
    for quote in [json!(""), Value::Null] {
        let answers = Answers::new().with("quote", quote).with("attestation", json!(envelope));
        let raw = answers.agent().quote().await.unwrap();
        assert_eq!(raw, RawCpu::Snp { report: report.clone(), certificates: None });
    }
}

#[tokio::test]
async fn refuses_an_envelope_without_a_report_of_snp() {
    let report = simulated_bytes(SimulatedCpu::Snp, [8; 64]);
    let other = hex::encode([&[0x00, 0x03, 0x81, 0x12][..], &report].concat());
    let cases = [
        (json!(other), "over other report data"),
        (json!("0000394e0400"), "a kind that documents cannot carry"),
        (json!("82a7"), "a kind that documents cannot carry"),
        (json!("0003811200"), "the report has 1 bytes"),
        (json!(""), "neither `quote` nor `attestation`"),
        (json!("zz"), "`attestation` is no hex"),
    ];
    for (attestation, words) in cases {
        let answers = Answers::new().with("quote", json!("")).with("attestation", attestation);
        let error = answers.agent().quote().await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn refuses_other_report_data_in_the_echo_and_in_the_quote() {
    let echo = Answers::new().with("report_data", json!(hex::encode([8; 64])));
    let garbage = Answers::new().with("report_data", json!("0x"));
    let (quote, ..) = simulated_dstack([8; 64]);
    let quote = Answers::new().with("quote", json!(hex::encode(quote)));
    for answers in [echo, garbage, quote] {
        let error = answers.agent().quote().await.unwrap_err();
        assert!(matches!(error, SourceError::AnotherReportData { .. }), "{error}");
    }
}

#[tokio::test]
async fn refuses_what_is_no_quote_of_tdx() {
    let quote = Answers::new().quote["quote"].as_str().unwrap().to_owned();
    let cases = [
        (json!("no hex"), "`quote` is no hex"),
        (json!(7), "`quote` is no hex"),
        (json!(&quote[..2_000]), "the quote ends inside a field"),
        (json!(quote + "01"), "71 bytes follow the quote"),
        (
            json!(hex::encode(simulated_bytes(SimulatedCpu::Sgx, ASKED))),
            "a quote of Intel SGX where one of Intel TDX belongs",
        ),
        (json!("00".repeat(32 * 1024 + 1)), "a quote of more than 32768 bytes"),
    ];
    for (quote, words) in cases {
        let error = Answers::new().with("quote", quote).agent().quote().await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn refuses_what_is_no_log() {
    let long = format!("[{}0]", "0,".repeat(128 * 1024));
    for log in [json!("{}"), json!("no JSON"), json!(""), json!({}), json!(7), json!(long)] {
        let error = Answers::new().with("event_log", log).agent().quote().await.unwrap_err();
        assert!(error.to_string().contains("event"), "{error}");
    }
    let error = Answers::new().without("event_log").agent().quote().await.unwrap_err();
    assert!(error.to_string().contains("`event_log`"), "{error}");
}

#[tokio::test]
async fn refuses_an_application_that_it_cannot_show() {
    let mut another_hash = Answers::new();
    another_hash.info["compose_hash"] = json!(hex::encode([1; 32]));
    let mut no_hash = Answers::new();
    no_hash.info["compose_hash"] = json!("not hex");
    let mut hidden = Answers::new();
    hidden.info["tcb_info"] = json!("");
    let mut without = Answers::new();
    without.info["tcb_info"] = json!("{}");
    let mut absent = Answers::new();
    absent.info.as_object_mut().unwrap().remove("tcb_info");
    let mut long = Answers::new();
    let compose = "x".repeat(256 * 1024 + 1);
    long.info["tcb_info"] = json!({ "app_compose": compose });
    for answers in [another_hash, no_hash, hidden, without, absent, long] {
        let error = answers.agent().quote().await.unwrap_err();
        let wrong = matches!(error, SourceError::BadAnswer { .. } | SourceError::TooLong { .. });
        assert!(wrong, "{error}");
    }
}

#[tokio::test]
async fn says_with_which_status_the_agent_refused() {
    for status in [400, 404, 500, 501] {
        let agent = Agent::answering(vec![("/GetQuote", status, b"secret details".to_vec())]);
        let error = agent.quote().await.unwrap_err();
        assert_eq!(error.to_string(), format!("dstack refused /GetQuote: HTTP {status}"));
    }
}

#[tokio::test]
async fn refuses_answers_that_are_no_json_or_too_long() {
    for body in [&b""[..], b"<html>", b"[]", b"7"] {
        let agent = Agent::answering(vec![("/GetQuote", 200, body.to_vec())]);
        assert!(matches!(agent.quote().await, Err(SourceError::BadAnswer { .. })));
    }
    let agent = Agent::answering(vec![("/GetQuote", 200, vec![b' '; 4 * 1024 * 1024 + 1])]);
    assert!(matches!(agent.quote().await, Err(SourceError::TooLong { .. })));
}

#[tokio::test]
async fn outside_dstack_there_is_no_source() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("dstack.sock");
    let error = Dstack::at(&socket).get_quote(&ASKED).await.unwrap_err();
    assert!(matches!(&error, SourceError::Absent { at, .. } if *at == socket), "{error}");

    // Nobody listens any more.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let error = Dstack::at(&socket).get_quote(&ASKED).await.unwrap_err();
    assert!(matches!(error, SourceError::Unusable { .. }), "{error}");
}

#[tokio::test]
async fn refuses_a_socket_that_does_not_speak_http() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("dstack.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0\r\n\r\n").await.unwrap();
        }
    });
    let error = Dstack::at(&socket).get_quote(&ASKED).await.unwrap_err();
    assert!(matches!(error, SourceError::BadAnswer { .. }), "{error}");
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn gives_up_on_an_agent_that_never_answers() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("dstack.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let dstack = Dstack::at(&socket).with_patience(Duration::from_secs(5));
    let error = dstack.get_quote(&ASKED).await.unwrap_err();
    assert_eq!(error.to_string(), "dstack did not answer within 5000 ms");
}

/// What NVIDIA's tool collects of one device.
fn entry(arch: &str, report: &[u8]) -> Value {
    entry_with(arch, report, CHAIN)
}

pub(crate) fn entry_with(arch: &str, report: &[u8], chain: &str) -> Value {
    json!({
        "arch": arch,
        "nonce": hex::encode(NONCE),
        "evidence": STANDARD.encode(report),
        "certificate": STANDARD.encode(chain),
        "version": "1.0",
    })
}

pub(crate) fn bundle(entries: &Value) -> Value {
    json!({
        "vendor": "nvidia",
        "format": "nvidia-nvattest-collect-evidence-json-v1",
        "evidence": hex::encode(entries.to_string()),
    })
}

fn gpu_agent(bundles: Value) -> Agent {
    Agent::answering(vec![ok("/v1/AttestGpu", &json!({ "bundles": bundles }))])
}

#[tokio::test]
async fn reads_devices_gpus_first() {
    let report = device_report(NONCE);
    let with_a_byte_behind = [&report[..], &[0]].concat();
    let entries = json!([
        entry("LS10", &report),
        entry("HOPPER", &report),
        entry("blackwell", &with_a_byte_behind),
    ]);
    let agent = gpu_agent(json!([bundle(&entries)]));
    let raw = Dstack::at(agent.socket()).attest_gpu(&NONCE).await.unwrap();
    let devices = &raw.devices.0;
    let kinds: Vec<_> = devices.iter().map(|device| device.architecture).collect();
    assert_eq!(kinds, [Architecture::Hopper, Architecture::Blackwell, Architecture::Ls10]);
    assert!(devices.iter().all(|device| device.report == report && device.chain == CHAIN));
    assert_eq!(raw.switches, Switches::Given(1));
    let asked = agent.asked();
    assert_eq!(asked, [("/v1/AttestGpu".into(), json!({ "nonce": hex::encode(NONCE) }))]);
}

#[tokio::test]
async fn asks_agents_without_versions_too() {
    let answer = json!({ "bundles": [bundle(&json!([entry("HOPPER", &device_report(NONCE))]))] });
    let agent = Agent::answering(vec![ok("/AttestGpu", &answer)]);
    let raw = Dstack::at(agent.socket()).attest_gpu(&NONCE).await.unwrap();
    assert_eq!(raw.devices.0.len(), 1);
    assert!(matches!(raw.switches, Switches::Absent { .. }));
}

/// What the agent of a simulated node lists, as far as `shows` says yes.
async fn listed(node: &Node, shows: impl Fn(&SimulatedDevice) -> bool) -> RawDevices {
    let name = |device: &SimulatedDevice| match device.architecture {
        nvidia::Architecture::Blackwell => "BLACKWELL",
        nvidia::Architecture::Hopper => "HOPPER",
        nvidia::Architecture::Ls10 => "LS10",
    };
    let devices = node.evidence(&NONCE).into_iter().filter(shows);
    let entries: Vec<Value> = devices.map(|device| entry(name(&device), &device.report)).collect();
    let agent = gpu_agent(json!([bundle(&json!(entries))]));
    Dstack::at(agent.socket()).attest_gpu(&NONCE).await.unwrap()
}

#[tokio::test]
async fn switches_are_missed_where_several_gpus_leave_their_links_to_them() {
    let gpus = |device: &SimulatedDevice| device.architecture.is_gpu();
    let board = listed(&Node::hopper(8), gpus).await;
    assert_eq!(board.switches_missing(), Some("dstack's agent lists none"));
    // With its switches, alone, or with links that it encrypts, a GPU misses none.
    let all = |_: &SimulatedDevice| true;
    for node in [Node::hopper(8), Node::hopper(1), Node::blackwell(8)] {
        assert_eq!(listed(&node, all).await.switches_missing(), None);
    }
    let alone = std::cell::Cell::new(true);
    let one = listed(&Node::hopper(8), |device| gpus(device) && alone.replace(false)).await;
    assert_eq!((one.devices.0.len(), one.switches_missing()), (1, None));
}

#[tokio::test]
async fn refuses_devices_that_do_not_answer_the_nonce() {
    let agent = gpu_agent(json!([bundle(&json!([entry("HOPPER", &device_report([4; 32]))]))]));
    let error = Dstack::at(agent.socket()).attest_gpu(&NONCE).await.unwrap_err();
    assert!(matches!(error, SourceError::AnotherNonce { .. }), "{error}");
}

#[tokio::test]
async fn refuses_devices_of_another_shape() {
    let report = device_report(NONCE);
    let good = entry("HOPPER", &report);
    let with = |member: &str, value: Value| {
        let mut entry = good.clone();
        entry[member] = value;
        json!([bundle(&json!([entry]))])
    };
    let mut other_format = bundle(&json!([good]));
    other_format["format"] = json!("nvidia-nvattest-boottime-json-v1");
    let mut other_vendor = bundle(&json!([good]));
    other_vendor["vendor"] = json!("amd");
    let mut no_hex = bundle(&json!([good]));
    no_hex["evidence"] = json!("zz");
    let cases = [
        (json!({}), "`bundles` is no list"),
        (json!([other_format]), "cannot carry"),
        (json!([other_vendor]), "cannot carry"),
        (json!([no_hex]), "no hex"),
        (json!([bundle(&json!({}))]), "no list of devices"),
        (json!([bundle(&json!(vec![&good; 25]))]), "more devices than a node has"),
        (with("arch", json!("AMPERE")), "`arch` is unknown"),
        (with("evidence", json!("!")), "`evidence` is no base64"),
        (with("evidence", json!(STANDARD.encode(&report[..50]))), "the report ends inside its"),
        (
            with("evidence", json!(STANDARD.encode(vec![0; DEVICE_REPORT_BYTES_MAX + 1]))),
            "report of more than",
        ),
        (with("certificate", json!("!")), "`certificate` is no base64"),
        (with("certificate", json!(STANDARD.encode("text"))), "no PEM"),
        (
            with("certificate", json!(STANDARD.encode("x".repeat(DEVICE_CHAIN_BYTES_MAX + 1)))),
            "certificates of more",
        ),
    ];
    for (bundles, words) in cases {
        let agent = gpu_agent(bundles);
        let error = Dstack::at(agent.socket()).attest_gpu(&NONCE).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn recorded_answers_are_read() {
    let recorded = [
        ("dstack/verifier/quote-report.json", None),
        ("dstack/verifier/tdx-lite-getquote.json", None),
        ("private-ml-sdk/sample_dstack_quote.json", Some("private-ml-sdk/sample_dstack_info.json")),
    ];
    for (name, info) in recorded {
        let Some(quote) = vector(name) else { continue };
        let info = match info {
            Some(info) => vector(info).unwrap(),
            // Recorded without its application: any will do, nothing compares them here.
            None => Answers::new().info.to_string().into_bytes(),
        };
        let answer: Value = serde_json::from_slice(&quote).unwrap();
        let hex_quote = answer["quote"].as_str().unwrap();
        let report_data = hex::decode(&hex_quote[2 * 568..2 * 632]).unwrap();
        let agent = Agent::answering(vec![("/GetQuote", 200, quote), ("/Info", 200, info)]);
        let dstack = Dstack::at(agent.socket());
        let raw = dstack.get_quote(&report_data.try_into().unwrap()).await.unwrap();
        let RawCpu::Tdx { quote, event_log: RawEventLog::Dstack { log_json, .. } } = raw else {
            panic!("{name} is dstack's TDX")
        };
        // The recorded quotes carry zeros behind them.
        let exact = hex::encode(&quote);
        assert!(hex_quote.starts_with(&exact) && exact.len() < hex_quote.len(), "{name}");
        assert_eq!(log_json, answer["event_log"].as_str().unwrap().as_bytes(), "{name}");
        let error = dstack.get_quote(&ASKED).await.unwrap_err();
        assert!(matches!(error, SourceError::AnotherReportData { .. }), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_recorded_application_has_the_hash_it_says() {
    let Some(info) = vector("private-ml-sdk/sample_dstack_info.json") else { return };
    let agent = Agent::answering(vec![("/Info", 200, info)]);
    let info = Dstack::at(agent.socket()).info().await.unwrap();
    assert_eq!(info.app_id, "ab84a54bdaf082be00ea40e8e37bdeb5c15c58de");
    let hash = hex::encode(Sha256::digest(&info.app_compose));
    assert_eq!(hash, "62dd36d22b7d704aaa4d598226801ed4e6a3bfd17dde762b2efd9876768be800");
}

#[tokio::test]
async fn a_recorded_envelope_of_snp_is_read() {
    let Some(file) = vector("dstack/verifier/sev-snp-attestation.json") else { return };
    let recorded: Value = serde_json::from_slice(&file).unwrap();
    let envelope = hex::decode(recorded["attestation"].as_str().unwrap()).unwrap();
    let report_data: [u8; 64] = envelope[4 + 0x50..4 + 0x90].try_into().unwrap();
    let answer = json!({ "quote": "", "event_log": "", "attestation": hex::encode(&envelope) });
    let agent = Agent::answering(vec![ok("/GetQuote", &answer)]);
    let raw = Dstack::at(agent.socket()).get_quote(&report_data).await.unwrap();
    assert_eq!(raw, RawCpu::Snp { report: envelope[4..1_188].to_vec(), certificates: None });
}

#[tokio::test]
async fn recorded_devices_are_read() {
    let folder = "nvidia-attestation-sdk/serialized_test_evidence";
    for (name, count, switches) in [("multi_gpu_hopper", 4, 0), ("multi_switch_ls10", 4, 4)] {
        let Some(file) = vector(&format!("{folder}/{name}.json")) else { continue };
        let entries: Value = serde_json::from_slice(&file).unwrap();
        let nonce = hex::decode(entries[0]["nonce"].as_str().unwrap()).unwrap();
        let agent = gpu_agent(json!([bundle(&entries)]));
        let dstack = Dstack::at(agent.socket());
        let raw = dstack.attest_gpu(&nonce.try_into().unwrap()).await.unwrap();
        assert_eq!(raw.devices.0.len(), count, "{name}");
        let given = match raw.switches {
            Switches::Absent { .. } => 0,
            Switches::Given(given) => given,
        };
        assert_eq!(given, switches, "{name}");
    }
}
