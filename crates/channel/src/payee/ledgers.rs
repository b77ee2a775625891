//! The ledgers of all accounts: the one way in.

use std::collections::BTreeMap;

use subrosa_protocol::{Account, Amount, Domain, SecretKey, Timestamp};

use super::check::Checked;
use super::{
    Admitted, Charge, ChargeError, Decision, Inconsistent, Ledger, Metered, Moment, Record, Run,
};

/// All accounts that ever had an order admitted here.
///
/// A stranger's refused request leaves nothing behind: an account is opened by its first admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledgers {
    domain: Domain,
    accounts: BTreeMap<Account, Ledger>,
}

impl Ledgers {
    /// Empty ledgers.
    pub fn new(domain: Domain) -> Ledgers {
        Ledgers { domain, accounts: BTreeMap::new() }
    }

    /// The ledgers that these records leave. Any prefix of what was returned will do; so will, for each
    /// account, only the end of its receipt chain and the orders that have not expired.
    ///
    /// # Errors
    /// [`Inconsistent`] where no ledger can have returned these records: do not serve from that disk.
    pub fn restore(
        domain: Domain,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Ledgers, Inconsistent> {
        let mut ledgers = Ledgers::new(domain);
        for record in records {
            ledgers.apply(&record)?;
        }
        Ok(ledgers)
    }

    /// The ledger of an account that was opened.
    pub fn get(&self, account: &Account) -> Option<&Ledger> {
        self.accounts.get(account)
    }

    /// All ledgers, by account.
    pub fn iter(&self) -> impl Iterator<Item = &Ledger> {
        self.accounts.values()
    }

    /// Decides on a checked order and reserves its most (spec/channel.md 3).
    ///
    /// Until `decision.records` are on disk no byte of an answer may leave. A refusal changes nothing,
    /// except that a contradiction halts the account, which is a record like any other.
    pub fn admit(&mut self, checked: Checked, moment: &Moment) -> Decision {
        let account = checked.account();
        let config = checked.config.clone();
        let mut records = self.lapse(&account, moment.now);
        let fresh = Ledger::open(account, config.clone());
        let ledger = self.accounts.get(&account).unwrap_or(&fresh);
        let (decided, verdict) = ledger.decide(&self.domain, checked, moment);
        if !decided.is_empty() && !self.accounts.contains_key(&account) {
            records.push(self.did(Record::Opened { account, config }));
        }
        for record in decided {
            records.push(self.did(record));
        }
        if let (Ok(Admitted::Run(run)), Some(ledger)) = (&verdict, self.accounts.get_mut(&account))
        {
            ledger.set_running(run, true);
        }
        Decision { records, verdict }
    }

    /// Charges a run: gives it its `seq`, signs its receipt and slip (spec/channel.md 4).
    ///
    /// # Errors
    /// [`ChargeError::Halted`] where the account was halted meanwhile: the answer ends without a receipt.
    pub fn charge(
        &mut self,
        run: Run,
        metered: &Metered,
        signer: &SecretKey,
        now: Timestamp,
    ) -> Result<Charge, ChargeError> {
        let request = run.request();
        let ledger =
            self.accounts.get(&run.account()).ok_or(ChargeError::NotReserved { request })?;
        let record = ledger.charge(&self.domain, &run, metered, signer, now)?;
        let Record::Charged { receipt, .. } = &record else {
            unreachable!("charging makes a charge")
        };
        Ok(Charge { receipt: receipt.clone(), records: vec![self.did(record)] })
    }

    /// Gives a run's reservation back: nothing was generated for it.
    ///
    /// # Errors
    /// [`ChargeError::NotReserved`] for a run of another ledger.
    pub fn release(&mut self, run: Run) -> Result<Vec<Record>, ChargeError> {
        let request = run.request();
        let ledger =
            self.accounts.get_mut(&run.account()).ok_or(ChargeError::NotReserved { request })?;
        let record = ledger.release(&run)?;
        ledger.set_running(&run, false);
        Ok(record.map(|record| self.did(record)).into_iter().collect())
    }

    /// Gives back what expired orders still reserve and forgets what expired; call it now and then.
    pub fn sweep(&mut self, now: Timestamp) -> Vec<Record> {
        let accounts: Vec<Account> = self.accounts.keys().copied().collect();
        accounts.iter().flat_map(|account| self.lapse(account, now)).collect()
    }

    /// All that was charged, over all accounts.
    pub fn earned(&self) -> Amount {
        Amount(self.iter().map(|ledger| ledger.charged().0).fold(0, u128::saturating_add))
    }

    fn lapse(&mut self, account: &Account, now: Timestamp) -> Vec<Record> {
        let Some(ledger) = self.accounts.get(account) else { return Vec::new() };
        let records: Vec<Record> =
            ledger.lapse(now).into_iter().map(|record| self.did(record)).collect();
        if let Some(ledger) = self.accounts.get_mut(account) {
            ledger.forget_expired(now);
        }
        records
    }

    /// Takes in a record that this ledger made itself, and hands it on.
    fn did(&mut self, record: Record) -> Record {
        self.apply(&record).expect("a ledger makes only records that continue it");
        record
    }

    fn apply(&mut self, record: &Record) -> Result<(), Inconsistent> {
        let account = record.account();
        if let Record::Opened { config, .. } = record {
            self.accounts.entry(account).or_insert_with(|| Ledger::open(account, config.clone()));
            return Ok(());
        }
        let ledger = self.accounts.get_mut(&account).ok_or(Inconsistent::NotOpened { account })?;
        ledger.apply(&self.domain, record)
    }
}
