//! What a processor's evidence says, once its signature is known to be good.

use subrosa_protocol::{B256, Timestamp};

/// What every vendor's appraisal gives to the rest.
pub(crate) struct Quoted {
    /// The bytes that the guest had signed.
    pub(crate) report_data: [u8; 64],
    /// What booted, as releases list it.
    pub(crate) measurement: B256,
    /// When the collateral ends.
    pub(crate) expires: Timestamp,
}
