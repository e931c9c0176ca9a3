//! The payment protocol as a model whose every state is looked at, by [stateright].
//!
//! What decides here is the services' own code: the state machine of a payment (`strife_gateway::payment`),
//! the rules by which gateways write their store (`store::rules`), what banks in doubt are told
//! (`standing`), and the ledger (`strife_bank::ledger`). The model adds what surrounds them: a network
//! that loses, delays, doubles and reorders whatever is sent, writes to a store that arrive late or not
//! at all, gateways that crash and start at any moment and take each other for dead when they are not,
//! and clients that ask again elsewhere.
//!
//! In reading order: [`world`] is the state; [`protocol`] what can happen in it; [`steps`] what that does;
//! [`laws`] what must hold in every state, and how every state must end once nothing fails any more.
//!
//! [stateright]: https://docs.rs/stateright

pub mod bank;
pub mod laws;
pub mod protocol;
pub mod steps;
pub mod world;
