//! Which channels to claim now: the rule alone (spec/pod.md 9).

use subrosa_chain::ClaimRow;
use subrosa_channel::payee::ChainView;
use subrosa_protocol::Amount;

use crate::config::ClaimConfig;

/// A channel that owes something, and what the chain says of it.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    pub(crate) row: ClaimRow,
    pub(crate) view: ChainView,
}

/// Why a claim is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Somebody asks for it: everything that is owed.
    Asked,
    /// It is time: what is worth its gas.
    Scheduled,
    /// Something changed: withdrawals, and a full batch.
    Watched,
}

impl Owed {
    /// What a claim would book now: the contract caps it at ceiling and balance.
    pub(crate) fn gain(&self) -> Amount {
        let ceiling = self.row.voucher.unverified().ceiling;
        let payable = self.row.total.min(ceiling).min(self.view.balance);
        payable.saturating_sub(self.view.claimed)
    }
}

/// The channels to claim, the most urgent and then the largest first, at most one batch.
///
/// A channel whose payer withdraws is claimed whatever it holds: afterwards the money is gone.
pub(crate) fn due(mut owed: Vec<Owed>, rule: &ClaimConfig, occasion: Occasion) -> Vec<Owed> {
    owed.retain(|owed| owed.gain() > Amount::ZERO);
    let leaving = |owed: &Owed| owed.view.withdraw_requested_at.is_some();
    let worth = |owed: &Owed| owed.gain() >= rule.min_gain;
    let full = owed.iter().filter(|owed| worth(owed)).count() >= rule.rows;
    owed.retain(|owed| match occasion {
        Occasion::Asked => true,
        Occasion::Scheduled => leaving(owed) || worth(owed),
        Occasion::Watched => leaving(owed) || (full && worth(owed)),
    });
    owed.sort_by_key(|owed| (!leaving(owed), std::cmp::Reverse(owed.gain())));
    owed.truncate(rule.rows);
    owed
}

#[cfg(test)]
mod tests {
    use subrosa_protocol::{
        Address, B256, ChannelConfig, ChannelId, Domain, Duration, SecretKey, Signed, Timestamp,
        Voucher,
    };

    use super::*;

    const RULE: ClaimConfig = ClaimConfig { every_s: 60, rows: 2, min_gain: Amount(100) };

    fn owed(total: u128, claimed: u128) -> Owed {
        let key = SecretKey::from_bytes(&[1; 32]).unwrap();
        let voucher = Voucher { channel: ChannelId(B256::ZERO), ceiling: Amount(1_000) };
        let config = ChannelConfig {
            payer: Address::ZERO,
            payer_authorizer: Address::ZERO,
            receiver: Address::ZERO,
            receiver_authorizer: Address::ZERO,
            token: Address::ZERO,
            withdraw_delay: Duration(3_600),
            salt: B256::ZERO,
        };
        let voucher = Signed::sign(voucher, &Domain::default(), &key);
        let view = ChainView {
            balance: Amount(500),
            claimed: Amount(claimed),
            withdraw_requested_at: None,
            seen_at: Timestamp(0),
        };
        Owed { row: ClaimRow { config, voucher, total: Amount(total) }, view }
    }

    fn leaving(mut owed: Owed) -> Owed {
        owed.view.withdraw_requested_at = Some(Timestamp(0));
        owed
    }

    fn gains(owed: Vec<Owed>, occasion: Occasion) -> Vec<u128> {
        due(owed, &RULE, occasion).iter().map(|owed| owed.gain().0).collect()
    }

    #[test]
    fn on_schedule_only_what_is_worth_its_gas_is_claimed() {
        assert_eq!(gains(vec![owed(99, 0), owed(100, 0)], Occasion::Scheduled), [100]);
        assert_eq!(gains(vec![owed(300, 201)], Occasion::Scheduled), [0; 0]);
    }

    #[test]
    fn a_withdrawal_is_claimed_at_once_whatever_it_holds() {
        assert_eq!(gains(vec![owed(400, 0), leaving(owed(1, 0))], Occasion::Watched), [1]);
        assert_eq!(gains(vec![leaving(owed(7, 7))], Occasion::Watched), [0; 0]);
    }

    #[test]
    fn a_full_batch_is_claimed_without_waiting() {
        assert_eq!(gains(vec![owed(150, 0)], Occasion::Watched), [0; 0]);
        assert_eq!(gains(vec![owed(150, 0), owed(250, 0)], Occasion::Watched), [250, 150]);
    }

    #[test]
    fn whoever_asks_gets_everything_up_to_one_batch_the_leaving_first() {
        let all = vec![owed(2, 0), owed(3, 0), leaving(owed(1, 0))];
        assert_eq!(gains(all, Occasion::Asked), [1, 3]);
    }

    #[test]
    fn a_gain_is_capped_as_the_contract_caps_it() {
        assert_eq!(owed(900, 100).gain(), Amount(400));
        assert_eq!(owed(50, 100).gain(), Amount(0));
    }
}
