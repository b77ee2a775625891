//! Policy files of any text, and honest ones of which a piece is replaced: refused by name, or read
//! as a policy that does not contradict itself and is written and read again the same.

#![no_main]

mod splice;

use libfuzzer_sys::fuzz_target;
use subrosa_verifier::{Policy, Releases};

use splice::splice;

fuzz_target!(|input: (u8, u16, u16, &[u8])| {
    let (kind, at, cut, bytes) = input;
    let text = match kind % 3 {
        0 => bytes.to_vec(),
        1 => splice(Policy::strict(Releases::default()).to_toml().as_bytes(), at, cut, bytes),
        _ => splice(Policy::simulated(Releases::default()).to_toml().as_bytes(), at, cut, bytes),
    };
    match Policy::from_toml(&String::from_utf8_lossy(&text)) {
        Ok(policy) => {
            assert_eq!(policy.check(), Ok(()));
            assert_eq!(Policy::from_toml(&policy.to_toml()), Ok(policy));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
