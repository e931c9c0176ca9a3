//! What a store's file must survive, and what must be refused untouched.

use redb::ReadableTable;
use tempfile::TempDir;

use super::*;

const NUMBERS: TableDefinition<u64, u64> = TableDefinition::new("numbers");

fn fill(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut numbers = transaction.open_table(NUMBERS).map_err(redb::Error::from)?;
    for number in 0..2000 {
        numbers.insert(number, number * number).map_err(redb::Error::from)?;
    }
    Ok(())
}

fn create_filled(directory: &TempDir) -> PathBuf {
    let path = directory.path().join("deep/er/numbers.redb");
    drop(create(&path, "numbers v1", fill).unwrap());
    path
}

/// Opening must fail with a message that has `expected` in it, and leave the file's bytes alone.
fn check_refused(path: &Path, expected: &str) {
    let before = fs::read(path).unwrap();
    let error = open(path, "numbers v1").unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert!(fs::read(path).unwrap() == before, "the file was changed");
}

#[test]
fn a_created_store_opens_again() {
    let directory = TempDir::new().unwrap();
    let path = create_filled(&directory);
    let database = open(&path, "numbers v1").unwrap();
    let numbers = database.begin_read().unwrap().open_table(NUMBERS).unwrap();
    assert_eq!(numbers.iter().unwrap().count(), 2000);
    let siblings = fs::read_dir(directory_of(&path)).unwrap().count();
    assert_eq!(siblings, 1, "nothing unfinished is left");
}

#[test]
fn a_missing_store_is_not_created_by_opening() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("none.redb");
    assert!(matches!(open(&path, "numbers v1"), Err(StoreError::NotFound { .. })));
    assert!(!path.exists());
}

#[test]
fn an_existing_file_is_never_created_over() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("notes.txt");
    fs::write(&path, "mine").unwrap();
    let refused = create(&path, "numbers v1", fill);
    assert!(matches!(refused, Err(StoreError::AlreadyExists { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn a_failed_initialisation_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("numbers.redb");
    assert!(create(&path, "numbers v1", |_| Err(StoreError::Stopped)).is_err());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_killed_creation_is_cleared_away_by_the_next() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("numbers.redb");
    let torn = unfinished_name(&path);
    fs::write(&torn, "redb, half writ").unwrap();
    drop(create(&path, "numbers v1", fill).unwrap());
    assert!(!torn.exists());
    assert!(open(&path, "numbers v1").is_ok());
}

#[test]
fn two_processes_cannot_share_a_file() {
    let directory = TempDir::new().unwrap();
    let path = create_filled(&directory);
    let _held = open(&path, "numbers v1").unwrap();
    let error = open(&path, "numbers v1").unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
}

#[test]
fn anothers_store_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = create_filled(&directory);
    let error = open(&path, "words v1").unwrap_err();
    assert!(matches!(&error, StoreError::Foreign { found, .. } if found == "numbers v1"));
}

#[test]
fn what_is_not_a_store_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("numbers.redb");
    for content in [&b""[..], b"red", b"account_id,currency,balance\n", &[0; 10_000]] {
        fs::write(&path, content).unwrap();
        check_refused(&path, "not a usable store");
    }
    fs::remove_file(&path).unwrap();
    drop(Database::create(&path).unwrap());
    let error = open(&path, "numbers v1").unwrap_err().to_string();
    assert!(error.contains("not made by strife"), "{error}");
}

#[test]
fn a_truncated_store_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = create_filled(&directory);
    let whole = fs::read(&path).unwrap();
    for kept in [1, 9, 320, 4096, 10_000, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        fs::write(&path, &whole[..kept]).unwrap();
        check_refused(&path, "not a usable store");
    }
    fs::write(&path, &whole).unwrap();
    assert!(open(&path, "numbers v1").is_ok());
}

/// As [`a_truncated_store_is_refused`], of a store that was in use when the machine went down.
#[test]
fn a_truncated_store_that_was_not_closed_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = create_filled(&directory);
    let database = open(&path, "numbers v1").unwrap();
    let whole = fs::read(&path).unwrap();
    drop(database);
    for kept in [320, 4096, 10_000, whole.len() / 3, whole.len() / 2, whole.len() - 4096] {
        fs::write(&path, &whole[..kept]).unwrap();
        check_refused(&path, "not a usable store");
    }
    fs::write(&path, &whole).unwrap();
    assert!(open(&path, "numbers v1").is_ok());
}

/// Bytes that are in no tree may change; those that are may not.
#[test]
fn a_flipped_byte_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = create_filled(&directory);
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for at in (4096..whole.len()).step_by(4096).take(64) {
        let mut bytes = whole.clone();
        bytes[at + 40] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        if open(&path, "numbers v1").is_err() {
            refused += 1;
            assert!(fs::read(&path).unwrap() == bytes, "the file was changed");
        }
    }
    assert!(refused >= 8, "{refused} pages of 2000 rows were checked");
}

#[test]
fn a_damaged_header_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = create_filled(&directory);
    let mut bytes = fs::read(&path).unwrap();
    bytes[64..320].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    check_refused(&path, "not a usable store");
}

const NAMES: TableDefinition<u64, &str> = TableDefinition::new("names");

fn add_names(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(NAMES)?.insert(0, "zero").map(drop)?;
    Ok(())
}

fn fail_halfway(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(NAMES)?;
    Err(redb::Error::Corrupted("no more".to_owned()))
}

#[test]
fn an_earlier_store_is_brought_up_to_date_with_all_that_is_in_it() {
    let directory = TempDir::new().unwrap();
    let path = create_filled(&directory);
    drop(open_or_upgrade(&path, "numbers", &[]).unwrap());
    for _ in 0..2 {
        let database = open_or_upgrade(&path, "numbers", &[add_names]).unwrap();
        let transaction = database.begin_read().unwrap();
        let names = transaction.open_table(NAMES).unwrap();
        assert_eq!(names.get(0).unwrap().unwrap().value(), "zero");
        assert_eq!(transaction.open_table(NUMBERS).unwrap().iter().unwrap().count(), 2000);
    }
    let fail_if_repeated: &[Upgrade] = &[fail_halfway, add_names];
    drop(open_or_upgrade(&path, "numbers", fail_if_repeated).unwrap());
    assert_eq!(kind_of(&open(&path, "numbers v3").unwrap()).unwrap().unwrap(), "numbers v3");
}

#[test]
fn an_upgrade_that_fails_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let path = create_filled(&directory);
    let refused = open_or_upgrade(&path, "numbers", &[add_names, fail_halfway]).unwrap_err();
    assert!(refused.to_string().contains("cannot be brought up to date"), "{refused}");
    let database = open(&path, "numbers v1").unwrap();
    let names = database.begin_read().unwrap().open_table(NAMES);
    assert!(matches!(names, Err(TableError::TableDoesNotExist(_))), "half an upgrade stands");
}

#[test]
fn a_disk_that_is_full_is_not_taken_for_damage() {
    let directory = TempDir::new().unwrap();
    let path = create_filled(&directory);
    let full: Upgrade = |_| Err(redb::Error::Io(io::ErrorKind::StorageFull.into()));
    let refused = open_or_upgrade(&path, "numbers", &[full]).unwrap_err();
    assert!(matches!(refused, StoreError::File { .. }), "{refused}");
    let after_another: Upgrade = |_| Err(redb::Error::PreviousIo);
    let refused = open_or_upgrade(&path, "numbers", &[after_another]).unwrap_err();
    assert!(matches!(refused, StoreError::File { .. }), "{refused}");
    assert!(open(&path, "numbers v1").is_ok(), "the store is as it was");
}

#[test]
fn a_later_store_and_somebody_elses_are_refused() {
    let directory = TempDir::new().unwrap();
    let path = create_filled(&directory);
    drop(open_or_upgrade(&path, "numbers", &[add_names]).unwrap());
    for (base, expected) in [
        ("numbers", "newer version (`numbers v2`; this one knows `numbers v1`)"),
        ("letters", "`numbers v2`, not of `letters v1`"),
        ("number", "`numbers v2`, not of `number v1`"),
    ] {
        let refused = open_or_upgrade(&path, base, &[]).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    let database = open(&path, "numbers v2").unwrap();
    let numbers = database.begin_read().unwrap().open_table(NUMBERS).unwrap();
    assert_eq!(numbers.iter().unwrap().count(), 2000);
}
