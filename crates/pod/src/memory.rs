//! Answers and their signatures, kept for minutes, in memory only: never on a disk, because the one is
//! plaintext and the other an unsalted hash of it (spec/pod.md 7).

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use subrosa_protocol::{Account, Receipt, RequestId, Signed};
use tokio::time::Instant;

/// A retry of a charged order gets the same answer for this long (spec/channel.md 6).
const ANSWER_LIFE: Duration = Duration::from_secs(600);

/// As long as vllm-proxy keeps its signatures.
const SIGNATURE_LIFE: Duration = Duration::from_secs(1_200);

/// All answers together; past it the oldest are forgotten, and a retry is a free second run.
const ANSWERS_BYTES_MAX: usize = 64 << 20;

/// A signature is some 300 bytes, so all of them are some 20 MB.
const SIGNATURES_BYTES_MAX: usize = 20 << 20;

/// An answer as it was given.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) content_type: &'static str,
    pub(crate) streamed: bool,
    pub(crate) body: Bytes,
    pub(crate) receipt: Signed<Receipt>,
}

/// A signature in the vllm-proxy form.
#[derive(Clone)]
pub(crate) struct ChatSignature {
    pub(crate) account: Account,
    pub(crate) text: String,
    pub(crate) signature: String,
}

/// What is kept for minutes.
pub(crate) struct Memory {
    answers: Mutex<Shelf<(Account, RequestId), Answer>>,
    signatures: Mutex<Shelf<String, ChatSignature>>,
}

impl Memory {
    pub(crate) fn new() -> Memory {
        Memory {
            answers: Mutex::new(Shelf::new(ANSWER_LIFE, ANSWERS_BYTES_MAX)),
            signatures: Mutex::new(Shelf::new(SIGNATURE_LIFE, SIGNATURES_BYTES_MAX)),
        }
    }

    pub(crate) fn keep_answer(&self, account: Account, request: RequestId, answer: Answer) {
        let bytes = answer.body.len() + size_of::<Answer>();
        lock(&self.answers).put((account, request), answer, bytes);
    }

    pub(crate) fn answer(&self, account: Account, request: RequestId) -> Option<Answer> {
        lock(&self.answers).get(&(account, request))
    }

    pub(crate) fn keep_signature(&self, chat: String, signature: ChatSignature) {
        let bytes = chat.len()
            + signature.text.len()
            + signature.signature.len()
            + size_of::<ChatSignature>();
        lock(&self.signatures).put(chat, signature, bytes);
    }

    pub(crate) fn signature(&self, chat: &str) -> Option<ChatSignature> {
        lock(&self.signatures).get(chat)
    }

    /// Forgets what is past its time.
    pub(crate) fn sweep(&self) {
        lock(&self.answers).sweep();
        lock(&self.signatures).sweep();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

/// Values that live equally long, bounded in bytes; the oldest goes first.
struct Shelf<K, V> {
    life: Duration,
    bytes_max: usize,
    bytes: usize,
    values: HashMap<K, Kept<V>>,
    order: VecDeque<(Instant, K)>,
}

struct Kept<V> {
    since: Instant,
    bytes: usize,
    value: V,
}

impl<K: Hash + Eq + Clone, V: Clone> Shelf<K, V> {
    fn new(life: Duration, bytes_max: usize) -> Shelf<K, V> {
        Shelf { life, bytes_max, bytes: 0, values: HashMap::new(), order: VecDeque::new() }
    }

    fn put(&mut self, key: K, value: V, bytes: usize) {
        let since = Instant::now();
        self.order.push_back((since, key.clone()));
        self.bytes += bytes;
        if let Some(replaced) = self.values.insert(key, Kept { since, bytes, value }) {
            self.bytes -= replaced.bytes;
        }
        self.sweep();
    }

    fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let kept = self.values.get(key)?;
        (kept.since.elapsed() < self.life).then(|| kept.value.clone())
    }

    fn sweep(&mut self) {
        while let Some((since, _)) = self.order.front() {
            if since.elapsed() < self.life && self.bytes <= self.bytes_max {
                break;
            }
            let (since, key) = self.order.pop_front().expect("there is a front");
            // A value that was replaced since has a place of its own further back.
            if self.values.get(&key).is_some_and(|kept| kept.since == since) {
                self.bytes -= self.values.remove(&key).map_or(0, |kept| kept.bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_value_is_forgotten_after_its_life() {
        let mut shelf = Shelf::new(Duration::from_secs(10), 100);
        shelf.put(1, "one", 10);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(shelf.get(&1), Some("one"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(shelf.get(&1), None);
        shelf.sweep();
        assert_eq!((shelf.bytes, shelf.values.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_goes_first_when_room_is_short() {
        let mut shelf = Shelf::new(Duration::from_secs(10), 100);
        for key in 1..=3 {
            shelf.put(key, "text", 40);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(
            (shelf.get(&1), shelf.get(&2), shelf.get(&3)),
            (None, Some("text"), Some("text"))
        );
        shelf.put(2, "anew", 50);
        assert_eq!((shelf.bytes, shelf.get(&2)), (90, Some("anew")));
    }
}
