//! How ledger values stand in columns.

use rusqlite::types::Type;
use subrosa_protocol::{Account, Address, Amount, B256, Message, RequestId, Signed, Timestamp};

/// A column that does not hold what was written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column} does not hold what was written; the file was changed by something else")]
struct BadColumn {
    column: usize,
}

fn bad(column: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(BadColumn { column }))
}

/// Reads typed values out of a row.
pub(crate) trait Columns {
    fn word(&self, column: usize) -> rusqlite::Result<B256>;
    fn address(&self, column: usize) -> rusqlite::Result<Address>;
    fn amount(&self, column: usize) -> rusqlite::Result<Amount>;
    fn message<T: Message>(&self, column: usize) -> rusqlite::Result<T>;
    fn message_or_none<T: Message>(&self, column: usize) -> rusqlite::Result<Option<T>>;
    fn signed<T: Message>(&self, column: usize) -> rusqlite::Result<Signed<T>>;
    fn signed_or_none<T: Message>(&self, column: usize) -> rusqlite::Result<Option<Signed<T>>>;

    fn account(&self, column: usize) -> rusqlite::Result<Account> {
        self.word(column).map(Account)
    }

    fn request(&self, column: usize) -> rusqlite::Result<RequestId> {
        self.word(column).map(RequestId)
    }
}

impl Columns for rusqlite::Row<'_> {
    fn word(&self, column: usize) -> rusqlite::Result<B256> {
        self.get::<_, [u8; 32]>(column).map(B256::from)
    }

    fn address(&self, column: usize) -> rusqlite::Result<Address> {
        self.get::<_, [u8; 20]>(column).map(Address::from)
    }

    fn amount(&self, column: usize) -> rusqlite::Result<Amount> {
        self.get::<_, [u8; 16]>(column).map(|bytes| Amount(u128::from_be_bytes(bytes)))
    }

    fn message<T: Message>(&self, column: usize) -> rusqlite::Result<T> {
        T::decode(self.get_ref(column)?.as_blob()?).map_err(|_| bad(column))
    }

    fn message_or_none<T: Message>(&self, column: usize) -> rusqlite::Result<Option<T>> {
        let bytes = self.get_ref(column)?.as_blob_or_null()?;
        bytes.map(|bytes| T::decode(bytes).map_err(|_| bad(column))).transpose()
    }

    fn signed<T: Message>(&self, column: usize) -> rusqlite::Result<Signed<T>> {
        Signed::from_bytes(self.get_ref(column)?.as_blob()?).map_err(|_| bad(column))
    }

    fn signed_or_none<T: Message>(&self, column: usize) -> rusqlite::Result<Option<Signed<T>>> {
        let bytes = self.get_ref(column)?.as_blob_or_null()?;
        bytes.map(|bytes| Signed::from_bytes(bytes).map_err(|_| bad(column))).transpose()
    }
}

pub(crate) fn bytes_of(amount: Amount) -> [u8; 16] {
    amount.0.to_be_bytes()
}

/// Times and places as SQLite's signed integers; nothing of ours comes near their end.
pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn seconds(time: Timestamp) -> i64 {
    integer(time.0)
}

/// The error for a number that stands for nothing.
pub(crate) fn unknown_code(column: usize) -> rusqlite::Error {
    bad(column)
}
