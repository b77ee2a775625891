//! What NVIDIA's services answer, of any bytes: measurements are found or not, and every certificate
//! in them makes a question that a responder can read, or none.

#![no_main]

mod splice;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use subrosa_attester::fuzzing::{nvidia_questions, nvidia_rim};
use subrosa_nvidia_evidence::simulator::Node;
use subrosa_protocol::encoding::to_base64;
use subrosa_verifier::{Architecture, Device};

use splice::splice;

const NONCE: [u8; 32] = [7; 32];
const NOW: u64 = 1_790_000_000;

/// A question has two hashes of 48 bytes and a serial number, which nobody makes longer than this.
const QUESTION_BYTES_MAX: usize = 64 * 1024;

/// The service's JSON, the measurements inside it, and a GPU's certificates.
fn honest() -> &'static [Vec<u8>; 3] {
    static HONEST: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    HONEST.get_or_init(|| {
        let node = Node::hopper(1);
        let xml = node.collateral(NOW).rims.remove(0).xml;
        let answer = json!({ "id": "x", "rim": to_base64(&xml) }).to_string();
        let chain = node.evidence(&NONCE).remove(0).chain_pem;
        [answer.into_bytes(), xml, chain.into_bytes()]
    })
}

fuzz_target!(|input: (u8, u16, u16, &[u8])| {
    let (kind, at, cut, bytes) = input;
    let kind = usize::from(kind) % honest().len();
    let sent = splice(&honest()[kind], at, cut, bytes);
    let mut device =
        Device { architecture: Architecture::Hopper, report: vec![], chain: String::new() };
    let questions = match kind {
        0 => {
            let _ = nvidia_rim(&sent);
            return;
        }
        1 => nvidia_questions(&device, &sent),
        _ => {
            let Ok(chain) = String::from_utf8(sent) else { return };
            device.chain = chain;
            nvidia_questions(&device, b"")
        }
    };
    for question in questions.into_iter().flatten() {
        assert_eq!(question[0], 0x30, "an OCSP request is a SEQUENCE");
        assert!(question.len() <= QUESTION_BYTES_MAX);
    }
});
