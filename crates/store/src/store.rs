//! The handle that rooms hold.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::open::{connect, lock, migrate};
use crate::writer::{self, Message, Pending, QUEUE_MAX, Write, WriteError};
use crate::{Durable, OpenError, Room};

/// A state directory that this process owns. Clones share it.
#[derive(Clone)]
pub struct Store {
    queue: mpsc::Sender<Message>,
    shared: Arc<Shared>,
}

struct Shared {
    reader: Mutex<Connection>,
    writer: Mutex<Option<JoinHandle<()>>>,
    _lock: File,
}

/// Room in the queue for one write, taken before a ledger's lock so that the write itself never waits
/// under it.
pub struct Permit(mpsc::OwnedPermit<Message>);

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

        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer::run(connection, jobs))
            .map_err(|source| OpenError::Directory { path: dir.to_owned(), source })?;
        let writer = Mutex::new(Some(writer));
        Ok(Store { queue, shared: Arc::new(Shared { reader, writer, _lock: lock }) })
    }

    /// Waits for room in the queue.
    ///
    /// # Errors
    /// [`WriteError::Closed`] once the store is closed.
    pub async fn permit(&self) -> Result<Permit, WriteError> {
        let queue = self.queue.clone();
        queue.reserve_owned().await.map(Permit).map_err(|_| WriteError::Closed)
    }

    /// Writes, and returns once it is on disk. `work` runs inside a transaction that it shares with
    /// whatever else waits.
    ///
    /// # Errors
    /// [`WriteError`], and then the store takes no further write.
    pub async fn write<T, F>(&self, work: F) -> Result<Durable<T>, WriteError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.permit().await?.submit(work).durable().await
    }

    /// Reads what is committed, on a thread that may wait.
    ///
    /// # Errors
    /// What `work` returns.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        let store = self.clone();
        let read = tokio::task::spawn_blocking(move || store.read_blocking(work));
        read.await.expect("reads do not panic, and nobody aborts them")
    }

    /// [`read`](Store::read) on the caller's own thread: at start, and in tools.
    ///
    /// # Errors
    /// What `work` returns.
    pub fn read_blocking<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        // A reader holds no state that a panic could leave half-changed.
        work(&self.shared.reader.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Commits what waits and stops the writer. Later writes are refused; the directory is free for
    /// others once the last clone is gone.
    pub async fn close(self) {
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A writer that is gone already needs no stop.
        let _ = self.queue.send(Message::Stop).await;
        if let Some(writer) = writer {
            let joined = tokio::task::spawn_blocking(move || writer.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the store's writer ended by a panic");
            }
        }
    }
}

impl Permit {
    /// Puts a write in the queue, behind all that were put there before. It does not wait, so that it
    /// can be called under the lock of the ledger whose records it writes.
    pub fn submit<T, F>(self, work: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (message, pending) = Write::new(work);
        self.0.send(message);
        pending
    }
}
