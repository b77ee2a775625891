//! What a pod answers outside the seal, and to those who hold its connections.

mod support;

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use subrosa_protocol::{B256, Timestamp};
use subrosa_seal::{MEDIA_TYPE_REQUEST, SEALED_REQUEST_BYTES_MAX};
use subrosa_verifier::{
    CheckName, Document, Endorsements, Evidence, Outcome, Policy, Releases, Verdict, examine,
};
use support::{Home, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[tokio::test]
async fn a_question_in_the_clear_is_refused_and_told_what_to_use() {
    let home = Home::new();
    let pod = home.start().await;
    let (http, base) = (http::client(), format!("https://{}", pod.local_addr()));
    for path in ["/v1/chat/completions", "/v1/models", "/api/chat", "/api/tags", "/v1", "/v1/a/b"] {
        for request in
            [http.get(format!("{base}{path}")), http.post(format!("{base}{path}")).body("{}")]
        {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 421, "{path}");
            let error: serde_json::Value = response.json().await.unwrap();
            assert_eq!(error["error"]["code"], "plaintext_refused");
            assert!(error["error"]["message"].as_str().unwrap().contains("subrosa gateway"));
        }
    }
    pod.shutdown().await;
}

#[tokio::test]
async fn what_is_asked_outside_the_seal_has_one_spelling() {
    let home = Home::new();
    let pod = home.start().await;
    let (http, base) = (http::client(), format!("https://{}", pod.local_addr()));
    let good = "ab".repeat(32);
    for (path, status) in [
        ("/subrosa/v1/evidence".to_owned(), 200),
        (format!("/subrosa/v1/evidence?nonce={good}"), 200),
        (format!("/subrosa/v1/keys?nonce={good}"), 200),
        ("/subrosa/v1/offer".to_owned(), 200),
        ("/subrosa/v1/keys".to_owned(), 400),
        ("/subrosa/v1/keys?nonce=ab".to_owned(), 400),
        (format!("/subrosa/v1/evidence?nonce={}", "00".repeat(32)), 400),
        (format!("/subrosa/v1/evidence?nonce={}", good.to_uppercase()), 400),
        ("/subrosa/v1/ask".to_owned(), 404),
        ("/".to_owned(), 404),
    ] {
        let response = http.get(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
    }
    let shared = http.get(format!("{base}/subrosa/v1/evidence")).send().await.unwrap();
    let shared = Evidence::parse(&shared.bytes().await.unwrap()).unwrap();
    assert!(shared.nonce().verifier.is_zero());
    pod.shutdown().await;
}

/// The checks that other people's verifiers make (spec/pod.md 11), by hand.
#[tokio::test]
async fn other_peoples_verifiers_get_a_report_of_their_form() {
    let home = Home::new();
    let pod = home.start().await;
    let (http, base) =
        (http::client(), format!("https://{}/v1/attestation/report", pod.local_addr()));
    let nonce = "4c".repeat(32);
    let url = format!("{base}?nonce={nonce}&signing_algo=ecdsa");
    let report: serde_json::Value = http.get(url).send().await.unwrap().json().await.unwrap();
    let text = |name: &str| report[name].as_str().unwrap().to_owned();

    assert_eq!((text("request_nonce"), text("signing_algo")), (nonce.clone(), "ecdsa".into()));
    let key = hex::decode(text("signing_public_key")).unwrap();
    let address = format!("0x{}", hex::encode(&alloy_primitives::keccak256(&key)[12..]));
    assert_eq!(text("signing_address"), address);
    assert_eq!(address, format!("{:#x}", pod.signer()));
    let quote = hex::decode(text("intel_quote")).unwrap();
    let report_data = &quote[48 + 520..48 + 584];
    assert_eq!(hex::encode(&report_data[..20]), address[2..]);
    assert_eq!(report_data[20..32], [0; 12]);
    assert_eq!(hex::encode(&report_data[32..]), nonce);
    assert_eq!(report["all_attestations"][0]["intel_quote"], report["intel_quote"]);

    let url = format!("{base}?nonce={nonce}&include_tls_fingerprint=true");
    let bound: serde_json::Value = http.get(url).send().await.unwrap().json().await.unwrap();
    let fingerprint = hex::decode(bound["tls_cert_fingerprint"].as_str().unwrap()).unwrap();
    let joined = [hex::decode(&address[2..]).unwrap(), fingerprint].concat();
    let quote = hex::decode(bound["intel_quote"].as_str().unwrap()).unwrap();
    assert_eq!(quote[48 + 520..48 + 552], *subrosa_protocol::hash::sha256(&joined));
    pod.shutdown().await;
}

/// The same checks and more, by our own reader of that form.
#[tokio::test]
async fn a_report_with_an_event_log_and_a_gpu_passes_every_check_of_its_form() {
    let mut home = Home::new();
    home.machine = "simulated-tdx-dstack-gpu".parse().unwrap();
    let pod = home.start().await;
    let (http, base) = (http::client(), format!("https://{}", pod.local_addr()));
    let get = async |path: &str| {
        http.get(format!("{base}{path}")).send().await.unwrap().bytes().await.unwrap()
    };
    let (nonce, other) = (B256::repeat_byte(0x4c), B256::repeat_byte(0x4d));
    let answer = get(&format!("/v1/attestation/report?nonce={}", hex::encode(nonce))).await;
    let evidence = get("/subrosa/v1/evidence").await;
    pod.shutdown().await;

    let json: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    let payload: serde_json::Value =
        serde_json::from_str(json["nvidia_payload"].as_str().unwrap()).unwrap();
    assert_eq!(payload["nonce"], hex::encode(nonce));
    assert_eq!(payload["evidence_list"][0]["arch"], "HOPPER");
    let compose = json["info"]["tcb_info"]["app_compose"].as_str().unwrap();
    let compose_hash = subrosa_protocol::hash::sha256(compose.as_bytes());
    let quote = hex::decode(json["intel_quote"].as_str().unwrap()).unwrap();
    assert_eq!(quote[48 + 184..][..33], [&[1][..], compose_hash.as_slice()].concat());

    let document = Document::parse(&answer).unwrap();
    let mut endorsements = Endorsements::default();
    endorsements.add(&evidence).unwrap();
    let policy = Policy::simulated(Releases::default());
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let check = |nonce| examine(&document, &endorsements, Some(nonce), &policy, Timestamp(now));
    let report = check(nonce);
    assert_eq!(report.verdict, Verdict::Accepted, "{}", report.sentence());
    for name in [
        CheckName::TeeQuoteSignature,
        CheckName::EventLogIntegrity,
        CheckName::ComposeBinding,
        CheckName::TeeReportdataBinding,
        CheckName::NvidiaNonce,
        CheckName::NvidiaMeasurements,
    ] {
        assert_eq!(report.outcome(name), Outcome::Passed, "{name}");
    }
    let refused = check(other);
    assert_eq!(refused.first_failure().unwrap().name, CheckName::NonceMatch);
}

#[tokio::test]
async fn machines_without_a_tdx_quote_have_no_report_of_that_form() {
    for machine in ["simulated-sgx", "simulated-snp"] {
        let mut home = Home::new();
        home.machine = machine.parse().unwrap();
        let pod = home.start().await;
        let url = format!("https://{}/v1/attestation/report", pod.local_addr());
        let response = http::client().get(url).send().await.unwrap();
        assert_eq!(response.status(), 404, "{machine}");
        let error: serde_json::Value = response.json().await.unwrap();
        assert_eq!(error["error"]["code"], "no_tdx_quote");
        pod.shutdown().await;
    }
}

#[tokio::test]
async fn a_report_that_was_not_asked_for_rightly_is_refused() {
    let home = Home::new();
    let pod = home.start().await;
    let (http, base) =
        (http::client(), format!("https://{}/v1/attestation/report", pod.local_addr()));
    let stranger = format!("0x{}", "12".repeat(20));
    for (query, status) in [
        (format!("nonce={}", "00".repeat(32)), 400),
        ("nonce=12".to_owned(), 400),
        ("signing_algo=ed25519".to_owned(), 400),
        (format!("signing_address={stranger}"), 404),
        (format!("signing_address={:#x}", pod.signer()), 200),
        (String::new(), 200),
    ] {
        let response = http.get(format!("{base}?{query}")).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{query}");
    }
    assert_eq!(http.post(&base).body("{}").send().await.unwrap().status(), 421);
    let mut last = 200;
    for _ in 0..100 {
        last = http.get(&base).send().await.unwrap().status().as_u16();
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429, "reports are as dear as quotes");
    pod.shutdown().await;
}

#[tokio::test]
async fn verifiers_together_get_only_so_many_quotes() {
    let home = Home::new();
    let pod = home.start().await;
    let (http, base) = (http::client(), format!("https://{}", pod.local_addr()));
    let mut refused = None;
    for _ in 0..100 {
        let nonce = hex::encode(rand::random::<[u8; 32]>());
        let url = format!("{base}/subrosa/v1/evidence?nonce={nonce}");
        let response = http.get(url).send().await.unwrap();
        if response.status() == 429 {
            refused = Some(response);
            break;
        }
    }
    assert_eq!(refused.expect("a bound").headers()["retry-after"], "1");
    let shared = http.get(format!("{base}/subrosa/v1/evidence")).send().await.unwrap();
    assert_eq!(shared.status(), 200);
    pod.shutdown().await;
}

#[tokio::test]
async fn what_is_no_sealed_request_is_refused_outside_the_seal_without_detail() {
    let home = Home::new();
    let pod = home.start().await;
    let (http, url) = (http::client(), format!("https://{}/subrosa/v1/ask", pod.local_addr()));
    let post = |media_type: &'static str, body: Vec<u8>| {
        http.post(&url).header("content-type", media_type).body(body).send()
    };
    let too_large = vec![0; SEALED_REQUEST_BYTES_MAX + 1];
    for (media_type, body, status) in [
        ("application/json", b"{}".to_vec(), 415),
        (MEDIA_TYPE_REQUEST, vec![], 400),
        (MEDIA_TYPE_REQUEST, vec![0; 64], 400),
        (MEDIA_TYPE_REQUEST, vec![0xff; 5_000], 400),
        (MEDIA_TYPE_REQUEST, too_large, 413),
    ] {
        let response = post(media_type, body).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
    pod.shutdown().await;
}

async fn connect(pod: &subrosa_pod::Pod, protocol: &[u8]) -> TlsStream<TcpStream> {
    let connector = TlsConnector::from(Arc::new(http::tls(&[protocol])));
    let stream = TcpStream::connect(pod.local_addr()).await.unwrap();
    connector.connect(ServerName::try_from("pod.subrosa.invalid").unwrap(), stream).await.unwrap()
}

/// Reads to the end of the connection and says how long that took, on the paused clock.
async fn closed_after(stream: &mut TlsStream<TcpStream>) -> Duration {
    let begun = tokio::time::Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_or_half_of_its_headers_is_closed() {
    let home = Home::new();
    let pod = home.start().await;
    for (protocol, sent) in [
        (b"http/1.1".as_slice(), "".as_bytes()),
        (b"http/1.1", b"GET /subrosa/v1/offer HTTP/1.1\r\nhost: po"),
        (b"h2", b""),
        (b"h2", b"PRI * HTTP/2.0\r\n"),
    ] {
        let mut stream = connect(&pod, protocol).await;
        stream.write_all(sent).await.unwrap();
        stream.flush().await.unwrap();
        let after = closed_after(&mut stream).await;
        assert!(after <= Duration::from_secs(25), "{after:?} for {}", sent.escape_ascii());
    }
    pod.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let home = Home::new();
    let pod = home.start().await;
    let mut stream = connect(&pod, b"http/1.1").await;
    let head = format!(
        "POST /subrosa/v1/ask HTTP/1.1\r\nhost: pod\r\ncontent-type: {MEDIA_TYPE_REQUEST}\r\n\
         content-length: 5000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = [0; 64];
    let begun = tokio::time::Instant::now();
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 408"), "{}", answer[..read].escape_ascii());
    assert!(begun.elapsed() <= Duration::from_secs(31));
    drop(stream);
    pod.shutdown().await;
}
