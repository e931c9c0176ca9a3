//! One log line for every call, however it ends.

use std::time::Instant;

use http::Response;
use tonic::{Code, Status, body::Body};
use tracing::{info, warn};

use super::Caller;
use crate::identity::Identity;

/// The line of a call under way. Dropped before the call has ended, it says that the call was cut
/// off: by the caller, by its deadline, or by the loss of its connection, none of which a handler
/// sees.
pub(super) struct CallLog {
    method: String,
    caller: Caller,
    started: Instant,
    ended: bool,
}

impl CallLog {
    pub(super) fn new(method: &str, caller: &Caller, started: Instant) -> Self {
        Self { method: method.to_owned(), caller: caller.clone(), started, ended: false }
    }

    /// The call was answered.
    pub(super) fn finish(mut self, code: Code, response: &Response<Body>) {
        self.ended = true;
        let error = match code {
            Code::Ok => None,
            _ => Status::from_header_map(response.headers()).map(|s| s.message().to_owned()),
        };
        self.write(code, error.as_deref().unwrap_or_default());
    }

    fn write(&self, code: Code, error: &str) {
        let latency_us = self.started.elapsed().as_micros() as u64;
        let client = self.caller.identity.as_ref();
        let client = client.map_or_else(|| "-".to_owned(), Identity::to_string);
        let (method, address, subject) =
            (&*self.method, &*self.caller.address, &*self.caller.remarks());
        let result = &*format!("{code:?}");
        if !self.ended {
            warn!(method, client, address, subject, result, latency_us, "call cut off");
        } else if code == Code::Ok {
            info!(method, client, address, subject, result, latency_us, "call");
        } else {
            warn!(method, client, address, subject, result, error, latency_us, "call failed");
        }
    }
}

impl Drop for CallLog {
    fn drop(&mut self) {
        if !self.ended {
            self.write(Code::Cancelled, "");
        }
    }
}

#[cfg(test)]
mod tests;
