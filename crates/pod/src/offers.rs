//! The pod's own table: offers, so that a restart gives out the same bytes (spec/pod.md 8).

use rusqlite::{Connection, params};
use subrosa_protocol::{B256, Offer, Signed, Timestamp};
use subrosa_store::Room;

/// The table. A row's order is that in which offers were made.
pub(crate) const ROOM: Room = Room {
    name: "pod",
    migrations: &["CREATE TABLE pod_offers (
        place INTEGER PRIMARY KEY, digest BLOB UNIQUE NOT NULL, expires INTEGER NOT NULL,
        signed BLOB NOT NULL
    ) STRICT"],
};

/// Keeps an offer.
pub(crate) fn keep(
    db: &Connection,
    digest: B256,
    offer: &Signed<Offer>,
) -> rusqlite::Result<usize> {
    db.execute(
        "INSERT OR IGNORE INTO pod_offers (digest, expires, signed) VALUES (?1, ?2, ?3)",
        params![digest.as_slice(), seconds(offer.unverified().expires), offer.to_bytes()],
    )
}

/// The offers that have not ended, the newest first. One that cannot be read is passed over: the pod
/// then signs a new one.
pub(crate) fn running(db: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Signed<Offer>>> {
    let mut statement =
        db.prepare("SELECT signed FROM pod_offers WHERE expires > ?1 ORDER BY place DESC")?;
    let rows = statement.query_map([seconds(now)], |row| row.get::<_, Vec<u8>>(0))?;
    let mut offers = Vec::new();
    for bytes in rows {
        offers.extend(Signed::from_bytes(&bytes?).ok());
    }
    Ok(offers)
}

/// SQLite's integers are signed; no time of ours comes near their end.
fn seconds(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}
