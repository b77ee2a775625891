//! What the client keeps besides its ledgers: which pod was asked on which evidence, and the receipts.
//!
//! Hashes and signatures only: no prompt and no answer is ever written.

use rusqlite::{Connection, OptionalExtension, params};
use subrosa_protocol::{B256, Order, Receipt, RequestId, Signed, hash::sha256};
use subrosa_store::Room;

use crate::export::ReleasesSeen;

/// The tables.
pub(crate) const ROOM: Room = Room { name: "client", migrations: &[TABLES] };

const TABLES: &str = "
CREATE TABLE client_evidence (
    digest BLOB PRIMARY KEY,
    document BLOB NOT NULL,
    offer TEXT NOT NULL,
    releases TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE client_questions (
    request BLOB PRIMARY KEY,
    pod BLOB NOT NULL,
    evidence BLOB NOT NULL REFERENCES client_evidence (digest),
    signed_order BLOB NOT NULL,
    channel BLOB,
    receipt BLOB
) WITHOUT ROWID;";

/// A question that was ordered, and its receipt once there is one.
pub(crate) struct Kept {
    pub(crate) order: Signed<Order>,
    pub(crate) channel: Option<Vec<u8>>,
    pub(crate) receipt: Option<Signed<Receipt>>,
    pub(crate) evidence: Vec<u8>,
    pub(crate) offer: String,
    pub(crate) releases: ReleasesSeen,
}

/// What is known of a question before it leaves.
pub(crate) struct Question {
    pub(crate) pod: B256,
    pub(crate) evidence_digest: B256,
    pub(crate) evidence: Vec<u8>,
    pub(crate) offer: String,
    pub(crate) releases: ReleasesSeen,
    pub(crate) order: Signed<Order>,
    pub(crate) channel: Option<Vec<u8>>,
}

/// Notes a question; in the transaction that notes its order.
pub(crate) fn question(db: &Connection, question: &Question) -> rusqlite::Result<()> {
    let releases =
        serde_json::to_string(&question.releases).expect("digests and numbers are plain JSON");
    // Shared evidence outlives an offer, and a receipt is checked with the offer that it was given under.
    let key = sha256(&[question.evidence_digest.as_slice(), question.offer.as_bytes()].concat());
    // A proof that a later visit brought takes the place of none.
    db.prepare_cached(
        "INSERT INTO client_evidence VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (digest) DO UPDATE SET releases = excluded.releases
         WHERE json_extract(releases, '$.proof') IS NULL",
    )?
    .execute(params![key.as_slice(), question.evidence, question.offer, releases])?;
    db.prepare_cached(
        "INSERT INTO client_questions (request, pod, evidence, signed_order, channel)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (request) DO UPDATE SET signed_order = excluded.signed_order",
    )?
    .execute(params![
        question.order.unverified().request_id.0.as_slice(),
        question.pod.as_slice(),
        key.as_slice(),
        question.order.to_bytes(),
        question.channel,
    ])?;
    Ok(())
}

/// Notes a good receipt; in the transaction in which the ledger takes it.
pub(crate) fn receipt(
    db: &Connection,
    request: RequestId,
    receipt: &Signed<Receipt>,
) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE client_questions SET receipt = ?2 WHERE request = ?1")?
        .execute(params![request.0.as_slice(), receipt.to_bytes()])?;
    Ok(())
}

/// A receipt with its pod, newest first.
pub(crate) fn receipts(
    db: &Connection,
) -> rusqlite::Result<Vec<(RequestId, B256, Signed<Receipt>)>> {
    let mut query = db.prepare_cached(
        "SELECT request, pod, receipt FROM client_questions WHERE receipt NOT NULL",
    )?;
    let rows = query.query_map((), |row| {
        Ok((RequestId(word(row.get(0)?)), word(row.get(1)?), signed(row.get(2)?, 2)?))
    })?;
    let mut receipts = rows.collect::<rusqlite::Result<Vec<(_, _, Signed<Receipt>)>>>()?;
    let key =
        |receipt: &Signed<Receipt>| (receipt.unverified().issued_at, receipt.unverified().seq);
    receipts.sort_by_key(|(_, _, receipt)| std::cmp::Reverse(key(receipt)));
    Ok(receipts)
}

/// Everything that is kept of one question.
pub(crate) fn find(db: &Connection, request: RequestId) -> rusqlite::Result<Option<Kept>> {
    db.prepare_cached(
        "SELECT signed_order, channel, receipt, document, offer, releases
         FROM client_questions JOIN client_evidence ON digest = evidence WHERE request = ?1",
    )?
    .query_row(params![request.0.as_slice()], |row| {
        let receipt: Option<Vec<u8>> = row.get(2)?;
        let releases: String = row.get(5)?;
        Ok(Kept {
            order: signed(row.get(0)?, 0)?,
            channel: row.get(1)?,
            receipt: receipt.map(|bytes| signed(bytes, 2)).transpose()?,
            evidence: row.get(3)?,
            offer: row.get(4)?,
            releases: serde_json::from_str(&releases).map_err(|error| unreadable(5, error))?,
        })
    })
    .optional()
}

fn word(bytes: [u8; 32]) -> B256 {
    B256::from(bytes)
}

fn signed<T: subrosa_protocol::Message>(
    bytes: Vec<u8>,
    column: usize,
) -> rusqlite::Result<Signed<T>> {
    Signed::from_bytes(&bytes).map_err(|error| unreadable(column, error))
}

fn unreadable(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, Box::new(error))
}

#[cfg(test)]
mod tests {
    use subrosa_protocol::{Domain, SecretKey};

    use super::*;

    fn asked(request: u8, offer: &str) -> Question {
        let order = Order {
            account: Default::default(),
            offer: B256::ZERO,
            request_id: RequestId(B256::repeat_byte(request)),
            request_hash: B256::ZERO,
            max_charge: Default::default(),
            ceiling: Default::default(),
            expires: Default::default(),
        };
        let key = SecretKey::from_bytes(&[1; 32]).unwrap();
        Question {
            pod: B256::ZERO,
            evidence_digest: B256::repeat_byte(9),
            evidence: vec![1, 2, 3],
            offer: offer.into(),
            releases: ReleasesSeen {
                block: None,
                measurements: vec![],
                models: vec![],
                proof: None,
            },
            order: Signed::sign(order, &Domain::default(), &key),
            channel: None,
        }
    }

    #[test]
    fn questions_on_the_same_evidence_keep_each_its_own_offer() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(TABLES).unwrap();
        question(&db, &asked(1, "the old offer")).unwrap();
        question(&db, &asked(2, "the new offer")).unwrap();
        question(&db, &asked(3, "the old offer")).unwrap();
        let offer =
            |request| find(&db, RequestId(B256::repeat_byte(request))).unwrap().unwrap().offer;
        assert_eq!(
            [offer(1), offer(2), offer(3)],
            ["the old offer", "the new offer", "the old offer"]
        );
    }
}
