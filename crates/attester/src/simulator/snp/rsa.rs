//! RSA keys of 4096 bits made from names, and RSASSA-PSS (RFC 8017) with SHA-384.
//!
//! Primes take long to find. They are found once: a key's primes are the hash of its name plus a
//! small number that stands here. Salts follow from what is signed, so a signature is always the
//! same.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use num_bigint::BigUint;
use sha2::{Digest, Sha384};

/// Separates primes from anything else that is hashed from a name.
const PRIME_TAG: &str = "subrosa/simulator/rsa-prime/v1";
/// Separates salts from other hashes of messages.
const SALT_TAG: &str = "subrosa/simulator/rsa-salt/v1";

const PRIME_BYTES: usize = 256;
const MODULUS_BYTES: usize = 2 * PRIME_BYTES;
const HASH_BYTES: usize = 48;
const PUBLIC_EXPONENT: u32 = 65_537;

/// Signatures that are kept, each of half a kilobyte: a day's list for each of some authorities.
const KEPT_MAX: usize = 256;

/// Making one takes milliseconds, and tests ask for the same ones again and again.
static KEPT: LazyLock<Mutex<HashMap<[u8; HASH_BYTES], Vec<u8>>>> = LazyLock::new(Mutex::default);

/// A key that anybody can make from its name: it protects nothing, and must never be trusted
/// outside simulated networks.
#[derive(Debug)]
pub(crate) struct RsaKey {
    modulus: BigUint,
    p: Half,
    q: Half,
    /// The inverse of q modulo p.
    q_inverse: BigUint,
}

/// One prime, with the private exponent reduced for it.
#[derive(Debug)]
struct Half {
    prime: BigUint,
    exponent: BigUint,
}

impl RsaKey {
    /// The key of this name. The steps lead from the hashes of the name to primes.
    pub(crate) fn named(name: &str, steps: [u32; 2]) -> RsaKey {
        let p = Half::named(&format!("{name}, p"), steps[0]);
        let q = Half::named(&format!("{name}, q"), steps[1]);
        let q_inverse = q.prime.modinv(&p.prime).expect("two primes have no common factor");
        RsaKey { modulus: &p.prime * &q.prime, p, q, q_inverse }
    }

    /// RSAPublicKey (PKCS #1), DER.
    pub(crate) fn public(&self) -> Vec<u8> {
        yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_bigint_bytes(&self.modulus.to_bytes_be(), true);
                writer.next().write_u32(PUBLIC_EXPONENT);
            });
        })
    }

    /// Signs with RSASSA-PSS, SHA-384, MGF1 with SHA-384, 48 bytes of salt.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let named = Sha384::new().chain_update(self.modulus.to_bytes_be()).chain_update(message);
        let name: [u8; HASH_BYTES] = named.finalize().into();
        // A panic elsewhere leaves whole entries.
        let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signature) = kept().get(&name) {
            return signature.clone();
        }
        let signature = self.apply(&BigUint::from_bytes_be(&encode(message)));
        let mut kept = kept();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(name, signature.clone());
        signature
    }

    /// The private operation, by the Chinese remainder theorem.
    fn apply(&self, number: &BigUint) -> Vec<u8> {
        let of_p = number.modpow(&self.p.exponent, &self.p.prime);
        let of_q = number.modpow(&self.q.exponent, &self.q.prime);
        let p = &self.p.prime;
        let difference = (p + &of_p - &of_q % p) % p;
        let result = of_q + (difference * &self.q_inverse % p) * &self.q.prime;
        let bytes = result.to_bytes_be();
        [vec![0; MODULUS_BYTES - bytes.len()], bytes].concat()
    }
}

impl Half {
    fn named(name: &str, step: u32) -> Half {
        let blocks = (0_u8..).flat_map(|block| {
            Sha384::new()
                .chain_update(PRIME_TAG)
                .chain_update(name)
                .chain_update([block])
                .finalize()
        });
        let mut bytes: Vec<u8> = blocks.take(PRIME_BYTES).collect();
        // The product of two such numbers has all of its 4096 bits.
        bytes[0] |= 0xc0;
        bytes[PRIME_BYTES - 1] |= 1;
        let prime = BigUint::from_bytes_be(&bytes) + step;
        let exponent = BigUint::from(PUBLIC_EXPONENT).modinv(&(&prime - 1_u32));
        let exponent = exponent.expect("the steps lead to primes that suit the public exponent");
        Half { prime, exponent }
    }
}

/// EMSA-PSS-ENCODE for a modulus of 4096 bits.
fn encode(message: &[u8]) -> Vec<u8> {
    let salt = Sha384::new().chain_update(SALT_TAG).chain_update(message).finalize();
    let hash = Sha384::new()
        .chain_update([0; 8])
        .chain_update(Sha384::digest(message))
        .chain_update(salt)
        .finalize();
    let mut block = vec![0; MODULUS_BYTES - 2 * HASH_BYTES - 2];
    block.push(1);
    block.extend_from_slice(&salt);
    let mask = (0_u32..).flat_map(|count| {
        Sha384::new().chain_update(hash).chain_update(count.to_be_bytes()).finalize()
    });
    for (byte, mask) in block.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    block[0] &= 0x7f;
    block.extend_from_slice(&hash);
    block.push(0xbc);
    block
}
