//! The receipts of one account as they are known so far: a chain with gaps.

use std::collections::BTreeMap;

use subrosa_protocol::{Amount, B256, Domain, Receipt, Signed};

use super::Fault;

/// Believed receipts by their place. They arrive in any order; neighbours must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    links: BTreeMap<u64, Link>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    digest: B256,
    receipt: Signed<Receipt>,
}

/// How a receipt stands to the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is known already.
    Known,
    /// It is new, and fits.
    New,
}

impl Chain {
    pub(super) fn last(&self) -> Option<&Signed<Receipt>> {
        self.links.last_key_value().map(|(_, link)| &link.receipt)
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Signed<Receipt>> {
        self.links.get(&seq).map(|link| &link.receipt)
    }

    /// The total of the highest receipt: what the pod has charged as far as this side knows.
    pub(super) fn charged(&self) -> Amount {
        self.last().map_or(Amount::ZERO, |receipt| receipt.unverified().cumulative)
    }

    /// The receipt that charged this request with more than nothing, if one did.
    pub(super) fn paid(&self, request_hash: &B256) -> Option<&Receipt> {
        let charged =
            |receipt: &&Receipt| receipt.request_hash == *request_hash && receipt.charged.0 > 0;
        self.links.values().map(|link| link.receipt.unverified()).find(charged)
    }

    /// The lowest places that no receipt is known for, at most `limit` of them.
    pub(super) fn missing(&self, limit: usize) -> Vec<u64> {
        let last = self.links.last_key_value().map_or(0, |(seq, _)| *seq);
        (1..last).filter(|seq| !self.links.contains_key(seq)).take(limit).collect()
    }

    /// Whether a receipt fits between those that are known.
    pub(super) fn fit(&self, domain: &Domain, signed: &Signed<Receipt>) -> Result<Fit, Fault> {
        let (receipt, digest) = (signed.unverified(), signed.digest(domain));
        if let Some(known) = self.links.get(&receipt.seq) {
            let same = known.digest == digest;
            return if same {
                Ok(Fit::Known)
            } else {
                Err(Fault::Equivocation { seq: receipt.seq })
            };
        }
        let broken = |neighbour| Fault::BrokenChain { seq: receipt.seq, neighbour };
        match self.links.range(..receipt.seq).next_back() {
            Some((seq, before)) if !follows(*seq, before, receipt) => return Err(broken(*seq)),
            None if !begins(receipt) => return Err(broken(0)),
            _ => {}
        }
        let after = self.links.range(receipt.seq..).next();
        let link = Link { digest, receipt: signed.clone() };
        match after {
            Some((seq, after)) if !follows(receipt.seq, &link, after.receipt.unverified()) => {
                Err(broken(*seq))
            }
            _ => Ok(Fit::New),
        }
    }

    pub(super) fn insert(&mut self, domain: &Domain, signed: &Signed<Receipt>) {
        let link = Link { digest: signed.digest(domain), receipt: signed.clone() };
        self.links.insert(signed.unverified().seq, link);
    }
}

/// Whether `receipt` can come after `before`: exactly, where it is the very next, else by its sum.
fn follows(seq: u64, before: &Link, receipt: &Receipt) -> bool {
    let Ok(sum) = before.receipt.unverified().cumulative.checked_add(receipt.charged) else {
        return false;
    };
    match receipt.seq - seq {
        1 => receipt.prev == before.digest && receipt.cumulative == sum,
        _ => receipt.cumulative >= sum,
    }
}

/// Whether a receipt can stand at its distance from the beginning.
fn begins(receipt: &Receipt) -> bool {
    match receipt.seq {
        0 => false,
        1 => receipt.prev == B256::ZERO && receipt.cumulative == receipt.charged,
        _ => receipt.cumulative >= receipt.charged,
    }
}
