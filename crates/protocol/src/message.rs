//! What every signed message can do: give its EIP-712 digest and its canonical bytes.

use alloy_primitives::B256;
use alloy_sol_types::{SolStruct, SolValue, sol_data};

use crate::{Domain, Family};

/// No message of ours comes near this many bytes; a longer one is refused unread.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// A message that can be signed under EIP-712.
///
/// Canonical bytes are Solidity's `abi.encode(struct)`, so that a contract reads them as they are.
/// See `spec/wire.md` section 2.
pub trait Message: Clone + Sized {
    /// The struct as Solidity knows it; its name is part of the signed type.
    type Sol: SolStruct
        + SolValue<SolType = Self::Sol>
        + alloy_sol_types::SolType<RustType = Self::Sol>;

    /// Whose domain the message is signed under.
    const FAMILY: Family;

    /// The same message as Solidity's struct.
    fn to_sol(&self) -> Self::Sol;

    /// The message that a Solidity struct stands for.
    ///
    /// # Errors
    /// [`DecodeError::Value`] where a member holds a value that the message has no meaning for.
    fn from_sol(sol: Self::Sol) -> Result<Self, DecodeError>;

    /// The EIP-712 digest that a signature is made over.
    fn digest(&self, domain: &Domain) -> B256 {
        self.to_sol().eip712_signing_hash(&domain.eip712(Self::FAMILY))
    }

    /// The canonical bytes.
    fn encode(&self) -> Vec<u8> {
        self.to_sol().abi_encode()
    }

    /// Reads canonical bytes, and only those.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that are too long, are not this struct, or are a second spelling of it.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(DecodeError::TooLong { got: bytes.len() });
        }
        let sol = <Self::Sol as SolValue>::abi_decode_validate(bytes)
            .map_err(|_| DecodeError::Malformed)?;
        let message = Self::from_sol(sol)?;
        // Two spellings of one message would let two digests of "the same bytes" disagree.
        if message.encode() != bytes {
            return Err(DecodeError::NotCanonical);
        }
        Ok(message)
    }
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes do not hold the struct that was expected.
    #[error("the bytes are not the message that was expected")]
    Malformed,
    /// The bytes hold the message, but not in its canonical form.
    #[error("the message is not in its canonical form")]
    NotCanonical,
    /// More bytes than any message has.
    #[error("a message of {got} bytes is longer than {MESSAGE_BYTES_MAX}")]
    TooLong {
        /// How many bytes came.
        got: usize,
    },
    /// A member holds a value outside its range.
    #[error("the message's member {member} is out of range")]
    Value {
        /// The member's name.
        member: &'static str,
    },
}

/// The only width of Solidity integer that Rust has no type for: `uint40`.
pub(crate) type Uint40 = <sol_data::Uint<40> as alloy_sol_types::SolType>::RustType;
