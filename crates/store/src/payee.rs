//! The pod's ledgers on disk: accounts, orders, charges.
//!
//! A charge, the exact bytes of its receipt and its slip are one row, and the row's key forbids on its
//! own what the ledger forbids: two receipts of one (account, seq).

use rusqlite::{Connection, OptionalExtension};
use subrosa_channel::payee::{Halt, Record};
use subrosa_protocol::{
    Account, ChannelConfig, ClaimBatch, Message, Receipt, RequestId, Signed, Timestamp, Voucher,
};

use crate::Room;
use crate::row::{Columns, integer, seconds, unknown_code};

/// The tables.
pub const ROOM: Room = Room { name: "payee", migrations: &[TABLES] };

const TABLES: &str = "
CREATE TABLE payee_accounts (
    account BLOB PRIMARY KEY,
    config BLOB,
    voucher BLOB,
    halt INTEGER
) WITHOUT ROWID;
CREATE TABLE payee_orders (
    account BLOB NOT NULL REFERENCES payee_accounts,
    request BLOB NOT NULL,
    signed BLOB NOT NULL,
    expires INTEGER NOT NULL,
    state INTEGER NOT NULL,
    PRIMARY KEY (account, request)
) WITHOUT ROWID;
CREATE TABLE payee_charges (
    account BLOB NOT NULL REFERENCES payee_accounts,
    seq INTEGER NOT NULL,
    request BLOB NOT NULL,
    rerun INTEGER NOT NULL,
    receipt BLOB NOT NULL,
    slip BLOB,
    slip_voucher BLOB,
    PRIMARY KEY (account, seq)
);
CREATE INDEX payee_charges_by_order ON payee_charges (account, request);";

const RESERVED: i64 = 0;
const RELEASED: i64 = 1;
const CHARGED: i64 = 2;

/// Writes records in their order. Call it inside [`Store::write`](crate::Store::write), under the
/// ledger's lock.
///
/// # Errors
/// What SQLite says; a broken key means that the records contradict what is on disk.
pub fn append(db: &Connection, records: &[Record]) -> rusqlite::Result<()> {
    records.iter().try_for_each(|record| append_one(db, record))
}

fn append_one(db: &Connection, record: &Record) -> rusqlite::Result<()> {
    let account = record.account().0;
    let account = account.as_slice();
    match record {
        Record::Opened { config, .. } => db
            .prepare_cached("INSERT INTO payee_accounts (account, config) VALUES (?1, ?2)")?
            .execute((account, config.as_ref().map(Message::encode))),
        Record::Raised { voucher } => db
            .prepare_cached("UPDATE payee_accounts SET voucher = ?2 WHERE account = ?1")?
            .execute((account, voucher.to_bytes())),
        Record::Halted { halt, .. } => db
            .prepare_cached("UPDATE payee_accounts SET halt = ?2 WHERE account = ?1")?
            .execute((account, halt.code())),
        Record::Admitted { order } => db
            .prepare_cached("INSERT OR REPLACE INTO payee_orders VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute((
                account,
                order.unverified().request_id.0.as_slice(),
                order.to_bytes(),
                seconds(order.unverified().expires),
                RESERVED,
            )),
        Record::Released { request, .. } => set_state(db, account, request, RELEASED),
        Record::Charged { request, rerun, receipt, slip } => {
            db.prepare_cached(
                "INSERT INTO payee_charges VALUES (?1, ?2, ?3, ?4, ?5, ?6,
                 CASE WHEN ?6 IS NULL THEN NULL
                 ELSE (SELECT voucher FROM payee_accounts WHERE account = ?1) END)",
            )?
            .execute((
                account,
                integer(receipt.unverified().seq),
                request.0.as_slice(),
                rerun,
                receipt.to_bytes(),
                slip.as_ref().map(Signed::to_bytes),
            ))?;
            set_state(db, account, request, CHARGED)
        }
    }?;
    Ok(())
}

fn set_state(
    db: &Connection,
    account: &[u8],
    request: &RequestId,
    state: i64,
) -> rusqlite::Result<usize> {
    db.prepare_cached("UPDATE payee_orders SET state = ?3 WHERE account = ?1 AND request = ?2")?
        .execute((account, request.0.as_slice(), state))
}

/// The records from which [`Ledgers::restore`](subrosa_channel::payee::Ledgers::restore) rebuilds the
/// ledgers: every account, the orders that have not expired or still reserve, and the end of each
/// receipt chain from the first of those orders on.
///
/// # Errors
/// What SQLite says, or that a column does not hold what was written.
pub fn load(db: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut halts = Vec::new();
    let mut accounts =
        db.prepare("SELECT account, config, voucher, halt FROM payee_accounts ORDER BY account")?;
    let mut rows = accounts.query([])?;
    while let Some(row) = rows.next()? {
        let account = row.account(0)?;
        records.push(Record::Opened { account, config: row.message_or_none(1)? });
        records.extend(row.signed_or_none(2)?.map(|voucher| Record::Raised { voucher }));
        load_orders(db, account, now, &mut records)?;
        load_charges(db, account, now, &mut records)?;
        if let Some(code) = row.get::<_, Option<u8>>(3)? {
            let halt = Halt::from_code(code).ok_or_else(|| unknown_code(3))?;
            halts.push(Record::Halted { account, halt });
        }
    }
    records.extend(halts);
    Ok(records)
}

fn load_orders(
    db: &Connection,
    account: Account,
    now: Timestamp,
    records: &mut Vec<Record>,
) -> rusqlite::Result<()> {
    let mut orders = db.prepare_cached(
        "SELECT request, signed, state FROM payee_orders
         WHERE account = ?1 AND (expires > ?2 OR state = ?3)",
    )?;
    let mut rows = orders.query((account.0.as_slice(), seconds(now), RESERVED))?;
    while let Some(row) = rows.next()? {
        records.push(Record::Admitted { order: row.signed(1)? });
        if row.get::<_, i64>(2)? == RELEASED {
            records.push(Record::Released { account, request: row.request(0)? });
        }
    }
    Ok(())
}

fn load_charges(
    db: &Connection,
    account: Account,
    now: Timestamp,
    records: &mut Vec<Record>,
) -> rusqlite::Result<()> {
    let mut charges = db.prepare_cached(
        "SELECT request, rerun, receipt, slip FROM payee_charges WHERE account = ?1 AND seq >= min(
            (SELECT max(seq) FROM payee_charges WHERE account = ?1),
            ifnull((SELECT min(seq) FROM payee_charges JOIN payee_orders USING (account, request)
                    WHERE account = ?1 AND expires > ?2), 9223372036854775807))
         ORDER BY seq",
    )?;
    let mut rows = charges.query((account.0.as_slice(), seconds(now)))?;
    while let Some(row) = rows.next()? {
        records.push(Record::Charged {
            request: row.request(0)?,
            rerun: row.get(1)?,
            receipt: row.signed(2)?,
            slip: row.signed_or_none(3)?,
        });
    }
    Ok(())
}

/// The exact receipt with this place in an account's chain.
///
/// # Errors
/// What SQLite says.
pub fn receipt_by_seq(
    db: &Connection,
    account: Account,
    seq: u64,
) -> rusqlite::Result<Option<Signed<Receipt>>> {
    db.prepare_cached("SELECT receipt FROM payee_charges WHERE account = ?1 AND seq = ?2")?
        .query_row((account.0.as_slice(), integer(seq)), |row| row.signed(0))
        .optional()
}

/// The exact receipt that charged an order.
///
/// # Errors
/// What SQLite says.
pub fn receipt_by_order(
    db: &Connection,
    account: Account,
    request: RequestId,
) -> rusqlite::Result<Option<Signed<Receipt>>> {
    db.prepare_cached(
        "SELECT receipt FROM payee_charges WHERE account = ?1 AND request = ?2 AND rerun = 0
         ORDER BY seq DESC LIMIT 1",
    )?
    .query_row((account.0.as_slice(), request.0.as_slice()), |row| row.signed(0))
    .optional()
}

/// All that a claim needs, without the signer: the newest of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slip {
    /// The channel.
    pub config: ChannelConfig,
    /// The voucher that the slip counts under.
    pub voucher: Signed<Voucher>,
    /// The signer's claim, one row.
    pub claim: Signed<ClaimBatch>,
}

/// The newest slip of every channel that was charged.
///
/// # Errors
/// What SQLite says.
pub fn slips(db: &Connection) -> rusqlite::Result<Vec<Slip>> {
    db.prepare_cached(
        "SELECT config, slip_voucher, slip FROM payee_charges JOIN payee_accounts USING (account)
         WHERE (account, seq) IN
            (SELECT account, max(seq) FROM payee_charges WHERE slip IS NOT NULL GROUP BY account)
         ORDER BY account",
    )?
    .query_map([], |row| {
        Ok(Slip { config: row.message(0)?, voucher: row.signed(1)?, claim: row.signed(2)? })
    })?
    .collect()
}
