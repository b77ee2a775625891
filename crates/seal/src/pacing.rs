//! How the client asks for its answer to be paced (spec/seal.md 4).

use std::fmt;

/// The shortest tick that a client may ask for: below it, timers cost more than they hide.
pub const TICK_MS_MIN: u16 = 5;
/// The longest tick that a client may ask for: beyond it, a token a second is the best case.
pub const TICK_MS_MAX: u16 = 1_000;
/// The tick of a client that has no wish of its own: 50 frames, some 51 kB, a second.
pub const TICK_MS_DEFAULT: u16 = 20;

/// The time between two frames, within [`TICK_MS_MIN`] and [`TICK_MS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick(u16);

impl Tick {
    /// A tick of that many milliseconds; `None` outside the bounds.
    pub fn from_ms(ms: u16) -> Option<Tick> {
        (TICK_MS_MIN..=TICK_MS_MAX).contains(&ms).then_some(Tick(ms))
    }

    /// The tick in milliseconds.
    pub fn ms(self) -> u16 {
        self.0
    }
}

impl Default for Tick {
    fn default() -> Tick {
        Tick(TICK_MS_DEFAULT)
    }
}

/// How the chunks of an answer are shaped, as the client asked inside the seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// Frames of one size, one a tick from receipt of the request on.
    Ticks(Tick),
    /// Frames of one size, sent as soon as there is something to send.
    Off,
    /// No frames: the plain chunks that a foreign OHTTP client understands.
    Plain,
}

impl Pacing {
    /// Reads the value of `subrosa-pacing`; an unknown or out-of-bounds one is `None`.
    pub(crate) fn parse(value: &[u8]) -> Option<Pacing> {
        if value == b"none" {
            return Some(Pacing::Off);
        }
        let digits = std::str::from_utf8(value.strip_prefix(b"ticks=")?).ok()?;
        let ms: u16 = digits.parse().ok()?;
        // One spelling for one number: no sign, no leading zero.
        (ms.to_string() == digits).then_some(())?;
        Tick::from_ms(ms).map(Pacing::Ticks)
    }

    /// The value of `subrosa-pacing`; `None` where the header is left out.
    pub(crate) fn header(self) -> Option<String> {
        match self {
            Pacing::Plain => None,
            framed => Some(framed.to_string()),
        }
    }
}

impl Default for Pacing {
    fn default() -> Pacing {
        Pacing::Ticks(Tick::default())
    }
}

impl fmt::Display for Pacing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pacing::Ticks(tick) => write!(formatter, "ticks={}", tick.ms()),
            Pacing::Off => formatter.write_str("none"),
            Pacing::Plain => formatter.write_str("plain"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pacing_that_is_written_is_read_back() {
        for ms in [TICK_MS_MIN, TICK_MS_DEFAULT, TICK_MS_MAX] {
            let pacing = Pacing::Ticks(Tick::from_ms(ms).unwrap());
            assert_eq!(Pacing::parse(pacing.header().unwrap().as_bytes()), Some(pacing));
        }
        assert_eq!(Pacing::parse(b"none"), Some(Pacing::Off));
        assert_eq!(Pacing::Plain.header(), None);
    }

    #[test]
    fn refuses_a_pacing_that_is_unknown_or_out_of_bounds() {
        let cases: [&[u8]; 11] = [
            b"",
            b"plain",
            b"None",
            b"ticks=",
            b"ticks=4",
            b"ticks=1001",
            b"ticks=020",
            b"ticks=+20",
            b"ticks=20 ",
            b"ticks=65536",
            b"ticks=\xff",
        ];
        for value in cases {
            assert_eq!(Pacing::parse(value), None, "{}", value.escape_ascii());
        }
    }
}
