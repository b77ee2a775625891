//! Appraises evidence of NVIDIA GPUs and NVSwitches offline: bytes and a time in, a named outcome for
//! every check out.

#[cfg(feature = "simulator")]
pub mod simulator;
