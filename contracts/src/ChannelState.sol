// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev A channel's two amounts in one storage word, totalClaimed above balance, so that a claim
/// loads and stores once.
type ChannelState is uint256;

using {balance, totalClaimed, unclaimed, withBalance, withTotalClaimed} for ChannelState global;

/// @dev Deposits less refunds and withdrawals.
function balance(ChannelState state) pure returns (uint128) {
    return uint128(ChannelState.unwrap(state));
}

/// @dev What was booked for the receiver, ever. Never above the balance.
function totalClaimed(ChannelState state) pure returns (uint128) {
    return uint128(ChannelState.unwrap(state) >> 128);
}

/// @dev What can still be claimed or paid back.
function unclaimed(ChannelState state) pure returns (uint128) {
    return balance(state) - totalClaimed(state);
}

function withBalance(ChannelState state, uint128 amount) pure returns (ChannelState) {
    return ChannelState.wrap((ChannelState.unwrap(state) >> 128 << 128) | amount);
}

function withTotalClaimed(ChannelState state, uint128 amount) pure returns (ChannelState) {
    return ChannelState.wrap((uint256(amount) << 128) | balance(state));
}
