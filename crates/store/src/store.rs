//! The handle that rooms hold.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::{Connection, Transaction};

use crate::open::{connect, lock, migrate};
use crate::writer::{self, Message, Pending, QUEUE_MAX, StoreError, Write};
use crate::{OpenError, Room};

/// A state directory that this process owns. Clones share it.
#[derive(Clone)]
pub struct Store {
    queue: mpsc::SyncSender<Message>,
    shared: Arc<Shared>,
}

struct Shared {
    reader: Mutex<Connection>,
    writer: Mutex<Option<JoinHandle<()>>>,
    _lock: File,
}

impl Store {
    /// Opens a directory, makes it if it is not there, and brings each room's tables up to date.
    ///
    /// # Errors
    /// [`OpenError`]: in use, written by a newer program, or not readable.
    pub fn open(dir: &Path, rooms: &[Room]) -> Result<Store, OpenError> {
        let lock = lock(dir)?;
        let mut connection = connect(dir)?;
        migrate(&mut connection, dir, rooms)?;
        let reader = Mutex::new(connect(dir)?);

        let (queue, jobs) = mpsc::sync_channel(QUEUE_MAX);
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer::run(connection, jobs))
            .map_err(|source| OpenError::Directory { path: dir.to_owned(), source })?;
        let writer = Mutex::new(Some(writer));
        Ok(Store { queue, shared: Arc::new(Shared { reader, writer, _lock: lock }) })
    }

    /// Puts a write in the queue at once, behind all that were put there before, and returns the future
    /// of its commit. `work` runs inside a transaction that it shares with whatever else waits.
    ///
    /// Call it under the lock of the ledger whose records it writes, and await it outside: then what is
    /// on disk is always a prefix of what the ledger did. An error of `work` is a fault of the program
    /// or of the disk; the store takes no write after it.
    pub fn write<T, F>(&self, work: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (message, pending) = Write::message(work);
        match self.queue.send(message) {
            Ok(()) => pending,
            Err(_) => Pending::closed(),
        }
    }

    /// Reads what is committed, on a thread that may wait.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let store = self.clone();
        let read = tokio::task::spawn_blocking(move || store.read_blocking(work));
        read.await.expect("reads do not panic, and nobody aborts them")
    }

    /// [`read`](Store::read) on the caller's own thread: at start, and in tools.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn read_blocking<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        // A reader holds no state that a panic could leave half-changed.
        let reader = self.shared.reader.lock().unwrap_or_else(PoisonError::into_inner);
        work(&reader).map_err(|error| StoreError::Database(Arc::new(error)))
    }

    /// Commits what waits and stops the writer. Later writes are refused; the directory is free for
    /// others once the last clone is gone.
    pub async fn close(&self) {
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let queue = self.queue.clone();
        let stopped = tokio::task::spawn_blocking(move || {
            // A writer that is gone already needs no stop.
            let _ = queue.send(Message::Stop);
            writer.map_or(Ok(()), JoinHandle::join)
        });
        if !matches!(stopped.await, Ok(Ok(()))) {
            tracing::error!("the store's writer ended by a panic");
        }
    }
}
