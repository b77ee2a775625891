//! Bounded requests whose answers are kept until they have to be renewed.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subrosa_protocol::Timestamp;

use super::EndorseError;

/// A revocation list is the longest answer, with some 100 kB.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A service that takes longer is away.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// Answers are renewed at least daily, however long they last: firmware gets revoked in between.
const RENEWAL_S: u64 = 24 * 3_600;

/// A kept answer is written with its body in hex, and with its header beside it.
const KEPT_BYTES_MAX: u64 = 4 * ANSWER_BYTES_MAX as u64;

/// A pod asks some twenty questions; more would be a fault.
const ANSWERS_MAX: usize = 1_024;

/// What a service answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// What was asked.
    pub(super) url: String,
    /// The body, as it came.
    #[serde(with = "hex::serde")]
    pub(super) body: Vec<u8>,
    /// The header that holds the signer's certificates, where one was named.
    pub(super) issuer_chain: Option<String>,
    /// When it came.
    fetched: Timestamp,
    /// When what it says ends.
    ends: Timestamp,
}

impl Answer {
    /// An answer that just came; whoever understands it says until when it counts.
    pub(super) fn new(
        url: String,
        body: Vec<u8>,
        issuer_chain: Option<String>,
        now: Timestamp,
    ) -> Answer {
        Answer { url, body, issuer_chain, fetched: now, ends: now }
    }

    /// Reads what was kept; nothing where it was damaged since.
    pub(super) fn read(kept: &[u8]) -> Option<Answer> {
        serde_json::from_slice(kept).ok()
    }

    /// The error of an answer that cannot be used.
    pub(super) fn wrong(&self, reason: &'static str) -> EndorseError {
        EndorseError::Answer { url: self.url.clone(), reason }
    }

    /// Whether it is time to ask again: after two thirds of its life, and daily.
    fn is_old(&self, now: Timestamp) -> bool {
        let life = self.ends.0.saturating_sub(self.fetched.0);
        now.0 >= self.fetched.0.saturating_add((life / 3 * 2).min(RENEWAL_S)) || now < self.fetched
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        now >= self.ends
    }
}

/// One question to a service.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// The whole address.
    pub(super) url: String,
    /// The names that the header with the signer's certificates may have; none where there is none.
    pub(super) issuer_chain: &'static [&'static str],
    /// What is posted, with its content type; nothing in a GET.
    pub(super) post: Option<(&'static str, Vec<u8>)>,
}

impl Question {
    pub(super) fn get(url: String) -> Question {
        Question { url, issuer_chain: &[], post: None }
    }

    /// What tells this question from all others.
    fn key(&self) -> String {
        let posted = self.post.as_ref().map_or(&[][..], |(_, body)| body);
        let hash = Sha256::new().chain_update(&self.url).chain_update([0]).chain_update(posted);
        hex::encode(hash.finalize())
    }
}

/// Asks, and keeps what was answered.
#[derive(Debug)]
pub(super) struct Fetcher {
    http: Client,
    folder: Option<PathBuf>,
    kept: Mutex<HashMap<String, Answer>>,
}

impl Fetcher {
    pub(super) fn new(folder: Option<PathBuf>) -> Result<Fetcher, EndorseError> {
        let http = Client::builder()
            .timeout(ANSWER_TIME)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(EndorseError::Http)?;
        Ok(Fetcher { http, folder, kept: Mutex::new(HashMap::new()) })
    }

    /// The kept answer while it is young, else a new one. Where the service is away, the kept answer
    /// serves until it ends. `ends` reads from an answer until when it counts.
    pub(super) async fn ask(
        &self,
        question: &Question,
        now: Timestamp,
        ends: impl Fn(&Answer) -> Result<Timestamp, EndorseError>,
    ) -> Result<Answer, EndorseError> {
        let key = question.key();
        let kept = self.kept(&key, question).filter(|answer| !answer.has_ended(now));
        if let Some(answer) = kept.as_ref().filter(|answer| !answer.is_old(now)) {
            return Ok(answer.clone());
        }
        let fetched = match self.fetch(question, now).await {
            Ok(mut answer) => ends(&answer).map(|ends| {
                answer.ends = ends;
                answer
            }),
            Err(error) => Err(error.into()),
        };
        match (fetched, kept) {
            (Ok(answer), _) => {
                self.keep(key, &answer);
                Ok(answer)
            }
            (Err(_), Some(answer)) => Ok(answer),
            (Err(error), None) => Err(error),
        }
    }

    /// Whether an answer to this question is kept that still counts.
    pub(super) fn has_kept(&self, question: &Question, now: Timestamp) -> bool {
        self.kept(&question.key(), question).is_some_and(|answer| !answer.has_ended(now))
    }

    async fn fetch(&self, question: &Question, now: Timestamp) -> Result<Answer, FetchError> {
        let url = question.url.clone();
        let away = |source: reqwest::Error| FetchError::Away {
            url: question.url.clone(),
            source: source.without_url(),
        };
        let address = Url::parse(&url).map_err(|_| FetchError::Address { url: url.clone() })?;
        let request = match &question.post {
            Some((content_type, body)) => {
                self.http.post(address).header("content-type", *content_type).body(body.clone())
            }
            None => self.http.get(address),
        };
        let mut response = request.send().await.map_err(away)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status { url, status: response.status().as_u16() });
        }
        let headers = response.headers();
        let issuer_chain = question
            .issuer_chain
            .iter()
            .find_map(|name| headers.get(*name))
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(away)? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(FetchError::TooLong { url });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer::new(url, body, issuer_chain, now))
    }

    fn kept(&self, key: &str, question: &Question) -> Option<Answer> {
        // A panic elsewhere leaves at worst an old entry, which its times tell.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = kept.get(key) {
            return Some(answer.clone());
        }
        let mut bytes = Vec::new();
        let file = File::open(self.file(key)?).ok()?;
        file.take(KEPT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let answer = Answer::read(&bytes).filter(|answer| answer.url == question.url)?;
        kept.insert(key.to_owned(), answer.clone());
        Some(answer)
    }

    fn keep(&self, key: String, answer: &Answer) {
        if let Some(file) = self.file(&key) {
            // Only a help for the next start: a failure costs a question more.
            let _ = write(&file, answer);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= ANSWERS_MAX {
            kept.clear();
        }
        kept.insert(key, answer.clone());
    }

    fn file(&self, key: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{key}.json")))
    }
}

/// Written beside and renamed, so that a crash leaves no half of an answer.
fn write(file: &Path, answer: &Answer) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let draft = file.with_extension("draft");
    std::fs::write(&draft, serde_json::to_vec(answer)?)?;
    std::fs::rename(draft, file)
}

/// Why a service gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is none.
    #[error("{url} is no address; mend the service's base address in the configuration")]
    Address {
        /// The address.
        url: String,
    },
    /// It cannot be reached, or broke off.
    #[error("{url} cannot be reached: {source}; check the network, or name a mirror")]
    Away {
        /// What was asked.
        url: String,
        /// How it failed.
        source: reqwest::Error,
    },
    /// It refused.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is longer than any honest one.
    #[error("{url} answered with more than {ANSWER_BYTES_MAX} bytes")]
    TooLong {
        /// What was asked.
        url: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fetched: u64, ends: u64) -> Answer {
        let (url, fetched, ends) = (String::new(), Timestamp(fetched), Timestamp(ends));
        Answer { url, body: vec![], issuer_chain: None, fetched, ends }
    }

    #[test]
    fn an_answer_is_old_after_two_thirds_of_its_life_and_daily() {
        let short = answer(1_000, 1_300);
        assert!(!short.is_old(Timestamp(1_199)) && short.is_old(Timestamp(1_200)));
        let long = answer(1_000, 1_000 + 30 * RENEWAL_S);
        assert!(!long.is_old(Timestamp(999 + RENEWAL_S)));
        assert!(long.is_old(Timestamp(1_000 + RENEWAL_S)));
    }

    #[test]
    fn an_answer_from_the_future_is_old() {
        assert!(answer(1_000, 9_000).is_old(Timestamp(999)));
    }

    #[test]
    fn an_answer_ends_in_its_last_second() {
        assert!(!answer(0, 10).has_ended(Timestamp(9)) && answer(0, 10).has_ended(Timestamp(10)));
    }

    #[test]
    fn questions_differ_by_address_and_by_what_is_posted() {
        let get = Question::get("a".into());
        let post = Question { post: Some(("text/plain", b"b".to_vec())), ..get.clone() };
        let other = Question::get("ab".into());
        assert!(get.key() != post.key() && get.key() != other.key() && post.key() != other.key());
    }
}
