//! Whether a bank is there: it is taken to be away once nothing was answered for a while, until it answers
//! or so little is known of late that it is worth asking again.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

/// A bank that answered nobody for so long is away.
const AWAY_AFTER: Duration = Duration::from_secs(1);
/// That it did not answer says nothing any more after so long. Longer than whoever asks again and again
/// lets pass between two answers that do not come.
const BELIEVED_FOR: Duration = Duration::from_secs(4);

/// What is known of a bank. Times are milliseconds since `started`, and at least 1.
#[derive(Debug)]
pub(super) struct Presence {
    started: Instant,
    /// Whether it ever answered.
    heard: AtomicBool,
    /// Since when it answers nobody; 0: it does.
    silent_since_ms: AtomicU64,
    /// When it last did not.
    last_silent_ms: AtomicU64,
}

impl Presence {
    pub(super) fn new() -> Self {
        let (silent_since_ms, last_silent_ms) = (AtomicU64::new(0), AtomicU64::new(0));
        let heard = AtomicBool::new(false);
        Self { started: Instant::now(), heard, silent_since_ms, last_silent_ms }
    }

    /// A command was answered.
    pub(super) fn answered(&self) {
        // Nearly always so, and then nothing is written that other threads read.
        if self.silent_since_ms.load(Relaxed) != 0 {
            self.silent_since_ms.store(0, Relaxed);
        }
        if !self.heard.load(Relaxed) {
            self.heard.store(true, Relaxed);
        }
    }

    /// A command was not answered.
    pub(super) fn silent(&self) {
        let now_ms = self.now_ms();
        let _ = self.silent_since_ms.compare_exchange(0, now_ms, Relaxed, Relaxed);
        self.last_silent_ms.store(now_ms, Relaxed);
    }

    /// Nobody was answered yet, or since somebody was not.
    pub(super) fn is_silent(&self) -> bool {
        !self.heard.load(Relaxed) || self.silent_since_ms.load(Relaxed) != 0
    }

    pub(super) fn is_away(&self) -> bool {
        let since = self.silent_since_ms.load(Relaxed);
        let last = self.last_silent_ms.load(Relaxed);
        since != 0
            && last.saturating_sub(since) >= AWAY_AFTER.as_millis() as u64
            && self.now_ms().saturating_sub(last) < BELIEVED_FOR.as_millis() as u64
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn away_is_who_answers_nobody_for_a_while() {
        let presence = Presence::new();
        let wait = |ms| tokio::time::sleep(Duration::from_millis(ms));
        assert!(!presence.is_away() && presence.is_silent(), "nobody has asked");
        presence.answered();
        assert!(!presence.is_silent());
        presence.silent();
        assert!(presence.is_silent());
        assert!(!presence.is_away(), "once is not for long");
        wait(1_000).await;
        presence.silent();
        assert!(presence.is_away());
        presence.answered();
        assert!(!presence.is_away() && !presence.is_silent());
        presence.silent();
        wait(900).await;
        presence.silent();
        assert!(!presence.is_away(), "it has answered since");
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_away_is_worth_asking_after_a_while() {
        let presence = Presence::new();
        presence.silent();
        tokio::time::sleep(Duration::from_secs(2)).await;
        presence.silent();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(presence.is_away());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!presence.is_away() && presence.is_silent(), "nothing was heard of it");
        presence.silent();
        assert!(presence.is_away(), "it still answers nobody");
    }
}
