//! The envelope: what travels beside a request inside the seal, as headers (spec/seal.md 2.1).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use subrosa_protocol::Timestamp;

use crate::{fields::Fields, pacing::Pacing};

const CHANNEL: &str = "subrosa-channel";
const LAST_RECEIPT: &str = "subrosa-last-receipt";
const ORDER: &str = "subrosa-order";
const PACING: &str = "subrosa-pacing";
const SALT: &str = "subrosa-salt";
const TIME: &str = "subrosa-time";
const VOUCHER: &str = "subrosa-voucher";
/// What every header of the envelope begins with.
const PREFIX: &str = "subrosa-";

/// What accompanies a request, as opaque bytes: this crate carries them, `protocol` reads them.
///
/// A request without an order (for the list of models, say) has a time and a salt nonetheless: the
/// time bounds how long it could be replayed, the salt is that of the hashes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The channel's configuration.
    pub channel_config: Option<Vec<u8>>,
    /// The signed order.
    pub order: Option<Vec<u8>>,
    /// The signed voucher.
    pub voucher: Option<Vec<u8>>,
    /// The last receipt that the payer has seen on that channel.
    pub last_receipt: Option<Vec<u8>>,
    /// When the request was sealed.
    pub time: Timestamp,
    /// The salt of the request's hash: drawn once an order, so that nobody confirms a guess.
    pub salt: [u8; 32],
}

/// The salt is as private as the prompt that it hides.
impl fmt::Debug for Envelope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Envelope").field("time", &self.time).finish_non_exhaustive()
    }
}

/// What is wrong with an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEnvelope {
    /// A header without which no request is answered is absent.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// A header stands there twice.
    #[error("the header {0} is repeated")]
    Repeated(&'static str),
    /// A header of our prefix that this version does not know.
    #[error("an unknown header begins with {PREFIX}")]
    Unknown,
    /// A value that is not in its one canonical form, or out of its bounds.
    #[error("the header {0} cannot be read")]
    Unreadable(&'static str),
}

/// Whether a header of that name belongs to the envelope.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// The headers of an envelope. A member that is present but empty has none, and is its own error.
pub(crate) fn to_fields(envelope: &Envelope, pacing: Pacing) -> Result<Fields, &'static str> {
    let mut fields = vec![
        (TIME.to_owned(), envelope.time.0.to_string().into_bytes()),
        (SALT.to_owned(), STANDARD.encode(envelope.salt).into_bytes()),
    ];
    let optional = [
        (CHANNEL, &envelope.channel_config),
        (ORDER, &envelope.order),
        (VOUCHER, &envelope.voucher),
        (LAST_RECEIPT, &envelope.last_receipt),
    ];
    for (name, value) in optional {
        match value {
            Some(bytes) if bytes.is_empty() => return Err(name),
            Some(bytes) => fields.push((name.to_owned(), STANDARD.encode(bytes).into_bytes())),
            None => {}
        }
    }
    if let Some(value) = pacing.header() {
        fields.push((PACING.to_owned(), value.into_bytes()));
    }
    Ok(fields)
}

/// Takes the envelope out of the headers.
pub(crate) fn split(headers: Fields) -> Result<(Envelope, Pacing, Fields), BadEnvelope> {
    let (ours, rest): (Fields, Fields) =
        headers.into_iter().partition(|(name, _)| is_reserved(name));
    let known = [CHANNEL, LAST_RECEIPT, ORDER, PACING, SALT, TIME, VOUCHER];
    if ours.iter().any(|(name, _)| !known.contains(&name.as_str())) {
        return Err(BadEnvelope::Unknown);
    }
    let envelope = Envelope {
        channel_config: optional_bytes(&ours, CHANNEL)?,
        order: optional_bytes(&ours, ORDER)?,
        voucher: optional_bytes(&ours, VOUCHER)?,
        last_receipt: optional_bytes(&ours, LAST_RECEIPT)?,
        time: time(&ours)?,
        salt: salt(&ours)?,
    };
    let pacing = match single(&ours, PACING)? {
        Some(value) => Pacing::parse(value).ok_or(BadEnvelope::Unreadable(PACING))?,
        None => Pacing::Plain,
    };
    Ok((envelope, pacing, rest))
}

fn single<'a>(fields: &'a Fields, name: &'static str) -> Result<Option<&'a [u8]>, BadEnvelope> {
    let mut values = fields.iter().filter(|(have, _)| have == name);
    let first = values.next().map(|(_, value)| value.as_slice());
    match values.next() {
        Some(_) => Err(BadEnvelope::Repeated(name)),
        None => Ok(first),
    }
}

fn optional_bytes(fields: &Fields, name: &'static str) -> Result<Option<Vec<u8>>, BadEnvelope> {
    let Some(value) = single(fields, name)? else {
        return Ok(None);
    };
    // The engine refuses missing padding, stray bits and white space: one spelling for one value.
    match STANDARD.decode(value) {
        Ok(bytes) if !bytes.is_empty() => Ok(Some(bytes)),
        _ => Err(BadEnvelope::Unreadable(name)),
    }
}

fn time(fields: &Fields) -> Result<Timestamp, BadEnvelope> {
    let value = single(fields, TIME)?.ok_or(BadEnvelope::Missing(TIME))?;
    let seconds: Option<u64> = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    match seconds {
        Some(seconds) if seconds.to_string().as_bytes() == value => Ok(Timestamp(seconds)),
        _ => Err(BadEnvelope::Unreadable(TIME)),
    }
}

fn salt(fields: &Fields) -> Result<[u8; 32], BadEnvelope> {
    let bytes = optional_bytes(fields, SALT)?.ok_or(BadEnvelope::Missing(SALT))?;
    bytes.try_into().map_err(|_| BadEnvelope::Unreadable(SALT))
}
