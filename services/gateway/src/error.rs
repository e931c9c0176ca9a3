//! Why the gateway does not do what it is asked. Mapped to gRPC codes in [`crate::service`].

use strife_store::StoreError;
use thiserror::Error;

use crate::{
    order::{Account, MalformedOrder},
    users::MalformedUsers,
};

/// A request, or a start, that came to nothing.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// The order itself is wrong.
    #[error(transparent)]
    MalformedOrder(#[from] MalformedOrder),
    /// A part of the request is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// No identity says who pays, nor does the request.
    #[error("`user` is missing, and no certificate says who it is")]
    UserMissing,
    /// Not in the users file.
    #[error("there is no user `{0}`")]
    UnknownUser(String),
    /// A client speaks for itself only.
    #[error("{identity} may not act for user `{user}`")]
    NotThatUser {
        /// Who asks.
        identity: String,
        /// Whom it names.
        user: String,
    },
    /// The paying account is somebody else's, or nobody's.
    #[error("{account} is not an account of user `{user}`")]
    NotTheirAccount {
        /// Who would pay.
        user: String,
        /// From where.
        account: Account,
    },
    /// No way leads to that bank.
    #[error("there is no bank `{0}`")]
    UnknownBank(String),
    /// The payment id was used before.
    #[error("payment_id `{0}` was used before for another payment; choose a new id")]
    Conflict(String),
    /// As many payments as may be are under way.
    #[error("{limit} payments are under way already; ask again with the same payment_id")]
    TooManyPayments {
        /// The bound.
        limit: usize,
    },
    /// As many payments as may wait for that bank do.
    #[error(
        "{limit} payments wait for bank `{bank}` already; ask again with the same payment_id when it \
         is back"
    )]
    BankBehind {
        /// The bank.
        bank: String,
        /// The bound.
        limit: usize,
    },
    /// The servers that give transaction ids away were away for too long.
    #[error(
        "there are no transaction ids left, and the servers that give them (--txid) do not answer; ask \
         again with the same payment_id"
    )]
    NoTransactionIds,
    /// Nothing of that name was taken on, for this user.
    #[error(
        "there is no payment `{0}` of this user so far; if a request for it may still be on its way, \
         ask again"
    )]
    UnknownPayment(String),
    /// No decision yet.
    #[error("payment `{0}` is still under way; ask again with the same payment_id")]
    StillUnderWay(String),
    /// Not a token that a page of this history came with.
    #[error("`{0}` is not a page_token of this history")]
    MalformedPageToken(String),
    /// Another gateway's store, or one that was lost, made this transaction.
    #[error(
        "transaction `{0}` was not made by this gateway's store; ask the gateway that made it, or \
         bring back the store it was made in"
    )]
    ForeignTransaction(String),
    /// Made by nobody: later than anything this gateway made.
    #[error("transaction `{0}` was not made yet")]
    TransactionNotMade(String),
    /// Not a name for a follower.
    #[error("`follower` must be 1 to 64 of a-z, A-Z, 0-9, `.`, `_` and `-`")]
    MalformedFollower,
    /// As many as are remembered follow.
    #[error("{limit} followers are remembered already; forget one of them")]
    TooManyFollowers {
        /// The bound.
        limit: usize,
    },
    /// It never followed, or was forgotten.
    #[error("there is no follower `{0}` of these events")]
    UnknownFollower(String),
    /// Nothing happened there so far.
    #[error(
        "there is no event {0} here: the store is another, or was restored since that was followed"
    )]
    NoSuchEvent(u64),
    /// Something else happened there.
    #[error("event {0} is another one here: the store was restored since that was followed")]
    OtherEvent(u64),
    /// Too late.
    #[error("events up to {up_to} were removed here, and not all of them were taken before")]
    EventsRemoved {
        /// The last of them.
        up_to: u64,
    },
    /// The gateway ends.
    #[error("the gateway ends; follow again")]
    Leaving,
    /// The users file.
    #[error(transparent)]
    MalformedUsers(#[from] MalformedUsers),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}
