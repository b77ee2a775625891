//! Endorsements from stand-ins of the vendors' services, which answer in the services' own forms.

mod amd;
mod hostile;
mod kept;
mod vendors;

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subrosa_attester::{EndorseError, Endorser, FetchError, Services, Simulator};
use subrosa_protocol::{B256, Timestamp};
use subrosa_verifier::{
    CpuEvidence, DeviceCollateral, Devices, Evidence, IntelCollateral, Nonce, OCSP_MAX,
    SnpEvidence, TdxEvidence,
};

use vendors::{Canned, PCK_CRL, QE_IDENTITY, ROOT_CRL, Service, nvidia, pccs, pem};

const NOW: Timestamp = Timestamp(1_790_000_000);
const DAY_S: u64 = 86_400;

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

#[tokio::test]
async fn intels_collateral_is_what_the_service_states_byte_for_byte() {
    let machine = machine();
    let service = Service::start(pccs("tdx", &machine.collateral)).await;
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
    let service = Service::start(pccs("tdx", &collateral)).await;
    let fetched = service.endorser(None).intel(&machine.quote, NOW).await.unwrap();
    assert_eq!(fetched.tcb_info, collateral.tcb_info);
}

#[tokio::test]
async fn answers_are_kept_for_a_day_and_then_asked_for_again() {
    let machine = machine();
    let service = Service::start(pccs("tdx", &machine.collateral)).await;
    let endorser = service.endorser(None);
    for (after, asked) in [(0, 4), (60, 4), (DAY_S - 1, 4), (DAY_S, 8), (DAY_S + 1, 8)] {
        endorser.intel(&machine.quote, Timestamp(NOW.0 + after)).await.unwrap();
        assert_eq!(service.asked(), asked, "after {after} s");
    }
}

#[tokio::test]
async fn while_a_service_is_away_the_kept_answers_serve_until_they_end() {
    let machine = machine();
    let service = Service::start(pccs("tdx", &machine.collateral)).await;
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
    let service = Service::start(pccs("tdx", &machine.collateral)).await;
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
        let service = Service::start(pccs("tdx", &machine.collateral)).await;
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
    let service = Service::start(pccs("tdx", &machine.collateral)).await;
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

#[tokio::test]
async fn nvidias_answers_are_asked_for_once_however_many_devices_need_them() {
    let evidence = evidence("simulated-tdx-8gpu");
    let devices = Devices::from_bytes(evidence.devices()).unwrap();
    let known = evidence.device_collateral();
    let answers = nvidia(&devices, known);
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
