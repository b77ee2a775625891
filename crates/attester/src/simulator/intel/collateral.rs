//! The simulator's collateral: what Intel would state about its platform, in Intel's formats
//! (TCB info version 3, identity version 2).

use serde_json::json;
use sha2::{Digest, Sha256};
use subrosa_protocol::Timestamp;
use subrosa_verifier::IntelCollateral;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Technology;
use super::pki::{
    COMPONENT_SVN, FMSPC, PCE_ID, PCE_SVN, PCK_SERIAL, PLATFORM_AUTHORITY_SERIAL, Pki,
    TCB_SIGNER_SERIAL,
};
use super::quote::QE_ISV_SVN;
use crate::{AttestError, Fault};

/// Intel's collateral lives for 30 days too.
pub(crate) const LIFE_S: u64 = 30 * DAY_S;

pub(crate) const DAY_S: u64 = 24 * 3_600;

/// What strict policies demand at least.
const EVALUATION_NUMBER: u32 = 17;

/// The date of the simulated platform's TCB level, from which grace counts.
const TCB_DATE: &str = "2025-01-01T00:00:00Z";

/// Collateral that counts from `issued` on.
pub(crate) fn issue(
    pki: &Pki,
    technology: Technology,
    issued: Timestamp,
    fault: Option<Fault>,
) -> Result<IntelCollateral, AttestError> {
    let (from, until) = (moment(issued.0)?, moment(issued.0.saturating_add(LIFE_S))?);
    let (judged, identified) = match fault {
        Some(Fault::OtherTeeTcbInfo) => (technology.other(), technology),
        Some(Fault::OtherTeeIdentity) => (technology, technology.other()),
        _ => (technology, technology),
    };
    let (root_revokes, authority_revokes): (&[u64], &[u64]) = match fault {
        Some(Fault::AuthorityRevoked) => (&[PLATFORM_AUTHORITY_SERIAL], &[]),
        Some(Fault::PlatformRevoked) => (&[], &[PCK_SERIAL]),
        Some(Fault::TcbSignerRevoked) => (&[TCB_SIGNER_SERIAL], &[]),
        _ => (&[], &[]),
    };
    let tcb_info = judged.tcb_info(&rfc3339(from), &rfc3339(until), fault);
    let qe_identity = identified.qe_identity(&rfc3339(from), &rfc3339(until));
    Ok(IntelCollateral {
        pck_crl_issuer_chain: pki.platform_authority_chain(),
        root_ca_crl: pki.root_crl(from, until, root_revokes),
        pck_crl: pki.pck_crl(from, until, authority_revokes),
        tcb_info_issuer_chain: pki.tcb_signer_chain(),
        tcb_info_signature: pki.tcb_signer_key.sign_raw(tcb_info.as_bytes()).to_vec(),
        tcb_info,
        qe_identity_issuer_chain: pki.tcb_signer_chain(),
        qe_identity_signature: pki.tcb_signer_key.sign_raw(qe_identity.as_bytes()).to_vec(),
        qe_identity,
    })
}

impl Technology {
    fn other(self) -> Technology {
        match self {
            Technology::Sgx => Technology::Tdx,
            Technology::Tdx => Technology::Sgx,
        }
    }

    /// Intel's judgement of the platform: one level, which the platform is at.
    fn tcb_info(self, issued: &str, next: &str, fault: Option<Fault>) -> String {
        let status = match fault {
            Some(Fault::TcbOutOfDate) => "OutOfDate",
            Some(Fault::TcbRevoked) => "Revoked",
            _ => "UpToDate",
        };
        // A platform below the only level is one that Intel does not judge.
        let least = COMPONENT_SVN + u8::from(fault == Some(Fault::TcbUnknown));
        let mut tcb = json!({
            "sgxtcbcomponents": vec![json!({ "svn": least }); 16],
            "pcesvn": PCE_SVN,
        });
        let mut fmspc = FMSPC;
        fmspc[0] ^= u8::from(fault == Some(Fault::OtherPlatform));
        let mut info = json!({
            "id": "SGX",
            "version": 3,
            "issueDate": issued,
            "nextUpdate": next,
            "fmspc": upper_hex(&fmspc),
            "pceId": upper_hex(&PCE_ID),
            "tcbType": 0,
            "tcbEvaluationDataNumber": EVALUATION_NUMBER,
        });
        if self == Technology::Tdx {
            tcb["tdxtcbcomponents"] = vec![json!({ "svn": 0 }); 16].into();
            info["id"] = "TDX".into();
            info["tdxModule"] = json!({
                "mrsigner": upper_hex(&[0; 48]),
                "attributes": upper_hex(&[0; 8]),
                "attributesMask": upper_hex(&[0xff; 8]),
            });
        }
        info["tcbLevels"] = json!([{ "tcb": tcb, "tcbDate": TCB_DATE, "tcbStatus": status }]);
        info.to_string()
    }

    /// Which quoting enclave is Intel's.
    fn qe_identity(self, issued: &str, next: &str) -> String {
        json!({
            "id": match self {
                Technology::Sgx => "QE",
                Technology::Tdx => "TD_QE",
            },
            "version": 2,
            "issueDate": issued,
            "nextUpdate": next,
            "tcbEvaluationDataNumber": EVALUATION_NUMBER,
            "miscselect": "00000000",
            "miscselectMask": "FFFFFFFF",
            "attributes": "11000000000000000000000000000000",
            "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
            "mrsigner": upper_hex(&qe_signer()),
            "isvprodid": self.qe_product_id(),
            "tcbLevels": [{
                "tcb": { "isvsvn": QE_ISV_SVN },
                "tcbDate": TCB_DATE,
                "tcbStatus": "UpToDate",
            }],
        })
        .to_string()
    }
}

/// Who signed the simulated quoting enclave.
pub(crate) fn qe_signer() -> [u8; 32] {
    Sha256::digest("subrosa/simulator/quoting-enclave/v1").into()
}

/// Intel writes hex in upper case.
fn upper_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn moment(seconds: u64) -> Result<OffsetDateTime, AttestError> {
    let moment = i64::try_from(seconds).ok().map(OffsetDateTime::from_unix_timestamp);
    moment.and_then(Result::ok).ok_or(AttestError::Clock { now: Timestamp(seconds) })
}

fn rfc3339(moment: OffsetDateTime) -> String {
    moment.format(&Rfc3339).expect("moments from Unix seconds lie in the years 1970 to 9999")
}
