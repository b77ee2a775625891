//! What a payee's ledger did, as it must reach the disk.

use std::fmt;

use subrosa_protocol::{
    Account, Amount, ChannelConfig, ClaimBatch, Order, Receipt, RequestId, Signed, Voucher,
};

/// One step of a payee's ledger. A ledger is what its records say and nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a step makes two or three, and they go straight to the disk"
)]
pub enum Record {
    /// An order was taken, and its `maxCharge` reserved.
    Admitted {
        /// The order.
        order: Signed<Order>,
    },
    /// An answer was charged. Charge, receipt and slip are one record, so that they share a commit.
    Charged {
        /// The order's id.
        request: RequestId,
        /// Whether this was the free second run of an order that was charged before.
        rerun: bool,
        /// The exact receipt; only these bytes are ever sent.
        receipt: Signed<Receipt>,
        /// The claim over the new total; none for accounts that are no channel, and for free answers.
        slip: Option<Signed<ClaimBatch>>,
    },
    /// The account takes no more orders and no more charges.
    Halted {
        /// The account.
        account: Account,
        /// Why.
        halt: Halt,
    },
    /// An account was seen for the first time.
    Opened {
        /// The account.
        account: Account,
        /// The channel behind it; none for an allow-listed address.
        config: Option<ChannelConfig>,
    },
    /// The payer signed a higher ceiling.
    Raised {
        /// The voucher.
        voucher: Signed<Voucher>,
    },
    /// An order's reservation was given back without a charge.
    Released {
        /// The account.
        account: Account,
        /// The order's id.
        request: RequestId,
    },
}

impl Record {
    /// The account that the record is about.
    pub fn account(&self) -> Account {
        match self {
            Record::Admitted { order } => order.unverified().account,
            Record::Charged { receipt, .. } => receipt.unverified().account,
            Record::Halted { account, .. }
            | Record::Opened { account, .. }
            | Record::Released { account, .. } => *account,
            Record::Raised { voucher } => voucher.unverified().channel.into(),
        }
    }
}

/// Why an account is halted: in each case somebody holds proof of more than this ledger knows, as
/// after a disk was rolled back, and one more receipt would contradict one already given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Halt {
    /// The chain paid out more than this ledger charged.
    ClaimAhead,
    /// The payer holds our receipt for a `seq` that this ledger has not reached.
    ReceiptAhead,
    /// The payer holds our receipt for this ledger's last `seq`, and it is another one.
    ReceiptDiffers,
}

impl Halt {
    /// The number that stands for it on disk.
    pub fn code(self) -> u8 {
        match self {
            Halt::ClaimAhead => 1,
            Halt::ReceiptAhead => 2,
            Halt::ReceiptDiffers => 3,
        }
    }

    /// The reason that a number stands for.
    pub fn from_code(code: u8) -> Option<Halt> {
        match code {
            1 => Some(Halt::ClaimAhead),
            2 => Some(Halt::ReceiptAhead),
            3 => Some(Halt::ReceiptDiffers),
            _ => None,
        }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Halt::ClaimAhead => "the chain paid out more than the ledger charged",
            Halt::ReceiptAhead => "a receipt of this pod is ahead of its ledger",
            Halt::ReceiptDiffers => "a receipt of this pod contradicts its ledger",
        })
    }
}

/// Records that no ledger can have returned in this order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// A receipt does not continue the one before it.
    #[error("receipt {seq} of account {account} does not continue the chain before it")]
    BrokenChain {
        /// The account.
        account: Account,
        /// The receipt's place.
        seq: u64,
    },
    /// Charges passed the ceiling.
    #[error("account {account} was charged {charged} above its ceiling {ceiling}")]
    AboveCeiling {
        /// The account.
        account: Account,
        /// The total.
        charged: Amount,
        /// The ceiling.
        ceiling: Amount,
    },
    /// An order was charged twice.
    #[error("the order {request} of account {account} was charged twice")]
    ChargedTwice {
        /// The account.
        account: Account,
        /// The order's id.
        request: RequestId,
    },
    /// A record about an account that no record opened.
    #[error("a record about account {account} comes before the one that opens it")]
    NotOpened {
        /// The account.
        account: Account,
    },
}
