//! Opening a state directory: the lock, the database file, the schema.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

/// The database's name in the state directory.
pub const DATABASE_FILE: &str = "state.sqlite3";
/// The lock's name in the state directory.
pub const LOCK_FILE: &str = "lock";

/// How long a connection waits for another, in milliseconds: only outside tools can make it wait.
const BUSY_TIMEOUT_MS: u64 = 5_000;

/// One room's part of the schema. Migrations are only ever added at the end.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// The room's name, which also begins the names of its tables.
    pub name: &'static str,
    /// SQL scripts; the number of those that ran is the room's version.
    pub migrations: &'static [&'static str],
}

/// Why a state directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite cannot read or prepare the file.
    #[error("the database {path} cannot be opened: {source}", path = path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The directory or lock file cannot be made.
    #[error("the state directory {path} cannot be used: {source}", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has the directory.
    #[error(
        "the state directory {path} is in use by another process; stop it, or choose another directory",
        path = path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A newer program wrote the database.
    #[error("{room} has schema version {found}, this program knows {known}; use a newer program")]
    Newer {
        /// Whose tables.
        room: &'static str,
        /// The version on disk.
        found: usize,
        /// The newest version known here.
        known: usize,
    },
}

/// Makes the directory, private to its owner, and takes its lock for as long as the file lives.
pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    let directory = |source| OpenError::Directory { path: dir.to_owned(), source };
    make_private(dir).map_err(directory)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(LOCK_FILE))
        .map_err(directory)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(directory(source)),
    }
}

fn make_private(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// A connection on which a commit returns only once the write-ahead log is synced.
pub(crate) fn connect(dir: &Path) -> Result<Connection, OpenError> {
    let path = dir.join(DATABASE_FILE);
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(&path)?;
        connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        Ok(connection)
    };
    open().map_err(|source| OpenError::Database { path, source })
}

/// Brings each room's tables to the newest version known, each step in a transaction of its own.
pub(crate) fn migrate(
    connection: &mut Connection,
    dir: &Path,
    rooms: &[Room],
) -> Result<(), OpenError> {
    let database = |source| OpenError::Database { path: dir.join(DATABASE_FILE), source };
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS rooms (name TEXT PRIMARY KEY, version INTEGER NOT NULL)",
        )
        .map_err(database)?;
    for room in rooms {
        let found = version(connection, room).map_err(database)?;
        let known = room.migrations.len();
        if found > known {
            return Err(OpenError::Newer { room: room.name, found, known });
        }
        for step in found..known {
            apply(connection, room, step).map_err(database)?;
        }
    }
    Ok(())
}

fn version(connection: &Connection, room: &Room) -> rusqlite::Result<usize> {
    let found = connection
        .query_row("SELECT version FROM rooms WHERE name = ?1", [room.name], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

fn apply(connection: &mut Connection, room: &Room, step: usize) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(room.migrations[step])?;
    transaction.execute(
        "INSERT INTO rooms VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET version = ?2",
        (room.name, step + 1),
    )?;
    transaction.commit()
}
