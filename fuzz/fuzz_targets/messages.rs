//! Signed messages: bytes decode to a message that encodes back to them, or not at all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_protocol::{
    ChannelConfig, ClaimBatch, KeyConfig, Keyset, Liveness, Message, Offer, Order, Receipt, Refund,
    Registration, Signed, Voucher, Workload,
};

fn tried<T: Message>(bytes: &[u8]) {
    if let Ok(message) = T::decode(bytes) {
        assert_eq!(message.encode(), bytes);
    }
    if let Ok(signed) = Signed::<T>::from_bytes(bytes) {
        assert_eq!(signed.to_bytes(), bytes);
    }
}

fuzz_target!(|bytes: &[u8]| {
    tried::<ChannelConfig>(bytes);
    tried::<ClaimBatch>(bytes);
    tried::<KeyConfig>(bytes);
    tried::<Liveness>(bytes);
    tried::<Offer>(bytes);
    tried::<Order>(bytes);
    tried::<Receipt>(bytes);
    tried::<Refund>(bytes);
    tried::<Registration>(bytes);
    tried::<Voucher>(bytes);
    if let Ok(keyset) = Keyset::from_bytes(bytes) {
        assert_eq!(keyset.to_bytes(), bytes);
    }
    if let Ok(workload) = Workload::from_bytes(bytes) {
        assert_eq!(workload.to_bytes(), bytes);
    }
});
