//! Where lines go: standard output, or a file that says itself how far it is.
//!
//! What was not yet made durable when the machine went down may be there, torn, or missing in the
//! middle. So when a file is resumed its end is read, as much as may not have been durable, and what
//! follows the last line that is whole and in order is cut off; never a line that was acknowledged.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use strife_proto::gateway::v1::EventMark;
use strife_runtime::Failure;
use tracing::info;

use super::{
    connection::SYNC_BYTES,
    line::{Line, Place},
};

#[cfg(test)]
mod tests;

/// How much of a file's end is read: more than what may be in it and not durable, which is
/// [`SYNC_BYTES`] and one page.
const END_BYTES: u64 = SYNC_BYTES * 4;

/// Where lines go.
#[derive(Debug)]
pub(super) struct Output {
    file: Option<LogFile>,
    /// Of the last line.
    last: Option<Place>,
    /// Lines that are to be written.
    lines: Vec<u8>,
    /// Bytes that were written and may not be durable, by this process or by one before it.
    unsynced: u64,
}

#[derive(Debug)]
struct LogFile {
    file: File,
    path: PathBuf,
    /// Up to where it is whole.
    whole: u64,
    /// How much is there behind that.
    torn: u64,
}

impl Output {
    /// Standard output, or the file: made if it is not there, and locked.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let (file, last, unsynced) = match path {
            None => (None, None, 0),
            Some(path) => {
                let (file, last) = LogFile::open(path)?;
                // Whoever wrote this may have been killed before it was durable: what is read here may
                // be in memory only.
                let unsynced = file.whole;
                (Some(file), last, unsynced)
            }
        };
        Ok(Self { file, last, lines: Vec::new(), unsynced })
    }

    /// The position of the last line.
    pub(super) fn last(&self) -> Option<u64> {
        self.last.as_ref().map(|last| last.position)
    }

    /// The transaction in the last line.
    pub(super) fn last_transaction(&self) -> Option<&str> {
        self.last.as_ref().map(|last| last.transaction_id.as_str())
    }

    /// The event of the last line.
    pub(super) fn mark(&self) -> Option<EventMark> {
        let Place { transaction_id, at_ms, .. } = self.last.as_ref()?;
        Some(EventMark { transaction_id: transaction_id.clone(), at_ms: *at_ms })
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        match &self.file {
            Some(file) => file.path.display().to_string(),
            None => "standard output".to_owned(),
        }
    }

    /// Cuts off what is not whole, unless something is missing up to `acknowledged`.
    pub(super) fn resume(&mut self, acknowledged: u64) -> Result<(), Failure> {
        let last = self.last();
        let Some(file) = &mut self.file else { return Ok(()) };
        if file.torn > 0 {
            if last.unwrap_or(0) < acknowledged {
                return Err(Failure::usage(format!(
                    "{} is damaged behind byte {}: events up to {acknowledged} were in it; bring back \
                     a copy, or begin a new file with a --follower of its own",
                    file.path.display(),
                    file.whole
                )));
            }
            info!(file = %file.path.display(), bytes = file.torn, "cut off an unfinished end");
            file.cut().map_err(|error| file.failed(&error))?;
        } else if last.is_none() && acknowledged > 0 {
            info!(
                file = %file.path.display(),
                after = acknowledged,
                "a new file; what this follower has acknowledged before is not in it"
            );
        }
        Ok(())
    }

    /// Adds a line to those that are to be written.
    pub(super) fn add(&mut self, line: &Line) {
        serde_json::to_writer(&mut self.lines, line).expect("numbers and texts are JSON");
        self.lines.push(b'\n');
        let Line { position, at_ms, .. } = *line;
        self.last = Some(Place { position, transaction_id: line.transaction_id.clone(), at_ms });
    }

    /// Writes them.
    pub(super) fn write(&mut self) -> Result<(), Failure> {
        match &mut self.file {
            Some(file) => {
                file.file.write_all(&self.lines).map_err(|error| file.failed(&error))?;
                self.unsynced += self.lines.len() as u64;
            }
            None => {
                let mut out = io::stdout().lock();
                let written = out.write_all(&self.lines).and_then(|()| out.flush());
                written.map_err(|error| {
                    Failure::new(format!("cannot write to standard output: {error}"))
                })?;
            }
        }
        self.lines.clear();
        Ok(())
    }

    /// Bytes that were written and may not be durable.
    pub(super) fn unsynced(&self) -> u64 {
        self.unsynced
    }

    /// Makes durable what was written.
    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        if let Some(file) = &self.file
            && self.unsynced > 0
        {
            file.file.sync_data().map_err(|error| file.failed(&error))?;
            self.unsynced = 0;
        }
        Ok(())
    }
}

impl LogFile {
    fn open(path: &Path) -> Result<(Self, Option<Place>), Failure> {
        let failed = |error: &io::Error| {
            Failure::usage(format!("cannot log to {} ({error}); name another file", path.display()))
        };
        let file = OpenOptions::new().create(true).read(true).append(true).open(path);
        let mut file = file.map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(format!(
                    "another process logs to {}; stop it, or name another file",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        let end = read_end(&mut file).map_err(|error| failed(&error))?;
        let foreign = || {
            Failure::usage(format!(
                "{} is no log of events; nothing was changed, name another file",
                path.display()
            ))
        };
        let (whole, last) = whole(&end.bytes, end.begins > 0).ok_or_else(foreign)?;
        let file = Self {
            file,
            path: path.to_owned(),
            whole: end.begins + whole as u64,
            torn: (end.bytes.len() - whole) as u64,
        };
        // The file itself must outlive a power failure, not only what is in it.
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        let directory = File::open(directory.unwrap_or(Path::new(".")));
        directory.and_then(|directory| directory.sync_all()).map_err(|error| failed(&error))?;
        Ok((file, last))
    }

    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.whole)?;
        self.file.sync_all()?;
        self.torn = 0;
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::new(format!(
            "cannot write to {} ({error}); nothing is lost: make room and start this again",
            self.path.display()
        ))
    }
}

/// The last bytes of a file, and where they begin.
struct End {
    begins: u64,
    bytes: Vec<u8>,
}

fn read_end(file: &mut File) -> io::Result<End> {
    let length = file.metadata()?.len();
    let begins = length.saturating_sub(END_BYTES);
    file.seek(SeekFrom::Start(begins))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(End { begins, bytes })
}

/// Up to where the lines in `bytes` are whole and in order, and what stands in the last of them. The
/// first one is left out if it `begins_amid` one. `None` if these are no lines of ours.
fn whole(bytes: &[u8], begins_amid: bool) -> Option<(usize, Option<Place>)> {
    let mut whole = match begins_amid {
        true => bytes.iter().position(|byte| *byte == b'\n')? + 1,
        false => 0,
    };
    let mut last: Option<Place> = None;
    for line in bytes[whole..].split_inclusive(|byte| *byte == b'\n') {
        let Some(text) = line.strip_suffix(b"\n") else { break };
        let Ok(place) = serde_json::from_slice::<Place>(text) else { break };
        if last.as_ref().is_some_and(|last| place.position <= last.position) {
            break;
        }
        last = Some(place);
        whole += line.len();
    }
    let rest = &bytes[whole..];
    // With no line of ours, only the beginning of the first one may be there.
    let is_ours = last.is_some() || is_beginning(rest);
    is_ours.then_some((whole, last))
}

/// Whether this may be what came to be of a first line that was not durable.
fn is_beginning(bytes: &[u8]) -> bool {
    const FIRST: &[u8] = b"{\"position\":";
    let shown = bytes.len().min(FIRST.len());
    bytes[..shown] == FIRST[..shown] || bytes.iter().all(|byte| *byte == 0)
}
