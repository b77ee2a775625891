//! What a simulated trust domain measured while it started: its registers, and the log that they
//! follow from, in the firmware's form or in dstack's (reference: TCG PC Client Platform Firmware
//! Profile 10.2; dstack's guest agent).

use serde_json::json;
use sha2::{Digest, Sha256, Sha384};
use subrosa_verifier::EventLog;

use crate::Fault;

/// The TCG's event types, as far as this firmware has them.
const EV_NO_ACTION: u32 = 0x3;
const EV_SEPARATOR: u32 = 0x4;
const EV_EVENT_TAG: u32 = 0x6;
const EV_PLATFORM_CONFIG_FLAGS: u32 = 0xa;
const EV_EFI_BOOT_SERVICES_APPLICATION: u32 = 0x8000_0003;
const EV_EFI_ACTION: u32 = 0x8000_0007;
const EV_EFI_HANDOFF_TABLES2: u32 = 0x8000_000b;
/// dstack's own type, for what its guest agent measures.
const DSTACK_RUNTIME: u32 = 0x0800_0001;

/// The TCG's number of SHA-384, and its size.
const SHA384: u16 = 0xc;
const SHA384_BYTES: u16 = 48;

/// The first byte of a configuration id that is the hash of a compose file.
const CONFIG_ID_OF_COMPOSE: u8 = 1;

/// A start: the events, and what they were measured into.
pub(crate) struct Boot {
    /// RTMR 0 to 3.
    pub(crate) registers: [[u8; 48]; 4],
    events: Vec<Event>,
    form: Form,
}

enum Form {
    Ccel,
    Dstack { app_compose: Vec<u8> },
    Unlogged,
}

#[derive(Clone)]
struct Event {
    /// The register, 0 to 3.
    register: usize,
    kind: u32,
    /// Empty but for dstack's own events.
    name: &'static str,
    data: Vec<u8>,
    digest: [u8; 48],
}

impl Boot {
    /// A start that nobody kept a log of, and that measured nothing but the image.
    pub(crate) fn unlogged() -> Boot {
        Boot { registers: [[0; 48]; 4], events: vec![], form: Form::Unlogged }
    }

    /// The start of an image whose firmware keeps a log.
    pub(crate) fn with_firmware_log(image: &str) -> Boot {
        Boot::of(firmware(image), Form::Ccel)
    }

    /// The start of dstack's operating system with an application of this name.
    pub(crate) fn of_dstack(image: &str) -> Boot {
        let app_compose = app_compose(image);
        let mut events = firmware("dstack");
        events.extend(runtime(&app_compose));
        Boot::of(events, Form::Dstack { app_compose })
    }

    fn of(events: Vec<Event>, form: Form) -> Boot {
        let mut registers = [[0; 48]; 4];
        for event in &events {
            let register = &mut registers[event.register];
            let extended = Sha384::new().chain_update(*register).chain_update(event.digest);
            *register = extended.finalize().into();
        }
        Boot { registers, events, form }
    }

    /// What the host configured the guest with: the compose file's hash, where there is one.
    pub(crate) fn config_id(&self, fault: Option<Fault>) -> [u8; 48] {
        let mut config_id = [0; 48];
        if let EventLog::Dstack { app_compose, .. } = self.event_log(fault) {
            config_id[0] = CONFIG_ID_OF_COMPOSE;
            config_id[1..33].copy_from_slice(&Sha256::digest(app_compose));
        }
        if fault == Some(Fault::OtherConfigId) {
            config_id[1] ^= 1;
        }
        config_id
    }

    /// The log, as the guest tells it.
    pub(crate) fn event_log(&self, fault: Option<Fault>) -> EventLog {
        let events = told(self.events.clone(), fault);
        match &self.form {
            Form::Unlogged => EventLog::None,
            Form::Ccel => EventLog::Ccel { log: ccel(&events) },
            Form::Dstack { app_compose } => {
                let mut app_compose = app_compose.clone();
                if fault == Some(Fault::ComposeSwapped) {
                    app_compose.push(b'\n');
                }
                EventLog::Dstack { log: dstack(&events), app_compose }
            }
        }
    }
}

impl Event {
    /// An event whose digest is of its data, as most of the firmware's are.
    fn firmware(register: usize, kind: u32, data: &[u8]) -> Event {
        let digest = Sha384::digest(data).into();
        Event { register, kind, name: "", data: data.to_vec(), digest }
    }

    /// An event of dstack's guest agent: the digest is of type, name and payload.
    fn runtime(name: &'static str, data: &[u8]) -> Event {
        let digest = Sha384::new()
            .chain_update(DSTACK_RUNTIME.to_le_bytes())
            .chain_update(b":")
            .chain_update(name)
            .chain_update(b":")
            .chain_update(data)
            .finalize()
            .into();
        Event { register: 3, kind: DSTACK_RUNTIME, name, data: data.to_vec(), digest }
    }
}

/// What the firmware and the kernel's loader measure, in a plausible selection.
fn firmware(image: &str) -> Vec<Event> {
    let kernel = Sha384::digest(format!("subrosa/simulator/kernel/v1/{image}"));
    let command_line = format!("console=ttyS0 subrosa.image=\"{image}\"");
    vec![
        Event::firmware(0, EV_EFI_HANDOFF_TABLES2, b"\tTdxTable\x01\0\0\0\0\0\0\0"),
        Event::firmware(0, EV_SEPARATOR, &[0; 4]),
        Event::firmware(0, EV_PLATFORM_CONFIG_FLAGS, b"ACPI DATA"),
        Event::firmware(1, EV_EFI_BOOT_SERVICES_APPLICATION, &kernel),
        Event::firmware(1, EV_EFI_ACTION, b"Calling EFI Application from Boot Option"),
        Event::firmware(1, EV_SEPARATOR, &[0; 4]),
        Event::firmware(2, EV_EVENT_TAG, command_line.as_bytes()),
        Event::firmware(2, EV_EVENT_TAG, b"Linux initrd"),
        Event::firmware(1, EV_EFI_ACTION, b"Exit Boot Services Invocation"),
        Event::firmware(1, EV_EFI_ACTION, b"Exit Boot Services Returned with Success"),
    ]
}

/// What dstack's guest agent measures, in its order.
fn runtime(app_compose: &[u8]) -> Vec<Event> {
    let compose_hash = Sha256::digest(app_compose);
    let instance = Sha256::digest("subrosa/simulator/dstack-instance/v1");
    let system = Sha256::digest("subrosa/simulator/dstack-system/v1");
    let key_provider = json!({ "name": "none", "id": "" }).to_string();
    vec![
        Event::runtime("system-preparing", b""),
        Event::runtime("app-id", &compose_hash[..20]),
        Event::runtime("compose-hash", &compose_hash),
        Event::runtime("instance-id", &instance[..20]),
        Event::runtime("boot-mr-done", b""),
        Event::runtime("os-image-hash", &system),
        Event::runtime("key-provider", key_provider.as_bytes()),
        Event::runtime("storage-fs", b"ext4"),
        Event::runtime("system-ready", b""),
    ]
}

/// The compose file of an application of this name.
fn app_compose(image: &str) -> Vec<u8> {
    json!({
        "manifest_version": 2,
        "name": image,
        "runner": "docker-compose",
        "docker_compose_file": format!("services:\n  pod:\n    image: {image:?}\n"),
        "kms_enabled": false,
        "public_logs": false,
        "public_sysinfo": false,
    })
    .to_string()
    .into_bytes()
}

/// The events as a faulty guest tells them.
fn told(mut events: Vec<Event>, fault: Option<Fault>) -> Vec<Event> {
    // Of the first register, so that each form has it; of dstack's own, the application's id.
    match fault {
        Some(Fault::EventDigest) => events[0].digest[0] ^= 1,
        Some(Fault::EventDropped) => drop(events.remove(0)),
        Some(Fault::EventsSwapped) => events.swap(0, 1),
        Some(Fault::EventPayload) => {
            let app_id = events.iter_mut().find(|event| event.name == "app-id");
            app_id.expect("dstack always measures the application's id").data[0] ^= 1;
        }
        _ => {}
    }
    events
}

/// The TCG's crypto-agile format: a first event in the old form that names the algorithms.
fn ccel(events: &[Event]) -> Vec<u8> {
    let mut specification = b"Spec ID Event03\0".to_vec();
    specification.extend(0u32.to_le_bytes()); // the platform's class: a client
    specification.extend([0, 2, 0, 2]); // minor, major and errata of 2.0; words of 64 bits
    specification.extend(1u32.to_le_bytes());
    specification.extend(SHA384.to_le_bytes());
    specification.extend(SHA384_BYTES.to_le_bytes());
    specification.push(0); // nothing of the vendor

    let mut log = 1u32.to_le_bytes().to_vec();
    log.extend(EV_NO_ACTION.to_le_bytes());
    log.extend([0; 20]);
    extend_with_length(&mut log, &specification);
    for event in events {
        // Registers are counted from 1, because 0 is the measurement of what was loaded.
        log.extend((event.register as u32 + 1).to_le_bytes());
        log.extend(event.kind.to_le_bytes());
        log.extend(1u32.to_le_bytes());
        log.extend(SHA384.to_le_bytes());
        log.extend(event.digest);
        extend_with_length(&mut log, &event.data);
    }
    log
}

/// The guest agent's form. It leaves out the digests that follow from an event's own members, as
/// production logs do.
fn dstack(events: &[Event]) -> Vec<u8> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let event = |event: &Event| {
        json!({
            "imr": event.register,
            "event_type": event.kind,
            "digest": match event.kind {
                DSTACK_RUNTIME => String::new(),
                _ => hex(&event.digest),
            },
            "event": event.name,
            "event_payload": hex(&event.data),
        })
    };
    let events: Vec<_> = events.iter().map(event).collect();
    json!(events).to_string().into_bytes()
}

fn extend_with_length(bytes: &mut Vec<u8>, block: &[u8]) {
    let length = u32::try_from(block.len()).expect("events have some hundred bytes at most");
    bytes.extend(length.to_le_bytes());
    bytes.extend(block);
}
