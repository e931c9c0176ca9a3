//! A file that is written with zeros a little ahead of what is needed.
//!
//! The first write to a part of a file has the file system allocate it, and the sync after that waits for its
//! journal: ten times as long as where something was written before. So whoever commits should find what
//! he writes to written. A thread of its own writes zeros where only zeros are, beyond the highest place
//! that was written to: as much as the file has grown since it was opened, so that a store with little to do
//! stays small, and at most [`AHEAD_BYTES`].
//!
//! It changes no content. Of what lies ahead only the thread writes anything without being asked to, only
//! where it has just read zeros, and under a lock that every write there takes. It has opened the file for
//! itself: a disk says once that it lost something, to everyone who has the file open, and that must not be
//! said to the thread instead of to who commits. If it cannot go on it ends, and nothing is written ahead.

use std::{
    fs::File,
    io,
    ops::Bound,
    os::unix::fs::FileExt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle, Thread},
};

use redb::{BackendError, StorageBackend};

/// How far ahead zeros are written, at most.
const AHEAD_BYTES: u64 = 16 << 20;
/// How much is written and synced at once: not so much that a commit would have to wait for it long.
const PIECE_BYTES: u64 = 256 << 10;

/// The file behind `B`.
#[derive(Debug)]
pub(super) struct Prewritten<B: StorageBackend> {
    shared: Arc<Shared<B>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Of `thread`, to be woken.
    writer: Thread,
}

#[derive(Debug)]
struct Shared<B> {
    file: B,
    /// Where the highest write ended.
    written: AtomicU64,
    /// As it was when the file was opened.
    written_at_first: u64,
    /// A copy of the edge, to be looked at without the lock.
    edge: AtomicU64,
    front: Mutex<Front>,
    closing: AtomicBool,
}

/// Where zeros are written next.
#[derive(Debug)]
struct Front {
    /// Nothing below is written with zeros any more. It only rises: who writes below it takes no lock.
    edge: u64,
    /// Of the file.
    length: u64,
}

impl<B: StorageBackend> Prewritten<B> {
    /// A file of which the part from `used` on was never written to, as far as is known; `own` is the same
    /// file, opened once more.
    pub(super) fn new(file: B, own: File, used: u64) -> io::Result<Self> {
        let length = file.len()?;
        let shared = Arc::new(Shared {
            file,
            written: AtomicU64::new(used),
            written_at_first: used,
            edge: AtomicU64::new(used),
            front: Mutex::new(Front { edge: used, length }),
            closing: AtomicBool::new(false),
        });
        let front = shared.clone();
        let thread = thread::Builder::new().name("prewrite".to_owned());
        let thread = thread.spawn(move || front.run(&own))?;
        let (writer, thread) = (thread.thread().clone(), Mutex::new(Some(thread)));
        Ok(Self { shared, thread, writer })
    }

    fn end(&self) {
        self.shared.closing.store(true, SeqCst);
        self.writer.unpark();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = thread.take().map(JoinHandle::join);
    }
}

impl<B: StorageBackend> Drop for Prewritten<B> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<B: StorageBackend> Shared<B> {
    /// Until the file is closed, or does not take more: whoever needs that will be told.
    fn run(&self, own: &File) {
        while !self.closing.load(SeqCst) {
            match self.write_piece(own) {
                Ok(true) => {}
                Ok(false) => thread::park(),
                Err(_) => return,
            }
        }
    }

    /// Writes zeros to the next piece, if one is wanted; whether it was.
    fn write_piece(&self, own: &File) -> io::Result<bool> {
        let mut front = self.front();
        if !self.is_wanted(&front) {
            return Ok(false);
        }
        let mut bytes = vec![0; PIECE_BYTES as usize];
        own.read_exact_at(&mut bytes, front.edge)?;
        if bytes.iter().all(|byte| *byte == 0) {
            own.write_all_at(&bytes, front.edge)?;
        }
        let edge = front.edge + PIECE_BYTES;
        self.set_edge(&mut front, edge);
        drop(front);
        own.sync_data()?;
        Ok(true)
    }

    /// Whether the next piece is wanted, and there is room for it in the file.
    fn is_wanted(&self, front: &Front) -> bool {
        let end = self.reach(self.written.load(SeqCst)).min(front.length);
        end.saturating_sub(front.edge) >= PIECE_BYTES
    }

    /// Up to where zeros are wanted if the highest write ended at `written`.
    fn reach(&self, written: u64) -> u64 {
        let ahead = written.saturating_sub(self.written_at_first).min(AHEAD_BYTES);
        written.saturating_add(ahead)
    }

    fn set_edge(&self, front: &mut Front, edge: u64) {
        front.edge = edge;
        self.edge.store(edge, SeqCst);
    }

    fn front(&self) -> MutexGuard<'_, Front> {
        self.front.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: StorageBackend> StorageBackend for Prewritten<B> {
    fn len(&self) -> io::Result<u64> {
        self.shared.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.shared.file.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut front = self.shared.front();
        self.shared.file.set_len(length)?;
        front.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.shared.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let shared = &*self.shared;
        let Shared { file, written, edge, .. } = shared;
        let end = offset + data.len() as u64;
        if end <= edge.load(SeqCst) {
            file.write(offset, data)?;
        } else {
            let mut front = shared.front();
            file.write(offset, data)?;
            if end > front.edge {
                shared.set_edge(&mut front, end);
            }
        }
        // Not for every page: only once there is a piece to write.
        let is_highest = written.fetch_max(end, SeqCst) < end;
        if is_highest && shared.reach(end).saturating_sub(edge.load(SeqCst)) >= PIECE_BYTES {
            self.writer.unpark();
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.end();
        self.shared.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.shared.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.shared.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.shared.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.shared.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.shared.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.shared.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests;
