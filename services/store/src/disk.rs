//! A disk that forgets, for tests: what was not synced when the power fails may be there, or not, or torn,
//! whatever order it was written in.
//!
//! It is the worst that a disk may do which keeps its word: what was written before a sync that has
//! returned is there. A sector is written whole or not at all; more is not promised.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rand::{RngExt, rngs::StdRng};
use redb::StorageBackend;

/// What is written whole or not at all, in bytes.
const SECTOR_BYTES: usize = 512;

/// The disk. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct ForgetfulDisk(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    /// What would be there after a power failure, whatever happens.
    durable: Vec<u8>,
    /// What is read.
    seen: Vec<u8>,
    /// Since the last sync, in order.
    changes: Vec<Change>,
    /// Changes and syncs until the power fails; `None`: it does not.
    power: Option<u64>,
    /// Syncs do nothing, and say that they did.
    lies: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Length(length) => image.resize(*length, 0),
            Self::Bytes(offset, bytes) => {
                let end = offset + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*offset..end].copy_from_slice(bytes);
            }
        }
    }

    /// Each of its sectors, or not.
    fn apply_torn(&self, image: &mut Vec<u8>, random: &mut StdRng) {
        match self {
            Self::Length(_) => self.apply(image),
            Self::Bytes(offset, bytes) => {
                let mut at = 0;
                while at < bytes.len() {
                    let room = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
                    let end = (at + room).min(bytes.len());
                    if random.random_bool(0.5) {
                        Self::Bytes(offset + at, bytes[at..end].to_vec()).apply(image);
                    }
                    at = end;
                }
            }
        }
    }
}

impl ForgetfulDisk {
    /// The power fails at the change or sync after so many more.
    pub fn fail_after(&self, steps: u64) {
        self.disk().power = Some(steps);
    }

    /// From now on it does not keep its word.
    pub fn lie(&self) {
        self.disk().lies = true;
    }

    /// Whether the power has failed.
    pub fn has_failed(&self) -> bool {
        self.disk().power == Some(0)
    }

    /// What is there when the power is back: a disk like this one was, with some of what was not synced.
    pub fn after_power_failure(&self, random: &mut StdRng) -> Self {
        let disk = self.disk();
        let mut image = disk.durable.clone();
        // Nothing of it, all of it, or anything between.
        let kept = [0.0, 1.0, random.random_range(0.0..1.0)][random.random_range(0..3)];
        for change in &disk.changes {
            if random.random_bool(kept) {
                change.apply(&mut image);
            } else if random.random_bool(kept) {
                change.apply_torn(&mut image, random);
            }
        }
        let disk = Disk { seen: image.clone(), durable: image, ..Disk::default() };
        Self(Arc::new(Mutex::new(disk)))
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.power {
            Some(0) => return Err(io::Error::other("the power has failed")),
            Some(steps) => *steps -= 1,
            None => {}
        }
        Ok(())
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        // The last change before the failure is under way when it comes.
        let failed = self.step();
        if failed.is_ok() {
            change.apply(&mut self.seen);
            self.changes.push(change);
        }
        failed
    }
}

fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

impl StorageBackend for ForgetfulDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (disk, start) = (self.disk(), index(offset)?);
        let bytes = disk.seen.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk().change(Change::Length(index(len)?))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        if !disk.lies {
            let changes = std::mem::take(&mut disk.changes);
            changes.iter().for_each(|change| change.apply(&mut disk.durable));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk().change(Change::Bytes(index(offset)?, data.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn image(disk: &ForgetfulDisk) -> Vec<u8> {
        disk.disk().seen.clone()
    }

    #[test]
    fn what_is_synced_stays_and_the_rest_is_torn_at_sectors() {
        let disk = ForgetfulDisk::default();
        disk.write(0, &[1; 4 * SECTOR_BYTES]).unwrap();
        disk.sync_data().unwrap();
        disk.write(0, &[2; 4 * SECTOR_BYTES]).unwrap();
        let (mut torn, mut random) = (0, StdRng::seed_from_u64(1));
        for _ in 0..100 {
            let found = image(&disk.after_power_failure(&mut random));
            assert_eq!(found.len(), 4 * SECTOR_BYTES);
            for sector in found.chunks(SECTOR_BYTES) {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is whole");
            }
            torn += usize::from(found.contains(&1) && found.contains(&2));
        }
        assert!(torn > 0, "some are torn");
    }

    #[test]
    fn nothing_is_written_without_power() {
        let disk = ForgetfulDisk::default();
        disk.fail_after(2);
        disk.write(0, &[1]).unwrap();
        assert!(!disk.has_failed());
        disk.sync_data().unwrap();
        assert!(disk.has_failed());
        assert!(disk.write(0, &[2]).is_err() && disk.sync_data().is_err());
        assert_eq!(image(&disk), [1]);
    }
}
