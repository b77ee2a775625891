// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Escrow} from "../../src/Escrow.sol";
import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {TestToken} from "../../src/TestToken.sol";
import {EscrowTest} from "../utils/EscrowTest.sol";

/// @dev Plays payers, pod and strangers in any order over four channels, with good and bad
/// signatures, and remembers what was signed.
contract Parties is EscrowTest {
    uint256 public constant CHANNELS = 4;
    uint256 private constant AMOUNT_MAX = 1000;

    IEscrow.ChannelConfig[CHANNELS] private _configs;
    bytes32[CHANNELS] public ids;

    /// The highest min(ceiling, total) that both sides signed for a channel.
    mapping(bytes32 channelId => uint128) public signedLimit;
    /// The totals and the closures that were seen last.
    mapping(bytes32 channelId => uint128) public seenClaimed;
    mapping(bytes32 channelId => bool) public seenClosed;
    /// What the payers put in and got back, and whether a rule was seen broken.
    uint256 public deposited;
    uint256 public paidBack;
    string public broken;

    function setUp() public override {}

    constructor(Escrow escrow_, TestToken token_) {
        escrow = escrow_;
        token = token_;
        for (uint256 i = 0; i < CHANNELS; ++i) {
            _configs[i] = channelOf(PAYER_KEY + i / 2, i);
            ids[i] = escrow.getChannelId(_configs[i]);
        }
    }

    function deposit(uint256 index, uint128 amount) external {
        index = bound(index, 0, CHANNELS - 1);
        amount = uint128(bound(amount, 1, AMOUNT_MAX));
        if (escrow.isClosed(ids[index])) return;
        open(_configs[index], amount);
        deposited += amount;
    }

    /// @dev A claim over two rows, each signed by the payer or by somebody else.
    function claim(uint256 seed, uint128[2] memory ceilings, uint128[2] memory totals) external {
        IEscrow.VoucherClaim[] memory claims = new IEscrow.VoucherClaim[](2);
        for (uint256 row = 0; row < 2; ++row) {
            uint256 index = bound(seed >> (8 * row), 0, CHANNELS - 1);
            bool good = (seed >> (32 + row)) % 4 != 0;
            uint128 ceiling = uint128(bound(ceilings[row], 0, 2 * AMOUNT_MAX));
            uint128 total = uint128(bound(totals[row], 0, 2 * AMOUNT_MAX));
            uint256 key = PAYER_KEY + index / 2;
            claims[row] = claimOf(_configs[index], good ? key : key + 100, ceiling, total);
            uint128 limit = ceiling < total ? ceiling : total;
            if (good && limit > signedLimit[ids[index]]) signedLimit[ids[index]] = limit;
        }
        bytes memory batch = pack(claims);
        escrow.claimPacked(batch);
        // A claim is whole up to the balance, whatever withdrawal is pending.
        for (uint256 i = 0; i < CHANNELS; ++i) {
            (uint128 balance, uint128 claimed) = escrow.channels(ids[i]);
            uint128 limit = signedLimit[ids[i]];
            if (!escrow.isClosed(ids[i]) && involves(claims, ids[i])) {
                uint128 highest = highestOf(claims, ids[i]);
                uint128 due = highest < balance ? highest : balance;
                if (claimed < due) broken = "a claim was not whole";
            }
            if (claimed > limit) broken = "more was claimed than both sides signed";
        }
    }

    function initiate(uint256 index, uint128 amount) external {
        index = bound(index, 0, CHANNELS - 1);
        (uint128 balance, uint128 claimed) = escrow.channels(ids[index]);
        (, uint40 initiatedAt) = escrow.pendingWithdrawals(ids[index]);
        if (balance == claimed || initiatedAt != 0) return;
        vm.prank(_configs[index].payer);
        escrow.initiateWithdraw(_configs[index], uint128(bound(amount, 1, balance - claimed)));
    }

    function finalize(uint256 index, uint40 wait) external {
        index = bound(index, 0, CHANNELS - 1);
        (, uint40 initiatedAt) = escrow.pendingWithdrawals(ids[index]);
        vm.warp(block.timestamp + bound(wait, 0, DELAY));
        uint256 before = token.balanceOf(_configs[index].payer);
        vm.prank(_configs[index].payer);
        try escrow.finalizeWithdraw(_configs[index]) {
            if (initiatedAt == 0 || block.timestamp < initiatedAt + DELAY) {
                broken = "a withdrawal ended early";
            }
        } catch {}
        paidBack += token.balanceOf(_configs[index].payer) - before;
    }

    function refund(uint256 index, uint128 amount) external {
        index = bound(index, 0, CHANNELS - 1);
        uint256 before = token.balanceOf(_configs[index].payer);
        vm.prank(PAYEE);
        escrow.refund(_configs[index], uint128(bound(amount, 1, AMOUNT_MAX)));
        paidBack += token.balanceOf(_configs[index].payer) - before;
    }

    function settle() external {
        escrow.settle(PAYEE, address(token));
    }

    /// @dev Compares with what was seen before: totals only grow, closed stays closed.
    function look() external {
        for (uint256 i = 0; i < CHANNELS; ++i) {
            bytes32 channelId = ids[i];
            (, uint128 claimed) = escrow.channels(channelId);
            if (claimed < seenClaimed[channelId]) broken = "a total shrank";
            if (seenClosed[channelId] && !escrow.isClosed(channelId)) {
                broken = "a channel reopened";
            }
            seenClaimed[channelId] = claimed;
            seenClosed[channelId] = escrow.isClosed(channelId);
        }
    }

    function involves(IEscrow.VoucherClaim[] memory claims, bytes32 channelId)
        private
        view
        returns (bool)
    {
        return highestOf(claims, channelId) != 0;
    }

    /// @dev The highest limit of the rows of a channel that its payer signed.
    function highestOf(IEscrow.VoucherClaim[] memory claims, bytes32 channelId)
        private
        view
        returns (uint128 highest)
    {
        for (uint256 row = 0; row < claims.length; ++row) {
            IEscrow.ChannelConfig memory channel = claims[row].voucher.channel;
            if (escrow.getChannelId(channel) != channelId) continue;
            uint128 ceiling = claims[row].voucher.maxClaimableAmount;
            uint128 total = claims[row].totalClaimed;
            uint128 limit = ceiling < total ? ceiling : total;
            bytes memory good =
                sign(keyOf(channel.payer), escrow.getVoucherDigest(channelId, ceiling));
            if (keccak256(good) == keccak256(claims[row].signature) && limit > highest) {
                highest = limit;
            }
        }
    }

    function keyOf(address account) private pure returns (uint256) {
        return account == vm.addr(PAYER_KEY) ? PAYER_KEY : PAYER_KEY + 1;
    }
}

/// @dev What holds after any sequence of calls.
contract InvariantsTest is EscrowTest {
    Parties private _parties;

    function setUp() public override {
        vm.warp(1_790_000_000);
        escrow = new Escrow();
        token = new TestToken();
        _parties = new Parties(escrow, token);
        targetContract(address(_parties));
    }

    function invariant_the_escrow_holds_what_is_unclaimed_and_unsettled() public view {
        uint256 owed = unsettled();
        for (uint256 i = 0; i < _parties.CHANNELS(); ++i) {
            (uint128 balance, uint128 claimed) = escrow.channels(_parties.ids(i));
            owed += balance - claimed;
        }
        vm.assertEq(token.balanceOf(address(escrow)), owed, "tokens of the escrow");
    }

    function invariant_nothing_is_paid_twice() public view {
        uint256 claimed = 0;
        for (uint256 i = 0; i < _parties.CHANNELS(); ++i) {
            claimed += claimedOf(_parties.ids(i));
        }
        vm.assertEq(token.balanceOf(PAYEE) + unsettled(), claimed, "earned and paid");
        vm.assertEq(
            token.balanceOf(address(escrow)) + token.balanceOf(PAYEE) + _parties.paidBack(),
            _parties.deposited(),
            "in and out"
        );
    }

    function invariant_nothing_is_claimed_above_balance_or_what_both_signed() public view {
        for (uint256 i = 0; i < _parties.CHANNELS(); ++i) {
            bytes32 channelId = _parties.ids(i);
            (uint128 balance, uint128 claimed) = escrow.channels(channelId);
            vm.assertLe(claimed, balance, "balance");
            vm.assertLe(claimed, _parties.signedLimit(channelId), "signed");
        }
    }

    function invariant_a_closed_channel_holds_nothing_and_totals_only_grow() public {
        _parties.look();
        for (uint256 i = 0; i < _parties.CHANNELS(); ++i) {
            bytes32 channelId = _parties.ids(i);
            if (!escrow.isClosed(channelId)) continue;
            vm.assertEq(balanceOf(channelId), claimedOf(channelId), "unclaimed");
        }
        vm.assertEq(bytes(_parties.broken()), "", "a rule was broken");
    }
}
