//! The firmware's log: the TCG's crypto-agile format, with SHA-384 digests alone.
//!
//! Sources: TCG PC Client Platform Firmware Profile, 10.4.5 (header) and 10.2.2 (events); UEFI 2.10,
//! 38.4.1 (registers). What an event says of itself beside its digest is not covered by any
//! register, so nothing is read from it.

use super::{BadLog, EVENTS_MAX, REGISTERS, Register, Replay};

/// Type of events that extend nothing.
const EV_NO_ACTION: u32 = 3;
const HEADER_SIGNATURE: &[u8; 16] = b"Spec ID Event03\0";
const ALGORITHM_SHA384: u16 = 0x000c;
const SHA1_BYTES: usize = 20;
const SHA384_BYTES: u16 = 48;

/// Specification 2.0, the only one with several algorithms; minor number first.
const SPECIFICATION: [u8; 2] = [0, 2];

/// What firmware fills the rest of its log area with.
const PADDING: [u8; 2] = [0xff, 0x00];

/// A log that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ccel {
    /// The registers that its events give.
    pub(crate) replay: Replay,
    /// How many events it has.
    pub(crate) events: usize,
}

impl Ccel {
    /// Reads a log, from its first byte to its last.
    pub(crate) fn parse(log: &[u8]) -> Result<Ccel, BadLog> {
        let (ccel, rest) = read(log)?;
        match rest {
            [] => Ok(ccel),
            rest => Err(BadLog::TrailingBytes { got: rest.len() }),
        }
    }
}

/// The part of a firmware's log area that is used; documents carry nothing more of it.
///
/// # Errors
/// [`BadLog`] where the area does not hold a log, or something else than padding follows it.
pub fn used(area: &[u8]) -> Result<&[u8], BadLog> {
    let (_, rest) = read(area)?;
    Ok(&area[..area.len() - rest.len()])
}

/// Reads events up to the end, or up to padding that reaches to the end.
fn read(log: &[u8]) -> Result<(Ccel, &[u8]), BadLog> {
    let mut reader = Reader { rest: log, event: 0 };
    read_header(&mut reader)?;
    let mut replay = Replay::new();
    while !reader.rest.is_empty() && !is_padding(reader.rest) {
        reader.event += 1;
        if reader.event > EVENTS_MAX {
            return Err(BadLog::TooManyEvents);
        }
        let event = reader.event;
        let register = match reader.u32()? {
            got @ 1..=4 => (got - 1) as usize,
            got => return Err(BadLog::Register { event, got }),
        };
        debug_assert!(register < REGISTERS);
        let kind = reader.u32()?;
        let (digests, algorithm) = (reader.u32()?, reader.u16()?);
        if (digests, algorithm) != (1, ALGORITHM_SHA384) {
            return Err(BadLog::NoDigest { event });
        }
        let digest: &Register = reader.array()?;
        let length = reader.u32()?;
        reader.bytes(length)?;
        if kind != EV_NO_ACTION {
            replay.extend(register, digest);
        }
    }
    Ok((Ccel { replay, events: reader.event }, reader.rest))
}

/// Events start with the number of a register, so the first byte tells most of them from padding.
fn is_padding(rest: &[u8]) -> bool {
    PADDING.iter().any(|padding| rest.iter().all(|byte| byte == padding))
}

/// The first event has the old format, and says which algorithms the others have digests of.
fn read_header(reader: &mut Reader<'_>) -> Result<(), BadLog> {
    let (_register, kind) = (reader.u32()?, reader.u32()?);
    let digest: &[u8; SHA1_BYTES] = reader.array()?;
    let length = reader.u32()?;
    let mut event = Reader { rest: reader.bytes(length)?, event: 0 };
    let mut read = || {
        let signature: &[u8; 16] = event.array()?;
        let _platform_class = event.u32()?;
        let specification: &[u8; 2] = event.array()?;
        let _errata_and_uintn: &[u8; 2] = event.array()?;
        let algorithms = (event.u32()?, event.u16()?, event.u16()?);
        let [vendor_length] = *event.array()?;
        event.bytes(vendor_length.into())?;
        let sound = signature == HEADER_SIGNATURE
            && *specification == SPECIFICATION
            && algorithms == (1, ALGORITHM_SHA384, SHA384_BYTES)
            && event.rest.is_empty();
        Ok(sound)
    };
    match read() {
        Ok(true) if kind == EV_NO_ACTION && *digest == [0; SHA1_BYTES] => Ok(()),
        Ok(_) | Err(BadLog::TooShort { .. }) => Err(BadLog::Header),
        Err(error) => Err(error),
    }
}

/// Takes fields off the front of a log.
struct Reader<'a> {
    rest: &'a [u8],
    event: usize,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: u32) -> Result<&'a [u8], BadLog> {
        let too_short = BadLog::TooShort { event: self.event };
        let split = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let (bytes, rest) = split.ok_or(too_short)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], BadLog> {
        let (array, rest) =
            self.rest.split_first_chunk().ok_or(BadLog::TooShort { event: self.event })?;
        self.rest = rest;
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, BadLog> {
        self.array().map(|bytes| u16::from_le_bytes(*bytes))
    }

    fn u32(&mut self) -> Result<u32, BadLog> {
        self.array().map(|bytes| u32::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha384};

    use super::*;

    fn header() -> Vec<u8> {
        let mut event = HEADER_SIGNATURE.to_vec();
        event.extend([0, 0, 0, 0, 0, 2, 0, 2]);
        event.extend(1_u32.to_le_bytes());
        event.extend([0x0c, 0, 48, 0, 0]);
        let mut header = [1, 0, 0, 0, 3, 0, 0, 0].to_vec();
        header.extend([0; 20]);
        header.extend((event.len() as u32).to_le_bytes());
        header.extend(event);
        header
    }

    fn event(register: u32, kind: u32, digest: Register, data: &[u8]) -> Vec<u8> {
        let mut event = [register.to_le_bytes(), kind.to_le_bytes(), 1_u32.to_le_bytes()].concat();
        event.extend([0x0c, 0]);
        event.extend(digest);
        event.extend((data.len() as u32).to_le_bytes());
        event.extend(data);
        event
    }

    fn log(events: &[Vec<u8>]) -> Vec<u8> {
        [header(), events.concat()].concat()
    }

    #[test]
    fn events_extend_the_register_below_their_number() {
        let first = event(1, 4, [1; 48], b"separator");
        let fourth = event(4, 0x8000_0008, [2; 48], b"");
        let ccel = Ccel::parse(&log(&[first, fourth])).unwrap();
        let extended = |digest: u8| {
            let hash = Sha384::new().chain_update([0; 48]).chain_update([digest; 48]);
            <[u8; 48]>::from(hash.finalize())
        };
        assert_eq!(ccel.replay.0, [extended(1), [0; 48], [0; 48], extended(2)]);
        assert_eq!(ccel.events, 2);
    }

    #[test]
    fn the_order_of_events_matters() {
        let (one, two) = (event(2, 1, [1; 48], b""), event(2, 1, [2; 48], b""));
        let forth = Ccel::parse(&log(&[one.clone(), two.clone()])).unwrap();
        let back = Ccel::parse(&log(&[two, one])).unwrap();
        assert_ne!(forth.replay.0[1], back.replay.0[1]);
        assert!(forth.replay.check(&back.replay.0).unwrap_err().ends_with("RTMR1"));
    }

    #[test]
    fn events_without_action_extend_nothing() {
        let ccel = Ccel::parse(&log(&[event(1, EV_NO_ACTION, [1; 48], b"x")])).unwrap();
        assert_eq!(ccel.replay.0, [[0; 48]; 4]);
    }

    #[test]
    fn an_area_is_cut_where_its_padding_begins() {
        let log = log(&[event(1, 4, [1; 48], b"")]);
        for padding in PADDING {
            let mut area = log.clone();
            area.resize(log.len() + 1_000, padding);
            assert_eq!(used(&area), Ok(&log[..]));
            assert_eq!(Ccel::parse(&area), Err(BadLog::TrailingBytes { got: 1_000 }));
            *area.last_mut().unwrap() = 1;
            assert!(used(&area).is_err());
        }
        assert_eq!(used(&log), Ok(&log[..]));
    }

    #[test]
    fn registers_that_no_guest_extends_are_refused() {
        for got in [0, 5, 255, u32::MAX] {
            let log = log(&[event(got, 1, [1; 48], b"")]);
            assert_eq!(Ccel::parse(&log), Err(BadLog::Register { event: 1, got }));
        }
    }

    #[test]
    fn an_event_has_exactly_one_digest_of_sha384() {
        let good = event(1, 1, [1; 48], b"");
        for (at, value) in [(8, 0), (8, 2), (12, 0x0b), (13, 1)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(Ccel::parse(&log(&[bad])), Err(BadLog::NoDigest { event: 1 }));
        }
    }

    #[test]
    fn other_headers_are_refused() {
        let good = header();
        // Type, digest, signature, version, algorithms, digest's size, vendor's length.
        for at in [4, 8, 27, 32, 47, 52, 53, 56, 60, 62, 64] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(Ccel::parse(&bad), Err(BadLog::Header), "at {at}");
        }
        assert_eq!(Ccel::parse(&good).unwrap().events, 0);
        assert_eq!(Ccel::parse(b""), Err(BadLog::TooShort { event: 0 }));
    }

    #[test]
    fn a_log_cut_anywhere_but_between_events_is_refused() {
        let log = log(&[event(1, 1, [1; 48], b"abc"), event(2, 1, [2; 48], b"")]);
        let ends = [header().len(), header().len() + 12 + 2 + 48 + 4 + 3, log.len()];
        for length in 0..=log.len() {
            let read = Ccel::parse(&log[..length]);
            assert_eq!(read.is_ok(), ends.contains(&length), "{length}: {read:?}");
        }
    }

    #[test]
    fn more_events_than_anybody_has_are_refused() {
        let log = log(&vec![event(1, 1, [1; 48], b""); EVENTS_MAX + 1]);
        assert_eq!(Ccel::parse(&log), Err(BadLog::TooManyEvents));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Ccel::parse(&bytes);
            let _ = Ccel::parse(&[header(), bytes.clone()].concat());
            if let Ok(part) = used(&bytes) {
                prop_assert!(Ccel::parse(part).is_ok());
            }
        }
    }
}
