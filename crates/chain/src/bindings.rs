//! The contracts, as their committed ABI and bytecode describe them.

#![allow(missing_docs, clippy::too_many_arguments, reason = "the macro makes them from the ABI")]

pub(crate) mod escrow {
    alloy::sol!(
        #[sol(all_derives)]
        Escrow,
        "../../contracts/abi/Escrow.json"
    );
}

pub(crate) mod registry {
    alloy::sol!(
        #[sol(all_derives)]
        PodRegistry,
        "../../contracts/abi/PodRegistry.json"
    );
}

pub(crate) mod releases {
    alloy::sol!(
        #[sol(all_derives)]
        Releases,
        "../../contracts/abi/Releases.json"
    );
}

pub(crate) mod token {
    alloy::sol!(
        #[sol(all_derives)]
        TestToken,
        "../../contracts/abi/TestToken.json"
    );
    alloy::sol! {
        /// What a payer of EIP-3009 signs, in the token's own domain.
        struct ReceiveWithAuthorization {
            address from;
            address to;
            uint256 value;
            uint256 validAfter;
            uint256 validBefore;
            bytes32 nonce;
        }
    }
}
