//! The failure matrix of payments, row by row, against real processes. A process dies at a named place
//! (its failpoint) or by `kill -9`, is started again, and then everything must have ended as the row says:
//! the outcome, the same for whoever asks again; the balances; nothing held; the sum unchanged.
//!
//! | fault | must end as | shown by |
//! |---|---|---|
//! | coordinator before INITIATED is durable | aborted; the id may be used again, also for all that the payer has | [`coordinator`] |
//! | coordinator after one prepare, or all votes, no decision | aborted by presumption; holds released | [`coordinator`] |
//! | coordinator after COMMIT is durable, before the reply | committed; the retry gets that answer | [`coordinator`] |
//! | coordinator after commit reached one bank only | the other commits | [`coordinator`] |
//! | coordinator down for long | holds kept, alarm raised | [`coordinator`] |
//! | coordinator of an old run wakes | fenced, by the store and at the banks | [`coordinator`] |
//! | bank before or after PREPARED is durable | a NO, so aborted; in doubt, so asks | [`bank`] |
//! | bank after a commit is applied, before the answer | the commit again is nothing | [`bank`] |
//! | abort before prepare; prepare again with another amount | refused, and said so | [`bank`] |
//! | a prepare again at another server | the same vote | [`bank`] |
//! | the disk is full or fails at a commit | the process stops, nothing acknowledged | [`disk`] |
//! | an operator ends a leg in doubt | kept with who and why; a decision against it is reported | [`operator`] |
//! | torn tail | ignored if and only if never acknowledged | the stores' own tests, on a disk that tears |
//! | one payment id fifty times at once | one transfer, identical answers | [`crate::money`], [`crate::gateways`] |

mod bank;
mod coordinator;
mod disk;
mod operator;
mod scene;

/// Tests of a row on every store: `async fn row(on: Store)` each.
macro_rules! on_every_store {
    ($($row:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $row() {
                super::$row(crate::matrix::scene::Store::Embedded).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $row() {
                super::$row(crate::matrix::scene::Store::Postgres).await;
            })+
        }
    };
}
use on_every_store;
