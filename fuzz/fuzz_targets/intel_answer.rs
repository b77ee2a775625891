//! What Intel's service answers, of any bytes: signed text stays as it was signed, whatever stands
//! around it.

#![no_main]

mod splice;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use subrosa_attester::Simulator;
use subrosa_attester::fuzzing::{HttpAnswer, intel_collateral, intel_ends, kept_answer};
use subrosa_protocol::Timestamp;
use subrosa_verifier::{CpuEvidence, ISSUER_CHAIN_BYTES_MAX};

use splice::splice;

const NOW: Timestamp = Timestamp(1_790_000_000);
const ANSWERS: usize = 4;

/// The list of platforms' certificates, the levels, the quoting enclave's identity, the root's list.
fn honest() -> &'static [HttpAnswer; ANSWERS] {
    static HONEST: OnceLock<[HttpAnswer; ANSWERS]> = OnceLock::new();
    HONEST.get_or_init(|| {
        let evidence = Simulator::new("image").cpu_evidence([7; 64], NOW);
        let Ok(CpuEvidence::Tdx(tdx)) = evidence else { panic!("the simulator is of TDX") };
        let collateral = tdx.collateral;
        let encoded = |chain: &str| Some(chain.replace('\n', "%0A").replace(' ', "%20"));
        let signed = |member: &str, text: &str, signature: &[u8]| {
            let signature = hex::encode(signature);
            format!("{{\"{member}\":{text},\"signature\":\"{signature}\"}}").into_bytes()
        };
        let tcb = signed("tcbInfo", &collateral.tcb_info, &collateral.tcb_info_signature);
        let identity =
            signed("enclaveIdentity", &collateral.qe_identity, &collateral.qe_identity_signature);
        let root_crl = hex::encode(&collateral.root_ca_crl).into_bytes();
        [
            HttpAnswer {
                body: collateral.pck_crl,
                issuer_chain: encoded(&collateral.pck_crl_issuer_chain),
            },
            HttpAnswer { body: tcb, issuer_chain: encoded(&collateral.tcb_info_issuer_chain) },
            HttpAnswer {
                body: identity,
                issuer_chain: encoded(&collateral.qe_identity_issuer_chain),
            },
            HttpAnswer { body: root_crl, issuer_chain: None },
        ]
    })
}

/// An answer as it is kept in a file.
fn kept() -> Vec<u8> {
    let kept = json!({
        "url": "https://a", "body": "30", "issuer_chain": null, "fetched": 1, "ends": 2,
    });
    kept.to_string().into_bytes()
}

fuzz_target!(|input: (u8, u16, u16, &[u8])| {
    let (kind, at, cut, bytes) = input;
    let kind = usize::from(kind) % (2 * ANSWERS + 1);
    let mut answers = honest().clone();
    match kind.checked_sub(ANSWERS) {
        None => answers[kind].body = splice(&answers[kind].body, at, cut, bytes),
        Some(ANSWERS) => {
            let _ = kept_answer(&splice(&kept(), at, cut, bytes));
            return;
        }
        Some(of) => {
            let header = answers[of].issuer_chain.take().unwrap_or_default();
            let header = String::from_utf8(splice(header.as_bytes(), at, cut, bytes));
            answers[of].issuer_chain = header.ok();
        }
    }
    for answer in &answers {
        let [statement, list] = intel_ends(&answer.body);
        assert!(statement.is_none() || list.is_none(), "no answer is both");
    }
    let [_, tcb, identity, _] = answers.clone();
    let Ok(collateral) = intel_collateral(answers) else { return };
    let holds = |body: &[u8], text: &str| String::from_utf8_lossy(body).contains(text);
    assert!(holds(&tcb.body, &collateral.tcb_info), "signed text is as it came");
    assert!(holds(&identity.body, &collateral.qe_identity), "signed text is as it came");
    for chain in [
        &collateral.pck_crl_issuer_chain,
        &collateral.tcb_info_issuer_chain,
        &collateral.qe_identity_issuer_chain,
    ] {
        assert!(chain.len() <= ISSUER_CHAIN_BYTES_MAX);
        assert!(chain.starts_with("-----BEGIN CERTIFICATE-----"));
    }
});
