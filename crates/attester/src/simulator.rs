//! A stand-in for TDX hardware: quotes and collateral of the real formats, under a root of its own.
//!
//! Every key in it follows from a public name, so anybody can make its evidence. That is why
//! verifiers accept its root on simulated networks alone.

pub(crate) mod intel;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha384};
use subrosa_protocol::{B256, Duration, Timestamp};
use subrosa_verifier::{
    CpuEvidence, DeviceCollateral, EventLog, Evidence, IntelCollateral, Nonce, Parts, TdxEvidence,
    report_data, tdx_measurement,
};

use self::intel::collateral::{self, DAY_S, LIFE_S};
use self::intel::pki::Pki;
use self::intel::quote::{DEBUG, MIGRATABLE, QuotingEnclave, SEPT_VE_DISABLE, TdReport};
use crate::AttestError;

const ROOT_NAME: &str = "Subrosa SIMULATED root, proves nothing";
const OTHER_ROOT_NAME: &str = "Subrosa SIMULATED root that nobody trusts";

/// Separates the measurements of simulated images from other hashes of labels.
const IMAGE_TAG: &str = "subrosa/simulated-image/v1";

/// Simulated TDX hardware that booted one image.
pub struct Simulator {
    image: [u8; 48],
    fault: Option<Fault>,
    pki: Pki,
    enclave: QuotingEnclave,
    /// The collateral of one day, with the time from which it counts.
    collateral: Mutex<Option<(Timestamp, IntelCollateral)>>,
}

/// What a simulator does wrong, for tests of those who must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Collateral that ended ten days ago.
    CollateralExpired,
    /// A guest that the host can debug.
    Debug,
    /// A guest that the host can move elsewhere.
    Migratable,
    /// Collateral of another kind of platform.
    OtherPlatform,
    /// A quote made for something else.
    OtherReportData,
    /// Everything under a root that nobody trusts.
    OtherRoot,
    /// A guest without SEPT_VE_DISABLE.
    SeptVe,
    /// A platform that lacks updates.
    TcbOutOfDate,
    /// A platform whose keys have leaked.
    TcbRevoked,
    /// A platform older than any that is judged.
    TcbUnknown,
    /// A quote with zeros behind its end.
    TrailingBytes,
}

impl Simulator {
    /// Hardware that booted the image with this label.
    pub fn new(image_label: &str) -> Simulator {
        Simulator::build(image_label, None)
    }

    /// The same, with a fault.
    pub fn faulty(image_label: &str, fault: Fault) -> Simulator {
        Simulator::build(image_label, Some(fault))
    }

    fn build(image_label: &str, fault: Option<Fault>) -> Simulator {
        let root = match fault {
            Some(Fault::OtherRoot) => OTHER_ROOT_NAME,
            _ => ROOT_NAME,
        };
        let pki = Pki::under(root);
        let enclave = QuotingEnclave::on(&pki, root);
        let collateral = Mutex::new(None);
        Simulator { image: mrtd(image_label), fault, pki, enclave, collateral }
    }

    /// The measurement of the image with this label, as releases list it.
    pub fn measurement(image_label: &str) -> B256 {
        tdx_measurement(&mrtd(image_label), &[[0; 48]; 4])
    }

    /// The root certificate of every simulator, DER.
    pub fn root_der() -> Vec<u8> {
        Pki::under(ROOT_NAME).root_der().to_vec()
    }

    /// Evidence for exactly these parts, with all collateral inside.
    ///
    /// # Errors
    /// [`AttestError::Clock`].
    pub fn evidence(
        &self,
        nonce: &Nonce,
        keyset: &[u8],
        devices: &[u8],
        workload: &[u8],
        now: Timestamp,
    ) -> Result<Evidence, AttestError> {
        let quote = self.quote(report_data(nonce, keyset, devices, workload));
        let collateral = self.collateral(now)?;
        let event_log = EventLog::None;
        let cpu = CpuEvidence::Tdx(TdxEvidence { quote, collateral, event_log });
        Ok(Evidence::compose(Parts {
            nonce: *nonce,
            keyset: keyset.to_vec(),
            devices: devices.to_vec(),
            workload: workload.to_vec(),
            cpu,
            device_collateral: DeviceCollateral::default(),
        }))
    }

    fn quote(&self, mut report_data: [u8; 64]) -> Vec<u8> {
        let mut attributes = SEPT_VE_DISABLE;
        match self.fault {
            Some(Fault::Debug) => attributes |= DEBUG,
            Some(Fault::Migratable) => attributes |= MIGRATABLE,
            Some(Fault::SeptVe) => attributes = 0,
            Some(Fault::OtherReportData) => report_data[0] ^= 1,
            _ => {}
        }
        let mut quote = self.enclave.quote(&TdReport { attributes, mrtd: self.image, report_data });
        if self.fault == Some(Fault::TrailingBytes) {
            quote.extend([0; 70]);
        }
        quote
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
                let collateral = collateral::issue(&self.pki, issued, self.fault)?;
                *kept = Some((issued, collateral.clone()));
                Ok(collateral)
            }
        }
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Simulator").field("fault", &self.fault).finish_non_exhaustive()
    }
}

fn mrtd(image_label: &str) -> [u8; 48] {
    Sha384::new().chain_update(IMAGE_TAG).chain_update(image_label).finalize().into()
}

#[cfg(test)]
mod tests {
    use sha2::Sha256;
    use subrosa_verifier::SIMULATOR_ROOT_SHA256;

    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000);
    const NONCE: Nonce =
        Nonce { verifier: B256::ZERO, chain_id: 1, block_number: 2, block_hash: B256::ZERO };

    #[test]
    fn every_simulator_has_the_root_that_verifiers_know() {
        let fingerprint = B256::from(<[u8; 32]>::from(Sha256::digest(Simulator::root_der())));
        assert_eq!(fingerprint, SIMULATOR_ROOT_SHA256);
    }

    #[test]
    fn the_same_parts_at_the_same_time_make_the_same_bytes() {
        let make = || Simulator::new("image").evidence(&NONCE, b"k", b"", b"w", NOW).unwrap();
        assert_eq!(make().as_bytes(), make().as_bytes());
    }

    #[test]
    fn collateral_is_kept_for_a_day_and_then_renewed() {
        let simulator = Simulator::new("image");
        let first = simulator.collateral(NOW).unwrap();
        assert_eq!(simulator.collateral(Timestamp(NOW.0 + 60)).unwrap(), first);
        assert_ne!(simulator.collateral(Timestamp(NOW.0 + DAY_S)).unwrap(), first);
        assert_eq!(simulator.collateral(NOW).unwrap(), first);
    }

    #[test]
    fn every_label_has_its_own_measurement() {
        assert_ne!(Simulator::measurement("a"), Simulator::measurement("b"));
    }

    #[test]
    fn a_clock_beyond_all_certificates_is_named() {
        let error = Simulator::new("image").evidence(&NONCE, b"", b"", b"", Timestamp(u64::MAX));
        assert!(matches!(error, Err(AttestError::Clock { .. })), "{error:?}");
    }

    #[test]
    fn works_at_the_beginning_of_time() {
        assert!(Simulator::new("image").evidence(&NONCE, b"", b"", b"", Timestamp(0)).is_ok());
    }
}
