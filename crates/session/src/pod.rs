//! The pod's side: from an opened request to what its ledger needs, and from an answer to its receipt.

use subrosa_channel::payee::{Asked, Blame, Ledger, Metered, Payment, Refusal};
use subrosa_protocol::x402::{
    Extra, PAYMENT_REQUIRED_HEADER, PaymentRequired, PaymentRequirements, Resource,
};
use subrosa_protocol::{
    Amount, B256, ChannelConfig, Message, Offer, Outcome, Price, Receipt, Signed, hash,
};
use subrosa_seal::{Envelope, Fields, InnerRequest};

use crate::names;

/// How long a payer may take to pay, in seconds: the pod itself waits for nothing.
const PAYMENT_TIME_S: u64 = 60;

/// A part of the payment that is not the message it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {part} beside the request cannot be read")]
pub struct Unreadable {
    /// Which part.
    pub part: &'static str,
}

/// Reads the payment out of an envelope; none where it holds no order.
///
/// # Errors
/// [`Unreadable`] where a part is not in its canonical bytes.
pub fn payment(envelope: &Envelope) -> Result<Option<Payment>, Unreadable> {
    let Some(order) = &envelope.order else { return Ok(None) };
    let config = envelope.channel_config.as_deref().map(ChannelConfig::decode).transpose();
    let order = Signed::from_bytes(order);
    Ok(Some(Payment {
        config: config.map_err(|_| Unreadable { part: "channel config" })?,
        order: order.map_err(|_| Unreadable { part: "order" })?,
        voucher: signed(envelope.voucher.as_deref(), "voucher")?,
        last_receipt: signed(envelope.last_receipt.as_deref(), "last receipt")?,
    }))
}

fn signed<T: Message>(
    bytes: Option<&[u8]>,
    part: &'static str,
) -> Result<Option<Signed<T>>, Unreadable> {
    bytes.map(Signed::from_bytes).transpose().map_err(|_| Unreadable { part })
}

/// The hash that an order for this request must bind.
pub fn request_hash(request: &InnerRequest) -> B256 {
    let content_type = request.header("content-type").unwrap_or_default();
    let content_type = std::str::from_utf8(content_type).unwrap_or_default();
    let salt = &request.envelope.salt;
    hash::request_hash(salt, &request.method, &request.path, content_type, &request.body)
}

/// What the request asks for, as admission needs it.
pub fn asked(request: &InnerRequest, model: B256, max_tokens: u64) -> Asked {
    let body_bytes = u64::try_from(request.body.len()).expect("a length fits 64 bits");
    Asked { request_hash: request_hash(request), model, body_bytes, max_tokens }
}

/// An answer on its way out: it hashes exactly the bytes that are handed to the seal.
#[derive(Clone)]
pub struct Answering {
    hasher: hash::ResponseHasher,
}

impl Answering {
    /// An answer whose head is about to leave.
    pub fn new(salt: &[u8; 32], status: u16, content_type: &str) -> Answering {
        Answering { hasher: hash::ResponseHasher::new(salt, status, content_type) }
    }

    /// Some more of the body, as handed to the seal.
    pub fn body(&mut self, bytes: &[u8]) {
        self.hasher.body(bytes);
    }

    /// What the ledger charges for: the meter's counts, how it ended, and the answer's hash.
    pub fn metered(self, input_tokens: u64, output_tokens: u64, outcome: Outcome) -> Metered {
        Metered { input_tokens, output_tokens, outcome, response_hash: self.hasher.finish() }
    }
}

/// The fields that carry a receipt: the signed one, and the readable ones beside it, which nobody
/// trusts. Headers of a unary answer, trailers of a stream.
pub fn receipt_fields(signed: &Signed<Receipt>, price: Price, claimed: Amount) -> Fields {
    let receipt = signed.unverified();
    let tokens = receipt.input_tokens.saturating_add(receipt.output_tokens);
    let signature = Hex(signed.signature_bytes());
    let owed = receipt.cumulative.saturating_sub(claimed);
    fields([
        (names::RECEIPT, signed.to_base64()),
        (names::QUERY_CHAIN_ID, receipt.account.to_string()),
        (names::TOTAL_TOKENS_USED, tokens.to_string()),
        (names::COST_PER_TOKEN, format!("{}/{}", price.input, price.output)),
        (names::OUTSTANDING_BALANCE, owed.to_string()),
        (names::LAST_SIGNED_QUERY, receipt.request_hash.to_string()),
        (names::SERVER_SIGNATURE, signature.to_string()),
    ])
}

/// The status of a refusal.
pub fn refusal_status(refusal: &Refusal) -> u16 {
    match refusal.blame() {
        Blame::Conflict => 409,
        Blame::Payment => 402,
        Blame::Pod => 503,
    }
}

/// The fields of a refusal: its name, and what the pod knows of the account, so that an honest payer
/// that lost a receipt can catch up. A 402 says in x402's words how to pay.
///
/// `ledger` is the account's, only where the order's signature was good: nobody else learns of it.
pub fn refusal_fields(
    refusal: &Refusal,
    ledger: Option<&Ledger>,
    path: &str,
    offer: &Offer,
    needed: Amount,
) -> Fields {
    let mut fields = fields([(names::REFUSAL, refusal.code().to_owned())]);
    if let Some(receipt) = ledger.and_then(Ledger::last_receipt) {
        fields.push(field(names::LAST_RECEIPT, receipt.to_base64()));
    }
    if let Some(voucher) = ledger.and_then(Ledger::voucher) {
        fields.push(field(names::HIGHEST_VOUCHER, voucher.to_base64()));
    }
    if refusal.blame() == Blame::Payment {
        let required = payment_required(refusal.code(), path, offer, needed);
        fields.push(field(PAYMENT_REQUIRED_HEADER, required.to_header()));
    }
    fields
}

/// x402's content of a 402. Without a chain there is no way to pay: the caller must be on the list.
pub fn payment_required(error: &str, path: &str, offer: &Offer, needed: Amount) -> PaymentRequired {
    let way = PaymentRequirements {
        scheme: "batch-settlement".to_owned(),
        network: format!("eip155:{}", offer.chain_id),
        amount: needed,
        asset: offer.token,
        pay_to: offer.payee,
        max_timeout_seconds: PAYMENT_TIME_S,
        extra: Extra {
            receiver_authorizer: offer.signer,
            withdraw_delay: offer.withdraw_delay.0,
            name: "x402 Batch Settlement".to_owned(),
            version: "1".to_owned(),
        },
    };
    PaymentRequired {
        x402_version: 2,
        error: error.to_owned(),
        resource: Resource { url: path.to_owned() },
        accepts: if offer.chain_id == 0 { Vec::new() } else { vec![way] },
        extensions: Default::default(),
    }
}

fn fields<const N: usize>(pairs: [(&str, String); N]) -> Fields {
    pairs.into_iter().map(|(name, value)| field(name, value)).collect()
}

fn field(name: &str, value: String) -> (String, Vec<u8>) {
    (name.to_owned(), value.into_bytes())
}

/// A signature as 0x and hex.
struct Hex([u8; 65]);

impl std::fmt::Display for Hex {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_without_an_order_is_no_payment() {
        assert!(payment(&Envelope::default()).unwrap().is_none());
    }

    #[test]
    fn each_unreadable_part_is_named() {
        let order = subrosa_protocol::Order {
            account: Default::default(),
            offer: B256::ZERO,
            request_id: Default::default(),
            request_hash: B256::ZERO,
            max_charge: Amount::ZERO,
            ceiling: Amount::ZERO,
            expires: Default::default(),
        };
        let key = subrosa_protocol::SecretKey::from_bytes(&[1; 32]).unwrap();
        let order = Some(Signed::sign(order, &Default::default(), &key).to_bytes());
        let good = Envelope { order, ..Envelope::default() };
        assert!(payment(&good).unwrap().is_some());

        let garbage = || Some(vec![0xff; 40]);
        let wrong = [
            ("order", Envelope { order: garbage(), ..good.clone() }),
            ("channel config", Envelope { channel_config: garbage(), ..good.clone() }),
            ("voucher", Envelope { voucher: garbage(), ..good.clone() }),
            ("last receipt", Envelope { last_receipt: garbage(), ..good.clone() }),
        ];
        for (part, envelope) in wrong {
            assert_eq!(payment(&envelope).unwrap_err(), Unreadable { part });
        }
    }
}
