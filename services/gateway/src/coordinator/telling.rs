//! How whoever waits for a payment is told of its end: said once, to any number of those who wait, and to
//! whoever asks later.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::{payment::Decision, queue::Queued};

/// What whoever waits for a payment is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// The decision, which is durable.
    Decided(Decision),
    /// This attempt's decision; the payment has a place in the queue. Both are durable.
    Queued(Decision, Queued),
    /// The payment id is another gateway's payment's, or nobody's: look there, and begin it if there is none.
    Elsewhere,
}

/// Says it. Dropped without, it says that nothing will be said: the store failed.
#[derive(Debug)]
pub(super) struct Teller(Arc<Said>);

/// Waits for it. Clones wait for the same.
#[derive(Debug, Clone)]
pub(super) struct Listener(Arc<Said>);

#[derive(Debug, Default)]
struct Said {
    /// `None`: nothing will be.
    told: OnceLock<Option<Told>>,
    waiting: Notify,
}

/// One who says it and one who waits.
pub(super) fn telling() -> (Teller, Listener) {
    let said = Arc::<Said>::default();
    (Teller(said.clone()), Listener(said))
}

impl Said {
    fn say(&self, told: Option<Told>) {
        self.told.get_or_init(|| told);
        self.waiting.notify_waiters();
    }
}

impl Teller {
    /// Only the first word counts.
    pub(super) fn tell(&self, told: Told) {
        self.0.say(Some(told));
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.say(None);
    }
}

impl Listener {
    /// What is said; `None` if the store failed.
    pub(super) async fn told(&self) -> Option<Told> {
        loop {
            // Before the look, or it could be said between the two.
            let said = self.0.waiting.notified();
            if let Some(told) = self.0.told.get() {
                return told.clone();
            }
            said.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn everyone_is_told_whenever_they_ask() {
        let (teller, listener) = telling();
        let (other, mut early) = (listener.clone(), Box::pin(listener.told()));
        assert_eq!(early.as_mut().now_or_never(), None);
        teller.tell(Told::Elsewhere);
        assert_eq!(early.await, Some(Told::Elsewhere));
        drop(teller);
        assert_eq!(other.told().await, Some(Told::Elsewhere));
    }

    #[tokio::test]
    async fn who_is_gone_has_nothing_to_say() {
        let (teller, listener) = telling();
        let mut early = Box::pin(listener.told());
        assert_eq!(early.as_mut().now_or_never(), None);
        drop(teller);
        assert_eq!(early.await, None);
    }
}
