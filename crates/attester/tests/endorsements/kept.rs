//! What is kept, how long it serves, and files that were damaged meanwhile.

use std::collections::HashMap;

use subrosa_attester::{EndorseError, FetchError, snp};
use subrosa_protocol::Timestamp;
use subrosa_verifier::AmdProduct;

use super::amd::older_chip;
use super::vendors::{Canned, Service, kds, pccs};
use super::{DAY_S, NOW, machine};

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
    let service = Service::start(pccs("tdx", &machine.collateral)).await;
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
    let service = Service::start(pccs("tdx", &machine.collateral)).await;
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
    let service = Service::start(pccs("tdx", &machine.collateral)).await;
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
    let service = Service::start(pccs("tdx", &machine.collateral)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"no folder").unwrap();
    for asked in [4, 8] {
        let endorser = service.endorser(Some(file.join("endorsements")));
        let fetched = endorser.intel(&machine.quote, NOW).await.unwrap();
        assert_eq!((fetched, service.asked()), (machine.collateral.clone(), asked));
    }
}
