//! What a processor's evidence says, once its signature is known to be good.

use subrosa_protocol::{B256, Timestamp};

use crate::check::CheckName;
use crate::policy::Policy;
use crate::report::Checks;

/// What every vendor's appraisal gives to the rest.
pub(crate) struct Quoted {
    /// The bytes that the guest had signed.
    pub(crate) report_data: [u8; 64],
    /// What booted, as releases list it.
    pub(crate) measurement: B256,
    /// When the collateral ends.
    pub(crate) expires: Timestamp,
}

/// What a measurement is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// Nothing: a bare quote of software that nobody has released. The check stays absent.
    Nothing,
    /// The policy's releases.
    Releases,
}

impl Against {
    /// Records whether a measurement is a released one.
    pub(crate) fn check(self, measurement: B256, policy: &Policy, checks: &mut Checks) {
        let name = CheckName::TeeMeasurement;
        match self {
            Against::Nothing => {
                checks.absent(name, format!("image {measurement}, held against nothing"));
            }
            Against::Releases if policy.releases.measurements.contains(&measurement) => {
                checks.pass(name, format!("image {measurement}"));
            }
            Against::Releases => {
                checks.fail(name, format!("image {measurement} is not a released one"));
            }
        }
    }
}
