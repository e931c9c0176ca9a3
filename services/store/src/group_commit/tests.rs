//! Order, durability, batching, bounds, and what happens when the disk fails.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use redb::{ReadableTable, StorageBackend, TableDefinition, backends::FileBackend};
use tempfile::TempDir;

use super::*;
use crate::file;

const LOG: TableDefinition<u64, u64> = TableDefinition::new("log");

/// Appends numbers; the outcome is the position. Can be held up, and told to fail.
struct Appender {
    gate: Option<Receiver<()>>,
    batches: SyncSender<usize>,
}

enum Append {
    Number(u64),
    Fail,
    Panic,
}

impl Machine for Appender {
    type Command = Append;
    type Outcome = u64;

    fn apply_batch(
        &mut self,
        transaction: &WriteTransaction,
        commands: Vec<Append>,
    ) -> Result<Vec<u64>, redb::Error> {
        // Fails where a test does not look.
        let _ = self.batches.send(commands.len());
        if let Some(gate) = &self.gate {
            gate.recv().unwrap();
        }
        let mut log = transaction.open_table(LOG)?;
        let first = log.last()?.map_or(0, |(position, _)| position.value() + 1);
        let mut positions = Vec::new();
        for (next, command) in (first..).zip(commands) {
            match command {
                Append::Number(number) => log.insert(next, number)?,
                Append::Fail => return Err(redb::Error::Io(io::Error::other("no such luck"))),
                Append::Panic => panic!("a bug"),
            };
            positions.push(next);
        }
        Ok(positions)
    }
}

struct Fixture {
    store: GroupCommit<Appender>,
    batches: Receiver<usize>,
    fatal: Receiver<String>,
}

fn start(database: Database, limits: Limits, gate: Option<Receiver<()>>) -> Fixture {
    let (batches, seen) = sync_channel(1000);
    let (told, fatal) = sync_channel(1);
    let on_fatal = Arc::new(move |why: &str| drop(told.try_send(why.to_owned())));
    let machine = Appender { gate, batches };
    Fixture {
        store: GroupCommit::start_with(database, machine, limits, on_fatal),
        batches: seen,
        fatal,
    }
}

fn create(path: &Path) -> Database {
    file::create(path, "log v1", |transaction| {
        transaction.open_table(LOG).map(drop).map_err(|e| StoreError::from(redb::Error::from(e)))
    })
    .unwrap()
}

fn logged(store: &GroupCommit<Appender>) -> Vec<u64> {
    store
        .read(|transaction| {
            let log = transaction.open_table(LOG)?;
            log.iter()?.map(|entry| Ok(entry?.1.value())).collect()
        })
        .unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log.redb");
    let Fixture { store, .. } = start(create(&path), Limits::default(), None);
    for number in 0..5 {
        assert_eq!(store.apply(Append::Number(number * 10)).await.unwrap(), number);
    }
    assert_eq!(store.commits().count(), 5);
    store.close();
    assert!(matches!(store.apply(Append::Number(1)).await, Err(StoreError::Stopped)));
    drop(store);
    let reopened = file::open(&path, "log v1").unwrap();
    let Fixture { store, .. } = start(reopened, Limits::default(), None);
    assert_eq!(logged(&store), [0, 10, 20, 30, 40]);
}

#[tokio::test]
async fn a_store_that_was_not_closed_keeps_what_was_acknowledged() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log.redb");
    let Fixture { store, .. } = start(create(&path), Limits::default(), None);
    store.apply_all((0..100).map(Append::Number).collect()).await.unwrap();
    // As a killed process would leave it: a copy taken while the original is open.
    let copy = directory.path().join("copy.redb");
    std::fs::copy(&path, &copy).unwrap();
    let Fixture { store, .. } =
        start(file::open(&copy, "log v1").unwrap(), Limits::default(), None);
    assert_eq!(logged(&store), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn while_a_batch_is_committed_the_next_gathers() {
    let directory = TempDir::new().unwrap();
    let (open, gate) = sync_channel(10);
    let database = create(&directory.path().join("log.redb"));
    let Fixture { store, batches, .. } =
        start(database, Limits { queue: 100, batch: 4 }, Some(gate));
    let first = tokio::spawn({
        let store = store.clone();
        async move { store.apply(Append::Number(7)).await }
    });
    while batches.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    let rest: Vec<_> = (0..6)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.apply(Append::Number(number)).await })
        })
        .collect();
    while store.shared.waiting.count() < 6 {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        open.send(()).unwrap();
    }
    assert_eq!(first.await.unwrap().unwrap(), 0);
    for (number, task) in rest.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().unwrap(), number as u64 + 1);
    }
    assert_eq!(batches.try_iter().collect::<Vec<_>>(), [4, 2]);
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let directory = TempDir::new().unwrap();
    let database = create(&directory.path().join("log.redb"));
    let Fixture { store, .. } = start(database, Limits { queue: 3, batch: 4 }, None);
    let four = (0..4).map(Append::Number).collect();
    assert!(matches!(store.apply_all(four).await, Err(StoreError::Overloaded { limit: 3 })));
    let three = (0..3).map(Append::Number).collect();
    assert_eq!(store.apply_all(three).await.unwrap(), [0, 1, 2]);
    assert!(store.apply_all(Vec::new()).await.unwrap().is_empty());
}

async fn check_fatal(command: Append, expected: &str) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log.redb");
    let Fixture { store, fatal, .. } = start(create(&path), Limits::default(), None);
    store.apply(Append::Number(1)).await.unwrap();
    let both = vec![Append::Number(2), command];
    assert!(matches!(store.apply_all(both).await, Err(StoreError::Stopped)));
    assert!(fatal.recv().unwrap().contains(expected));
    assert!(matches!(store.apply(Append::Number(3)).await, Err(StoreError::Stopped)));
    drop(store);
    let Fixture { store, .. } =
        start(file::open(&path, "log v1").unwrap(), Limits::default(), None);
    assert_eq!(logged(&store), [1]);
}

#[tokio::test]
async fn a_machine_that_fails_stops_the_store() {
    check_fatal(Append::Fail, "no such luck").await;
}

#[tokio::test]
async fn a_machine_that_panics_stops_the_store() {
    check_fatal(Append::Panic, "panicked").await;
}

/// A disk whose fsync fails once told to.
#[derive(Debug)]
struct FailingDisk {
    file: FileBackend,
    failing: Arc<AtomicBool>,
    unreadable: Arc<AtomicBool>,
}

impl StorageBackend for FailingDisk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.unreadable.load(Relaxed) {
            true => Err(io::Error::other("EIO")),
            false => self.file.read(offset, out),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.failing.load(Relaxed) {
            return Err(io::Error::other("EIO"));
        }
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
}

/// A store on a disk that fails when it is told to: at a sync, or at a read.
fn on_failing_disk(directory: &TempDir) -> (Fixture, Arc<AtomicBool>, Arc<AtomicBool>) {
    let path = directory.path().join("log.redb");
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    let (failing, unreadable) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
    let disk = FailingDisk {
        file: FileBackend::new(file).unwrap(),
        failing: failing.clone(),
        unreadable: unreadable.clone(),
    };
    // Without a cache, so that every page is read from the disk.
    let database = Database::builder().set_cache_size(0).create_with_backend(disk).unwrap();
    (start(database, Limits::default(), None), failing, unreadable)
}

#[tokio::test]
async fn a_failed_fsync_acknowledges_nothing() {
    let directory = TempDir::new().unwrap();
    let (Fixture { store, fatal, .. }, failing, _) = on_failing_disk(&directory);
    store.apply(Append::Number(1)).await.unwrap();
    failing.store(true, Relaxed);
    assert!(matches!(store.apply(Append::Number(2)).await, Err(StoreError::Stopped)));
    assert!(fatal.recv().unwrap().contains("EIO"));
}

#[tokio::test]
async fn a_disk_that_cannot_be_read_stops_the_store() {
    let directory = TempDir::new().unwrap();
    let (Fixture { store, fatal, .. }, _, unreadable) = on_failing_disk(&directory);
    store.apply(Append::Number(1)).await.unwrap();
    let first = |transaction: &ReadTransaction| {
        Ok(transaction.open_table(LOG)?.get(0)?.map(|number| number.value()))
    };
    store.read(first).unwrap();
    unreadable.store(true, Relaxed);
    assert!(store.read(first).is_err());
    assert!(fatal.recv().unwrap().contains("EIO"));
}
