//! Keyset, workload and 402: one spelling, and garbage refused.

use proptest::prelude::*;
use subrosa_protocol::manifest::{Layer, ModelManifest};
use subrosa_protocol::workload::{Backend, BackendKind, Setting, WorkloadModel};
use subrosa_protocol::x402::{Extra, PaymentRequired, PaymentRequirements, Resource};
use subrosa_protocol::*;

const KEYSET: &str =
    r#"{"signer":"0x1111111111111111111111111111111111111111","not_after":1800000000}"#;

fn workload() -> Workload {
    let layer =
        Layer { role: "weights".into(), path: "a.gguf".into(), size: 3, sha256: B256::ZERO };
    Workload {
        image: "subrosa".into(),
        backend: Backend { kind: BackendKind::Builtin, in_image: true, pulls: false },
        exits: vec![],
        models: vec![WorkloadModel {
            name: "smollm2".into(),
            manifest: ModelManifest::new(vec![layer]).unwrap(),
            settings: vec![Setting { name: "context".into(), value: "8192".into() }],
        }],
    }
}

#[test]
fn a_keyset_has_exact_bytes() {
    let keyset = Keyset { signer: Address::repeat_byte(0x11), not_after: Timestamp(1_800_000_000) };
    assert_eq!(String::from_utf8(keyset.to_bytes()).unwrap(), KEYSET);
    assert_eq!(Keyset::from_bytes(KEYSET.as_bytes()), Ok(keyset));
}

#[test]
fn a_second_spelling_of_a_keyset_is_refused() {
    for wrong in [
        KEYSET.replace(':', ": "),
        KEYSET.replace("0x1111", "0X1111"),
        KEYSET.replace("{", "{\"more\":1,"),
        KEYSET.replace("}", ",\"not_after\":1800000000}"),
        KEYSET.replace("1800000000", "1.8e9"),
        format!("{KEYSET}\n"),
        KEYSET.replace(
            "0x1111111111111111111111111111111111111111",
            "0xAAAAaAAAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        String::new(),
        "x".repeat(2_000),
    ] {
        assert!(Keyset::from_bytes(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn a_workload_has_exact_bytes() {
    let zeros = "0".repeat(64);
    let text = format!(
        r#"{{"image":"subrosa","backend":{{"kind":"builtin","in_image":true,"pulls":false}},"exits":[],"models":[{{"name":"smollm2","manifest":{{"layers":[{{"role":"weights","path":"a.gguf","size":3,"sha256":"0x{zeros}"}}]}},"settings":[{{"name":"context","value":"8192"}}]}}]}}"#
    );
    assert_eq!(String::from_utf8(workload().to_bytes()).unwrap(), text);
    assert_eq!(Workload::from_bytes(text.as_bytes()), Ok(workload()));
    let climbing = text.replace("a.gguf", "../a.gguf");
    assert!(Workload::from_bytes(climbing.as_bytes()).is_err());
}

#[test]
fn a_workload_digest_binds_keyset_and_workload_apart() {
    let one = workload_digest(b"keyset", b"workload");
    assert_ne!(one, workload_digest(b"keysetw", b"orkload"));
    assert_ne!(one, workload_digest(b"workload", b"keyset"));
}

#[test]
fn a_402_reads_back_as_x402_spells_it() {
    let required = PaymentRequired {
        x402_version: 2,
        error: "missing_channel".into(),
        resource: Resource { url: "/v1/chat/completions".into() },
        accepts: vec![PaymentRequirements {
            scheme: "batch-settlement".into(),
            network: "eip155:31337".into(),
            amount: Amount(12),
            asset: Address::ZERO,
            pay_to: Address::ZERO,
            max_timeout_seconds: 60,
            extra: Extra {
                receiver_authorizer: Address::ZERO,
                withdraw_delay: 900,
                name: "x402 Batch Settlement".into(),
                version: "1".into(),
            },
        }],
        extensions: Default::default(),
    };
    let json = serde_json::to_value(&required).unwrap();
    assert_eq!(json["x402Version"], 2);
    assert_eq!(json["accepts"][0]["amount"], "12");
    assert_eq!(json["accepts"][0]["maxTimeoutSeconds"], 60);
    assert_eq!(json["accepts"][0]["extra"]["receiverAuthorizer"], format!("{:?}", Address::ZERO));
    assert_eq!(PaymentRequired::from_header(&required.to_header()), Some(required));
    assert_eq!(PaymentRequired::from_header("not base64"), None);
}

proptest! {
    #[test]
    fn garbage_is_no_document(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Keyset::from_bytes(&bytes).is_err());
        prop_assert!(Workload::from_bytes(&bytes).is_err());
    }
}
