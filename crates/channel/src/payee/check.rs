//! The part of admission that needs no ledger: signatures, names, prices, times.

use std::collections::BTreeSet;

use subrosa_protocol::{
    Account, Address, Amount, B256, ChannelConfig, Domain, Message, Offer, Order, Price, Receipt,
    Signed, Timestamp, Voucher,
};

use super::Refusal;
use crate::ORDER_LIFE_MAX;

/// What a pod holds requests to: where it is, who signs for it, its offers, its free callers.
#[derive(Clone, Debug)]
pub struct Terms {
    domain: Domain,
    signer: Address,
    offers: Vec<(B256, Offer)>,
    allowed: BTreeSet<Address>,
}

/// The payment that came sealed with a request, parsed and not yet believed.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The channel; none where the account is an allow-listed address.
    pub config: Option<ChannelConfig>,
    /// The order.
    pub order: Signed<Order>,
    /// The voucher, where the ceiling must rise.
    pub voucher: Option<Signed<Voucher>>,
    /// The last receipt that the payer holds of this account.
    pub last_receipt: Option<Signed<Receipt>>,
}

/// What the request asks for, as the pod itself read it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The hash of the request that the order came with.
    pub request_hash: B256,
    /// The digest of the model that will answer.
    pub model: B256,
    /// The length of the body.
    pub body_bytes: u64,
    /// The most tokens that the answer may have.
    pub max_tokens: u64,
}

/// A payment whose signatures, names, prices and times are good; only the ledger can still refuse it.
#[derive(Clone, Debug)]
pub struct Checked {
    pub(super) config: Option<ChannelConfig>,
    pub(super) order: Signed<Order>,
    pub(super) voucher: Option<Signed<Voucher>>,
    pub(super) last_receipt: Option<Signed<Receipt>>,
    pub(super) model: B256,
    pub(super) price: Price,
    pub(super) workload: B256,
}

impl Checked {
    /// The account that the order is for.
    pub fn account(&self) -> Account {
        self.order.unverified().account
    }

    /// The order.
    pub fn order(&self) -> &Order {
        self.order.unverified()
    }
}

impl Terms {
    /// The terms of a pod with these offers (the current one and those before it that still run) and
    /// these addresses that ask without a channel.
    pub fn new(
        domain: Domain,
        signer: Address,
        offers: impl IntoIterator<Item = Offer>,
        allowed: impl IntoIterator<Item = Address>,
    ) -> Terms {
        let offers = offers.into_iter().map(|offer| (offer.digest(&domain), offer)).collect();
        Terms { domain, signer, offers, allowed: allowed.into_iter().collect() }
    }

    /// Where signatures count.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The pod's signer.
    pub fn signer(&self) -> Address {
        self.signer
    }

    /// The offer with this digest.
    pub fn offer(&self, digest: &B256) -> Option<&Offer> {
        self.offers.iter().find(|(known, _)| known == digest).map(|(_, offer)| offer)
    }

    /// Checks everything about a payment that needs no ledger (spec/channel.md 2).
    ///
    /// # Errors
    /// The first [`Refusal`] in the order of the specification.
    pub fn check(
        &self,
        payment: Payment,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<Checked, Refusal> {
        let order = self.check_order(&payment, asked.request_hash, now)?.clone();
        let offer = self.current_offer(&order, now)?;
        let model = offer.model(&asked.model).ok_or(Refusal::ModelNotOffered)?;
        if let Some(config) = &payment.config {
            self.check_channel(config, offer)?;
        }
        self.check_voucher(&payment)?;
        self.check_last_receipt(&payment)?;

        let needed = model.max_charge(asked.body_bytes, asked.max_tokens);
        if order.max_charge < needed {
            return Err(Refusal::MaxChargeTooLow { got: order.max_charge, needed });
        }
        Ok(Checked {
            model: model.digest,
            price: model.price,
            workload: offer.workload,
            config: payment.config,
            order: payment.order,
            voucher: payment.voucher,
            last_receipt: payment.last_receipt,
        })
    }

    /// Checks that the owner of an account asks for something of its own, such as a receipt: a good
    /// order with `maxCharge` 0 that binds this request. It reserves nothing and leaves no record.
    ///
    /// # Errors
    /// A [`Refusal`] of the order, or [`Refusal::CeilingMismatch`] where it offers money.
    pub fn authorise(
        &self,
        payment: &Payment,
        request_hash: B256,
        now: Timestamp,
    ) -> Result<Account, Refusal> {
        let order = self.check_order(payment, request_hash, now)?;
        // An order that could be charged must not pass for a question about receipts.
        if order.max_charge != Amount::ZERO || order.ceiling != Amount::ZERO {
            return Err(Refusal::CeilingMismatch {
                order: order.max_charge,
                voucher: Amount::ZERO,
            });
        }
        Ok(order.account)
    }

    fn check_order<'a>(
        &self,
        payment: &'a Payment,
        request_hash: B256,
        now: Timestamp,
    ) -> Result<&'a Order, Refusal> {
        let authorizer = self.authorizer(payment)?;
        let order =
            payment.order.verify(&self.domain, authorizer).map_err(Refusal::OrderSignature)?;
        if order.request_hash != request_hash {
            return Err(Refusal::RequestMismatch);
        }
        if order.expires <= now {
            return Err(Refusal::OrderExpired { expired: order.expires });
        }
        let latest = now.after(ORDER_LIFE_MAX);
        if order.expires > latest {
            return Err(Refusal::OrderTooLong { expires: order.expires, latest });
        }
        Ok(order)
    }

    /// Whose signature speaks for the account.
    fn authorizer(&self, payment: &Payment) -> Result<Address, Refusal> {
        let account = payment.order.unverified().account;
        match &payment.config {
            Some(config) => {
                let made = Account::from(config.id(&self.domain));
                if made != account {
                    return Err(Refusal::AccountMismatch { order: account, config: made });
                }
                Ok(config.payer_authorizer)
            }
            None => account
                .as_address()
                .filter(|address| self.allowed.contains(address))
                .ok_or(Refusal::NotAllowed),
        }
    }

    fn current_offer(&self, order: &Order, now: Timestamp) -> Result<&Offer, Refusal> {
        let offer = self.offer(&order.offer).ok_or(Refusal::OfferUnknown)?;
        if offer.expires <= now {
            return Err(Refusal::OfferExpired { expired: offer.expires });
        }
        Ok(offer)
    }

    fn check_channel(&self, config: &ChannelConfig, offer: &Offer) -> Result<(), Refusal> {
        if config.token != offer.token {
            return Err(Refusal::TokenMismatch { got: config.token, expected: offer.token });
        }
        if config.receiver != offer.payee {
            return Err(Refusal::ReceiverMismatch { got: config.receiver, expected: offer.payee });
        }
        if config.receiver_authorizer != self.signer {
            let got = config.receiver_authorizer;
            return Err(Refusal::ReceiverAuthorizerMismatch { got, expected: self.signer });
        }
        if config.withdraw_delay != offer.withdraw_delay {
            let (got, expected) = (config.withdraw_delay, offer.withdraw_delay);
            return Err(Refusal::WithdrawDelayMismatch { got, expected });
        }
        Ok(())
    }

    fn check_voucher(&self, payment: &Payment) -> Result<(), Refusal> {
        let order = payment.order.unverified();
        let Some(voucher) = &payment.voucher else {
            return match order.ceiling {
                Amount::ZERO => Ok(()),
                ceiling => Err(Refusal::CeilingMismatch { order: ceiling, voucher: Amount::ZERO }),
            };
        };
        if Account::from(voucher.unverified().channel) != order.account {
            return Err(Refusal::VoucherChannel);
        }
        // Only a channel has vouchers; an allow-listed address padded to 32 bytes is none.
        let config = payment.config.as_ref().ok_or(Refusal::VoucherChannel)?;
        let voucher = voucher
            .verify(&self.domain, config.payer_authorizer)
            .map_err(Refusal::VoucherSignature)?;
        if voucher.ceiling != order.ceiling {
            let (order, voucher) = (order.ceiling, voucher.ceiling);
            return Err(Refusal::CeilingMismatch { order, voucher });
        }
        Ok(())
    }

    fn check_last_receipt(&self, payment: &Payment) -> Result<(), Refusal> {
        let Some(receipt) = &payment.last_receipt else { return Ok(()) };
        let ours = receipt.verify(&self.domain, self.signer).is_ok();
        if ours && receipt.unverified().account == payment.order.unverified().account {
            Ok(())
        } else {
            Err(Refusal::LastReceiptForeign)
        }
    }
}
