//! How those who wait for one commit are told.
//!
//! To wake a task of another thread costs a system call, and a commit may have hundreds to wake; to wake
//! one from a task of the same runtime costs next to nothing. So the thread that commits wakes one task, which
//! tells everyone.

use tokio::{runtime::Handle, sync::oneshot};

use super::Machine;

/// Who waits for how many of a commit's outcomes.
pub(super) enum Answer<M: Machine> {
    One(oneshot::Sender<M::Outcome>),
    Many(usize, oneshot::Sender<Vec<M::Outcome>>),
}

/// Answers that are given when this is dropped, in the order of the commands, so that a runtime that is gone
/// keeps them from nobody.
struct Due<M: Machine> {
    answers: Vec<Answer<M>>,
    outcomes: Vec<M::Outcome>,
}

/// Tells everyone what became of their commands, if it can be by a task of `runtime`.
pub(super) fn answer<M: Machine>(
    answers: Vec<Answer<M>>,
    outcomes: Vec<M::Outcome>,
    runtime: Option<&Handle>,
) {
    let due = Due { answers, outcomes };
    if let Some(runtime) = runtime.filter(|_| due.answers.len() > 1) {
        runtime.spawn(async move { drop(due) });
    }
}

impl<M: Machine> Drop for Due<M> {
    /// Who has stopped waiting is skipped.
    fn drop(&mut self) {
        let mut outcomes = self.outcomes.drain(..);
        for answer in self.answers.drain(..) {
            match answer {
                Answer::One(to) => {
                    let _ = outcomes.next().map(|outcome| to.send(outcome));
                }
                Answer::Many(count, to) => {
                    let _ = to.send(outcomes.by_ref().take(count).collect());
                }
            }
        }
    }
}
