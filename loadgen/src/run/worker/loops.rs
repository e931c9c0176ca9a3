//! When a worker sends: by a schedule, or when the last call ended.

use std::{io, rc::Rc, sync::atomic::Ordering::Relaxed, time::Duration};

use strife_runtime::Shutdown;
use tokio::task::spawn_local;

use super::Worker;
use crate::{
    pace::Pacer,
    samples::{ErrorKind, Outcome},
    schedule::Arrival,
};

/// Calls sent in a row before answers are read again.
const MAX_BURST: u32 = 64;
/// How long after the end of the measured time calls due in it are still sent.
const LATE_GRACE: Duration = Duration::from_millis(250);

impl Worker {
    /// Sends every call when it is due, or as soon after as this thread can.
    pub(super) async fn open_loop(
        self: &Rc<Self>,
        schedule: impl Iterator<Item = Arrival>,
        pacer: &mut Pacer,
        stop: &Shutdown,
    ) -> io::Result<()> {
        let (_, until) = self.config.window();
        let due = schedule.take_while(|arrival| until.is_none_or(|until| arrival.at < until));
        let mut burst = 0;
        for arrival in due.filter(|arrival| arrival.client % self.config.threads == self.index) {
            if self.now() < arrival.at {
                burst = 0;
                self.wait_until(arrival.at, pacer, stop).await?;
            } else if burst == MAX_BURST {
                burst = 0;
                tokio::task::yield_now().await;
            }
            burst += 1;
            if stop.is_requested() {
                self.recorder.borrow_mut().stop(self.now());
                return Ok(());
            }
            self.send_due(arrival, until);
        }
        match until {
            Some(until) => self.wait_until(until, pacer, stop).await,
            None => Ok(()),
        }
    }

    /// Resolves at `at` since the start of the run, or when the run is to stop.
    async fn wait_until(&self, at: Duration, pacer: &mut Pacer, stop: &Shutdown) -> io::Result<()> {
        tokio::select! {
            biased;
            waited = pacer.wait_until(self.origin + at) => waited,
            () = stop.requested() => {
                self.recorder.borrow_mut().stop(self.now());
                Ok(())
            }
        }
    }

    fn send_due(self: &Rc<Self>, arrival: Arrival, until: Option<Duration>) {
        if until.is_some_and(|until| self.now() > until + LATE_GRACE) {
            self.recorder.borrow_mut().unsent(arrival.at);
        } else if self.in_flight.get() >= self.config.in_flight_limit / self.config.threads {
            self.recorder.borrow_mut().shed(arrival.at);
            self.progress.count_error();
        } else {
            spawn_local(self.send(arrival.client, arrival.at));
        }
    }

    /// Runs every client of this thread until the run is over.
    pub(super) async fn closed_loop(self: &Rc<Self>, stop: &Shutdown) {
        let mine = (self.index..self.config.clients).step_by(self.config.threads as usize);
        let clients: Vec<_> =
            mine.map(|client| spawn_local(self.clone().run_client(client, stop.clone()))).collect();
        for client in clients {
            client
                .await
                .unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()));
        }
    }

    async fn run_client(self: Rc<Self>, client: u32, stop: Shutdown) {
        let (_, until) = self.config.window();
        let is_over = || until.is_some_and(|until| self.now() >= until);
        while !is_over() && !stop.is_requested() && self.take_ticket() {
            let outcome = self.send(client, self.now()).await;
            if outcome == Outcome::Failed(ErrorKind::NotConnected) {
                // Without a pause a client would do nothing but fail.
                let up = self.connection_of(client).up();
                tokio::select! {
                    () = up => {}
                    () = tokio::time::sleep(self.config.timeout) => {}
                    () = stop.requested() => {}
                }
            }
        }
        if stop.is_requested() && !is_over() {
            self.recorder.borrow_mut().stop(self.now());
        }
    }

    /// Whether one more call may be made; of a run that is counted in calls.
    fn take_ticket(&self) -> bool {
        self.tickets.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}
