//! SQLite for every room of the shell: one writer, group commit, and a type for "it is on disk".
//!
//! A [`Store`] owns a state directory. Every write goes through one thread, which commits whatever
//! waits in one transaction and only then acknowledges; what it hands back is a [`Durable`], which
//! nothing else can make. Each room brings its SQL as a [`Room`] of migrations; the ledgers of
//! `subrosa-channel` have theirs here, in [`payee`] and [`payer`].
//!
//! ```
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! # runtime.block_on(async {
//! use subrosa_store::{Room, Store};
//!
//! const NOTES: Room = Room { name: "notes", migrations: &["CREATE TABLE notes (text TEXT)"] };
//! let dir = tempfile::tempdir().unwrap();
//! let store = Store::open(dir.path(), &[NOTES]).unwrap();
//! let written = store
//!     .write(|db| db.execute("INSERT INTO notes VALUES (?1)", ["kept"]))
//!     .await
//!     .unwrap();
//! assert_eq!(*written, 1);
//! store.close().await;
//! # });
//! ```
//!
//! The types to know: [`Store`], [`Durable`], [`Pending`].

mod durable;
mod open;
pub mod payee;
pub mod payer;
mod row;
mod store;
mod writer;

pub use rusqlite;

pub use durable::Durable;
pub use open::{DATABASE_FILE, LOCK_FILE, OpenError, Room};
pub use store::Store;
pub use writer::{BATCH_MAX, Pending, QUEUE_MAX, StoreError};
