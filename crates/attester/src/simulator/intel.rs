//! A stand-in for Intel's platforms: SGX and TDX quotes, and what Intel would state about them.

pub(crate) mod collateral;
mod key;
pub(crate) mod pki;
pub(crate) mod quote;
