//! The client's ledgers on disk: accounts with pods, orders, receipts.
//!
//! An allow-listed address has one ledger with each pod, so rows are keyed by signer and account.

use rusqlite::Connection;
use subrosa_channel::payer::{Evidence, Record};
use subrosa_protocol::{Account, Address, Message, Price, RequestId, Signed, Timestamp};

use crate::Room;
use crate::row::{Columns, bytes_of, integer, seconds};

/// The tables.
pub const ROOM: Room = Room { name: "payer", migrations: &[TABLES] };

const TABLES: &str = "
CREATE TABLE payer_accounts (
    signer BLOB NOT NULL,
    account BLOB NOT NULL,
    config BLOB,
    balance BLOB,
    voucher BLOB,
    fault TEXT,
    fault_receipt BLOB,
    fault_against BLOB,
    PRIMARY KEY (signer, account)
) WITHOUT ROWID;
CREATE TABLE payer_orders (
    signer BLOB NOT NULL,
    account BLOB NOT NULL,
    request BLOB NOT NULL,
    signed BLOB NOT NULL,
    expires INTEGER NOT NULL,
    model BLOB NOT NULL,
    input_price BLOB NOT NULL,
    output_price BLOB NOT NULL,
    workload BLOB NOT NULL,
    open INTEGER NOT NULL,
    PRIMARY KEY (signer, account, request),
    FOREIGN KEY (signer, account) REFERENCES payer_accounts
) WITHOUT ROWID;
CREATE TABLE payer_receipts (
    signer BLOB NOT NULL,
    account BLOB NOT NULL,
    seq INTEGER NOT NULL,
    request BLOB,
    receipt BLOB NOT NULL,
    PRIMARY KEY (signer, account, seq),
    FOREIGN KEY (signer, account) REFERENCES payer_accounts
);";

/// Writes records of the ledger with the pod `signer`, in their order, under the ledger's lock.
///
/// # Errors
/// What SQLite says; a broken key means that the records contradict what is on disk.
pub fn append(db: &Connection, signer: Address, records: &[Record]) -> rusqlite::Result<()> {
    records.iter().try_for_each(|record| append_one(db, signer, record))
}

fn append_one(db: &Connection, signer: Address, record: &Record) -> rusqlite::Result<()> {
    let account = record.account().0;
    let (signer, account) = (signer.as_slice(), account.as_slice());
    match record {
        Record::Opened { config, .. } => db
            .prepare_cached("INSERT INTO payer_accounts (signer, account, config) VALUES (?1, ?2, ?3)")?
            .execute((signer, account, config.as_ref().map(Message::encode))),
        Record::Funded { balance, .. } => db
            .prepare_cached("UPDATE payer_accounts SET balance = ?3 WHERE (signer, account) = (?1, ?2)")?
            .execute((signer, account, bytes_of(*balance))),
        Record::Raised { voucher } => db
            .prepare_cached("UPDATE payer_accounts SET voucher = ?3 WHERE (signer, account) = (?1, ?2)")?
            .execute((signer, account, voucher.to_bytes())),
        Record::Faulted { evidence, .. } => db
            .prepare_cached(
                "UPDATE payer_accounts SET fault = ?3, fault_receipt = ?4, fault_against = ?5
                 WHERE (signer, account) = (?1, ?2)",
            )?
            .execute((
                signer,
                account,
                &evidence.code,
                evidence.receipt.to_bytes(),
                evidence.against.as_ref().map(Signed::to_bytes),
            )),
        Record::Ordered { order, model, price, workload } => db
            .prepare_cached(
                "INSERT OR REPLACE INTO payer_orders VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1)",
            )?
            .execute((
                signer,
                account,
                order.unverified().request_id.0.as_slice(),
                order.to_bytes(),
                seconds(order.unverified().expires),
                model.as_slice(),
                bytes_of(price.input),
                bytes_of(price.output),
                workload.as_slice(),
            )),
        Record::Dropped { request, .. } => close(db, signer, account, request),
        Record::Received { receipt, request } => {
            db.prepare_cached("INSERT INTO payer_receipts VALUES (?1, ?2, ?3, ?4, ?5)")?.execute((
                signer,
                account,
                integer(receipt.unverified().seq),
                request.as_ref().map(|request| request.0.as_slice()),
                receipt.to_bytes(),
            ))?;
            request.as_ref().map_or(Ok(0), |request| close(db, signer, account, request))
        }
    }?;
    Ok(())
}

fn close(
    db: &Connection,
    signer: &[u8],
    account: &[u8],
    request: &RequestId,
) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "UPDATE payer_orders SET open = 0 WHERE (signer, account, request) = (?1, ?2, ?3)",
    )?
    .execute((signer, account, request.0.as_slice()))
}

/// For each ledger, the records from which
/// [`Ledger::restore`](subrosa_channel::payer::Ledger::restore) rebuilds it: its account, the orders
/// that are open or have not expired, and its receipts.
///
/// # Errors
/// What SQLite says, or that a column does not hold what was written.
pub fn load(db: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Vec<Record>>> {
    let mut accounts = db.prepare(
        "SELECT signer, account, config, balance, voucher, fault, fault_receipt, fault_against
         FROM payer_accounts ORDER BY signer, account",
    )?;
    let mut rows = accounts.query([])?;
    let mut ledgers = Vec::new();
    while let Some(row) = rows.next()? {
        ledgers.push(load_ledger(db, row, now)?);
    }
    Ok(ledgers)
}

fn load_ledger(
    db: &Connection,
    row: &rusqlite::Row<'_>,
    now: Timestamp,
) -> rusqlite::Result<Vec<Record>> {
    let (signer, account) = (row.address(0)?, row.account(1)?);
    let mut records = vec![Record::Opened { account, signer, config: row.message_or_none(2)? }];
    if row.get_ref(3)? != rusqlite::types::ValueRef::Null {
        records.push(Record::Funded { account, balance: row.amount(3)? });
    }
    records.extend(row.signed_or_none(4)?.map(|voucher| Record::Raised { voucher }));
    load_orders(db, signer, account, now, &mut records)?;
    load_receipts(db, signer, account, &mut records)?;
    if let Some(code) = row.get(5)? {
        let evidence = Evidence { code, receipt: row.signed(6)?, against: row.signed_or_none(7)? };
        records.push(Record::Faulted { account, evidence });
    }
    Ok(records)
}

fn load_orders(
    db: &Connection,
    signer: Address,
    account: Account,
    now: Timestamp,
    records: &mut Vec<Record>,
) -> rusqlite::Result<()> {
    let mut orders = db.prepare_cached(
        "SELECT request, signed, model, input_price, output_price, workload, open FROM payer_orders
         WHERE signer = ?1 AND account = ?2 AND (open = 1 OR expires > ?3)",
    )?;
    let mut rows = orders.query((signer.as_slice(), account.0.as_slice(), seconds(now)))?;
    while let Some(row) = rows.next()? {
        records.push(Record::Ordered {
            order: row.signed(1)?,
            model: row.word(2)?,
            price: Price { input: row.amount(3)?, output: row.amount(4)? },
            workload: row.word(5)?,
        });
        if !row.get::<_, bool>(6)? {
            records.push(Record::Dropped { account, request: row.request(0)? });
        }
    }
    Ok(())
}

fn load_receipts(
    db: &Connection,
    signer: Address,
    account: Account,
    records: &mut Vec<Record>,
) -> rusqlite::Result<()> {
    let mut receipts = db.prepare_cached(
        "SELECT request, receipt FROM payer_receipts WHERE signer = ?1 AND account = ?2 ORDER BY seq",
    )?;
    let mut rows = receipts.query((signer.as_slice(), account.0.as_slice()))?;
    while let Some(row) = rows.next()? {
        let request = row.get::<_, Option<[u8; 32]>>(0)?.map(|word| RequestId(word.into()));
        records.push(Record::Received { receipt: row.signed(1)?, request });
    }
    Ok(())
}
