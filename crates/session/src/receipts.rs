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
