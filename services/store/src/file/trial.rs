//! A dry run of opening a store.
//!
//! Opening a file repairs it, and a repair writes, even where it ends in a refusal. So the file is
//! first opened through an overlay that keeps every write in memory; only a file that comes out
//! sound is opened for real. The evidence of what happened to a damaged one stays as it was.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    ops::Bound,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use redb::{BackendError, DatabaseError, StorageBackend, StorageError, backends::FileBackend};

/// A cleanly closed file of at most this size is checked from end to end; a larger one would take
/// too long. One that was not closed is always checked, by its repair.
const CHECKED_BYTES: u64 = 256 << 20;
/// Unit in which written bytes are kept.
const PAGE: usize = 4096;

/// Whether the file at `path` opens and is what its checksums say. Changes nothing.
pub(super) fn check(path: &Path) -> Result<(), DatabaseError> {
    let file = File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let damaged = |why: &str| DatabaseError::Storage(StorageError::Corrupted(why.to_owned()));
    if length == 0 {
        return Err(damaged("it is empty"));
    }
    let repaired = Arc::new(AtomicBool::new(false));
    let mut builder = super::builder();
    let seen = repaired.clone();
    builder.set_repair_callback(move |_| seen.store(true, Relaxed));
    let mut database = builder.create_with_backend(Overlay::new(file, length)?)?;
    if !repaired.load(Relaxed) && length <= CHECKED_BYTES && !database.check_integrity()? {
        return Err(damaged("its contents are not what their checksums say"));
    }
    Ok(())
}

/// A file whose writes stay in memory.
#[derive(Debug)]
struct Overlay {
    file: FileBackend,
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    /// As it would be by now.
    length: u64,
    /// Bytes of the file that were never cut off.
    visible: u64,
    written: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl Overlay {
    fn new(file: File, length: u64) -> Result<Self, DatabaseError> {
        let pages = Pages { length, visible: length, written: BTreeMap::new() };
        Ok(Self { file: FileBackend::new(file)?, pages: Mutex::new(pages) })
    }

    fn with_pages<T>(&self, action: impl FnOnce(&mut Pages) -> T) -> T {
        action(&mut self.pages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A page as the file has it, with zeros where there is no file.
    fn original(&self, number: u64, visible: u64) -> io::Result<Box<[u8; PAGE]>> {
        let mut page = Box::new([0; PAGE]);
        let start = number * PAGE as u64;
        let length = visible.saturating_sub(start).min(PAGE as u64) as usize;
        if length > 0 {
            self.file.read(start, &mut page[..length])?;
        }
        Ok(page)
    }
}

/// Calls `action` with each page that the range touches: its number, the part of the page, the
/// part of the range.
fn each_page(
    offset: u64,
    length: usize,
    mut action: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>) -> io::Result<()>,
) -> io::Result<()> {
    let mut done = 0;
    while done < length {
        let at = offset + done as u64;
        let within = (at % PAGE as u64) as usize;
        let count = (PAGE - within).min(length - done);
        action(at / PAGE as u64, within..within + count, done..done + count)?;
        done += count;
    }
    Ok(())
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with_pages(|pages| pages.length))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with_pages(|pages| {
            let end = offset.checked_add(out.len() as u64);
            if end.is_none_or(|end| end > pages.length) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            each_page(offset, out.len(), |number, of_page, of_range| {
                let target = &mut out[of_range];
                match pages.written.get(&number) {
                    Some(page) => target.copy_from_slice(&page[of_page]),
                    None => {
                        let page = self.original(number, pages.visible)?;
                        target.copy_from_slice(&page[of_page]);
                    }
                }
                Ok(())
            })
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.with_pages(|pages| {
            pages.length = length;
            pages.visible = pages.visible.min(length);
            pages.written.retain(|number, _| number * (PAGE as u64) < length);
            let last = length / PAGE as u64;
            if let Some(page) = pages.written.get_mut(&last) {
                page[(length % PAGE as u64) as usize..].fill(0);
            }
        });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with_pages(|pages| {
            pages.length = pages.length.max(offset + data.len() as u64);
            each_page(offset, data.len(), |number, of_page, of_range| {
                if !pages.written.contains_key(&number) {
                    pages.written.insert(number, self.original(number, pages.visible)?);
                }
                let page = pages.written.get_mut(&number).expect("it was just put there");
                page[of_page].copy_from_slice(&data[of_range]);
                Ok(())
            })
        })
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests;
