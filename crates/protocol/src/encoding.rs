//! Base64 as headers and documents carry it: standard alphabet, padded, one spelling only.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Standard base64 with padding.
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes that canonical base64 stands for.
///
/// # Errors
/// [`NotBase64`] for another alphabet, missing padding, white space or set trailing bits.
pub fn from_base64(text: &str) -> Result<Vec<u8>, NotBase64> {
    STANDARD.decode(text).map_err(|_| NotBase64)
}

/// Text that is not canonical base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not canonical base64")]
pub struct NotBase64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_second_spelling() {
        assert_eq!(from_base64("AQ==").unwrap(), [1]);
        for wrong in ["AQ", "AQ=", "AR==", "AQ==\n", " AQ==", "_w=="] {
            assert_eq!(from_base64(wrong), Err(NotBase64), "{wrong:?}");
        }
    }
}
