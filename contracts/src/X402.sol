// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev EIP-712 type hashes of x402 version 2 `batch-settlement`, exactly as that scheme names
/// types and members: another name would give ids that no signer of the scheme computes.
bytes32 constant CHANNEL_CONFIG_TYPEHASH = keccak256(
    "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
);
bytes32 constant VOUCHER_TYPEHASH =
    keccak256("Voucher(bytes32 channelId,uint128 maxClaimableAmount)");
bytes32 constant CLAIM_ENTRY_TYPEHASH =
    keccak256("ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)");
bytes32 constant CLAIM_BATCH_TYPEHASH = keccak256(
    "ClaimBatch(ClaimEntry[] claims)ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
);
bytes32 constant REFUND_TYPEHASH =
    keccak256("Refund(bytes32 channelId,uint256 nonce,uint128 amount)");
