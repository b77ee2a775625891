//! An exported receipt: accepted as it is, refused by name for each thing that could be wrong with it.

use serde_json::{Value, json};
use subrosa_attester::Simulator;
use subrosa_chain::Network;
use subrosa_client::export::{Against, BundleReport, Unreadable, check};
use subrosa_protocol::manifest::{Layer, ModelManifest};
use subrosa_protocol::workload::{Backend, BackendKind, WorkloadModel};
use subrosa_protocol::*;
use subrosa_verifier::{Nonce, Outcome as CheckOutcome, ReleaseKind, Verdict};

#[path = "../../verifier/tests/verifier/ledger.rs"]
mod ledger;
#[path = "export/releases.rs"]
mod releases;

use ledger::{Ledger, stored};

/// The network's releases contract.
const RELEASES: Address = Address::with_last_byte(0xe7);

const NOW: Timestamp = Timestamp(1_790_000_000);
const LABEL: &str = "subrosa/export-test";

fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes(&[byte; 32]).unwrap()
}

/// A pod, its payer, and one answered question; each part can be spoilt before it is signed.
struct World {
    domain: Domain,
    signer: SecretKey,
    payer: SecretKey,
    workload: Workload,
    keyset: Vec<u8>,
    label: &'static str,
    offer: Offer,
    order: Order,
    receipt: Receipt,
    channel: ChannelConfig,
}

impl World {
    fn new() -> World {
        let (signer, payer) = (key(1), key(2));
        let domain = Domain { chain_id: 31337, escrow: Address::repeat_byte(0xe5) };
        let layer = Layer { role: "weights".into(), path: "a".into(), size: 1, sha256: B256::ZERO };
        let manifest = ModelManifest::new(vec![layer]).unwrap();
        let model = manifest.digest();
        let workload = Workload {
            image: LABEL.into(),
            backend: Backend { kind: BackendKind::Builtin, in_image: true, pulls: false },
            exits: vec![],
            models: vec![WorkloadModel { name: "tiny".into(), manifest, settings: vec![] }],
        };
        let keyset =
            Keyset { signer: signer.address(), not_after: NOW.after(Duration(86_400)) }.to_bytes();
        let digest = workload_digest(&keyset, &workload.to_bytes());
        let price = Price { input: Amount(1_000_000), output: Amount(2_000_000) };
        let offer = Offer {
            chain_id: domain.chain_id,
            escrow: domain.escrow,
            token: Address::repeat_byte(4),
            payee: Address::repeat_byte(5),
            signer: signer.address(),
            withdraw_delay: Duration(86_400),
            workload: digest,
            models: vec![ModelOffer {
                digest: model,
                price,
                template_bound: 8,
                context_tokens: 64,
                output_tokens_max: 32,
            }],
            expires: NOW.after(Duration(86_400)),
        };
        let channel = ChannelConfig {
            payer: payer.address(),
            payer_authorizer: payer.address(),
            receiver: offer.payee,
            receiver_authorizer: signer.address(),
            token: offer.token,
            withdraw_delay: offer.withdraw_delay,
            salt: B256::ZERO,
        };
        let account = Account::from(channel.id(&domain));
        let order = Order {
            account,
            offer: offer.digest(&domain),
            request_id: RequestId(B256::repeat_byte(7)),
            request_hash: B256::repeat_byte(8),
            max_charge: Amount(100),
            ceiling: Amount(1_000),
            expires: NOW.after(Duration(600)),
        };
        let receipt = Receipt {
            account,
            seq: 1,
            prev: B256::ZERO,
            request_hash: order.request_hash,
            response_hash: B256::repeat_byte(9),
            model,
            workload: digest,
            offer: order.offer,
            outcome: Outcome::Complete,
            input_tokens: 10,
            output_tokens: 20,
            charged: Amount(50),
            cumulative: Amount(50),
            issued_at: NOW,
        };
        World {
            domain,
            signer,
            payer,
            workload,
            keyset,
            label: LABEL,
            offer,
            order,
            receipt,
            channel,
        }
    }

    fn evidence(&self) -> Vec<u8> {
        let simulator = Simulator::new(self.label);
        let nonce = Nonce {
            verifier: B256::ZERO,
            chain_id: self.domain.chain_id,
            block_number: 3,
            block_hash: B256::repeat_byte(3),
        };
        let workload = self.workload.to_bytes();
        let evidence = simulator.evidence(&nonce, &self.keyset, &workload, NOW).unwrap();
        evidence.as_bytes().to_vec()
    }

    fn bundle(&self) -> Value {
        self.bundle_listing(self.receipt.model)
    }

    /// A bundle that rests on a block of a chain which released the image and one model.
    fn bundle_listing(&self, model: B256) -> Value {
        let mut ledger = Ledger::new(NOW.0 - 60);
        ledger.contract = RELEASES;
        ledger.store(ReleaseKind::Measurement, Simulator::measurement(LABEL), stored(2, 1, false));
        ledger.store(ReleaseKind::Model, model, stored(2, 1, false));
        self.bundle_resting_on(&ledger, model)
    }

    fn bundle_resting_on(&self, ledger: &Ledger, model: B256) -> Value {
        let image = Simulator::measurement(LABEL);
        let proof = ledger.prove(&[(ReleaseKind::Measurement, image), (ReleaseKind::Model, model)]);
        let block = proof.verify().unwrap().block();
        json!({
            "kind": "subrosa-receipt/v1",
            "domain": self.domain,
            "receipt": Signed::sign(self.receipt.clone(), &self.domain, &self.signer).to_base64(),
            "order": Signed::sign(self.order.clone(), &self.domain, &self.payer).to_base64(),
            "offer": Signed::sign(self.offer.clone(), &self.domain, &self.signer).to_base64(),
            "channel": encoding::to_base64(&self.channel.encode()),
            "evidence": encoding::to_base64(&self.evidence()),
            "releases": {
                "block": { "number": block.number, "hash": block.hash },
                "measurements": [image],
                "models": [model],
                "proof": proof,
            },
            "exported_at": NOW.0,
        })
    }
}

fn network(trust: &str) -> Network {
    Network::parse(&format!(
        r#"
        name = "test"
        trust = "{trust}"
        chain_id = 31337
        rpc = "http://127.0.0.1:1"
        deployed_block = 0
        finality = 1
        view_age_max_s = 60
        [contracts]
        escrow = "0xe5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5"
        registry = "0x00000000000000000000000000000000000000e6"
        releases = "0x00000000000000000000000000000000000000e7"
        token = "0x0404040404040404040404040404040404040404"
        [publishers]
        threshold = 1
        addresses = ["0x00000000000000000000000000000000000000e9"]
        "#
    ))
    .unwrap()
}

fn examine(bundle: &Value) -> BundleReport {
    let network = network("simulated");
    let against = Against { network: Some(&network), ..Against::default() };
    check(bundle.to_string().as_bytes(), against).unwrap()
}

fn failed(report: &BundleReport) -> Vec<&str> {
    let failed = report.checks.iter().filter(|check| check.outcome == CheckOutcome::Failed);
    failed.map(|check| check.name.as_str()).collect()
}

#[test]
fn an_honest_receipt_is_accepted_and_told() {
    let report = examine(&World::new().bundle());
    assert_eq!((failed(&report), report.verdict), (vec![], Verdict::Accepted));
    assert!(report.simulated);
    assert!(report.releases_from.contains("block 3"), "{}", report.releases_from);
    assert!(report.told.iter().any(|line| line.contains("SIMULATED")));
    assert!(report.told.iter().any(|line| line.contains("charged 50")));
    assert!(report.told.iter().any(|line| line.contains("time asserted by the pod only")));
}

#[test]
fn simulated_evidence_is_refused_without_a_simulated_network() {
    let bundle = World::new().bundle().to_string();
    let hardware = network("hardware");
    for network in [None, Some(&hardware)] {
        let against = Against { network, ..Against::default() };
        let report = check(bundle.as_bytes(), against).unwrap();
        assert_eq!(report.verdict, Verdict::Refused);
        let signature = report.checks.iter().find(|check| check.name == "receipt_signature");
        assert_eq!(signature.unwrap().outcome, CheckOutcome::Absent);
        assert!(report.told.is_empty());
    }
}

/// Spoils one part of the world, and expects exactly these checks to fail.
fn spoilt(spoil: impl FnOnce(&mut World), expected: &[&str]) {
    let mut world = World::new();
    spoil(&mut world);
    let report = examine(&world.bundle());
    assert_eq!(report.verdict, Verdict::Refused);
    assert_eq!(failed(&report), expected);
}

#[test]
fn each_false_part_fails_its_own_check() {
    spoilt(|world| world.label = "subrosa/other", &["tee_measurement"]);
    spoilt(|world| world.receipt.charged = Amount(49), &["charge"]);
    spoilt(|world| world.order.max_charge = Amount(49), &["charge"]);
    spoilt(|world| world.receipt.cumulative = Amount(49), &["receipt_chain"]);
    spoilt(|world| world.receipt.seq = 0, &["receipt_chain"]);
    spoilt(|world| world.order.request_hash = B256::ZERO, &["order_binding"]);
    spoilt(|world| world.order.offer = B256::ZERO, &["offer_binding"]);
    spoilt(|world| world.receipt.offer = B256::ZERO, &["offer_binding"]);
    spoilt(|world| world.receipt.workload = B256::ZERO, &["workload_binding"]);
    spoilt(|world| world.payer = key(3), &["order_signature"]);
    spoilt(|world| world.channel.salt = B256::repeat_byte(1), &["order_signature"]);
    spoilt(|world| world.signer = key(3), &["receipt_signature", "offer_signature"]);
    spoilt(
        |world| world.domain.escrow = Address::repeat_byte(1),
        &["network", "offer_binding", "order_signature"],
    );
}

#[test]
fn a_receipt_for_weights_that_were_not_measured_is_refused() {
    let mut world = World::new();
    let measured = world.receipt.model;
    world.receipt.model = B256::repeat_byte(1);
    let bundle = world.bundle_listing(measured);
    assert_eq!(failed(&examine(&bundle)), ["model_measured", "charge"]);
}

#[test]
fn a_free_rerun_is_no_false_charge() {
    let mut world = World::new();
    world.receipt.charged = Amount::ZERO;
    assert_eq!(examine(&world.bundle()).verdict, Verdict::Accepted);
}

#[test]
fn what_is_no_bundle_is_unreadable() {
    let bundle = World::new().bundle();
    let read =
        |bundle: &Value| check(bundle.to_string().as_bytes(), Against::default()).unwrap_err();
    for (member, named) in [
        ("receipt", "receipt"),
        ("order", "order"),
        ("offer", "offer"),
        ("channel", "channel"),
        ("evidence", "evidence"),
    ] {
        let mut damaged = bundle.clone();
        damaged[member] = json!("AAAA");
        assert_eq!(read(&damaged), Unreadable::Member { member: named });
    }
    let mut other = bundle.clone();
    other["kind"] = json!("subrosa-receipt/v2");
    assert_eq!(read(&other), Unreadable::NotABundle);
    let mut more = bundle;
    more["more"] = json!(1);
    assert_eq!(read(&more), Unreadable::NotABundle);
    assert_eq!(check(b"", Against::default()), Err(Unreadable::NotABundle));
    assert_eq!(check(&[b' '; 5 * 1024 * 1024], Against::default()), Err(Unreadable::TooLong));
}
