use subrosa_chain::{ChainError, Depth, Kind};
use subrosa_protocol::B256;

use crate::world::{MEASUREMENT, MODEL, on_chain};

#[test]
fn what_the_chain_starts_with_is_released() {
    on_chain(async |devnet| {
        let chain = devnet.chain();
        let last = chain.at(Depth::Final).await.unwrap();
        let releases = chain.releases(last.timestamp).await.unwrap();
        assert!(releases.measurements.contains(&MEASUREMENT));
        assert!(releases.models.contains(&MODEL));
        assert!(!releases.models.contains(&MEASUREMENT));
        assert!(releases.at.number >= last.number);
    });
}

#[test]
fn one_publisher_alone_publishes_nothing_and_revokes_at_once() {
    on_chain(async |devnet| {
        let (chain, digest) = (devnet.chain(), B256::repeat_byte(0x51));
        let released = async || {
            let last = chain.at(Depth::Final).await.unwrap();
            chain.releases(last.timestamp).await.unwrap().models.contains(&digest)
        };
        chain.approve_release(devnet.publisher(2), Kind::Model, digest).await.unwrap();
        devnet.settle_down().await.unwrap();
        assert!(!released().await);

        chain.approve_release(devnet.publisher(1), Kind::Model, digest).await.unwrap();
        // Published, but its delay is not over at the newest final block.
        assert!(!released().await);
        devnet.settle_down().await.unwrap();
        assert!(released().await);

        // Not final yet, and counts all the same.
        chain.revoke_release(devnet.publisher(0), Kind::Model, digest).await.unwrap();
        assert!(!released().await);
    });
}

#[test]
fn nobody_else_publishes() {
    on_chain(async |devnet| {
        let stranger = devnet.operator(6);
        let refusal = devnet
            .chain()
            .approve_release(&stranger, Kind::Measurement, B256::repeat_byte(0x52))
            .await
            .unwrap_err();
        assert!(matches!(refusal, ChainError::Refused { hash: None, .. }));
        assert!(refusal.to_string().contains("Releases_NotPublisher"), "{refusal}");
    });
}
