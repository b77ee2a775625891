//! The chain from silicon root to answer, as a picture: what each link says, and whether it holds.
//!
//! The picture is made of the checks alone, so that it cannot say more than they do.

mod svg;
mod text;

use subrosa_verifier::{Outcome, Verdict};

use crate::checked::Checked;

pub(crate) use svg::svg;
pub(crate) use text::text;

/// How many characters of what was seen a link shows; `verify` shows the rest.
const SEEN_CHARS_MAX: usize = 160;

/// A chain of links, with a second one beside its beginning where there are devices.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) sentence: String,
    pub(crate) accepted: bool,
    pub(crate) simulated: bool,
    /// From the processor's maker to the image.
    pub(crate) processor: Vec<Link>,
    /// From the devices' maker to their firmware; empty where there is no device.
    pub(crate) devices: Vec<Link>,
    /// Whether the processor's quote binds the devices' evidence.
    pub(crate) bound: State,
    /// What both lead to: from the key to the answer.
    pub(crate) answer: Vec<Link>,
}

/// One link: it holds as well as the worst of its checks.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) title: &'static str,
    /// What the link is for, in plain words.
    pub(crate) about: &'static str,
    pub(crate) state: State,
    /// What was seen, one line a check.
    pub(crate) seen: Vec<Seen>,
}

/// A line of a link.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) state: State,
    pub(crate) check: String,
    pub(crate) text: String,
}

/// How a link or a check stands, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Holds,
    Waived,
    Unsaid,
    Broken,
}

impl State {
    fn of(outcome: Outcome) -> State {
        match outcome {
            Outcome::Absent => State::Unsaid,
            Outcome::Failed => State::Broken,
            Outcome::Passed => State::Holds,
            Outcome::Waived => State::Waived,
        }
    }

    /// A sign that needs no colour.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            State::Holds => "✓",
            State::Waived => "–",
            State::Unsaid => "○",
            State::Broken => "✗",
        }
    }

    /// The word beside the sign.
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Holds => "holds",
            State::Waived => "not demanded",
            State::Unsaid => "not said",
            State::Broken => "broken",
        }
    }
}

/// What a link is made of, before anything was seen.
#[derive(Clone, Copy)]
struct Plan {
    title: &'static str,
    about: &'static str,
    checks: &'static [&'static str],
}

const PROCESSOR: [Plan; 4] = [
    Plan {
        title: "the maker's root",
        about: "the maker of the processor signs for every genuine one",
        checks: &["tee_cert_chain"],
    },
    Plan {
        title: "the machine",
        about: "a genuine processor, with firmware that its maker judges",
        checks: &[
            "intel_pcs_collateral",
            "amd_kds_collateral",
            "tee_tcb_not_revoked",
            "tee_tcb_current",
            "tee_tcb_evaluation",
            "cpu_id_registry",
        ],
    },
    Plan {
        title: "the quote",
        about: "the processor signs what runs inside it",
        checks: &[
            "tee_quote_structure",
            "tee_quote_padding",
            "tee_quote_signature",
            "tee_debug_disabled",
            "tee_hardware_config",
        ],
    },
    Plan {
        title: "the image",
        about: "what booted is what was published",
        checks: &[
            "tee_boot_config",
            "event_log_integrity",
            "compose_binding",
            "releases_proof",
            "releases_block",
            "tee_measurement",
        ],
    },
];

/// In place of a processor's maker: nobody but AWS signs a Nitro document.
const NITRO: [Plan; 4] = [
    Plan {
        title: "AWS",
        about: "signs for machines that it owns; no processor's maker does",
        checks: &["tee_cert_chain"],
    },
    Plan {
        title: "the machine",
        about: "AWS's own, with a hypervisor of AWS's",
        checks: &[
            "tee_tcb_not_revoked",
            "tee_tcb_current",
            "tee_hardware_config",
            "cpu_id_registry",
        ],
    },
    Plan {
        title: "the document",
        about: "AWS's hypervisor says what runs inside an enclave, kept from all but AWS",
        checks: &[
            "tee_quote_structure",
            "tee_quote_padding",
            "tee_quote_signature",
            "tee_debug_disabled",
        ],
    },
    Plan {
        title: "the image",
        about: "what the enclave was started with",
        checks: &["tee_boot_config", "tee_measurement"],
    },
];

/// In place of everything: a service's word is all that there is.
const TOKEN: [Plan; 3] = [
    Plan {
        title: "NVIDIA's service",
        about: "signs what it found; whether the keys are its own, you must know",
        checks: &[
            "nvidia_token_structure",
            "nvidia_token_algorithm",
            "nvidia_token_validity",
            "nvidia_nras_verified",
        ],
    },
    Plan {
        title: "the tokens",
        about: "one over all GPUs and one for each, for the nonce that was sent",
        checks: &["nonce_match", "nvidia_token_binding", "nvidia_distinct_devices"],
    },
    Plan {
        title: "the GPUs",
        about: "as the service says; nothing was compared here",
        checks: &["cpu_id_registry", "nvidia_claims"],
    },
];

const DEVICES: [Plan; 3] = [
    Plan {
        title: "NVIDIA's root",
        about: "the maker of the GPUs signs for every genuine one",
        checks: &["nvidia_cert_chain", "nvidia_revocation"],
    },
    Plan {
        title: "the devices",
        about: "each GPU and switch signs what runs inside it, and for whom",
        checks: &[
            "nvidia_payload_present",
            "nvidia_nonce",
            "nvidia_signature",
            "nvidia_firmware_id",
            "nvidia_distinct_devices",
            "nvswitch_binding",
        ],
    },
    Plan {
        title: "driver and firmware",
        about: "what they run is what NVIDIA published",
        checks: &[
            "nvidia_rim_chain",
            "nvidia_rim_digest",
            "nvidia_rim_signature",
            "nvidia_measurements",
        ],
    },
];

/// Devices beside which no processor says anything: whoever asked them asked nobody else.
const DEVICES_ALONE: [Plan; 3] = [
    DEVICES[0],
    Plan {
        checks: &[
            "nonce_match",
            "cpu_id_registry",
            "nvidia_payload_present",
            "nvidia_nonce",
            "nvidia_signature",
            "nvidia_firmware_id",
            "nvidia_distinct_devices",
            "nvswitch_binding",
        ],
        ..DEVICES[1]
    },
    DEVICES[2],
];

const ANSWER: [Plan; 4] = [
    Plan {
        title: "the key",
        about: "made inside, bound by the quote; it signs everything else",
        checks: &[
            "nonce_match",
            "block_recent",
            "tee_reportdata_binding",
            "cpu_gpu_chain",
            "signing_key_present",
            "tls_key_binding",
        ],
    },
    Plan {
        title: "the workload",
        about: "the models, and every setting that could let a word out",
        checks: &[
            "workload_structure",
            "backend_in_image",
            "plaintext_exits",
            "measured_model_weights",
            "workload_binding",
            "model_measured",
        ],
    },
    Plan {
        title: "the order",
        about: "what was asked, and what it may cost",
        checks: &[
            "network",
            "offer_signature",
            "offer_binding",
            "order_signature",
            "order_binding",
        ],
    },
    Plan {
        title: "the answer's receipt",
        about: "which model answered what, and what it cost",
        checks: &["receipt_signature", "charge", "receipt_chain"],
    },
];

impl Picture {
    pub(crate) fn of(checked: &Checked) -> Picture {
        let links =
            |plans: &[Plan]| plans.iter().filter_map(|plan| Link::of(plan, checked)).collect();
        let [processor, devices, answer] = plans(&checked.kind);
        let mut devices: Vec<Link> = links(devices);
        if devices.iter().all(|link| matches!(link.state, State::Waived | State::Unsaid)) {
            devices.clear();
        }
        let chain = checked.checks.iter().find(|check| check.name == "cpu_gpu_chain");
        Picture {
            sentence: checked.sentence.clone(),
            accepted: checked.verdict == Verdict::Accepted,
            simulated: checked.simulated,
            processor: links(processor),
            devices,
            bound: chain.map_or(State::Unsaid, |check| State::of(check.outcome)),
            answer: links(answer),
        }
    }
}

/// What a kind of file stands on: on the left, on the right, and what both lead to.
fn plans(kind: &str) -> [&'static [Plan]; 3] {
    match kind {
        "nitro_document" => [&NITRO, &[], &ANSWER],
        "nvidia_devices" => [&DEVICES_ALONE, &[], &[]],
        "nvidia_token" => [&TOKEN, &[], &[]],
        _ => [&PROCESSOR, &DEVICES, &ANSWER],
    }
}

impl Link {
    /// The link, where a check of it was made at all for this kind of file.
    fn of(plan: &Plan, checked: &Checked) -> Option<Link> {
        let made = checked.checks.iter().filter(|check| plan.checks.contains(&check.name.as_str()));
        let seen: Vec<Seen> = made
            .map(|check| Seen {
                state: State::of(check.outcome),
                check: check.name.clone(),
                text: shortened(&check.seen),
            })
            .collect();
        // A check that policy does not demand takes nothing from a link in which others hold.
        let demanded = seen.iter().map(|seen| seen.state).filter(|state| *state != State::Waived);
        let state = match demanded.max() {
            Some(worst) => worst,
            None => seen.first()?.state,
        };
        Some(Link { title: plan.title, about: plan.about, state, seen })
    }
}

/// At most so many characters, with a sign where some are left out.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(SEEN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use subrosa_client::export::BundleCheck;
    use subrosa_protocol::Timestamp;
    use subrosa_verifier::{CheckName, Cpu, Kind};

    use super::*;

    /// A file of which every check came out the same, but for those that are named.
    pub(crate) fn checked(outcome: Outcome, others: &[(&str, Outcome)]) -> Checked {
        let plans = PROCESSOR.iter().chain(&DEVICES).chain(&ANSWER);
        let check = |name: &&str| BundleCheck {
            name: (*name).into(),
            outcome: others
                .iter()
                .find(|(other, _)| other == name)
                .map_or(outcome, |other| other.1),
            protects: "an attack".into(),
            seen: format!("what {name} saw"),
        };
        Checked {
            verdict: Verdict::Accepted,
            sentence: "accepted: <all> & \"everything\"".into(),
            kind: "receipt".into(),
            policy: "strict".into(),
            simulated: false,
            at: Timestamp(1),
            checks: plans.flat_map(|plan| plan.checks.iter().map(check)).collect(),
            releases_from: None,
            told: Vec::new(),
        }
    }

    #[test]
    fn every_check_of_evidence_has_its_link_and_only_one() {
        let plans = PROCESSOR.iter().chain(&DEVICES).chain(&ANSWER);
        let planned: Vec<&str> = plans.flat_map(|plan| plan.checks).copied().collect();
        assert_eq!(planned.iter().collect::<BTreeSet<_>>().len(), planned.len());
        let kind = Kind::Evidence(Cpu::Tdx);
        for name in CheckName::ALL.into_iter().filter(|name| name.applies_to(kind)) {
            assert!(planned.contains(&name.as_str()), "{name} is in no link");
        }
    }

    #[test]
    fn every_check_of_what_no_processor_signed_has_its_link_and_only_one() {
        for kind in [Kind::NitroDocument, Kind::NvidiaDevices, Kind::NvidiaToken] {
            let links = plans(kind.as_str()).into_iter().flatten();
            let planned: Vec<&str> = links.flat_map(|plan| plan.checks).copied().collect();
            assert_eq!(planned.iter().collect::<BTreeSet<_>>().len(), planned.len());
            let devices = DEVICES.iter().flat_map(|plan| plan.checks).copied();
            let left_out: Vec<&str> = match kind {
                // It has no place for devices, and so no picture of them.
                Kind::NitroDocument => devices.collect(),
                _ => vec![],
            };
            for name in CheckName::ALL.into_iter().filter(|name| name.applies_to(kind)) {
                let is_drawn = planned.contains(&name.as_str());
                assert!(is_drawn != left_out.contains(&name.as_str()), "{kind:?}: {name}");
            }
        }
    }

    #[test]
    fn a_picture_of_what_no_processor_signed_begins_with_who_did() {
        for (kind, first, others) in [
            ("nitro_document", "AWS", &["NVIDIA's service", "NVIDIA's root"]),
            ("nvidia_devices", "NVIDIA's root", &["AWS", "NVIDIA's service"]),
            ("nvidia_token", "NVIDIA's service", &["AWS", "NVIDIA's root"]),
        ] {
            let mut checked = checked(Outcome::Passed, &[]);
            checked.kind = kind.into();
            let like = checked.checks[0].clone();
            let names = TOKEN.iter().flat_map(|plan| plan.checks);
            let of_tokens = names.map(|name| BundleCheck { name: (*name).into(), ..like.clone() });
            checked.checks.extend(of_tokens);
            let picture = Picture::of(&checked);
            assert_eq!(picture.processor[0].title, first);
            assert!(picture.devices.is_empty());
            let titles = picture.processor.iter().chain(&picture.answer).map(|link| link.title);
            let made_up = [&["the maker's root", "the quote"], &others[..]].concat();
            assert!(titles.into_iter().all(|title| !made_up.contains(&title)));
        }
    }

    #[test]
    fn a_link_stands_as_its_worst_check() {
        for (outcome, state) in [
            (Outcome::Failed, State::Broken),
            (Outcome::Absent, State::Unsaid),
            (Outcome::Waived, State::Holds),
        ] {
            let picture =
                Picture::of(&checked(Outcome::Passed, &[("tee_quote_signature", outcome)]));
            assert_eq!(picture.processor[2].state, state, "{outcome:?}");
            assert_eq!(picture.processor[1].state, State::Holds);
        }
    }

    #[test]
    fn what_was_seen_is_cut_with_a_sign() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"ñ".repeat(SEEN_CHARS_MAX + 1));
        assert_eq!(cut.chars().count(), SEEN_CHARS_MAX + 1);
        assert!(cut.ends_with('…'));
    }

    #[test]
    fn a_link_of_which_nothing_is_demanded_says_so() {
        let picture = Picture::of(&checked(Outcome::Waived, &[]));
        assert!(picture.answer.iter().all(|link| link.state == State::Waived));
    }

    #[test]
    fn devices_that_are_not_there_are_not_drawn() {
        for outcome in [Outcome::Waived, Outcome::Absent] {
            assert!(Picture::of(&checked(outcome, &[])).devices.is_empty());
        }
        let one = [("nvidia_nonce", Outcome::Failed)];
        assert_eq!(Picture::of(&checked(Outcome::Waived, &one)).devices.len(), 3);
    }

    #[test]
    fn a_link_without_a_check_is_not_drawn() {
        let mut checked = checked(Outcome::Passed, &[]);
        checked.checks.retain(|check| !check.name.contains("receipt") && check.name != "charge");
        let picture = Picture::of(&checked);
        assert!(picture.answer.iter().all(|link| link.title != "the answer's receipt"));
    }
}
