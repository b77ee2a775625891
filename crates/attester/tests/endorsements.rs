//! Endorsements from stand-ins of the vendors' services, which answer in the services' own forms.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subrosa_attester::{EndorseError, Endorser, FetchError, Services, Simulator, snp};
use subrosa_nvidia_evidence::{Architecture, Report, Rim, Trailing};
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::{
    AmdCollateral, AmdProduct, CpuEvidence, DeviceCollateral, Devices, Evidence,
    ISSUER_CHAIN_BYTES_MAX, IntelCollateral, Nonce, OCSP_MAX, SnpEvidence, TdxEvidence,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NOW: Timestamp = Timestamp(1_790_000_000);
const DAY_S: u64 = 86_400;

/// What a service answers: by path and query, with the header that holds its signer's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Canned {
    status: u16,
    header: Option<(&'static str, String)>,
    body: Vec<u8>,
}

impl Canned {
    /// An answer without a signer's chain.
    fn bare(body: impl Into<Vec<u8>>) -> Canned {
        Canned { status: 200, header: None, body: body.into() }
    }

    /// A service that does not answer the question, with this status.
    fn refusal(status: u16) -> Canned {
        Canned { status, ..Canned::bare("no") }
    }
}

/// Stands for every question that has no answer of its own.
const ANYTHING: &str = "*";

/// A service on a free port, and what it was asked.
struct Service {
    address: String,
    answers: Arc<Mutex<HashMap<String, Canned>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

type Shared = (Arc<Mutex<HashMap<String, Canned>>>, Arc<Mutex<Vec<String>>>);

impl Service {
    async fn start(answers: HashMap<String, Canned>) -> Service {
        // The client of a test runs without TLS, but is made with it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let answers = Arc::new(Mutex::new(answers));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let shared: Shared = (Arc::clone(&answers), Arc::clone(&asked));
        let router = Router::new().fallback(serve).with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Service { address, answers, asked }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn change(&self, path: &str, change: impl FnOnce(&mut Canned)) {
        change(self.answers.lock().unwrap().get_mut(path).unwrap());
    }

    /// Gives every question this answer.
    fn answer_all(&self, canned: Canned) {
        self.answers.lock().unwrap().insert(ANYTHING.into(), canned);
    }

    fn close(&self) {
        self.answers.lock().unwrap().clear();
    }

    fn endorser(&self, folder: Option<std::path::PathBuf>) -> Endorser {
        let address = self.address.clone();
        let services = Services {
            intel: address.clone(),
            amd: address.clone(),
            nvidia_rim: address.clone(),
            nvidia_ocsp: address,
        };
        Endorser::new(services, folder).unwrap()
    }
}

async fn serve(State((answers, asked)): State<Shared>, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path_and_query().unwrap().to_string();
    asked.lock().unwrap().push(path.clone());
    let posted = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let answers = answers.lock().unwrap();
    let about = |canned: &&Canned| {
        let certificate = certificate_asked_for(&posted);
        canned.body.windows(certificate.len()).any(|window| window == certificate)
    };
    let canned = match posted.is_empty() {
        true => answers.get(&path).or_else(|| answers.get(ANYTHING)),
        false => answers.values().find(about),
    };
    match canned {
        Some(Canned { status, header, body }) => {
            let mut response = Response::builder().status(*status);
            if let Some((name, value)) = header {
                response = response.header(*name, value);
            }
            response.body(Body::from(body.clone())).unwrap()
        }
        None => Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap(),
    }
}

/// The certificate that an OCSP request names: what is left without the headers of four sequences,
/// which stands in the answer byte for byte.
fn certificate_asked_for(request: &[u8]) -> &[u8] {
    let mut rest = request;
    for _ in 0..4 {
        assert_eq!(rest[0], 0x30);
        let header = if rest[1] < 0x80 { 2 } else { 2 + usize::from(rest[1] & 0x7f) };
        rest = &rest[header..];
    }
    rest
}

/// A simulated machine's quote and what Intel would state about it.
fn machine() -> TdxEvidence {
    let nonce =
        Nonce { verifier: B256::ZERO, chain_id: 0, block_number: 0, block_hash: B256::ZERO };
    let evidence = Simulator::new("image").evidence(&nonce, b"k", b"w", NOW).unwrap();
    match evidence.cpu() {
        CpuEvidence::Tdx(tdx) => tdx.clone(),
        other => panic!("not TDX: {:?}", other.cpu()),
    }
}

const TCB: &str = "/tdx/certification/v4/tcb?fmspc=";
const QE_IDENTITY: &str = "/tdx/certification/v4/qe/identity";
const PCK_CRL: &str = "/sgx/certification/v4/pckcrl?ca=processor&encoding=der";
const ROOT_CRL: &str = "/sgx/certification/v4/rootcacrl";

/// The answers of a PCCS that knows one machine.
fn pccs(collateral: &IntelCollateral) -> HashMap<String, Canned> {
    let encoded = |chain: &str| chain.replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B");
    let signed = |member: &str, text: &str, signature: &[u8]| {
        format!("{{\"{member}\":{text},\"signature\":\"{}\"}}", hex::encode(signature)).into_bytes()
    };
    let answer = |name, chain: &str, body| Canned {
        header: Some((name, encoded(chain))),
        ..Canned::bare(body)
    };
    let tcb_info: serde_json::Value = serde_json::from_str(&collateral.tcb_info).unwrap();
    let fmspc = tcb_info["fmspc"].as_str().unwrap().to_lowercase();
    HashMap::from([
        (
            PCK_CRL.to_owned(),
            answer(
                "SGX-PCK-CRL-Issuer-Chain",
                &collateral.pck_crl_issuer_chain,
                collateral.pck_crl.clone(),
            ),
        ),
        (
            format!("{TCB}{fmspc}"),
            answer(
                "TCB-Info-Issuer-Chain",
                &collateral.tcb_info_issuer_chain,
                signed("tcbInfo", &collateral.tcb_info, &collateral.tcb_info_signature),
            ),
        ),
        (
            QE_IDENTITY.to_owned(),
            answer(
                "SGX-Enclave-Identity-Issuer-Chain",
                &collateral.qe_identity_issuer_chain,
                signed(
                    "enclaveIdentity",
                    &collateral.qe_identity,
                    &collateral.qe_identity_signature,
                ),
            ),
        ),
        (ROOT_CRL.to_owned(), Canned::bare(hex::encode(&collateral.root_ca_crl))),
    ])
}

#[tokio::test]
async fn intels_collateral_is_what_the_service_states_byte_for_byte() {
    let machine = machine();
    let service = Service::start(pccs(&machine.collateral)).await;
    let fetched = service.endorser(None).intel(&machine.quote, NOW).await.unwrap();
    assert_eq!(fetched, machine.collateral);
    assert_eq!(service.asked(), 4);
}

#[tokio::test]
async fn signed_text_is_never_written_anew() {
    let machine = machine();
    // White space and an odd number would not survive a second writing.
    let text = machine.collateral.tcb_info.replacen("\"tcbType\":0", "\"tcbType\" : 0.0e0", 1);
    let collateral = IntelCollateral { tcb_info: text, ..machine.collateral };
    let service = Service::start(pccs(&collateral)).await;
    let fetched = service.endorser(None).intel(&machine.quote, NOW).await.unwrap();
    assert_eq!(fetched.tcb_info, collateral.tcb_info);
}

#[tokio::test]
async fn answers_are_kept_for_a_day_and_then_asked_for_again() {
    let machine = machine();
    let service = Service::start(pccs(&machine.collateral)).await;
    let endorser = service.endorser(None);
    for (after, asked) in [(0, 4), (60, 4), (DAY_S - 1, 4), (DAY_S, 8), (DAY_S + 1, 8)] {
        endorser.intel(&machine.quote, Timestamp(NOW.0 + after)).await.unwrap();
        assert_eq!(service.asked(), asked, "after {after} s");
    }
}

#[tokio::test]
async fn while_a_service_is_away_the_kept_answers_serve_until_they_end() {
    let machine = machine();
    let service = Service::start(pccs(&machine.collateral)).await;
    let endorser = service.endorser(None);
    endorser.intel(&machine.quote, NOW).await.unwrap();
    service.close();
    let later = Timestamp(NOW.0 + 20 * DAY_S);
    assert_eq!(endorser.intel(&machine.quote, later).await.unwrap(), machine.collateral);
    let too_late = Timestamp(NOW.0 + 40 * DAY_S);
    let error = endorser.intel(&machine.quote, too_late).await.unwrap_err();
    assert!(
        matches!(error, EndorseError::Fetch(FetchError::Status { status: 404, .. })),
        "{error}"
    );
}

#[tokio::test]
async fn answers_outlive_the_process_in_a_folder() {
    let machine = machine();
    let service = Service::start(pccs(&machine.collateral)).await;
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("endorsements");
    service.endorser(Some(kept.clone())).intel(&machine.quote, NOW).await.unwrap();
    let fetched = service.endorser(Some(kept.clone())).intel(&machine.quote, NOW).await.unwrap();
    assert_eq!((fetched, service.asked()), (machine.collateral.clone(), 4));

    // What was damaged meanwhile is asked for again.
    for file in std::fs::read_dir(&kept).unwrap() {
        std::fs::write(file.unwrap().path(), b"{").unwrap();
    }
    let fetched = service.endorser(Some(kept)).intel(&machine.quote, NOW).await.unwrap();
    assert_eq!((fetched, service.asked()), (machine.collateral, 8));
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_is_named() {
    let machine = machine();
    type Change = fn(&mut Canned);
    let wrong: [(&str, Change); 8] = [
        (PCK_CRL, |canned| canned.body = b"<html>".to_vec()),
        (PCK_CRL, |canned| canned.body = vec![0x30, 0x80]),
        (PCK_CRL, |canned| canned.header = None),
        (ROOT_CRL, |canned| canned.body = b"30".to_vec()),
        (QE_IDENTITY, |canned| canned.body = b"{}".to_vec()),
        (QE_IDENTITY, |canned| {
            canned.body = b"{\"enclaveIdentity\":{},\"signature\":\"00\"}".to_vec()
        }),
        (QE_IDENTITY, |canned| canned.header.as_mut().unwrap().1 = "%zz".into()),
        (QE_IDENTITY, |canned| canned.header.as_mut().unwrap().1 = "nothing".into()),
    ];
    for (case, (path, change)) in wrong.into_iter().enumerate() {
        let service = Service::start(pccs(&machine.collateral)).await;
        service.change(path, change);
        let error = service.endorser(None).intel(&machine.quote, NOW).await.unwrap_err();
        match error {
            EndorseError::Answer { url, .. } => assert!(url.ends_with(path), "case {case}: {url}"),
            error => panic!("case {case}: {error}"),
        }
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let machine = machine();
    let service = Service::start(pccs(&machine.collateral)).await;
    service.change(ROOT_CRL, |canned| canned.body = vec![b'0'; 2 * 1024 * 1024]);
    let error = service.endorser(None).intel(&machine.quote, NOW).await.unwrap_err();
    assert!(matches!(error, EndorseError::Fetch(FetchError::TooLong { .. })), "{error}");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_named_with_what_to_do() {
    let machine = machine();
    let services = Services { intel: "http://127.0.0.1:9".into(), ..Services::vendors() };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let endorser = Endorser::new(services, None).unwrap();
    let error = endorser.intel(&machine.quote, NOW).await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:9") && error.contains("name a mirror"), "{error}");
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn evidence(kind: &str) -> Evidence {
    let nonce =
        Nonce { verifier: B256::ZERO, chain_id: 0, block_number: 0, block_hash: B256::ZERO };
    Simulator::of(kind.parse().unwrap(), "image").evidence(&nonce, b"k", b"w", NOW).unwrap()
}

#[tokio::test]
async fn amds_certificates_are_asked_for_by_chip_and_level() {
    let evidence = evidence("simulated-snp");
    let CpuEvidence::Snp(SnpEvidence { report, collateral }) = evidence.cpu() else {
        panic!("not SNP");
    };
    let chip = hex::encode(&report[0x1a0..0x1e0]);
    let [boot, tee, .., snp, microcode] = &report[0x180..0x188] else { panic!("eight bytes") };
    let level = format!("blSPL={boot:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={microcode:02}");
    let chain = pem(&collateral.ask) + &pem(&collateral.ark);
    let answers = HashMap::from([
        (format!("/vcek/v1/Genoa/{chip}?{level}"), Canned::bare(collateral.vcek.clone())),
        ("/vcek/v1/Genoa/cert_chain".to_owned(), Canned::bare(chain)),
        ("/vcek/v1/Genoa/crl".to_owned(), Canned::bare(collateral.crl.clone())),
    ]);
    let service = Service::start(answers).await;
    let endorser = service.endorser(None);
    assert_eq!(endorser.amd(report, NOW).await.unwrap(), *collateral);
    assert_eq!(endorser.amd(report, NOW).await.unwrap(), *collateral);
    assert_eq!(service.asked(), 3);

    service.change("/vcek/v1/Genoa/cert_chain", |canned| canned.body = b"none".to_vec());
    let error = service.endorser(None).amd(report, NOW).await.unwrap_err();
    assert!(matches!(&error, EndorseError::Answer { url, .. } if url.ends_with("cert_chain")));
}

/// A report of version 2, which does not say that its chip is of this generation, and what AMD states
/// about the chip.
fn older_chip(product: AmdProduct) -> (Vec<u8>, AmdCollateral) {
    let report = snp::SnpReport { version: 2, ..snp::SnpReport::new(product, [0; 48], [0; 64]) };
    (report.sign(), snp::SnpMachine::new(product, NOW).collateral().unwrap())
}

/// Where AMD's service has the certificate of the chip that made a report of version 2.
fn vcek_path(product: AmdProduct, report: &[u8]) -> String {
    let [boot, tee, .., snp, microcode] = &report[0x180..0x188] else { panic!("eight bytes") };
    let level = format!("blSPL={boot:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={microcode:02}");
    format!("/vcek/v1/{product}/{}?{level}", hex::encode(&report[0x1a0..0x1e0]))
}

/// A service that knows one chip.
fn kds(product: AmdProduct, report: &[u8], known: &AmdCollateral) -> HashMap<String, Canned> {
    let chain = pem(&known.ask) + &pem(&known.ark);
    HashMap::from([
        (vcek_path(product, report), Canned::bare(known.vcek.clone())),
        (format!("/vcek/v1/{product}/cert_chain"), Canned::bare(chain)),
        (format!("/vcek/v1/{product}/crl"), Canned::bare(known.crl.clone())),
    ])
}

#[tokio::test]
async fn a_report_that_does_not_name_its_chip_is_asked_for_in_each_generation() {
    for (product, in_vain) in [(AmdProduct::Milan, 0), (AmdProduct::Genoa, 1)] {
        let (report, known) = older_chip(product);
        let service = Service::start(kds(product, &report, &known)).await;
        let folder = tempfile::tempdir().unwrap();
        let kept = || Some(folder.path().to_owned());
        let endorser = service.endorser(kept());
        assert_eq!(endorser.amd(&report, NOW).await.unwrap(), known, "{product}");
        assert_eq!(service.asked(), 3 + in_vain, "{product}");
        // What was found is found again, by this process and by the next, with no question in vain.
        assert_eq!(endorser.amd(&report, NOW).await.unwrap(), known);
        assert_eq!(service.endorser(kept()).amd(&report, NOW).await.unwrap(), known);
        assert_eq!(service.asked(), 3 + in_vain, "{product}");
    }
}

#[tokio::test]
async fn a_certificate_whose_key_did_not_sign_the_report_is_passed_over() {
    let (report, known) = older_chip(AmdProduct::Genoa);
    let mut answers = kds(AmdProduct::Genoa, &report, &known);
    // Under the other generation the service has somebody else's.
    let other = Canned::bare(known.ask.clone());
    answers.insert(vcek_path(AmdProduct::Milan, &report), other);
    let service = Service::start(answers).await;
    assert_eq!(service.endorser(None).amd(&report, NOW).await.unwrap(), known);

    service.change(&vcek_path(AmdProduct::Genoa, &report), |canned| canned.body = known.ask);
    let error = service.endorser(None).amd(&report, NOW).await.unwrap_err();
    assert!(matches!(error, EndorseError::UnknownChip { .. }), "{error}");
}

#[tokio::test]
async fn a_chip_that_amd_does_not_know_in_any_generation_is_named_so() {
    let (report, _) = older_chip(AmdProduct::Genoa);
    let service = Service::start(HashMap::new()).await;
    let error = service.endorser(None).amd(&report, NOW).await.unwrap_err();
    let named =
        matches!(&error, EndorseError::UnknownChip { service: at } if *at == service.address);
    assert!(named, "{error}");
    assert_eq!(service.asked(), 2);
}

#[tokio::test]
async fn a_service_that_refuses_says_nothing_about_the_generation() {
    let (report, known) = older_chip(AmdProduct::Genoa);
    for status in [403, 429, 500, 503] {
        let mut answers = kds(AmdProduct::Genoa, &report, &known);
        answers.insert(vcek_path(AmdProduct::Milan, &report), Canned::refusal(status));
        let service = Service::start(answers).await;
        let error = service.endorser(None).amd(&report, NOW).await.unwrap_err();
        assert!(
            matches!(error, EndorseError::Fetch(FetchError::Status { status: got, .. }) if got == status),
            "{error}"
        );
        assert_eq!(service.asked(), 1);
    }
}

#[tokio::test]
async fn a_report_that_names_no_chip_asks_nobody() {
    let service = Service::start(HashMap::new()).await;
    let honest = snp::SnpReport::new(AmdProduct::Genoa, [0; 48], [0; 64]);
    let hidden = snp::SnpReport { chip_id: [0; 64], ..honest };
    let unknown = snp::SnpReport { cpuid: [0x18, 0, 0], ..honest };
    let short = honest.sign()[1..].to_vec();
    for wrong in [hidden.sign(), unknown.sign(), short, vec![]] {
        let error = service.endorser(None).amd(&wrong, NOW).await.unwrap_err();
        assert!(matches!(error, EndorseError::Evidence(_)), "{error}");
    }
    assert_eq!(service.asked(), 0);
}

#[tokio::test]
async fn nvidias_answers_are_asked_for_once_however_many_devices_need_them() {
    let evidence = evidence("simulated-tdx-8gpu");
    let devices = Devices::from_bytes(evidence.devices()).unwrap();
    let known = evidence.device_collateral();
    let mut answers = HashMap::new();
    let reports = devices.0.iter().map(|device| {
        let architecture =
            Architecture::from_name(&device.architecture.as_str().to_uppercase()).unwrap();
        (Report::parse(&device.report, Trailing::Refuse).unwrap(), architecture)
    });
    let ids: HashSet<String> = reports
        .flat_map(|(report, of)| [report.driver_rim_id(of), report.vbios_rim_id(of)])
        .flatten()
        .collect();
    for id in ids {
        let names = |xml: &&Vec<u8>| {
            let version = Rim::parse(xml).unwrap().identity().version.clone();
            id.ends_with(&version) || id.ends_with(&version.replace('.', ""))
        };
        let xml = known.rims.iter().find(names).unwrap();
        let json = serde_json::json!({ "id": id, "rim": STANDARD.encode(xml) });
        answers.insert(format!("/v1/rim/{id}"), Canned::bare(json.to_string()));
    }
    for der in &known.ocsp {
        answers.insert(hex::encode(der), Canned::bare(der.clone()));
    }
    let asked = answers.len();
    let service = Service::start(answers).await;
    let endorser = service.endorser(None);
    let mut fetched = endorser.nvidia(&devices, NOW).await.unwrap();
    assert_eq!(service.asked(), asked);
    let mut known = known.clone();
    for lists in [&mut fetched, &mut known] {
        lists.rims.sort();
        lists.ocsp.sort();
    }
    assert_eq!((&fetched.rims, &fetched.ocsp), (&known.rims, &known.ocsp));

    service.close();
    assert!(service.endorser(None).nvidia(&devices, NOW).await.is_err());
    let none = service.endorser(None).nvidia(&Devices::default(), NOW).await.unwrap();
    assert_eq!(none, DeviceCollateral::default());
}

#[tokio::test]
async fn bytes_that_are_no_quote_ask_nobody() {
    let service = Service::start(HashMap::new()).await;
    let error = service.endorser(None).intel(b"garbage", NOW).await.unwrap_err();
    assert!(matches!(error, EndorseError::Evidence(_)), "{error}");
    assert_eq!(service.asked(), 0);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let machine = machine();
    let elsewhere = Service::start(pccs(&machine.collateral)).await;
    for status in [301, 302, 303, 307, 308] {
        let service = Service::start(pccs(&machine.collateral)).await;
        let to = format!("{}{PCK_CRL}", elsewhere.address);
        service.change(PCK_CRL, |canned| {
            *canned = Canned { header: Some(("location", to)), ..Canned::refusal(status) };
        });
        let error = service.endorser(None).intel(&machine.quote, NOW).await.unwrap_err();
        assert!(
            matches!(error, EndorseError::Fetch(FetchError::Status { status: got, .. }) if got == status),
            "{error}"
        );
    }
    assert_eq!(elsewhere.asked(), 0);
}

#[tokio::test]
async fn only_a_plain_success_is_an_answer() {
    let machine = machine();
    for status in [201, 204, 206, 400, 401, 404, 429, 500, 503] {
        let service = Service::start(pccs(&machine.collateral)).await;
        // The body is the right one; the service does not stand by it.
        service.change(ROOT_CRL, |canned| canned.status = status);
        let error = service.endorser(None).intel(&machine.quote, NOW).await.unwrap_err();
        assert!(
            matches!(error, EndorseError::Fetch(FetchError::Status { status: got, .. }) if got == status),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_content_type_decides_nothing() {
    let machine = machine();
    let service = Service::start(pccs(&machine.collateral)).await;
    service.change(ROOT_CRL, |canned| canned.header = Some(("content-type", "text/html".into())));
    let fetched = service.endorser(None).intel(&machine.quote, NOW).await.unwrap();
    assert_eq!(fetched, machine.collateral);
    service.change(ROOT_CRL, |canned| {
        canned.header = Some(("content-type", "application/pkix-crl".into()));
        canned.body = b"<html>not found</html>".to_vec();
    });
    let error = service.endorser(None).intel(&machine.quote, NOW).await.unwrap_err();
    assert!(matches!(error, EndorseError::Answer { .. }), "{error}");
}

#[tokio::test]
async fn each_answer_that_has_a_signer_needs_the_signers_chain() {
    let machine = machine();
    let tcb_info: serde_json::Value = serde_json::from_str(&machine.collateral.tcb_info).unwrap();
    let tcb = format!("{TCB}{}", tcb_info["fmspc"].as_str().unwrap().to_lowercase());
    let begin = "-----BEGIN%20CERTIFICATE-----";
    let long = format!("{begin}{}", "A".repeat(ISSUER_CHAIN_BYTES_MAX));
    for path in [PCK_CRL, &tcb, QE_IDENTITY] {
        for header in [None, Some(""), Some("%"), Some("-----BEGIN"), Some(&long)] {
            let service = Service::start(pccs(&machine.collateral)).await;
            service.change(path, |canned| {
                let name = canned.header.take().unwrap().0;
                canned.header = header.map(|header| (name, header.to_owned()));
            });
            let error = service.endorser(None).intel(&machine.quote, NOW).await.unwrap_err();
            match error {
                EndorseError::Answer { url, .. } => assert!(url.ends_with(path), "{url}"),
                error => panic!("{path}: {error}"),
            }
        }
    }
}

/// What a service does with a connection once it was asked something.
#[derive(Clone, Copy)]
enum Manner {
    /// Declares a length, sends less and hangs up.
    BreaksOff,
    /// Sends a byte a second, for ever.
    Drips,
    /// Sends without declaring a length, for ever.
    Floods,
    /// Hangs up before its headers are complete.
    HangsUp,
    /// Says nothing, for ever.
    Silent,
    /// Answers something other than HTTP.
    Speaks(&'static [u8]),
}

/// A service of ill manners on a free port; its address.
async fn ill_mannered(manner: Manner) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(misbehave(stream, manner));
        }
    });
    address
}

async fn misbehave(mut stream: TcpStream, manner: Manner) -> std::io::Result<()> {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        asked.push(stream.read_u8().await?);
    }
    match manner {
        Manner::BreaksOff => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n30820101").await
        }
        Manner::Drips => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await?;
            loop {
                stream.write_all(b"0").await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Manner::Floods => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            loop {
                stream.write_all(b"4\r\n3030\r\n").await?;
            }
        }
        Manner::HangsUp => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-").await,
        Manner::Silent => std::future::pending().await,
        Manner::Speaks(words) => stream.write_all(words).await,
    }
}

async fn refusal_of(manner: Manner) -> FetchError {
    let services = Services { intel: ill_mannered(manner).await, ..Services::vendors() };
    let endorser = Endorser::new(services, None).unwrap();
    match endorser.intel(&machine().quote, NOW).await.unwrap_err() {
        EndorseError::Fetch(error) => error,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    for manner in [Manner::BreaksOff, Manner::HangsUp, Manner::Speaks(b"SSH-2.0\r\n\r\n")] {
        let error = refusal_of(manner).await;
        assert!(matches!(error, FetchError::Away { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off() {
    let error = refusal_of(Manner::Floods).await;
    assert!(matches!(error, FetchError::TooLong { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_drips_or_is_silent_is_given_half_a_minute() {
    for manner in [Manner::Drips, Manner::Silent] {
        let before = tokio::time::Instant::now();
        let error = refusal_of(manner).await;
        assert!(matches!(error, FetchError::Away { .. }), "{error}");
        assert_eq!(before.elapsed().as_secs(), 30);
    }
}

/// The one answer of AMD's that ends soon, and what asks for it.
fn listed_until(ends: Timestamp) -> (Vec<u8>, HashMap<String, Canned>) {
    let (report, mut known) = older_chip(AmdProduct::Milan);
    let machine =
        snp::SnpMachine { crl_life: (NOW, ends), ..snp::SnpMachine::new(AmdProduct::Milan, NOW) };
    known.crl = machine.collateral().unwrap().crl;
    let answers = kds(AmdProduct::Milan, &report, &known);
    (report, answers)
}

#[tokio::test]
async fn an_answer_that_ends_soon_is_renewed_before_it_does() {
    let (report, answers) = listed_until(Timestamp(NOW.0 + 300));
    let service = Service::start(answers).await;
    let endorser = service.endorser(None);
    for (after, asked) in [(0, 3), (199, 3), (200, 4), (299, 5)] {
        // The list is the same each time, so that its life counts from a later moment on.
        endorser.amd(&report, Timestamp(NOW.0 + after)).await.unwrap();
        assert_eq!(service.asked(), asked, "after {after} s");
    }
}

#[tokio::test]
async fn a_garbled_answer_does_not_replace_a_kept_one() {
    let (report, answers) = listed_until(Timestamp(NOW.0 + 300));
    let service = Service::start(answers).await;
    let endorser = service.endorser(None);
    let first = endorser.amd(&report, NOW).await.unwrap();
    service.change("/vcek/v1/Milan/crl", |canned| canned.body = b"<html>".to_vec());
    assert_eq!(endorser.amd(&report, Timestamp(NOW.0 + 299)).await.unwrap(), first);
    let error = endorser.amd(&report, Timestamp(NOW.0 + 300)).await.unwrap_err();
    assert!(matches!(error, EndorseError::Answer { .. }), "{error}");
}

/// The files of a folder in which endorsements are kept.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_was_kept_in_files_serves_a_process_that_starts_while_the_service_is_away() {
    let machine = machine();
    let service = Service::start(pccs(&machine.collateral)).await;
    let folder = tempfile::tempdir().unwrap();
    let endorser = || service.endorser(Some(folder.path().to_owned()));
    endorser().intel(&machine.quote, NOW).await.unwrap();
    service.close();
    let later = Timestamp(NOW.0 + 20 * DAY_S);
    assert_eq!(endorser().intel(&machine.quote, later).await.unwrap(), machine.collateral);
    // Older than what it says counts, it is no answer.
    let too_late = Timestamp(NOW.0 + 40 * DAY_S);
    let error = endorser().intel(&machine.quote, too_late).await.unwrap_err();
    assert!(matches!(error, EndorseError::Fetch(FetchError::Status { .. })), "{error}");
}

#[tokio::test]
async fn files_that_are_torn_swapped_or_not_ours_are_asked_for_again() {
    let machine = machine();
    let service = Service::start(pccs(&machine.collateral)).await;
    let folder = tempfile::tempdir().unwrap();
    let endorser = || service.endorser(Some(folder.path().to_owned()));
    endorser().intel(&machine.quote, NOW).await.unwrap();
    let honest: Vec<_> = files(folder.path())
        .into_iter()
        .map(|file| (std::fs::read(&file).unwrap(), file))
        .collect();
    type Damage = fn(&[u8], &[u8]) -> Vec<u8>;
    let damages: [Damage; 7] = [
        |_, _| vec![],
        |_, _| b"{}".to_vec(),
        |_, _| vec![0xff; 5 * 1024 * 1024],
        |own, _| own[..own.len() / 2].to_vec(),
        |own, _| [own, b"{}"].concat(),
        |own, _| own.strip_suffix(b"}").unwrap().iter().chain(b",\"more\":1}").copied().collect(),
        |_, other| other.to_vec(),
    ];
    for (case, damage) in damages.into_iter().enumerate() {
        let before = service.asked();
        for (at, (own, file)) in honest.iter().enumerate() {
            let (other, _) = &honest[(at + 1) % honest.len()];
            std::fs::write(file, damage(own, other)).unwrap();
        }
        let fetched = endorser().intel(&machine.quote, NOW).await.unwrap();
        assert_eq!((fetched, service.asked() - before), (machine.collateral.clone(), 4), "{case}");
    }
}

#[tokio::test]
async fn an_answer_that_a_file_dates_into_the_future_is_asked_for_again() {
    let machine = machine();
    let service = Service::start(pccs(&machine.collateral)).await;
    let folder = tempfile::tempdir().unwrap();
    let endorser = || service.endorser(Some(folder.path().to_owned()));
    let tomorrow = Timestamp(NOW.0 + DAY_S);
    endorser().intel(&machine.quote, tomorrow).await.unwrap();
    endorser().intel(&machine.quote, NOW).await.unwrap();
    assert_eq!(service.asked(), 8);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_costs_questions_alone() {
    let machine = machine();
    let service = Service::start(pccs(&machine.collateral)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"no folder").unwrap();
    for asked in [4, 8] {
        let endorser = service.endorser(Some(file.join("endorsements")));
        let fetched = endorser.intel(&machine.quote, NOW).await.unwrap();
        assert_eq!((fetched, service.asked()), (machine.collateral.clone(), asked));
    }
}

#[tokio::test]
async fn more_certificates_than_a_document_has_room_for_are_not_asked_about() {
    let evidence = evidence("simulated-tdx-gpu");
    let devices = Devices::from_bytes(evidence.devices()).unwrap();
    let certificate = |number: usize| {
        let base64 = STANDARD.encode(number.to_be_bytes());
        format!("<ds:X509Certificate>{base64}</ds:X509Certificate>")
    };
    let xml: String = (0..OCSP_MAX + 2).map(certificate).collect();
    let service = Service::start(HashMap::new()).await;
    service.answer_all(Canned::bare(format!("{{\"rim\":\"{}\"}}", STANDARD.encode(xml))));
    let error = service.endorser(None).nvidia(&devices, NOW).await.unwrap_err();
    assert!(error.to_string().contains("more certificates than fit"), "{error}");
    assert_eq!(service.asked(), 2, "the driver's and the firmware's measurements");
}
