//! What became of the payments that a run left in the gateway's queue.

use serde::{Deserialize, Serialize};

/// The queue of one run, its warm-up included, by the gateway's own events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The columns of `queue.csv`.
pub struct QueueRow {
    pub workload: String,
    pub policy: String,
    pub trial: u32,
    /// Payments that went to the queue, whether or not their callers still heard of it.
    pub queued: u64,
    /// Of these, those that were made in the end,
    pub committed: u64,
    /// that a bank refused,
    pub aborted: u64,
    /// whose time was over before,
    pub expired: u64,
    /// and that still waited when the sweep waited no longer.
    pub waiting: u64,
    /// From being taken on to being committed, of those that were in the queue.
    pub wait_p50_s: Option<f64>,
    pub wait_p99_s: Option<f64>,
    pub wait_max_s: Option<f64>,
    /// From the first commit of a payment that was in the queue to the end of the last one; empty if none
    /// was committed.
    pub drained_s: Option<f64>,
    pub clients: u32,
    pub servers: u32,
    pub offered_rps: f64,
    /// What befell the fleet during the run, by its name in the plan; empty: nothing.
    #[serde(default)]
    pub fault: String,
}

impl QueueRow {
    /// All of it in a sentence.
    pub fn told(&self) -> String {
        let Self { queued, committed, .. } = self;
        if *queued == 0 {
            return "no payment had to wait in the queue".to_owned();
        }
        let mut ends = vec![format!("{committed} committed")];
        let others =
            [(self.aborted, "refused"), (self.expired, "expired"), (self.waiting, "still waiting")];
        let others = others.into_iter().filter(|(count, _)| *count > 0);
        ends.extend(others.map(|(count, what)| format!("{count} {what}")));
        let mut told = format!("of {queued} payments in the queue {}", ends.join(", "));
        if let Some(drained_s) = self.drained_s {
            told += &format!(", in {drained_s:.1} s");
            if drained_s >= 1.0 {
                told += &format!(" ({:.0} a second)", *committed as f64 / drained_s);
            }
        }
        let waits = [("p50", self.wait_p50_s), ("p99", self.wait_p99_s), ("max", self.wait_max_s)];
        let waits = waits.into_iter().filter_map(|(name, s)| Some(format!("{name} {:.1} s", s?)));
        let waits: Vec<String> = waits.collect();
        if !waits.is_empty() {
            told += &format!("; from request to commit {}", waits.join(", "));
        }
        told
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A hundred payments, one of which expired.
    pub(crate) fn row() -> QueueRow {
        QueueRow {
            workload: "payments".to_owned(),
            policy: "least_load".to_owned(),
            trial: 1,
            queued: 100,
            committed: 99,
            aborted: 0,
            expired: 1,
            waiting: 0,
            wait_p50_s: Some(3.0),
            wait_p99_s: None,
            wait_max_s: Some(7.26),
            drained_s: Some(4.5),
            clients: 16,
            servers: 3,
            offered_rps: 100.0,
            fault: "bank_away".to_owned(),
        }
    }

    #[test]
    fn a_sentence_names_only_what_there_was() {
        assert_eq!(
            row().told(),
            "of 100 payments in the queue 99 committed, 1 expired, in 4.5 s (22 a second); from request to \
             commit p50 3.0 s, max 7.3 s"
        );
        let none = QueueRow { queued: 0, committed: 0, expired: 0, ..row() };
        assert_eq!(none.told(), "no payment had to wait in the queue");
        let all_wait = QueueRow {
            committed: 0,
            expired: 0,
            waiting: 100,
            wait_p50_s: None,
            wait_max_s: None,
            drained_s: None,
            ..row()
        };
        assert_eq!(all_wait.told(), "of 100 payments in the queue 0 committed, 100 still waiting");
    }
}
