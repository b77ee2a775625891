//! What a payer's ledger did, as it must reach the disk.

use subrosa_protocol::{
    Account, Address, Amount, B256, ChannelConfig, Order, Price, Receipt, RequestId, Signed,
    Voucher,
};

use super::Evidence;

/// One step of a payer's ledger. A ledger is what its records say and nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a step makes two or three, and they go straight to the disk"
)]
pub enum Record {
    /// An order came to nothing: the pod refused it inside the seal, or it lapsed unanswered.
    Dropped {
        /// The account.
        account: Account,
        /// The order's id.
        request: RequestId,
    },
    /// The pod signed something that contradicts the order, its offer, or itself.
    Faulted {
        /// The account.
        account: Account,
        /// What it signed.
        evidence: Evidence,
    },
    /// The chain shows this much deposited.
    Funded {
        /// The account.
        account: Account,
        /// What the channel holds in all.
        balance: Amount,
    },
    /// An account was opened with a pod.
    Opened {
        /// The account.
        account: Account,
        /// The pod's signer.
        signer: Address,
        /// The channel; none for an allow-listed address.
        config: Option<ChannelConfig>,
    },
    /// An order was signed. It may not leave before this is on disk.
    Ordered {
        /// The order.
        order: Signed<Order>,
        /// The digest of the model that was asked.
        model: B256,
        /// What tokens cost under the offer.
        price: Price,
        /// The digest of the keyset and workload that must answer.
        workload: B256,
    },
    /// A higher ceiling was signed. It may not leave before this is on disk.
    Raised {
        /// The voucher.
        voucher: Signed<Voucher>,
    },
    /// A receipt was believed.
    Received {
        /// The receipt.
        receipt: Signed<Receipt>,
        /// The order that it answers; none for one adopted after this side lost its records.
        request: Option<RequestId>,
    },
}

impl Record {
    /// The account that the record is about.
    pub fn account(&self) -> Account {
        match self {
            Record::Dropped { account, .. }
            | Record::Faulted { account, .. }
            | Record::Funded { account, .. }
            | Record::Opened { account, .. } => *account,
            Record::Ordered { order, .. } => order.unverified().account,
            Record::Raised { voucher } => voucher.unverified().channel.into(),
            Record::Received { receipt, .. } => receipt.unverified().account,
        }
    }
}
