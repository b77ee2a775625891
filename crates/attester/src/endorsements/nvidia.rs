//! NVIDIA.
use subrosa_protocol::Timestamp;
use subrosa_verifier::{DeviceCollateral, Devices};

use super::fetch::Fetcher;
use super::{EndorseError, Services};

pub(super) async fn collateral(
    _fetcher: &Fetcher,
    _services: &Services,
    devices: &Devices,
    _now: Timestamp,
) -> Result<DeviceCollateral, EndorseError> {
    match devices.0.is_empty() {
        true => Ok(DeviceCollateral::default()),
        false => Err(EndorseError::Evidence("devices are not asked for")),
    }
}
