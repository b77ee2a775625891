//! Services of ill manners.

use std::time::Duration;

use subrosa_attester::{EndorseError, Endorser, FetchError, Services};
use subrosa_verifier::ISSUER_CHAIN_BYTES_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::vendors::{Canned, PCK_CRL, QE_IDENTITY, ROOT_CRL, Service, TCB, pccs};
use super::{NOW, machine};

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let machine = machine();
    let elsewhere = Service::start(pccs("tdx", &machine.collateral)).await;
    for status in [301, 302, 303, 307, 308] {
        let service = Service::start(pccs("tdx", &machine.collateral)).await;
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
        let service = Service::start(pccs("tdx", &machine.collateral)).await;
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
    let service = Service::start(pccs("tdx", &machine.collateral)).await;
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
            let service = Service::start(pccs("tdx", &machine.collateral)).await;
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
