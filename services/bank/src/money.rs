//! Money: whole minor units of a currency. Never a fraction, never a float.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// An ISO 4217 code: three upper-case letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Not three upper-case letters.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a currency (expected three upper-case letters, such as INR)")]
pub struct MalformedCurrency(String);

impl Currency {
    /// The code's three letters.
    pub fn as_bytes(self) -> [u8; 3] {
        self.0
    }

    /// From three letters; `None` if they are not upper-case ASCII.
    pub fn from_bytes(code: [u8; 3]) -> Option<Self> {
        code.iter().all(u8::is_ascii_uppercase).then_some(Self(code))
    }
}

impl FromStr for Currency {
    type Err = MalformedCurrency;

    fn from_str(text: &str) -> Result<Self, MalformedCurrency> {
        let code = <[u8; 3]>::try_from(text.as_bytes()).ok().and_then(Self::from_bytes);
        code.ok_or_else(|| MalformedCurrency(text.chars().take(16).collect()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

/// Minor units (cents, paise) of a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Amount {
    /// How many; positive wherever money moves.
    pub minor_units: i64,
    /// Of what.
    pub currency: Currency,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} minor units", self.minor_units, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_is_three_capitals() {
        assert_eq!("INR".parse::<Currency>().map(|inr| inr.to_string()), Ok("INR".to_owned()));
        for text in ["", "IN", "INRS", "inr", "I1R", "€€"] {
            assert!(text.parse::<Currency>().is_err(), "{text}");
        }
    }
}
