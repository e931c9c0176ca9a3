//! The content is what was written, whatever the thread does meanwhile; and what lies ahead is written to.

use std::{
    fs::File,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use proptest::{collection::vec, prelude::*};
use redb::backends::FileBackend;
use tempfile::tempfile;

use super::*;

const LENGTH: u64 = 4 << 20;

fn open(file: &File, used: u64) -> Prewritten<FileBackend> {
    Prewritten::new(FileBackend::new(file.try_clone().unwrap()).unwrap(), used).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Write(u64, Vec<u8>),
    SetLength(u64),
    Sync,
    Reopen,
}

fn any_step() -> impl Strategy<Value = Step> {
    let bytes = vec(1..=255_u8, 1..9_000);
    prop_oneof![
        12 => (0..LENGTH, bytes).prop_map(|(offset, bytes)| Step::Write(offset, bytes)),
        2 => (0..LENGTH).prop_map(Step::SetLength),
        2 => Just(Step::Sync),
        1 => Just(Step::Reopen),
    ]
}

/// Against a file in memory.
fn check(steps: Vec<Step>, used: u64) {
    let file = tempfile().unwrap();
    file.set_len(LENGTH).unwrap();
    let (mut found, mut model) = (open(&file, used), vec![0_u8; LENGTH as usize]);
    for step in steps {
        match step {
            Step::Write(offset, mut bytes) => {
                let offset = offset.min(model.len() as u64) as usize;
                bytes.truncate(model.len() - offset);
                found.write(offset as u64, &bytes).unwrap();
                model[offset..offset + bytes.len()].copy_from_slice(&bytes);
            }
            Step::SetLength(length) => {
                found.set_len(length).unwrap();
                model.resize(length as usize, 0);
            }
            Step::Sync => found.sync_data().unwrap(),
            Step::Reopen => {
                found.close().unwrap();
                // It need not be known how much was used.
                found = open(&file, 0);
            }
        }
    }
    drop(found);
    let length = file.metadata().unwrap().len();
    assert_eq!(length, model.len() as u64);
    let mut content = vec![0; model.len()];
    open(&file, length).read(0, &mut content).unwrap();
    assert!(content == model, "the content is another");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_content_is_what_was_written(
        steps in vec(any_step(), 1..120),
        used in prop_oneof![Just(0), 0..LENGTH],
    ) {
        check(steps, used);
    }
}

fn allocated_bytes(file: &File) -> u64 {
    file.metadata().unwrap().blocks() * 512
}

#[test]
fn what_lies_ahead_is_written_as_the_file_grows() {
    let file = tempfile().unwrap();
    file.set_len(64 << 20).unwrap();
    let found = open(&file, 0);
    for offset in (0..3 << 20).step_by(4096) {
        found.write(offset, &[1; 4096]).unwrap();
    }
    let until = Instant::now() + Duration::from_secs(30);
    while allocated_bytes(&file) < 5 << 20 {
        assert!(Instant::now() < until, "only {} bytes", allocated_bytes(&file));
        std::thread::yield_now();
    }
    found.close().unwrap();
    assert!(allocated_bytes(&file) < 8 << 20, "no further ahead than the file has grown");
}

/// A disk that fails when it is told to sync.
#[derive(Debug)]
struct Failing(FileBackend);

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    /// Once, as disks do.
    fn sync_data(&self) -> io::Result<()> {
        Err(io::Error::other("EIO"))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

#[test]
fn a_sync_that_failed_ahead_fails_the_next_one() {
    let file = tempfile().unwrap();
    file.set_len(LENGTH).unwrap();
    let found = Prewritten::new(Failing(FileBackend::new(file).unwrap()), 0).unwrap();
    found.write(0, &[1; 1 << 20]).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while !found.shared.failed.load(SeqCst) {
        assert!(Instant::now() < until, "nothing was written ahead");
        std::thread::yield_now();
    }
    assert!(found.sync_data().unwrap_err().to_string().contains("ahead"));
}
