//! A dry run of opening a store.
//!
//! Opening a file repairs it, and a repair writes, even where it ends in a refusal. So the file is
//! opened through an overlay that keeps every write in memory, until it has come out sound; only
//! then are they made, and those that follow go through. The evidence of what happened to a damaged
//! one stays as it was.

use std::{
    collections::BTreeMap,
    io,
    ops::Bound,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use redb::{BackendError, Database, DatabaseError, StorageBackend, StorageError};

/// A cleanly closed file of at most this size is checked from end to end; a larger one would take
/// too long. One that was not closed is always checked, by its repair.
const CHECKED_BYTES: u64 = 256 << 20;
/// Unit in which written bytes are kept.
const PAGE: usize = 4096;

/// Opens the store in `file` if it is what its checksums say, or can be repaired: until that is known,
/// nothing is written. Told how far a repair has got, from 0 to 1.
pub(super) fn open(
    file: impl StorageBackend,
    progress: impl Fn(f64) + 'static,
) -> Result<Database, DatabaseError> {
    let length = file.len()?;
    let damaged = |why: &str| DatabaseError::Storage(StorageError::Corrupted(why.to_owned()));
    // It would be taken for a new one.
    if length == 0 {
        return Err(damaged("it is empty"));
    }
    let repaired = Arc::new(AtomicBool::new(false));
    let mut builder = super::builder();
    let seen = repaired.clone();
    builder.set_repair_callback(move |repair| {
        seen.store(true, Relaxed);
        progress(repair.progress());
    });
    let overlay = Overlay::over(file, length);
    let mut database = builder.create_with_backend(overlay.clone())?;
    if !repaired.load(Relaxed) && length <= CHECKED_BYTES && !database.check_integrity()? {
        return Err(damaged("its contents are not what their checksums say"));
    }
    overlay.settle()?;
    Ok(database)
}

/// A file whose writes stay in memory until they are settled. Clones are the same one.
#[derive(Debug)]
struct Overlay<B>(Arc<Layers<B>>);

#[derive(Debug)]
struct Layers<B> {
    file: B,
    pages: Mutex<Pages>,
    /// Nothing is kept in memory any more.
    settled: AtomicBool,
}

impl<B> Clone for Overlay<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Pages {
    /// As it would be by now.
    length: u64,
    /// Bytes of the file that were never cut off.
    visible: u64,
    written: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl<B: StorageBackend> Overlay<B> {
    fn over(file: B, length: u64) -> Self {
        let pages = Pages { length, visible: length, written: BTreeMap::new() };
        let settled = AtomicBool::new(false);
        Self(Arc::new(Layers { file, pages: Mutex::new(pages), settled }))
    }

    /// Makes the writes. The first page comes last, as it says which of the others count: until it is
    /// there, the file is what it was. Nobody may write meanwhile.
    fn settle(&self) -> io::Result<()> {
        let file = &self.0.file;
        self.with_pages(|pages| {
            let length = file.len()?;
            if pages.visible < length {
                file.set_len(pages.visible)?;
            }
            if pages.visible.min(length) != pages.length {
                file.set_len(pages.length)?;
            }
            let written = std::mem::take(&mut pages.written);
            let make = |number: u64, page: &[u8; PAGE]| {
                let start = number * PAGE as u64;
                let end = pages.length.saturating_sub(start).min(PAGE as u64) as usize;
                file.write(start, &page[..end])
            };
            written.range(1..).try_for_each(|(number, page)| make(*number, page))?;
            file.sync_data()?;
            written.range(..1).try_for_each(|(number, page)| make(*number, page))?;
            file.sync_data()
        })?;
        self.0.settled.store(true, Release);
        Ok(())
    }

    /// The file itself, once writes are not kept any more.
    fn settled(&self) -> Option<&B> {
        self.0.settled.load(Acquire).then_some(&self.0.file)
    }

    fn with_pages<T>(&self, action: impl FnOnce(&mut Pages) -> T) -> T {
        action(&mut self.0.pages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A page as the file has it, with zeros where there is no file.
    fn original(&self, number: u64, visible: u64) -> io::Result<Box<[u8; PAGE]>> {
        let mut page = Box::new([0; PAGE]);
        let start = number * PAGE as u64;
        let length = visible.saturating_sub(start).min(PAGE as u64) as usize;
        if length > 0 {
            self.0.file.read(start, &mut page[..length])?;
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

impl<B: StorageBackend> StorageBackend for Overlay<B> {
    fn len(&self) -> io::Result<u64> {
        match self.settled() {
            Some(file) => file.len(),
            None => Ok(self.with_pages(|pages| pages.length)),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if let Some(file) = self.settled() {
            return file.read(offset, out);
        }
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
        if let Some(file) = self.settled() {
            return file.set_len(length);
        }
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
        self.settled().map_or(Ok(()), StorageBackend::sync_data)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if let Some(file) = self.settled() {
            return file.write(offset, data);
        }
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
        self.0.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests;
