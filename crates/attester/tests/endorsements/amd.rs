//! Chips whose report does not name their generation.

use std::collections::HashMap;

use subrosa_attester::{EndorseError, FetchError, snp};
use subrosa_verifier::{AmdCollateral, AmdProduct};

use super::NOW;
use super::vendors::{Canned, Service, kds, vcek_path};

/// A report of version 2, which does not say that its chip is of this generation, and what AMD states
/// about the chip.
pub(crate) fn older_chip(product: AmdProduct) -> (Vec<u8>, AmdCollateral) {
    let report = snp::SnpReport { version: 2, ..snp::SnpReport::new(product, [0; 48], [0; 64]) };
    (report.sign(), snp::SnpMachine::new(product, NOW).collateral().unwrap())
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
