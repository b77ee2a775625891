//! The pod's HPKE keys, their rotation, and the key list that clients read (spec/seal.md 1).

use ohttp::{
    KeyConfig, Server, SymmetricSuite,
    hpke::{Aead, Kdf, Kem},
};
use subrosa_protocol::{Duration, KEY_CONFIG_LIFE_MAX, Timestamp};

/// The bytes of an X-Wing encapsulated key.
pub(crate) const ENCAPSULATED_KEY_BYTES: usize = 1_120;
/// Key id, KEM, KDF and AEAD: what stands before the encapsulated key (RFC 9458, section 4.3).
pub(crate) const HEADER_BYTES: usize = 7;
/// X-Wing, HKDF-SHA256, AES-128-GCM as they stand in the header and, in parts, in a key list.
pub(crate) const ALGORITHMS: [u8; 6] = [0x64, 0x7a, 0x00, 0x01, 0x00, 0x01];
const PUBLIC_KEY_BYTES: usize = 1_216;
/// How large a key list may be that a client reads: a dozen keys of this kind.
const KEY_LIST_BYTES_MAX: usize = 16 * 1024;

/// How long a key is offered before the next one replaces it. A client that was told of it just
/// before may use it for as long again.
pub const KEY_ROTATION: Duration = Duration(KEY_LIFE.0 / 2);
/// How long a key opens requests: as long as a key config may live.
pub const KEY_LIFE: Duration = KEY_CONFIG_LIFE_MAX;

/// One generation of the pod's keys. Its secret is wiped when it is dropped.
pub struct ServerKeys {
    id: u8,
    list: Vec<u8>,
    not_before: Timestamp,
    pub(crate) server: Server,
}

impl ServerKeys {
    /// Draws a fresh key pair with that id, to be offered from `now` on.
    pub fn generate(id: u8, now: Timestamp) -> ServerKeys {
        let suites = vec![SymmetricSuite::new(Kdf::HkdfSha256, Aead::Aes128Gcm)];
        let config = KeyConfig::new(id, Kem::XWing, suites).expect("generation cannot fail");
        let list = KeyConfig::encode_list(&[&config]).expect("one key is shorter than 64 KiB");
        let server = Server::new(config).expect("the pair has its secret key");
        ServerKeys { id, list, not_before: now, server }
    }

    /// The id that requests name this generation by.
    pub fn id(&self) -> u8 {
        self.id
    }

    /// The public key as a list of one (RFC 9458, section 3.2), which the pod signs and serves.
    pub fn config_list(&self) -> &[u8] {
        &self.list
    }

    /// From when on the key may be used.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Until when the key opens requests.
    pub fn not_after(&self) -> Timestamp {
        self.not_before.after(KEY_LIFE)
    }
}

/// Secrets are not shown.
impl std::fmt::Debug for ServerKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ServerKeys")
            .field("id", &self.id)
            .field("not_before", &self.not_before)
            .finish_non_exhaustive()
    }
}

/// The keys that a pod opens requests with: the one that it offers, and the one before it for as
/// long as clients may still hold it.
#[derive(Debug)]
pub struct KeyRing {
    current: ServerKeys,
    previous: Option<ServerKeys>,
}

impl KeyRing {
    /// A ring with one fresh generation. Its id is random, so that after a restart an old key is
    /// mostly recognised as unknown.
    pub fn new(now: Timestamp) -> KeyRing {
        KeyRing { current: ServerKeys::generate(rand::random(), now), previous: None }
    }

    /// The generation to offer.
    pub fn current(&self) -> &ServerKeys {
        &self.current
    }

    /// The public key to offer; see [`ServerKeys::config_list`].
    pub fn config_list(&self) -> &[u8] {
        self.current.config_list()
    }

    /// Rotates when it is time, and drops what has expired. Call it at least once a minute.
    ///
    /// True means that there is a new key to sign and serve.
    pub fn maintain(&mut self, now: Timestamp) -> bool {
        let due = now >= self.current.not_before.after(KEY_ROTATION);
        if due {
            self.rotate(now);
        }
        if self.previous.as_ref().is_some_and(|keys| now > keys.not_after()) {
            self.previous = None;
        }
        due
    }

    /// Replaces the current generation at once; what was the previous one is wiped.
    ///
    /// Ids are counted up, so the two generations of a ring never share one.
    pub fn rotate(&mut self, now: Timestamp) {
        let next = ServerKeys::generate(self.current.id.wrapping_add(1), now);
        self.previous = Some(std::mem::replace(&mut self.current, next));
    }

    /// The generation of that id, while it is valid.
    pub(crate) fn find(&self, id: u8, now: Timestamp) -> Option<&ServerKeys> {
        let mut generations = [Some(&self.current), self.previous.as_ref()].into_iter().flatten();
        generations.find(|keys| keys.id == id && now <= keys.not_after())
    }
}

/// Why a key list cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyListError {
    /// The list is cut off, too long, or holds a key that is none.
    #[error("the pod's key list cannot be read; fetch it again")]
    Malformed,
    /// No key of the list is for X-Wing with HKDF-SHA256 and AES-128-GCM.
    #[error("the pod offers no key for X-Wing with AES-128-GCM; update, or choose another pod")]
    Unsupported,
}

/// Finds the first key of our algorithms in a list, so that nothing weaker is ever chosen.
///
/// # Security
/// `ohttp` takes the last key of a list, and for some suites that we do not use it would panic:
/// so it is handed one key, and only of exactly our suite.
pub(crate) fn choose_key(list: &[u8]) -> Result<&[u8], KeyListError> {
    if list.is_empty() || list.len() > KEY_LIST_BYTES_MAX {
        return Err(KeyListError::Malformed);
    }
    let mut rest = list;
    let mut chosen = None;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or(KeyListError::Malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let config = after.get(..length).ok_or(KeyListError::Malformed)?;
        rest = &after[length..];
        if chosen.is_none() && is_ours(config) {
            chosen = Some(config);
        }
    }
    chosen.ok_or(KeyListError::Unsupported)
}

/// Whether a key config (id, KEM, key, suites) is for exactly our algorithms.
fn is_ours(config: &[u8]) -> bool {
    let (kem, suite) = ALGORITHMS.split_at(2);
    let suites_at = 3 + PUBLIC_KEY_BYTES;
    config.len() == suites_at + 2 + suite.len()
        && config[1..3] == *kem
        && config[suites_at..suites_at + 2] == [0, 4]
        && config[suites_at + 2..] == *suite
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    #[test]
    fn a_key_list_has_this_layout() {
        let keys = ServerKeys::generate(9, NOW);
        let list = keys.config_list();
        assert_eq!(list.len(), 2 + 1_225);
        assert_eq!(list[..5], [0x04, 0xc9, 9, 0x64, 0x7a]); // length, id, KEM
        assert_eq!(list[2 + 3 + 1_216..], [0, 4, 0, 1, 0, 1]); // one suite: KDF, AEAD
        assert_eq!(choose_key(list), Ok(&list[2..]));
    }

    #[test]
    fn the_first_key_of_our_algorithms_is_chosen() {
        let [first, second] = [1, 2].map(|id| ServerKeys::generate(id, NOW));
        let foreign = [0, 8, 7, 0x00, 0x20, 1, 2, 3, 4, 5];
        let list = [&foreign[..], first.config_list(), second.config_list()].concat();
        assert_eq!(choose_key(&list), Ok(&first.config_list()[2..]));
    }

    #[test]
    fn refuses_a_list_without_a_key_of_our_algorithms() {
        let keys = ServerKeys::generate(9, NOW);
        let length = keys.config_list().len();
        // The KEM, the KDF, the AEAD, and a second suite before ours.
        for at in [4, length - 3, length - 1] {
            let mut list = keys.config_list().to_vec();
            list[at] ^= 3;
            assert_eq!(choose_key(&list), Err(KeyListError::Unsupported), "byte {at}");
        }
        let mut two = keys.config_list().to_vec();
        two.splice(length - 6.., [0, 8, 0, 1, 0, 3, 0, 1, 0, 1]);
        two[1] += 4;
        assert_eq!(choose_key(&two), Err(KeyListError::Unsupported));
    }

    #[test]
    fn refuses_a_list_that_is_cut_off_empty_or_too_long() {
        let keys = ServerKeys::generate(9, NOW);
        let list = keys.config_list();
        for cut in [0, 1, 2, 500, list.len() - 1] {
            assert_eq!(choose_key(&list[..cut]), Err(KeyListError::Malformed), "cut at {cut}");
        }
        assert_eq!(choose_key(&list.repeat(20)), Err(KeyListError::Malformed));
    }

    #[test]
    fn keys_rotate_at_half_their_life_and_expire_at_its_end() {
        let mut ring = KeyRing::new(NOW);
        let first = ring.current().id();
        assert!(!ring.maintain(NOW.after(Duration(KEY_ROTATION.0 - 1))));
        assert!(ring.maintain(NOW.after(KEY_ROTATION)));
        assert_eq!(ring.current().id(), first.wrapping_add(1));
        assert_eq!(ring.current().not_before(), NOW.after(KEY_ROTATION));

        let end = NOW.after(KEY_LIFE);
        assert!(ring.find(first, end).is_some());
        let after = end.after(Duration(1));
        assert!(ring.find(first, after).is_none(), "expired, though still held");
        ring.maintain(after);
        assert!(ring.previous.as_ref().is_none_or(|keys| keys.id() != first));
    }

    #[test]
    fn a_ring_holds_two_generations_with_ids_of_their_own() {
        let mut ring = KeyRing::new(NOW);
        for _ in 0..300 {
            let before = ring.current().id();
            ring.rotate(NOW);
            assert_ne!(ring.current().id(), before);
            assert_eq!(ring.previous.as_ref().map(ServerKeys::id), Some(before));
        }
    }

    #[test]
    fn what_is_shown_of_a_key_is_its_id() {
        let shown = format!("{:?}", ServerKeys::generate(9, NOW));
        assert_eq!(shown, "ServerKeys { id: 9, not_before: Timestamp(1800000000), .. }");
    }
}
