//! Names of things that are 32 bytes long.

use std::fmt;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub B256);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

id! {
    /// A payment channel: the EIP-712 digest of its [`ChannelConfig`](crate::ChannelConfig).
    ChannelId
}

id! {
    /// Who pays for a request: a channel id, the hash of a Lightning token or of a nullifier, or an
    /// allow-listed address, left-padded with zeros.
    Account
}

id! {
    /// A single-use name of one order, drawn at random by the payer.
    RequestId
}

impl From<ChannelId> for Account {
    fn from(channel: ChannelId) -> Account {
        Account(channel.0)
    }
}

impl From<Address> for Account {
    fn from(address: Address) -> Account {
        Account(address.into_word())
    }
}

impl Account {
    /// The allow-listed address that this account names, if its first twelve bytes are zero.
    pub fn as_address(&self) -> Option<Address> {
        let (padding, address) = self.0.split_at(12);
        padding.iter().all(|byte| *byte == 0).then(|| Address::from_slice(address))
    }
}
