//! Opening and creating a store's file.
//!
//! A file that is not ours, is damaged, or is in use is refused and left alone. A new one is built
//! under a temporary name beside the real one and given the real name, atomically and without ever
//! replacing anything, once it is complete and durable: a half-initialised store never stands under
//! the real name, whatever happens in between. A store of an earlier version is brought up to date in
//! one transaction; one of a later version is refused.

mod durable;
mod prewritten;
mod trial;

use std::{
    cell::Cell,
    fs::{self, File},
    io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    time::SystemTime,
};

use redb::{
    Builder, Database, DatabaseError, Durability, ReadableDatabase, StorageError, TableDefinition,
    TableError, WriteTransaction, backends::FileBackend,
};
use tracing::info;

use self::prewritten::Prewritten;
use crate::StoreError;

/// Says whose store this is.
const ABOUT: TableDefinition<&str, &str> = TableDefinition::new("strife_about");
const KIND: &str = "kind";
/// Memory for cached pages.
const CACHE_BYTES: usize = 64 << 20;
/// Between a store's name and what tells one unfinished attempt to create it from another.
const UNFINISHED: &str = ".creating-";

/// One step from a version of a store's form to the next.
pub type Upgrade = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// What stands in the file of version `version` of the form of `base`'s stores: `bank icici v1`.
pub fn kind(base: &str, version: usize) -> String {
    format!("{base} v{version}")
}

/// Opens the store of `kind` (`bank icici v1`) at `path`, after an unclean end repairing it first.
pub fn open(path: &Path, kind: &str) -> Result<Database, StoreError> {
    let (database, found) = open_any(path)?;
    if found == kind {
        return Ok(database);
    }
    Err(StoreError::Foreign { path: path.into(), expected: kind.to_owned(), found })
}

/// As [`open`], for a store of `base` of any version up to the newest, which is one more than there are
/// `upgrades`: those that are missing are made, in order, in one durable transaction. A file of a
/// later version is refused with [`StoreError::Newer`].
pub fn open_or_upgrade(
    path: &Path,
    base: &str,
    upgrades: &[Upgrade],
) -> Result<Database, StoreError> {
    let (database, found) = open_any(path)?;
    let known = upgrades.len() + 1;
    let version = found.strip_prefix(base).and_then(|rest| rest.strip_prefix(" v")?.parse().ok());
    match version {
        Some(version @ 1..) if version <= known => {
            if version < known {
                let upgraded = upgrade(&database, &kind(base, known), &upgrades[version - 1..]);
                upgraded.map_err(|error| match failed(path, error) {
                    StoreError::Unusable { path, why } => {
                        let why = format!("it cannot be brought up to date: {why}");
                        StoreError::Unusable { path, why }
                    }
                    disk => disk,
                })?;
                info!(store = %path.display(), from = version, to = known, "brought up to date");
            }
            Ok(database)
        }
        Some(version) if version > known => {
            Err(StoreError::Newer { path: path.into(), found, known: kind(base, known) })
        }
        _ => Err(StoreError::Foreign { path: path.into(), expected: kind(base, known), found }),
    }
}

fn upgrade(database: &Database, kind: &str, steps: &[Upgrade]) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    steps.iter().try_for_each(|step| step(&transaction))?;
    transaction.open_table(ABOUT)?.insert(KIND, kind)?;
    Ok(transaction.commit()?)
}

/// What an error of redb's is to whoever opens the store at `path`: the disk's, which says nothing of the
/// store, or the content's.
pub fn failed(path: &Path, error: redb::Error) -> StoreError {
    let path = path.into();
    match error {
        redb::Error::Io(source) if !is_damage(&source) => StoreError::File { path, source },
        redb::Error::PreviousIo => StoreError::File { path, source: io::Error::other(error) },
        other => StoreError::Unusable { path, why: other.to_string() },
    }
}

/// Opens a store that strife made; the kind that stands in it.
fn open_any(path: &Path) -> Result<(Database, String), StoreError> {
    let unusable = |why: String| StoreError::Unusable { path: path.into(), why };
    if !path.try_exists().map_err(|source| StoreError::File { path: path.into(), source })? {
        return Err(StoreError::NotFound { path: path.into() });
    }
    let (shown, told) = (path.display().to_string(), Cell::new(None));
    let progress = move |done: f64| {
        let percent = (done * 4.0) as u32 * 25;
        if told.replace(Some(percent)) != Some(percent) {
            info!(store = shown, percent, "the store was not closed; checking it");
        }
    };
    durable::refresh(path).map_err(|source| StoreError::File { path: path.into(), source })?;
    // A damaged file must not take the process down, whatever redb thinks of it.
    let opened = panic::catch_unwind(AssertUnwindSafe(|| {
        let file = File::options().read(true).write(true).open(path)?;
        trial::open(backend(path, file)?, progress)
    }))
    .map_err(|_| unusable("its structure is damaged".to_owned()))?;
    let database = opened.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.into() },
        DatabaseError::Storage(StorageError::Io(source)) if !is_damage(&source) => {
            StoreError::File { path: path.into(), source }
        }
        other => unusable(other.to_string()),
    })?;
    match kind_of(&database).map_err(|error| failed(path, error))? {
        Some(found) => Ok((database, found)),
        None => Err(unusable("it is a redb file, but not made by strife".to_owned())),
    }
}

/// Creates the store of `kind` at `path`, filled by `initialise` in its first transaction. Fails
/// with [`StoreError::AlreadyExists`] rather than replace anything; `path`'s directory is made.
/// When `initialise` fails, nothing is left behind.
pub fn create<E: From<StoreError>>(
    path: &Path,
    kind: &str,
    initialise: impl FnOnce(&WriteTransaction) -> Result<(), E>,
) -> Result<Database, E> {
    let at = |source| StoreError::File { path: path.into(), source };
    let directory = directory_of(path);
    durable::create_directory(directory).map_err(at)?;
    if path.try_exists().map_err(at)? {
        return Err(StoreError::AlreadyExists { path: path.into() }.into());
    }
    let unfinished = unfinished_name(path);
    let created = build(&unfinished, kind, initialise)
        .and_then(|database| publish(&unfinished, path).map(|()| database).map_err(E::from));
    // The name only: once published, the file goes by its real one.
    let _ = fs::remove_file(&unfinished);
    let database = created?;
    remove_abandoned(path);
    durable::sync_directory(directory).map_err(at)?;
    Ok(database)
}

fn build<E: From<StoreError>>(
    path: &Path,
    kind: &str,
    initialise: impl FnOnce(&WriteTransaction) -> Result<(), E>,
) -> Result<Database, E> {
    let failed = |error: redb::Error| {
        let source = match error {
            redb::Error::Io(source) => source,
            other => io::Error::other(other),
        };
        E::from(StoreError::File { path: path.into(), source })
    };
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|error| failed(redb::Error::Io(error)))?;
    let database = backend(path, file).and_then(|file| builder().create_with_backend(file));
    let database = database.map_err(|error| failed(error.into()))?;
    let transaction = database.begin_write().map_err(|error| failed(error.into()))?;
    transaction
        .open_table(ABOUT)
        .map_err(redb::Error::from)
        .and_then(|mut about| Ok(about.insert(KIND, kind).map(drop)?))
        .map_err(failed)?;
    initialise(&transaction)?;
    transaction.commit().map_err(|error| failed(error.into()))?;
    Ok(database)
}

/// Gives the finished file its name. A rename would replace what is there, so it is a hard link; on file
/// systems that have none, a rename that replaces nothing, where there is such a thing.
fn publish(unfinished: &Path, path: &Path) -> Result<(), StoreError> {
    let linked = fs::hard_link(unfinished, path).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Err(error),
        _ => durable::rename_new(unfinished, path),
    });
    linked.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => StoreError::AlreadyExists { path: path.into() },
        _ => StoreError::File { path: path.into(), source },
    })
}

/// Whether an I/O error speaks of the file's content rather than of the disk.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

fn kind_of(database: &Database) -> Result<Option<String>, redb::Error> {
    match database.begin_read()?.open_table(ABOUT) {
        Ok(about) => Ok(about.get(KIND)?.map(|kind| kind.value().to_owned())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The file at `path` as redb sees it. What was never written to begins, at the latest, where the file ends.
fn backend(path: &Path, file: File) -> Result<Prewritten<FileBackend>, DatabaseError> {
    let (used, own) = (used_bytes(&file)?, File::options().read(true).write(true).open(path)?);
    Ok(Prewritten::new(FileBackend::new(file)?, own, used)?)
}

/// Where the last part of a file ends that its file system has allocated, if that can be known.
#[cfg(target_os = "linux")]
fn used_bytes(file: &File) -> io::Result<u64> {
    use rustix::fs::{SeekFrom, seek};

    let length = file.metadata()?.len();
    let mut used = 0;
    // Parts that are allocated and those that are not, by turns; an error says that there is no more.
    while let Ok(data) = seek(file, SeekFrom::Data(used)) {
        used = seek(file, SeekFrom::Hole(data)).unwrap_or(length);
        if used >= length {
            return Ok(length);
        }
    }
    Ok(used)
}

#[cfg(not(target_os = "linux"))]
fn used_bytes(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Never the same twice, so that two who create at once do not meet.
fn unfinished_name(path: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut name = path.as_os_str().to_owned();
    name.push(format!("{UNFINISHED}{}-{}", std::process::id(), now.as_nanos()));
    name.into()
}

/// Clears away what attempts that were killed left. Whoever is still at it has lost the race and
/// finds the real name taken.
fn remove_abandoned(path: &Path) {
    let Some(name) = path.file_name() else { return };
    let prefix = format!("{}{UNFINISHED}", name.to_string_lossy());
    let Ok(entries) = fs::read_dir(directory_of(path)) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // Harmless if it stays.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
