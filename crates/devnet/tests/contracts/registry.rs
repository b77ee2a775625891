use subrosa_chain::{ChainError, Wallet};
use subrosa_protocol::{Address, B256, Registration, SecretKey, Signed, pod_id};

use crate::world::on_chain;

const SALT: B256 = B256::repeat_byte(1);

fn registration(
    chain: &subrosa_chain::Chain,
    operator: &Wallet,
    signer: &SecretKey,
    offer: B256,
) -> Signed<Registration> {
    let message = Registration {
        registry: chain.params().contracts.registry,
        id: pod_id(operator.address(), SALT),
        operator: operator.address(),
        payee: Address::repeat_byte(7),
        signer: signer.address(),
        offer,
        evidence: B256::repeat_byte(9),
    };
    Signed::sign(message, &chain.domain(), signer)
}

#[test]
fn a_pod_registers_changes_its_signer_and_retires() {
    on_chain(async |devnet| {
        let (chain, operator) = (devnet.chain(), Wallet::generate());
        devnet.fund_gas(operator.address()).await.unwrap();
        let id = pod_id(operator.address(), SALT);
        assert_eq!(chain.pod(id).await.unwrap(), None);
        let (_, from) = chain.pod_changes(0).await.unwrap();

        let first = Wallet::generate();
        let terms = registration(chain, &operator, first.secret_key(), B256::repeat_byte(2));
        let endpoints = ["https://127.0.0.1:7443".to_owned()];
        chain.register(&operator, SALT, &endpoints, &terms).await.unwrap();
        let pod = chain.pod(id).await.unwrap().unwrap();
        assert_eq!((pod.operator, pod.signer), (operator.address(), first.address()));
        assert_eq!((pod.offer, pod.evidence), (B256::repeat_byte(2), B256::repeat_byte(9)));
        assert_eq!(pod.endpoints, endpoints);
        assert!(!pod.retired && pod.anchored_at.0 > 0);
        assert!(chain.pods().await.unwrap().contains(&pod));

        let second = Wallet::generate();
        let terms = registration(chain, &operator, second.secret_key(), B256::repeat_byte(3));
        chain.update(&operator, &["https://localhost:1".to_owned()], &terms).await.unwrap();
        let pod = chain.pod(id).await.unwrap().unwrap();
        assert_eq!((pod.signer, pod.offer), (second.address(), B256::repeat_byte(3)));

        chain.retire(&operator, id).await.unwrap();
        assert!(chain.pod(id).await.unwrap().unwrap().retired);
        let (changes, next) = chain.pod_changes(from).await.unwrap();
        assert_eq!(changes.iter().filter(|changed| **changed == id).count(), 3);
        let later = chain.pod_changes(next).await.unwrap().0;
        assert!(!later.contains(&id));
    });
}

#[test]
fn nobody_registers_a_signer_that_did_not_consent() {
    on_chain(async |devnet| {
        let (chain, operator) = (devnet.chain(), devnet.operator(5));
        let victim = Wallet::generate();
        let mut message =
            registration(chain, &operator, victim.secret_key(), B256::ZERO).unverified().clone();
        message.signer = victim.address();
        let forged = Signed::sign(message, &chain.domain(), operator.secret_key());
        let refusal =
            chain.register(&operator, SALT, &["https://x".to_owned()], &forged).await.unwrap_err();
        assert!(matches!(refusal, ChainError::Refused { hash: None, .. }));
        assert!(refusal.to_string().contains("PodRegistry_SignerSignature"), "{refusal}");
    });
}

#[test]
fn more_pods_than_are_read_at_once_are_all_listed_in_order() {
    on_chain(async |devnet| {
        let (chain, operator) = (devnet.chain(), Wallet::generate());
        devnet.fund_gas(operator.address()).await.unwrap();
        let signer = Wallet::generate();
        let template = registration(chain, &operator, signer.secret_key(), B256::repeat_byte(2));
        let mut ids = Vec::new();
        for number in 0..51 {
            let salt = B256::with_last_byte(number);
            let id = pod_id(operator.address(), salt);
            let message = Registration { id, ..template.unverified().clone() };
            let terms = Signed::sign(message, &chain.domain(), signer.secret_key());
            chain.register(&operator, salt, &["https://x".to_owned()], &terms).await.unwrap();
            ids.push(id);
        }
        let pods = chain.pods().await.unwrap();
        let ours = pods.iter().filter(|pod| pod.operator == operator.address());
        assert_eq!(ours.map(|pod| pod.id).collect::<Vec<_>>(), ids);
    });
}
