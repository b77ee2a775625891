//! The directory, the writer, and what is on disk after each way to end.

use std::path::Path;
use std::process::Command;

use subrosa_store::rusqlite;
use subrosa_store::{DATABASE_FILE, OpenError, Room, Store, StoreError};

const ROWS: Room = Room { name: "rows", migrations: &["CREATE TABLE rows (value INTEGER UNIQUE)"] };

fn open(dir: &Path) -> Store {
    Store::open(dir, &[ROWS]).unwrap()
}

fn insert(store: &Store, value: i64) -> subrosa_store::Pending<i64> {
    store.write(move |db| {
        db.execute("INSERT INTO rows VALUES (?1)", [value])?;
        Ok(value)
    })
}

fn rows(store: &Store) -> Vec<i64> {
    store
        .read_blocking(|db| {
            db.prepare("SELECT value FROM rows ORDER BY value")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
        .unwrap()
}

#[tokio::test]
async fn what_is_durable_is_there_after_the_next_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(insert(&store, 7).await.unwrap().into_inner(), 7);
    store.close().await;
    drop(store);
    assert_eq!(rows(&open(dir.path())), [7]);
}

#[tokio::test]
async fn writes_are_committed_in_the_order_of_the_calls() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let pending: Vec<_> = (0..500).map(|value| insert(&store, value)).collect();
    // The last is on disk only when all before it are.
    pending.into_iter().next_back().unwrap().await.unwrap();
    assert_eq!(rows(&store).len(), 500);
}

#[tokio::test]
async fn a_write_counts_though_nobody_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    drop(insert(&store, 1));
    store.close().await;
    drop(store);
    assert_eq!(rows(&open(dir.path())), [1]);
}

#[tokio::test]
async fn what_waits_is_committed_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let first = store.write(move |_| {
        wait.recv().expect("the test lets it go");
        Ok(())
    });
    let second = insert(&store, 1);
    let third = store.write(|db| {
        // Sees the write before it inside the same transaction.
        db.query_row("SELECT count(*) FROM rows", [], |row| row.get::<_, i64>(0))
    });
    go.send(()).unwrap();
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(*third.await.unwrap(), 1);
}

#[tokio::test]
async fn after_a_failed_write_what_came_before_stands_and_nothing_comes_after() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let pending = [1, 2, 2, 3].map(|value| insert(&store, value));
    let mut outcomes = Vec::new();
    for pending in pending {
        outcomes.push(pending.await.map(subrosa_store::Durable::into_inner));
    }
    assert!(matches!(
        outcomes[..],
        [Ok(1), Ok(2), Err(StoreError::Database(_)), Err(StoreError::Broken)]
    ));
    assert!(matches!(insert(&store, 4).await, Err(StoreError::Broken)));
    store.close().await;
    drop(store);
    assert_eq!(rows(&open(dir.path())), [1, 2]);
}

#[tokio::test]
async fn a_closed_store_takes_no_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.close().await;
    assert!(matches!(insert(&store, 1).await, Err(StoreError::Closed)));
    store.close().await; // a second close does nothing
}

#[tokio::test]
async fn reads_do_not_wait_for_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let held = store.write(move |_| {
        wait.recv().expect("the test lets it go");
        Ok(())
    });
    let count = store
        .read(|db| db.query_row("SELECT count(*) FROM rows", [], |row| row.get::<_, i64>(0)))
        .await;
    assert_eq!(count.unwrap(), 0);
    go.send(()).unwrap();
    held.await.unwrap();
}

#[tokio::test]
async fn a_second_owner_of_the_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let refused = Store::open(dir.path(), &[ROWS]).err().unwrap();
    assert!(matches!(refused, OpenError::InUse { .. }));
    assert!(refused.to_string().contains("in use by another process"), "{refused}");
    store.close().await;
    drop(store);
    open(dir.path());
}

#[cfg(unix)]
#[test]
fn the_directory_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state/pod");
    let _store = open(&state);
    let mode = std::fs::metadata(&state).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_schema_of_a_newer_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    const NEWER: Room = Room {
        name: "rows",
        migrations: &[ROWS.migrations[0], "ALTER TABLE rows ADD COLUMN note TEXT"],
    };
    let newer = Store::open(dir.path(), &[NEWER]).unwrap();
    newer.close().await;
    drop(newer);
    let refused = Store::open(dir.path(), &[ROWS]).err().unwrap();
    assert!(matches!(refused, OpenError::Newer { room: "rows", found: 2, known: 1 }));
}

#[tokio::test]
async fn an_older_schema_is_brought_up_to_date_and_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    insert(&store, 7).await.unwrap();
    store.close().await;
    drop(store);
    const NEWER: Room = Room {
        name: "rows",
        migrations: &[ROWS.migrations[0], "ALTER TABLE rows ADD COLUMN note TEXT DEFAULT 'old'"],
    };
    let store = Store::open(dir.path(), &[NEWER]).unwrap();
    let row = store.read_blocking(|db| {
        db.query_row("SELECT value, note FROM rows", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })
    });
    assert_eq!(row.unwrap(), (7, "old".to_owned()));
}

#[test]
fn a_migration_that_fails_leaves_the_version_before_it() {
    let dir = tempfile::tempdir().unwrap();
    const WRONG: Room = Room {
        name: "rows",
        migrations: &[ROWS.migrations[0], "CREATE TABLE more (a); CREATE TABLE rows (b)"],
    };
    assert!(matches!(Store::open(dir.path(), &[WRONG]).err(), Some(OpenError::Database { .. })));
    let store = open(dir.path());
    let more = store.read_blocking(|db| {
        db.query_row("SELECT count(*) FROM sqlite_master WHERE name = 'more'", [], |row| {
            row.get::<_, i64>(0)
        })
    });
    assert_eq!(more.unwrap(), 0);
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(DATABASE_FILE), "not a database, though long enough to be read")
        .unwrap();
    let refused = Store::open(dir.path(), &[ROWS]).err();
    assert!(matches!(refused, Some(OpenError::Database { .. })));
}

/// Set for the child of the next test: the directory in which it writes until it is killed.
const CHILD_DIR: &str = "SUBROSA_STORE_TEST_DIR";

/// The child: it writes 1, 2, 3, … and says each number only once it is durable, then dies in mid-write.
#[tokio::test]
async fn a_process_that_dies_in_the_middle_of_its_writes() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let store = open(Path::new(&dir));
    for value in 1..=20 {
        insert(&store, value).await.unwrap();
        std::fs::write(Path::new(&dir).join("said"), value.to_string()).unwrap();
    }
    let (reached, wait) = std::sync::mpsc::channel::<()>();
    let _never = store.write(move |db| {
        db.execute("INSERT INTO rows VALUES (21)", [])?;
        reached.send(()).expect("the test waits");
        std::thread::park();
        Ok(())
    });
    wait.recv().unwrap();
    std::process::abort();
}

#[test]
fn a_process_that_dies_loses_nothing_that_it_was_told_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_that_dies_in_the_middle_of_its_writes"])
        .env(CHILD_DIR, dir.path())
        .output()
        .unwrap();
    assert!(!child.status.success(), "the child aborts");
    assert_eq!(std::fs::read_to_string(dir.path().join("said")).unwrap(), "20");
    assert_eq!(rows(&open(dir.path())), (1..=20).collect::<Vec<i64>>());
}

#[test]
fn commits_are_synced_before_they_are_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let pragma = |name: &str| {
        store.read_blocking(|db| {
            db.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
        })
    };
    assert_eq!(pragma("journal_mode").unwrap(), rusqlite::types::Value::Text("wal".into()));
    assert_eq!(pragma("synchronous").unwrap(), rusqlite::types::Value::Integer(2));
}
