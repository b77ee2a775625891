//! Asking a pod, inside the seal, for receipts of one's own account (spec/channel.md 10).

use std::str::FromStr;

use rand::CryptoRng;
use subrosa_channel::payer;
use subrosa_protocol::{
    Amount, B256, Message, Order, Receipt, RequestId, SecretKey, Signed, Timestamp, hash,
};
use subrosa_seal::{Envelope, Fields, InnerRequest, Pacing, field};

use crate::client::{ORDER_LIFE, draw};
use crate::names;

/// Where receipts are asked for.
pub const PATH: &str = "/subrosa/v1/receipts";

/// Which receipt is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// The one that charged this order.
    Order(RequestId),
    /// The one with this place in the account's chain.
    Seq(u64),
}

impl Query {
    /// Path and query, in the one spelling that [`parse`](Query::parse) reads.
    pub fn path(&self) -> String {
        match self {
            Query::Order(request) => format!("{PATH}?order={request}"),
            Query::Seq(seq) => format!("{PATH}?seq={seq}"),
        }
    }

    /// Reads a path and query; none for any other than [`path`](Query::path) writes.
    pub fn parse(path: &str) -> Option<Query> {
        let (name, value) = path.strip_prefix(PATH)?.strip_prefix('?')?.split_once('=')?;
        let query = match name {
            "order" => Query::Order(RequestId(B256::from_str(value).ok()?)),
            "seq" => Query::Seq(value.parse().ok()?),
            _ => return None,
        };
        (query.path() == path).then_some(query)
    }
}

/// A GET of something that only the account's owner may read: an order with `maxCharge` 0 that binds
/// this request goes beside it. Nothing is reserved, so nothing need be kept.
pub fn own_request(
    path: String,
    offer: B256,
    ledger: &payer::Ledger,
    key: &SecretKey,
    domain: &subrosa_protocol::Domain,
    rng: &mut impl CryptoRng,
    now: Timestamp,
) -> InnerRequest {
    let salt = draw(rng);
    let order = Order {
        account: ledger.account(),
        offer,
        request_id: RequestId(draw(rng).into()),
        request_hash: hash::request_hash(&salt, "GET", &path, "", b""),
        max_charge: Amount::ZERO,
        ceiling: Amount::ZERO,
        expires: now.after(ORDER_LIFE),
    };
    let envelope = Envelope {
        channel_config: ledger.config().map(Message::encode),
        order: Some(Signed::sign(order, domain, key).to_bytes()),
        voucher: None,
        last_receipt: None,
        time: now,
        salt,
    };
    let method = "GET".to_owned();
    let (headers, body, pacing) = (Fields::new(), Vec::new(), Pacing::Off);
    InnerRequest { method, path, headers, body, envelope, pacing }
}

/// The receipt in an answer's headers or trailers; whether to believe it is the ledger's to say.
pub fn receipt_in(fields: &Fields) -> Option<Signed<Receipt>> {
    let text = std::str::from_utf8(field(fields, names::RECEIPT)?).ok()?;
    Signed::from_base64(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_it_was_written() {
        for query in [Query::Order(RequestId(B256::repeat_byte(7))), Query::Seq(0), Query::Seq(42)]
        {
            assert_eq!(Query::parse(&query.path()), Some(query));
        }
        assert_eq!(Query::Seq(42).path(), "/subrosa/v1/receipts?seq=42");
    }

    #[test]
    fn any_other_spelling_is_no_query() {
        let upper = format!("{PATH}?order=0x{}", "AB".repeat(32));
        let bare = format!("{PATH}?order={}", "ab".repeat(32));
        for wrong in [
            PATH,
            "/subrosa/v1/receipts?",
            "/subrosa/v1/receipts?seq",
            "/subrosa/v1/receipts?seq=",
            "/subrosa/v1/receipts?seq=-1",
            "/subrosa/v1/receipts?seq=007",
            "/subrosa/v1/receipts?seq=1&order=2",
            "/subrosa/v1/receipts?order=0x12",
            "/subrosa/v1/receipts/?seq=1",
            "/v1/receipts?seq=1",
            "",
            &upper,
            &bare,
        ] {
            assert_eq!(Query::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_field_that_is_no_receipt_gives_none() {
        for wrong in [&b""[..], b"AAAA", b"not base64", b"\xff\xfe"] {
            assert_eq!(receipt_in(&vec![(names::RECEIPT.to_owned(), wrong.to_vec())]), None);
        }
        assert_eq!(receipt_in(&Fields::new()), None);
    }
}
