//! What can be wrong with a receipt.

use subrosa_protocol::{Account, Amount, B256, Receipt, SignatureError, Signed};

/// Receipts that prove a pod's fault to anyone who has the order: one, or two that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The name of the fault: [`Fault::code`].
    pub code: String,
    /// The receipt that shows it.
    pub receipt: Signed<Receipt>,
    /// The receipt that it contradicts, where it takes two.
    pub against: Option<Signed<Receipt>>,
}

/// Why a receipt is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The total passes the ceiling that the payer signed.
    #[error("the receipt's total {cumulative} is above the signed ceiling {ceiling}")]
    AboveCeiling {
        /// The receipt's total.
        cumulative: Amount,
        /// The highest ceiling signed.
        ceiling: Amount,
    },
    /// The receipt and one before or after it do not add up.
    #[error("receipt {seq} does not add up with receipt {neighbour}")]
    BrokenChain {
        /// The receipt's place.
        seq: u64,
        /// The place of the one that it contradicts, 0 for the beginning of the chain.
        neighbour: u64,
    },
    /// The order was charged before, by another receipt.
    #[error("the order was charged already, by receipt {by}")]
    ChargedTwice {
        /// The place of the receipt that charged it.
        by: u64,
    },
    /// Another receipt has the same place: proof that the pod said two things.
    #[error("two different receipts have place {seq}")]
    Equivocation {
        /// The place.
        seq: u64,
    },
    /// The signature is not the pod's, so the receipt proves nothing about the pod.
    #[error("the receipt is not the pod's: {0}")]
    NotSigned(SignatureError),
    /// More than the order allows.
    #[error("charged {charged}, the order allows {max}")]
    OverCharged {
        /// What was charged.
        charged: Amount,
        /// The order's `maxCharge`.
        max: Amount,
    },
    /// More than the offer's price for these tokens.
    #[error("charged {charged}, the price of these tokens is {price}")]
    OverPriced {
        /// What was charged.
        charged: Amount,
        /// What the tokens cost under the offer.
        price: Amount,
    },
    /// No order of this ledger asked for it.
    #[error("the receipt answers no order of this account")]
    UnknownRequest,
    /// The receipt is about another account.
    #[error("the receipt is for account {got}")]
    WrongAccount {
        /// Which.
        got: Account,
    },
    /// Another model answered.
    #[error("the receipt names model {got}, {expected} was ordered")]
    WrongModel {
        /// The receipt's.
        got: B256,
        /// The order's.
        expected: B256,
    },
    /// The receipt names another offer.
    #[error("the receipt names offer {got}, {expected} was taken")]
    WrongOffer {
        /// The receipt's.
        got: B256,
        /// The order's.
        expected: B256,
    },
    /// The bytes that came are not the bytes that were answered.
    #[error("the answer that came is not the answer that the receipt names")]
    WrongResponse,
    /// Another workload answered.
    #[error("the receipt names workload {got}, {expected} was attested")]
    WrongWorkload {
        /// The receipt's.
        got: B256,
        /// The attested one.
        expected: B256,
    },
}

impl Fault {
    /// The fault's name, as evidence and exports carry it.
    pub fn code(&self) -> &'static str {
        match self {
            Fault::AboveCeiling { .. } => "above_ceiling",
            Fault::BrokenChain { .. } => "broken_chain",
            Fault::ChargedTwice { .. } => "charged_twice",
            Fault::Equivocation { .. } => "equivocation",
            Fault::NotSigned(_) => "not_signed",
            Fault::OverCharged { .. } => "over_charged",
            Fault::OverPriced { .. } => "over_priced",
            Fault::UnknownRequest => "unknown_request",
            Fault::WrongAccount { .. } => "wrong_account",
            Fault::WrongModel { .. } => "wrong_model",
            Fault::WrongOffer { .. } => "wrong_offer",
            Fault::WrongResponse => "wrong_response",
            Fault::WrongWorkload { .. } => "wrong_workload",
        }
    }

    /// Whether the pod's own signature proves it: then the pod gets no further order.
    ///
    /// What it did not sign could come from anyone. A receipt for another order or account is the
    /// wrong paper, not a lie. An answer that does not fit could have been damaged by our own side, and
    /// a total above every ceiling that we remember could stand under a voucher that we lost.
    pub fn is_proof(&self) -> bool {
        !matches!(
            self,
            Fault::AboveCeiling { .. }
                | Fault::NotSigned(_)
                | Fault::UnknownRequest
                | Fault::WrongAccount { .. }
                | Fault::WrongResponse
        )
    }
}
