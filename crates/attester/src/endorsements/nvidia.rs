//! NVIDIA's services: reference measurements by name, and answers on revocation for each certificate.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use sha2::{Digest, Sha384};
use subrosa_nvidia_evidence::{Report, Trailing, ocsp_next_update};
use subrosa_protocol::Timestamp;
use subrosa_verifier::{Device, DeviceCollateral, Devices, OCSP_MAX, RIMS_MAX};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use super::fetch::{Answer, Fetcher, Question};
use super::{EndorseError, Services};

/// Reference measurements count for years; a newer revision replaces them under the same name.
const RIM_LIFE_S: u64 = 30 * 24 * 3_600;

/// RFC 6960 appendix C.1.
const OCSP_REQUEST: &str = "application/ocsp-request";

/// 2.16.840.1.101.3.4.2.2, SHA-384.
const SHA_384: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 2];

/// Asks for what all devices of a node need, each piece once.
pub(super) async fn collateral(
    fetcher: &Fetcher,
    services: &Services,
    devices: &Devices,
    now: Timestamp,
) -> Result<DeviceCollateral, EndorseError> {
    let mut collateral = DeviceCollateral::default();
    let (mut ids, mut links) = (BTreeSet::new(), BTreeSet::new());
    for device in &devices.0 {
        ids.extend(rim_ids(device)?);
        links.extend(device_links(device)?);
    }
    if ids.len() > RIMS_MAX {
        return Err(EndorseError::Evidence(
            "the devices need more reference measurements than fit",
        ));
    }
    for id in ids {
        let question = Question::get(format!("{}/v1/rim/{id}", services.nvidia_rim));
        let ends =
            |answer: &Answer| rim(answer).map(|_| Timestamp(now.0.saturating_add(RIM_LIFE_S)));
        let xml = rim(&fetcher.ask(&question, now, ends).await?)?;
        links.extend(signer_links(&xml));
        collateral.rims.push(xml);
    }
    // Whoever writes measurements chooses how many certificates stand in them.
    if links.len() > OCSP_MAX {
        return Err(EndorseError::Evidence("the devices come with more certificates than fit"));
    }
    for (certificate, issuer) in links {
        let post = Some((OCSP_REQUEST, ocsp_request(&certificate, &issuer)?));
        let question = Question { post, ..Question::get(services.nvidia_ocsp.clone()) };
        collateral.ocsp.push(fetcher.ask(&question, now, ocsp_ends).await?.body);
    }
    Ok(collateral)
}

/// A certificate and the one that issued it, DER.
pub(super) type Link = (Vec<u8>, Vec<u8>);

/// The names of the reference measurements that a device's report calls for.
fn rim_ids(device: &Device) -> Result<Vec<String>, EndorseError> {
    let report = Report::parse(&device.report, Trailing::Refuse)
        .map_err(|_| EndorseError::Evidence("a device's report cannot be read"))?;
    let driver = report.driver_rim_id(device.architecture);
    let firmware = report
        .vbios_rim_id(device.architecture)
        .ok_or(EndorseError::Evidence("a device's report does not name its firmware"))?;
    Ok(driver.into_iter().chain([firmware]).collect())
}

#[derive(Deserialize)]
struct RimAnswer {
    rim: String,
}

/// The XML of a reference measurement, out of the service's JSON.
pub(super) fn rim(answer: &Answer) -> Result<Vec<u8>, EndorseError> {
    let json: RimAnswer = serde_json::from_slice(&answer.body)
        .map_err(|_| answer.wrong("it holds no reference measurement"))?;
    STANDARD.decode(json.rim).map_err(|_| answer.wrong("its reference measurement is not base64"))
}

/// Each certificate of a device with the one that issued it: not the root, nor the leaf, whose issuer
/// is the device itself and answers no questions.
pub(super) fn device_links(device: &Device) -> Result<Vec<Link>, EndorseError> {
    let wrong = EndorseError::Evidence("a device's certificates are not PEM");
    let pem = CertificateDer::pem_slice_iter(device.chain.as_bytes());
    let chain: Result<Vec<_>, _> = pem.map(|der| der.map(|der| der.to_vec())).collect();
    Ok(links(&chain.map_err(|_| wrong)?).skip(1).collect())
}

/// Each certificate of a reference measurement's signer with the one that issued it. What is read
/// here only says whom to ask about, so a loose look at the text is enough.
pub(super) fn signer_links(xml: &[u8]) -> Vec<Link> {
    let text = String::from_utf8_lossy(xml);
    let elements = text.split("X509Certificate>").skip(1).step_by(2);
    let chain: Vec<Vec<u8>> = elements
        .filter_map(|element| {
            let base64: String = element.split('<').next()?.split_whitespace().collect();
            STANDARD.decode(base64).ok()
        })
        .collect();
    links(&chain).collect()
}

fn links(chain: &[Vec<u8>]) -> impl Iterator<Item = Link> {
    chain.windows(2).map(|pair| (pair[0].clone(), pair[1].clone()))
}

/// The question whether a certificate is revoked (RFC 6960 section 4.1.1), without extensions: the
/// same question has the same bytes, so that its answer can be kept.
pub(super) fn ocsp_request(certificate: &[u8], issuer: &[u8]) -> Result<Vec<u8>, EndorseError> {
    let wrong = |_| EndorseError::Evidence("a device's certificate cannot be read");
    let certificate = Certificate::from_der(certificate).map_err(wrong)?;
    let issuer = Certificate::from_der(issuer).map_err(wrong)?;
    let name = issuer.tbs_certificate().subject().to_der().map_err(wrong)?;
    let key = issuer.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
    let serial = certificate.tbs_certificate().serial_number().as_bytes();
    Ok(yasna::construct_der(|request| {
        request.write_sequence(|request| {
            request.next().write_sequence(|to_be_signed| {
                to_be_signed.next().write_sequence_of(|list| {
                    list.next().write_sequence(|single| {
                        single.next().write_sequence(|id| {
                            id.next().write_sequence(|algorithm| {
                                let oid = yasna::models::ObjectIdentifier::from_slice(SHA_384);
                                algorithm.next().write_oid(&oid);
                                algorithm.next().write_null();
                            });
                            id.next().write_bytes(&Sha384::digest(&name));
                            id.next().write_bytes(&Sha384::digest(key));
                            id.next().write_bigint_bytes(serial, true);
                        });
                    });
                });
            });
        });
    }))
}

fn ocsp_ends(answer: &Answer) -> Result<Timestamp, EndorseError> {
    let ends = ocsp_next_update(&answer.body).map(Timestamp);
    ends.ok_or_else(|| answer.wrong("it is no OCSP answer with a next update"))
}
