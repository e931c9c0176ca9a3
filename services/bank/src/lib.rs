//! A bank: its accounts, its part in payments between banks, and the servers that speak for it.
//!
//! [`ledger`] is the bank's law, a pure double-entry state machine. [`store`] keeps it durable: one
//! process owns the file, any number of stateless servers use it through that process. [`service`]
//! is where the wire begins and ends. [`resolver`] asks coordinators what became of payments that
//! were left in doubt; [`gate`] makes a server behave like one with few slots and a service time,
//! for experiments, and [`fault`] is what can be made to ail it. [`accounts`] reads and generates account files, [`operator`] is what operators do to accounts, [`mod@force`] to legs, [`reconcile`]
//! holds books against payments, and [`command`] is what the
//! command line calls.

pub mod accounts;
mod clock;
pub mod command;
pub mod error;
pub mod fault;
pub mod force;
pub mod gate;
pub mod ledger;
pub mod money;
pub mod operator;
pub mod reconcile;
pub mod resolver;
pub mod service;
pub mod store;

pub use accounts::{AccountsArgs, run_accounts};
pub use command::{BankArgs, run};
pub use error::BankError;
pub use force::{ForceArgs, run_force};
pub use operator::{AccountArgs, run_account};
pub use reconcile::{ReconcileArgs, run_reconcile};
