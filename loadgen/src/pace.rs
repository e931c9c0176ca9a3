//! Waking when a call is due.
//!
//! Tokio's timer counts milliseconds, which at a thousand calls a second and more would be seen in
//! every latency. On Linux a timerfd, readable within tens of microseconds of its time, wakes the
//! same epoll that the sockets wake; elsewhere tokio's timer has to do.

use std::{io, time::Instant};

/// Waits for instants more precisely than tokio's timer. One per thread, on that thread's runtime.
#[derive(Debug)]
pub struct Pacer {
    #[cfg(target_os = "linux")]
    timer: tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
}

#[cfg(target_os = "linux")]
impl Pacer {
    /// Must be called inside a tokio runtime.
    pub fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(deprecated, reason = "sound for an OwnedFd; its successor is an unsafe fn")]
        let timer = tokio::io::unix::AsyncFd::new(timer)?;
        Ok(Self { timer })
    }

    /// Resolves at `due`, at once if that has passed. Safe to drop before it resolves.
    pub async fn wait_until(&mut self, due: Instant) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        let wait = due.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        let it_value =
            Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.timer.readable().await?;
            let expirations =
                ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0_u8; 8])?));
            match expirations {
                // A wait that was dropped may have left its readiness behind.
                Err(_would_block) => continue,
                Ok(read) => return read.map(drop),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Pacer {
    /// Must be called inside a tokio runtime.
    pub fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Resolves at `due`, at once if that has passed. Safe to drop before it resolves.
    pub async fn wait_until(&mut self, due: Instant) -> io::Result<()> {
        tokio::time::sleep_until(due.into()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn never_wakes_early() {
        let mut pacer = Pacer::new().unwrap();
        for us in [0, 1, 50, 700, 3_000] {
            let due = Instant::now() + Duration::from_micros(us);
            pacer.wait_until(due).await.unwrap();
            assert!(Instant::now() >= due, "{us}");
        }
    }

    #[tokio::test]
    async fn a_dropped_wait_does_not_wake_the_next() {
        let mut pacer = Pacer::new().unwrap();
        let soon = Instant::now() + Duration::from_micros(200);
        tokio::select! {
            biased;
            outcome = pacer.wait_until(soon) => outcome.unwrap(),
            () = std::future::ready(()) => {}
        }
        let due = Instant::now() + Duration::from_millis(3);
        pacer.wait_until(due).await.unwrap();
        assert!(Instant::now() >= due);
    }
}
