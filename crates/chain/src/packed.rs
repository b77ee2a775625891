//! The bytes of a packed claim: many channels of one pod at the least gas (spec/escrow.md, 4).

use subrosa_protocol::{
    Address, Amount, B256, ChannelConfig, ClaimBatch, ClaimEntry, Domain, Duration, Signed, Voucher,
};

/// The layout counts rows in 16 bits.
const ROWS_MAX: usize = u16::MAX as usize;

/// The layout has 40 bits for the withdrawal delay.
const DELAY_MAX: Duration = Duration((1 << 40) - 1);

const FLAG_SIGNED: u8 = 1;
const FLAG_PAYER_AUTHORIZES: u8 = 1;
const FLAG_LONG_SALT: u8 = 2;

/// One row: a channel, its highest voucher, and what was charged in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRow {
    /// The channel.
    pub config: ChannelConfig,
    /// The payer's voucher.
    pub voucher: Signed<Voucher>,
    /// The total that the meter counted.
    pub total: Amount,
}

impl ClaimRow {
    /// What the signer's batch says of this row.
    pub fn entry(&self) -> ClaimEntry {
        let voucher = self.voucher.unverified();
        ClaimEntry { channel: voucher.channel, ceiling: voucher.ceiling, total: self.total }
    }
}

/// The calldata of `claimPacked`, with the signer's consent, so that anybody may send it.
///
/// # Errors
/// [`PackError`] for rows that cannot stand in one batch, or a batch that speaks of others.
pub fn encode(
    rows: &[ClaimRow],
    batch: &Signed<ClaimBatch>,
    domain: &Domain,
) -> Result<Vec<u8>, PackError> {
    let entries: Vec<_> = rows.iter().map(ClaimRow::entry).collect();
    if batch.unverified().claims != entries {
        return Err(PackError::OtherBatch);
    }
    encode_with(rows, Some(batch.compact_signature()), domain)
}

/// The same without the consent: only the signer itself may send it.
///
/// # Errors
/// [`PackError`] for rows that cannot stand in one batch.
pub fn encode_unsigned(rows: &[ClaimRow], domain: &Domain) -> Result<Vec<u8>, PackError> {
    encode_with(rows, None, domain)
}

fn encode_with(
    rows: &[ClaimRow],
    signature: Option<[u8; 64]>,
    domain: &Domain,
) -> Result<Vec<u8>, PackError> {
    let first = &rows.first().ok_or(PackError::Empty)?.config;
    if rows.len() > ROWS_MAX {
        return Err(PackError::TooMany { got: rows.len() });
    }
    if first.withdraw_delay > DELAY_MAX {
        return Err(PackError::Delay);
    }
    let mut bytes = Vec::new();
    bytes.push(if signature.is_some() { FLAG_SIGNED } else { 0 });
    bytes.extend(first.receiver);
    bytes.extend(first.receiver_authorizer);
    bytes.extend(first.token);
    bytes.extend(&first.withdraw_delay.0.to_be_bytes()[3..]);
    bytes.extend((rows.len() as u16).to_be_bytes());
    bytes.extend(signature.iter().flatten());
    for (index, row) in rows.iter().enumerate() {
        if shared(&row.config) != shared(first) {
            return Err(PackError::Mixed { row: index });
        }
        if row.config.id(domain) != row.voucher.unverified().channel {
            return Err(PackError::OtherChannel { row: index });
        }
        encode_row(row, &mut bytes);
    }
    Ok(bytes)
}

/// What all rows of a batch have in common.
fn shared(config: &ChannelConfig) -> (Address, Address, Address, Duration) {
    (config.receiver, config.receiver_authorizer, config.token, config.withdraw_delay)
}

fn encode_row(row: &ClaimRow, bytes: &mut Vec<u8>) {
    let config = &row.config;
    let payer_authorizes = config.payer_authorizer == config.payer;
    let short_salt = short(&config.salt);
    let mut flags = 0;
    if payer_authorizes {
        flags |= FLAG_PAYER_AUTHORIZES;
    }
    if short_salt.is_none() {
        flags |= FLAG_LONG_SALT;
    }
    bytes.push(flags);
    bytes.extend(config.payer);
    if !payer_authorizes {
        bytes.extend(config.payer_authorizer);
    }
    bytes.extend(short_salt.unwrap_or(config.salt.as_slice()));
    bytes.extend(row.voucher.unverified().ceiling.0.to_be_bytes());
    bytes.extend(row.total.0.to_be_bytes());
    bytes.extend(row.voucher.compact_signature());
}

/// The last eight bytes of a salt, where the others are zero.
fn short(salt: &B256) -> Option<&[u8]> {
    let (zeros, rest) = salt.split_at(24);
    zeros.iter().all(|byte| *byte == 0).then_some(rest)
}

/// Why rows cannot be packed into one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The withdrawal delay does not fit its five bytes.
    #[error("the channels' withdrawal delay is longer than any that the escrow permits")]
    Delay,
    /// There is nothing to claim.
    #[error("a claim needs at least one row")]
    Empty,
    /// A row differs in receiver, authorizer, token or delay, which the rows of a batch share.
    #[error("row {row} is of another receiver, signer, token or delay; claim it in another batch")]
    Mixed {
        /// The row, from 0.
        row: usize,
    },
    /// The signer's batch states other rows than these.
    #[error("the signed batch states other rows than those to be claimed")]
    OtherBatch,
    /// A row's voucher is for another channel than its config.
    #[error("the voucher of row {row} is for another channel")]
    OtherChannel {
        /// The row, from 0.
        row: usize,
    },
    /// More rows than a batch can count.
    #[error("{got} rows do not fit into one batch of {ROWS_MAX}")]
    TooMany {
        /// How many.
        got: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use subrosa_protocol::SecretKey;

    struct Vector(Value);

    impl Vector {
        fn load() -> Vector {
            let text = include_str!("../../../spec/vectors/packed-claim.json");
            Vector(serde_json::from_str(text).unwrap())
        }

        fn domain(&self) -> Domain {
            Domain {
                chain_id: self.0["chain_id"].as_u64().unwrap(),
                escrow: read(&self.0["escrow"]),
            }
        }

        fn rows(&self) -> Vec<ClaimRow> {
            self.0["rows"].as_array().unwrap().iter().map(|row| self.row(row)).collect()
        }

        fn row(&self, row: &Value) -> ClaimRow {
            let config = ChannelConfig {
                payer: read(&row["payer"]),
                payer_authorizer: read(&row["payer_authorizer"]),
                receiver: read(&self.0["receiver"]),
                receiver_authorizer: read(&self.0["receiver_authorizer"]),
                token: read(&self.0["token"]),
                withdraw_delay: Duration(self.0["withdraw_delay"].as_u64().unwrap()),
                salt: read(&row["salt"]),
            };
            let ceiling = Amount(read(&row["max_claimable_amount"]));
            let voucher = Voucher { channel: config.id(&self.domain()), ceiling };
            let voucher = Signed::sign(voucher, &self.domain(), &key(&row["payer_authorizer_key"]));
            assert_eq!(voucher.unverified().channel.0, read::<B256>(&row["channel_id"]));
            assert_eq!(hex::encode(voucher.signature_bytes()), bare(&row["voucher_signature"]));
            ClaimRow { config, voucher, total: Amount(read(&row["total_claimed"])) }
        }

        fn batch(&self) -> Signed<ClaimBatch> {
            let claims = self.rows().iter().map(ClaimRow::entry).collect();
            let key = key(&self.0["receiver_authorizer_key"]);
            Signed::sign(ClaimBatch { claims }, &self.domain(), &key)
        }
    }

    fn read<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
        value.as_str().unwrap().parse().unwrap()
    }

    fn bare(value: &Value) -> &str {
        value.as_str().unwrap().strip_prefix("0x").unwrap()
    }

    fn key(value: &Value) -> SecretKey {
        SecretKey::from_bytes(&hex::decode(bare(value)).unwrap()).unwrap()
    }

    #[test]
    fn packs_the_exact_bytes_that_the_contract_reads() {
        let vector = Vector::load();
        let (rows, batch, domain) = (vector.rows(), vector.batch(), vector.domain());
        assert_eq!(batch.digest(&domain), read::<B256>(&vector.0["claim_batch_digest"]));
        let signed = encode(&rows, &batch, &domain).unwrap();
        assert_eq!(hex::encode(signed), bare(&vector.0["packed"]));
        let unsigned = encode_unsigned(&rows, &domain).unwrap();
        assert_eq!(hex::encode(unsigned), bare(&vector.0["packed_unsigned"]));
    }

    #[test]
    fn refuses_a_batch_that_states_other_rows() {
        let vector = Vector::load();
        let (mut rows, batch, domain) = (vector.rows(), vector.batch(), vector.domain());
        rows[1].total = Amount(8);
        assert_eq!(encode(&rows, &batch, &domain), Err(PackError::OtherBatch));
        rows.pop();
        assert_eq!(encode(&rows, &batch, &domain), Err(PackError::OtherBatch));
    }

    #[test]
    fn refuses_rows_of_another_receiver() {
        let vector = Vector::load();
        let mut rows = vector.rows();
        rows[2].config.receiver = Address::ZERO;
        let refusal = encode_unsigned(&rows, &vector.domain());
        assert_eq!(refusal, Err(PackError::Mixed { row: 2 }));
    }

    #[test]
    fn refuses_a_voucher_of_another_channel() {
        let vector = Vector::load();
        let mut rows = vector.rows();
        rows[1].voucher = rows[0].voucher.clone();
        let refusal = encode_unsigned(&rows, &vector.domain());
        assert_eq!(refusal, Err(PackError::OtherChannel { row: 1 }));
    }

    #[test]
    fn refuses_an_empty_batch() {
        assert_eq!(encode_unsigned(&[], &Domain::default()), Err(PackError::Empty));
    }

    #[test]
    fn refuses_a_delay_that_does_not_fit() {
        let vector = Vector::load();
        let mut rows = vector.rows();
        rows.truncate(1);
        rows[0].config.withdraw_delay = Duration(1 << 40);
        assert_eq!(encode_unsigned(&rows, &vector.domain()), Err(PackError::Delay));
    }
}
