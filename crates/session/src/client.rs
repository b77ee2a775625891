//! The client's side: one question to one pod, and what to do with whatever comes back.

use bytes::Bytes;
use rand::CryptoRng;
use subrosa_channel::payee;
use subrosa_channel::payer::{self, Draft, Fault, OrderRefusal, Record};
use subrosa_protocol::{
    B256, Duration, Message, Order, Outcome, Receipt, RequestId, SecretKey, Signed, Timestamp,
    Voucher, hash,
};
use subrosa_seal::{Envelope, Fields, InnerRequest, Pacing, ResponseEvent, field};
use subrosa_verifier::AttestedOffer;

use crate::names;
use crate::receipts::receipt_in;

/// How long an order lasts: longer than the ten minutes for which a pod remembers its answer.
pub const ORDER_LIFE: Duration = Duration(900);

/// The body of a refusal is read up to this length; what is longer is cut.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// What is asked, as it will stand inside the seal.
#[derive(Clone)]
pub struct Question {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// Headers, `content-type` among them.
    pub headers: Fields,
    /// The body.
    pub body: Vec<u8>,
    /// The digest of the model that must answer.
    pub model: B256,
    /// The most tokens that the answer may have, as the body says.
    pub max_tokens: u64,
}

/// One question to one pod, under one order.
pub struct Asking {
    question: Question,
    salt: [u8; 32],
    draft: Draft,
    order: Signed<Order>,
    voucher: Option<Signed<Voucher>>,
    tries: Tries,
    incoming: Incoming,
}

/// What was tried again already: each thing once.
#[derive(Default)]
struct Tries {
    connected_again: bool,
    keys_refreshed: bool,
    ordered_again: bool,
}

/// What came of the answer so far.
#[expect(clippy::large_enum_variant, reason = "one exists for each question")]
enum Incoming {
    /// Nothing that counts.
    Nothing,
    /// The head of an answer, held back until its first byte.
    Head { status: u16, headers: Fields },
    /// An answer under way: nothing is tried again from here on.
    Answer { hasher: hash::ResponseHasher, receipt: Option<Signed<Receipt>> },
    /// The pod does not answer.
    Refusal { status: u16, headers: Fields, body: Vec<u8> },
}

/// What goes on to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The answer begins.
    Head {
        /// The HTTP status.
        status: u16,
        /// The headers.
        headers: Fields,
    },
    /// Some more of its body.
    Body(Bytes),
}

/// What to do when the answer did not come to its authenticated end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Seal and send the same order again to the same pod: it charges an order once.
    Again,
    /// Fetch the pod's keys anew, then seal and send the same order again.
    AgainWithFreshKeys,
    /// Tell the caller: a part of the answer was delivered, so it is not begun again elsewhere.
    BrokenOff,
    /// Ask another pod, under another order. This pod may still charge up to its reservation.
    FailOver,
}

/// How a question ended at its pod. The records must be persisted in every case.
#[derive(Debug)]
#[must_use = "the records must reach the disk"]
pub struct Conclusion {
    /// What must be on disk.
    pub records: Vec<Record>,
    /// What came of it.
    pub ending: Ending,
}

/// What came of a question at its pod.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one exists for each question")]
pub enum Ending {
    /// Answered, and the receipt is good.
    Answered {
        /// The receipt.
        receipt: Signed<Receipt>,
    },
    /// The pod has this order's first run under way: send the same order again after this time.
    AgainLater {
        /// Seconds.
        after_s: u64,
    },
    /// Ask another pod.
    FailOver {
        /// The refusal's name, for people.
        reason: String,
    },
    /// Signed anew under a higher ceiling: once the records are on disk, seal and send it again.
    OrderedAgain,
    /// The request itself is at fault, so another pod would say the same: pass this on.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The headers.
        headers: Fields,
        /// The body.
        body: Vec<u8>,
    },
    /// The whole answer was delivered, but no good receipt came with it.
    Unreceipted {
        /// What is wrong with the one that came; none where none came: fetch it by order id.
        fault: Option<Fault>,
    },
}

/// Why a question cannot be asked of a pod.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskRefusal {
    /// The offer lacks the model.
    #[error("the pod's offer does not have the model")]
    ModelNotOffered,
    /// The ledger signs no order.
    #[error(transparent)]
    Order(#[from] OrderRefusal),
}

impl Asking {
    /// Orders a question from an attested pod. Persist the records before [`request`](Asking::request)
    /// leaves.
    ///
    /// # Errors
    /// [`AskRefusal`], and nothing is signed.
    pub fn begin(
        question: Question,
        offer: &AttestedOffer,
        ledger: &mut payer::Ledger,
        key: &SecretKey,
        rng: &mut impl CryptoRng,
        now: Timestamp,
    ) -> Result<(Asking, Vec<Record>), AskRefusal> {
        let model = offer.model(&question.model).ok_or(AskRefusal::ModelNotOffered)?;
        let salt = draw(rng);
        let body_bytes = u64::try_from(question.body.len()).expect("a length fits 64 bits");
        let draft = Draft {
            offer: offer.digest(),
            model: model.digest,
            price: model.price,
            workload: offer.workload,
            request_id: RequestId(draw(rng).into()),
            request_hash: question.hash(&salt),
            max_charge: model.max_charge(body_bytes, question.max_tokens),
            expires: now.after(ORDER_LIFE),
        };
        let placed = ledger.order(&draft, key)?;
        let asking = Asking {
            question,
            salt,
            draft,
            order: placed.order,
            voucher: placed.voucher,
            tries: Tries::default(),
            incoming: Incoming::Nothing,
        };
        Ok((asking, placed.records))
    }

    /// The order's id, by which its receipt is kept and fetched.
    pub fn order_id(&self) -> RequestId {
        self.draft.request_id
    }

    /// The order as it was last signed.
    pub fn order(&self) -> &Signed<Order> {
        &self.order
    }

    /// The order's salt, with which the answer's hash is checked again later.
    pub fn salt(&self) -> &[u8; 32] {
        &self.salt
    }

    /// Whether a part of the answer was delivered.
    pub fn has_begun(&self) -> bool {
        matches!(self.incoming, Incoming::Answer { .. })
    }

    /// Whether the pod says that it cut the answer short, because it took the caller for gone. A pod
    /// tells such an answer again to whoever sends the order again, so that somebody on the way who
    /// breaks a connection could otherwise have half of an answer pass for a whole one.
    pub fn was_cut(&self) -> bool {
        let Incoming::Answer { receipt: Some(receipt), .. } = &self.incoming else { return false };
        receipt.unverified().outcome == Outcome::Cancelled
    }

    /// What to seal: the same each time but for the time and the last receipt, which no hash covers.
    pub fn request(&self, ledger: &payer::Ledger, pacing: Pacing, now: Timestamp) -> InnerRequest {
        let question = self.question.clone();
        let envelope = Envelope {
            channel_config: ledger.config().map(Message::encode),
            order: Some(self.order.to_bytes()),
            voucher: self.voucher.as_ref().map(Signed::to_bytes),
            last_receipt: ledger.last_receipt().map(Signed::to_bytes),
            time: now,
            salt: self.salt,
        };
        let Question { method, path, headers, body, .. } = question;
        InnerRequest { method, path, headers, body, envelope, pacing }
    }

    /// Takes what the seal opened, and returns what goes on to the caller.
    pub fn on_event(&mut self, event: ResponseEvent) -> Vec<Delivery> {
        match event {
            ResponseEvent::Head { status, headers } => {
                self.incoming = match status {
                    200..=299 => Incoming::Head { status, headers },
                    _ => Incoming::Refusal { status, headers, body: Vec::new() },
                };
                Vec::new()
            }
            ResponseEvent::Body(bytes) => self.on_body(bytes),
            ResponseEvent::Trailers(trailers) => {
                if let Incoming::Answer { receipt, .. } = &mut self.incoming {
                    *receipt = receipt_in(&trailers).or(receipt.take());
                }
                Vec::new()
            }
            ResponseEvent::End => self.start().into_iter().collect(),
        }
    }

    fn on_body(&mut self, bytes: Bytes) -> Vec<Delivery> {
        if let Incoming::Refusal { body, .. } = &mut self.incoming {
            let room = REFUSAL_BYTES_MAX.saturating_sub(body.len());
            body.extend_from_slice(&bytes[..bytes.len().min(room)]);
            return Vec::new();
        }
        let mut deliveries: Vec<Delivery> = self.start().into_iter().collect();
        if let Incoming::Answer { hasher, .. } = &mut self.incoming {
            hasher.body(&bytes);
            deliveries.push(Delivery::Body(bytes));
        }
        deliveries
    }

    /// Lets the head go that was held back so that a lost connection could still be tried again.
    fn start(&mut self) -> Option<Delivery> {
        let Incoming::Head { status, headers } = &self.incoming else { return None };
        let (status, headers) = (*status, headers.clone());
        let content_type = text(&headers, "content-type");
        let hasher = hash::ResponseHasher::new(&self.salt, status, content_type);
        self.incoming = Incoming::Answer { hasher, receipt: receipt_in(&headers) };
        Some(Delivery::Head { status, headers })
    }

    /// The connection was lost, or the stream was cut or altered, before its authenticated end.
    pub fn on_lost(&mut self) -> Next {
        if self.has_begun() {
            return Next::BrokenOff;
        }
        self.incoming = Incoming::Nothing;
        match std::mem::replace(&mut self.tries.connected_again, true) {
            false => Next::Again,
            true => Next::FailOver,
        }
    }

    /// The pod said, outside the seal, that it does not know the key. Anyone on the way could say so,
    /// so it is believed once, and costs no more than fresh keys.
    pub fn on_stale_key(&mut self) -> Next {
        match std::mem::replace(&mut self.tries.keys_refreshed, true) {
            false => Next::AgainWithFreshKeys,
            true => Next::FailOver,
        }
    }

    /// The answer came to its authenticated end.
    pub fn conclude(&mut self, ledger: &mut payer::Ledger, key: &SecretKey) -> Conclusion {
        match std::mem::replace(&mut self.incoming, Incoming::Nothing) {
            Incoming::Answer { hasher, receipt } => receipted(ledger, hasher.finish(), receipt),
            Incoming::Refusal { status: 402, headers, .. } => self.unpaid(ledger, key, &headers),
            Incoming::Refusal { status: 409, headers, .. } => self.conflict(&headers),
            Incoming::Refusal { status, headers, body } => {
                self.refused(ledger, status, headers, body)
            }
            // An end without a head: no pod of ours does that.
            Incoming::Head { .. } | Incoming::Nothing => self.fail_over(ledger, "empty_answer"),
        }
    }

    /// 402: catch up with the pod where its word is signed, then order again once.
    fn unpaid(
        &mut self,
        ledger: &mut payer::Ledger,
        key: &SecretKey,
        headers: &Fields,
    ) -> Conclusion {
        let reason = text(headers, names::REFUSAL).to_owned();
        let receipt = signed_in(headers, names::LAST_RECEIPT);
        let (mut records, caught_up) =
            ledger.resync(receipt, signed_in(headers, names::HIGHEST_VOUCHER));
        let tried = std::mem::replace(&mut self.tries.ordered_again, true);
        if tried || caught_up.is_err() || !can_pay_better(&reason) {
            return self.fail_over(ledger, &reason).after(records);
        }
        ledger.resend_voucher();
        // The same id and hash: whatever the pod kept of the first, it charges this id once.
        match ledger.order(&self.draft, key) {
            Ok(placed) => {
                records.extend(placed.records);
                (self.order, self.voucher) = (placed.order, placed.voucher);
                Conclusion { records, ending: Ending::OrderedAgain }
            }
            Err(refusal) => self.fail_over(ledger, &refusal.to_string()).after(records),
        }
    }

    /// 409: the order stands, so it stays open in the ledger.
    fn conflict(&mut self, headers: &Fields) -> Conclusion {
        let reason = text(headers, names::REFUSAL).to_owned();
        let in_flight = reason == IN_FLIGHT;
        let waited = std::mem::replace(&mut self.tries.connected_again, true);
        let ending = match in_flight && !waited {
            true => Ending::AgainLater { after_s: IN_FLIGHT_WAIT_S },
            false => Ending::FailOver { reason },
        };
        Conclusion { records: Vec::new(), ending }
    }

    fn refused(
        &mut self,
        ledger: &mut payer::Ledger,
        status: u16,
        headers: Fields,
        body: Vec<u8>,
    ) -> Conclusion {
        match status {
            // The request is at fault, not the pod; 408 and 429 are the pod's load.
            400..=499 if !matches!(status, 408 | 429) => Conclusion {
                records: ledger.drop_order(self.draft.request_id),
                ending: Ending::Refused { status, headers, body },
            },
            _ => self.fail_over(ledger, &format!("status_{status}")),
        }
    }

    /// Attested code refused the order inside the seal, so it charges nothing for it.
    fn fail_over(&self, ledger: &mut payer::Ledger, reason: &str) -> Conclusion {
        let records = ledger.drop_order(self.draft.request_id);
        Conclusion { records, ending: Ending::FailOver { reason: reason.to_owned() } }
    }
}

/// The name under which a pod says that the order's first run is still under way.
const IN_FLIGHT: &str = "order_in_flight";

/// How long to leave a run that is under way before asking for it again.
const IN_FLIGHT_WAIT_S: u64 = 2;

impl Conclusion {
    /// With these records before its own.
    fn after(mut self, mut records: Vec<Record>) -> Conclusion {
        records.append(&mut self.records);
        Conclusion { records, ending: self.ending }
    }
}

impl Question {
    fn hash(&self, salt: &[u8; 32]) -> B256 {
        let content_type = text(&self.headers, "content-type");
        hash::request_hash(salt, &self.method, &self.path, content_type, &self.body)
    }
}

/// Whether a refusal goes away when the payer catches up and signs a higher ceiling.
fn can_pay_better(code: &str) -> bool {
    let zero = subrosa_protocol::Amount::ZERO;
    code == payee::Refusal::CeilingTooLow { highest: zero, needed: zero }.code()
}

fn receipted(
    ledger: &mut payer::Ledger,
    response: B256,
    receipt: Option<Signed<Receipt>>,
) -> Conclusion {
    let Some(receipt) = receipt else {
        return Conclusion { records: Vec::new(), ending: Ending::Unreceipted { fault: None } };
    };
    let verdict = ledger.accept(receipt.clone(), Some(response));
    let ending = match verdict.outcome {
        Ok(_) => Ending::Answered { receipt },
        Err(fault) => Ending::Unreceipted { fault: Some(fault) },
    };
    Conclusion { records: verdict.records, ending }
}

fn signed_in<T: Message>(fields: &Fields, name: &str) -> Option<Signed<T>> {
    Signed::from_base64(std::str::from_utf8(field(fields, name)?).ok()?).ok()
}

fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    field(fields, name).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
}

/// 32 random bytes.
pub(crate) fn draw(rng: &mut impl CryptoRng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}
