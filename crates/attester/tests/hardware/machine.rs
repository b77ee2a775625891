//! Whole documents of machines whose hardware and vendors are stand-ins: a client of a simulated
//! network accepts them.

use std::collections::HashMap;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode, Uri};
use serde_json::{Value, json};
use subrosa_attester::hardware::{
    DeviceSource, Dstack, Gramine, Machine, Nvml, ProcessorSource, SourceError,
};
use subrosa_attester::{
    AttestError, Attester, EndorseError, Endorser, Services, SimulatedCpu, SimulatedGpus,
    SimulatedKind, Simulator,
};
use subrosa_protocol::manifest::{Layer, ModelManifest};
use subrosa_protocol::workload::{Backend, BackendKind, WorkloadModel};
use subrosa_protocol::{Address, B256, Keyset, Timestamp, Workload};
use subrosa_verifier::{
    Attested, CheckName, CpuEvidence, Evidence, Freshness, IntelCollateral, Nonce, Outcome, Policy,
    Refusal, Releases, report_data, verify,
};

use super::dstack::Agent;
use super::nvml::StandIn;
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

/// A PCCS that knows the platform of these statements, and nobody else's anything.
async fn vendors(collateral: &IntelCollateral, tee: &str) -> Services {
    // The client of a test runs without TLS, but is made with it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tcb_info: Value = serde_json::from_str(&collateral.tcb_info).unwrap();
    let fmspc = tcb_info["fmspc"].as_str().unwrap().to_lowercase();
    let signed = |member: &str, text: &str, signature: &[u8]| {
        format!("{{\"{member}\":{text},\"signature\":\"{}\"}}", hex::encode(signature)).into_bytes()
    };
    let tcb_info = signed("tcbInfo", &collateral.tcb_info, &collateral.tcb_info_signature);
    let signature = &collateral.qe_identity_signature;
    let identity = signed("enclaveIdentity", &collateral.qe_identity, signature);
    let answers: HashMap<String, (&str, String, Vec<u8>)> = HashMap::from([
        (
            "/sgx/certification/v4/pckcrl".into(),
            (
                "SGX-PCK-CRL-Issuer-Chain",
                collateral.pck_crl_issuer_chain.clone(),
                collateral.pck_crl.clone(),
            ),
        ),
        (
            format!("/{tee}/certification/v4/tcb?fmspc={fmspc}"),
            ("TCB-Info-Issuer-Chain", collateral.tcb_info_issuer_chain.clone(), tcb_info),
        ),
        (
            format!("/{tee}/certification/v4/qe/identity"),
            (
                "SGX-Enclave-Identity-Issuer-Chain",
                collateral.qe_identity_issuer_chain.clone(),
                identity,
            ),
        ),
        (
            "/sgx/certification/v4/rootcacrl".into(),
            ("Server", "none".into(), hex::encode(&collateral.root_ca_crl).into_bytes()),
        ),
    ]);
    let serve = move |uri: Uri| {
        let named = uri.path_and_query().unwrap().as_str();
        let answer = answers.get(named).or_else(|| answers.get(uri.path())).cloned();
        async move {
            let Some((name, chain, body)) = answer else {
                let absent = Response::builder().status(StatusCode::NOT_FOUND);
                return absent.body(Body::empty()).unwrap();
            };
            let chain = chain.replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B");
            Response::builder().header(name, chain).body(Body::from(Bytes::from(body))).unwrap()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(serve);
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    Services {
        intel: address.clone(),
        amd: address.clone(),
        nvidia_rim: address.clone(),
        nvidia_ocsp: address,
    }
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
    let endorser = Endorser::new(vendors(&collateral, tee).await, None).unwrap();
    Attester::Hardware(Box::new(Machine::new(processor, devices, endorser)))
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
    let (quote, event_log, app_compose) = simulated_dstack(report_data);
    let quote = json!({
        "quote": hex::encode([&quote[..], &[0; 70]].concat()),
        "event_log": event_log,
        "report_data": hex::encode(report_data),
    });
    let info = json!({ "tcb_info": json!({ "app_compose": app_compose }).to_string() });
    let body = |answer: Value| answer.to_string().into_bytes();
    Agent::answering(vec![("/GetQuote", 200, body(quote)), ("/Info", 200, body(info))])
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
