//! dstack's log: the firmware's events as JSON, then what its guest measured into RTMR3.
//!
//! The digest of a runtime event covers its name and payload, and is computed here: logs leave it
//! out, and only so can names and payloads be believed. Of the firmware's events nothing but the
//! digest counts.

use std::fmt::Write;

use serde::Deserialize;
use sha2::{Digest, Sha256, Sha384};
use subrosa_protocol::B256;

use super::{BadLog, EVENTS_MAX, REGISTERS, Register, Replay, extend};

/// The type of events that dstack's guest measures, little-endian in the first form of digest.
const RUNTIME_EVENT: u32 = 0x0800_0001;

/// The register of the guest's own events.
const RUNTIME_REGISTER: usize = 3;

/// Separates measurements that leave the instance out from those of whole registers.
const MEASUREMENT_TAG: &[u8] = b"subrosa/measurement/dstack/v1";

/// The last event of the system; whatever follows is the application's own.
const SYSTEM_READY: &str = "system-ready";

/// Drawn anew for every instance, so no release can name it. What stands in a measurement in its
/// place is the same event without a payload.
const INSTANCE_ID: &str = "instance-id";

/// Events that a start has at most once; a second one could only be somebody's who wants to be
/// taken for the system.
const ONCE: [&str; 10] = [
    "app-id",
    "boot-mr-done",
    COMPOSE_HASH,
    INSTANCE_ID,
    "key-provider",
    "mr-kms",
    "os-image-hash",
    "storage-fs",
    "system-preparing",
    SYSTEM_READY,
];

const COMPOSE_HASH: &str = "compose-hash";

/// What people are told of a start.
const TOLD: [&str; 4] = ["app-id", INSTANCE_ID, "key-provider", "os-image-hash"];

/// How much of a payload people are told; a key provider's name and public key are longest.
const TOLD_BYTES_MAX: usize = 256;

/// A log that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dstack {
    events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    register: usize,
    digest: Register,
    /// Name and payload, where the digest covers them.
    runtime: Option<(String, Vec<u8>)>,
}

/// An event as dstack's guest agent writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    imr: u32,
    event_type: u32,
    #[serde(default)]
    digest: String,
    event: String,
    event_payload: String,
    #[serde(default = "first_version")]
    version: u64,
    #[serde(default)]
    preimage: Option<String>,
}

fn first_version() -> u64 {
    1
}

impl Dstack {
    /// Reads a log: the JSON text of a list of events, from its first byte to its last.
    pub(crate) fn parse(log: &[u8]) -> Result<Dstack, BadLog> {
        let entries: Vec<Entry> = serde_json::from_slice(log)
            .map_err(|error| BadLog::NotJson { line: error.line(), column: error.column() })?;
        if entries.len() > EVENTS_MAX {
            return Err(BadLog::TooManyEvents);
        }
        let events: Vec<Event> = entries
            .into_iter()
            .enumerate()
            .map(|(at, entry)| read_event(at, entry))
            .collect::<Result<_, BadLog>>()?;
        let log = Dstack { events };
        for name in ONCE {
            let named = log.runtime().filter(|(got, _)| *got == name);
            if named.count() > 1 {
                return Err(BadLog::Twice { name });
            }
        }
        Ok(log)
    }

    /// The registers that the events give.
    pub(crate) fn replay(&self) -> Replay {
        let mut replay = Replay::new();
        for event in &self.events {
            replay.extend(event.register, &event.digest);
        }
        replay
    }

    /// How many events it has.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// The digest of the application's compose file, as the system measured it.
    pub(crate) fn compose_hash(&self) -> Option<B256> {
        let payload = self.of_the_system(COMPOSE_HASH)?;
        B256::try_from(payload).ok()
    }

    /// What the system measured of this start, for people.
    pub(crate) fn story(&self) -> String {
        let mut story = String::new();
        for name in TOLD {
            if let Some(payload) = self.of_the_system(name) {
                write!(story, ", {name} {}", tell(payload)).expect("text can be appended to");
            }
        }
        story
    }

    /// The measurement of what booted, whichever instance it is: as [`dstack_measurement`].
    pub(crate) fn measurement(&self, mrtd: &Register, rtmrs: &[Register; REGISTERS]) -> B256 {
        let mut own = [0; 48];
        for event in self.events.iter().filter(|event| event.register == RUNTIME_REGISTER) {
            match &event.runtime {
                Some((name, _)) if name == INSTANCE_ID => {
                    extend(&mut own, &runtime_event_digest(INSTANCE_ID, b""));
                }
                _ => extend(&mut own, &event.digest),
            }
        }
        let mut hash = Sha256::new().chain_update(MEASUREMENT_TAG).chain_update(mrtd);
        for register in &rtmrs[..RUNTIME_REGISTER] {
            hash.update(register);
        }
        B256::from(<[u8; 32]>::from(hash.chain_update(own).finalize()))
    }

    /// The events of RTMR3 whose names and payloads can be believed, in order.
    fn runtime(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let own = self.events.iter().filter(|event| event.register == RUNTIME_REGISTER);
        own.filter_map(|event| event.runtime.as_ref())
            .map(|(name, payload)| (name.as_str(), payload.as_slice()))
    }

    /// The payload of an event that came before the application could measure anything.
    fn of_the_system(&self, name: &str) -> Option<&[u8]> {
        let mut system = self.runtime().take_while(|(got, _)| *got != SYSTEM_READY);
        system.find(|(got, _)| *got == name).map(|(_, payload)| payload)
    }
}

/// The measurement of an image that dstack booted, as releases list it: SHA-256 of a tag, MRTD,
/// RTMR0 to 2, and RTMR3 as it would be had the event `instance-id` no payload
/// (spec/evidence.md section 5.3).
///
/// # Errors
/// [`BadLog`] where the log cannot be read. It is not held against `rtmrs`.
pub fn dstack_measurement(
    mrtd: &[u8; 48],
    rtmrs: &[[u8; 48]; REGISTERS],
    log: &[u8],
) -> Result<B256, BadLog> {
    Ok(Dstack::parse(log)?.measurement(mrtd, rtmrs))
}

/// What dstack's guest extends RTMR3 with for an event, in the first of its two forms.
pub fn runtime_event_digest(name: &str, payload: &[u8]) -> [u8; 48] {
    Sha384::digest(preimage_v1(name, payload)).into()
}

fn preimage_v1(name: &str, payload: &[u8]) -> Vec<u8> {
    [&RUNTIME_EVENT.to_le_bytes()[..], b":", name.as_bytes(), b":", payload].concat()
}

/// Canonical JSON (RFC 8785): sorted members, no white space, the shortest escapes.
fn preimage_v2(name: &str, payload: &[u8]) -> Vec<u8> {
    let name = serde_json::Value::from(name);
    let payload = hex::encode(payload);
    format!(r#"{{"name":{name},"payload":"{payload}","type":{RUNTIME_EVENT}}}"#).into_bytes()
}

fn read_event(at: usize, entry: Entry) -> Result<Event, BadLog> {
    let hex = |text: &str| {
        let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        hex::decode(text).ok().filter(|_| lower).ok_or(BadLog::NotHex { event: at })
    };
    let register = usize::try_from(entry.imr).ok().filter(|register| *register < REGISTERS);
    let register = register.ok_or(BadLog::Register { event: at, got: entry.imr })?;
    let payload = hex(&entry.event_payload)?;
    let preimage = match entry.version {
        1 => preimage_v1(&entry.event, &payload),
        2 => preimage_v2(&entry.event, &payload),
        got => return Err(BadLog::Version { event: at, got }),
    };
    let given = hex(&entry.digest)?;
    if entry.event_type != RUNTIME_EVENT {
        let digest = given.try_into().map_err(|_| BadLog::NoDigest { event: at })?;
        return Ok(Event { register, digest, runtime: None });
    }
    if entry.preimage.as_deref().map(hex).transpose()?.is_some_and(|given| given != preimage) {
        return Err(BadLog::PreimageDiffers { event: at });
    }
    let digest = Register::from(Sha384::digest(&preimage));
    if !given.is_empty() && given != digest {
        return Err(BadLog::DigestDiffers { event: at });
    }
    Ok(Event { register, digest, runtime: Some((entry.event, payload)) })
}

/// A payload as people read it: text where it is plain text, else hex, cut where it is long.
fn tell(payload: &[u8]) -> String {
    let shown = &payload[..payload.len().min(TOLD_BYTES_MAX)];
    let end = if shown.len() < payload.len() { "…" } else { "" };
    match shown.iter().all(|byte| matches!(byte, b' '..=b'~')) && !shown.is_empty() {
        true => format!("{}{end}", String::from_utf8_lossy(shown)),
        false => format!("0x{}{end}", hex::encode(shown)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn runtime(name: &str, payload: &[u8]) -> Value {
        json!({
            "imr": 3, "event_type": RUNTIME_EVENT, "digest": "", "event": name,
            "event_payload": hex::encode(payload),
        })
    }

    fn firmware(register: u32, digest: u8) -> Value {
        json!({
            "imr": register, "event_type": 4, "digest": hex::encode([digest; 48]), "event": "",
            "event_payload": "00",
        })
    }

    fn parse(events: &[Value]) -> Result<Dstack, BadLog> {
        Dstack::parse(Value::from(events).to_string().as_bytes())
    }

    fn start(instance: &[u8]) -> Vec<Value> {
        vec![
            firmware(0, 7),
            runtime("system-preparing", b""),
            runtime("app-id", &[1; 20]),
            runtime("compose-hash", &[2; 32]),
            runtime("instance-id", instance),
            runtime("boot-mr-done", b""),
            runtime("os-image-hash", &[3; 32]),
            runtime("key-provider", br#"{"name":"kms"}"#),
            runtime("system-ready", b""),
        ]
    }

    #[test]
    fn the_digest_of_a_runtime_event_has_two_forms() {
        // Computed by another program from the formulas of spec/evidence.md section 5.
        let first = hex::encode(runtime_event_digest("app-id", &[0xde, 0xad]));
        assert_eq!(first, DIGEST_V1);
        let mut entry = runtime("app-id", &[0xde, 0xad]);
        entry["version"] = 2.into();
        entry["digest"] = DIGEST_V2.into();
        let preimage = r#"{"name":"app-id","payload":"dead","type":134217729}"#;
        entry["preimage"] = hex::encode(preimage).into();
        assert_eq!(hex::encode(parse(&[entry]).unwrap().events[0].digest), DIGEST_V2);
    }

    const DIGEST_V1: &str = "ca319a1642aa9b55c8f1ded2986f83879bcfb9f5039026609e00f11771df7967dbfc21e0643fea327708c3201611e1f4";
    const DIGEST_V2: &str = "4d7925ef778cd603e0e2ecd2ea8b0d415eb325a7fa0bf2754035846ece8be3f852c485d901d0e67946e0b487371494b5";

    #[test]
    fn an_empty_digest_is_computed_and_a_given_one_must_be_the_same() {
        let empty = parse(&[runtime("x", b"y")]).unwrap();
        let mut given = runtime("x", b"y");
        given["digest"] = hex::encode(runtime_event_digest("x", b"y")).into();
        assert_eq!(parse(&[given.clone()]).unwrap(), empty);

        for (member, value) in [("event", "z"), ("event_payload", "00"), ("digest", "ab")] {
            let mut bad = given.clone();
            bad[member] = value.into();
            assert_eq!(parse(&[firmware(0, 1), bad]), Err(BadLog::DigestDiffers { event: 1 }));
        }
        let mut absent = given;
        absent.as_object_mut().unwrap().remove("digest");
        assert_eq!(parse(&[absent]).unwrap(), empty);
    }

    #[test]
    fn a_firmware_event_without_a_digest_is_refused() {
        for digest in ["", "00", &"00".repeat(32), &"00".repeat(49)] {
            let mut event = firmware(0, 1);
            event["digest"] = digest.into();
            assert_eq!(parse(&[event]), Err(BadLog::NoDigest { event: 0 }));
        }
    }

    #[test]
    fn members_are_strict() {
        let mut unknown = runtime("x", b"");
        unknown["extra"] = 1.into();
        assert!(matches!(parse(&[unknown]), Err(BadLog::NotJson { .. })));
        for text in ["", "{}", "null", "[{}]", "[] ]", "[1]"] {
            assert!(
                matches!(Dstack::parse(text.as_bytes()), Err(BadLog::NotJson { .. })),
                "{text}"
            );
        }
        let twice = runtime("x", b"").to_string().replacen('{', r#"{"imr":3,"#, 1);
        let twice = Dstack::parse(format!("[{twice}]").as_bytes());
        assert!(matches!(twice, Err(BadLog::NotJson { .. })), "{twice:?}");
        for payload in ["0", "AB", "0x00", "zz"] {
            let mut event = runtime("x", b"");
            event["event_payload"] = payload.into();
            assert_eq!(parse(&[event]), Err(BadLog::NotHex { event: 0 }));
        }
        for got in [4, 5, u32::MAX] {
            assert_eq!(parse(&[firmware(got, 1)]), Err(BadLog::Register { event: 0, got }));
        }
        for got in [0, 3] {
            let mut event = runtime("x", b"");
            event["version"] = got.into();
            assert_eq!(parse(&[event]), Err(BadLog::Version { event: 0, got }));
        }
        let mut event = runtime("x", b"");
        event["preimage"] = "00".into();
        assert_eq!(parse(&[event]), Err(BadLog::PreimageDiffers { event: 0 }));
        let many = vec![runtime("x", b""); EVENTS_MAX + 1];
        assert_eq!(parse(&many), Err(BadLog::TooManyEvents));
    }

    #[test]
    fn the_story_ends_where_the_application_begins() {
        let mut events = start(&[9; 20]);
        let log = parse(&events).unwrap();
        assert_eq!(log.compose_hash(), Some(B256::repeat_byte(2)));
        let story = log.story();
        assert!(story.contains(r#"key-provider {"name":"kms"}"#), "{story}");
        assert!(story.contains(&format!("instance-id 0x{}", "09".repeat(20))), "{story}");

        events.remove(3);
        events.push(runtime("compose-hash", &[6; 32]));
        assert_eq!(parse(&events).unwrap().compose_hash(), None);
    }

    #[test]
    fn an_event_of_the_system_cannot_be_there_twice() {
        for name in ONCE {
            let mut events = start(&[9; 20]);
            events.extend([runtime(name, b""), runtime(name, b"")]);
            assert_eq!(parse(&events), Err(BadLog::Twice { name }));
        }
        let mut events = start(&[9; 20]);
        events.extend([runtime("mine", b"1"), runtime("mine", b"2")]);
        assert!(parse(&events).is_ok());
    }

    #[test]
    fn another_register_tells_no_story() {
        let mut event = runtime("compose-hash", &[6; 32]);
        event["imr"] = 2.into();
        assert_eq!(parse(&[event]).unwrap().compose_hash(), None);
    }

    #[test]
    fn the_measurement_is_the_same_on_every_instance_and_for_nothing_else() {
        let rtmrs = [[1; 48], [2; 48], [3; 48], [4; 48]];
        let measure = |events: &[Value]| parse(events).unwrap().measurement(&[0; 48], &rtmrs);
        let one = measure(&start(&[9; 20]));
        assert_eq!(one, measure(&start(&[8; 20])));
        assert_eq!(one.to_string(), MEASUREMENT);

        let mut without = start(&[9; 20]);
        without.remove(4);
        assert_ne!(one, measure(&without), "an event that is not there is not one without payload");
        for at in [1, 2, 3, 5, 6, 7, 8] {
            let mut other = start(&[9; 20]);
            other[at]["event_payload"] = "ff".into();
            assert_ne!(one, measure(&other), "event {at}");
        }
        let mut more = start(&[9; 20]);
        more.push(runtime("mine", b""));
        assert_ne!(one, measure(&more));
        let mut moved = start(&[9; 20]);
        moved.swap(2, 3);
        assert_ne!(one, measure(&moved));
        for register in 0..3 {
            let mut other = rtmrs;
            other[register][0] ^= 1;
            let log = parse(&start(&[9; 20])).unwrap();
            assert_ne!(one, log.measurement(&[0; 48], &other));
        }
    }

    /// Computed by another program from the formula of spec/evidence.md section 5.
    const MEASUREMENT: &str = "0xd32600bb1293c3c34de2eb5a8baa024c8d1ccbb532b1ca0bd9419aa553e8d8a3";

    #[test]
    fn payloads_are_told_without_control_characters() {
        assert_eq!(tell(b""), "0x");
        assert_eq!(tell(b"zfs"), "zfs");
        assert_eq!(tell(b"\x1b[2J"), "0x1b5b324a");
        assert_eq!(tell(&[b'a'; 300]), format!("{}…", "a".repeat(256)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Dstack::parse(&bytes);
        }

        #[test]
        fn any_names_and_payloads_replay_as_they_were_extended(
            events in proptest::collection::vec((".{0,20}", any::<Vec<u8>>()), 0..8),
        ) {
            let mut own = [0; 48];
            for (name, payload) in &events {
                extend(&mut own, &runtime_event_digest(name, payload));
            }
            let log: Vec<Value> =
                events.iter().map(|(name, payload)| runtime(name, payload)).collect();
            prop_assert_eq!(parse(&log).unwrap().replay().0[3], own);
        }
    }
}
