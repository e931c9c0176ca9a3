//! A pick log, line by line.

use std::io::{BufRead, Read};

use serde::Deserialize;
use strife_policy::PickTrace;
use strife_runtime::Failure;

/// No pick takes more; a file with longer lines is none of ours.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// Picks with the numbers of their lines.
pub(super) struct Lines<R> {
    path: String,
    file: R,
    number: u64,
    line: Vec<u8>,
}

/// A line that stands for those that found no place in the log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gap {
    #[serde(rename = "time")]
    _time: String,
    #[serde(rename = "dropped")]
    _dropped: u64,
}

impl<R: BufRead> Lines<R> {
    /// `path`: for errors.
    pub(super) fn new(path: &str, file: R) -> Self {
        Self { path: path.to_owned(), file, number: 0, line: Vec::new() }
    }

    /// Something is wrong with the line that was read last.
    pub(super) fn malformed(&self, why: impl std::fmt::Display) -> Failure {
        let Self { path, number, .. } = self;
        Failure::usage(format!("{path}, line {number}: {why}; it is no pick log of this version"))
    }

    /// The next pick; `None` at the end. A last line without an end is still being written.
    pub(super) fn next(&mut self) -> Result<Option<PickTrace>, Failure> {
        loop {
            self.line.clear();
            self.number += 1;
            let mut bounded = self.file.by_ref().take(MAX_LINE_BYTES);
            let read = bounded.read_until(b'\n', &mut self.line);
            let read = read.map_err(|error| self.malformed(error))?;
            if read == 0 {
                return Ok(None);
            }
            if self.line.iter().all(u8::is_ascii_whitespace)
                || serde_json::from_slice::<Gap>(&self.line).is_ok()
            {
                continue;
            }
            return match serde_json::from_slice(&self.line) {
                Ok(trace) => Ok(Some(trace)),
                Err(_) if !self.line.ends_with(b"\n") && self.line.starts_with(b"{") => Ok(None),
                Err(error) => Err(self.malformed(error)),
            };
        }
    }
}
