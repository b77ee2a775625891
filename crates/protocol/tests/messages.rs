//! Each message: exact bytes and digest (`spec/vectors/eip712.json`), round trip, and garbage.

use std::collections::BTreeMap;

use proptest::prelude::*;
use subrosa_protocol::*;

fn vectors() -> BTreeMap<String, serde_json::Value> {
    let text = include_str!("../../../spec/vectors/eip712.json");
    let file: serde_json::Value = serde_json::from_str(text).unwrap();
    file["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vector| (vector["name"].as_str().unwrap().to_owned(), vector.clone()))
        .collect()
}

fn word(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

fn address(byte: u8) -> Address {
    Address::repeat_byte(byte)
}

/// The domain of the x402 vectors: Base, and x402's own contract.
fn x402_domain() -> Domain {
    Domain { chain_id: 8453, escrow: "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003".parse().unwrap() }
}

fn our_domain() -> Domain {
    Domain { chain_id: 31337, escrow: address(0x55) }
}

fn key() -> SecretKey {
    SecretKey::from_bytes(&[1; 32]).unwrap()
}

fn config() -> ChannelConfig {
    ChannelConfig {
        payer: address(0x11),
        payer_authorizer: address(0x11),
        receiver: address(0x22),
        receiver_authorizer: address(0x33),
        token: address(0x44),
        withdraw_delay: Duration(900),
        salt: B256::ZERO,
    }
}

fn voucher() -> Voucher {
    Voucher { channel: config().id(&x402_domain()), ceiling: Amount(5_000) }
}

fn batch() -> ClaimBatch {
    let channel = config().id(&x402_domain());
    ClaimBatch {
        claims: vec![ClaimEntry { channel, ceiling: Amount(5_000), total: Amount(3_900) }],
    }
}

fn refund() -> Refund {
    Refund { channel: config().id(&x402_domain()), nonce: U256::from(1), amount: Amount(1_500) }
}

fn offer() -> Offer {
    Offer {
        chain_id: 31337,
        escrow: address(0x55),
        token: address(0x44),
        payee: address(0x22),
        signer: key().address(),
        withdraw_delay: Duration(86_400),
        workload: word(0x66),
        models: vec![ModelOffer {
            digest: word(0x77),
            price: Price { input: Amount(100_000), output: Amount(400_000) },
            template_bound: 64,
            context_tokens: 8_192,
            output_tokens_max: 2_048,
        }],
        expires: Timestamp(1_800_000_000),
    }
}

fn order() -> Order {
    Order {
        account: Account(word(0x01)),
        offer: word(0x02),
        request_id: RequestId(word(0x03)),
        request_hash: word(0x04),
        max_charge: Amount(5),
        ceiling: Amount(6),
        expires: Timestamp(1_800_000_000),
    }
}

fn receipt() -> Receipt {
    Receipt {
        account: Account(word(0x01)),
        seq: 2,
        prev: word(0x03),
        request_hash: word(0x04),
        response_hash: word(0x05),
        model: word(0x06),
        workload: word(0x07),
        offer: word(0x08),
        outcome: Outcome::Limit,
        input_tokens: 9,
        output_tokens: 10,
        charged: Amount(11),
        cumulative: Amount(12),
        issued_at: Timestamp(13),
    }
}

fn key_config() -> KeyConfig {
    KeyConfig {
        ohttp_keys: Bytes::from_static(&[1, 2, 3]),
        tls_key: word(0x01),
        workload: word(0x02),
        not_before: Timestamp(3),
        not_after: Timestamp(4),
    }
}

fn liveness() -> Liveness {
    Liveness { nonce: word(0x01), key_config: word(0x02) }
}

fn registration() -> Registration {
    Registration {
        registry: address(0x01),
        id: pod_id(address(0x02), word(0x03)),
        operator: address(0x02),
        payee: address(0x04),
        signer: address(0x05),
        offer: word(0x06),
        evidence: word(0x07),
    }
}

/// Checks one message against its vector: type string, canonical bytes, digest, signature, way back.
fn check<T: Message + PartialEq + std::fmt::Debug>(name: &str, message: T, domain: Domain) {
    use alloy_sol_types::SolStruct;
    let signed = Signed::sign(message.clone(), &domain, &key());
    let got = serde_json::json!({
        "name": name,
        "type": <T::Sol as SolStruct>::eip712_encode_type(),
        "chain_id": domain.chain_id,
        "escrow": domain.escrow,
        "encoded": format!("0x{}", hex::encode(message.encode())),
        "digest": message.digest(&domain),
        "signature": format!("0x{}", hex::encode(signed.signature_bytes())),
    });
    assert_eq!(vectors().get(name), Some(&got), "vector {name} should be {got}");

    assert_eq!(T::decode(&message.encode()).as_ref(), Ok(&message));
    let back = Signed::<T>::from_base64(&signed.to_base64()).unwrap();
    assert_eq!(back.verify(&domain, key().address()), Ok(&message));
}

#[test]
fn every_message_matches_its_vector() {
    check("ChannelConfig", config(), x402_domain());
    check("Voucher", voucher(), x402_domain());
    check("ClaimBatch", batch(), x402_domain());
    check("Refund", refund(), x402_domain());
    check("Offer", offer(), our_domain());
    check("Order", order(), our_domain());
    check("Receipt", receipt(), our_domain());
    check("KeyConfig", key_config(), our_domain());
    check("Liveness", liveness(), our_domain());
    check("Registration", registration(), our_domain());
    assert_eq!(vectors().len(), 10, "a vector that no message reads");
}

/// The figures that x402's own implementations agree on; ours must not move away from them.
#[test]
fn channel_messages_are_those_of_x402() {
    let hex = |digest: B256| hex::encode(digest);
    let domain = x402_domain();
    let digests = [
        (
            hex(config().id(&domain).0),
            "8ea4b277c96d508b2d34b4f68ed56a23326b1e86baadcc7dd94a251cab3ec016",
        ),
        (
            hex(voucher().digest(&domain)),
            "497645720fdbcf270e0861960fe24ab63e9554ebfefa92874c134afc2a034de2",
        ),
        (
            hex(batch().digest(&domain)),
            "802a449f7a72e1860678ad8fede81fea5bdad9f785934c56bf98625f9ff8ef28",
        ),
        (
            hex(refund().digest(&domain)),
            "43cf746faef755c8060af2d78f31c4b669d822595dd23561f87dda936523cf01",
        ),
    ];
    for (got, expected) in digests {
        assert_eq!(got, expected);
    }
    let signature = Signed::sign(voucher(), &domain, &key()).signature_bytes();
    let expected = "71fa005c3b5f568f348d83ae072a32d8e599c2712bbeefd8c84140c02882c2ae34c93e525f0a7ac08473d6781265834d249b7ad1f3dba6996c74d10bfc8b529e1b";
    assert_eq!(hex::encode(signature), expected);
}

#[test]
fn a_signature_for_another_chain_or_escrow_does_not_count() {
    let signed = Signed::sign(order(), &our_domain(), &key());
    for domain in
        [Domain { chain_id: 1, ..our_domain() }, Domain { escrow: address(0x56), ..our_domain() }]
    {
        assert!(matches!(
            signed.verify(&domain, key().address()),
            Err(SignatureError::WrongSigner { .. } | SignatureError::Unrecoverable)
        ));
    }
}

#[test]
fn a_signature_for_one_purpose_does_not_serve_another() {
    let domain = our_domain();
    let liveness = Signed::sign(liveness(), &domain, &key());
    let voucher = Voucher { channel: ChannelId(word(0x01)), ceiling: Amount(2) };
    let stolen = Signed::from_parts(voucher, &liveness.signature_bytes()).unwrap();
    assert!(stolen.verify(&domain, key().address()).is_err());
}

#[test]
fn refuses_each_malformed_signature_by_name() {
    let signed = Signed::sign(liveness(), &our_domain(), &key());
    let good = signed.signature_bytes();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.to_vec();
        change(&mut bytes);
        Signed::from_parts(liveness(), &bytes).unwrap_err()
    };
    assert_eq!(with(&|bytes| bytes[64] = 0), SignatureError::Malformed);
    assert_eq!(with(&|bytes| bytes[64] = 29), SignatureError::Malformed);
    assert_eq!(with(&|bytes| bytes.push(0)), SignatureError::Malformed);
    assert_eq!(with(&|bytes| bytes.clear()), SignatureError::Malformed);
    assert_eq!(with(&|bytes| bytes[32..64].fill(0xfe)), SignatureError::HighS);
    let zero = Signed::from_parts(liveness(), &[&[0; 64][..], &[27]].concat()).unwrap();
    assert_eq!(zero.signer(&our_domain()), Err(SignatureError::Unrecoverable));
}

#[test]
fn refuses_bytes_that_are_not_canonical() {
    let bytes = receipt().encode();
    assert_eq!(Receipt::decode(&bytes[1..]), Err(DecodeError::Malformed));

    let mut trailing = bytes.clone();
    trailing.extend([0; 32]);
    assert_eq!(Receipt::decode(&trailing), Err(DecodeError::NotCanonical));

    let mut outcome = bytes.clone();
    outcome[8 * 32 + 31] = 4;
    assert_eq!(Receipt::decode(&outcome), Err(DecodeError::Value { member: "outcome" }));

    let mut dirty = bytes;
    dirty[32] = 1; // above the uint64 of `seq`
    assert_eq!(Receipt::decode(&dirty), Err(DecodeError::Malformed));

    let long = vec![0; MESSAGE_BYTES_MAX + 1];
    assert_eq!(Offer::decode(&long), Err(DecodeError::TooLong { got: long.len() }));
}

#[test]
fn a_withdraw_delay_past_forty_bits_does_not_wrap() {
    let long = ChannelConfig { withdraw_delay: Duration(u64::MAX), ..config() };
    let read = ChannelConfig::decode(&long.encode()).unwrap();
    assert_eq!(read.withdraw_delay, Duration((1 << 40) - 1));
}

#[test]
fn the_secret_key_does_not_print() {
    let printed = format!("{:?}", key());
    assert!(!printed.contains("0101"), "{printed}");
    assert!(printed.contains(&key().address().to_string()));
    assert_eq!(SecretKey::from_bytes(&[0; 32]).unwrap_err(), BadKey);
    assert_eq!(SecretKey::from_bytes(&[1; 31]).unwrap_err(), BadKey);
}

#[test]
fn an_allow_listed_account_is_its_address() {
    assert_eq!(Account::from(address(0x11)).as_address(), Some(address(0x11)));
    assert_eq!(Account(word(0x11)).as_address(), None);
}

proptest! {
    #[test]
    fn garbage_is_an_error_or_the_one_spelling_of_a_message(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        macro_rules! tried {
            ($($message:ty),*) => {$(
                if let Ok(message) = <$message>::decode(&bytes) {
                    prop_assert_eq!(message.encode(), bytes.clone());
                }
                let _ = Signed::<$message>::from_bytes(&bytes);
            )*};
        }
        tried!(ChannelConfig, Voucher, ClaimBatch, Refund, Offer, Order, Receipt, KeyConfig, Liveness, Registration);
    }

    #[test]
    fn a_flipped_bit_changes_the_message_or_refuses_it(at in 0usize..448 * 8) {
        let mut bytes = receipt().encode();
        bytes[at / 8] ^= 1 << (at % 8);
        if let Ok(message) = Receipt::decode(&bytes) {
            prop_assert_ne!(message.digest(&our_domain()), receipt().digest(&our_domain()));
        }
    }
}
