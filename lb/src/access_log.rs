//! The access log: a line of JSON for every call that ended, whatever became of it.

mod record;

use strife_runtime::Failure;

pub(crate) use self::record::{CallRecord, Ended, Timestamp};
use crate::line_log::{Kind, LineLog, Sender};

const KIND: Kind = Kind { name: "access log", flag: "--access-log", thread: "access-log" };

/// `target`: a file, appended to, or `-` for standard error.
pub(crate) fn open(target: &str) -> Result<LineLog, Failure> {
    LineLog::open(KIND, target)
}

impl Sender {
    /// Leaves the line of a call for the writer, or counts it as dropped. Does not wait.
    pub(crate) fn record(&self, call: &CallRecord<'_>) {
        self.append(|text| call.write_line(text));
    }
}
