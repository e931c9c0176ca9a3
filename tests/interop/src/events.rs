//! What a server saw of the calls that carry the header `x-strife-test-call`.
//!
//! Servers in other languages print an event a line: `began CALL MILLISECONDS` (of the deadline; `-`
//! without one), `ended CALL`, `cancelled CALL`.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::Notify;

/// How long an event that must come may take. Never asserted as a time; it only ends a test that would
/// otherwise hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// One thing a server saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The call's name.
    pub call: String,
    /// What happened to it.
    pub what: What,
}

/// What happened to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It reached the server, with so much time left, if it has a deadline.
    Began(Option<Duration>),
    /// The server finished it.
    Ended,
    /// It was over before the server had finished it.
    Cancelled,
}

/// Everything a server saw, in order.
#[derive(Debug, Clone, Default)]
pub struct Events {
    seen: Arc<Mutex<Vec<Event>>>,
    more: Arc<Notify>,
}

impl Events {
    /// Adds an event.
    pub fn record(&self, event: Event) {
        self.seen.lock().unwrap().push(event);
        self.more.notify_waiters();
    }

    /// The first event that `pick` makes something of, waiting for it.
    ///
    /// # Panics
    /// When no such event comes.
    pub async fn first<T>(&self, wanted: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        let found = async {
            loop {
                let more = self.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if let Some(found) = self.seen.lock().unwrap().iter().find_map(&pick) {
                    return found;
                }
                more.await;
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => panic!("no event `{wanted}` among {self}"),
        }
    }

    /// Waits until the server saw `call` begin; the time it had left.
    pub async fn began(&self, call: &str) -> Option<Duration> {
        self.first(&format!("began {call}"), |event| match event.what {
            What::Began(left) if event.call == call => Some(left),
            _ => None,
        })
        .await
    }

    /// Waits until the server saw that `call` was cancelled.
    pub async fn cancelled(&self, call: &str) {
        let wanted = Event { call: call.to_owned(), what: What::Cancelled };
        self.first(&wanted.to_string(), |event| (*event == wanted).then_some(())).await;
    }
}

impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in self.seen.lock().unwrap().iter() {
            write!(f, "`{event}` ")?;
        }
        Ok(())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, what } = self;
        match what {
            What::Began(None) => write!(f, "began {call} -"),
            What::Began(Some(left)) => write!(f, "began {call} {}", left.as_millis()),
            What::Ended => write!(f, "ended {call}"),
            What::Cancelled => write!(f, "cancelled {call}"),
        }
    }
}

impl FromStr for Event {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (call, what) = match words[..] {
            ["began", call, "-"] => (call, What::Began(None)),
            ["began", call, left] => {
                (call, What::Began(Some(Duration::from_millis(left.parse().map_err(drop)?))))
            }
            ["ended", call] => (call, What::Ended),
            ["cancelled", call] => (call, What::Cancelled),
            _ => return Err(()),
        };
        Ok(Self { call: call.to_owned(), what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_as_written() {
        let left = Some(Duration::from_millis(250));
        for what in [What::Began(None), What::Began(left), What::Ended, What::Cancelled] {
            let event = Event { call: "a-1".to_owned(), what };
            assert_eq!(event.to_string().parse(), Ok(event));
        }
        assert_eq!("ready 127.0.0.1:1".parse::<Event>(), Err(()));
    }
}
