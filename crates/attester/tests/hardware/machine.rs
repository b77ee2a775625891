//! Whole documents of machines whose hardware and vendors are stand-ins: a client of a simulated
//! network accepts them.

use serde_json::{Value, json};
use subrosa_attester::hardware::{
    DeviceSource, Dstack, Gramine, Machine, Nvml, ProcessorSource, SourceError,
};
use subrosa_attester::{
    AttestError, Attestation, Attester, EndorseError, SimulatedCpu, SimulatedGpus, SimulatedKind,
    Simulator,
};
use subrosa_protocol::manifest::{Layer, ModelManifest};
use subrosa_protocol::workload::{Backend, BackendKind, WorkloadModel};
use subrosa_protocol::{Address, B256, Keyset, Timestamp, Workload};
use subrosa_verifier::{
    Architecture, Attested, CheckName, CpuEvidence, Device, Devices, Evidence, Freshness, Nonce,
    Outcome, Policy, Refusal, Releases, report_data, verify,
};

use super::dstack::{Agent, bundle, entry_with};
use super::nvml::StandIn;
use super::vendors::{Service, nvidia, pccs};
use super::{ASKED, NOW, gramine, simulated, simulated_bytes, simulated_dstack};

fn nonce() -> Nonce {
    let verifier = B256::repeat_byte(9);
    Nonce { verifier, chain_id: 0, block_number: 0, block_hash: B256::ZERO }
}

fn keyset() -> Vec<u8> {
    let not_after = Timestamp(NOW.0 + 90_000);
    Keyset { signer: Address::repeat_byte(0x51), not_after }.to_bytes()
}

fn manifest() -> ModelManifest {
    let sha256 = B256::repeat_byte(0x3a);
    let layer = Layer { role: "weights".into(), path: "model.gguf".into(), size: 1_000, sha256 };
    ModelManifest::new(vec![layer]).unwrap()
}

fn workload() -> Vec<u8> {
    let model = WorkloadModel { name: "smollm2".into(), manifest: manifest(), settings: vec![] };
    let backend = Backend { kind: BackendKind::Builtin, in_image: true, pulls: false };
    Workload { image: "image".into(), backend, exits: vec![], models: vec![model] }.to_bytes()
}

/// What the quote of these parts has to say, without devices.
fn bound() -> [u8; 64] {
    report_data(&nonce(), &keyset(), b"", &workload())
}

/// A machine of this processor and these devices, on which a simulated Intel answers.
async fn attester(
    cpu: SimulatedCpu,
    processor: ProcessorSource,
    devices: DeviceSource,
) -> Attester {
    let (tee, collateral) = match simulated(cpu, ASKED) {
        CpuEvidence::Sgx(sgx) => ("sgx", sgx.collateral),
        CpuEvidence::Tdx(tdx) => ("tdx", tdx.collateral),
        CpuEvidence::Snp(_) => panic!("these machines are Intel's"),
    };
    let service = Service::start(pccs(tee, &collateral)).await;
    Attester::Hardware(Box::new(Machine::new(processor, devices, service.endorser(None))))
}

async fn evidence(attester: &Attester) -> Result<Evidence, AttestError> {
    let made = attester.evidence(&nonce(), &keyset(), &workload(), NOW).await;
    made.map(|made| made.evidence)
}

/// What a strict client of a simulated network makes of a document that came over the wire.
fn appraise(cpu: SimulatedCpu, evidence: &Evidence) -> Result<Attested, Refusal> {
    let received = Evidence::parse(evidence.as_bytes()).unwrap();
    let kind = SimulatedKind { cpu, gpus: SimulatedGpus::None };
    let releases = Releases {
        measurements: vec![Simulator::measurement_of(kind, "image")],
        models: vec![manifest().digest()],
    };
    let freshness = Freshness { nonce: Some(nonce().verifier), chain: None };
    verify(&received, &Policy::simulated(releases), &freshness, NOW)
}

/// An agent of dstack on a machine that quotes these report data.
fn agent(report_data: [u8; 64]) -> Agent {
    Agent::answering(agents_answers(report_data))
}

fn agents_answers(report_data: [u8; 64]) -> Vec<(&'static str, u16, Vec<u8>)> {
    let (quote, event_log, app_compose) = simulated_dstack(report_data);
    let quote = json!({
        "quote": hex::encode([&quote[..], &[0; 70]].concat()),
        "event_log": event_log,
        "report_data": hex::encode(report_data),
    });
    let info = json!({ "tcb_info": json!({ "app_compose": app_compose }).to_string() });
    let body = |answer: Value| answer.to_string().into_bytes();
    vec![("/GetQuote", 200, body(quote)), ("/Info", 200, body(info))]
}

#[tokio::test]
async fn a_document_of_dstack_is_accepted_with_its_log_and_compose_file() {
    let agent = agent(bound());
    let processor = ProcessorSource::Dstack(Dstack::at(agent.socket()));
    let attester = attester(SimulatedCpu::TdxDstack, processor, DeviceSource::None).await;
    assert!(!attester.is_simulated());
    let evidence = evidence(&attester).await.unwrap();
    let attested = appraise(SimulatedCpu::TdxDstack, &evidence).unwrap();
    for name in [CheckName::EventLogIntegrity, CheckName::ComposeBinding] {
        let check = attested.report().checks.iter().find(|check| check.name == name).unwrap();
        assert_eq!(check.outcome, Outcome::Passed, "{name:?}");
    }
}

/// Eight GPUs and, where they are shown, the switches between them; all of one machine of dstack
/// whose vendors are stand-ins. What it makes, and what a client makes of that.
async fn eight_gpus(shows_switches: bool) -> (Attestation, Result<Attested, Refusal>) {
    let kind = SimulatedKind { cpu: SimulatedCpu::TdxDstack, gpus: SimulatedGpus::EightHoppers };
    let simulator = Simulator::of(kind, "image");
    let whole = simulator.evidence(&nonce(), &keyset(), &workload(), NOW).unwrap();
    let CpuEvidence::Tdx(tdx) = whole.cpu() else { panic!("the kind is TDX") };
    let all = Devices::from_bytes(whole.devices()).unwrap();
    let mut answers = pccs("tdx", &tdx.collateral);
    answers.extend(nvidia(&all, whole.device_collateral()));
    let service = Service::start(answers).await;

    let shown = |device: &&Device| shows_switches || device.architecture != Architecture::Ls10;
    let devices = Devices(all.0.iter().filter(shown).cloned().collect());
    let entries = devices
        .0
        .iter()
        .map(|device| entry_with(device.architecture.name(), &device.report, &device.chain));
    let gpus = json!({ "bundles": [bundle(&entries.collect())] }).to_string().into_bytes();
    let bound = report_data(&nonce(), &keyset(), &devices.to_bytes(), &workload());
    let mut answers = agents_answers(bound);
    answers.push(("/v1/AttestGpu", 200, gpus));
    let agent = Agent::answering(answers);

    let dstack = Dstack::at(agent.socket());
    let (processor, devices) =
        (ProcessorSource::Dstack(dstack.clone()), DeviceSource::Dstack(dstack));
    let machine = Machine::new(processor, devices, service.endorser(None));
    let attester = Attester::Hardware(Box::new(machine));
    let made = attester.evidence(&nonce(), &keyset(), &workload(), NOW).await.unwrap();
    let verdict = appraise(SimulatedCpu::TdxDstack, &made.evidence);
    (made, verdict)
}

#[tokio::test]
async fn a_document_with_gpus_and_their_switches_is_accepted() {
    let (made, verdict) = eight_gpus(true).await;
    assert_eq!(made.switches_missing, None);
    let attested = verdict.unwrap();
    for name in [CheckName::NvswitchBinding, CheckName::NvidiaRevocation] {
        let check = attested.report().checks.iter().find(|check| check.name == name).unwrap();
        assert_eq!(check.outcome, Outcome::Passed, "{name:?}");
    }
}

#[tokio::test]
async fn a_pod_hears_why_clients_will_refuse_its_gpus_without_switches() {
    let (made, verdict) = eight_gpus(false).await;
    assert_eq!(made.switches_missing, Some("dstack's agent lists none"));
    assert_eq!(verdict.unwrap_err().failed().name, CheckName::NvswitchBinding);
}

#[tokio::test]
async fn a_document_of_gramine_is_accepted() {
    let enclave = gramine::enclave("dcap", &simulated_bytes(SimulatedCpu::Sgx, bound()));
    let processor = ProcessorSource::Gramine(Gramine::at(enclave.path()));
    let attester = attester(SimulatedCpu::Sgx, processor, DeviceSource::None).await;
    let evidence = evidence(&attester).await.unwrap();
    appraise(SimulatedCpu::Sgx, &evidence).unwrap();
}

#[tokio::test]
async fn the_quote_binds_what_the_devices_said_to_the_same_nonce() {
    // The agent quotes over no devices, so a machine with two has to be refused by its own attester.
    let (agent, gpus) = (agent(bound()), StandIn::with(&[]));
    let processor = ProcessorSource::Dstack(Dstack::at(agent.socket()));
    let devices = DeviceSource::Nvml(gpus.nvml());
    let attester = attester(SimulatedCpu::TdxDstack, processor, devices).await;
    let error = evidence(&attester).await.unwrap_err();
    let other = matches!(&error, AttestError::Source(SourceError::AnotherReportData { .. }));
    assert!(other, "{error}");
    let devices = gpus.nvml().devices(nonce().digest()).await.unwrap().devices;
    let bytes = devices.to_bytes();
    let expected = report_data(&nonce(), &keyset(), &bytes, &workload());
    let asked = agent.asked();
    assert_eq!(asked, [("/GetQuote".into(), json!({ "report_data": hex::encode(expected) }))]);
}

#[tokio::test]
async fn devices_about_which_nobody_states_anything_give_no_document() {
    let gpus = StandIn::with(&[]);
    let library = gpus.nvml();
    let devices = library.devices(nonce().digest()).await.unwrap().devices.to_bytes();
    let bound = report_data(&nonce(), &keyset(), &devices, &workload());
    let agent = agent(bound);
    let processor = ProcessorSource::Dstack(Dstack::at(agent.socket()));
    let attester = attester(SimulatedCpu::TdxDstack, processor, DeviceSource::Nvml(library)).await;
    assert!(matches!(evidence(&attester).await, Err(AttestError::Endorse(_))));
}

#[tokio::test]
async fn a_machine_that_lost_a_source_gives_no_document() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("dstack.sock");
    let here = agent(bound());
    let processor = |socket| ProcessorSource::Dstack(Dstack::at(socket));
    let gone = DeviceSource::Dstack(Dstack::at(&socket));
    let cases = [
        (processor(socket), DeviceSource::None),
        (processor(here.socket()), gone),
        (
            processor(here.socket()),
            DeviceSource::Nvml(Nvml::at(folder.path().join("nvml.so"), "none")),
        ),
    ];
    for (processor, devices) in cases {
        let attester = attester(SimulatedCpu::TdxDstack, processor, devices).await;
        let error = evidence(&attester).await.unwrap_err();
        assert!(matches!(&error, AttestError::Source(SourceError::Absent { .. })), "{error}");
    }
}

#[tokio::test]
async fn a_platform_that_intel_does_not_know_gives_no_document() {
    let agent = agent(bound());
    let processor = ProcessorSource::Dstack(Dstack::at(agent.socket()));
    // These vendors know a platform of SGX, not of TDX.
    let attester = attester(SimulatedCpu::Sgx, processor, DeviceSource::None).await;
    let error = evidence(&attester).await.unwrap_err();
    assert!(matches!(&error, AttestError::Endorse(EndorseError::Fetch(_))), "{error}");
}

#[tokio::test]
async fn a_second_quote_is_over_exactly_the_bytes_asked() {
    let agent = agent(ASKED);
    let processor = ProcessorSource::Dstack(Dstack::at(agent.socket()));
    let attester = attester(SimulatedCpu::TdxDstack, processor, DeviceSource::None).await;
    let second = attester.second_quote(ASKED, Some([1; 32]), NOW).await.unwrap();
    let CpuEvidence::Tdx(tdx) = &second.cpu else { panic!("it is TDX") };
    assert_eq!(tdx.quote, simulated_dstack(ASKED).0);
    assert!(second.devices.0.is_empty());
}

#[tokio::test]
async fn no_second_quote_can_pass_for_one_of_our_documents() {
    let agent = agent(bound());
    let processor = ProcessorSource::Dstack(Dstack::at(agent.socket()));
    let hardware = attester(SimulatedCpu::TdxDstack, processor, DeviceSource::None).await;
    for attester in [hardware, Attester::Simulator(Simulator::new("image"))] {
        let error = attester.second_quote(bound(), None, NOW).await.unwrap_err();
        assert!(matches!(error, AttestError::OwnReportData), "{error}");
    }
    assert!(agent.asked().is_empty());
}
