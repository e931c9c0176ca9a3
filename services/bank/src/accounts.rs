//! Account files: what a bank starts with.
//!
//! [`mod@file`] reads CSV and JSON, refusing what cannot be by file, line and reason; [`generate`]
//! makes such files for many banks, and the file of users that the gateway reads. Account files are
//! looked at when a store is created and never again: from then on the store is the truth.

pub mod file;
pub mod generate;

pub use generate::{AccountsArgs, run_accounts};

/// Whether `text` may name an account: 1 to 64 of `A-Z a-z 0-9 . _ -`.
pub fn is_account_id(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}
