//! A stand-in for Intel's platforms: SGX and TDX quotes, and what Intel would state about them.

mod collateral;
mod event_log;
mod key;
mod pki;
mod quote;

use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256, Sha384};
use subrosa_protocol::{B256, Duration, Timestamp};
use subrosa_verifier::{
    CpuEvidence, EventLog, IntelCollateral, SgxEvidence, TdxEvidence, dstack_measurement,
    sgx_measurement, tdx_measurement,
};

use self::collateral::{DAY_S, LIFE_S};
use self::event_log::Boot;
use self::pki::Pki;
use self::quote::{
    ENCLAVE_DEBUG, EnclaveReport, QuotingEnclave, Report, TD_DEBUG, TD_MIGRATABLE,
    TD_SEPT_VE_DISABLE, TdReport,
};
use super::fault::Fault;
use crate::AttestError;

const ROOT_NAME: &str = "Subrosa SIMULATED root, proves nothing";
const OTHER_ROOT_NAME: &str = "Subrosa SIMULATED root that nobody trusts";

/// Separates the measurements of simulated images from other hashes of labels.
const IMAGE_TAG: &str = "subrosa/simulated-image/v1";

/// The same for enclaves.
const ENCLAVE_TAG: &str = "subrosa/simulated-enclave/v1";

/// Who signed all simulated enclaves.
const ENCLAVE_SIGNER: &str = "subrosa/simulator/enclave-signer/v1";

/// The product that the signer calls the enclave, and its version.
const ENCLAVE_PRODUCT_ID: u16 = 1;
const ENCLAVE_SVN: u16 = 1;

/// Which of Intel's technologies; each has a quoting enclave and TCB info of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Technology {
    Sgx,
    Tdx,
}

/// Intel's form of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Sgx,
    Tdx,
    TdxCcel,
    TdxDstack,
    TdxV5,
}

/// A platform that booted one image.
pub(crate) struct Platform {
    form: Form,
    image: String,
    fault: Option<Fault>,
    pki: Pki,
    enclave: QuotingEnclave,
    /// The collateral of one day, with the time from which it counts.
    collateral: Mutex<Option<(Timestamp, IntelCollateral)>>,
}

impl Form {
    fn technology(self) -> Technology {
        match self {
            Form::Sgx => Technology::Sgx,
            Form::Tdx | Form::TdxCcel | Form::TdxDstack | Form::TdxV5 => Technology::Tdx,
        }
    }

    /// What the start of this image leaves behind.
    fn boot(self, image: &str) -> Boot {
        match self {
            Form::TdxCcel => Boot::with_firmware_log(image),
            Form::TdxDstack => Boot::of_dstack(image),
            Form::Sgx | Form::Tdx | Form::TdxV5 => Boot::unlogged(),
        }
    }

    /// The measurement of the image with this label, as releases list it.
    pub(crate) fn measurement(self, image: &str) -> B256 {
        match self.technology() {
            Technology::Sgx => {
                let (enclave, signer) = (mrenclave(image), mrsigner());
                sgx_measurement(&enclave, &signer, ENCLAVE_PRODUCT_ID, ENCLAVE_SVN)
            }
            Technology::Tdx => tdx_image(&mrtd(image), &self.boot(image)),
        }
    }
}

impl Platform {
    pub(crate) fn new(form: Form, image: &str, fault: Option<Fault>) -> Platform {
        let root = match fault {
            Some(Fault::OtherRoot) => OTHER_ROOT_NAME,
            _ => ROOT_NAME,
        };
        let pki = Pki::under(root);
        let enclave = QuotingEnclave::on(&pki, root, form.technology());
        let (image, collateral) = (image.to_owned(), Mutex::new(None));
        Platform { form, image, fault, pki, enclave, collateral }
    }

    /// A quote over these bytes, with its collateral.
    pub(crate) fn evidence(
        &self,
        mut report_data: [u8; 64],
        now: Timestamp,
    ) -> Result<CpuEvidence, AttestError> {
        if self.fault == Some(Fault::OtherReportData) {
            report_data[0] ^= 1;
        }
        let collateral = self.collateral(now)?;
        Ok(match self.form.technology() {
            Technology::Sgx => {
                let quote = self.quote(&Report::Enclave(self.enclave_report(report_data)));
                CpuEvidence::Sgx(SgxEvidence { quote, collateral })
            }
            Technology::Tdx => {
                let (report, event_log) = self.td_report(report_data);
                let report = match self.form {
                    Form::TdxV5 => Report::Td15 { report, service: self.service_td() },
                    _ => Report::Td10(report),
                };
                let quote = self.quote(&report);
                CpuEvidence::Tdx(TdxEvidence { quote, collateral, event_log })
            }
        })
    }

    fn quote(&self, report: &Report) -> Vec<u8> {
        let mut quote = self.enclave.quote(report);
        if self.fault == Some(Fault::TrailingBytes) {
            quote.extend([0; 70]);
        }
        quote
    }

    fn enclave_report(&self, report_data: [u8; 64]) -> EnclaveReport {
        EnclaveReport {
            attributes: match self.fault {
                Some(Fault::Debug) => ENCLAVE_DEBUG,
                _ => 0,
            },
            mrenclave: mrenclave(&self.image),
            mrsigner: mrsigner(),
            product_id: ENCLAVE_PRODUCT_ID,
            svn: ENCLAVE_SVN,
            report_data,
        }
    }

    /// What the trust domain reports of itself, and the story of its start.
    fn td_report(&self, report_data: [u8; 64]) -> (TdReport, EventLog) {
        let attributes = match self.fault {
            Some(Fault::Debug) => TD_SEPT_VE_DISABLE | TD_DEBUG,
            Some(Fault::Migratable) => TD_SEPT_VE_DISABLE | TD_MIGRATABLE,
            Some(Fault::SeptVe) => 0,
            _ => TD_SEPT_VE_DISABLE,
        };
        let boot = self.form.boot(&self.image);
        let report = TdReport {
            attributes,
            mrtd: mrtd(&self.image),
            config_id: boot.config_id(self.fault),
            registers: boot.registers,
            report_data,
        };
        (report, boot.event_log(self.fault))
    }

    /// The measurement of the guests that serve this one; zero where there is none.
    fn service_td(&self) -> [u8; 48] {
        match self.fault {
            Some(Fault::ServiceTd) => Sha384::digest("subrosa/simulator/service-td/v1").into(),
            _ => [0; 48],
        }
    }

    /// Collateral issued the day before, so that a verifier whose clock is behind accepts it too.
    fn collateral(&self, now: Timestamp) -> Result<IntelCollateral, AttestError> {
        let age = match self.fault {
            Some(Fault::CollateralExpired) => LIFE_S + 10 * DAY_S,
            _ => DAY_S,
        };
        let today = Timestamp(now.0 - now.0 % DAY_S);
        let issued = today.before(Duration(age));
        // A panic elsewhere leaves at worst an old entry, which its date tells.
        let mut kept = self.collateral.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((date, collateral)) if *date == issued => Ok(collateral.clone()),
            _ => {
                let technology = self.form.technology();
                let collateral = collateral::issue(&self.pki, technology, issued, self.fault)?;
                *kept = Some((issued, collateral.clone()));
                Ok(collateral)
            }
        }
    }
}

/// The root certificate of every simulator's Intel, DER.
pub(crate) fn root_der() -> Vec<u8> {
    Pki::under(ROOT_NAME).root_der().to_vec()
}

fn tdx_image(mrtd: &[u8; 48], boot: &Boot) -> B256 {
    match boot.event_log(None) {
        EventLog::Dstack { log, .. } => dstack_measurement(mrtd, &boot.registers, &log)
            .expect("the simulator's own log can be read"),
        EventLog::Ccel { .. } | EventLog::None => tdx_measurement(mrtd, &boot.registers),
    }
}

fn mrtd(image: &str) -> [u8; 48] {
    Sha384::new().chain_update(IMAGE_TAG).chain_update(image).finalize().into()
}

fn mrenclave(image: &str) -> [u8; 32] {
    Sha256::new().chain_update(ENCLAVE_TAG).chain_update(image).finalize().into()
}

fn mrsigner() -> [u8; 32] {
    Sha256::digest(ENCLAVE_SIGNER).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000);

    #[test]
    fn collateral_is_kept_for_a_day_and_then_renewed() {
        let platform = Platform::new(Form::Tdx, "image", None);
        let first = platform.collateral(NOW).unwrap();
        assert_eq!(platform.collateral(Timestamp(NOW.0 + 60)).unwrap(), first);
        assert_ne!(platform.collateral(Timestamp(NOW.0 + DAY_S)).unwrap(), first);
        assert_eq!(platform.collateral(NOW).unwrap(), first);
    }
}
