//! The coordinator's times and bounds.

use std::time::Duration;

use crate::retry::Backoff;

/// Times and bounds of the coordinator.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// A payment between two banks whose votes are not in by then is aborted.
    pub payment_timeout: Duration,
    /// How long one call to a bank may take.
    pub attempt_timeout: Duration,
    /// Between attempts.
    pub backoff: Backoff,
    /// Between looks at what another gateway makes of a payment.
    pub look_again: Backoff,
    /// A gateway that was not heard of for so long is taken over from.
    pub lease: Duration,
    /// Most payments under way at once.
    pub payments_max: usize,
    /// Most payments that wait for an answer of one bank at once.
    pub payments_per_bank_max: usize,
    /// Most payments whose banks are being told of the decision at once; of each kind.
    pub phase_two_max: usize,
    /// How often a bank is told before others get their turn. A commit comes up again, for ever; an
    /// abort is left for the bank to ask for.
    pub phase_two_attempts: u32,
    /// How often unfinished commits are looked for.
    pub sweep_interval: Duration,
    /// Events that are kept if nobody follows them.
    pub outbox_max: u64,
    /// Most payments in the queue.
    pub queue_max: usize,
    /// Between attempts at a queued payment.
    pub queue_backoff: Backoff,
    /// Most queued payments that are tried at once.
    pub queue_attempts_max: usize,
    /// How often it is looked for queued payments that are due.
    pub queue_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            payment_timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(2),
            backoff: Backoff { first: Duration::from_millis(10), most: Duration::from_secs(1) },
            look_again: Backoff {
                first: Duration::from_millis(20),
                most: Duration::from_millis(200),
            },
            lease: Duration::from_secs(3),
            payments_max: 10_000,
            payments_per_bank_max: 5_000,
            phase_two_max: 4_096,
            phase_two_attempts: 5,
            sweep_interval: Duration::from_secs(1),
            outbox_max: 1_000_000,
            queue_max: 100_000,
            queue_backoff: Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) },
            queue_attempts_max: 256,
            queue_interval: Duration::from_millis(250),
        }
    }
}
