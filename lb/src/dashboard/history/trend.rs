//! The last samples of something, one for every second.

use std::collections::VecDeque;

use super::SAMPLES;

/// At most [`SAMPLES`], the newest last.
#[derive(Debug, Clone)]
pub(in super::super) struct Trend<S>(VecDeque<S>);

impl<S> Default for Trend<S> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<S: Copy> Trend<S> {
    /// Adds a sample for each second that it stands for.
    pub(super) fn push(&mut self, sample: S, seconds: usize) {
        for _ in 0..seconds.min(SAMPLES) {
            if self.0.len() == SAMPLES {
                self.0.pop_front();
            }
            self.0.push_back(sample);
        }
    }

    /// From the oldest on.
    pub(in super::super) fn iter(&self) -> impl ExactSizeIterator<Item = &S> {
        self.0.iter()
    }

    pub(in super::super) fn last(&self) -> Option<&S> {
        self.0.back()
    }
}
