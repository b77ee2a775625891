//! The readers of foreign bytes that are not public by themselves, for the fuzz targets.

pub use crate::endorsements::fuzzing::{
    HttpAnswer, amd_authorities, amd_ends, intel_collateral, intel_ends, kept_answer,
    nvidia_questions, nvidia_rim,
};
pub use crate::hardware::fuzzing::{
    device_chain, device_report, dstack_body, dstack_devices, dstack_info, dstack_quote, quote,
    snp_report,
};
