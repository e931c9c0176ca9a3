//! Counts what runs in the background, so that a gateway that stops can let it end.

use std::sync::Arc;

use tokio::sync::watch;

/// How many tasks there are.
#[derive(Debug, Default)]
pub(super) struct Tasks(Arc<watch::Sender<usize>>);

/// A task under way; ends when dropped.
#[derive(Debug)]
pub(super) struct Task(Arc<watch::Sender<usize>>);

impl Tasks {
    pub(super) fn start(&self) -> Task {
        self.0.send_modify(|tasks| *tasks += 1);
        Task(self.0.clone())
    }

    /// Resolves when there is none.
    pub(super) async fn none(&self) {
        // Cannot fail: `self` holds the sender.
        let _ = self.0.subscribe().wait_for(|tasks| *tasks == 0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.send_modify(|tasks| *tasks -= 1);
    }
}
