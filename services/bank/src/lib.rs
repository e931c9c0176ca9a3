//! x
pub mod error;
pub mod ledger;
pub mod money;
pub mod store;
pub use error::BankError;
