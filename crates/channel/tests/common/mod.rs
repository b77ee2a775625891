//! A pod with one model and one channel, small enough to read.
#![allow(dead_code, missing_docs, reason = "each test file uses its own part")]

use subrosa_channel::payee::{
    Admitted, Asked, ChainView, Charge, Checked, Decision, Ledgers, Metered, Moment, Payment,
    Record, Refusal, Run, Terms,
};
use subrosa_protocol::*;

pub const NOW: Timestamp = Timestamp(1_000);
pub const DEPOSIT: Amount = Amount(10_000);
/// What each order here allows.
pub const MOST: Amount = Amount(100);

pub struct World {
    pub domain: Domain,
    pub pod: SecretKey,
    pub payer: SecretKey,
    pub offer: Offer,
    pub config: ChannelConfig,
    pub terms: Terms,
}

pub fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes(&[byte; 32]).unwrap()
}

pub fn word(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

pub const MODEL: B256 = B256::repeat_byte(7);

impl World {
    pub fn new() -> World {
        let domain = Domain { chain_id: 31_337, escrow: Address::repeat_byte(9) };
        let (pod, payer) = (key(1), key(2));
        // One unit a token, so that charges read as token counts.
        let price = Price { input: Amount(1_000_000), output: Amount(1_000_000) };
        let model = ModelOffer {
            digest: MODEL,
            price,
            template_bound: 10,
            context_tokens: 4_096,
            output_tokens_max: 512,
        };
        let offer = Offer {
            chain_id: domain.chain_id,
            escrow: domain.escrow,
            token: Address::repeat_byte(4),
            payee: Address::repeat_byte(5),
            signer: pod.address(),
            withdraw_delay: Duration(86_400),
            workload: word(8),
            models: vec![model],
            expires: Timestamp(1_000_000),
        };
        let config = ChannelConfig {
            payer: payer.address(),
            payer_authorizer: payer.address(),
            receiver: offer.payee,
            receiver_authorizer: pod.address(),
            token: offer.token,
            withdraw_delay: offer.withdraw_delay,
            salt: word(3),
        };
        let terms = Terms::new(domain, pod.address(), [offer.clone()], [key(6).address()]);
        World { domain, pod, payer, offer, config, terms }
    }

    pub fn channel(&self) -> ChannelId {
        self.config.id(&self.domain)
    }

    pub fn account(&self) -> Account {
        self.channel().into()
    }

    pub fn ledgers(&self) -> Ledgers {
        Ledgers::new(self.domain)
    }

    /// The order with this id, for the request of the same number, and its voucher.
    pub fn order(&self, id: u8, ceiling: u128) -> Order {
        Order {
            account: self.account(),
            offer: self.offer.digest(&self.domain),
            request_id: RequestId(word(id)),
            request_hash: word(id),
            max_charge: MOST,
            ceiling: Amount(ceiling),
            expires: NOW.after(Duration(900)),
        }
    }

    pub fn voucher(&self, ceiling: u128) -> Signed<Voucher> {
        let voucher = Voucher { channel: self.channel(), ceiling: Amount(ceiling) };
        Signed::sign(voucher, &self.domain, &self.payer)
    }

    /// The payment for an order; a ceiling of zero brings no voucher.
    pub fn payment(&self, order: Order) -> Payment {
        let voucher = (order.ceiling > Amount::ZERO).then(|| self.voucher(order.ceiling.0));
        Payment {
            config: Some(self.config.clone()),
            order: Signed::sign(order, &self.domain, &self.payer),
            voucher,
            last_receipt: None,
        }
    }

    /// 40 bytes, 10 for the template and 50 tokens of answer: 100 at most.
    pub fn asked(&self, id: u8) -> Asked {
        Asked { request_hash: word(id), model: MODEL, body_bytes: 40, max_tokens: 50 }
    }

    pub fn checked(&self, id: u8, ceiling: u128) -> Checked {
        let payment = self.payment(self.order(id, ceiling));
        self.terms.check(payment, &self.asked(id), NOW).unwrap()
    }

    pub fn moment(&self) -> Moment {
        moment_at(NOW)
    }

    pub fn admit(&self, ledgers: &mut Ledgers, id: u8, ceiling: u128) -> Decision {
        ledgers.admit(self.checked(id, ceiling), &self.moment())
    }

    pub fn charge(&self, ledgers: &mut Ledgers, run: Run, output_tokens: u64) -> Charge {
        ledgers.charge(run, &metered(output_tokens), &self.pod, NOW).unwrap()
    }

    /// Admits and charges in one go, and returns the receipt.
    pub fn answer(&self, ledgers: &mut Ledgers, id: u8, ceiling: u128) -> Signed<Receipt> {
        let run = run_of(self.admit(ledgers, id, ceiling));
        self.charge(ledgers, run, 20).receipt
    }
}

pub fn moment_at(now: Timestamp) -> Moment {
    let chain = ChainView {
        balance: DEPOSIT,
        claimed: Amount::ZERO,
        withdraw_requested_at: None,
        seen_at: now,
    };
    Moment { now, chain: Some(chain), remembered: false }
}

/// Ten tokens of prompt and so many of answer.
pub fn metered(output_tokens: u64) -> Metered {
    Metered {
        input_tokens: 10,
        output_tokens,
        outcome: Outcome::Complete,
        response_hash: word(0xaa),
    }
}

pub fn run_of(decision: Decision) -> Run {
    match decision.verdict {
        Ok(Admitted::Run(run)) => run,
        other => panic!("expected a run, got {other:?}"),
    }
}

pub fn refusal_of(decision: Decision) -> Refusal {
    decision.verdict.expect_err("expected a refusal")
}

pub fn restored(world: &World, records: &[Record]) -> Ledgers {
    Ledgers::restore(world.domain, records.iter().cloned()).unwrap()
}
