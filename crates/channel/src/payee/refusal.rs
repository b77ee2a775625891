//! Why a pod does not take an order.

use subrosa_protocol::{Account, Address, Amount, Duration, RequestId, SignatureError, Timestamp};

use super::Halt;

/// What kind of answer a refusal calls for; whether trying again can help is in here, not in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The order collides with what the ledger knows: 409.
    Conflict,
    /// The payer must pay otherwise: 402, with what the pod knows so that the payer can catch up.
    Payment,
    /// The pod cannot say now: 503, try again shortly.
    Pod,
}

/// Why a pod does not take an order (spec/channel.md 2 and 3). The ledger stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The order names another account than the channel config beside it.
    #[error("the order is for account {order}, the channel config makes {config}")]
    AccountMismatch {
        /// The order's account.
        order: Account,
        /// The account of the channel config.
        config: Account,
    },
    /// The answer was charged and cannot be given again: it was already, or it had broken off.
    #[error(
        "the order {request} was answered and charged already; fetch its receipt, or order anew"
    )]
    AnsweredAlready {
        /// The order's id.
        request: RequestId,
    },
    /// The channel's deposit does not cover the request.
    #[error("the channel holds {balance}, {needed} is needed; deposit more")]
    BalanceTooLow {
        /// What the channel holds in all.
        balance: Amount,
        /// What was charged, is reserved, and this request's most.
        needed: Amount,
    },
    /// The order and the voucher beside it name different ceilings.
    #[error("the order names ceiling {order}, the voucher beside it {voucher}")]
    CeilingMismatch {
        /// The order's ceiling.
        order: Amount,
        /// The voucher's ceiling, zero where there is no voucher.
        voucher: Amount,
    },
    /// The highest ceiling that the payer signed does not cover the request.
    #[error("the highest ceiling is {highest}, {needed} is needed; sign a higher voucher")]
    CeilingTooLow {
        /// The highest ceiling seen.
        highest: Amount,
        /// What was charged, is reserved, and this request's most.
        needed: Amount,
    },
    /// The pod's view of the chain is too old to know whether a withdrawal has begun.
    #[error("the pod's view of the chain is {age_s} s old; try again shortly", age_s = age.0)]
    ChainViewStale {
        /// How old it is.
        age: Duration,
    },
    /// The chain does not know the channel, or the pod has not seen it there yet.
    #[error("the channel is not on the chain as this pod sees it; deposit, then wait for a block")]
    ChannelUnknown,
    /// The channel is halted: only its settlement is left.
    #[error("the channel is halted: {halt}; open a new one")]
    Halted {
        /// Why.
        halt: Halt,
    },
    /// The same order is being answered right now.
    #[error("the order {request} is being answered; wait, then fetch its receipt or retry")]
    InFlight {
        /// The order's id.
        request: RequestId,
    },
    /// The pod's last receipt beside the order is not this pod's, or of another account.
    #[error("the last receipt beside the order is not one of this pod for this account")]
    LastReceiptForeign,
    /// The order allows less than the request can cost.
    #[error("the order allows {got}, the request can cost {needed}; raise maxCharge")]
    MaxChargeTooLow {
        /// What the order allows.
        got: Amount,
        /// The most that the request can cost.
        needed: Amount,
    },
    /// The offer does not have the model.
    #[error("the model is not in the offer")]
    ModelNotOffered,
    /// The address is not on the pod's list, and there is no channel config.
    #[error("no channel config, and the account is not on this pod's allow-list")]
    NotAllowed,
    /// The offer ended.
    #[error("the offer ended at {expired}; fetch the current one")]
    OfferExpired {
        /// When.
        expired: Timestamp,
    },
    /// The offer is not one of this pod's.
    #[error("the offer is not one of this pod's; fetch the current one")]
    OfferUnknown,
    /// The order ended.
    #[error("the order ended at {expired}; make a new one")]
    OrderExpired {
        /// When.
        expired: Timestamp,
    },
    /// The order lasts longer than any order may.
    #[error("the order lasts until {expires}, at most {latest} is taken")]
    OrderTooLong {
        /// When it ends.
        expires: Timestamp,
        /// The latest end that is taken.
        latest: Timestamp,
    },
    /// The order's signature is not the payer's.
    #[error("the order's signature does not count: {0}")]
    OrderSignature(SignatureError),
    /// The id was used for something else.
    #[error("the order id {request} was used for another order; draw a new one")]
    OrderIdUsed {
        /// The order's id.
        request: RequestId,
    },
    /// The order is for another request than the one it came with.
    #[error("the order binds another request than the one it came with")]
    RequestMismatch,
    /// The channel pays somebody else.
    #[error("the channel's receiver is {got}, it must be {expected}")]
    ReceiverMismatch {
        /// The config's receiver.
        got: Address,
        /// This pod's payee.
        expected: Address,
    },
    /// The channel's claims are signed by somebody else.
    #[error("the channel's receiverAuthorizer is {got}, it must be {expected}")]
    ReceiverAuthorizerMismatch {
        /// The config's receiverAuthorizer.
        got: Address,
        /// This pod's signer.
        expected: Address,
    },
    /// The channel is in another token.
    #[error("the channel's token is {got}, it must be {expected}")]
    TokenMismatch {
        /// The config's token.
        got: Address,
        /// The offer's token.
        expected: Address,
    },
    /// The voucher is for another channel.
    #[error("the voucher is for another channel than the order")]
    VoucherChannel,
    /// The voucher's signature is not the payer's.
    #[error("the voucher's signature does not count: {0}")]
    VoucherSignature(SignatureError),
    /// The channel's withdrawal delay differs from the offer's.
    #[error("the channel's withdrawDelay is {got_s} s, it must be {expected_s} s", got_s = got.0, expected_s = expected.0)]
    WithdrawDelayMismatch {
        /// The config's delay.
        got: Duration,
        /// The offer's delay.
        expected: Duration,
    },
    /// The payer has begun to withdraw: nothing new is taken on the channel.
    #[error("a withdrawal is pending on the channel; open a new one")]
    WithdrawPending,
}

impl Refusal {
    /// The refusal's name on the wire: x402's, where x402 has one.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::AccountMismatch { .. } => "invalid_batch_settlement_evm_channel_id_mismatch",
            Refusal::AnsweredAlready { .. } => "answered_already",
            Refusal::BalanceTooLow { .. } => {
                "invalid_batch_settlement_evm_cumulative_exceeds_balance"
            }
            Refusal::CeilingMismatch { .. } => "ceiling_mismatch",
            Refusal::CeilingTooLow { .. } => {
                "invalid_batch_settlement_evm_cumulative_amount_mismatch"
            }
            Refusal::ChainViewStale { .. } => "chain_view_stale",
            Refusal::ChannelUnknown => "invalid_batch_settlement_evm_channel_not_found",
            Refusal::Halted { .. } => "channel_halted",
            Refusal::InFlight { .. } => "order_in_flight",
            Refusal::LastReceiptForeign => "last_receipt_foreign",
            Refusal::MaxChargeTooLow { .. } => "max_charge_too_low",
            Refusal::ModelNotOffered => "model_not_offered",
            Refusal::NotAllowed => "invalid_batch_settlement_evm_missing_channel",
            Refusal::OfferExpired { .. } => "offer_expired",
            Refusal::OfferUnknown => "offer_unknown",
            Refusal::OrderExpired { .. } => "order_expired",
            Refusal::OrderTooLong { .. } => "order_too_long",
            Refusal::OrderSignature(_) => "order_signature",
            Refusal::OrderIdUsed { .. } => "order_id_used",
            Refusal::RequestMismatch => "request_mismatch",
            Refusal::ReceiverMismatch { .. } => "invalid_batch_settlement_evm_receiver_mismatch",
            Refusal::ReceiverAuthorizerMismatch { .. } => {
                "invalid_batch_settlement_evm_receiver_authorizer_mismatch"
            }
            Refusal::TokenMismatch { .. } => "invalid_batch_settlement_evm_token_mismatch",
            Refusal::VoucherChannel => "voucher_channel",
            Refusal::VoucherSignature(_) => "invalid_batch_settlement_evm_voucher_signature",
            Refusal::WithdrawDelayMismatch { .. } => {
                "invalid_batch_settlement_evm_withdraw_delay_mismatch"
            }
            Refusal::WithdrawPending => "withdraw_pending",
        }
    }

    /// What kind of answer it calls for.
    pub fn blame(&self) -> Blame {
        match self {
            Refusal::AnsweredAlready { .. }
            | Refusal::InFlight { .. }
            | Refusal::OrderIdUsed { .. } => Blame::Conflict,
            Refusal::ChainViewStale { .. } => Blame::Pod,
            _ => Blame::Payment,
        }
    }
}
