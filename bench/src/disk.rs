//! How long one write takes until it is on the disk: a question waits for one before it leaves.

use std::time::Instant;

use subrosa_store::{Room, Store};

use crate::house::Place;
use crate::stats::median;

const ROOM: Room = Room {
    name: "bench",
    migrations: &["CREATE TABLE bench_rows (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)"],
};

/// About what an order leaves behind.
const ROW: [u8; 600] = [7; 600];

/// The middle of so many writes, in milliseconds.
pub async fn measure(writes: usize) -> anyhow::Result<f64> {
    let folder = Place::Disk.folder()?;
    let store = Store::open(folder.path(), &[ROOM])?;
    let mut times = Vec::new();
    for _ in 0..writes {
        let began = Instant::now();
        store
            .write(|db| db.execute("INSERT INTO bench_rows (bytes) VALUES (?1)", [&ROW[..]]))
            .await?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    store.close().await;
    Ok(median(&times))
}
