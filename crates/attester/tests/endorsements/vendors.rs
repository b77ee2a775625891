//! Stand-ins of the vendors' services, which answer in the services' own forms.
// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subrosa_attester::{Endorser, Services};
use subrosa_nvidia_evidence::{Report, Rim, Trailing};
use subrosa_verifier::{AmdCollateral, AmdProduct, DeviceCollateral, Devices, IntelCollateral};

/// What a service answers: by path and query, with the header that holds its signer's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Canned {
    pub(crate) status: u16,
    pub(crate) header: Option<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Canned {
    /// An answer without a signer's chain.
    pub(crate) fn bare(body: impl Into<Vec<u8>>) -> Canned {
        Canned { status: 200, header: None, body: body.into() }
    }

    /// A service that does not answer the question, with this status.
    pub(crate) fn refusal(status: u16) -> Canned {
        Canned { status, ..Canned::bare("no") }
    }
}

/// Stands for every question that has no answer of its own.
const ANYTHING: &str = "*";

/// A service on a free port, and what it was asked.
pub(crate) struct Service {
    pub(crate) address: String,
    answers: Arc<Mutex<HashMap<String, Canned>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

type Shared = (Arc<Mutex<HashMap<String, Canned>>>, Arc<Mutex<Vec<String>>>);

impl Service {
    pub(crate) async fn start(answers: HashMap<String, Canned>) -> Service {
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

    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    pub(crate) fn change(&self, path: &str, change: impl FnOnce(&mut Canned)) {
        change(self.answers.lock().unwrap().get_mut(path).unwrap());
    }

    /// Gives every question this answer.
    pub(crate) fn answer_all(&self, canned: Canned) {
        self.answers.lock().unwrap().insert(ANYTHING.into(), canned);
    }

    pub(crate) fn close(&self) {
        self.answers.lock().unwrap().clear();
    }

    pub(crate) fn endorser(&self, folder: Option<PathBuf>) -> Endorser {
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

pub(crate) const TCB: &str = "/tdx/certification/v4/tcb?fmspc=";
pub(crate) const QE_IDENTITY: &str = "/tdx/certification/v4/qe/identity";
pub(crate) const PCK_CRL: &str = "/sgx/certification/v4/pckcrl?ca=processor&encoding=der";
pub(crate) const ROOT_CRL: &str = "/sgx/certification/v4/rootcacrl";

/// The answers of a PCCS that knows one machine, of SGX or TDX.
pub(crate) fn pccs(tee: &str, collateral: &IntelCollateral) -> HashMap<String, Canned> {
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
            format!("/{tee}/certification/v4/tcb?fmspc={fmspc}"),
            answer(
                "TCB-Info-Issuer-Chain",
                &collateral.tcb_info_issuer_chain,
                signed("tcbInfo", &collateral.tcb_info, &collateral.tcb_info_signature),
            ),
        ),
        (
            format!("/{tee}/certification/v4/qe/identity"),
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

pub(crate) fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Where AMD's service has the certificate of the chip that made a report of version 2.
pub(crate) fn vcek_path(product: AmdProduct, report: &[u8]) -> String {
    let [boot, tee, .., snp, microcode] = &report[0x180..0x188] else { panic!("eight bytes") };
    let level = format!("blSPL={boot:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={microcode:02}");
    format!("/vcek/v1/{product}/{}?{level}", hex::encode(&report[0x1a0..0x1e0]))
}

/// A service that knows one chip.
pub(crate) fn kds(
    product: AmdProduct,
    report: &[u8],
    known: &AmdCollateral,
) -> HashMap<String, Canned> {
    let chain = pem(&known.ask) + &pem(&known.ark);
    HashMap::from([
        (vcek_path(product, report), Canned::bare(known.vcek.clone())),
        (format!("/vcek/v1/{product}/cert_chain"), Canned::bare(chain)),
        (format!("/vcek/v1/{product}/crl"), Canned::bare(known.crl.clone())),
    ])
}

/// The answers of NVIDIA's services about these devices.
pub(crate) fn nvidia(devices: &Devices, known: &DeviceCollateral) -> HashMap<String, Canned> {
    let mut answers = HashMap::new();
    let reports = devices.0.iter().map(|device| {
        (Report::parse(&device.report, Trailing::Refuse).unwrap(), device.architecture)
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
    answers
}
