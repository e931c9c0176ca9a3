//! The content is what was written, whatever the thread does meanwhile; and what lies ahead is written to.

use std::{
    fs::File,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use proptest::{collection::vec, prelude::*};
use redb::backends::FileBackend;
use tempfile::NamedTempFile;

use super::*;

const LENGTH: u64 = 4 << 20;

fn file() -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(LENGTH).unwrap();
    file
}

fn open(file: &NamedTempFile, used: u64) -> Prewritten<FileBackend> {
    let backend = FileBackend::new(file.reopen().unwrap()).unwrap();
    Prewritten::new(backend, file.reopen().unwrap(), used).unwrap()
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
    let file = file();
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
    let length = file.as_file().metadata().unwrap().len();
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

fn allocated_bytes(file: &NamedTempFile) -> u64 {
    file.as_file().metadata().unwrap().blocks() * 512
}

#[test]
fn what_lies_ahead_is_written_as_the_file_grows() {
    let file = file();
    file.as_file().set_len(64 << 20).unwrap();
    let found = open(&file, 0);
    for offset in (0..3 << 20).step_by(4096) {
        found.write(offset, &[1; 4096]).unwrap();
    }
    let until = Instant::now() + Duration::from_secs(120);
    while allocated_bytes(&file) < 5 << 20 {
        assert!(Instant::now() < until, "only {} bytes", allocated_bytes(&file));
        std::thread::yield_now();
    }
    found.close().unwrap();
    assert!(allocated_bytes(&file) < 8 << 20, "no further ahead than the file has grown");
}

#[test]
fn a_thread_that_cannot_write_ahead_is_not_needed() {
    let file = file();
    let for_reading = File::open(file.path()).unwrap();
    let backend = FileBackend::new(file.reopen().unwrap()).unwrap();
    let found = Prewritten::new(backend, for_reading, 0).unwrap();
    found.write(0, &[1; 1 << 20]).unwrap();
    let until = Instant::now() + Duration::from_secs(120);
    while !found.thread.lock().unwrap().as_ref().unwrap().is_finished() {
        assert!(Instant::now() < until, "it cannot have written");
        std::thread::yield_now();
    }
    found.write(1 << 20, &[2; 4096]).unwrap();
    found.sync_data().unwrap();
    let mut read = [0; 4096];
    found.read(1 << 20, &mut read).unwrap();
    assert_eq!(read, [2; 4096]);
    found.close().unwrap();
}
