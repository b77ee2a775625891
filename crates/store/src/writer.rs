//! The one thread that writes: it commits whatever waits together, then acknowledges.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};

use rusqlite::{Connection, Transaction};
use tokio::sync::oneshot;

use crate::Durable;

/// How many writes may wait. A caller past it blocks until the batch before it is on disk; what rooms
/// have in flight is bounded far below.
pub const QUEUE_MAX: usize = 1_024;
/// How many writes one transaction takes, so that none waits long for the rest of its batch.
pub const BATCH_MAX: usize = 256;

/// Why something is not on disk, or cannot be read from it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// An earlier write failed. Memory is ahead of the disk since, so nothing later may be written:
    /// start again from what the disk has.
    #[error("an earlier write failed, so the store takes no more; restart")]
    Broken,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// SQLite refused.
    #[error("the database failed: {0}")]
    Database(Arc<rusqlite::Error>),
}

/// A write that is in the queue: a future that ends with its commit. It counts even if it is dropped.
#[derive(Debug)]
#[must_use = "a write counts only once it is durable"]
pub struct Pending<T>(oneshot::Receiver<Result<Durable<T>, StoreError>>);

impl<T> Pending<T> {
    /// A write that no writer will take.
    pub(crate) fn closed() -> Pending<T> {
        let (sender, reply) = oneshot::channel();
        drop(sender);
        Pending(reply)
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<Durable<T>, StoreError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = Pin::new(&mut self.0).poll(task);
        reply.map(|reply| reply.unwrap_or(Err(StoreError::Closed)))
    }
}

/// What waits in the queue.
pub(crate) enum Message {
    Stop,
    Write(Box<dyn Job>),
}

/// A write whose type was forgotten.
pub(crate) trait Job: Send {
    fn run(&mut self, db: &Transaction<'_>) -> rusqlite::Result<()>;
    fn acknowledge(self: Box<Self>, outcome: Result<(), StoreError>);
}

pub(crate) struct Write<T, F> {
    work: Option<F>,
    value: Option<T>,
    reply: oneshot::Sender<Result<Durable<T>, StoreError>>,
}

impl<T, F> Write<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
{
    pub(crate) fn message(work: F) -> (Message, Pending<T>) {
        let (sender, reply) = oneshot::channel();
        let write = Write { work: Some(work), value: None, reply: sender };
        (Message::Write(Box::new(write)), Pending(reply))
    }
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, db: &Transaction<'_>) -> rusqlite::Result<()> {
        let work = self.work.take().expect("the writer runs each write once");
        self.value = Some(work(db)?);
        Ok(())
    }

    fn acknowledge(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Write { value, reply, .. } = *self;
        let value = outcome
            .map(|()| Durable::committed(value.expect("a write without error left its value")));
        // Nobody may be waiting any more; the write counts all the same.
        let _ = reply.send(value);
    }
}

/// Writes until it is told to stop or nobody is left who could write.
pub(crate) fn run(mut connection: Connection, queue: mpsc::Receiver<Message>) {
    let mut broken = false;
    while let Ok(first) = queue.recv() {
        let (batch, stop) = collect(first, &queue);
        if broken {
            acknowledge(batch, &Err(StoreError::Broken));
        } else {
            broken = !write(&mut connection, batch);
        }
        if stop {
            break;
        }
    }
}

/// The writes that wait now, and whether a stop came after them.
fn collect(first: Message, queue: &mpsc::Receiver<Message>) -> (Vec<Box<dyn Job>>, bool) {
    let mut batch = Vec::new();
    let mut next = Some(first);
    while let Some(message) = next {
        match message {
            Message::Stop => return (batch, true),
            Message::Write(job) => batch.push(job),
        }
        next = if batch.len() < BATCH_MAX { queue.try_recv().ok() } else { None };
    }
    (batch, false)
}

/// Commits a batch; false where something in it failed.
///
/// Ledgers hand in their records in order, so what is on disk must be a prefix: the writes before a
/// failed one are kept, and it and all after it are not.
fn write(connection: &mut Connection, batch: Vec<Box<dyn Job>>) -> bool {
    let mut done = Vec::with_capacity(batch.len());
    let mut waiting = batch.into_iter();
    let outcome = commit(connection, &mut waiting, &mut done);
    match outcome {
        Ok(None) => {
            acknowledge(done, &Ok(()));
            true
        }
        Ok(Some((failed, error))) => {
            tracing::error!(%error, "a write failed; the store takes no more");
            acknowledge(done, &Ok(()));
            failed.acknowledge(Err(StoreError::Database(Arc::new(error))));
            acknowledge(waiting.collect(), &Err(StoreError::Broken));
            false
        }
        Err(error) => {
            tracing::error!(%error, "a commit failed; the store takes no more");
            let error = Err(StoreError::Database(Arc::new(error)));
            acknowledge(done, &error);
            acknowledge(waiting.collect(), &error);
            false
        }
    }
}

type Failed = (Box<dyn Job>, rusqlite::Error);

/// Runs the waiting writes up to the first that fails, and commits those that did not.
fn commit(
    connection: &mut Connection,
    waiting: &mut impl Iterator<Item = Box<dyn Job>>,
    done: &mut Vec<Box<dyn Job>>,
) -> rusqlite::Result<Option<Failed>> {
    let transaction = connection.transaction()?;
    let mut failed = None;
    for mut job in waiting {
        transaction.execute_batch("SAVEPOINT job")?;
        match job.run(&transaction) {
            Ok(()) => done.push(job),
            Err(error) => {
                transaction.execute_batch("ROLLBACK TO job")?;
                failed = Some((job, error));
                break;
            }
        }
        transaction.execute_batch("RELEASE job")?;
    }
    transaction.commit()?;
    Ok(failed)
}

fn acknowledge(batch: Vec<Box<dyn Job>>, outcome: &Result<(), StoreError>) {
    for job in batch {
        job.acknowledge(outcome.clone());
    }
}
