//! Money, in the atomic units of the token that an offer names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of money in atomic token units (for a token of 6 decimals, millionths).
///
/// In JSON it is a decimal string, as in x402, because JavaScript numbers end at 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub u128);

impl Amount {
    /// No money.
    pub const ZERO: Amount = Amount(0);

    /// The sum.
    ///
    /// # Errors
    /// [`AmountOverflow`] past 2^128 − 1, which no token reaches.
    pub fn checked_add(self, other: Amount) -> Result<Amount, AmountOverflow> {
        self.0.checked_add(other.0).map(Amount).ok_or(AmountOverflow)
    }

    /// The difference, or zero where `other` is the larger.
    pub fn saturating_sub(self, other: Amount) -> Amount {
        Amount(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let canonical = text == "0" || (!text.starts_with('0') && !text.starts_with('+'));
        match text.parse() {
            Ok(units) if canonical => Ok(Amount(units)),
            _ => Err(serde::de::Error::custom("an amount is a decimal string of atomic units")),
        }
    }
}

/// A sum of money passed 2^128 − 1 atomic units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sum of amounts is larger than any token's supply")]
pub struct AmountOverflow;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_a_canonical_decimal_string() {
        assert_eq!(serde_json::to_string(&Amount(12)).unwrap(), "\"12\"");
        assert_eq!(serde_json::from_str::<Amount>("\"12\"").unwrap(), Amount(12));
        for wrong in ["12", "\"012\"", "\"+1\"", "\"-1\"", "\"\"", "\"1.5\"", "\"0x1\""] {
            assert!(serde_json::from_str::<Amount>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_sum_past_the_largest_amount_is_refused() {
        assert_eq!(Amount(u128::MAX).checked_add(Amount(1)), Err(AmountOverflow));
    }
}
