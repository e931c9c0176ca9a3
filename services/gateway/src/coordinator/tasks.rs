//! Counts what runs in the background, so that a gateway that stops can let it end.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::Notify;

/// How many tasks there are.
#[derive(Debug, Default)]
pub(super) struct Tasks(Arc<Count>);

/// A task under way; ends when dropped.
#[derive(Debug)]
pub(super) struct Task(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    tasks: AtomicUsize,
    /// Told when the last one ends.
    none: Notify,
}

impl Tasks {
    pub(super) fn start(&self) -> Task {
        self.0.tasks.fetch_add(1, SeqCst);
        Task(self.0.clone())
    }

    /// Resolves when there is none.
    pub(super) async fn none(&self) {
        loop {
            // Before the look, or the last one could end between the two.
            let ended = self.0.none.notified();
            if self.0.tasks.load(SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, SeqCst) == 1 {
            self.0.none.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn resolves_once_the_last_has_ended() {
        let tasks = Tasks::default();
        let (first, second) = (tasks.start(), tasks.start());
        let mut none = Box::pin(tasks.none());
        assert_eq!(none.as_mut().now_or_never(), None);
        drop(first);
        assert_eq!(none.as_mut().now_or_never(), None);
        drop(second);
        none.await;
        tasks.none().await;
    }
}
