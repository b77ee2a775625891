//! What dstack's guest agent answers, of any bytes: read or refused, and never over what was not
//! asked.

#![no_main]

mod splice;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use subrosa_attester::fuzzing::{dstack_body, dstack_devices, dstack_info, dstack_quote};
use subrosa_attester::{SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator};
use subrosa_nvidia_evidence::simulator::Node;
use subrosa_protocol::Timestamp;
use subrosa_protocol::encoding::to_base64;
use subrosa_verifier::{
    APP_COMPOSE_BYTES_MAX, CpuEvidence, DEVICES_MAX, Devices, EventLog, QUOTE_BYTES_MAX,
};

use splice::splice;

const NOW: Timestamp = Timestamp(1_790_000_000);
const ASKED: [u8; 64] = [7; 64];
const NONCE: [u8; 32] = [7; 32];

/// How the agent's attestation starts where it holds a report of SEV-SNP.
const SNP_ENVELOPE: [u8; 4] = [0x00, 0x03, 0x81, 0x12];

/// Answers to GetQuote on TDX and on SEV-SNP, to Info and to AttestGpu, what AttestGpu carries in
/// hex, and an answer to Info with its HTTP headers.
fn honest() -> &'static [Vec<u8>; 6] {
    static HONEST: OnceLock<[Vec<u8>; 6]> = OnceLock::new();
    HONEST.get_or_init(|| {
        let said = |cpu| {
            let kind = SimulatedKind { cpu, gpus: SimulatedGpus::None };
            Simulator::of(kind, "image").cpu_evidence(ASKED, NOW).expect("the time is fixed")
        };
        let CpuEvidence::Tdx(tdx) = said(SimulatedCpu::TdxDstack) else { panic!("it is TDX") };
        let EventLog::Dstack { log, app_compose } = tdx.event_log else { panic!("it is dstack's") };
        let CpuEvidence::Snp(snp) = said(SimulatedCpu::Snp) else { panic!("it is SEV-SNP") };
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
        let tdx = json!({
            "quote": hex::encode(tdx.quote),
            "event_log": text(log),
            "report_data": hex::encode(ASKED),
            "vm_config": "{}",
        });
        let envelope = [&SNP_ENVELOPE[..], &snp.report].concat();
        let snp = json!({ "quote": "", "attestation": hex::encode(envelope) });
        let tcb_info = json!({ "app_compose": text(app_compose) });
        let info = json!({ "app_id": "ab", "instance_id": "eb", "tcb_info": tcb_info.to_string() });
        let gpu = Node::hopper(1).evidence(&NONCE).remove(0);
        let entries = json!([{
            "arch": "HOPPER",
            "evidence": to_base64(&gpu.report),
            "certificate": to_base64(gpu.chain_pem.as_bytes()),
        }]);
        let entries = entries.to_string().into_bytes();
        let gpus = attest_gpu(&entries);
        let (info, head) = (info.to_string(), "HTTP/1.1 200 OK\r\ncontent-type: application/json");
        let http = format!("{head}\r\ncontent-length: {}\r\n\r\n{info}", info.len());
        let bytes = |answer: Value| answer.to_string().into_bytes();
        [bytes(tdx), bytes(snp), info.into_bytes(), bytes(gpus), entries, http.into_bytes()]
    })
}

fn attest_gpu(entries: &[u8]) -> Value {
    let format = "nvidia-nvattest-collect-evidence-json-v1";
    let bundle = json!({ "vendor": "nvidia", "format": format, "evidence": hex::encode(entries) });
    json!({ "bundles": [bundle] })
}

fuzz_target!(|input: (u8, u16, u16, &[u8])| {
    let (kind, at, cut, bytes) = input;
    let kind = usize::from(kind) % honest().len();
    let sent = splice(&honest()[kind], at, cut, bytes);
    let json = || serde_json::from_slice::<Value>(&sent).ok();
    match kind {
        0 | 1 => json().iter().for_each(check_quote),
        2 => json().into_iter().for_each(check_info),
        3 => json().iter().for_each(check_devices),
        4 => check_devices(&attest_gpu(&sent)),
        _ => dstack_body(&sent).into_iter().for_each(check_info),
    }
});

fn check_quote(answer: &Value) {
    let Ok(quote) = dstack_quote(answer, &ASKED) else { return };
    assert!(quote.len() <= QUOTE_BYTES_MAX);
    assert!(dstack_quote(answer, &[8; 64]).is_err());
}

fn check_info(answer: Value) {
    if let Ok(info) = dstack_info(answer) {
        assert!(info.app_compose.len() <= APP_COMPOSE_BYTES_MAX);
        assert!(std::str::from_utf8(&info.app_compose).is_ok());
    }
}

fn check_devices(answer: &Value) {
    let Ok(raw) = dstack_devices(answer, &NONCE) else { return };
    assert!(raw.devices.0.len() <= DEVICES_MAX);
    let read = Devices::from_bytes(&raw.devices.to_bytes());
    assert_eq!(read, Ok(raw.devices.clone()));
    assert!(raw.devices.0.is_empty() || dstack_devices(answer, &[8; 32]).is_err());
}
